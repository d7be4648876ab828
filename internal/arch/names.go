package arch

import (
	"fmt"
	"go/ast"
	"go/token"
	"maps"
	"slices"
	"strings"
)

// bannedNames say nothing about what a package owns.
func bannedNames() []string {
	return []string{
		"util", "utils", "common", "helper", "helpers", "manager", "managers",
		"base", "types", "pkg", "misc", "shared",
	}
}

// CheckNames reports folders and packages whose name is a drawer for anything.
func CheckNames(tree *Tree) []Finding {
	var found []Finding
	seen := map[string]bool{}
	for _, file := range tree.Files {
		name := strings.TrimSuffix(file.AST.Name.Name, "_test")
		for _, word := range append(strings.Split(file.Folder, "/"), name) {
			if slices.Contains(bannedNames(), word) && !seen[file.Folder] {
				seen[file.Folder] = true
				found = append(found, Finding{file.Folder, fmt.Sprintf(
					"%q says nothing about what the package owns: name it after that", word)})
			}
		}
	}
	return found
}

// CheckConstructs reports language constructs that this project does not use.
// Generated code is exempt.
func CheckConstructs(tree *Tree) []Finding {
	var found []Finding
	for _, file := range tree.Files {
		if file.Generated {
			continue
		}
		for _, spec := range file.AST.Imports {
			switch spec.Path.Value {
			case `"math/rand"`:
				found = append(found, file.at(spec.Pos(), "imports math/rand: use math/rand/v2, or crypto/rand for secrets"))
			case `"C"`:
				found = append(found, file.at(spec.Pos(), "imports C: cgo is off, the binary is static on every system"))
			}
		}
		ast.Inspect(file.AST, func(node ast.Node) bool {
			switch node := node.(type) {
			case *ast.InterfaceType:
				if node.Methods.NumFields() == 0 && node.Methods.Opening.IsValid() {
					found = append(found, file.at(node.Pos(), "writes the empty interface: use any"))
				}
			case *ast.FuncDecl:
				if node.Recv == nil && node.Name.Name == "init" {
					found = append(found, file.at(node.Pos(), "has an init function: call it where it is needed, so that order and errors are visible"))
				}
			}
			return true
		})
	}
	return found
}

// CheckPackageComments reports packages that do not say what they own. Test
// files do not count as the place to say it.
func CheckPackageComments(tree *Tree) []Finding {
	said := map[string]bool{}
	for _, file := range tree.Files {
		documented := file.AST.Doc != nil && strings.TrimSpace(file.AST.Doc.Text()) != ""
		said[file.Folder] = said[file.Folder] || documented
	}
	var found []Finding
	for _, folder := range slices.Sorted(maps.Keys(said)) {
		if !said[folder] {
			found = append(found, Finding{folder, "package comment is missing: say what the package owns and what it must not do"})
		}
	}
	return found
}

// CheckDocs reports exported names without a comment. Commands export nothing,
// so package main is exempt, as are tests and generated code.
func CheckDocs(tree *Tree) []Finding {
	var found []Finding
	for _, file := range tree.Written() {
		if file.AST.Name.Name == "main" {
			continue
		}
		for _, decl := range file.AST.Decls {
			for _, name := range undocumented(decl) {
				found = append(found, file.at(name.Pos(),
					"%s is exported without a comment: say what it promises, in a full sentence", name.Name))
			}
		}
	}
	return found
}

// undocumented lists the exported names of a declaration that have no comment.
// One comment on a group of constants or variables speaks for all of them, and
// the comment of a type for the constants that are its values.
func undocumented(decl ast.Decl) []*ast.Ident {
	switch decl := decl.(type) {
	case *ast.FuncDecl:
		if decl.Doc == nil && decl.Name.IsExported() && exportedReceiver(decl) {
			return []*ast.Ident{decl.Name}
		}
	case *ast.GenDecl:
		if decl.Doc != nil && (decl.Tok != token.TYPE || len(decl.Specs) == 1) {
			return nil
		}
		var names []*ast.Ident
		typed := false // carries over: a bare name in a group repeats the line above
		for _, spec := range decl.Specs {
			if value, ok := spec.(*ast.ValueSpec); ok && decl.Tok == token.CONST {
				typed = isValueOfType(value, typed)
				if typed {
					continue
				}
			}
			names = append(names, undocumentedSpec(spec)...)
		}
		return names
	}
	return nil
}

// isValueOfType tells whether a constant is declared with a type of its own
// package, or repeats such a declaration.
func isValueOfType(spec *ast.ValueSpec, before bool) bool {
	if spec.Type == nil {
		return before && len(spec.Values) == 0
	}
	name, ok := spec.Type.(*ast.Ident)
	return ok && name.IsExported()
}

func undocumentedSpec(spec ast.Spec) []*ast.Ident {
	var names []*ast.Ident
	switch spec := spec.(type) {
	case *ast.TypeSpec:
		if spec.Doc == nil && spec.Comment == nil {
			names = append(names, spec.Name)
		}
	case *ast.ValueSpec:
		if spec.Doc == nil && spec.Comment == nil {
			names = spec.Names
		}
	}
	return slices.DeleteFunc(slices.Clone(names), func(name *ast.Ident) bool { return !name.IsExported() })
}

// exportedReceiver is true for functions and for methods of exported types:
// only those show in the documentation.
func exportedReceiver(fn *ast.FuncDecl) bool {
	if fn.Recv == nil {
		return true
	}
	receiver := fn.Recv.List[0].Type
	for {
		switch inner := receiver.(type) {
		case *ast.StarExpr:
			receiver = inner.X
		case *ast.IndexExpr:
			receiver = inner.X
		case *ast.IndexListExpr:
			receiver = inner.X
		case *ast.Ident:
			return inner.IsExported()
		default:
			return false
		}
	}
}
