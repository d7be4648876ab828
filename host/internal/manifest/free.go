package manifest

import (
	"bytes"
	"encoding/json"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// free returns a value that the manifest does not type (context, with, default, enum) as JSON: integers stay integers
// and floats keep their point, dates and times become RFC 3339 strings, keys are sorted.
func (b *binder) free(val any, path []string) json.RawMessage {
	plain, ok := b.plain(val, path)
	if !ok {
		return nil
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false) // the text goes to plugins as it was written
	if err := enc.Encode(plain); err != nil {
		// Nothing that plain returns can fail to be JSON; should it, the value is refused and not lost.
		b.wrongValue(path)
		return nil
	}
	return json.RawMessage(bytes.TrimSuffix(out.Bytes(), []byte("\n")))
}

// plain returns a value of types that JSON knows, and whether all of it is.
func (b *binder) plain(val any, path []string) (any, bool) {
	switch x := val.(type) {
	case float64:
		if !b.finite(x, path) {
			return nil, false
		}
		return json.RawMessage(floatText(x)), true
	case time.Time:
		return timeText(x), true
	case map[string]any:
		table, all := make(map[string]any, len(x)), true
		for key, inner := range x {
			value, ok := b.plain(inner, join(path, key))
			table[key], all = value, all && ok
		}
		return table, all
	case []any:
		list, all := make([]any, len(x)), true
		for i, inner := range x {
			value, ok := b.plain(inner, join(path, strconv.Itoa(i)))
			list[i], all = value, all && ok
		}
		return list, all
	case []map[string]any:
		b.arrayOfTables(reflect.TypeFor[json.RawMessage](), path)
		return nil, false
	case string, bool, int64:
		return x, true
	}
	b.wrongValue(path)
	return nil, false
}

func (b *binder) wrongValue(path []string) {
	b.mistake(flow.Problem{Code: flow.CodeWrongType, Path: path, Message: label(path) + " has a value that JSON does not know"})
}

// finite reports inf and nan.
func (b *binder) finite(f float64, path []string) bool {
	if !math.IsInf(f, 0) && !math.IsNaN(f) {
		return true
	}
	b.mistake(flow.Problem{
		Code: flow.CodeNoNumber, Path: path, Message: label(path) + " is " + strings.TrimPrefix(strings.ToLower(strconv.FormatFloat(f, 'g', -1, 64)), "+"),
		Note: "expected a finite number", Help: "leave the key out, or use a number that is large enough",
	})
	return false
}

// floatText keeps the mark of a float: 1.0 stays apart from 1.
func floatText(f float64) string {
	text := strconv.FormatFloat(f, 'g', -1, 64)
	if !strings.ContainsAny(text, ".e") {
		text += ".0"
	}
	return text
}

// timeText is RFC 3339; dates and times without a zone stay without one. The decoder marks these by the name of the
// location.
func timeText(t time.Time) string {
	switch t.Location().String() {
	case "date-local":
		return t.Format(time.DateOnly)
	case "time-local":
		return t.Format("15:04:05.999999999")
	case "datetime-local":
		return t.Format("2006-01-02T15:04:05.999999999")
	}
	return t.Format(time.RFC3339Nano)
}

// secretText binds a text or { secret = "NAME" }.
func (b *binder) secretText(target *flow.SecretText, val any, path []string) {
	switch x := val.(type) {
	case string:
		if b.text(rule{}, x, path) {
			target.Text = x
		}
	case map[string]any:
		name, ok := x["secret"].(string)
		if !ok || len(x) != 1 {
			b.mistake(flow.Problem{
				Code: flow.CodeBadSecretText, Path: path, Message: label(path) + " is a table without exactly the key secret",
				Note: `expected { secret = "NAME" }`, Help: `write the text itself, or { secret = "NAME" }`,
			})
			return
		}
		b.secretName(name, join(path, "secret"))
		target.Secret = name
	default:
		b.wrongType(typeSecretText, val, path)
	}
}

func (b *binder) secretName(name string, path []string) {
	if wrong := nameSecret.check(name); wrong != "" {
		b.mistake(flow.Problem{
			Code: flow.CodeBadName, Path: path, Message: quoted(name) + " is not the name of a secret", Note: wrong,
		})
	}
}
