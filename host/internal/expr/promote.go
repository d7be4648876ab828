package expr

import (
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// check types the expression. Whole numbers that stand beside a double, or beside a value whose type is not known
// before the run and whose numbers therefore are doubles, become doubles; each round of checking can show more of them.
func (w *walker) check(env *cel.Env, parsed *cel.Ast) (*cel.Ast, *Error) {
	for range 2 * maxDepth {
		checked, issues := env.Check(parsed)
		var changed bool
		var bad *Error
		if issues.Err() != nil {
			bad = w.mend(parsed.NativeRep(), issues.Errors())
		} else if changed, bad = w.promote(checked.NativeRep(), parsed.NativeRep()); bad == nil && !changed {
			return checked, nil
		}
		if bad != nil {
			return nil, bad
		}
	}
	return nil, fault(flow.CodeExprBound, span{0, len(w.text)}, "compute it in a step", "the expression mixes too many numbers of different types")
}

// mend promotes the literals of calls that do not fit doubles, or reports the first mistake.
func (w *walker) mend(parsed *ast.AST, issues []*common.Error) *Error {
	nodes := nodesOf(parsed)
	changed := false
	for _, issue := range issues {
		if e := nodes[issue.ExprID]; e != nil && strings.Contains(issue.Message, "double") {
			changed = promoteAll(operands(e)) || changed
		}
	}
	if changed {
		return nil
	}
	return w.typeError(issues[0], nodes)
}

// promote looks at every place where an integer meets what may be a double.
func (w *walker) promote(checked, parsed *ast.AST) (bool, *Error) {
	changed := false
	for _, e := range sortedNodes(parsed) {
		args := operands(e)
		if e.Kind() == ast.CallKind && !arithmetic(e.AsCall().FunctionName()) && e.AsCall().FunctionName() != operators.Conditional {
			continue
		}
		var doubles, integers []ast.Expr
		for _, a := range args {
			switch checked.GetType(a.ID()).Kind() {
			case types.DynKind, types.DoubleKind:
				doubles = append(doubles, a)
			case types.IntKind:
				integers = append(integers, a)
			}
		}
		if len(integers) == 0 || len(doubles) == 0 && len(integers) == len(args) {
			continue
		}
		if e.Kind() == ast.CallKind && len(doubles) == 0 {
			continue
		}
		if e.Kind() == ast.CallKind && e.AsCall().FunctionName() == operators.Modulo {
			return false, fault(flow.CodeExprType, w.span(e), "numbers of outputs are doubles; write int(...) % n", "%% works on integers only")
		}
		if promoteAll(integers) {
			changed = true
			continue
		}
		return false, fault(flow.CodeExprType, w.chainSpan(integers[0]), "write double(...) around it", "an integer stands beside a value that is or may be a double")
	}
	return changed, nil
}

// nodesOf lists the expressions of a tree by id.
func nodesOf(tree *ast.AST) map[int64]ast.Expr {
	nodes := map[int64]ast.Expr{}
	ast.PostOrderVisit(tree.Expr(), ast.NewExprVisitor(func(e ast.Expr) { nodes[e.ID()] = e }))
	return nodes
}

// sortedNodes lists the expressions of a tree, inner ones first, so that the first mistake is always the same one.
func sortedNodes(tree *ast.AST) []ast.Expr {
	var nodes []ast.Expr
	ast.PostOrderVisit(tree.Expr(), ast.NewExprVisitor(func(e ast.Expr) { nodes = append(nodes, e) }))
	return nodes
}

func arithmetic(function string) bool {
	return slices.Contains([]string{operators.Add, operators.Subtract, operators.Multiply, operators.Divide, operators.Modulo}, function)
}

// operands are the parts of an expression that must agree in type.
func operands(e ast.Expr) []ast.Expr {
	switch e.Kind() {
	case ast.CallKind:
		c := e.AsCall()
		switch c.FunctionName() {
		case operators.Conditional:
			return c.Args()[1:]
		case operators.Index:
			return nil
		case operators.In, operators.Equals, operators.NotEquals, operators.Less, operators.LessEquals, operators.Greater, operators.GreaterEquals:
			return c.Args()
		}
		if arithmetic(c.FunctionName()) {
			return c.Args()
		}
	case ast.ListKind:
		return e.AsList().Elements()
	case ast.MapKind:
		var values []ast.Expr
		for _, entry := range e.AsMap().Entries() {
			values = append(values, entry.AsMapEntry().Value())
		}
		return values
	}
	return nil
}

// promoteAll turns whole numbers among the expressions into doubles, those in lists and in branches too.
func promoteAll(exprs []ast.Expr) bool {
	changed := false
	for _, e := range exprs {
		switch e.Kind() {
		case ast.LiteralKind:
			if n, ok := e.AsLiteral().(types.Int); ok {
				e.SetKindCase(ast.NewExprFactory().NewLiteral(e.ID(), types.Double(n)))
				changed = true
			}
		case ast.ListKind:
			changed = promoteAll(e.AsList().Elements()) || changed
		case ast.CallKind:
			if f := e.AsCall().FunctionName(); f == operators.Conditional || arithmetic(f) || f == operators.Negate {
				changed = promoteAll(e.AsCall().Args()) || changed
			}
		}
	}
	return changed
}

// typeError puts a mistake of the type checker into plain words.
func (w *walker) typeError(issue *common.Error, nodes map[int64]ast.Expr) *Error {
	at := span{0, len(w.text)}
	e := nodes[issue.ExprID]
	if e != nil {
		at = w.span(e)
	}
	if name, ok := quotedAfter(issue.Message, "undeclared reference to "); ok {
		if e != nil && e.Kind() == ast.CallKind {
			return fault(flow.CodeExprName, at, DidYouMean(name, functions()), "there is no function %q", name)
		}
		return fault(flow.CodeExprName, at, DidYouMean(name, roots()), "there is no name %q here", name)
	}
	if _, ok := quotedAfter(issue.Message, "found no matching overload for "); ok {
		function, _ := quotedAfter(issue.Message, "overload for ")
		symbol, found := operators.FindReverse(function)
		if function == operators.Index {
			symbol = "[...]"
		} else if !found || symbol == "" {
			symbol = strings.Trim(function, "_")
		}
		applied, _ := quotedAfter(issue.Message, "applied to ")
		return fault(flow.CodeExprType, at, conversionHint(applied), "%s does not work on %s", symbol, plainTypes(applied))
	}
	if strings.Contains(issue.Message, "expected type") {
		return fault(flow.CodeExprType, at, "", "%s", plainTypes(issue.Message))
	}
	return fault(flow.CodeExprType, at, "", "the types do not fit here")
}

func conversionHint(applied string) string {
	switch {
	case strings.Contains(applied, "string"):
		return "convert with string(...), int(...) or double(...)"
	case strings.Contains(applied, "double") || strings.Contains(applied, "int"):
		return "convert with int(...) or double(...)"
	}
	return ""
}

// plainTypes replaces CEL's words for types.
func plainTypes(text string) string {
	text, _ = strings.CutPrefix(text, "(")
	text, _ = strings.CutSuffix(text, ")")
	for {
		i := strings.Index(text, "uniflow.")
		if i < 0 {
			break
		}
		end := i
		for end < len(text) && (text[end] == '.' || wordEnd("x"+text[end:end+1], 0) == 2) {
			end++
		}
		text = text[:i] + typeObject + text[end:]
	}
	return strings.NewReplacer("map(string, dyn)", typeObject, "list(dyn)", typeList, "google.protobuf.Timestamp", typeTime,
		"google.protobuf.Duration", "duration", "dyn", "any value", "double", typeNumber, "int", typeInteger, "bool", typeBoolean).Replace(text)
}

// quotedAfter returns what stands in single quotes behind some words.
func quotedAfter(text, words string) (string, bool) {
	_, rest, ok := strings.Cut(text, words+"'")
	if !ok {
		return "", false
	}
	found, _, ok := strings.Cut(rest, "'")
	return found, ok
}

// functions are those of CEL's standard library, for suggestions.
func functions() []string {
	return []string{
		"bool", "bytes", "contains", "double", "duration", "endsWith", "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear",
		"getFullYear", "getHours", "getMilliseconds", "getMinutes", "getMonth", "getSeconds", "has", "int", "matches", "size",
		"startsWith", "string", "timestamp", "type", "all", "exists", "exists_one", "filter", "map",
	}
}
