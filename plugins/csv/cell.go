package main

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// cell is a value of a table: nil, string, int64, float64 or bool.
type cell any

// cellOf reads a field as a value of a type. An empty field is a value of the type string alone.
func cellOf(field, kind string) (cell, error) {
	if kind == "" || kind == "string" {
		return field, nil
	}
	field = strings.TrimSpace(field)
	if field == "" {
		return nil, nil
	}
	switch kind {
	case "number":
		n, err := strconv.ParseFloat(field, 64)
		if err != nil || math.IsInf(n, 0) || math.IsNaN(n) {
			return nil, fmt.Errorf("%q is no number", field)
		}
		return n, nil
	case "integer":
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%q is no integer of 64 bits", field)
		}
		return n, nil
	case "boolean":
		return booleanOf(field)
	}
	if _, ok := dateOf(field); !ok {
		return nil, fmt.Errorf("%q is no date: they are written 2006-01-02 or 2006-01-02T15:04:05Z", field)
	}
	return field, nil
}

func booleanOf(field string) (cell, error) {
	switch strings.ToLower(field) {
	case "true", "yes", "y", "t", "1":
		return true, nil
	case "false", "no", "n", "f", "0":
		return false, nil
	}
	return nil, fmt.Errorf("%q is neither true nor false", field)
}

// plainDate reads the form that most dates have, 2006-01-02, without going through layouts.
func plainDate(text string) (time.Time, bool) {
	if len(text) != len(time.DateOnly) || text[4] != '-' || text[7] != '-' {
		return time.Time{}, false
	}
	digits := 0
	for i := range len(text) {
		if i == 4 || i == 7 {
			continue
		}
		if text[i] < '0' || text[i] > '9' {
			return time.Time{}, false
		}
		digits = digits*10 + int(text[i]-'0')
	}
	month, day := time.Month(digits/100%100), digits%100
	at := time.Date(digits/10_000, month, day, 0, 0, 0, 0, time.UTC)
	return at, at.Month() == month && at.Day() == day
}

// dateOf reads a date, or an instant.
func dateOf(text string) (time.Time, bool) {
	if at, ok := plainDate(text); ok {
		return at, true
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339Nano, "2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02 15:04"} {
		if len(text) < len("2006-01-02") {
			return time.Time{}, false
		}
		if at, err := time.Parse(layout, text); err == nil {
			return at, true
		}
	}
	return time.Time{}, false
}

// partOf returns a part of a date; nil of what is none.
func partOf(c cell, part string) cell {
	text, ok := c.(string)
	if !ok {
		return nil
	}
	at, ok := dateOf(text)
	if !ok {
		return nil
	}
	switch part {
	case "year":
		return int64(at.Year())
	case "month":
		return at.Format("2006-01")
	case "day":
		return at.Format(time.DateOnly)
	case "hour":
		return int64(at.Hour())
	}
	return at.Weekday().String()
}

// kindOfPart is the type of the column that holds a part.
func kindOfPart(part string) (string, bool) {
	switch part {
	case "year", "hour":
		return "integer", true
	case "month", "weekday", "day":
		return "string", true
	}
	return "", false
}

// compare orders values: nothing first, then false and true, numbers, texts.
func compare(a, b cell) int {
	if x, y := rank(a), rank(b); x != y {
		return x - y
	}
	switch x := a.(type) {
	case string:
		y, _ := b.(string) // of the same rank, so it is one
		return strings.Compare(x, y)
	case bool:
		y, _ := b.(bool) // as above
		return boolRank(x) - boolRank(y)
	case int64:
		if y, ok := b.(int64); ok {
			return cmp.Compare(x, y)
		}
	case nil:
		return 0
	}
	return cmp.Compare(number(a), number(b))
}

func rank(c cell) int {
	switch c.(type) {
	case nil:
		return 0
	case bool:
		return 1
	case int64, float64:
		return 2
	}
	return 3
}

func boolRank(b bool) int {
	if b {
		return 1
	}
	return 0
}

func number(c cell) float64 {
	switch n := c.(type) {
	case int64:
		return float64(n)
	case float64:
		return n
	}
	return math.NaN()
}

// text is a value as a field of CSV.
func text(c cell) string {
	switch v := c.(type) {
	case string:
		return v
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case bool:
		return strconv.FormatBool(v)
	}
	return ""
}
