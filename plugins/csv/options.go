package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/uniflow-dev/uniflow/plugins/internal/first"
	"github.com/uniflow-dev/uniflow/sdk"
)

// readOptions are the inputs of read. Columns are named as they are after rename.
type readOptions struct {
	From      first.Source      `json:"from"`      // the table: an artifact, or a file of a mount
	Text      string            `json:"text"`      // or the table itself
	Delimiter string            `json:"delimiter"` // one character; defaults to a comma
	Comment   string            `json:"comment"`   // lines that begin with this character are left out; defaults to none
	Lazy      bool              `json:"lazy"`      // quotes may stand within fields
	Header    header            `json:"header"`    // the first line names the columns; false, or the names
	Rename    map[string]string `json:"rename"`    // from the name in the table
	Types     map[string]string `json:"types"`     // string, number, integer, boolean, date; defaults to string
	Invalid   string            `json:"invalid"`   // what becomes of a cell that is not of its type: fail, null, drop
	Derive    map[string]derive `json:"derive"`    // further columns: parts of dates
	Where     []condition       `json:"where"`     // rows for which all of them hold are kept
	Group     *group            `json:"group"`     // one row for each group of rows
	Sort      []string          `json:"sort"`      // columns, the most important first; "-cost" is from high to low
	Limit     int               `json:"limit"`     // rows that are kept; defaults to all
	Select    []string          `json:"select"`    // columns that are kept, in order; defaults to all
	To        string            `json:"to"`        // stores the rows: a name that ends in .csv, .tsv, .json or .ndjson
}

// header says what names the columns.
type header struct {
	absent bool
	names  []string
}

// UnmarshalJSON implements json.Unmarshaler.
func (h *header) UnmarshalJSON(doc []byte) error {
	var there bool
	if json.Unmarshal(doc, &there) == nil {
		h.absent = !there
		return nil
	}
	if json.Unmarshal(doc, &h.names) != nil || len(h.names) == 0 {
		return fmt.Errorf("header is true, false, or a list of the names of columns")
	}
	return nil
}

// derive makes a column of a part of a date.
type derive struct {
	From string `json:"from"`
	Part string `json:"part"` // year, month, day, hour, weekday
}

// group sums up rows that have the same values in columns.
type group struct {
	By      []string             `json:"by"`
	Columns map[string]aggregate `json:"columns"`
}

// aggregate says what a column of a group holds; exactly one field names the column that it is about.
type aggregate struct {
	Count string `json:"count"` // rows with a value there; "*": all
	Sum   string `json:"sum"`
	Mean  string `json:"mean"`
	Min   string `json:"min"`
	Max   string `json:"max"`
}

// op returns the only one that is set, and its column.
func (a aggregate) op() (op, column string, err error) {
	for _, o := range []struct{ name, column string }{{"count", a.Count}, {"sum", a.Sum}, {"mean", a.Mean}, {"min", a.Min}, {"max", a.Max}} {
		if o.column == "" {
			continue
		}
		if op != "" {
			return "", "", fmt.Errorf("%s and %s of one column: give each a column of its own", op, o.name)
		}
		op, column = o.name, o.column
	}
	if op == "" {
		return "", "", fmt.Errorf(`it needs one of count, sum, mean, min and max: { sum = "cost" }`)
	}
	return op, column, nil
}

// types are the words for types of columns.
func types() []string { return []string{"string", "number", "integer", "boolean", "date"} }

// decode reads and checks the inputs as far as the table is not needed for it.
func (o *readOptions) decode(c *uniflow.Context) error {
	if err := first.With(c, o); err != nil {
		return err
	}
	if o.From.Given() == (o.Text != "") {
		return first.Wrong("with: give either from, an artifact or a mounted file, or text")
	}
	for what, s := range map[string]string{"delimiter": o.Delimiter, "comment": o.Comment} {
		if utf8.RuneCountInString(s) > 1 || strings.ContainsAny(s, "\"\r\n\ufffd") || s != "" && o.Delimiter == o.Comment {
			return first.Wrong("with: %s %q is not one character of its own", what, s)
		}
	}
	for name, kind := range o.Types {
		if !slices.Contains(types(), kind) {
			return first.Wrong("with: type %q of column %q is none of %s", kind, name, strings.Join(types(), ", "))
		}
	}
	if !slices.Contains([]string{"", "fail", "null", "drop"}, o.Invalid) {
		return first.Wrong("with: invalid %q is none of fail, null, drop", o.Invalid)
	}
	if o.Limit < 0 {
		return first.Wrong("with: limit %d is negative", o.Limit)
	}
	if o.To != "" {
		return checkFormat(o.To)
	}
	return nil
}

// one returns the character of a text, or otherwise of an empty one.
func one(text string, otherwise rune) rune {
	if text == "" {
		return otherwise
	}
	r, _ := utf8.DecodeRuneInString(text)
	return r
}
