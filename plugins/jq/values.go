package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/uniflow-dev/uniflow/plugins/internal/first"
)

// values reads the inputs of a filter, one after another. It implements gojq.Iter; an error is the last value.
type values struct {
	name  string // of the input of the step
	in    *counter
	dec   *json.Decoder
	text  *bufio.Reader // instead of dec, for lines
	lines bool
	count int
	done  bool
}

// counter knows line and column of what was read last, and bounds what one value takes.
type counter struct {
	r            io.Reader
	chunk        []byte // what was read last, from the offset base on
	base, read   int64
	line, column int   // of base, from 0
	most         int64 // offset up to which may be read
}

// Read implements io.Reader. A decoder looks at once at what it reads, so that a mistake lies in the last chunk.
func (c *counter) Read(p []byte) (int, error) {
	if c.read >= c.most {
		return 0, first.Wrong("a value has more than %d bytes", maxValue)
	}
	n, err := c.r.Read(p[:min(int64(len(p)), c.most-c.read, 64<<10)])
	if n > 0 {
		c.line, c.column = c.at(c.read)
		c.base = c.read
		c.chunk = append(c.chunk[:0], p[:n]...)
		c.read += int64(n)
	}
	return n, err
}

// allow has one value begin at an offset.
func (c *counter) allow(offset int64) { c.most = offset + maxValue }

// at is line and column of an offset in the last chunk, from 0.
func (c *counter) at(offset int64) (line, column int) {
	before := c.chunk[:min(max(offset-c.base, 0), int64(len(c.chunk)))]
	last := bytes.LastIndexByte(before, '\n')
	if last < 0 {
		return c.line, c.column + utf8.RuneCount(before)
	}
	return c.line + bytes.Count(before, []byte("\n")), utf8.RuneCount(before[last+1:])
}

// place is line and column of an offset, in words.
func (c *counter) place(offset int64) string {
	line, column := c.at(offset)
	return fmt.Sprintf("line %d, column %d", line+1, column+1)
}

func newValues(r io.Reader, name string) *values {
	in := &counter{r: r, most: maxValue}
	v := &values{name: name, in: in, dec: json.NewDecoder(in)}
	v.dec.UseNumber()
	return v
}

// Next implements gojq.Iter.
func (v *values) Next() (any, bool) {
	if v.done {
		return nil, false
	}
	var value any
	var err error
	if v.lines {
		value, err = v.nextLine()
	} else {
		v.in.allow(v.dec.InputOffset())
		err = v.dec.Decode(&value)
	}
	if err == nil {
		v.count++
		return value, true
	}
	v.done = true
	if errors.Is(err, io.EOF) {
		return nil, false
	}
	return v.broken(err), true
}

func (v *values) nextLine() (any, error) {
	if v.text == nil {
		v.text = bufio.NewReaderSize(v.in, 64<<10)
	}
	v.in.allow(v.in.read - int64(v.text.Buffered()))
	line, err := v.text.ReadString('\n')
	if errors.Is(err, io.EOF) && line != "" {
		err = nil
	}
	if err == nil && !utf8.ValidString(line) {
		err = first.Wrong("%s: line %d is no UTF-8", v.name, v.count+1)
	}
	return strings.TrimRight(line, "\r\n"), err
}

// broken says where an input cannot be read.
func (v *values) broken(err error) error {
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return first.Wrong("%s, %s: %s", v.name, v.in.place(max(syntax.Offset-1, 0)), syntax.Error())
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return first.Wrong("%s, %s: the value has no end", v.name, v.in.place(v.in.read))
	}
	return err
}

// place names the input that was read last.
func (v *values) place() string {
	if v.count <= 1 && v.done {
		return v.name
	}
	return fmt.Sprintf("%s, input %d", v.name, v.count)
}

// all reads all inputs into a list.
func (v *values) all() ([]any, error) {
	list := []any{}
	for {
		value, ok := v.Next()
		if !ok {
			return list, nil
		}
		if err, failed := value.(error); failed {
			return nil, err
		}
		if list = append(list, value); v.in.read > maxValue {
			return nil, first.Wrong("%s has more than %d bytes: leave out slurp", v.name, maxValue)
		}
	}
}
