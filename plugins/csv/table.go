package main

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/uniflow-dev/uniflow/plugins/internal/first"
)

// columns are names with their types, in order.
type columns struct{ names, kinds []string }

func (c *columns) add(name, kind string) {
	c.names, c.kinds = append(c.names, name), append(c.kinds, kind)
}

func (c *columns) find(name string) (int, error) {
	if i := slices.Index(c.names, name); i >= 0 {
		return i, nil
	}
	return -1, fmt.Errorf("there is no column %q: there are %s", name, strings.Join(c.names, ", "))
}

// table reads rows, and holds those that are asked for.
type table struct {
	options *readOptions
	columns columns // as they are read, with derived ones
	derived []derived
	tests   []test
	group   *grouping
	used    []bool  // columns whose values matter
	scratch []cell  // a row that nobody keeps
	out     columns // as they come out, before select
	order   []ordering
	rows    [][]cell
	count   int                // rows that were read
	emit    func([]cell) error // takes rows as they come out, in place of rows; may be nil
	emitted int
}

// derived is a column that is a part of the one at index from.
type derived struct {
	from int
	part string
}

// ordering is a column of the order of rows.
type ordering struct {
	index int
	down  bool
}

// errEnough ends the reading: no further row can matter.
var errEnough = errors.New("enough rows")

// read reads a table. tick is called now and then and may end it; it may be nil.
func (t *table) read(o *readOptions, r io.Reader, tick func(rows int) error) error {
	t.options = o
	records := csv.NewReader(withoutMark(r))
	records.Comma, records.Comment = one(o.Delimiter, ','), one(o.Comment, 0)
	records.LazyQuotes, records.ReuseRecord = o.Lazy, true
	pending, err := t.header(records)
	if err != nil {
		return err
	}
	for {
		record := pending
		if pending = nil; record == nil {
			if record, err = records.Read(); errors.Is(err, io.EOF) {
				return t.finish()
			}
			if err != nil {
				return place(err)
			}
		}
		if err := t.add(records, record, tick); errors.Is(err, errEnough) {
			return t.finish()
		} else if err != nil {
			return err
		}
	}
}

// withoutMark leaves out the byte order mark that spreadsheets put before a table.
func withoutMark(r io.Reader) io.Reader {
	b := bufio.NewReaderSize(r, 64<<10)
	if mark, _ := b.Peek(3); string(mark) == "\ufeff" {
		_, _ = b.Discard(3) // they are there
	}
	return b
}

// place makes a permanent failure of what is wrong with the text of a table; what is wrong with its source stays.
func place(err error) error {
	if _, ok := errors.AsType[*csv.ParseError](err); ok {
		return first.Wrong("%w", err)
	}
	return err
}

// header names the columns. Where the first record is data, it is returned.
func (t *table) header(records *csv.Reader) ([]string, error) {
	o := t.options
	names := slices.Clone(o.Header.names)
	var pending []string
	if len(names) == 0 {
		record, err := records.Read()
		if errors.Is(err, io.EOF) {
			return nil, first.Wrong("the table is empty: it has not even a header")
		}
		if err != nil {
			return nil, place(err)
		}
		if names = slices.Clone(record); o.Header.absent {
			pending = slices.Clone(record)
			for i := range names {
				names[i] = fmt.Sprintf("c%d", i+1)
			}
		}
	}
	records.FieldsPerRecord = len(names)
	if err := t.resolve(names); err != nil {
		return nil, first.Wrong("%w", err)
	}
	return pending, nil
}

// resolve finds the columns that the options name.
func (t *table) resolve(names []string) error {
	o := t.options
	for from := range o.Rename {
		if !slices.Contains(names, from) {
			return fmt.Errorf("rename: there is no column %q: there are %s", from, strings.Join(names, ", "))
		}
	}
	for _, name := range names {
		if to := o.Rename[name]; to != "" {
			name = to
		}
		if _, err := t.columns.find(name); err == nil {
			return fmt.Errorf("column %q stands twice: give header a list of names", name)
		}
		t.columns.add(name, o.Types[name])
	}
	for name := range o.Types {
		if _, err := t.columns.find(name); err != nil {
			return fmt.Errorf("types: %w", err)
		}
	}
	if err := t.resolveDerived(); err != nil {
		return err
	}
	for i := range o.Where {
		column, err := t.columns.find(o.Where[i].Column)
		if err != nil {
			return fmt.Errorf("where: %w", err)
		}
		holds, err := o.Where[i].compile(column, t.columns.kinds[column])
		if err != nil {
			return fmt.Errorf("where: column %q: %w", o.Where[i].Column, err)
		}
		t.tests = append(t.tests, holds)
	}
	return t.resolveOut()
}

func (t *table) resolveDerived() error {
	for _, name := range slices.Sorted(maps.Keys(t.options.Derive)) {
		d := t.options.Derive[name]
		from, err := t.columns.find(d.From)
		if err != nil {
			return fmt.Errorf("derive: %w", err)
		}
		kind, ok := kindOfPart(d.Part)
		if !ok {
			return fmt.Errorf("derive: part %q of column %q is none of year, month, day, hour, weekday", d.Part, name)
		}
		if _, err := t.columns.find(name); err == nil {
			return fmt.Errorf("derive: column %q is there already", name)
		}
		t.derived = append(t.derived, derived{from, d.Part})
		t.columns.add(name, kind)
	}
	return nil
}

// resolveOut finds what the rows that come out hold, and their order.
func (t *table) resolveOut() error {
	t.out = t.columns
	defer t.findUsed()
	if t.options.Group != nil {
		made, out, err := newGrouping(t.options.Group, &t.columns)
		if err != nil {
			return err
		}
		t.group, t.out = made, *out
	}
	for _, name := range t.options.Sort {
		bare, down := strings.CutPrefix(name, "-")
		i, err := t.out.find(bare)
		if err != nil {
			return fmt.Errorf("sort: %w", err)
		}
		t.order = append(t.order, ordering{i, down})
	}
	for _, name := range t.options.Select {
		if _, err := t.out.find(name); err != nil {
			return fmt.Errorf("select: %w", err)
		}
	}
	return nil
}

// findUsed notes which columns matter to anything, so that the others need not become values.
func (t *table) findUsed() {
	t.used = make([]bool, len(t.columns.names))
	mark := func(name string) {
		if i, err := t.columns.find(name); err == nil {
			t.used[i] = true
		}
	}
	o := t.options
	names := slices.Concat(o.Sort, o.Select)
	if t.group == nil && len(o.Select) == 0 {
		names = t.columns.names
	}
	for _, name := range names {
		mark(strings.TrimPrefix(name, "-"))
		mark(name)
	}
	for _, d := range t.derived {
		t.used[d.from] = true
	}
	for _, w := range o.Where {
		mark(w.Column)
	}
	if t.group != nil {
		for _, i := range t.group.by {
			t.used[i] = true
		}
		for _, s := range t.group.sums {
			if s.index >= 0 {
				t.used[s.index] = true
			}
		}
	}
}

// add takes a record into the table.
func (t *table) add(records *csv.Reader, record []string, tick func(int) error) error {
	t.count++
	if tick != nil && t.count%10_000 == 0 {
		if err := tick(t.count); err != nil {
			return err
		}
	}
	row, err := t.row(records, record)
	if row == nil || err != nil {
		return err
	}
	for _, holds := range t.tests {
		if !holds(row) {
			return nil
		}
	}
	if t.group != nil {
		t.group.add(row)
		return nil
	}
	return t.take(row)
}

// row makes a row of a record; nil if it is dropped.
func (t *table) row(records *csv.Reader, record []string) ([]cell, error) {
	row := t.scratch[:0]
	if t.group == nil {
		row = make([]cell, 0, len(t.columns.names))
	}
	for i, field := range record {
		if kind := t.columns.kinds[i]; kind == "" && !t.used[i] {
			row = append(row, nil)
			continue
		}
		c, err := cellOf(field, t.columns.kinds[i])
		switch {
		case err == nil, t.options.Invalid == "null":
		case t.options.Invalid == "drop":
			return nil, nil
		default:
			line, column := records.FieldPos(i)
			return nil, first.Wrong("line %d, character %d, column %q: %w", line, column, t.columns.names[i], err)
		}
		row = append(row, c)
	}
	for _, d := range t.derived {
		row = append(row, partOf(row[d.from], d.part))
	}
	if t.group != nil {
		t.scratch = row
	}
	return row, nil
}

// take keeps a row, or hands it on where rows need no order.
func (t *table) take(row []cell) error {
	limit := t.options.Limit
	if len(t.order) == 0 && t.emit != nil {
		t.emitted++
		if err := t.emit(row); err != nil {
			return err
		}
		if t.emitted == limit {
			return errEnough
		}
		return nil
	}
	t.rows = append(t.rows, row)
	switch {
	case limit == 0:
	case len(t.order) == 0 && len(t.rows) == limit:
		return errEnough
	case len(t.order) > 0 && len(t.rows) >= 2*limit+1_000:
		t.sort()
		t.rows = slices.Clip(t.rows[:limit])
	}
	return nil
}

// finish brings what was read into its last shape.
func (t *table) finish() error {
	if t.group != nil {
		t.group.rows(func(row []cell) { t.rows = append(t.rows, row) })
	}
	t.sort()
	if limit := t.options.Limit; limit > 0 && len(t.rows) > limit {
		t.rows = t.rows[:limit]
	}
	if t.emit == nil {
		return nil
	}
	for _, row := range t.rows {
		if err := t.emit(row); err != nil {
			return err
		}
		t.emitted++
	}
	return nil
}

// sort puts rows in order; equal ones stay as they came.
func (t *table) sort() {
	if len(t.order) == 0 {
		return
	}
	slices.SortStableFunc(t.rows, func(a, b []cell) int {
		for _, o := range t.order {
			c := compare(a[o.index], b[o.index])
			if o.down {
				c = -c
			}
			if c != 0 {
				return c
			}
		}
		return 0
	})
}
