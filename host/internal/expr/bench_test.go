package expr

import (
	"encoding/json"
	"strings"
	"testing"
)

func BenchmarkCompileCondition(b *testing.B) {
	for b.Loop() {
		if _, err := NewScope(weather()).Condition("steps.load.count > 0 && context.year > 2000"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCondition(b *testing.B) {
	c, err := NewScope(weather()).Condition("steps.load.count > 0 && context.year > 2000")
	if err != nil {
		b.Fatal(err)
	}
	v := values()
	for b.Loop() {
		if _, err := c.Bool(b.Context(), v); err != nil {
			b.Fatal(err)
		}
	}
}

// A path copies bytes: its cost is that of reading them once.
func BenchmarkPathOfOneMegabyte(b *testing.B) {
	benchmarkLarge(b, "${steps.load.rows}")
}

func BenchmarkExpressionOverOneMegabyte(b *testing.B) {
	benchmarkLarge(b, "${size(steps.load.rows)}")
}

func benchmarkLarge(b *testing.B, text string) {
	t, err := NewScope(weather()).Text(text)
	if err != nil {
		b.Fatal(err)
	}
	v := values()
	v.Steps["load"].Named["rows"] = json.RawMessage("[" + strings.Repeat(`{"a":1,"b":"x"},`, 60_000) + "0]")
	for b.Loop() {
		if _, err := t.JSON(b.Context(), v); err != nil {
			b.Fatal(err)
		}
	}
}
