package manifest

import (
	"encoding"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// maxFindings bounds the work on a text that is wrong throughout; further mistakes are counted only.
const maxFindings = 1000

// binder fills a flow.Manifest from decoded TOML by the `toml` tags of its types, and collects every mistake. A value
// that is wrong is left at zero.
type binder struct {
	doc      *Document
	rules    map[string]rule
	findings []finding
	dropped  int
}

// mistake adds a problem at a path. Its Help and Note may be empty.
func (b *binder) mistake(p flow.Problem) {
	if len(b.findings) == maxFindings {
		b.dropped++
		return
	}
	b.findings = append(b.findings, finding{p, b.doc.find(&p)})
}

func (b *binder) manifest(m *flow.Manifest, tree map[string]any) {
	b.table(reflect.ValueOf(m).Elem(), tree, nil)
	version, isInteger := tree["version"].(int64)
	switch {
	case !present(tree, "version"):
		b.mistake(flow.Problem{
			Code: flow.CodeBadVersion, Message: "the manifest names no version",
			Help: "write version = 1 above the first table",
		})
	case isInteger && version != 1:
		b.mistake(flow.Problem{
			Code: flow.CodeBadVersion, Path: []string{"version"}, Message: fmt.Sprintf("version %d is not known", version),
			Note: "expected 1", Help: "write version = 1, or use the uniflow that this manifest was written for",
		})
	}
}

// table binds a struct.
func (b *binder) table(v reflect.Value, tree map[string]any, path []string) {
	fields := fieldsOf(v.Type())
	for _, key := range slices.Sorted(maps.Keys(tree)) {
		i, ok := fields[key]
		if !ok {
			b.unknown(v.Type(), path, key)
			continue
		}
		b.value(v.Field(i), b.rules[v.Type().Name()+"."+key], tree[key], join(path, key))
	}
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		if b.rules[v.Type().Name()+"."+key].required && !present(tree, key) {
			b.mistake(flow.Problem{
				Code: flow.CodeMissingKey, Path: path, OnKey: true, Message: fmt.Sprintf("%s has no %s", title(path), key),
				Help: fmt.Sprintf("add %s = …", key),
			})
		}
	}
	b.form(v.Type(), tree, path)
}

// fieldsOf returns the index of each field that a file may set, by key.
func fieldsOf(t reflect.Type) map[string]int {
	fields := make(map[string]int, t.NumField())
	for i := range t.NumField() {
		if key := t.Field(i).Tag.Get("toml"); key != "-" {
			fields[key] = i
		}
	}
	return fields
}

// value binds one value of any type.
func (b *binder) value(v reflect.Value, r rule, val any, path []string) {
	if _, ok := val.([]map[string]any); ok {
		b.arrayOfTables(v.Type(), path)
		return
	}
	switch target := v.Addr().Interface().(type) {
	case *json.RawMessage:
		*target = b.free(val, path)
		return
	case *flow.SecretText:
		b.secretText(target, val, path)
		return
	case encoding.TextUnmarshaler:
		b.parsed(v, target, r, val, path)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		b.value(v.Elem(), r, val, path)
	case reflect.Struct, reflect.Map:
		tree, ok := val.(map[string]any)
		switch {
		case !ok:
			b.wrongType(v.Type(), val, path)
		case v.Kind() == reflect.Struct:
			b.table(v, tree, path)
		default:
			b.named(v, r, tree, path)
		}
	case reflect.Slice:
		b.list(v, r, val, path)
	default:
		b.scalar(v, r, val, path)
	}
}

// named binds a table of named things.
func (b *binder) named(v reflect.Value, r rule, tree map[string]any, path []string) {
	v.Set(reflect.MakeMapWithSize(v.Type(), len(tree)))
	for _, key := range slices.Sorted(maps.Keys(tree)) {
		at := join(path, key)
		b.name(r.names, key, at)
		item := reflect.New(v.Type().Elem()).Elem()
		b.value(item, rule{path: r.path, empty: r.empty}, tree[key], at)
		if name := nameField(item); name.IsValid() {
			name.SetString(key)
		}
		v.SetMapIndex(reflect.ValueOf(key), item)
	}
}

// nameField returns the field of a named thing that repeats its key, if it has one.
func nameField(v reflect.Value) reflect.Value {
	switch v.Type() {
	case reflect.TypeFor[flow.Pipeline](), reflect.TypeFor[flow.Schedule]():
		return v.FieldByName("Name")
	}
	return reflect.Value{}
}

func (b *binder) name(rule nameRule, name string, path []string) {
	wrong := rule.check(name)
	switch {
	case strings.ContainsRune(name, 0):
		b.mistake(flow.Problem{Code: flow.CodeFileNUL, Path: path, OnKey: true, Message: "a key holds a NUL character", Help: "remove it"})
	case wrong != "":
		p := flow.Problem{
			Code: flow.CodeBadName, Path: path, OnKey: true,
			Message: fmt.Sprintf("%s cannot be a name in %s", quoted(name), title(path[:len(path)-1])), Note: wrong,
		}
		if rule == nameGuestPath {
			p.Message = quoted(name) + " is not a path inside the guest"
		}
		if better := rule.suggest(name); better != "" {
			p.Help = fmt.Sprintf("write %s", quoted(better))
		}
		b.mistake(p)
	}
}

func (b *binder) list(v reflect.Value, r rule, val any, path []string) {
	items, ok := val.([]any)
	if !ok {
		b.wrongType(v.Type(), val, path)
		return
	}
	list := reflect.MakeSlice(v.Type(), len(items), len(items))
	for i, item := range items {
		b.value(list.Index(i), r, item, join(path, strconv.Itoa(i)))
	}
	v.Set(list)
}

// parsed binds a string that stands for a value: a duration, a size, a backoff.
func (b *binder) parsed(v reflect.Value, target encoding.TextUnmarshaler, r rule, val any, path []string) {
	s, ok := val.(string)
	if !ok {
		b.wrongType(v.Type(), val, path)
		return
	}
	if err := target.UnmarshalText([]byte(s)); err != nil {
		b.badText(v.Type(), s, path)
		return
	}
	if backoff, ok := target.(*flow.Backoff); ok {
		_ = b.inRange(v.Type(), r, int64(backoff.Min), path) && b.inRange(v.Type(), r, int64(backoff.Max), path)
		return
	}
	b.inRange(v.Type(), r, v.Int(), path)
}

func (b *binder) badText(t reflect.Type, s string, path []string) {
	p := flow.Problem{Path: path}
	switch t {
	case typeDuration:
		p.Code, p.Message, p.Note = flow.CodeBadDuration, quoted(s)+" is not a duration", "expected a form like 90s, 10m, 1h30m or 2d"
	case typeSize:
		p.Code, p.Message, p.Note = flow.CodeBadSize, quoted(s)+" is not a size", "expected a form like 512KiB, 64MiB or 1GiB, at most 1024GiB"
	default:
		p.Code, p.Message, p.Note = flow.CodeBadBackoff, quoted(s)+" is not a backoff", "expected a range like 1s..1m, the shorter duration first"
	}
	if better := mend(t, s); better != "" {
		p.Help = "write " + quoted(better)
	}
	b.mistake(p)
}

// scalar binds a boolean, a number or a string.
func (b *binder) scalar(v reflect.Value, r rule, val any, path []string) {
	switch x := val.(type) {
	case bool:
		if v.Kind() == reflect.Bool {
			v.SetBool(x)
			return
		}
	case int64:
		if v.CanInt() {
			if b.inRange(v.Type(), r, x, path) {
				v.SetInt(x)
			}
			return
		}
		if v.CanFloat() {
			v.SetFloat(float64(x))
			return
		}
	case float64:
		if v.CanFloat() {
			if b.finite(x, path) {
				v.SetFloat(x)
			}
			return
		}
	case string:
		if v.Kind() == reflect.String {
			if b.text(r, x, path) {
				v.SetString(x)
			}
			return
		}
	}
	b.wrongType(v.Type(), val, path)
}

// inRange reports a number outside its bounds, in the unit of its type.
func (b *binder) inRange(t reflect.Type, r rule, n int64, path []string) bool {
	low, high := r.bounds(t)
	if n >= low && n <= high || r.min == 0 && r.max == 0 && !isMeasure(t) {
		return true
	}
	expected := fmt.Sprintf("expected %s to %s", inUnit(t, low), inUnit(t, high))
	switch {
	case r.max == 0:
		expected = "expected at least " + inUnit(t, low)
	case t == typeBackoff:
		expected += " at both ends"
	}
	b.mistake(flow.Problem{
		Code: flow.CodeOutOfRange, Path: path, Note: expected,
		Message: fmt.Sprintf("%s is out of range: %s", label(path), inUnit(t, n)),
		Help:    "leave the key out to get the default",
	})
	return false
}

// text checks a string; false means that it is not kept.
func (b *binder) text(r rule, s string, path []string) bool {
	p := flow.Problem{Path: path}
	switch {
	case strings.ContainsRune(s, 0):
		p.Code, p.Message, p.Help = flow.CodeFileNUL, label(path)+" holds a NUL character", "remove it"
	case s == "" && !r.empty:
		p.Code, p.Message, p.Help = flow.CodeEmptyText, label(path)+" is empty", "write a text, or leave it out"
	case len(r.words) > 0 && !slices.Contains(r.words, s):
		p.Code, p.Message = flow.CodeNotOneOf, fmt.Sprintf("%s cannot be %s", label(path), quoted(s))
		p.Note = "expected " + oneOf(r.words)
		if word := closest(s, r.words); word != "" {
			p.Help = fmt.Sprintf("did you mean %q?", word)
		}
	case r.absolute && plainAbsolute(s):
		return true
	case (r.path || r.calendar && strings.HasSuffix(strings.ToLower(s), ".ics")) && checkPath(s) != "":
		p.Code, p.Message, p.Note = flow.CodeBadPath, fmt.Sprintf("%s: the path %s cannot be used", label(path), quoted(s)), checkPath(s)
		p.Help = "move it into the manifest's folder and write its path from there"
	case r.source && !isSecretSource(s):
		p.Code, p.Message = flow.CodeSecretSource, quoted(s)+" is not a source of secrets"
		p.Note, p.Help = "expected env:PREFIX_, file:PATH, dir:PATH or age:PATH", `for a folder with one file per secret: secrets = "dir:secrets"`
	default:
		return true
	}
	b.mistake(p)
	return false
}

func isSecretSource(s string) bool {
	kind, rest, ok := strings.Cut(s, ":")
	switch kind {
	case "env":
		return ok
	case "file", "dir", "age":
		return ok && rest != ""
	}
	return false
}

// join returns path with one more part, in memory of its own.
func join(path []string, key string) []string {
	return append(slices.Clip(path), key)
}

// present tells whether a table holds a key, in whatever case: another case is a mistake of its own.
func present(tree map[string]any, key string) bool {
	if _, ok := tree[key]; ok {
		return true
	}
	for k := range tree {
		if strings.EqualFold(k, key) {
			return true
		}
	}
	return false
}
