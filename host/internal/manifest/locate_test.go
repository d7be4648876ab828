package manifest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/uniflow-dev/uniflow/host/flow"
)

const located = `version = 1

[plugins.clean]
wasm = "clean.wasm"

[pipelines.weather]
when     = "context.year > 2000"
schedule = 'daily 02:00'
expect   = { every = "26h",
             by = "06:00" }

[pipelines.weather.context]
station  = "é\t\u00e9 ${x} end"
long     = """
first
  second \
     third ${y}"""
list = [ # of tables
  { a = 1 }, [ 2,
    3 ],
  "x",
]
"odd.key"."" = 1
dotted.inner = 2

[pipelines.weather.steps.load]
plugin = "clean"
needs  = ["other", "missing"]

[pipelines.weather.steps]
sum = { plugin = "clean" }
`

// TestLocateFindsWhatOthersReport gives Locate the problems that the plan finds: by path, on the key, or in a part of
// a string. The mark is the text under the carets.
func TestLocateFindsWhatOthersReport(t *testing.T) {
	t.Parallel()
	doc, problems := Parse("uniflow.toml", []byte(located))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	value := func(path ...string) flow.Problem { return flow.Problem{Path: path} }
	key := func(path ...string) flow.Problem { return flow.Problem{Path: path, OnKey: true} }
	part := func(offset, length int, path ...string) flow.Problem {
		return flow.Problem{Path: path, Offset: offset, Length: length}
	}
	const p, w = "pipelines", "weather"
	for _, c := range []struct {
		problem flow.Problem
		place   string
		mark    string
	}{
		{value(p, w, "when"), "7:12", `"context.year > 2000"`},
		{key(p, w, "when"), "7:1", "when"},
		{part(8, 4, p, w, "when"), "7:21", "year"},
		{part(15, 4, p, w, "when"), "7:28", "2000"},
		{part(15, 99, p, w, "when"), "7:28", "2000"},
		{part(99, 1, p, w, "when"), "7:12", `"context.year > 2000"`},
		{part(6, 5, p, w, "schedule"), "8:19", "02:00"},
		{part(1, 1, p, w, "enabled"), "6:12", "weather"},
		{value(p, w, "expect"), "9:12", `{ every = "26h",`},
		{value(p, w, "expect", "by"), "10:19", `"06:00"`},
		{part(6, 4, p, w, "context", "station"), "13:23", "${x}"},
		{part(2, 1, p, w, "context", "station"), "13:14", `\t`},
		{part(3, 2, p, w, "context", "station"), "13:16", `\u00e9`},
		{part(0, 5, p, w, "context", "long"), "15:1", "first"},
		{part(8, 6, p, w, "context", "long"), "16:3", "second"},
		{part(21, 4, p, w, "context", "long"), "17:12", "${y}"},
		{value(p, w, "context", "list"), "18:8", "[ # of tables"},
		{value(p, w, "context", "list", "0"), "19:3", "{ a = 1 }"},
		{value(p, w, "context", "list", "0", "a"), "19:9", "1"},
		{value(p, w, "context", "list", "1"), "19:14", "[ 2,"},
		{value(p, w, "context", "list", "1", "1"), "20:5", "3"},
		{value(p, w, "context", "list", "2"), "21:3", `"x"`},
		{value(p, w, "context", "list", "3"), "18:1", "list"},
		{key(p, w, "context", "odd.key"), "23:1", `"odd.key"`},
		{value(p, w, "context", "odd.key", ""), "23:16", "1"},
		{value(p, w, "context", "dotted", "inner"), "24:16", "2"},
		{key(p, w, "steps", "load"), "26:26", "load"},
		{value(p, w, "steps", "load"), "26:26", "load"},
		{value(p, w, "steps", "load", "with", "rows"), "26:26", "load"},
		{value(p, w, "steps", "load", "needs", "1"), "28:20", `"missing"`},
		{key(p, w, "steps"), "30:20", "steps"},
		{value(p, w, "steps", "sum"), "31:7", `{ plugin = "clean" }`},
		{value(p, w, "steps", "sum", "each"), "31:1", "sum"},
		{value("schedules", "evening"), "1:1", ""},
		{value(), "1:1", ""},
	} {
		got := doc.Locate(flow.Problems{c.problem})[0]
		place := fmt.Sprintf("%d:%d", got.Line, got.Column)
		mark := string([]rune(got.Source)[got.Column-1 : got.EndColumn-1])
		if place != c.place || mark != c.mark || got.File != "uniflow.toml" {
			t.Errorf("%s +%d,%d is at %s:%s marking %q, want %s marking %q",
				strings.Join(c.problem.Path, "."), c.problem.Offset, c.problem.Length, got.File, place, mark, c.place, c.mark)
		}
	}
}

func TestLocateSortsAndKeepsKnownPlaces(t *testing.T) {
	t.Parallel()
	doc, _ := Parse("uniflow.toml", []byte(located))
	given := flow.Problems{
		{Code: "UF1202", Path: []string{"pipelines", "weather", "steps", "load", "plugin"}},
		{Code: "UF1201", Path: []string{"plugins", "clean", "wasm"}},
		{Code: "UF1203", File: "other.toml", Line: 9, Column: 2},
	}
	got := doc.Locate(given)
	comparePlaces(t, got, []string{"9:2 UF1203", "4:8 UF1201", "27:10 UF1202"})
	if given[0].Line != 0 {
		t.Error("the problems given are changed")
	}
}

// TestMissingPlacesFallBackToAncestors stands for texts that the position parser reads less of than the decoder.
func TestMissingPlacesFallBackToAncestors(t *testing.T) {
	t.Parallel()
	src := []byte("version = 1\n[host]\ndate = 1\n")
	doc := &Document{Name: "uniflow.toml", text: newText(src)}
	doc.root, _ = buildIndex(src[:len("version = 1\n[host]\n")])
	tree, _ := decode(src, nil)
	b := &binder{doc: doc, rules: rules()}
	b.manifest(&doc.Manifest, tree)
	comparePlaces(t, doc.finish(b.findings, 0), []string{"2:2 UF1101"})
}

func TestLongLinesKeepReportsShort(t *testing.T) {
	t.Parallel()
	src := "version = 1\nhost = { " + numbered("key%d = 1, ", 5000) + "}\n"
	_, problems := Parse("uniflow.toml", []byte(src))
	if len(problems) != maxShown+1 {
		t.Fatalf("%d problems, want %d", len(problems), maxShown+1)
	}
	if got := problems[maxShown].Message; got != "4980 more mistakes are not shown" {
		t.Errorf("the last problem says %q", got)
	}
	if n := len(problems.Error()); n > 50_000 {
		t.Errorf("the report has %d bytes", n)
	}
	if n := len([]rune(problems[0].Source)); n != maxSource {
		t.Errorf("the excerpt has %d characters, want %d", n, maxSource)
	}
}
