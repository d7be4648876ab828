package schema

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func TestMisfitsAreNamedWithTheirPlace(t *testing.T) {
	t.Parallel()
	const rows = `{"type":"object","required":["rows"],"additionalProperties":false,"properties":{
		"rows":{"type":"array","items":{"type":"integer"}},"mode":{"enum":["a","b"]},"at":{"anyOf":[{"type":"string"},{"type":"null"}]}}}`
	for _, c := range []struct {
		schema, value string
		open          [][]string
		want          []string
	}{
		{rows, `{"rows":[1,2]}`, nil, nil},
		{rows, `{}`, nil, []string{"missing property 'rows'"}},
		{rows, `{"rows":[1,"x"],"mode":"c","more":1}`, nil, []string{"additional properties 'more' not allowed", "mode: value must be one of 'a', 'b'", "rows.1: got string, want integer"}},
		{rows, `{"rows":"${x}","mode":"${y}"}`, [][]string{{"rows"}, {"mode"}}, nil},
		{rows, `{"rows":[1,"${x}"]}`, [][]string{{"rows", "1"}}, nil},
		{rows, `{"rows":[],"at":7}`, nil, []string{"at: 'anyOf' failed"}},
		{rows, `{"rows":[],"at":{"a":"${x}"}}`, [][]string{{"at", "a"}}, nil},
		{`true`, `{"x":1}`, nil, nil},
		{`false`, `{}`, nil, []string{"false schema"}},
		{`{"properties":{"n":{"maximum":9007199254740993}}}`, `{"n":9007199254740994}`, nil, []string{"n: maximum"}},
		{`{"$defs":{"n":{"type":"number"}},"properties":{"x":{"$ref":"#/$defs/n"}}}`, `{"x":"y"}`, nil, []string{"x: got string, want number"}},
	} {
		value, err := Decode(json.RawMessage(c.value))
		if err != nil {
			t.Fatal(err)
		}
		found, err := new(Shapes).Misfits(json.RawMessage(c.schema), value, c.open)
		if err != nil {
			t.Errorf("%s: %v", c.schema, err)
			continue
		}
		if len(found) != len(c.want) {
			t.Errorf("%s in %s: %v, want %v", c.value, c.schema, found, c.want)
			continue
		}
		all := fmt.Sprint(found)
		for _, want := range c.want {
			if !strings.Contains(all, want) {
				t.Errorf("%s in %s: %v, want %q", c.value, c.schema, found, want)
			}
		}
	}
}

// A schema is text from elsewhere: it reads no files, asks no network, and ends.
func TestSchemasOfPluginsStandAlone(t *testing.T) {
	t.Parallel()
	var shapes Shapes
	for _, doc := range []string{
		`{`, `7`, `{"type":"colour"}`, `{"$ref":"file:///etc/passwd"}`, `{"$ref":"https://example.com/schema.json"}`, `{"$schema":"https://example.com/none"}`,
		`{"pattern":"("}`, `{"$ref":"#/$defs/none"}`,
	} {
		if found, err := shapes.Misfits(json.RawMessage(doc), map[string]any{}, nil); err == nil {
			t.Errorf("%s is taken for a schema: %v", doc, found)
		}
	}
	if found, err := shapes.Misfits(json.RawMessage(`{"$ref":"#"}`), map[string]any{}, nil); err == nil && len(found) == 0 {
		t.Error("a schema that refers to itself fits")
	}
	if _, err := shapes.Misfits(json.RawMessage(`{"pattern":"(a+)+$"}`), strings.Repeat("a", 1<<16)+"!", nil); err != nil {
		t.Error(err)
	}
}
