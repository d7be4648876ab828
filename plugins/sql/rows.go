package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"strings"

	"github.com/uniflow-dev/uniflow/sdk/abi"
	"github.com/uniflow-dev/uniflow/sdk/process"
)

// rowReader gives rows one by one; io.EOF ends them.
type rowReader interface {
	next() (map[string]json.RawMessage, error)
}

// reader opens the rows that the step hands over: a list, or an artifact.
func (in *loadInputs) reader(ctx context.Context, c *process.Call) (rowReader, error) {
	doc := bytes.TrimSpace(in.Rows)
	if len(doc) == 0 {
		return nil, refuse("with.rows is missing: a list of objects, or an artifact")
	}
	if doc[0] == '[' {
		return newJSONRows(bytes.NewReader(doc), true)
	}
	ref, ok := abi.AsArtifact(doc)
	if !ok {
		return nil, refuse("with.rows is neither a list of objects nor an artifact")
	}
	r := bufio.NewReaderSize(c.Services(ctx).OpenArtifact(ref), 64<<10)
	switch in.artifactFormat(ref.Type) {
	case formatNDJSON:
		return newJSONRows(r, false)
	case formatJSON:
		return newJSONRows(r, true)
	case formatCSV:
		return newCSVRows(r, in.Null)
	}
	return nil, refuse("with.format is missing or unknown, and the media type %q does not say it: use ndjson, json or csv", ref.Type)
}

// artifactFormat is that of the step, else what the media type says.
func (in *loadInputs) artifactFormat(media string) string {
	if in.Format != "" {
		return in.Format
	}
	media, _, _ = strings.Cut(strings.ToLower(media), ";")
	switch strings.TrimSpace(media) {
	case "application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines":
		return formatNDJSON
	case "application/json":
		return formatJSON
	case "text/csv":
		return formatCSV
	}
	return ""
}

// jsonRows reads objects, one after another or as the members of a list.
type jsonRows struct {
	dec  *json.Decoder
	list bool
	n    int
}

func newJSONRows(r io.Reader, list bool) (rowReader, error) {
	rows := &jsonRows{dec: json.NewDecoder(r), list: list}
	if !list {
		return rows, nil
	}
	token, err := rows.dec.Token()
	if err != nil {
		return nil, rows.failed(err)
	}
	if token != json.Delim('[') {
		return nil, refuse("the rows are no list of objects")
	}
	return rows, nil
}

func (r *jsonRows) next() (map[string]json.RawMessage, error) {
	r.n++
	if r.list && !r.dec.More() {
		if _, err := r.dec.Token(); err != nil {
			return nil, r.failed(err)
		}
		return nil, io.EOF
	}
	var row map[string]json.RawMessage
	err := r.dec.Decode(&row)
	if errors.Is(err, io.EOF) && !r.list {
		return nil, io.EOF
	}
	if err == nil && row == nil {
		err = errors.New("null is no row")
	}
	if err != nil {
		return nil, r.failed(err)
	}
	return row, nil
}

// failed tells rows that cannot be read from an artifact that cannot.
func (r *jsonRows) failed(err error) error {
	if _, ok := errors.AsType[*process.Refusal](err); ok {
		return err
	}
	return refuse("row %d is no JSON object: %v", r.n, err)
}

// csvRows reads lines below a line of names.
type csvRows struct {
	r     *csv.Reader
	names []string
	null  string
}

func newCSVRows(r io.Reader, null string) (rowReader, error) {
	rows := &csvRows{r: csv.NewReader(r), null: null}
	names, err := rows.r.Read()
	if errors.Is(err, io.EOF) {
		return rows, nil
	}
	if err != nil {
		return nil, rows.failed(err)
	}
	names[0] = strings.TrimPrefix(names[0], "\ufeff")
	seen := map[string]bool{}
	for _, n := range names {
		if seen[n] {
			return nil, refuse("two columns of the CSV are named %q", n)
		}
		seen[n] = true
	}
	rows.names = names
	rows.r.ReuseRecord = true
	return rows, nil
}

func (r *csvRows) next() (map[string]json.RawMessage, error) {
	record, err := r.r.Read()
	if errors.Is(err, io.EOF) {
		return nil, io.EOF
	}
	if err != nil {
		return nil, r.failed(err)
	}
	row := make(map[string]json.RawMessage, len(record))
	for i, text := range record {
		if text == r.null {
			row[r.names[i]] = json.RawMessage("null")
			continue
		}
		doc, err := abi.Marshal(strings.ToValidUTF8(text, "\ufffd"))
		if err != nil {
			return nil, err
		}
		row[r.names[i]] = doc
	}
	return row, nil
}

func (r *csvRows) failed(err error) error {
	if _, ok := errors.AsType[*csv.ParseError](err); ok {
		return refuse("the CSV: %v", err)
	}
	return err
}
