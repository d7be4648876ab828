package manifest

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/uniflow-dev/uniflow/host/flow"
)

var update = flag.Bool("update", false, "write the .want files from what is found")

// generated are bad manifests that are too large to be files, and the mistake that each must give.
func generated() map[string]struct {
	src  string
	want []string
} {
	repeated := func(s string, size int) string { return strings.Repeat(s, size/len(s)+1) }
	type manifest = struct {
		src  string
		want []string
	}
	return map[string]manifest{
		"too_large":       {"version = 1\n" + repeated("# data\n", MaxSize), []string{"0:0 UF1003"}},
		"many_brackets":   {repeated("[", 10<<20), []string{"0:0 UF1003"}},
		"some_brackets":   {repeated("[", 900<<10), []string{"1:33 UF1006"}},
		"many_keys":       {repeated("a=1\n", 900<<10), []string{"50001:2 UF1008"}},
		"many_items":      {"context = [" + repeated("1,", 900<<10), []string{"1:100009 UF1008"}},
		"long_line":       {"version = 1\nabout = '" + repeated("é", 500<<10) + "' x\n", []string{"2:256013 UF1010"}},
		"twenty_and_more": {"version = 1\n" + numbered("key%d = 1\n", 25), append(numberedWants(2, 20), "0:0 UF1099")},
	}
}

func numbered(format string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

func numberedWants(line, n int) []string {
	var wants []string
	for i := range n {
		wants = append(wants, fmt.Sprintf("%d:1 UF1101", line+i))
	}
	return wants
}

// TestBadManifestsAreReportedInPlace holds the whole text of the problems of each bad manifest against its .want file,
// and their places against the `# want LINE:COLUMN CODE` comments that were written by hand.
func TestBadManifestsAreReportedInPlace(t *testing.T) {
	t.Parallel()
	files := badFiles(t)
	if len(files) < 60 {
		t.Errorf("%d bad manifests, want at least 60", len(files))
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			src, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			_, problems := Parse(filepath.Base(file), src)
			comparePlaces(t, problems, wantedPlaces(src))
			compareGolden(t, strings.TrimSuffix(file, ".toml")+".want", problems.Error())
		})
	}
	for name, bad := range generated() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, problems := Parse(name+".toml", []byte(bad.src))
			comparePlaces(t, problems, bad.want)
			compareGolden(t, filepath.Join("testdata", "bad", name+".want"), problems.Error())
		})
	}
}

func badFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "bad", "*.toml"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// wantedPlaces reads the comments at the head of a bad manifest.
func wantedPlaces(src []byte) []string {
	var wants []string
	lines := bufio.NewScanner(bytes.NewReader(src))
	for lines.Scan() {
		want, ok := strings.CutPrefix(lines.Text(), "# want ")
		if !ok {
			break
		}
		wants = append(wants, want)
	}
	return wants
}

func comparePlaces(t *testing.T, problems flow.Problems, want []string) {
	t.Helper()
	var got []string
	for _, p := range problems {
		got = append(got, fmt.Sprintf("%d:%d %s", p.Line, p.Column, p.Code))
	}
	if !slices.Equal(got, want) {
		t.Errorf("places are\n%s\nwant\n%s\nproblems:\n%v", strings.Join(got, "\n"), strings.Join(want, "\n"), problems)
	}
}

func compareGolden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got+"\n" != string(want) {
		t.Errorf("%s differs; got\n%s\nwant\n%s", file, got, want)
	}
}

// TestEveryCodeHasAGolden keeps the codes of this package honest: each is given by a manifest of testdata/bad.
func TestEveryCodeHasAGolden(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join("testdata", "bad", "*.want"))
	if err != nil {
		t.Fatal(err)
	}
	code := regexp.MustCompile(`(?m)^error\[(UF\d{4})\]: `)
	seen := map[flow.Code]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range code.FindAllSubmatch(text, -1) {
			seen[flow.Code(match[1])] = true
		}
	}
	for _, e := range flow.Explanations() {
		if strings.HasPrefix(string(e.Code), "UF10") || strings.HasPrefix(string(e.Code), "UF11") {
			if !seen[e.Code] {
				t.Errorf("%s has no golden", e.Code)
			}
			delete(seen, e.Code)
		}
	}
	for c := range seen {
		t.Errorf("%s is reported but has no explanation", c)
	}
}

// TestManifestsOfTenantsHoldTheirOwnOnly does for the manifests of tenants what TestBadManifestsAreReportedInPlace does for
// all: what is the operator's to say is told with every other mistake.
func TestManifestsOfTenantsHoldTheirOwnOnly(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join("testdata", "tenant", "*.toml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d manifests, %v", len(files), err)
	}
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, problems := ParseTenant(filepath.Base(file), src)
		comparePlaces(t, problems, wantedPlaces(src))
		compareGolden(t, strings.TrimSuffix(file, ".toml")+".want", problems.Error())
	}
}
