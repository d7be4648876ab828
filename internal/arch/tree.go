package arch

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Module is the import path of the project's one Go module.
const Module = "github.com/uniflow-dev/uniflow"

// maxText bounds the files that are read for words; larger ones are data.
const maxText = 1 << 20

// File is one parsed Go file.
type File struct {
	// Path is relative to the module's root, with forward slashes.
	Path string
	// Folder is Path without the file name; "." at the root.
	Folder string
	// Test is true for _test.go files, of external test packages as well.
	Test bool
	// Generated is true for files with the standard "Code generated" header.
	Generated bool
	// Lines is the number of lines in the file.
	Lines int
	// AST is the parsed file, with comments.
	AST *ast.File

	fset *token.FileSet
}

// Text is one readable file of any language.
type Text struct {
	// Path is relative to the module's root, with forward slashes.
	Path string
	// Body is the whole content.
	Body string
}

// Tree is what the rules look at: the module's Go files, tests and files for
// other systems included, and all its text files.
type Tree struct {
	Files []*File
	Texts []Text
	// Paths holds every file of the module, whatever is in it, and every folder.
	Paths map[string]bool

	fset *token.FileSet
}

// Load reads the module whose go.mod stands in the root of fsys. Nested
// modules, testdata (as Go code), build outputs and hidden folders other than
// .ci are left out.
func Load(fsys fs.FS) (*Tree, error) {
	tree := &Tree{Paths: map[string]bool{}}
	err := fs.WalkDir(fsys, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		tree.Paths[name] = true
		switch {
		case entry.IsDir():
			return enter(fsys, name)
		case !entry.Type().IsRegular() || !isText(name):
			return nil
		}
		body, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		return tree.Add(name, body)
	})
	return tree, err
}

// enter decides whether the walk goes into a folder.
func enter(fsys fs.FS, name string) error {
	if name == "." {
		return nil
	}
	base := path.Base(name)
	if slices.Contains([]string{"data", "bin", "dist"}, name) ||
		base == "node_modules" || base == "target" ||
		strings.HasPrefix(base, ".") && base != ".ci" {
		return fs.SkipDir
	}
	if _, err := fs.Stat(fsys, path.Join(name, "go.mod")); err == nil {
		return fs.SkipDir
	}
	return nil
}

// isText tells source and prose from data by the file's name.
func isText(rel string) bool {
	switch path.Ext(rel) {
	case ".go", ".md", ".toml", ".yml", ".yaml", ".txtar", ".sh", ".proto", ".mod",
		".c", ".h", ".rs", ".py", ".js", ".mjs", ".ts", ".zig", ".wat", ".html", ".css", ".sql", ".mk":
		return true
	case "":
		base := path.Base(rel)
		return base == "Makefile" || strings.HasPrefix(rel, ".ci/")
	}
	return false
}

// Add puts one file into the tree, parsed if it is Go code of the module.
// The error names a file that does not parse.
func (t *Tree) Add(rel string, body []byte) error {
	if len(body) <= maxText {
		t.Texts = append(t.Texts, Text{Path: rel, Body: string(body)})
	}
	if path.Ext(rel) != ".go" || slices.Contains(strings.Split(path.Dir(rel), "/"), "testdata") {
		return nil
	}
	if t.fset == nil {
		t.fset = token.NewFileSet()
	}
	parsed, err := parser.ParseFile(t.fset, rel, body, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return fmt.Errorf("parse Go source: %w", err)
	}
	t.Files = append(t.Files, &File{
		Path:      rel,
		Folder:    path.Dir(rel),
		Test:      strings.HasSuffix(rel, "_test.go"),
		Generated: ast.IsGenerated(parsed),
		Lines:     bytes.Count(body, []byte("\n")),
		AST:       parsed,
		fset:      t.fset,
	})
	return nil
}

// Written returns the files that people write and ship: neither tests nor
// generated code.
func (t *Tree) Written() []*File {
	return slices.DeleteFunc(slices.Clone(t.Files), func(f *File) bool { return f.Test || f.Generated })
}

// line is the line number of a position in the file.
func (f *File) line(pos token.Pos) int { return f.fset.Position(pos).Line }

// Finding is one broken rule at one place.
type Finding struct {
	// Where is a file, or file:line.
	Where string
	// What says what is wrong there and what to do instead.
	What string
}

// String is the finding as one line of a test's output.
func (f Finding) String() string { return f.Where + ": " + f.What }

// at makes a finding for a position in a file.
func (f *File) at(pos token.Pos, format string, args ...any) Finding {
	return Finding{Where: fmt.Sprintf("%s:%d", f.Path, f.line(pos)), What: fmt.Sprintf(format, args...)}
}
