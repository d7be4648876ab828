package manifest

import (
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

const maxEcho = 60 // characters of foreign text in a message

// clip shortens foreign text for a message and drops what a terminal would obey.
func clip(s string) string {
	if len(s) > maxEcho*4 {
		s = s[:maxEcho*4]
	}
	runes := []rune(strings.ReplaceAll(strings.Map(printable, s), "\t", " "))
	if len(runes) > maxEcho {
		return string(runes[:maxEcho]) + "…"
	}
	return string(runes)
}

// quoted is foreign text in quotes.
func quoted(s string) string { return `"` + clip(s) + `"` }

// dotted is a path as one would write it as a key.
func dotted(path []string) string {
	parts := make([]string, len(path))
	for i, part := range path {
		parts[i] = part
		if !isBare(part) {
			parts[i] = strconv.Quote(part)
		}
	}
	return clip(strings.Join(parts, "."))
}

func isBare(key string) bool {
	return key != "" && !strings.ContainsFunc(key, func(r rune) bool { return !isLetter(r) && !isDigit(r) && r != '_' && r != '-' })
}

func isLetter(r rune) bool { return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' }
func isDigit(r rune) bool  { return r >= '0' && r <= '9' }

// typeName is the TOML word for the type of a decoded value.
func typeName(value any) string {
	switch value.(type) {
	case string:
		return "a string"
	case int64:
		return "an integer"
	case float64:
		return "a float"
	case bool:
		return "a boolean"
	case time.Time:
		return "a date or time"
	case map[string]any:
		return "a table"
	case []any:
		return "an array"
	case []map[string]any:
		return "an array of tables"
	}
	return "an unknown value"
}

// wanted is the TOML word for what a field takes.
func wanted(t reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t {
	case typeDuration:
		return `a duration string like "90s"`
	case typeSize:
		return `a size string like "64MiB"`
	case typeBackoff:
		return `a string like "1s..1m"`
	case typeSecretText:
		return `a string or { secret = "NAME" }`
	}
	switch t.Kind() {
	case reflect.Bool:
		return "a boolean"
	case reflect.Int, reflect.Int64:
		return "an integer"
	case reflect.Float64:
		return "a number"
	case reflect.Slice:
		if t.Elem().Kind() == reflect.String {
			return "an array of strings"
		}
		return "an array"
	case reflect.Map, reflect.Struct:
		return "a table"
	default:
		return "a string"
	}
}

// closest returns the word nearest to a typed one, or "" if none is near.
func closest(typed string, words []string) string {
	if len(typed) > 64 {
		return ""
	}
	best, least := "", max(1, len(typed)/3)+1
	for _, word := range words {
		if d := flow.EditDistance(strings.ToLower(typed), word); d < least {
			best, least = word, d
		}
	}
	return best
}

// oneOf lists words: a, b or c.
func oneOf(words []string) string {
	words = slices.Clone(words)
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}
