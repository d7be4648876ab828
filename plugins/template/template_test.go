package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/uniflow-dev/uniflow/sdk/abi"
	"github.com/uniflow-dev/uniflow/sdk/sdktest"
)

type with = map[string]any

func run(t *testing.T, in with, call func(string, []byte, []byte) ([]byte, error)) sdktest.Result {
	t.Helper()
	result, err := sdktest.Run(render, sdktest.Input{With: in, Call: call})
	if err != nil {
		t.Fatal(err)
	}
	return result
}

const data = `{"name":"Ada <b>","n":1234567.891,"whole":12345678901,"none":null,"at":"2026-11-26T21:00:00Z",
 "rows":[{"state":"Texas","cost":1200,"note":"a\nb"},{"state":"O<io","cost":7.5,"note":null}]}`

func TestFunctions(t *testing.T) {
	t.Parallel()
	for template, want := range map[string]string{
		`{{.name}}`: "Ada <b>",
		`{{number .n 2}} {{number .whole}} {{number .n}}`:                                                 "1,234,567.89 12,345,678,901 1,234,567.891",
		`{{number -1234 1}} {{number 12 0}}`:                                                              "-1,234.0 12",
		`{{percent 0.1234 1}}`:                                                                            "12.3 %",
		`{{date "2 Jan 2006 15:04" .at}}`:                                                                 "26 Nov 2026 21:00",
		`{{date "Jan 2006" "2026-05"}} {{date "2006" 0}}`:                                                 "May 2026 1970",
		`{{range .rows}}{{.state}}:{{.cost}};{{end}}`:                                                     "Texas:1200;O<io:7.5;",
		`{{sum (column "cost" .rows)}} {{max (column "cost" .rows)}} {{min (column "cost" .rows)}}`:       "1207.5 1200 7.5",
		`{{add 1 2}} {{sub 1 2.5}} {{mul 3 4}} {{div 1 4}} {{mod 7 4}} {{round 1 2.26}}`:                  "3 -1.5 12 0.25 3 2.3",
		`{{upper "a"}}{{lower "B"}} {{title "NEW ORLEANS intl"}} {{trim " x "}} {{replace "a" "b" "aa"}}`: "Ab New Orleans Intl x bb",
		`{{join ", " (split "-" "a-b")}} {{contains "b" "abc"}} {{truncate 3 "abcdef"}}`:                  "a, b true ab…",
		`[{{pad 4 "é"}}] [{{padleft 4 12}}]`:                                                              "[é   ] [  12]",
		`{{.none | default "nobody"}} {{json .rows}}`:                                                     `nobody [{"cost":1200,"note":"a\nb","state":"Texas"},{"cost":7.5,"note":null,"state":"O\u003cio"}]`,
		`{{table .rows "state=State" "cost=Cost"}}`:                                                       "State   Cost\nTexas  1,200\nO<io     7.5\n",
		`{{table .rows}}`:                                                       " cost  note  state\n1,200  a b   Texas\n  7.5        O<io\n",
		`{{table (list) "a"}}`:                                                  "a\n",
		`{{template "p" dict "x" 1 "y" .name}}`:                                 "1 Ada <b>",
		`{{if gt .n 5.0}}big{{end}} {{printf "%05.1f" .n}}`:                     "big 1234567.9",
		`{{with .none}}x{{else}}y{{end}}{{len .rows}}{{index .rows 1 "state"}}`: "y2O<io",
	} {
		result := run(t, with{"template": template, "data": json.RawMessage(data), "partials": with{"p": "{{.x}} {{.y}}"}}, nil)
		var got string
		if err := result.Output("text", &got); err != nil || got != want {
			t.Errorf("%s:\n got %q (%s)\nwant %q", template, got, result.Verdict.Message, want)
		}
	}
}

func TestHTMLIsEscaped(t *testing.T) {
	t.Parallel()
	for template, want := range map[string]string{
		`<p title="{{.name}}">{{.name}}</p>`:   `<p title="Ada &lt;b&gt;">Ada &lt;b&gt;</p>`,
		`<a href="{{"javascript:alert(1)"}}">`: `<a href="#ZgotmplZ">`,
		`{{table .rows "state=A&B" "cost"}}`: "<table>\n<thead><tr><th>A&amp;B</th><th class=\"number\">cost</th></tr>\n</thead>\n<tbody>\n" +
			"<tr><td>Texas</td><td class=\"number\">1,200</td></tr>\n<tr><td>O&lt;io</td><td class=\"number\">7.5</td></tr>\n</tbody>\n</table>\n",
	} {
		var got string
		result := run(t, with{"template": template, "data": json.RawMessage(data), "format": "html"}, nil)
		if err := result.Output("text", &got); err != nil || got != want {
			t.Errorf("%s:\n got %q (%s)\nwant %q", template, got, result.Verdict.Message, want)
		}
	}
}

func TestAPageIsStored(t *testing.T) {
	t.Parallel()
	for to, want := range map[string][2]string{"r.html": {"<i>&lt;</i>", "text/html"}, "r.md": {"<i><</i>", "text/markdown"}, "r": {"<i><</i>", "text/plain"}} {
		var body, kind string
		result := run(t, with{"template": `<i>{{.}}</i>`, "data": "<", "to": to}, func(op string, request, content []byte) ([]byte, error) {
			var req struct{ Type string }
			if err := json.Unmarshal(request, &req); err != nil || op != abi.OpArtifactPut {
				t.Error(op, err)
			}
			body, kind = string(content), req.Type
			return []byte(`{"$artifact":"sha256:00","size":1,"type":"x/y"}`), nil
		})
		if body != want[0] || kind != want[1] || result.Outputs["artifact"] == nil {
			t.Errorf("%s: got %q of %s, %+v", to, body, kind, result)
		}
	}
}

func TestMistakesHaveAPlace(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		with with
		says string
	}{
		"syntax":           {with{"template": "a\n{{if}}"}, "template, line 2: missing value for if"},
		"no such function": {with{"template": "{{env \"HOME\"}}"}, `template, line 1: function "env" not defined`},
		"no such key":      {with{"template": "x {{.rows}}", "data": with{"row": 1}}, `template, line 1, byte 4: executing "template" at <.rows>: map has no entry for key "rows"`},
		"in HTML":          {with{"template": "<p>\n{{.a.b}}", "format": "html", "data": with{"a": with{}}}, "line 2"},
		"in a partial":     {with{"template": `{{template "p" .}}`, "partials": with{"p": "{{.x}}"}, "data": with{}}, `p, line 1, byte 2`},
		"call":             {with{"template": `{{call .}}`, "data": 1}, "call is not to be had"},
		"no number":        {with{"template": `{{number "x"}}`}, "x is no number"},
		"by zero":          {with{"template": `{{div 1 0}}`}, "division by zero"},
		"a wide column":    {with{"template": `{{printf "%99999d" 1}}`}, "a width over"},
		"a wide argument":  {with{"template": `{{printf "%*d" 99999 1}}`}, "a width that is an argument"},
		"without end":      {with{"template": `{{range 100000000}}0123456789012345678901234567890123456789{{end}}`}, "more than 16777216 bytes"},
		"into itself":      {with{"template": `{{define "a"}}{{template "a"}}{{end}}{{template "a"}}`}, "exceeded maximum template depth"},
		"no template":      {with{"data": 1}, "either template"},
		"an unknown input": {with{"template": "x", "values": 1}, `unknown field "values"`},
		"a format":         {with{"template": "x", "format": "pdf"}, "neither html nor text"},
		"a file":           {with{"from": "/nowhere/page.html"}, "needs a mount"},
	} {
		v := run(t, c.with, nil).Verdict
		if v.Kind != abi.KindPermanent || !strings.Contains(v.Message, c.says) {
			t.Errorf("%s: got %s %q, want permanent with %q", name, v.Kind, v.Message, c.says)
		}
	}
}

func TestMissingKeysCanBeEmpty(t *testing.T) {
	t.Parallel()
	var got string
	if err := run(t, with{"template": "[{{.x | default \"-\"}}]", "data": with{"a": 1}, "missing": "empty"}, nil).Output("text", &got); err != nil || got != "[-]" {
		t.Errorf("got %q, %v", got, err)
	}
}
