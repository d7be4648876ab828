package arch

import (
	"errors"
	"fmt"
	"go/ast"
	"go/constant"
	"go/types"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// contractTable ties one table of docs/ABI.md to a family of constants of
// sdk/abi. Both sides are compared as sets of keys.
type contractTable struct {
	heading string // of the section in the document that holds the table
	prefix  string // of the constants' names, or
	typed   string // the name of their type
	columns int    // how many leading cells of a row make up its key
	skip    string // a constant that the document has no row for
}

func contractTables() []contractTable {
	return []contractTable{
		{heading: "Functions of the module `uniflow`", prefix: "Import", columns: 1},
		{heading: "Services", prefix: "Op", columns: 1},
		{heading: "Error numbers", typed: "Errno", columns: 2, skip: "OK"},
		{heading: "Kinds of ending", typed: "Kind", columns: 2},
		{heading: "Log levels", typed: "Level", columns: 2},
		{heading: "Exit codes", prefix: "Exit", columns: 1},
		{heading: "Environment", prefix: "Env", columns: 1},
		{heading: "Limits", prefix: "Max", columns: 2},
		{heading: "Exports of a module", prefix: "*Export", columns: 1},
	}
}

// CheckContract compares the tables of docs/ABI.md with the constants of
// sdk/abi, in both directions. Without either side there is nothing to keep.
func CheckContract(tree *Tree) []Finding {
	const doc = "docs/ABI.md"
	at := slices.IndexFunc(tree.Texts, func(t Text) bool { return t.Path == doc })
	files := slices.DeleteFunc(tree.Written(), func(f *File) bool { return f.Folder != "sdk/abi" })
	if at < 0 || len(files) == 0 {
		return []Finding{{doc, "the contract has two sides, docs/ABI.md and sdk/abi, and one is missing"}}
	}
	consts := constants(files)
	var found []Finding
	for _, table := range contractTables() {
		written := tableKeys(tree.Texts[at].Body, table.heading, table.columns)
		coded := table.keys(consts)
		for _, key := range missing(coded, written) {
			found = append(found, Finding{doc, fmt.Sprintf("%q lacks a row for %q, which sdk/abi has", table.heading, key)})
		}
		for _, key := range missing(written, coded) {
			found = append(found, Finding{doc, fmt.Sprintf("%q has a row for %q, which sdk/abi has not", table.heading, key)})
		}
	}
	return found
}

// missing lists what is in all and not in some, sorted.
func missing(all, some map[string]bool) []string {
	lost := maps.Clone(all)
	maps.DeleteFunc(lost, func(key string, _ bool) bool { return some[key] })
	return slices.Sorted(maps.Keys(lost))
}

// keys are the table's rows as the constants have them: the value alone, or
// the value and the name in words ("3 too_large" for TooLarge = 3).
func (t contractTable) keys(consts []*types.Const) map[string]bool {
	keys := map[string]bool{}
	for _, c := range consts {
		if !t.holds(c) {
			continue
		}
		value := c.Val().ExactString()
		if c.Val().Kind() == constant.String {
			value = constant.StringVal(c.Val())
		}
		if t.columns == 2 {
			value += " " + snake(strings.TrimPrefix(strings.TrimPrefix(c.Name(), t.typed), t.prefix))
		}
		keys[value] = true
	}
	return keys
}

// holds tells whether a constant belongs to the family.
func (t contractTable) holds(c *types.Const) bool {
	if c.Name() == t.skip || !c.Exported() {
		return false
	}
	if t.typed != "" {
		named, ok := c.Type().(*types.Named)
		return ok && named.Obj().Name() == t.typed
	}
	if suffix, ok := strings.CutPrefix(t.prefix, "*"); ok {
		return strings.HasSuffix(c.Name(), suffix)
	}
	return strings.HasPrefix(c.Name(), t.prefix)
}

// constants evaluates a package's constants. What the package imports stays
// unknown: constants that need it are left out.
func constants(files []*File) []*types.Const {
	var parsed []*ast.File
	for _, file := range files {
		parsed = append(parsed, file.AST)
	}
	config := types.Config{Importer: noImports{}, Error: func(error) {}}
	pkg, _ := config.Check("abi", files[0].fset, parsed, nil) // errors are expected: see above
	var list []*types.Const
	for _, name := range pkg.Scope().Names() {
		if c, ok := pkg.Scope().Lookup(name).(*types.Const); ok && c.Val().Kind() != constant.Unknown {
			list = append(list, c)
		}
	}
	return list
}

type noImports struct{}

// Import refuses: what sdk/abi imports has no part in its constants.
func (noImports) Import(string) (*types.Package, error) {
	return nil, errors.New("imports are not followed")
}

// tableKeys reads the keys of the table that follows a heading: the leading
// cells of each row, without code marks. A first cell with several code spans
// ("`a` · `b`") is several rows.
func tableKeys(doc, heading string, columns int) map[string]bool {
	keys := map[string]bool{}
	within := false
	for line := range strings.Lines(doc) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "#") {
			within = strings.TrimLeft(line, "# ") == heading
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		if !within || !strings.HasPrefix(line, "|") || len(cells) < columns || isRule(cells[0]) {
			continue
		}
		rest := make([]string, 0, columns)
		for _, cell := range cells[1:columns] {
			rest = append(rest, plain(cell))
		}
		for first := range strings.SplitSeq(cells[0], "·") {
			keys[strings.Join(append([]string{plain(first)}, rest...), " ")] = true
		}
	}
	return keys
}

// isRule is true for the line under a table's head, and for the head itself,
// whose first cell is neither code nor a number.
func isRule(cell string) bool {
	cell = strings.TrimSpace(cell)
	_, err := strconv.Atoi(cell)
	return err != nil && !strings.HasPrefix(cell, "`")
}

func plain(cell string) string { return strings.Trim(strings.TrimSpace(cell), "`") }

// snake spells a Go name as the contract does: TooLarge is too_large, OK is ok.
func snake(name string) string {
	var out strings.Builder
	before := 'A'
	for _, r := range name {
		if unicode.IsUpper(r) && unicode.IsLower(before) {
			out.WriteByte('_')
		}
		out.WriteRune(unicode.ToLower(r))
		before = r
	}
	return out.String()
}
