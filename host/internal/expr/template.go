package expr

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// Reference is the use of a step's outputs by an expression.
type Reference struct {
	Step string
	// Output is the name of one output; empty means all of them.
	Output string
	// Offset and Length are the place in the string that holds the expression, in bytes; Path leads to that string
	// inside a value.
	Offset, Length int
	Path           []string
}

// Template is a compiled value whose strings may hold `${...}`. It is safe for concurrent use.
type Template struct {
	root node
	refs []Reference
}

// References returns the outputs that the value names, in the order of its text.
func (t *Template) References() []Reference { return t.refs }

// node is a compiled value: fixed JSON, an object, a list, or a string with expressions.
type node struct {
	fixed   json.RawMessage
	keys    []string
	members []node
	list    bool
	parts   []piece
}

// piece is literal text, or an expression where code is not nil.
type piece struct {
	text string
	code *expression
}

// Tree compiles a value: any JSON. All mistakes are reported at once, as Errors.
func (s *Scope) Tree(raw json.RawMessage) (*Template, error) {
	c := collector{scope: s}
	t := &Template{root: c.value(raw, nil)}
	t.refs = c.refs
	return t, c.errs.orNil()
}

// Text compiles one string, which may hold `${...}`.
func (s *Scope) Text(text string) (*Template, error) {
	c := collector{scope: s}
	t := &Template{root: c.text(text, nil)}
	t.refs = c.refs
	return t, c.errs.orNil()
}

// Each compiles the text of an `each`: exactly one `${...}`, which is a list as far as that can be known.
func (s *Scope) Each(text string) (*Template, error) {
	t, err := s.Text(text)
	if err != nil {
		return nil, err
	}
	parts := t.root.parts
	all := span{0, len(text)}
	if len(parts) != 1 || parts[0].code == nil {
		return nil, Errors{fault(flow.CodeExprType, all, `write each = "${steps.NAME.OUTPUT}"`, "each is one ${...} that yields a list")}
	}
	if kind := parts[0].code.kind; kind != typeAny && kind != typeList {
		return nil, Errors{fault(flow.CodeExprType, all, "each makes one call per element of a list", "each must be a list; this is %s", articled(kind))}
	}
	return t, nil
}

// collector compiles one value and keeps what it finds.
type collector struct {
	scope *Scope
	refs  []Reference
	errs  Errors
}

func (c *collector) value(raw json.RawMessage, at []string) node {
	if !bytes.Contains(raw, []byte("$")) && !bytes.Contains(raw, []byte(`\u`)) {
		return node{fixed: raw}
	}
	switch kindOf(raw) {
	case "a string":
		var text string
		if json.Unmarshal(raw, &text) != nil {
			return node{fixed: raw}
		}
		return c.text(text, at)
	case "an object":
		return c.object(raw, at)
	case "a list":
		return c.list(raw, at)
	}
	return node{fixed: raw}
}

func (c *collector) object(raw json.RawMessage, at []string) node {
	var members map[string]json.RawMessage
	if json.Unmarshal(raw, &members) != nil {
		return node{fixed: raw}
	}
	n := node{keys: slices.Sorted(maps.Keys(members)), members: []node{}}
	for _, key := range n.keys {
		n.members = append(n.members, c.value(members[key], append(slices.Clone(at), key)))
	}
	return n
}

func (c *collector) list(raw json.RawMessage, at []string) node {
	var elements []json.RawMessage
	if json.Unmarshal(raw, &elements) != nil {
		return node{fixed: raw}
	}
	n := node{list: true, members: []node{}}
	for i, e := range elements {
		n.members = append(n.members, c.value(e, append(slices.Clone(at), strconv.Itoa(i))))
	}
	return n
}

func (c *collector) text(text string, at []string) node {
	parts, bad := scan(text)
	if bad != nil {
		bad.Path = at
		c.errs = append(c.errs, bad)
		return node{}
	}
	if len(parts) == 1 && !parts[0].code {
		return node{fixed: jsonString(parts[0].text)}
	}
	n := node{parts: make([]piece, len(parts))}
	for i, p := range parts {
		if !p.code {
			n.parts[i].text = p.text
			continue
		}
		code, errs := c.scope.compile(p.text, p.at.start)
		for _, e := range errs {
			e.Path = at
		}
		c.errs = append(c.errs, errs...)
		if code == nil {
			continue
		}
		n.parts[i].code = code
		for _, r := range code.refs {
			r.Path = at
			c.refs = append(c.refs, r)
		}
	}
	return n
}

// JSON evaluates the value. The error is an *Error, or the cause of ctx when that has ended.
func (t *Template) JSON(ctx context.Context, v *Values) (json.RawMessage, error) {
	var b bytes.Buffer
	if err := t.root.write(ctx, v, &b); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// Text evaluates the value and returns a string as it is, anything else as JSON.
func (t *Template) Text(ctx context.Context, v *Values) (string, error) {
	raw, err := t.JSON(ctx, v)
	return plain(raw), err
}

// List evaluates the value and returns the elements of the list that it must be.
func (t *Template) List(ctx context.Context, v *Values) ([]json.RawMessage, error) {
	raw, err := t.JSON(ctx, v)
	if err != nil {
		return nil, err
	}
	var elements []json.RawMessage
	if json.Unmarshal(raw, &elements) != nil || elements == nil {
		return nil, fault(flow.CodeExprValue, span{}, "", "expected a list, found %s", kindOf(raw))
	}
	return elements, nil
}

func (n *node) write(ctx context.Context, v *Values, b *bytes.Buffer) error {
	switch {
	case n.parts != nil:
		return n.writeParts(ctx, v, b)
	case n.members == nil:
		b.Write(n.fixed)
		return tooLarge(b)
	}
	open, end := byte('{'), byte('}')
	if n.list {
		open, end = '[', ']'
	}
	b.WriteByte(open)
	for i := range n.members {
		if i > 0 {
			b.WriteByte(',')
		}
		if !n.list {
			b.Write(jsonString(n.keys[i]))
			b.WriteByte(':')
		}
		if err := n.members[i].write(ctx, v, b); err != nil {
			return err
		}
	}
	b.WriteByte(end)
	return nil
}

func (n *node) writeParts(ctx context.Context, v *Values, b *bytes.Buffer) error {
	if len(n.parts) == 1 {
		raw, err := n.parts[0].code.eval(ctx, v)
		if err != nil {
			return err
		}
		b.Write(raw)
		return tooLarge(b)
	}
	var text bytes.Buffer
	for _, p := range n.parts {
		if p.code == nil {
			text.WriteString(p.text)
			continue
		}
		raw, err := p.code.eval(ctx, v)
		if err != nil {
			return err
		}
		text.WriteString(plain(raw))
		if err := tooLarge(&text); err != nil {
			return err
		}
	}
	b.Write(jsonString(text.String()))
	return tooLarge(b)
}

func tooLarge(b *bytes.Buffer) error {
	if b.Len() > maxResult {
		return fault(flow.CodeExprBound, span{}, "pass large values as artifacts", "the value has more than 8 MiB")
	}
	return nil
}

// plain returns a JSON string as it is and anything else in its JSON form.
func plain(raw json.RawMessage) string {
	var text *string
	if json.Unmarshal(raw, &text) == nil && text != nil {
		return *text
	}
	return string(raw)
}

// Condition is a compiled `when`. It is safe for concurrent use.
type Condition struct{ code *expression }

// Condition compiles the text of a `when`: one expression without `${`, of type boolean as far as that can be known.
func (s *Scope) Condition(text string) (*Condition, error) {
	if trimmed := strings.TrimSpace(text); strings.HasPrefix(trimmed, "${") {
		return nil, Errors{fault(flow.CodeExprSyntax, span{0, len(text)}, "leave ${ and } out", "a condition is an expression by itself")}
	}
	code, errs := s.compile(text, 0)
	if len(errs) > 0 {
		return nil, errs
	}
	if code.kind != typeAny && code.kind != typeBoolean {
		return nil, Errors{fault(flow.CodeExprType, span{0, len(text)}, "compare it with something, as in steps.load.count > 0", "a condition is true or false; this is %s", articled(code.kind))}
	}
	return &Condition{code}, nil
}

// References returns the outputs that the condition names.
func (c *Condition) References() []Reference { return c.code.refs }

// Bool evaluates the condition. The error is an *Error, or the cause of ctx when that has ended.
func (c *Condition) Bool(ctx context.Context, v *Values) (bool, error) {
	raw, err := c.code.eval(ctx, v)
	if err != nil {
		return false, err
	}
	var yes *bool
	if json.Unmarshal(raw, &yes) != nil || yes == nil {
		return false, fault(flow.CodeExprValue, span{}, "", "a condition is true or false; this is %s", kindOf(raw))
	}
	return *yes, nil
}

// eval returns the value of the expression as JSON.
func (x *expression) eval(ctx context.Context, v *Values) (json.RawMessage, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	raw, err := x.value(ctx, v)
	if bad, ok := errors.AsType[*Error](err); ok && bad.Length == 0 {
		bad.Message = "${" + x.text + "}: " + bad.Message
	}
	return raw, err
}

// articled puts the article before the word for a type.
func articled(kind string) string {
	if kind == typeInteger || kind == typeObject {
		return "an " + kind
	}
	return "a " + kind
}
