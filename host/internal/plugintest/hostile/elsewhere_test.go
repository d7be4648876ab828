package hostile

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestNamesAreUnique(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, c := range Cases() {
		if seen[c.Name] {
			t.Errorf("two cases are named %q", c.Name)
		}
		seen[c.Name] = true
		if len(c.Want) == 0 || c.Stage == "" || c.Modules == nil {
			t.Errorf("case %q is not complete", c.Name)
		}
	}
	if len(seen) < 100 {
		t.Errorf("%d cases, want 100 at least", len(seen))
	}
}

func TestElsewhereNamesTests(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..", "..", "..")
	for attack, place := range Elsewhere() {
		file, test, _ := strings.Cut(place, " ")
		source, err := os.ReadFile(filepath.Join(root, file))
		if err != nil || !strings.Contains(string(source), "func "+test+"(") {
			t.Errorf("%s: there is no test %s in %s (%v)", attack, test, file, err)
		}
	}
}
