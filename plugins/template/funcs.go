package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// funcs are what a template may call beside and/or/not, comparisons, index, slice, len, print, printf, println, html, js
// and urlquery. None reaches outside, and none calls what it is handed.
func funcs(html bool) map[string]any {
	all := map[string]any{
		"call":   func(...any) (string, error) { return "", errors.New("call is not to be had here") },
		"printf": printf,
		"upper":  strings.ToUpper, "lower": strings.ToLower, "title": title, "trim": strings.TrimSpace,
		"replace":  func(old, by, s string) string { return strings.ReplaceAll(s, old, by) },
		"split":    func(at, s string) []string { return strings.Split(s, at) },
		"join":     join,
		"contains": func(part, s string) bool { return strings.Contains(s, part) },
		"truncate": truncate,
		"pad":      func(width int, s any) (string, error) { return pad(s, width, false) },
		"padleft":  func(width int, s any) (string, error) { return pad(s, width, true) },
		"default":  orElse,
		"json":     toJSON,
		"number":   number,
		"percent": func(v any, digits ...int) (string, error) {
			n, err := toFloat(v)
			if err != nil {
				return "", err
			}
			s, err := number(n*100, digits...)
			return s + " %", err
		},
		"date": date,
		"add":  arithmetic(func(a, b float64) (float64, error) { return a + b, nil }),
		"sub":  arithmetic(func(a, b float64) (float64, error) { return a - b, nil }),
		"mul":  arithmetic(func(a, b float64) (float64, error) { return a * b, nil }),
		"div":  arithmetic(divide),
		"mod":  arithmetic(modulo),
		"round": func(digits int, v any) (any, error) {
			n, err := toFloat(v)
			scale := math.Pow(10, float64(min(max(digits, 0), 15)))
			return whole(math.Round(n*scale) / scale), err
		},
		"sum":    func(list any) (any, error) { return fold(list, func(a, b float64) float64 { return a + b }) },
		"max":    func(list any) (any, error) { return fold(list, math.Max) },
		"min":    func(list any) (any, error) { return fold(list, math.Min) },
		"column": column,
		"dict":   dict,
		"list":   func(items ...any) []any { return items },
		"table":  func(rows any, columns ...string) (any, error) { return table(html, rows, columns) },
	}
	return all
}

// maxWidth bounds what a width makes of a short text.
const maxWidth = 10_000

// printf is fmt.Sprintf without widths that make much of little.
func printf(format string, args ...any) (string, error) {
	if strings.Contains(format, "*") {
		return "", errors.New("a width that is an argument is not to be had here")
	}
	digits := 0
	for _, c := range format {
		if c < '0' || c > '9' {
			digits = 0
		} else if digits++; digits > 4 {
			return "", fmt.Errorf("a width over %d", maxWidth)
		}
	}
	return fmt.Sprintf(format, args...), nil
}

func title(s string) string {
	start := true
	return strings.Map(func(r rune) rune {
		begins := start
		start = !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '\''
		if begins {
			return unicode.ToTitle(r)
		}
		return unicode.ToLower(r)
	}, s)
}

func join(between string, list any) (string, error) {
	items, err := toList(list)
	if err != nil {
		return "", err
	}
	texts := make([]string, len(items))
	for i, item := range items {
		texts[i] = fmt.Sprint(item)
	}
	return strings.Join(texts, between), nil
}

func truncate(width int, s string) string {
	runes := []rune(s)
	if width < 1 || len(runes) <= width {
		return s
	}
	return string(runes[:width-1]) + "…"
}

func pad(v any, width int, left bool) (string, error) {
	if width > maxWidth {
		return "", fmt.Errorf("a width over %d", maxWidth)
	}
	s := fmt.Sprint(v)
	fill := strings.Repeat(" ", max(width-len([]rune(s)), 0))
	if left {
		return fill + s, nil
	}
	return s + fill, nil
}

// orElse is what stands for nothing: {{.owner | default "nobody"}}.
func orElse(otherwise, v any) any {
	if v == nil || v == "" {
		return otherwise
	}
	return v
}

func toJSON(v any) (string, error) {
	doc, err := json.Marshal(v)
	return string(doc), err
}

// number writes a number with commas between thousands: {{number 1234.5 2}} is 1,234.50.
func number(v any, digits ...int) (string, error) {
	if v == nil {
		return "", nil
	}
	n, err := toFloat(v)
	if err != nil {
		return "", err
	}
	precision := -1
	if i, exact := v.(int); exact && len(digits) == 0 {
		return thousands(strconv.Itoa(i)), nil
	}
	if len(digits) > 0 {
		precision = min(max(digits[0], 0), 15)
	}
	return thousands(strconv.FormatFloat(n, 'f', precision, 64)), nil
}

func thousands(s string) string {
	sign := ""
	if strings.HasPrefix(s, "-") {
		sign, s = "-", s[1:]
	}
	before, after, fraction := strings.Cut(s, ".")
	var b strings.Builder
	for i, c := range before {
		if i > 0 && (len(before)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(c)
	}
	if fraction {
		b.WriteString("." + after)
	}
	return sign + b.String()
}

// date writes a date or an instant in a layout of Go: {{date "2 January 2006" .at}}. A number is seconds since 1970.
func date(layout string, v any) (string, error) {
	switch v := v.(type) {
	case nil:
		return "", nil
	case string:
		for _, known := range []string{time.RFC3339Nano, time.DateOnly, "2006-01", "2006-01-02 15:04:05", "2006-01-02T15:04:05"} {
			if at, err := time.Parse(known, v); err == nil {
				return at.Format(layout), nil
			}
		}
		return "", fmt.Errorf("%q is no date", v)
	}
	n, err := toFloat(v)
	if err != nil {
		return "", err
	}
	return time.Unix(int64(n), 0).UTC().Format(layout), nil
}

func arithmetic(op func(a, b float64) (float64, error)) func(a, b any) (any, error) {
	return func(a, b any) (any, error) {
		x, err := toFloat(a)
		if err != nil {
			return nil, err
		}
		y, err := toFloat(b)
		if err != nil {
			return nil, err
		}
		n, err := op(x, y)
		return whole(n), err
	}
}

func divide(a, b float64) (float64, error) {
	if b == 0 {
		return 0, errors.New("division by zero")
	}
	return a / b, nil
}

func modulo(a, b float64) (float64, error) {
	if b == 0 {
		return 0, errors.New("division by zero")
	}
	return math.Mod(a, b), nil
}

// whole is a number as int where it is one.
func whole(n float64) any {
	if n == math.Trunc(n) && math.Abs(n) < 1<<53 {
		return int(n)
	}
	return n
}

func toFloat(v any) (float64, error) {
	switch n := v.(type) {
	case int:
		return float64(n), nil
	case float64:
		return n, nil
	case string:
		if f, err := strconv.ParseFloat(n, 64); err == nil {
			return f, nil
		}
	}
	return 0, fmt.Errorf("%v is no number", v)
}

func toList(v any) ([]any, error) {
	switch list := v.(type) {
	case nil:
		return nil, nil
	case []any:
		return list, nil
	case []string:
		items := make([]any, len(list))
		for i, s := range list {
			items[i] = s
		}
		return items, nil
	}
	return nil, fmt.Errorf("%s is no list", reflect.TypeOf(v))
}

func fold(list any, op func(a, b float64) float64) (any, error) {
	items, err := toList(list)
	if err != nil {
		return nil, err
	}
	items = slices.DeleteFunc(slices.Clone(items), func(v any) bool { return v == nil })
	if len(items) == 0 {
		return 0, nil
	}
	all, err := toFloat(items[0])
	for _, item := range items[1:] {
		n, wrong := toFloat(item)
		if wrong != nil {
			return nil, wrong
		}
		all = op(all, n)
	}
	return whole(all), err
}

// column is the list of one member of all rows: {{sum (column "cost" .rows)}}.
func column(name string, rows any) ([]any, error) {
	items, err := toList(rows)
	if err != nil {
		return nil, err
	}
	values := make([]any, 0, len(items))
	for i, item := range items {
		row, ok := item.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("row %d is no object", i+1)
		}
		values = append(values, row[name])
	}
	return values, nil
}

// dict makes an object of names and values, for a partial that takes several.
func dict(pairs ...any) (map[string]any, error) {
	if len(pairs)%2 != 0 {
		return nil, errors.New("dict takes names and values in turn")
	}
	all := map[string]any{}
	for i := 0; i < len(pairs); i += 2 {
		name, ok := pairs[i].(string)
		if !ok {
			return nil, fmt.Errorf("dict: %v is no name", pairs[i])
		}
		all[name] = pairs[i+1]
	}
	return all, nil
}
