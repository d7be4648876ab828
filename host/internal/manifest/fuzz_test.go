package manifest

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"unicode/utf8"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// FuzzParse holds what must be true of any text: no panic, every problem has a code that is explained and a place
// inside the text, reports are bounded, and what is accepted keeps the bounds and survives JSON.
func FuzzParse(f *testing.F) {
	for _, folder := range []string{"bad", "good"} {
		files, err := filepath.Glob(filepath.Join("testdata", folder, "*.toml"))
		if err != nil || len(files) == 0 {
			f.Fatal("no seeds in ", folder, err)
		}
		for _, file := range files {
			src, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(src)
		}
	}
	explained := map[flow.Code]bool{}
	for _, e := range flow.Explanations() {
		explained[e.Code] = true
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		doc, problems := Parse("fuzz.toml", src)
		lines := 1
		for _, c := range src {
			if c == '\n' {
				lines++
			}
		}
		if len(problems) > maxShown+1 {
			t.Errorf("%d problems", len(problems))
		}
		for _, p := range problems {
			if !explained[p.Code] || p.Message == "" || p.Line > lines || p.EndColumn < p.Column {
				t.Errorf("odd problem %+v", p)
			}
			if !utf8.ValidString(p.String()) {
				t.Errorf("problem is not UTF-8: %q", p.String())
			}
		}
		if doc == nil {
			if len(problems.Errors()) == 0 {
				t.Error("neither a document nor a problem")
			}
			return
		}
		checkBounds(t, src)
		if len(problems) > 0 {
			return
		}
		if _, err := json.Marshal(doc.Manifest); err != nil {
			t.Errorf("accepted, but no JSON: %v", err)
		}
	})
}

// checkBounds holds what the decoder made of a text that passed the scan against the scan's bounds: a text that hides
// depth from the scan, by a string or a comment that only one of the two sees, shows here.
func checkBounds(t *testing.T, src []byte) {
	t.Helper()
	tree, findings := decode(trimByteOrderMark(src), nil)
	if findings != nil {
		t.Fatalf("decoded once, then not: %v", findings)
	}
	items := 0
	if depth := measure(tree, &items); depth > maxPath+maxNesting || items > 2*maxItems {
		t.Errorf("accepted with depth %d and %d items", depth, items)
	}
	ix := &indexer{src: trimByteOrderMark(src), root: &entry{}}
	ix.walk() // without the net of buildIndex: the walk itself must hold
	if missing := unplaced(tree, ix.root); missing != "" {
		t.Errorf("the index lacks %s", missing)
	}
}

func measure(value any, items *int) int {
	depth := 0
	*items++
	switch x := value.(type) {
	case map[string]any:
		for _, inner := range x {
			depth = max(depth, measure(inner, items)+1)
		}
	case []any:
		for _, inner := range x {
			depth = max(depth, measure(inner, items)+1)
		}
	case []map[string]any:
		for _, inner := range x {
			depth = max(depth, measure(inner, items)+1)
		}
	}
	return depth
}

// unplaced returns a path that the decoder knows and the index does not; arrays of tables are refused and not indexed.
func unplaced(value any, e *entry) string {
	switch x := value.(type) {
	case map[string]any:
		for key, inner := range x {
			child, ok := e.keys[key]
			if !ok {
				return fmt.Sprintf("%q", key)
			}
			if missing := unplaced(inner, child); missing != "" {
				return fmt.Sprintf("%q.%s", key, missing)
			}
		}
	case []any:
		if len(x) != len(e.items) {
			return fmt.Sprintf("items: %d of %d", len(e.items), len(x))
		}
		for i, inner := range x {
			if missing := unplaced(inner, e.items[i]); missing != "" {
				return fmt.Sprintf("%d.%s", i, missing)
			}
		}
	}
	return ""
}

// BenchmarkParse reads the documented example, a manifest of usual size.
func BenchmarkParse(b *testing.B) {
	src, err := os.ReadFile(filepath.Join("testdata", "good", "design.toml"))
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(src)))
	b.ReportAllocs()
	for b.Loop() {
		if _, problems := Parse("uniflow.toml", src); len(problems) > 0 {
			b.Fatal(problems)
		}
	}
}
