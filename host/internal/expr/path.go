package expr

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// span is a half-open range of bytes.
type span struct{ start, end int }

// segment is one step of a path: a key, or an index where key is not set.
type segment struct {
	key   string
	index int
	isKey bool
}

// path is a root name and what is taken of it.
type path struct {
	root     string
	segments []segment
}

// String returns the path as it is written.
func (p path) String() string {
	var b strings.Builder
	b.WriteString(p.root)
	for _, s := range p.segments {
		switch {
		case !s.isKey:
			fmt.Fprintf(&b, "[%d]", s.index)
		case wordEnd(s.key, 0) == len(s.key) && s.key != "":
			b.WriteString("." + s.key)
		default:
			fmt.Fprintf(&b, "[%q]", s.key)
		}
	}
	return b.String()
}

// roots are the names at which a path can begin.
func roots() []string { return []string{"context", "failed", "item", "item_index", "run", "steps"} }

// parsePath reads a path without operators: names joined by dots, [0] and ["key"]. Anything else is left to CEL.
func parsePath(text string) (path, bool) {
	text = strings.TrimSpace(text)
	end := wordEnd(text, 0)
	p := path{root: text[:end]}
	if !slices.Contains(roots(), p.root) {
		return path{}, false
	}
	for end < len(text) {
		s, next, ok := parseSegment(text, end)
		if !ok {
			return path{}, false
		}
		p.segments, end = append(p.segments, s), next
	}
	return p, true
}

func parseSegment(text string, at int) (segment, int, bool) {
	if text[at] == '.' {
		end := wordEnd(text, at+1)
		return segment{key: text[at+1 : end], isKey: true}, end, end > at+1
	}
	if text[at] != '[' {
		return segment{}, 0, false
	}
	closing := strings.IndexByte(text[at:], ']') + at
	if closing < at+2 {
		return segment{}, 0, false
	}
	if quote := text[at+1]; quote == '"' || quote == '\'' {
		length := strings.IndexByte(text[at+2:], quote)
		if length < 0 || at+3+length >= len(text) || text[at+3+length] != ']' {
			return segment{}, 0, false
		}
		key := text[at+2 : at+2+length]
		return segment{key: key, isKey: true}, at + 4 + length, !strings.ContainsAny(key, "\\\n")
	}
	n, err := strconv.ParseUint(text[at+1:closing], 10, 31)
	return segment{index: int(n)}, closing + 1, err == nil
}

// wordEnd returns the end of the name that begins at start, or start.
func wordEnd(text string, start int) int {
	i := start
	for i < len(text) {
		c := text[i] | 0x20
		if (c < 'a' || c > 'z') && text[i] != '_' && (i == start || text[i] < '0' || text[i] > '9') {
			break
		}
		i++
	}
	return i
}

// checkPath refuses a path that can never be read, and returns the type of what it names and the reference to a step.
func (e *Env) checkPath(p path, at span) (string, *Reference, *Error) {
	switch p.root {
	case "item", "item_index":
		if !e.Item {
			return "", nil, fault(flow.CodeExprName, at, `item stands for one element of a step with each = "${...}"`, "%s is not known here: the step has no each", p.root)
		}
		if p.root == "item_index" {
			return typeInteger, nil, nil
		}
	case "failed":
		if !e.Failed {
			return "", nil, fault(flow.CodeExprName, at, `the list of failed steps exists in steps with on = "failure" or on = "always"`, "failed is not known here")
		}
		return typeList, nil, nil
	case "run":
		return e.checkRun(p, at)
	case "steps":
		return e.checkStep(p, at)
	case "context":
		return e.checkContext(p, at)
	}
	return typeAny, nil, nil
}

func (e *Env) checkContext(p path, at span) (string, *Reference, *Error) {
	if len(p.segments) == 0 {
		return typeObject, nil, nil
	}
	key := p.segments[0].key
	param, known := e.Params[key]
	// A context may hold keys without a param, but none that is close to one: it would be refused as a mistyped param.
	if near := Nearest(key, slices.Sorted(maps.Keys(e.Params))); !known && near != "" {
		return "", nil, fault(flow.CodeExprName, at, fmt.Sprintf("did you mean %q?", near), "no param is named %q", key)
	}
	if len(p.segments) == 1 {
		return param.Type, nil, nil
	}
	return typeAny, nil, nil
}

func (e *Env) checkRun(p path, at span) (string, *Reference, *Error) {
	if len(p.segments) == 0 {
		return typeObject, nil, nil
	}
	fields := runFields()
	name := p.segments[0].key
	kind, ok := fields[name]
	if !ok || len(p.segments) > 1 {
		return "", nil, fault(flow.CodeExprName, at, DidYouMean(name, slices.Sorted(maps.Keys(fields))), "%s does not exist", p)
	}
	return kind, nil, nil
}

func (e *Env) checkStep(p path, at span) (string, *Reference, *Error) {
	if len(p.segments) == 0 || !p.segments[0].isKey {
		return "", nil, fault(flow.CodeExprName, at, "write steps.NAME.OUTPUT", "steps needs the name of a step, written out")
	}
	ref := &Reference{Step: p.segments[0].key, Offset: at.start, Length: at.end - at.start}
	shape, ok := e.Steps[ref.Step]
	switch {
	case ref.Step == e.Self && e.Self != "":
		return "", nil, fault(flow.CodeExprName, at, "outputs exist when the step has ended; take what you need from another step", "step %q uses its own outputs", e.Self)
	case !ok && e.Self == "":
		return "", nil, fault(flow.CodeExprName, at, "the pipeline's when runs before every step; move the condition to a step's when", "steps.%s does not exist yet", ref.Step)
	case !ok:
		return "", nil, fault(flow.CodeExprStep, at, DidYouMean(ref.Step, slices.Sorted(maps.Keys(e.Steps))), "there is no step %q", ref.Step)
	}
	rest := p.segments[1:]
	if shape.List {
		if len(rest) == 0 {
			return typeList, ref, nil
		}
		if rest[0].isKey {
			return "", nil, fault(flow.CodeExprType, at, fmt.Sprintf("take one element, steps.%s[0].%s, or map over the list: steps.%s.map(s, s.%s)", ref.Step, rest[0].key, ref.Step, rest[0].key),
				"step %q has each, so its outputs are a list", ref.Step)
		}
		rest = rest[1:]
	}
	if len(rest) == 0 {
		return typeObject, ref, nil
	}
	if !rest[0].isKey {
		return "", nil, fault(flow.CodeExprType, at, fmt.Sprintf("write steps.%s.OUTPUT", ref.Step), "the outputs of step %q are no list", ref.Step)
	}
	ref.Output = rest[0].key
	if len(rest) > 1 {
		return typeAny, ref, nil
	}
	return shape.Outputs[ref.Output], ref, nil
}

// read returns the raw JSON that the path names; nothing is decoded that is not on the way.
func (p path) read(v *Values) (json.RawMessage, error) {
	raw, rest, err := p.first(v)
	if err != nil {
		return nil, err
	}
	for i, s := range rest {
		at := path{p.root, p.segments[:len(p.segments)-len(rest)+i]}
		if raw, err = s.take(raw, at); err != nil {
			return nil, err
		}
	}
	return raw, nil
}

// first resolves the part of a path that is not stored as one JSON value.
func (p path) first(v *Values) (json.RawMessage, []segment, error) {
	switch p.root {
	case "item":
		return v.Item, p.segments, nil
	case "item_index":
		return json.RawMessage(strconv.Itoa(v.Index)), p.segments, nil
	case "failed":
		return encode(append([]string{}, v.Failed...)), p.segments, nil
	case "run":
		return pick(path{root: "run"}, v.Run.fields(), p.segments)
	case "context":
		return pick(path{root: "context"}, v.Context, p.segments)
	}
	if len(p.segments) == 0 || !p.segments[0].isKey {
		return nil, nil, fault(flow.CodeExprValue, span{}, "", "steps needs the name of a step")
	}
	outputs, ok := v.Steps[p.segments[0].key]
	if !ok {
		return nil, nil, missing(path{root: "steps"}, p.segments[0].key, nil)
	}
	rest, step := p.segments[1:], path{"steps", p.segments[:1]}
	if outputs.List == nil {
		return pick(step, outputs.Named, rest)
	}
	if len(rest) == 0 {
		return joinList(outputs.List), nil, nil
	}
	if rest[0].isKey || rest[0].index >= len(outputs.List) {
		return nil, nil, fault(flow.CodeExprValue, span{}, "", "%s has %d elements; %s does not exist", step, len(outputs.List), p)
	}
	return outputs.List[rest[0].index], rest[1:], nil
}

// pick takes the first segment out of the members of the object at a path, or joins all of them.
func pick(at path, members map[string]json.RawMessage, segments []segment) (json.RawMessage, []segment, error) {
	if len(segments) == 0 {
		return joinObject(members), nil, nil
	}
	if !segments[0].isKey {
		return nil, nil, fault(flow.CodeExprValue, span{}, "", "%s is an object, not a list", at)
	}
	raw, ok := members[segments[0].key]
	if !ok {
		return nil, nil, missing(at, segments[0].key, slices.Sorted(maps.Keys(members)))
	}
	return raw, segments[1:], nil
}

// take reads one member or element of raw; at is the path so far, for messages.
func (s segment) take(raw json.RawMessage, at path) (json.RawMessage, error) {
	if s.isKey {
		var members map[string]json.RawMessage
		if err := json.Unmarshal(raw, &members); err != nil || members == nil {
			return nil, fault(flow.CodeExprValue, span{}, "", "%s is %s, so it has no key %q", at, kindOf(raw), s.key)
		}
		member, ok := members[s.key]
		if !ok {
			return nil, missing(at, s.key, slices.Sorted(maps.Keys(members)))
		}
		return member, nil
	}
	var elements []json.RawMessage
	if err := json.Unmarshal(raw, &elements); err != nil || elements == nil {
		return nil, fault(flow.CodeExprValue, span{}, "", "%s is %s, not a list", at, kindOf(raw))
	}
	if s.index >= len(elements) {
		return nil, fault(flow.CodeExprValue, span{}, "", "%s has %d elements; index %d does not exist", at, len(elements), s.index)
	}
	return elements[s.index], nil
}

func missing(at path, key string, known []string) *Error {
	hint := DidYouMean(key, known)
	if hint == "" {
		hint = "has() asks whether a key is there"
	}
	return fault(flow.CodeExprValue, span{}, hint, "%s has no key %q", at, key)
}
