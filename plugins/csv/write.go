package main

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/uniflow-dev/uniflow/plugins/internal/first"
	"github.com/uniflow-dev/uniflow/sdk"
)

// writeOptions are the inputs of write.
type writeOptions struct {
	Rows      json.RawMessage `json:"rows"`      // a list of objects
	From      first.Source    `json:"from"`      // or a list as JSON, or one object a line
	Columns   []string        `json:"columns"`   // which, in order; defaults to the members of the first row
	Delimiter string          `json:"delimiter"` // one character; defaults to a comma
	Header    *bool           `json:"header"`    // defaults to true
	To        string          `json:"to"`        // stores the table under this name; without it, it is the output text
}

// write is the function write: rows to CSV.
func write(c *uniflow.Context) error {
	var o writeOptions
	if err := first.With(c, &o); err != nil {
		return err
	}
	if o.From.Given() == (len(o.Rows) > 0) {
		return first.Wrong("with: give either rows, a list of objects, or from, an artifact or a mounted file")
	}
	if utf8.RuneCountInString(o.Delimiter) > 1 {
		return first.Wrong("with: delimiter %q is not one character", o.Delimiter)
	}
	from := io.NopCloser(bytes.NewReader(o.Rows))
	if o.From.Given() {
		var err error
		if from, err = o.From.Open(c, "from"); err != nil {
			return err
		}
	}
	defer from.Close()
	return o.write(c, from)
}

func (o *writeOptions) write(c *uniflow.Context, from io.Reader) error {
	var inline bytes.Buffer
	to := io.Writer(&inline)
	var sink *first.Sink
	if o.To != "" {
		sink = first.NewSink(c, o.To, first.MediaType(o.To, "text/csv"))
		to = sink
	}
	count, err := o.table(from, to)
	if err != nil {
		return err
	}
	c.Info("%d rows written", count)
	if err := c.Output("count", count); err != nil {
		return err
	}
	if sink != nil {
		return sink.Close()
	}
	return tooMany(c.Output("text", inline.String()))
}

// table writes all rows and returns how many they were.
func (o *writeOptions) table(from io.Reader, to io.Writer) (int, error) {
	w := csv.NewWriter(to)
	w.Comma = one(o.Delimiter, ',')
	columns := o.Columns
	count := 0
	err := eachObject(from, func(names []string, values map[string]json.RawMessage) error {
		if count++; count == 1 {
			if columns == nil {
				columns = names
			}
			if err := o.heading(w, columns); err != nil {
				return err
			}
		}
		record, err := o.record(columns, names, values)
		if err != nil {
			return first.Wrong("row %d: %w", count, err)
		}
		return w.Write(record)
	})
	if err != nil {
		return count, err
	}
	if count == 0 {
		if err := o.heading(w, columns); err != nil {
			return 0, err
		}
	}
	w.Flush()
	return count, w.Error()
}

func (o *writeOptions) heading(w *csv.Writer, columns []string) error {
	if len(columns) == 0 || o.Header != nil && !*o.Header {
		return nil
	}
	return w.Write(columns)
}

// record is a row as fields. Without a list of columns, a row has those of the first one and no other.
func (o *writeOptions) record(columns, names []string, values map[string]json.RawMessage) ([]string, error) {
	record := make([]string, len(columns))
	for i, column := range columns {
		var err error
		if record[i], err = field(values[column]); err != nil {
			return nil, err
		}
	}
	if o.Columns == nil {
		for _, name := range names {
			if !slices.Contains(columns, name) {
				return nil, fmt.Errorf("it has %q, which the first row has not: list the columns", name)
			}
		}
	}
	return record, nil
}

// field is a JSON value as a field: a text as it is, nothing for null, lists and objects as JSON.
func field(value json.RawMessage) (string, error) {
	if len(value) == 0 || string(value) == "null" {
		return "", nil
	}
	if value[0] == '"' {
		var s string
		err := json.Unmarshal(value, &s)
		return s, err
	}
	if value[0] == '{' || value[0] == '[' {
		var b bytes.Buffer
		err := json.Compact(&b, value)
		return b.String(), err
	}
	return string(value), nil
}

// eachObject hands on the objects of a list, or those that follow one another.
func eachObject(r io.Reader, to func(names []string, values map[string]json.RawMessage) error) error {
	b := bufio.NewReaderSize(r, 64<<10)
	list, err := beginsList(b)
	if err != nil {
		return err
	}
	dec := json.NewDecoder(b)
	if list {
		_, _ = dec.Token() // the bracket that was seen
	}
	for count := 1; dec.More(); count++ {
		var doc json.RawMessage
		if err := dec.Decode(&doc); err != nil {
			return first.Wrong("row %d: %s", count, strings.TrimPrefix(err.Error(), "json: "))
		}
		names, values, err := members(doc)
		if err != nil {
			return first.Wrong("row %d: %w", count, err)
		}
		if err := to(names, values); err != nil {
			return err
		}
	}
	if _, err := dec.Token(); list && err != nil {
		return first.Wrong("the list of rows has no end: %w", err)
	} else if !list && !errors.Is(err, io.EOF) {
		return first.Wrong("after the last row: %w", err)
	}
	return nil
}

// beginsList reports whether the first character of a document is a bracket.
func beginsList(b *bufio.Reader) (bool, error) {
	for {
		c, err := b.ReadByte()
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		if c != ' ' && c != '\n' && c != '\t' && c != '\r' {
			return c == '[', b.UnreadByte()
		}
	}
}

// members splits an object and keeps the order of its members.
func members(doc json.RawMessage) ([]string, map[string]json.RawMessage, error) {
	if len(doc) == 0 || doc[0] != '{' {
		return nil, nil, fmt.Errorf("it is no object")
	}
	dec := json.NewDecoder(bytes.NewReader(doc))
	_, _ = dec.Token() // the bracket that was seen
	var names []string
	values := map[string]json.RawMessage{}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, nil, err
		}
		name, _ := key.(string) // a member begins with one
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, nil, err
		}
		names = append(names, name)
		values[name] = value
	}
	return names, values, nil
}
