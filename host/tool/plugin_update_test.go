package tool

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/uniflow-dev/uniflow/host/internal/manifest"
)

func TestUpdateLeavesAllButExpectations(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ source, want string }{
		"none":         {"a = 1\n", "a = 1\n\nEXPECT\n"},
		"empty":        {"", "EXPECT\n"},
		"at the end":   {"# one\na = 1\n\n[expect]\nkind = \"ok\" # goes\n[expect.outputs]\nb = 2\n", "# one\na = 1\n\nEXPECT\n"},
		"in between":   {"a = 1\n[expect]\nx = [\n  [1],\n]\n[with] # stays\nb = 2\n[ expect . outputs ]\nc = 3\n", "a = 1\n\nEXPECT\n\n[with] # stays\nb = 2\n"},
		"inside text":  {"a = '''\n[expect]\n'''\n[expect]\nb = \"\"\"\n[with]\n\"\"\"\n", "a = '''\n[expect]\n'''\n\nEXPECT\n"},
		"another name": {"[expected]\na = 1\n", "[expected]\na = 1\n\nEXPECT\n"},
	} {
		if got := replaceExpect(c.source, "EXPECT\n"); got != c.want {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, c.want)
		}
	}
}

func TestValuesSurviveTOML(t *testing.T) {
	t.Parallel()
	for _, doc := range []string{
		`{"a":1,"b":[1,2.5,"x"],"c":{"d e":true,"":{}},"text":"tab\t \"q\" \\ \u0001 \u007f ü 😀 \u2028"}`,
		`{"big":9007199254740993,"exp":1e300,"neg":-0.5}`, `{}`, `{"list":[]}`,
	} {
		text, ok := tomlValue(decoded(json.RawMessage(doc)))
		if !ok {
			t.Errorf("%s cannot be written", doc)
			continue
		}
		var file caseFile
		if _, problems := manifest.ParseAs("x.toml", []byte("with = "+text+"\n"), &file); len(problems) > 0 {
			t.Errorf("%s: %v", text, problems)
		} else if !sameJSON(file.With, json.RawMessage(doc)) {
			t.Errorf("%s is read as %s", doc, file.With)
		}
	}
	for _, doc := range []string{`{"a":null}`, `[[null]]`, `123456789012345678901234567890`} {
		if text, ok := tomlValue(decoded(json.RawMessage(doc))); ok {
			t.Errorf("%s is written as %s", doc, text)
		}
	}
	var b strings.Builder
	if table := objectText(&b, "outputs", json.RawMessage(`{"a":null}`)); table != "" || !strings.Contains(b.String(), "outputs = '''\n{\n  \"a\": null\n}\n'''") {
		t.Errorf("got %q and %q", b.String(), table)
	}
}

func TestDifferencesAreShownByLine(t *testing.T) {
	t.Parallel()
	got := strings.Join(diffLines("a\nb\nc\nd\ne\nf\ng\n", "a\nb\nX\nd\ne\nf\ng\nh\n"), "\n")
	if want := "  a\n  b\n- c\n+ X\n  d\n  e\n  f\n  g\n+ h"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	long := strings.Repeat("x\n", 5000)
	if got := diffLines(long, long+"y\n"); len(got) != 2 {
		t.Errorf("a long text is shown in %d lines", len(got))
	}
	for _, c := range [][2]string{{"1", "1.0"}, {"1e2", "100"}, {`{"a":1,"b":2}`, `{"b":2,"a":1}`}} {
		if !sameJSON(json.RawMessage(c[0]), json.RawMessage(c[1])) {
			t.Errorf("%s and %s differ", c[0], c[1])
		}
	}
	for _, c := range [][2]string{{"9007199254740993", "9007199254740992"}, {"1", `"1"`}, {"[1,2]", "[2,1]"}, {"null", "{}"}} {
		if sameJSON(json.RawMessage(c[0]), json.RawMessage(c[1])) {
			t.Errorf("%s and %s are the same", c[0], c[1])
		}
	}
}
