package arch

import (
	"fmt"
	"go/ast"
	"slices"
)

// House sizes, in lines. A number above one of these is a finding.
const (
	maxFunc     = 80
	maxFile     = 600
	medianFunc  = 11
	mostFuncs   = 40  // 90 % of the functions
	mostFiles   = 400 // 90 % of the files
	enoughFuncs = 200 // fewer than these say nothing about a share
	enoughFiles = 40
)

// CheckMaxima reports functions and files that are too long to be read at
// once, in written code.
func CheckMaxima(tree *Tree) []Finding {
	var found []Finding
	for _, file := range tree.Written() {
		if file.Lines > maxFile {
			found = append(found, Finding{file.Path, fmt.Sprintf(
				"%d lines, at most %d: split it where its story has a second subject", file.Lines, maxFile)})
		}
		for _, fn := range functions(file) {
			if lines := funcLines(file, fn); lines > maxFunc {
				found = append(found, file.at(fn.Pos(),
					"%s has %d lines outside tables, at most %d: name its steps and make them functions",
					fn.Name.Name, lines, maxFunc))
			}
		}
	}
	return found
}

// CheckShares reports when written code as a whole drifts from the shape that
// reads well: short functions and files as the rule, long ones the exception.
func CheckShares(tree *Tree) []Finding {
	var funcs, files []int
	for _, file := range tree.Written() {
		files = append(files, file.Lines)
		for _, fn := range functions(file) {
			funcs = append(funcs, funcLines(file, fn))
		}
	}
	var found []Finding
	over := func(what string, got, limit int) {
		if got > limit {
			found = append(found, Finding{"module", fmt.Sprintf("%s is %d lines, at most %d", what, got, limit)})
		}
	}
	if len(funcs) >= enoughFuncs {
		over("median function", quantile(funcs, 50), medianFunc)
		over("90th percentile of functions", quantile(funcs, 90), mostFuncs)
	}
	if len(files) >= enoughFiles {
		over("90th percentile of files", quantile(files, 90), mostFiles)
	}
	return found
}

// quantile is the smallest value that percent of the values do not exceed.
func quantile(values []int, percent int) int {
	slices.Sort(values)
	rank := (len(values)*percent + 99) / 100
	return values[max(rank, 1)-1]
}

// functions lists a file's declared functions that have a body.
func functions(file *File) []*ast.FuncDecl {
	var list []*ast.FuncDecl
	for _, decl := range file.AST.Decls {
		if fn, ok := decl.(*ast.FuncDecl); ok && fn.Body != nil {
			list = append(list, fn)
		}
	}
	return list
}

// funcLines counts from the signature to the closing brace. Table literals
// (slices, arrays, maps over several lines) count as one line each: they are
// data, and shorter is not clearer.
func funcLines(file *File, fn *ast.FuncDecl) int {
	lines := file.line(fn.End()) - file.line(fn.Pos()) + 1
	ast.Inspect(fn.Body, func(node ast.Node) bool {
		literal, ok := node.(*ast.CompositeLit)
		if !ok {
			return true
		}
		switch literal.Type.(type) {
		case *ast.ArrayType, *ast.MapType:
			lines -= file.line(literal.End()) - file.line(literal.Pos())
			return false
		}
		return true
	})
	return lines
}
