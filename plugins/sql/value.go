package main

import (
	"bytes"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/uniflow-dev/uniflow/sdk/abi"
)

// kind is the type of a column, as the output columns names it.
type kind string

const (
	kindText      kind = "text" // also of all types that have no other
	kindBoolean   kind = "boolean"
	kindInteger   kind = "integer"
	kindFloat     kind = "float"
	kindFloat32   kind = "float32"
	kindDecimal   kind = "decimal"
	kindBytes     kind = "bytes"
	kindJSON      kind = "json"
	kindDate      kind = "date"
	kindTime      kind = "time"
	kindTimestamp kind = "timestamp" // without a zone
	kindInstant   kind = "instant"   // with one: in UTC
	kindUUID      kind = "uuid"
)

func kindByName(c *sql.ColumnType, names map[string]kind) kind {
	if k, ok := names[strings.ToUpper(c.DatabaseTypeName())]; ok {
		return k
	}
	return kindText
}

// column is one of a result.
type column struct {
	Name string `json:"name"`
	Type kind   `json:"type"`
}

const (
	dateLayout      = "2006-01-02"
	timestampLayout = "2006-01-02T15:04:05.999999999"
)

// toJSON returns a value of a result without loss: integers with all digits, decimals and what JSON has no numbers for as
// text, bytes as {"$base64": "..."}.
func toJSON(v any, k kind) (json.RawMessage, error) {
	switch x := v.(type) {
	case nil:
		return json.RawMessage("null"), nil
	case bool:
		return strconv.AppendBool(nil, x), nil
	case int64:
		return strconv.AppendInt(nil, x, 10), nil
	case uint64:
		return strconv.AppendUint(nil, x, 10), nil
	case float32:
		return floatJSON(float64(x), 32), nil
	case float64:
		if k == kindFloat32 {
			return floatJSON(x, 32), nil
		}
		return floatJSON(x, 64), nil
	case time.Time:
		return abi.Marshal(timeText(x, k))
	case []byte:
		return bytesJSON(x, k)
	case string:
		return textJSON(x, k)
	}
	return nil, fmt.Errorf("a value of the type %T", v)
}

func floatJSON(f float64, bits int) json.RawMessage {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return strconv.AppendQuote(nil, floatText(f, bits))
	}
	return json.RawMessage(floatText(f, bits))
}

func floatText(f float64, bits int) string {
	switch {
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	}
	return strconv.FormatFloat(f, 'g', -1, bits)
}

func timeText(t time.Time, k kind) string {
	switch {
	case k == kindInstant:
		return t.UTC().Format(timestampLayout + "Z")
	case k == kindDate && t.Equal(t.Truncate(24*time.Hour)):
		return t.Format(dateLayout)
	}
	if _, offset := t.Zone(); offset != 0 {
		return t.Format(timestampLayout + "Z07:00")
	}
	return t.Format(timestampLayout)
}

func bytesJSON(b []byte, k kind) (json.RawMessage, error) {
	if k == kindBytes || !utf8.Valid(b) {
		return abi.Marshal(map[string]string{"$base64": base64.StdEncoding.EncodeToString(b)})
	}
	if k == kindText && b == nil {
		return json.RawMessage("null"), nil
	}
	return textJSON(string(b), k)
}

func textJSON(s string, k kind) (json.RawMessage, error) {
	switch {
	case k == kindJSON && abi.CheckJSON([]byte(s)) == abi.OK:
		return json.RawMessage(strings.TrimSpace(s)), nil
	case k == kindTimestamp && len(s) > len(dateLayout) && s[len(dateLayout)] == ' ':
		s = s[:len(dateLayout)] + "T" + s[len(dateLayout)+1:]
	case k == kindInteger && abi.CheckJSON([]byte(s)) == abi.OK:
		return json.RawMessage(s), nil // a server that sends its numbers as text
	case (k == kindFloat || k == kindFloat32) && abi.CheckJSON([]byte(s)) == abi.OK:
		return json.RawMessage(s), nil
	case !utf8.ValidString(s):
		return bytesJSON([]byte(s), kindBytes)
	}
	return abi.Marshal(s)
}

// toText returns a value of a result for CSV.
func toText(v any, k kind) (string, error) {
	if b, ok := v.([]byte); ok && (k == kindBytes || !utf8.Valid(b)) {
		return base64.StdEncoding.EncodeToString(b), nil
	}
	doc, err := toJSON(v, k)
	if err != nil || len(doc) == 0 || doc[0] != '"' || k == kindJSON {
		return string(doc), err
	}
	var text string
	err = json.Unmarshal(doc, &text)
	return text, err
}

// toBind returns what is bound for a value of JSON: text as text, {"$base64": "..."} as bytes, other objects and lists as
// the text of their JSON, and numbers as the dialect reads them without loss.
func (d *dialect) toBind(doc json.RawMessage) (any, error) {
	doc = bytes.TrimSpace(doc)
	if len(doc) == 0 {
		return nil, nil
	}
	switch doc[0] {
	case 'n':
		return nil, nil
	case 't', 'f':
		if d.textual {
			return string(doc), nil
		}
		return doc[0] == 't', nil
	case '"':
		var s string
		err := json.Unmarshal(doc, &s)
		return s, err
	case '{':
		var b struct {
			Base64 *[]byte `json:"$base64"`
		}
		if json.Unmarshal(doc, &b) == nil && b.Base64 != nil {
			return *b.Base64, nil
		}
		return string(doc), nil
	case '[':
		return string(doc), nil
	}
	if n, err := strconv.ParseInt(string(doc), 10, 64); err == nil && !d.textual {
		return n, nil
	}
	if f, err := strconv.ParseFloat(string(doc), 64); err == nil && d.floats {
		return f, nil
	}
	return string(doc), nil
}

// bindAll returns what is bound for a list of values.
func (d *dialect) bindAll(docs []json.RawMessage) ([]any, error) {
	values := make([]any, len(docs))
	for i, doc := range docs {
		v, err := d.toBind(doc)
		if err != nil {
			return nil, refuse("value %d: %v", i+1, err)
		}
		values[i] = v
	}
	return values, nil
}
