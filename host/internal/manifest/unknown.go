package manifest

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// fewKeys is the number of keys of a table that a help line lists.
const fewKeys = 8

// unknown reports a key that a table does not have, and what may have been meant.
func (b *binder) unknown(t reflect.Type, path []string, key string) {
	keys := slices.Sorted(maps.Keys(fieldsOf(t)))
	p := flow.Problem{
		Code: flow.CodeUnknownKey, Path: join(path, key), OnKey: true,
		Message: fmt.Sprintf("unknown key %s %s", quoted(key), where(path)),
	}
	if len(b.findings) < maxFindings {
		p.Help = keyHelp(t, path, key, keys)
	}
	if lower := strings.ToLower(key); lower != key && slices.Contains(keys, lower) {
		p.Code, p.Message = flow.CodeKeyCase, fmt.Sprintf("%s is written in other letters: %s", quoted(key), lower)
		p.Help = "keys are case-sensitive: write " + lower
	}
	b.mistake(p)
}

func keyHelp(t reflect.Type, path []string, key string, keys []string) string {
	if other, ok := otherWords()[strings.ToLower(key)]; ok && slices.Contains(keys, other) {
		return fmt.Sprintf("it is called %s here", other)
	}
	if key == "version" && len(path) > 0 {
		return "version = 1 stands above the first table"
	}
	if inner := holder(t, key); inner != "" {
		return fmt.Sprintf("it belongs into [%s]", dotted(join(path, inner)))
	}
	if word := closest(key, keys); word != "" {
		return fmt.Sprintf("did you mean %q?", word)
	}
	if len(keys) <= fewKeys {
		return "the keys here are " + oneOf(keys)
	}
	return "docs/MANIFEST.md lists the keys of this table"
}

// otherWords are the words that other tools have for ours.
func otherWords() map[string]string {
	return map[string]string{
		"use": "plugin", "uses": "plugin", "cmd": "process", "command": "process", "exec": "process", "module": "wasm",
		"file": "wasm", "inputs": "with", "input": "with", "args": "with", "params": "with", "config": "with",
		"if": "when", "condition": "when", "foreach": "each", "for_each": "each", "map": "each",
		"depends_on": "needs", "after": "needs", "requires": "needs", "cron": "schedule", "every": "schedule",
		"interval": "schedule", "retries": "retry", "tz": "timezone", "zone": "timezone", "description": "about",
		"entrypoint": "function", "call": "function", "when": "at", "schedule": "at", "cron_expression": "at",
		"permissions": "grant", "grants": "grant", "capabilities": "grant", "tasks": "steps", "jobs": "pipelines",
		"workflows": "pipelines", "notify": "alerts", "tags": "project", "max_attempts": "attempts", "mem": "memory",
	}
}

// holder returns the key of the table inside t that knows a key, if exactly one does.
func holder(t reflect.Type, key string) string {
	found := ""
	for inner, i := range fieldsOf(t) {
		field := t.Field(i).Type
		if field.Kind() != reflect.Struct || reflect.PointerTo(field).Implements(reflect.TypeFor[unmarshaler]()) {
			continue
		}
		if _, ok := fieldsOf(field)[key]; !ok {
			continue
		}
		if found != "" {
			return ""
		}
		found = inner
	}
	return found
}

// unmarshaler is what values that are written as text have.
type unmarshaler interface{ UnmarshalText([]byte) error }

func (b *binder) arrayOfTables(t reflect.Type, path []string) {
	p := flow.Problem{
		Code: flow.CodeArrayOfTables, Path: path, OnKey: true,
		Message: fmt.Sprintf("%s is written with double brackets", title(path)),
		Help:    fmt.Sprintf("write a plain table: [%s]", dotted(path)),
	}
	switch {
	case t.Kind() == reflect.Map && t.Elem().Kind() == reflect.Struct:
		p.Help = fmt.Sprintf("give each table a name: [%s.NAME]", dotted(path))
	case t == reflect.TypeFor[json.RawMessage]():
		p.Help = fmt.Sprintf("write a list of tables as a value: %s = [ { … }, { … } ]", label(path))
	case t.Kind() != reflect.Struct && t.Kind() != reflect.Map:
		p.Help = fmt.Sprintf("write it as a value: %s = …", label(path))
	}
	b.mistake(p)
}

// wrongType reports a value of another type than the key takes.
func (b *binder) wrongType(t reflect.Type, val any, path []string) {
	p := flow.Problem{
		Code: flow.CodeWrongType, Path: path,
		Message: fmt.Sprintf("%s is %s", label(path), typeName(val)),
		Note:    "expected " + wanted(t),
	}
	p.Help = b.typeHelp(t, val, path)
	b.mistake(p)
}

// typeHelp shows the value as it should be written, where that can be told.
func (b *binder) typeHelp(t reflect.Type, val any, path []string) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	key := path[len(path)-1]
	s, isText := val.(string)
	number, isNumber := val.(int64)
	_, isList := val.([]any)
	switch {
	case t == typeDuration && isNumber:
		return fmt.Sprintf("give it a unit: %s = %q", key, strconv.FormatInt(number, 10)+"s")
	case t == typeSize && isNumber:
		return fmt.Sprintf("give it a unit: %s = %q", key, strconv.FormatInt(number, 10)+"MiB")
	case isText && (t.Kind() == reflect.Bool || t.Kind() == reflect.Int || t.Kind() == reflect.Int64 || t.Kind() == reflect.Float64):
		return "write it without quotes"
	case isText && t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.String:
		return fmt.Sprintf("put it in brackets: %s = [%s]", key, quoted(s))
	case (isText || isList) && t.Kind() == reflect.Map && t.Elem().Kind() == reflect.Struct:
		return fmt.Sprintf("give it a name: [%s.NAME]", dotted(path))
	case t.Kind() == reflect.String && isScalar(val):
		return "put it in quotes: " + quoted(b.doc.sourceOf(path))
	}
	return ""
}

func isScalar(val any) bool {
	switch val.(type) {
	case bool, int64, float64, time.Time:
		return true
	}
	return false
}

// sourceOf returns a value as it is written.
func (d *Document) sourceOf(path []string) string {
	e, _ := d.root.lookup(path)
	return string(d.text.src[e.value.start:e.value.end])
}

// mend returns the text that a slip of the pen in a duration or size was meant to be, or "".
func mend(t reflect.Type, s string) string {
	compact := strings.ReplaceAll(s, " ", "")
	switch t {
	case typeDuration:
		for long, short := range map[string]string{
			"seconds": "s", "second": "s", "secs": "s", "sec": "s", "minutes": "m", "minute": "m", "mins": "m", "min": "m",
			"hours": "h", "hour": "h", "hrs": "h", "days": "d", "day": "d",
		} {
			if head, ok := strings.CutSuffix(compact, long); ok {
				compact = head + short
				break
			}
		}
	case typeSize:
		upper := strings.ToUpper(compact)
		for _, unit := range []string{"K", "M", "G"} {
			for _, ending := range []string{unit, unit + "B", unit + "IB"} {
				if head, ok := strings.CutSuffix(upper, ending); ok {
					compact = head + unit + "iB"
				}
			}
		}
	default:
		compact = strings.ReplaceAll(compact, "-", "..")
	}
	if compact == s || !parses(t, compact) {
		return ""
	}
	return compact
}

func parses(t reflect.Type, s string) bool {
	target, ok := reflect.TypeAssert[unmarshaler](reflect.New(t))
	return ok && target.UnmarshalText([]byte(s)) == nil
}

// isMeasure tells whether numbers of a type carry a unit and must not be zero.
func isMeasure(t reflect.Type) bool {
	return t == typeDuration || t == typeSize || t == typeBackoff
}

// inUnit is a number as the manifest writes it.
func inUnit(t reflect.Type, n int64) string {
	switch t {
	case typeDuration, typeBackoff:
		return flow.Duration(n).String()
	case typeSize:
		return flow.Size(n).String()
	}
	return strconv.FormatInt(n, 10)
}

// title names a table in a message.
func title(path []string) string { return "[" + dotted(path) + "]" }

// where says in which table something stands.
func where(path []string) string {
	if len(path) == 0 {
		return "at the top level"
	}
	return "in " + title(path)
}

// label names a value in a message: its key, or which item of a list it is.
func label(path []string) string {
	last := path[len(path)-1]
	if i, err := strconv.Atoi(last); err == nil && len(path) > 1 {
		return fmt.Sprintf("item %d of %s", i+1, clip(path[len(path)-2]))
	}
	return clip(last)
}
