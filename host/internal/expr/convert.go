package expr

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/interpreter"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// activation holds the values that the expression names, and no others: outputs can be large.
func (x *expression) activation(v *Values) (map[string]any, error) {
	input := map[string]any{}
	context, steps := map[string]any{}, map[string]any{}
	for _, p := range x.paths {
		var err error
		switch p.root {
		case "context":
			err = addMembers(context, v.Context, p.segments, func(key string) string { return x.env.Params[key].Type })
		case "steps":
			err = x.addStep(steps, v, p)
		case "run":
			run := map[string]any{}
			err = addMembers(run, v.Run.fields(), nil, func(key string) string { return runFields()[key] })
			input["run"] = newObject(run)
		case "item":
			input["item"], err = value(v.Item, typeAny)
		case "item_index":
			input["item_index"] = types.Int(v.Index)
		case "failed":
			input["failed"], err = value(encode(append([]string{}, v.Failed...)), typeList)
		}
		if bad, ok := errors.AsType[*Error](err); ok {
			bad.Message = p.String() + ": " + bad.Message
			return nil, bad
		}
	}
	input["context"], input["steps"] = newObject(context), newObject(steps)
	return input, nil
}

// addMembers converts the member that the segments begin with, or all of them; a missing one stays missing.
func addMembers(into map[string]any, members map[string]json.RawMessage, segments []segment, kind func(string) string) error {
	keys := slices.Sorted(maps.Keys(members))
	if len(segments) > 0 {
		keys = []string{segments[0].key}
	}
	for _, key := range keys {
		raw, ok := members[key]
		if _, done := into[key]; done || !ok {
			continue
		}
		converted, err := value(raw, kind(key))
		if err != nil {
			return err
		}
		into[key] = converted
	}
	return nil
}

// addStep converts what a path names of a step. Outputs that other paths name are kept.
func (x *expression) addStep(steps map[string]any, v *Values, p path) error {
	name := p.segments[0].key
	outputs, ok := v.Steps[name]
	if !ok {
		return nil
	}
	kind := func(key string) string { return x.env.Steps[name].Outputs[key] }
	if outputs.List != nil {
		list, err := outputList(outputs.List, kind)
		steps[name] = list
		return err
	}
	members := map[string]any{}
	if old, ok := steps[name].(*object); ok {
		members = old.members
	}
	err := addMembers(members, outputs.Named, p.segments[1:], kind)
	steps[name] = newObject(members)
	return err
}

func outputList(list []json.RawMessage, kind func(string) string) (ref.Val, error) {
	elements := make([]ref.Val, len(list))
	for i, raw := range list {
		var named map[string]json.RawMessage
		if len(raw) > 0 {
			if err := json.Unmarshal(raw, &named); err != nil {
				return nil, fault(flow.CodeExprValue, span{}, "", "element %d is not an object of outputs", i)
			}
		}
		elements[i] = types.NullValue
		if named == nil {
			continue
		}
		members := map[string]any{}
		if err := addMembers(members, named, nil, kind); err != nil {
			return nil, err
		}
		elements[i] = newObject(members)
	}
	return types.NewRefValList(types.DefaultTypeAdapter, elements), nil
}

// value converts JSON: numbers are doubles unless the kind says integer.
func value(raw json.RawMessage, kind string) (ref.Val, error) {
	if len(raw) == 0 {
		return types.NullValue, nil
	}
	switch kind {
	case typeInteger:
		if n, err := strconv.ParseInt(string(bytes.TrimSpace(raw)), 10, 64); err == nil {
			return types.Int(n), nil
		}
		if f, err := strconv.ParseFloat(string(bytes.TrimSpace(raw)), 64); err == nil && f == math.Trunc(f) && math.Abs(f) < 1<<53 {
			return types.Int(f), nil
		}
	case typeTime:
		var at time.Time
		if err := json.Unmarshal(raw, &at); err == nil {
			return types.Timestamp{Time: at}, nil
		}
	default:
		var plain any
		if err := json.Unmarshal(raw, &plain); err != nil {
			return nil, fault(flow.CodeExprValue, span{}, "", "the value cannot be read: a number in it is too large, or it is no JSON")
		}
		converted := fromPlain(plain)
		if word := wordOf(typeOf(converted)); kind == typeAny || kind == word || converted == types.NullValue {
			return converted, nil
		}
	}
	return nil, fault(flow.CodeExprValue, span{}, "", "expected %s, found %s", articled(kind), kindOf(raw))
}

func fromPlain(v any) ref.Val {
	switch v := v.(type) {
	case bool:
		return types.Bool(v)
	case float64:
		return types.Double(v)
	case string:
		return types.String(v)
	case []any:
		elements := make([]ref.Val, len(v))
		for i := range v {
			elements[i] = fromPlain(v[i])
		}
		return types.NewRefValList(types.DefaultTypeAdapter, elements)
	case map[string]any:
		for key, member := range v {
			v[key] = fromPlain(member)
		}
		return newObject(v)
	}
	return types.NullValue
}

// object is a map whose keys have an order, so that what is made of it does not depend on chance.
type object struct {
	traits.Mapper
	members map[string]any
}

// newObject takes over members, whose values are of type ref.Val.
func newObject(members map[string]any) *object {
	return &object{types.NewStringInterfaceMap(types.DefaultTypeAdapter, members), members}
}

// typeOf is the type of a value; all values of this package's making have one of cel-go's own.
func typeOf(v ref.Val) *types.Type {
	t, ok := v.Type().(*types.Type)
	if !ok {
		return types.DynType
	}
	return t
}

// Iterator implements traits.Iterable, in the order of the keys.
func (o *object) Iterator() traits.Iterator {
	return types.NewStringList(types.DefaultTypeAdapter, slices.Sorted(maps.Keys(o.members))).Iterator()
}

// AggregateSize implements types.AggregateSizeVisitor.
func (o *object) AggregateSize(sizer types.AggregateSizer) uint32 {
	if inner, ok := o.Mapper.(types.AggregateSizeVisitor); ok {
		return inner.AggregateSize(sizer)
	}
	return 1
}

// orderedMaps gives the maps that an expression builds an order too.
func orderedMaps(i interpreter.InterpretableV2) (interpreter.InterpretableV2, error) {
	if c, ok := i.(interpreter.InterpretableConstructor); ok && c.Type() == types.MapType {
		return &orderedMap{c}, nil
	}
	return i, nil
}

type orderedMap struct {
	interpreter.InterpretableConstructor
}

// Exec implements interpreter.InterpretableV2.
func (m *orderedMap) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	built := m.InterpretableConstructor.Exec(frame)
	mapper, ok := built.(traits.Mapper)
	if !ok {
		return built
	}
	members := map[string]any{}
	for it := mapper.Iterator(); it.HasNext() == types.True; {
		key, ok := it.Next().(types.String)
		if !ok {
			return types.NewErr("the key of a map is a string here")
		}
		members[string(key)] = mapper.Get(key)
	}
	return newObject(members)
}

// Eval implements interpreter.Interpretable.
func (m *orderedMap) Eval(vars interpreter.Activation) ref.Val {
	return interpreter.EvalActivation(vars, m.Exec)
}

// resultJSON writes a value of CEL as JSON. Values can share parts, so that their text can be far larger than they are:
// the size is bounded as it grows.
func resultJSON(v ref.Val) (json.RawMessage, error) {
	var b bytes.Buffer
	err := writeValue(&b, v)
	return b.Bytes(), err
}

func writeValue(b *bytes.Buffer, v ref.Val) error {
	if err := tooLarge(b); err != nil {
		return err
	}
	switch v := v.(type) {
	case types.Null:
		b.WriteString("null")
	case types.Bool, types.Int, types.Uint, types.String:
		b.Write(encode(v.Value()))
	case types.Double:
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return fault(flow.CodeExprValue, span{}, "", "the result is not a finite number")
		}
		b.Write(encode(float64(v)))
	case types.Bytes:
		b.Write(jsonString(base64.StdEncoding.EncodeToString(v)))
	case types.Timestamp:
		b.Write(jsonString(v.UTC().Format(time.RFC3339Nano)))
	case types.Duration:
		b.Write(jsonString(v.Duration.String()))
	case traits.Mapper:
		return writeMap(b, v)
	case traits.Lister:
		return writeList(b, v)
	default:
		return fault(flow.CodeExprValue, span{}, "", "the result is no value that JSON can hold")
	}
	return nil
}

func writeMap(b *bytes.Buffer, m traits.Mapper) error {
	b.WriteByte('{')
	first := true
	for it := m.Iterator(); it.HasNext() == types.True; first = false {
		key, ok := it.Next().(types.String)
		if !ok {
			return fault(flow.CodeExprValue, span{}, "", "the result has a key that is no text")
		}
		if !first {
			b.WriteByte(',')
		}
		b.Write(jsonString(string(key)))
		b.WriteByte(':')
		if err := writeValue(b, m.Get(key)); err != nil {
			return err
		}
	}
	b.WriteByte('}')
	return nil
}

func writeList(b *bytes.Buffer, l traits.Lister) error {
	b.WriteByte('[')
	first := true
	for it := l.Iterator(); it.HasNext() == types.True; first = false {
		if !first {
			b.WriteByte(',')
		}
		if err := writeValue(b, it.Next()); err != nil {
			return err
		}
	}
	b.WriteByte(']')
	return nil
}
