package arch

import (
	"fmt"
	"go/ast"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// CheckImports reports every import that the table does not allow, and every
// package without a row.
func CheckImports(tree *Tree) []Finding {
	var found []Finding
	homeless := map[string]bool{}
	for _, file := range tree.Files {
		row, ok := rowOf(Table(), file.Folder)
		if !ok {
			if !homeless[file.Folder] {
				found = append(found, Finding{file.Folder, "package has no row in the import table; " +
					"add a row to internal/arch/table.go that says what it may import and why"})
			}
			homeless[file.Folder] = true
			continue
		}
		for _, spec := range file.AST.Imports {
			if why := refuse(file, row, spec); why != "" {
				found = append(found, file.at(spec.Pos(), "%s", why))
			}
		}
	}
	return found
}

// refuse says why a file may not have this import, or nothing.
func refuse(file *File, row Row, spec *ast.ImportSpec) string {
	name, err := strconv.Unquote(spec.Path.Value)
	if err != nil || isStandard(name) {
		return ""
	}
	if file.Test && allowedInTest(file.Folder, name) {
		return ""
	}
	folder, ours := strings.CutPrefix(name, Module+"/")
	if name == Module {
		folder, ours = ".", true
	}
	switch {
	case ours && folder == file.Folder:
		return ""
	case ours && matchAny(row.Never, folder), !ours && prefixAny(row.Never, name):
		return fmt.Sprintf("imports %s, which %s must never import: %s", name, row.Folder, row.Why)
	case ours && matchAny(row.May, folder), !ours && prefixAny(row.Libs, name):
		return ""
	}
	return fmt.Sprintf("imports %s; %s may import %s: %s", name, row.Folder, allowedText(row), row.Why)
}

// allowedInTest tells whether the exceptions for tests name the import.
func allowedInTest(folder, name string) bool {
	if prefixAny(testLibs(), name) {
		return true
	}
	imported, ours := strings.CutPrefix(name, Module+"/")
	return slices.ContainsFunc(TestTable(), func(row Row) bool {
		return match(row.Folder, folder) && (ours && matchAny(row.May, imported) || !ours && prefixAny(row.Libs, name))
	})
}

// allowedText lists what a row allows, for a message.
func allowedText(row Row) string {
	all := slices.Concat([]string{"the standard library"}, row.May, row.Libs)
	return strings.Join(all, ", ")
}

// rowOf finds the row of a folder; the longest match wins.
func rowOf(rows []Row, folder string) (Row, bool) {
	var best Row
	for _, row := range rows {
		if match(row.Folder, folder) && len(row.Folder) > len(best.Folder) {
			best = row
		}
	}
	return best, best.Folder != ""
}

// match compares a folder with a pattern of the table.
func match(pattern, folder string) bool {
	root, subtree := strings.CutSuffix(pattern, "/...")
	return folder == root || subtree && strings.HasPrefix(folder, root+"/")
}

func matchAny(patterns []string, folder string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return match(p, folder) })
}

// prefixAny tells whether an import path lies in one of the libraries.
func prefixAny(libs []string, name string) bool {
	return slices.ContainsFunc(libs, func(lib string) bool { return match(lib+"/...", name) })
}

// isStandard: paths of the standard library have no dot in the first element.
func isStandard(name string) bool {
	first, _, _ := strings.Cut(name, "/")
	return !strings.Contains(first, ".")
}

// CheckLibraries reports libraries that several rows allow without being
// declared as shared, and direct dependencies of go.mod that no row allows.
func CheckLibraries(rows []Row, gomod string) []Finding {
	owners := map[string][]string{}
	for _, row := range rows {
		for _, lib := range row.Libs {
			owners[lib] = append(owners[lib], row.Folder)
		}
	}
	var found []Finding
	for _, lib := range slices.Sorted(maps.Keys(owners)) {
		folders := owners[lib]
		if _, ok := shared()[lib]; !ok && len(folders) > 1 {
			found = append(found, Finding{"internal/arch/table.go", fmt.Sprintf(
				"%s is allowed in %s: a library has one importing package, so that it can be replaced in one place",
				lib, strings.Join(folders, ", "))})
		}
	}
	for _, need := range directNeeds(gomod) {
		named := slices.ContainsFunc(testLibs(), func(lib string) bool { return match(lib+"/...", need) })
		for lib := range owners {
			named = named || match(lib+"/...", need)
		}
		if !named {
			found = append(found, Finding{"go.mod", need + " is required, but no row of the import table allows it"})
		}
	}
	return found
}

// directNeeds lists the modules that go.mod requires without "// indirect".
func directNeeds(gomod string) []string {
	var needs []string
	for line := range strings.Lines(gomod) {
		fields := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "require "))
		if len(fields) == 2 && strings.Contains(fields[0], ".") && strings.HasPrefix(fields[1], "v") {
			needs = append(needs, fields[0])
		}
	}
	return needs
}
