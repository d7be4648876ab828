package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/uniflow-dev/uniflow/sdk/abi"
	"github.com/uniflow-dev/uniflow/sdk/sdktest"
)

// shelf is a host with one artifact; it keeps what is put.
type shelf struct{ content, put string }

func (s *shelf) call(op string, request, body []byte) ([]byte, error) {
	var req struct{ Offset, Length int }
	if err := json.Unmarshal(request, &req); err != nil {
		return nil, err
	}
	switch op {
	case abi.OpArtifactPut:
		s.put = string(body)
		return []byte(`{"$artifact":"sha256:00","size":1,"type":"text/plain"}`), nil
	case abi.OpArtifactGet:
		from := min(req.Offset, len(s.content))
		return []byte(s.content[from:min(from+req.Length, len(s.content))]), nil
	}
	return nil, abi.UnknownOp
}

func run(t *testing.T, with map[string]any, s *shelf) sdktest.Result {
	t.Helper()
	if s == nil {
		s = &shelf{}
	} else {
		with["from"] = map[string]any{"$artifact": "sha256:01", "size": len(s.content), "type": "application/json"}
	}
	result, err := sdktest.Run(filter, sdktest.Input{With: with, Call: s.call})
	if err != nil {
		t.Fatal(err)
	}
	return result
}

type with = map[string]any

func raw(s string) json.RawMessage { return json.RawMessage(s) }

func TestFilters(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		with with
		want string
	}{
		"a path":            {with{"filter": ".a.b", "value": raw(`{"a":{"b":[1,2.50,"x"]}}`)}, `[1,2.50,"x"]`},
		"no value":          {with{"filter": "[limit(3; range(10))]"}, `[0,1,2]`},
		"arguments":         {with{"filter": ".[] | select(.n >= $least) | .s + $suffix", "value": raw(`[{"n":1,"s":"a"},{"n":5,"s":"b"}]`), "args": with{"least": 5, "suffix": "!"}}, `"b!"`},
		"object arguments":  {with{"filter": "$o.x[1]", "args": with{"o": with{"x": []int{7, 8}}}}, `8`},
		"no result":         {with{"filter": "empty"}, `null`},
		"a list":            {with{"filter": ".[]", "value": raw(`[1,"a",null]`), "output": "list"}, `[1,"a",null]`},
		"an empty list":     {with{"filter": "empty", "output": "list"}, `[]`},
		"large numbers":     {with{"filter": ".", "value": raw(`12345678901234567890123`)}, `12345678901234567890123`},
		"a false value":     {with{"filter": "not", "value": raw(`false`)}, `true`},
		"no environment":    {with{"filter": "[env, $ENV]"}, `[{},{}]`},
		"text is text":      {with{"filter": "\"<\\(.)>\"", "value": "é"}, `"<é>"`},
		"regular":           {with{"filter": `capture("(?<y>\\d{4})-(?<m>\\d\\d)")`, "value": "2024-05"}, `{"m":"05","y":"2024"}`},
		"errors are caught": {with{"filter": `try error("x") catch .`}, `"x"`},
	} {
		result := run(t, c.with, nil)
		if got := string(result.Outputs["result"]); got != c.want {
			t.Errorf("%s: got %s (%+v), want %s", name, got, result.Verdict, c.want)
		}
	}
}

func TestManyInputs(t *testing.T) {
	t.Parallel()
	const lines = "{\"n\":1}\n{\"n\":2}\n\n{\"n\":3}"
	for name, c := range map[string]struct {
		content string
		with    with
		want    string
	}{
		"each":         {lines, with{"filter": ".n * 2", "output": "list"}, `[2,4,6]`},
		"slurp":        {lines, with{"filter": "map(.n) | add", "slurp": true}, `6`},
		"inputs":       {lines, with{"filter": "[., inputs] | map(.n)"}, `[1,2,3]`},
		"slurp none":   {"", with{"filter": ".", "slurp": true}, `[]`},
		"none":         {" \n", with{"filter": ".", "output": "list"}, `[]`},
		"texts":        {"a b\r\nc\n\nd", with{"filter": ".", "format": "lines", "output": "list"}, `["a b","c","","d"]`},
		"one document": {`[{"n":1},{"n":2}]`, with{"filter": "map(.n)"}, `[1,2]`},
	} {
		result := run(t, c.with, &shelf{content: c.content})
		if got := string(result.Outputs["result"]); got != c.want {
			t.Errorf("%s: got %s (%+v), want %s", name, got, result.Verdict, c.want)
		}
	}
}

func TestMembersBecomeOutputs(t *testing.T) {
	t.Parallel()
	result := run(t, with{"filter": `{total: add, each: .}`, "value": []int{1, 2}, "output": "members"}, nil)
	if string(result.Outputs["total"]) != "3" || string(result.Outputs["each"]) != "[1,2]" || len(result.Outputs) != 3 {
		t.Errorf("got %+v", result)
	}
}

func TestResultsAreStored(t *testing.T) {
	t.Parallel()
	for to, want := range map[string]string{"a.ndjson": "1\n\"a\\nb\"\n[2]\n", "a.txt": "1\na\nb\n[2]\n"} {
		s := &shelf{content: `[1,"a\nb",[2]]`}
		result := run(t, with{"filter": ".[]", "to": to}, s)
		if s.put != want || string(result.Outputs["count"]) != "3" || result.Outputs["artifact"] == nil || result.Outputs["result"] != nil {
			t.Errorf("%s: got %q, %+v", to, s.put, result)
		}
	}
	for content, want := range map[string]string{"[1]": "[1]\n", "": "null\n"} {
		s := &shelf{content: content}
		if run(t, with{"filter": ".", "to": "a.json"}, s); s.put != want {
			t.Errorf("%q: got %q", content, s.put)
		}
	}
}

func TestMistakesHaveAPlace(t *testing.T) {
	t.Parallel()
	long := strings.Repeat(". | ", 50)
	for name, c := range map[string]struct {
		with    with
		content string
		says    string
	}{
		"syntax":            {with{"filter": "map(.a\n| .b +)"}, "", "filter, line 2, column 7: unexpected token \")\", in | .b +)"},
		"an end too early":  {with{"filter": "map(.a"}, "", "filter, line 1, column 7: unexpected EOF"},
		"in a long one":     {with{"filter": long + "}" + long}, "", "column 201: unexpected token \"}\", in …"},
		"no such function":  {with{"filter": "map(.a) |\n  foo(1)"}, "", "filter, line 2, column 3: function not defined: foo/1"},
		"no such variable":  {with{"filter": "$a + $b", "args": with{"a": 1}}, "", "filter, line 1, column 6: variable not defined: $b"},
		"no files":          {with{"filter": `import "a" as a; 1`}, "", "cannot load module"},
		"a type":            {with{"filter": ".a", "value": raw(`[1]`)}, "", "value, input 1: expected an object but got: array"},
		"in which input":    {with{"filter": ".a + 1"}, "{\"a\":1}\n{\"a\":\"x\"}", "from, input 2: cannot add"},
		"no JSON":           {with{"filter": "."}, "{\"a\":1}\n{\"a\":1,\n  b}", "from, line 3, column 3: invalid character 'b'"},
		"far in":            {with{"filter": "empty"}, strings.Repeat("[1, \"é\"]\n", 30_000) + "  [1 2]", "from, line 30001, column 6: invalid character '2'"},
		"far in a line":     {with{"filter": "empty"}, "[" + strings.Repeat("\"é\",", 40_000) + "x]", "from, line 1, column 160002: invalid character 'x'"},
		"no end":            {with{"filter": "."}, "[1,\n2", "from, line 2, column 2: the value has no end"},
		"a chosen error":    {with{"filter": `error("too bad")`}, "", "too bad"},
		"halt":              {with{"filter": "halt"}, "", "the filter halts"},
		"several":           {with{"filter": "1, 2"}, "", `2 results: collect them`},
		"members of a list": {with{"filter": "[1]", "output": "members"}, "", "needs one object"},
		"two sources":       {with{"filter": ".", "value": 1, "from": "/a"}, "", "not both"},
		"an unknown input":  {with{"filter": ".", "vars": 1}, "", `unknown field "vars"`},
		"a format":          {with{"filter": ".", "to": "a.xml"}, "", "names no format"},
		"a huge filter":     {with{"filter": strings.Repeat(" ", 70_000)}, "", "at most 65536"},
		"a bad argument":    {with{"filter": ".", "args": with{"a b": 1}}, "", "invalid variable name"},
		"results for ever":  {with{"filter": `repeat("` + strings.Repeat("x", 1000) + `")`, "output": "list"}, "", "more than 8388608 bytes"},
		"a bomb of text":    {with{"filter": `"x" * 10000000000`}, "", "repeat string"},
	} {
		var s *shelf
		if c.content != "" {
			s = &shelf{content: c.content}
		}
		v := run(t, c.with, s).Verdict
		if v.Kind != abi.KindPermanent || !strings.Contains(v.Message, c.says) {
			t.Errorf("%s: got %s %q, want permanent with %q", name, v.Kind, v.Message, c.says)
		}
	}
}

func TestAValueHasABound(t *testing.T) {
	t.Parallel()
	s := &shelf{content: `["` + strings.Repeat("x", maxValue) + `"]`}
	if v := run(t, with{"filter": "length"}, s).Verdict; v.Kind != abi.KindPermanent || !strings.Contains(v.Message, "more than 16777216 bytes") {
		t.Errorf("got %+v", v)
	}
	// Many values may be larger than one of them.
	s = &shelf{content: strings.Repeat(`"`+strings.Repeat("x", 1<<20)+"\"\n", 20)}
	if got := run(t, with{"filter": "length", "output": "list"}, s); string(got.Outputs["count"]) != "20" {
		t.Errorf("got %+v", got.Verdict)
	}
}
