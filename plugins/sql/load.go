package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/uniflow-dev/uniflow/sdk/process"
)

// mostRows are as many as one INSERT has.
const mostRows = 500

type loadInputs struct {
	source

	Table   string          `json:"table"`
	Rows    json.RawMessage `json:"rows"`
	Format  string          `json:"format"`
	Null    string          `json:"null"`
	Columns []string        `json:"columns"`
	Key     []string        `json:"key"`
}

// load writes rows in one transaction: all of them, or none.
func load(ctx context.Context, c *process.Call) error {
	var in loadInputs
	if err := decodeWith(c, &in); err != nil {
		return err
	}
	if in.Table == "" {
		return refuse("with.table is missing")
	}
	ctx, db, done, err := in.open(ctx, c)
	if err != nil {
		return err
	}
	defer done()
	rows, err := in.reader(ctx, c)
	if err != nil {
		return err
	}
	l := &loader{db: db, in: &in, given: len(in.Columns) > 0, columns: in.Columns}
	err = db.inside(ctx, false, func(tx *sql.Tx) error { return l.all(ctx, tx, rows) })
	if err != nil {
		return err
	}
	return c.Output("count", l.count)
}

// loader writes rows in batches.
type loader struct {
	db      *database
	in      *loadInputs
	given   bool // whether the step names the columns
	columns []string

	batch []any           // values of the rows that wait
	keys  map[string]bool // of those rows
	count int64
	stmt  *sql.Stmt // the INSERT of a full batch
}

// all writes all rows.
func (l *loader) all(ctx context.Context, tx *sql.Tx, rows rowReader) error {
	for {
		row, err := rows.next()
		if errors.Is(err, io.EOF) {
			return l.flush(ctx, tx)
		}
		if err != nil {
			return err
		}
		if err := l.begin(row); err != nil {
			return err
		}
		if err := l.add(ctx, tx, row); err != nil {
			return err
		}
	}
}

// begin takes the columns from the first row, where the step names none.
func (l *loader) begin(row map[string]json.RawMessage) error {
	if l.columns == nil {
		l.columns = slices.Sorted(maps.Keys(row))
	}
	if l.keys == nil {
		l.keys = map[string]bool{}
		if len(l.columns) == 0 || len(l.columns) > l.db.values {
			return refuse("a row has %d columns, want 1 to %d", len(l.columns), l.db.values)
		}
		for _, k := range l.in.Key {
			if !slices.Contains(l.columns, k) {
				return refuse("with.key names %q, which is no column of the rows", k)
			}
		}
	}
	if l.given {
		return nil
	}
	for name := range row {
		if !slices.Contains(l.columns, name) {
			return refuse("row %d has the column %q, which the first row does not have: name the columns to write in with.columns", l.count+1, name)
		}
	}
	return nil
}

// add puts a row into the batch. Two rows of the same key cannot be in one INSERT.
func (l *loader) add(ctx context.Context, tx *sql.Tx, row map[string]json.RawMessage) error {
	var key strings.Builder
	for _, k := range l.in.Key {
		key.Write(row[k])
		key.WriteByte(0)
	}
	if len(l.batch) == l.rows()*len(l.columns) || len(l.in.Key) > 0 && l.keys[key.String()] {
		if err := l.flush(ctx, tx); err != nil {
			return err
		}
	}
	l.count++
	l.keys[key.String()] = true
	for _, name := range l.columns {
		v, err := l.db.toBind(row[name])
		if err != nil {
			return refuse("row %d, column %q: %v", l.count, name, err)
		}
		l.batch = append(l.batch, v)
	}
	return nil
}

// rows is how many are in a full batch.
func (l *loader) rows() int { return min(mostRows, l.db.values/len(l.columns)) }

// flush writes the batch.
func (l *loader) flush(ctx context.Context, tx *sql.Tx) (err error) {
	if len(l.batch) == 0 {
		return nil
	}
	n := len(l.batch) / len(l.columns)
	if n < l.rows() {
		_, err = tx.ExecContext(ctx, l.insert(n), l.batch...)
	} else {
		if l.stmt == nil {
			if l.stmt, err = tx.PrepareContext(ctx, l.insert(n)); err != nil {
				return err
			}
		}
		_, err = l.stmt.ExecContext(ctx, l.batch...)
	}
	l.batch = l.batch[:0]
	clear(l.keys)
	return err
}

// insert returns the text of an INSERT of n rows.
func (l *loader) insert(n int) string {
	var text strings.Builder
	text.WriteString("INSERT INTO ")
	for i, part := range strings.Split(l.in.Table, ".") {
		if i > 0 {
			text.WriteByte('.')
		}
		text.WriteString(l.db.identifier(part))
	}
	text.WriteString(" (" + l.db.names(l.columns) + ") VALUES ")
	value := 0
	for row := range n {
		if row > 0 {
			text.WriteByte(',')
		}
		for i := range l.columns {
			value++
			text.WriteByte("(,"[min(i, 1)])
			text.WriteString(l.db.placeholder(value))
		}
		text.WriteByte(')')
	}
	text.WriteString(l.upsert())
	return text.String()
}

// upsert is the end of an INSERT that updates rows which are there already.
func (l *loader) upsert() string {
	if len(l.in.Key) == 0 {
		return ""
	}
	var sets []string
	for _, name := range l.columns {
		if !slices.Contains(l.in.Key, name) {
			sets = append(sets, l.db.identifier(name)+" = "+l.db.update(name))
		}
	}
	if len(sets) == 0 {
		return l.db.nothing(l.in.Key)
	}
	return l.db.conflict(l.in.Key) + strings.Join(sets, ", ")
}
