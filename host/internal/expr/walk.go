package expr

import (
	"slices"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// walk visits an expression; bound are the variables of the macros around it, which hide names of ours.
func (w *walker) walk(e ast.Expr, bound []string) {
	if p, ok := chain(e); ok {
		if !slices.Contains(bound, p.root) {
			w.path(p, e)
		}
		w.selects(e)
		return
	}
	switch e.Kind() {
	case ast.SelectKind:
		w.walk(e.AsSelect().Operand(), bound)
	case ast.CallKind:
		w.call(e, bound)
	case ast.ListKind:
		for _, element := range e.AsList().Elements() {
			w.walk(element, bound)
		}
	case ast.MapKind:
		for _, entry := range e.AsMap().Entries() {
			w.walk(entry.AsMapEntry().Key(), bound)
			w.walk(entry.AsMapEntry().Value(), bound)
		}
	case ast.ComprehensionKind:
		c := e.AsComprehension()
		w.walk(c.IterRange(), bound)
		w.walk(c.AccuInit(), bound)
		inner := append(slices.Clone(bound), c.IterVar(), c.AccuVar())
		w.walk(c.LoopCondition(), inner)
		w.walk(c.LoopStep(), inner)
		w.walk(c.Result(), inner)
	case ast.StructKind:
		w.errs = append(w.errs, fault(flow.CodeExprSyntax, w.span(e), `write a map: {"key": value}`, "there are no messages here"))
	}
}

func (w *walker) call(e ast.Expr, bound []string) {
	c := e.AsCall()
	if c.FunctionName() == "dyn" {
		w.errs = append(w.errs, fault(flow.CodeExprType, w.span(e), "leave it out: values without a type are dynamic already", "dyn() does not exist here"))
	}
	if c.IsMemberFunction() {
		w.walk(c.Target(), bound)
	}
	for _, arg := range c.Args() {
		w.walk(arg, bound)
	}
}

// path checks a name of ours and records it.
func (w *walker) path(p path, e ast.Expr) {
	at := w.chainSpan(e)
	_, ref, bad := w.scope.env.checkPath(p, at)
	if bad != nil {
		w.errs = append(w.errs, bad)
		return
	}
	w.paths = append(w.paths, p)
	if ref != nil {
		w.refs = append(w.refs, *ref)
	}
}

// chainSpan runs from the root name of a chain to its last key or index, as far as those are written without blanks.
func (w *walker) chainSpan(e ast.Expr) span {
	at := w.span(e)
	p, ok := chain(e)
	if !ok {
		return at
	}
	for e.Kind() != ast.IdentKind {
		if e.Kind() == ast.SelectKind {
			e = e.AsSelect().Operand()
		} else {
			e = e.AsCall().Args()[0]
		}
	}
	at.start = w.span(e).start
	at.end = wordEnd(w.text, at.start)
	for range p.segments {
		if at.end >= len(w.text) {
			break
		}
		_, next, ok := parseSegment(w.text, at.end)
		if !ok {
			break
		}
		at.end = next
	}
	at.end = max(at.end, min(at.start+1, len(w.text)))
	return at
}

// selects turns ["key"] into .key all along a chain: to CEL they are the same, but only the latter finds the types of
// our objects.
func (w *walker) selects(e ast.Expr) {
	for e.Kind() != ast.IdentKind {
		if e.Kind() == ast.SelectKind {
			e = e.AsSelect().Operand()
			continue
		}
		args := e.AsCall().Args()
		if key, ok := args[1].AsLiteral().(types.String); ok {
			e.SetKindCase(ast.NewExprFactory().NewSelect(e.ID(), args[0], string(key)))
		}
		e = args[0]
	}
}

// chain reads a name of ours with all constant keys and indexes behind it.
func chain(e ast.Expr) (path, bool) {
	switch e.Kind() {
	case ast.IdentKind:
		return path{root: e.AsIdent()}, slices.Contains(roots(), e.AsIdent())
	case ast.SelectKind:
		p, ok := chain(e.AsSelect().Operand())
		p.segments = append(p.segments, segment{key: e.AsSelect().FieldName(), isKey: true})
		return p, ok
	case ast.CallKind:
		c := e.AsCall()
		if c.FunctionName() != operators.Index || c.Args()[1].Kind() != ast.LiteralKind {
			return path{}, false
		}
		p, ok := chain(c.Args()[0])
		switch key := c.Args()[1].AsLiteral().(type) {
		case types.String:
			p.segments = append(p.segments, segment{key: string(key), isKey: true})
		case types.Int:
			p.segments = append(p.segments, segment{index: int(key)})
			ok = ok && key >= 0 && key < maxValue
		default:
			return path{}, false
		}
		return p, ok
	}
	return path{}, false
}

const (
	objectContext = "uniflow.context"
	objectRun     = "uniflow.run"
	objectSteps   = "uniflow.steps"
	objectOutputs = "uniflow.outputs."
)

// provider tells CEL the fields of our objects; whether a name exists has been checked before.
type provider struct {
	types.Provider
	env *Env
}

// FindStructType implements types.Provider.
func (p *provider) FindStructType(name string) (*types.Type, bool) {
	if name == objectContext || name == objectRun || name == objectSteps || len(name) > len(objectOutputs) && name[:len(objectOutputs)] == objectOutputs {
		return types.NewTypeTypeWithParam(types.NewObjectType(name)), true
	}
	return p.Provider.FindStructType(name)
}

// FindStructFieldType implements types.Provider.
func (p *provider) FindStructFieldType(object, field string) (*types.FieldType, bool) {
	var kind *types.Type
	switch object {
	case objectContext:
		kind = celType(p.env.Params[field].Type)
	case objectRun:
		kind = celType(runFields()[field])
	case objectSteps:
		kind = types.NewObjectType(objectOutputs + field)
		if p.env.Steps[field].List {
			kind = types.NewListType(kind)
		}
	default:
		if len(object) <= len(objectOutputs) {
			return nil, false
		}
		kind = celType(p.env.Steps[object[len(objectOutputs):]].Outputs[field])
	}
	return &types.FieldType{Type: kind}, true
}

// celType is the type of CEL for a word; lists and objects hold what is only known at run time.
func celType(word string) *types.Type {
	switch word {
	case typeString:
		return cel.StringType
	case typeInteger:
		return cel.IntType
	case typeNumber:
		return cel.DoubleType
	case typeBoolean:
		return cel.BoolType
	case typeList:
		return cel.ListType(cel.DynType)
	case typeObject:
		return cel.MapType(cel.StringType, cel.DynType)
	case typeTime:
		return cel.TimestampType
	}
	return cel.DynType
}

// wordOf is the word for a type of CEL.
func wordOf(t *types.Type) string {
	switch t.Kind() {
	case types.StringKind, types.BytesKind:
		return typeString
	case types.IntKind, types.UintKind:
		return typeInteger
	case types.DoubleKind:
		return typeNumber
	case types.BoolKind:
		return typeBoolean
	case types.ListKind:
		return typeList
	case types.MapKind, types.StructKind:
		return typeObject
	case types.TimestampKind:
		return typeTime
	case types.DurationKind:
		return "duration"
	case types.NullTypeKind:
		return "null"
	}
	return typeAny
}
