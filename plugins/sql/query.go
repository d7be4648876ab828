package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/uniflow-dev/uniflow/sdk/abi"
	"github.com/uniflow-dev/uniflow/sdk/process"
)

// Formats of rows.
const (
	formatRows   = "rows"
	formatNDJSON = "ndjson"
	formatCSV    = "csv"
	formatJSON   = "json"
)

type queryInputs struct {
	source

	SQL      string            `json:"sql"`
	Params   []json.RawMessage `json:"params"`
	Format   string            `json:"format"`
	Null     string            `json:"null"`
	MaxRows  int64             `json:"max_rows"`
	MaxBytes int64             `json:"max_bytes"`
}

// defaults fills in what the step does not say.
func (in *queryInputs) defaults() error {
	if in.SQL == "" {
		return refuse("with.sql is missing: a statement that gives rows")
	}
	rows, size := int64(10_000), int64(1<<20)
	switch in.Format {
	case "":
		in.Format = formatRows
	case formatRows:
	case formatNDJSON, formatCSV:
		rows, size = 10_000_000, 64<<20
	default:
		return refuse("with.format %q is unknown: use rows, ndjson or csv", in.Format)
	}
	if in.MaxRows < 0 || in.MaxBytes < 0 {
		return refuse("with.max_rows and with.max_bytes must be more than nothing")
	}
	if in.MaxRows == 0 {
		in.MaxRows = rows
	}
	if in.MaxBytes == 0 {
		in.MaxBytes = size
	}
	return nil
}

// query reads rows. It cannot change anything: it works in a transaction that is read-only and given up.
func query(ctx context.Context, c *process.Call) error {
	var in queryInputs
	if err := decodeWith(c, &in); err != nil {
		return err
	}
	if err := in.defaults(); err != nil {
		return err
	}
	ctx, db, done, err := in.open(ctx, c)
	if err != nil {
		return err
	}
	defer done()
	params, err := db.bindAll(in.Params)
	if err != nil {
		return err
	}
	return db.inside(ctx, true, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, in.SQL, params...)
		if err != nil {
			return err
		}
		defer rows.Close()
		return in.answer(c, db, rows)
	})
}

// answer makes outputs of the rows.
func (in *queryInputs) answer(c *process.Call, db *database, rows *sql.Rows) error {
	r, err := newResult(db, rows, in)
	if err != nil {
		return err
	}
	switch in.Format {
	case formatRows:
		var all bytes.Buffer
		if err := r.writeList(&all); err != nil {
			return err
		}
		if err := c.Output("rows", json.RawMessage(all.Bytes())); err != nil {
			return err
		}
	default:
		if err := in.artifact(c, r); err != nil {
			return err
		}
	}
	return errors.Join(c.Output("count", r.count), c.Output("columns", r.columns))
}

// artifact sends the rows as they come.
func (in *queryInputs) artifact(c *process.Call, r *result) error {
	media, write := "application/x-ndjson", r.writeNDJSON
	if in.Format == formatCSV {
		media, write = "text/csv", r.writeCSV
	}
	reader, writer := io.Pipe()
	written := make(chan error, 1)
	go func() {
		err := write(writer)
		_ = writer.CloseWithError(err)
		written <- err
	}()
	err := c.Artifact("rows", media, reader)
	_ = reader.CloseWithError(errGivenUp) // so that the writer ends, whatever became of the artifact
	if failed := <-written; failed != nil && !errors.Is(failed, errGivenUp) {
		return failed
	}
	return err
}

var errGivenUp = errors.New("nobody reads the rows")

// result is the rows of a query, within limits.
type result struct {
	rows    *sql.Rows
	in      *queryInputs
	columns []column
	labels  [][]byte // of the columns, as JSON
	values  []any
	scan    []any
	count   int64
	size    int64
}

func newResult(db *database, rows *sql.Rows, in *queryInputs) (*result, error) {
	types, err := rows.ColumnTypes()
	if err != nil {
		return nil, err
	}
	r := &result{rows: rows, in: in, values: make([]any, len(types)), columns: []column{}}
	seen := map[string]bool{}
	for i, t := range types {
		if seen[t.Name()] {
			return nil, refuse("two columns of the result are named %q: give one another name by AS", t.Name())
		}
		seen[t.Name()] = true
		label, err := abi.Marshal(t.Name())
		if err != nil {
			return nil, err
		}
		r.columns = append(r.columns, column{t.Name(), db.kind(t)})
		r.labels = append(r.labels, label)
		r.scan = append(r.scan, &r.values[i])
	}
	return r, nil
}

// next reads a row, false at the end.
func (r *result) next() (bool, error) {
	if !r.rows.Next() {
		return false, r.rows.Err()
	}
	if r.count++; r.count > r.in.MaxRows {
		return false, tooLarge("more than %d rows: ask for fewer, or raise with.max_rows", r.in.MaxRows)
	}
	if err := r.rows.Scan(r.scan...); err != nil {
		return false, err
	}
	return true, nil
}

// grow counts bytes of the result.
func (r *result) grow(n int) error {
	if r.size += int64(n); r.size > r.in.MaxBytes {
		return tooLarge("more than %d bytes of rows: ask for fewer, raise with.max_bytes, or let them become an artifact by with.format", r.in.MaxBytes)
	}
	return nil
}

func tooLarge(format string, args ...any) error {
	return &process.Ending{Kind: abi.KindPermanent, Code: "too_large", Err: fmt.Errorf(format, args...)}
}

// object returns the row as an object whose members stand as the columns do.
func (r *result) object() ([]byte, error) {
	doc := []byte{'{'}
	for i, v := range r.values {
		value, err := toJSON(v, r.columns[i].Type)
		if err != nil {
			return nil, refuse("column %q: %v", r.columns[i].Name, err)
		}
		if i > 0 {
			doc = append(doc, ',')
		}
		doc = append(append(append(doc, r.labels[i]...), ':'), value...)
	}
	return append(doc, '}'), nil
}

// each calls write for every row as an object.
func (r *result) each(write func(doc []byte) error) error {
	for {
		more, err := r.next()
		if err != nil || !more {
			return err
		}
		doc, err := r.object()
		if err != nil {
			return err
		}
		if err := r.grow(len(doc) + 1); err != nil {
			return err
		}
		if err := write(doc); err != nil {
			return err
		}
	}
}

func (r *result) writeList(w *bytes.Buffer) error {
	w.WriteByte('[')
	err := r.each(func(doc []byte) error {
		if r.count > 1 {
			w.WriteByte(',')
		}
		w.Write(doc)
		return nil
	})
	w.WriteByte(']')
	return err
}

func (r *result) writeNDJSON(w io.Writer) error {
	return r.each(func(doc []byte) error {
		_, err := w.Write(append(doc, '\n'))
		return err
	})
}

func (r *result) writeCSV(w io.Writer) error {
	out := csv.NewWriter(w)
	record := make([]string, len(r.columns))
	for i, c := range r.columns {
		record[i] = c.Name
	}
	for {
		if err := out.Write(record); err != nil {
			return err
		}
		more, err := r.next()
		if err != nil {
			return err
		}
		if !more {
			out.Flush()
			return out.Error()
		}
		size := len(record)
		for i, v := range r.values {
			if record[i] = r.in.Null; v != nil {
				if record[i], err = toText(v, r.columns[i].Type); err != nil {
					return refuse("column %q: %v", r.columns[i].Name, err)
				}
			}
			size += len(record[i])
		}
		if err := r.grow(size); err != nil {
			return err
		}
	}
}
