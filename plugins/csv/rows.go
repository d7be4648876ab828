package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"io"
	"path"
	"strings"

	"github.com/uniflow-dev/uniflow/plugins/internal/first"
)

// maxRows bounds the JSON of rows that are an output, in bytes.
const maxRows = 8 << 20

// selected returns the columns that are kept, by name and by index in a row.
func (t *table) selected() ([]string, []int) {
	names := t.options.Select
	if len(names) == 0 {
		names = t.out.names
	}
	indexes := make([]int, len(names))
	for i, name := range names {
		indexes[i], _ = t.out.find(name) // they were found before
	}
	return names, indexes
}

// checkFormat refuses a name whose suffix names no format.
func checkFormat(name string) error {
	switch strings.ToLower(path.Ext(name)) {
	case ".csv", ".tsv", ".json", ".ndjson", ".jsonl":
		return nil
	}
	return first.Wrong("with: to %q names no format: it ends in .csv, .tsv, .json or .ndjson", name)
}

// rowWriter writes rows in a format.
type rowWriter interface {
	row(row []cell) error
	end() error
}

func newRowWriter(w io.Writer, o *readOptions, t *table) rowWriter {
	names, indexes := t.selected()
	switch suffix := strings.ToLower(path.Ext(o.To)); suffix {
	case ".csv", ".tsv":
		to := csv.NewWriter(w)
		if suffix == ".tsv" {
			to.Comma = '\t'
		}
		return &csvRows{to: to, header: names, indexes: indexes, record: make([]string, len(indexes))}
	case ".json":
		return &jsonWriter{w: w, object: newObject(names, indexes), list: true}
	}
	return &jsonWriter{w: w, object: newObject(names, indexes)}
}

// csvRows writes CSV with a header.
type csvRows struct {
	to      *csv.Writer
	header  []string
	indexes []int
	record  []string
}

func (c *csvRows) row(row []cell) error {
	if err := c.begin(); err != nil {
		return err
	}
	for i, index := range c.indexes {
		c.record[i] = text(row[index])
	}
	return c.to.Write(c.record)
}

func (c *csvRows) begin() error {
	header := c.header
	c.header = nil
	if header == nil {
		return nil
	}
	return c.to.Write(header)
}

func (c *csvRows) end() error {
	if err := c.begin(); err != nil {
		return err
	}
	c.to.Flush()
	return c.to.Error()
}

// jsonWriter writes one object a line, or a list of them.
type jsonWriter struct {
	w      io.Writer
	object object
	list   bool
	count  int
	buf    []byte
}

func (j *jsonWriter) row(row []cell) error {
	j.buf = j.buf[:0]
	switch {
	case j.list && j.count == 0:
		j.buf = append(j.buf, "[\n"...)
	case j.list:
		j.buf = append(j.buf, ",\n"...)
	}
	j.count++
	var err error
	if j.buf, err = j.object.append(j.buf, row); err != nil {
		return err
	}
	if !j.list {
		j.buf = append(j.buf, '\n')
	}
	_, err = j.w.Write(j.buf)
	return err
}

func (j *jsonWriter) end() error {
	if !j.list {
		return nil
	}
	end := "\n]\n"
	if j.count == 0 {
		end = "[]\n"
	}
	_, err := io.WriteString(j.w, end)
	return err
}

// object writes rows as JSON objects whose members are in the order of the columns.
type object struct {
	keys    [][]byte // with their colons
	indexes []int
}

func newObject(names []string, indexes []int) object {
	o := object{indexes: indexes}
	for _, name := range names {
		o.keys = append(o.keys, append(quoted(name), ':'))
	}
	return o
}

func (o *object) append(to []byte, row []cell) ([]byte, error) {
	to = append(to, '{')
	for i, index := range o.indexes {
		if i > 0 {
			to = append(to, ',')
		}
		to = append(to, o.keys[i]...)
		switch v := row[index].(type) {
		case nil:
			to = append(to, "null"...)
		case string:
			to = append(to, quoted(v)...)
		default:
			value, err := json.Marshal(v)
			if err != nil {
				return nil, first.Wrong("a sum is no JSON number: %w", err)
			}
			to = append(to, value...)
		}
	}
	return append(to, '}'), nil
}

// quoted is a text as JSON, without the escapes that only HTML needs.
func quoted(s string) []byte {
	plain := true
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= 0x7f {
			plain = false
			break
		}
	}
	if plain {
		return append(append(append(make([]byte, 0, len(s)+2), '"'), s...), '"')
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil { // cannot be: a text is always JSON
		return []byte(`""`)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// jsonRows is the list of all rows.
func jsonRows(t *table) (json.RawMessage, error) {
	o := newObject(t.selected())
	list := []byte{'['}
	for i, row := range t.rows {
		if i > 0 {
			list = append(list, ',')
		}
		var err error
		if list, err = o.append(list, row); err != nil {
			return nil, err
		}
		if len(list) > maxRows {
			return nil, first.Wrong("the rows are more than 8 MiB of JSON: store them by to, or keep fewer by where, group, select or limit")
		}
	}
	return append(list, ']'), nil
}
