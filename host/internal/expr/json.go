package expr

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
)

// encode returns v as JSON, without the escapes for HTML. v holds only what JSON can hold.
func encode(v any) json.RawMessage {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return json.RawMessage("null")
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

func jsonString(s string) json.RawMessage { return encode(s) }

// joinObject writes members in the order of their keys, each value as it is.
func joinObject(members map[string]json.RawMessage) json.RawMessage {
	var b bytes.Buffer
	for i, key := range slices.Sorted(maps.Keys(members)) {
		b.WriteByte("{,"[min(i, 1)])
		b.Write(jsonString(key))
		b.WriteByte(':')
		b.Write(members[key])
	}
	if len(members) == 0 {
		b.WriteByte('{')
	}
	b.WriteByte('}')
	return b.Bytes()
}

// joinList writes elements in order, each as it is; one that is missing is null.
func joinList(elements []json.RawMessage) json.RawMessage {
	b := []byte{'['}
	for i, e := range elements {
		if i > 0 {
			b = append(b, ',')
		}
		if len(e) == 0 {
			e = json.RawMessage("null")
		}
		b = append(b, e...)
	}
	return append(b, ']')
}

// kindOf names the kind of a JSON value, with its article.
func kindOf(raw json.RawMessage) string {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 {
		return "null"
	}
	switch raw[0] {
	case '{':
		return "an object"
	case '[':
		return "a list"
	case '"':
		return "a string"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	}
	return "a number"
}
