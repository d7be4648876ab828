package main

import (
	"errors"
	"io"
	"strings"

	"github.com/uniflow-dev/uniflow/plugins/internal/first"
	"github.com/uniflow-dev/uniflow/sdk"
	"github.com/uniflow-dev/uniflow/sdk/abi"
)

// read is the function read: CSV to rows, or to an artifact.
func read(c *uniflow.Context) error {
	var o readOptions
	if err := o.decode(c); err != nil {
		return err
	}
	from := io.NopCloser(strings.NewReader(o.Text))
	if o.From.Given() {
		var err error
		if from, err = o.From.Open(c, "from"); err != nil {
			return err
		}
	}
	defer from.Close()
	tick := func(int) error {
		if c.Progress(0, "reading") {
			return first.ErrCancelled
		}
		return nil
	}
	if o.To != "" {
		return store(c, &o, from, tick)
	}
	t := table{}
	if err := t.read(&o, from, tick); err != nil {
		return err
	}
	rows, err := jsonRows(&t)
	if err != nil {
		return err
	}
	if err := c.Output("rows", rows); err != nil {
		return tooMany(err)
	}
	return report(c, &t, len(t.rows))
}

// tooMany says what to do about rows that are no output.
func tooMany(err error) error {
	if errors.Is(err, abi.TooLarge) {
		return first.Wrong("%w: store the rows by to, or keep fewer by where, group, select or limit, or raise limits.output", err)
	}
	return err
}

// store writes the rows as they come out to an artifact.
func store(c *uniflow.Context, o *readOptions, from io.Reader, tick func(int) error) error {
	sink := first.NewSink(c, o.To, first.MediaType(o.To, ""))
	t := table{}
	var w rowWriter
	t.emit = func(row []cell) error {
		if w == nil {
			w = newRowWriter(sink, o, &t)
		}
		return w.row(row)
	}
	if err := t.read(o, from, tick); err != nil {
		return err
	}
	if w == nil {
		w = newRowWriter(sink, o, &t)
	}
	if err := w.end(); err != nil {
		return err
	}
	if err := sink.Close(); err != nil {
		return err
	}
	return report(c, &t, t.emitted)
}

// report sets the outputs that both ways have.
func report(c *uniflow.Context, t *table, count int) error {
	names, _ := t.selected()
	c.Info("%d rows read, %d kept", t.count, count)
	if err := c.Output("columns", names); err != nil {
		return err
	}
	if err := c.Output("read", t.count); err != nil {
		return err
	}
	return c.Output("count", count)
}
