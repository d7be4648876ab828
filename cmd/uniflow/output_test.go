package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/uniflow-dev/uniflow/host/flow"
)

func TestTextOfGuestsCannotActOnTheTerminal(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"plain ünï ✓":        "plain ünï ✓",
		"\x1b[2J":            `\x1b[2J`,
		"a\nb\tc\rd":         `a\nb\tc\rd`,
		"\u009b31m":          `\u009b31m`,
		"\x9b31m":            `\x9b31m`,
		"\u202egnp.exe":      `\u202egnp.exe`,
		"\u2066x\u2069":      `\u2066x\u2069`,
		"\u2028":             `\u2028`,
		"\x7f\x00":           `\x7f\x00`,
		"\xff\xfe":           `\xff\xfe`,
		"\ufffd is a letter": "\ufffd is a letter",
	} {
		if got := line(in); got != want {
			t.Errorf("line(%q) = %q, want %q", in, got, want)
		}
	}
	if got, want := lines("a\n\tb\x1b"), "a\n\tb\\x1b"; got != want {
		t.Errorf("lines: got %q, want %q", got, want)
	}
}

func TestScreenful(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text, want    string
		width, height int
		cut           bool
	}{
		"fits":     {"ab\ncd", "ab\ncd", 2, 2, false},
		"too wide": {"abcd\ne", "ab…\ne", 3, 5, true},
		"too long": {"a\nb\nc", "a\nb", 5, 2, true},
	} {
		if got, cut := screenful(c.text, c.width, c.height); got != c.want || cut != c.cut {
			t.Errorf("%s: got %q, %v, want %q, %v", name, got, cut, c.want, c.cut)
		}
	}
}

func TestFileNamesOfArtifacts(t *testing.T) {
	t.Parallel()
	for _, c := range [][3]string{
		{"page", "text/html; charset=utf-8", "page.html"},
		{"page.htm", "text/html", "page.htm"},
		{"../../etc/passwd", "", "_.._etc_passwd"},
		{".bashrc", "", "bashrc"},
		{"...", "", "artifact"},
		{"", "text/csv", "artifact.csv"},
		{"a/b\\c:d", "application/unknown", "a_b_c_d"},
		{strings.Repeat("x", 300), "image/png", strings.Repeat("x", 100) + ".png"},
	} {
		if got := fileName(c[0], c[1]); got != c[2] {
			t.Errorf("fileName(%q, %q) = %q, want %q", c[0], c[1], got, c[2])
		}
	}
}

func TestArtifactsAreFoundInOutputs(t *testing.T) {
	t.Parallel()
	digest := string(flow.DigestOf([]byte("x")))
	ref := `{"$artifact":"` + digest + `","size":1,"type":"text/csv"}`
	r := flow.RunRecord{Steps: []flow.StepRecord{
		{Name: "b", Outputs: valuesOf(`{"page":` + ref + `,"n":1,"bad":{"$artifact":"x"}}`)},
		{Name: "a", Outputs: valuesOf(`{"deep":{"rows":[null,` + ref + `]}}`)},
	}}
	var got []string
	for _, f := range artifactsOf(&r) {
		got = append(got, f.Step+" "+f.Output+" "+string(f.Digest))
	}
	want := []string{"a deep.rows.1 " + digest, "b page " + digest}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got %q, want %q", got, want)
	}
	deep := strings.Repeat(`[`, 1000) + ref + strings.Repeat(`]`, 1000)
	if found := artifactsOf(&flow.RunRecord{Steps: []flow.StepRecord{{Name: "a", Outputs: valuesOf(`{"x":` + deep + `}`)}}}); len(found) != 0 {
		t.Errorf("a value nested beyond the bound: got %v", found)
	}
}

func TestErrorsForPeopleAndPrograms(t *testing.T) {
	t.Parallel()
	err := &flow.Error{Code: flow.CodeUnreachable, Op: "ask", Message: "no host \x1b[31m answers", Hint: "uniflow serve"}
	for name, c := range map[string]struct {
		json bool
		want string
	}{
		"text": {false, "error[UF5104]: ask: no host \\x1b[31m answers\n   = help: uniflow serve\n   = more: uniflow explain UF5104\n"},
		"json": {true, `{"code":"UF5104","message":"ask: no host \u001b[31m answers","hint":"uniflow serve"}` + "\n"},
	} {
		var b bytes.Buffer
		a := &app{out: newOutput(&bytes.Buffer{}), talk: newOutput(&b), json: c.json}
		if code := a.finish(t.Context(), err); code != exitUnreachable || b.String() != c.want {
			t.Errorf("%s: exit %d and %q, want %q", name, code, b.String(), c.want)
		}
	}
}

// full is a disk without room.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

func TestFullDiskIsTold(t *testing.T) {
	t.Parallel()
	var talk bytes.Buffer
	if code := run(t.Context(), []string{"version"}, strings.NewReader(""), full{}, &talk); code != exitInternal {
		t.Errorf("exit %d, want %d", code, exitInternal)
	}
	if !strings.Contains(talk.String(), "standard output: no space left on device") {
		t.Errorf("got %q", talk.String())
	}
}

func TestAttemptsAreCountedByElement(t *testing.T) {
	t.Parallel()
	of := func(item, attempt int) flow.AttemptRecord {
		r := flow.AttemptRecord{Attempt: attempt}
		if item >= 0 {
			r.Item = &item
		}
		return r
	}
	for want, attempts := range map[string][]flow.AttemptRecord{
		"":                       {of(-1, 1)},
		"3 attempts":             {of(-1, 1), of(-1, 2), of(-1, 3)},
		"2 elements":             {of(0, 1), of(1, 1)},
		"1 element":              {of(0, 1)},
		"2 elements, 3 attempts": {of(0, 1), of(1, 1), of(1, 2)},
	} {
		if got := attemptsText(attempts); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func valuesOf(doc string) map[string]json.RawMessage {
	var values map[string]json.RawMessage
	if err := json.Unmarshal([]byte(doc), &values); err != nil {
		panic(err)
	}
	return values
}

// Data that is piped on has no colours, whatever the talk beside it goes to.
func TestColoursGoByTheStream(t *testing.T) {
	t.Parallel()
	r := &flow.RunRecord{State: flow.StateEnded, Ending: flow.Ending{Outcome: flow.Failed}, Steps: []flow.StepRecord{{Name: "a", State: flow.StateEnded, Ending: flow.Ending{Outcome: flow.Failed}}}}
	for _, c := range []struct {
		color    string
		terminal bool
		want     bool
	}{{"auto", false, false}, {"auto", true, true}, {"always", false, true}} {
		var out, talk bytes.Buffer
		a := &app{out: newOutput(&out), talk: newOutput(&talk), color: c.color, painting: true}
		a.out.terminal, a.talk.terminal = c.terminal, true
		a.tree(a.out, r)
		a.tree(a.talk, r)
		if got := strings.Contains(out.String(), "\x1b["); got != c.want || !strings.Contains(talk.String(), "\x1b[") {
			t.Errorf("%+v: %q and %q", c, out.String(), talk.String())
		}
	}
}
