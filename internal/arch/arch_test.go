package arch

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestModuleKeepsItsShape(t *testing.T) {
	t.Parallel()
	tree, err := Load(os.DirFS(filepath.Join("..", "..")))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(tree.Files, func(f *File) bool { return f.Path == "internal/arch/arch_test.go" }) {
		t.Fatal("the walk did not find this very file: nothing was checked")
	}
	for _, rule := range Rules() {
		t.Run(rule.Name, func(t *testing.T) {
			t.Parallel()
			for _, finding := range rule.Check(tree) {
				t.Error(finding)
			}
		})
	}
}

func TestLibrariesHaveOneImportingPackage(t *testing.T) {
	t.Parallel()
	gomod, err := os.ReadFile(filepath.Join("..", "..", "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	for _, finding := range CheckLibraries(Table(), string(gomod)) {
		t.Error(finding)
	}
}

func TestEveryRowHasAReason(t *testing.T) {
	t.Parallel()
	for _, rows := range [][]Row{Table(), TestTable()} {
		seen := map[string]bool{}
		for _, row := range rows {
			if row.Why == "" {
				t.Errorf("row %s gives no reason", row.Folder)
			}
			if seen[row.Folder] {
				t.Errorf("row %s stands twice", row.Folder)
			}
			seen[row.Folder] = true
		}
	}
}
