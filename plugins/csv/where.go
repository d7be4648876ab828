package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// condition compares the values of a column.
type condition struct {
	Column string `json:"column"`
	Op     string `json:"op"` // == != < <= > >= in contains starts ends empty
	Value  any    `json:"value"`
}

// test reports whether a row is kept.
type test func(row []cell) bool

// compile makes a test of a condition on the column at index i, whose type is kind.
func (w *condition) compile(i int, kind string) (test, error) {
	switch w.Op {
	case "==", "!=", "<", "<=", ">", ">=":
		return w.ordered(i, kind)
	case "in":
		return w.among(i, kind)
	case "contains", "starts", "ends":
		return w.within(i)
	case "empty":
		want, ok := w.Value.(bool)
		if !ok {
			return nil, fmt.Errorf("empty takes true or false")
		}
		return func(row []cell) bool { return (row[i] == nil || row[i] == "") == want }, nil
	}
	return nil, fmt.Errorf("op %q is none of ==, !=, <, <=, >, >=, in, contains, starts, ends, empty", w.Op)
}

// ordered compares with one value; nothing compares with nothing, as in SQL.
func (w *condition) ordered(i int, kind string) (test, error) {
	value, err := operand(w.Value, kind)
	if err != nil {
		return nil, err
	}
	holds := map[string]func(int) bool{
		"==": func(c int) bool { return c == 0 }, "!=": func(c int) bool { return c != 0 },
		"<": func(c int) bool { return c < 0 }, "<=": func(c int) bool { return c <= 0 },
		">": func(c int) bool { return c > 0 }, ">=": func(c int) bool { return c >= 0 },
	}[w.Op]
	return func(row []cell) bool { return row[i] != nil && holds(compare(row[i], value)) }, nil
}

func (w *condition) among(i int, kind string) (test, error) {
	list, ok := w.Value.([]any)
	if !ok {
		return nil, fmt.Errorf("in takes a list of values")
	}
	var values []cell
	for _, v := range list {
		value, err := operand(v, kind)
		if err != nil {
			return nil, err
		}
		values = append(values, value)
	}
	return func(row []cell) bool {
		return row[i] != nil && slices.ContainsFunc(values, func(v cell) bool { return compare(row[i], v) == 0 })
	}, nil
}

func (w *condition) within(i int) (test, error) {
	part, ok := w.Value.(string)
	if !ok {
		return nil, fmt.Errorf("%s takes a text", w.Op)
	}
	find := map[string]func(string, string) bool{"contains": strings.Contains, "starts": strings.HasPrefix, "ends": strings.HasSuffix}[w.Op]
	return func(row []cell) bool {
		s, ok := row[i].(string)
		return ok && find(s, part)
	}, nil
}

// operand is a value of an input, as one of a column of that type.
func operand(v any, kind string) (cell, error) {
	switch x := v.(type) {
	case json.Number:
		if kind == "number" || kind == "integer" {
			if n, err := x.Int64(); err == nil {
				return n, nil
			}
			return x.Float64()
		}
	case bool:
		if kind == "boolean" {
			return x, nil
		}
	case string:
		if kind == "" || kind == "string" || kind == "date" {
			return x, nil
		}
	}
	if kind == "" {
		kind = "string"
	}
	return nil, fmt.Errorf("value %v is not of the column's type, %s: say another in types", v, kind)
}
