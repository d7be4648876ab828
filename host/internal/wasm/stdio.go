package wasm

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/uniflow-dev/uniflow/sdk/abi"
)

// errFull is what a guest's write sees when its output is over the limit.
var errFull = errors.New("over the limit of outputs")

// collector keeps standard output up to a limit; what exceeds it is dropped, and full is told once.
type collector struct {
	limit int
	full  func(limit int)
	buf   bytes.Buffer
	over  bool
}

// Write implements io.Writer.
func (c *collector) Write(p []byte) (int, error) {
	if c.over || len(p) > c.limit-c.buf.Len() {
		if !c.over {
			c.over = true
			c.full(c.limit)
		}
		return 0, errFull
	}
	return c.buf.Write(p)
}

func (c *collector) bytes() []byte { return c.buf.Bytes() }

// lineLog turns a stream of bytes into log lines. A line is cut at abi.MaxMessage bytes; the rest of it is dropped.
type lineLog struct {
	log       func(level abi.Level, message string)
	ended     func() bool // whether the guest has been stopped
	buf       []byte
	last      string // the last line that is not blank
	panicLine string // the line by which a runtime of a language says that it panics
}

// Write implements io.Writer.
func (l *lineLog) Write(p []byte) (int, error) {
	n := len(p)
	for {
		if l.ended() { // one call may write any number of lines
			return 0, errStopped
		}
		line, rest, ended := bytes.Cut(p, []byte("\n"))
		room := abi.MaxMessage - len(l.buf)
		l.buf = append(l.buf, line[:min(len(line), room)]...)
		if !ended {
			return n, nil
		}
		l.flush()
		p = rest
	}
}

// flush ends the line.
func (l *lineLog) flush() {
	line := string(l.buf)
	l.buf = l.buf[:0]
	if strings.TrimSpace(line) == "" {
		return
	}
	level, message, fields := abi.ParseStderrLine(line)
	l.last = line
	if l.panicLine == "" && (strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ")) {
		l.panicLine = strings.ToValidUTF8(line, "\uFFFD")
	}
	l.log(level, withFields(message, fields))
}

// reason is the line that says best why a guest ended.
func (l *lineLog) reason() string {
	if l.panicLine != "" {
		return l.panicLine
	}
	return l.last
}

// withFields appends what a structured line holds beside its message.
func withFields(message string, fields map[string]json.RawMessage) string {
	if len(fields) == 0 {
		return message
	}
	var b strings.Builder
	b.WriteString(message)
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		b.WriteString(" " + name + "=" + string(fields[name]))
	}
	return abi.ClipMessage(b.String())
}
