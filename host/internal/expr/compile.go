package expr

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/interpreter"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// Scope compiles the expressions that share an Env. It is safe for concurrent use.
type Scope struct {
	env Env
	cel func() (*cel.Env, error)
}

// NewScope returns a Scope for env, which must not change afterwards.
func NewScope(env Env) *Scope {
	s := &Scope{env: env}
	s.cel = sync.OnceValues(s.newCEL)
	return s
}

func (s *Scope) newCEL() (*cel.Env, error) {
	registry, err := types.NewRegistry()
	if err != nil {
		return nil, fmt.Errorf("registry of types: %w", err)
	}
	options := []cel.EnvOption{
		cel.CustomTypeProvider(&provider{Provider: registry, env: &s.env}),
		cel.CrossTypeNumericComparisons(true), cel.DefaultUTCTimeZone(true),
		cel.ParserRecursionLimit(maxDepth), cel.ParserExpressionSizeLimit(maxText), cel.ExpressionNodeLimit(maxNodes),
		cel.RegexProgramSizeLimit(maxNodes),
		cel.Variable("context", cel.ObjectType(objectContext)),
		cel.Variable("run", cel.ObjectType(objectRun)),
		cel.Variable("steps", cel.ObjectType(objectSteps)),
	}
	if s.env.Item {
		options = append(options, cel.Variable("item", cel.DynType), cel.Variable("item_index", cel.IntType))
	}
	if s.env.Failed {
		options = append(options, cel.Variable("failed", cel.ListType(cel.StringType)))
	}
	env, err := cel.NewEnv(options...)
	if err != nil {
		return nil, fmt.Errorf("environment of expressions: %w", err)
	}
	return env, nil
}

// expression is one compiled expression: a path, or a program of CEL.
type expression struct {
	text string
	kind string
	refs []Reference
	// paths are the names that a program reads; of a path there is just that one.
	paths   []path
	program cel.Program
	env     *Env
}

// compile checks one expression; offset is where its text begins in the string that holds it.
func (s *Scope) compile(text string, offset int) (*expression, Errors) {
	all := span{0, len(text)}
	x, errs := s.compileText(text, all)
	for _, e := range errs {
		e.Offset += offset
	}
	if x != nil {
		for i := range x.refs {
			x.refs[i].Offset += offset
		}
	}
	return x, errs
}

func (s *Scope) compileText(text string, all span) (*expression, Errors) {
	switch {
	case len(text) > maxText:
		return nil, Errors{fault(flow.CodeExprBound, all, "compute it in a step", "an expression has at most 4 KiB; this has %d bytes", len(text))}
	case strings.TrimSpace(text) == "":
		return nil, Errors{fault(flow.CodeExprSyntax, all, "", "the expression is empty")}
	}
	if p, ok := parsePath(text); ok {
		kind, ref, bad := s.env.checkPath(p, all)
		if bad != nil {
			return nil, Errors{bad}
		}
		x := &expression{text: strings.TrimSpace(text), kind: kind, paths: []path{p}, env: &s.env}
		if ref != nil {
			x.refs = []Reference{*ref}
		}
		return x, nil
	}
	return s.compileCEL(text, all)
}

// compileCEL parses, resolves names, promotes literals and checks types. A panic of the library is an error.
func (s *Scope) compileCEL(text string, all span) (x *expression, errs Errors) {
	defer func() {
		if r := recover(); r != nil {
			x, errs = nil, Errors{fault(flow.CodeExprSyntax, all, "write it in another way", "the expression cannot be read")}
		}
	}()
	env, err := s.cel()
	if err != nil {
		return nil, Errors{fault(flow.CodeExprSyntax, all, "", "%v", err)}
	}
	parsed, issues := env.Parse(text)
	if issues.Err() != nil {
		return nil, Errors{syntaxError(issues, text)}
	}
	w := &walker{scope: s, source: parsed.NativeRep().SourceInfo(), text: text}
	w.walk(parsed.NativeRep().Expr(), nil)
	if len(w.errs) > 0 {
		return nil, w.errs
	}
	checked, bad := w.check(env, parsed)
	if bad != nil {
		return nil, Errors{bad}
	}
	program, err := env.Program(checked, cel.CostLimit(maxCost), cel.InterruptCheckFrequency(100), cel.CustomDecoratorV2(orderedMaps),
		cel.MemoryLimit(maxValue), cel.MemoryTracking(types.MemoryTrackerSizeCalculator(types.NewSizeCalculator(
			types.SizeCalculatorMaxDepth(maxNodes*2), types.SizeCalculatorMaxTraversal(maxValue)))))
	if err != nil {
		return nil, Errors{fault(flow.CodeExprSyntax, all, "", "the expression cannot be prepared")}
	}
	return &expression{text: strings.TrimSpace(text), kind: wordOf(checked.OutputType()), refs: w.refs, paths: w.paths, program: program, env: &s.env}, nil
}

// value evaluates the expression.
func (x *expression) value(ctx context.Context, v *Values) (raw json.RawMessage, err error) {
	if x.program == nil {
		raw, err = x.paths[0].read(v)
		if err == nil && len(raw) == 0 {
			raw = json.RawMessage("null")
		}
		return raw, err
	}
	defer func() {
		if r := recover(); r != nil {
			raw, err = nil, fault(flow.CodeExprValue, span{}, "", "the expression cannot be evaluated")
		}
	}()
	input, err := x.activation(v)
	if err != nil {
		return nil, err
	}
	out, _, err := x.program.ContextEval(ctx, input)
	if err != nil {
		return nil, x.failure(ctx, v, err)
	}
	return resultJSON(out)
}

// failure puts an error of the evaluation into plain words.
func (x *expression) failure(ctx context.Context, v *Values, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if cancelled, ok := errors.AsType[interpreter.EvalCancelledError](err); ok {
		switch cancelled.Cause {
		case interpreter.CostLimitExceeded:
			return fault(flow.CodeExprBound, span{}, "compute it in a step", "the expression costs more than %d", maxCost)
		case interpreter.MemoryLimitExceeded:
			return fault(flow.CodeExprBound, span{}, "compute it in a step", "a value of the expression has more than %d elements", maxValue)
		}
	}
	text := err.Error()
	for prefix, words := range map[string]string{
		"no such overload":      "an operator or function does not fit the types of its values",
		"division by zero":      "division by zero",
		"modulus by zero":       "division by zero",
		"integer overflow":      "a number is too large for its type",
		"unsigned integer over": "a number is too large for its type",
		"range error":           "a number is too large for its type",
		"invalid UTF-8":         "a text is not UTF-8",
	} {
		if strings.Contains(text, prefix) {
			return fault(flow.CodeExprValue, span{}, "", "%s", words)
		}
	}
	if strings.Contains(text, "no such key") || strings.Contains(text, "index out of bounds") {
		for _, p := range x.paths {
			if _, bad := p.read(v); bad != nil {
				return bad
			}
		}
	}
	return fault(flow.CodeExprValue, span{}, "", "%s", text)
}

// syntaxError places a mistake of the form; the parser's own words name tokens of its grammar and help nobody.
func syntaxError(issues *cel.Issues, text string) *Error {
	first := issues.Errors()[0]
	at := byteOffset(text, first.Location.Line(), first.Location.Column())
	for _, bound := range []string{"recursion", "size limit", "node count", "node limit", "nesting"} {
		if strings.Contains(first.Message, bound) {
			return fault(flow.CodeExprBound, span{0, len(text)}, "compute it in a step", "the expression is nested deeper than %d levels or has more than %d parts", maxDepth, maxNodes)
		}
	}
	if strings.Contains(first.Message, "macro") {
		return fault(flow.CodeExprSyntax, span{at, len(text)}, "write has(steps.NAME.OUTPUT), list.map(x, ...), list.filter(x, ...), list.all(x, ...) or list.exists(x, ...)", "has, map, filter, all and exists need arguments of a certain form")
	}
	found := "its end"
	if at < len(text) {
		rest := []rune(text[at:])
		found = fmt.Sprintf("%q", string(rest[:min(12, len(rest))]))
	}
	return fault(flow.CodeExprSyntax, span{min(at, len(text)-1), len(text)}, "", "the expression is not well formed at %s", found)
}

// byteOffset turns a line from 1 and a column from 0, in characters, into an offset in bytes.
func byteOffset(text string, line, column int) int {
	for i, r := range text {
		if line <= 1 && column <= 0 {
			return i
		}
		if line <= 1 {
			column--
		}
		if r == '\n' {
			line--
		}
	}
	return len(text)
}

// walker resolves the names of one parsed expression.
type walker struct {
	scope  *Scope
	source *ast.SourceInfo
	text   string
	refs   []Reference
	paths  []path
	errs   Errors
}

func (w *walker) span(e ast.Expr) span {
	r, ok := w.source.GetOffsetRange(e.ID())
	if !ok {
		return span{0, len(w.text)}
	}
	start, stop := w.source.GetLocationByOffset(r.Start), w.source.GetLocationByOffset(r.Stop)
	s := span{byteOffset(w.text, start.Line(), start.Column()), byteOffset(w.text, stop.Line(), stop.Column())}
	if s.end <= s.start {
		s.end = min(s.start+1, len(w.text))
	}
	return s
}
