package main

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// grouping sums up rows by group.
type grouping struct {
	by     []int
	sums   []summing // in the order of their columns' names
	groups map[string]*groupRow
	order  []*groupRow // by first row
	key    []byte
}

// summing is an aggregate on the column at index.
type summing struct {
	op    string
	index int // -1: of whole rows
}

type groupRow struct {
	by   []cell
	sums []sum
}

// sum is an aggregate in the making.
type sum struct {
	count   int64
	ints    int64
	exact   bool    // ints holds the sum
	total   float64 // with what was rounded off in lost (Neumaier)
	lost    float64
	extreme cell
}

// newGrouping resolves columns; it returns those of the groups with their types.
func newGrouping(g *group, from *columns) (*grouping, *columns, error) {
	to := &columns{}
	made := &grouping{groups: map[string]*groupRow{}}
	for _, name := range g.By {
		i, err := from.find(name)
		if err != nil {
			return nil, nil, fmt.Errorf("group: %w", err)
		}
		made.by = append(made.by, i)
		to.add(name, from.kinds[i])
	}
	for _, name := range slices.Sorted(maps.Keys(g.Columns)) {
		op, column, err := g.Columns[name].op()
		if err != nil {
			return nil, nil, fmt.Errorf("group: column %q: %w", name, err)
		}
		if _, err := to.find(name); err == nil {
			return nil, nil, fmt.Errorf("group: column %q stands twice", name)
		}
		s, kind, err := newSumming(op, column, from)
		if err != nil {
			return nil, nil, fmt.Errorf("group: column %q: %w", name, err)
		}
		made.sums = append(made.sums, s)
		to.add(name, kind)
	}
	return made, to, nil
}

func newSumming(op, column string, from *columns) (summing, string, error) {
	if op == "count" && column == "*" {
		return summing{op, -1}, "integer", nil
	}
	i, err := from.find(column)
	if err != nil {
		return summing{}, "", err
	}
	kind := from.kinds[i]
	switch op {
	case "count":
		kind = "integer"
	case "sum", "mean":
		if kind != "number" && kind != "integer" {
			return summing{}, "", fmt.Errorf("%s of %q: the column is no number; say so in types", op, column)
		}
		if op == "mean" {
			kind = "number"
		}
	}
	return summing{op, i}, kind, nil
}

// add takes a row into its group.
func (g *grouping) add(row []cell) {
	g.key = g.key[:0]
	for _, i := range g.by {
		field := text(row[i])
		g.key = append(g.key, byte(rank(row[i])))
		g.key = binary.AppendUvarint(g.key, uint64(len(field)))
		g.key = append(g.key, field...)
	}
	r := g.groups[string(g.key)]
	if r == nil {
		r = &groupRow{sums: make([]sum, len(g.sums))}
		for _, i := range g.by {
			r.by = append(r.by, kept(row[i]))
		}
		g.groups[string(g.key)] = r
		g.order = append(g.order, r)
	}
	for i, s := range g.sums {
		r.sums[i].add(s, row)
	}
}

// kept is a value that no longer holds on to the line that it was read from.
func kept(c cell) cell {
	if s, ok := c.(string); ok {
		return strings.Clone(s)
	}
	return c
}

func (s *sum) add(what summing, row []cell) {
	if what.index < 0 {
		s.count++
		return
	}
	c := row[what.index]
	if c == nil || what.op == "count" && c == "" {
		return
	}
	s.count++
	switch what.op {
	case "sum", "mean":
		s.plus(c)
	case "min":
		if s.count == 1 || compare(c, s.extreme) < 0 {
			s.extreme = kept(c)
		}
	case "max":
		if s.count == 1 || compare(c, s.extreme) > 0 {
			s.extreme = kept(c)
		}
	}
}

// plus adds a number: whole numbers exactly as long as 64 bits hold them.
func (s *sum) plus(c cell) {
	if n, whole := c.(int64); whole && (s.exact || s.count == 1) {
		after := s.ints + n
		s.exact = (after > s.ints) == (n > 0) || n == 0
		s.ints = after
	} else {
		s.exact = false
	}
	v := number(c)
	after := s.total + v
	if math.Abs(s.total) >= math.Abs(v) {
		s.lost += (s.total - after) + v
	} else {
		s.lost += (v - after) + s.total
	}
	s.total = after
}

// value is what the aggregate comes to; that of no values is nothing, but a count is 0.
func (s *sum) value(op string) cell {
	switch {
	case op == "count":
		return s.count
	case s.count == 0:
		return nil
	case op == "mean":
		return (s.total + s.lost) / float64(s.count)
	case op == "sum" && s.exact:
		return s.ints
	case op == "sum":
		return s.total + s.lost
	}
	return s.extreme
}

// rows hands on the groups, in the order of their first rows.
func (g *grouping) rows(to func([]cell)) {
	for _, r := range g.order {
		row := make([]cell, 0, len(r.by)+len(r.sums))
		row = append(row, r.by...)
		for i := range r.sums {
			row = append(row, r.sums[i].value(g.sums[i].op))
		}
		to(row)
	}
}
