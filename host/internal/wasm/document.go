package wasm

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// largeValue is the length from which a value is not copied into a document.
const largeValue = 64 << 10

// pieces are bytes that follow each other: a large value becomes part of a document without being copied.
type pieces [][]byte

func (p pieces) size() int {
	size := 0
	for _, piece := range p {
		size += len(piece)
	}
	return size
}

// read copies what begins at an offset, as much as there is and dst holds, and returns how much that is.
func (p pieces) read(dst []byte, offset uint64) int {
	n := 0
	for _, piece := range p {
		if offset >= uint64(len(piece)) {
			offset -= uint64(len(piece))
			continue
		}
		n += copy(dst[n:], piece[offset:])
		offset = 0
	}
	return n
}

// document returns the run context as JSON. It is what json.Marshal makes of it, in a third of the time, which counts
// beside a step of a few microseconds: the values in it are JSON already and are taken as they are.
func document(c *flow.RunContext) pieces {
	size := 1024
	for _, values := range []map[string]json.RawMessage{c.Context, c.With} {
		for name, value := range values {
			size += len(name) + 8
			if len(value) < largeValue {
				size += len(value)
			}
		}
	}
	d := documentWriter{b: make([]byte, 0, size)}
	d.text("abi", c.ABI)
	d.text("tenant", c.Tenant)
	d.text("project", c.Project)
	d.text("pipeline", c.Pipeline)
	d.text("version", string(c.Version))
	d.text("label", c.Label)
	d.text("run_id", string(c.RunID))
	d.text("step", c.Step)
	d.text("function", c.Function)
	d.number("attempt", &c.Attempt)
	d.number("max_attempts", &c.MaxAttempts)
	d.text("idempotency_key", c.IdempotencyKey)
	d.text("trigger", string(c.Trigger))
	d.text("schedule", c.Schedule)
	d.instant("scheduled_at", &c.ScheduledAt)
	d.instant("interval_start", c.IntervalStart)
	d.instant("interval_end", c.IntervalEnd)
	d.instant("started_at", &c.StartedAt)
	d.instant("deadline", &c.Deadline)
	d.instant("last_success_at", c.LastSuccessAt)
	d.object("context", c.Context)
	d.object("with", c.With)
	d.name("item")
	d.raw(c.Item)
	d.number("item_index", c.ItemIndex)
	d.list("features", c.Features)
	if c.Traceparent != "" {
		d.text("traceparent", c.Traceparent)
	}
	return append(d.done, append(d.b, '}'))
}

type documentWriter struct {
	done pieces
	b    []byte // comes after them
}

func (d *documentWriter) name(name string) {
	separator := byte(',')
	if len(d.b) == 0 && d.done == nil {
		separator = '{'
	}
	d.b = append(append(append(d.b, separator, '"'), name...), '"', ':')
}

func (d *documentWriter) text(name, value string) {
	d.name(name)
	d.quoted(value)
}

// quoted appends a string. Those that need no escape are most.
func (d *documentWriter) quoted(value string) {
	for i := range len(value) {
		if c := value[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			escaped, err := json.Marshal(value)
			if err == nil { // always, for a string
				d.b = append(d.b, escaped...)
			}
			return
		}
	}
	d.b = append(append(append(d.b, '"'), value...), '"')
}

func (d *documentWriter) number(name string, value *int) {
	d.name(name)
	if value == nil {
		d.raw(nil)
		return
	}
	d.b = strconv.AppendInt(d.b, int64(*value), 10)
}

func (d *documentWriter) instant(name string, value *time.Time) {
	d.name(name)
	if value == nil {
		d.raw(nil)
		return
	}
	d.b = append(value.AppendFormat(append(d.b, '"'), time.RFC3339Nano), '"')
}

func (d *documentWriter) object(name string, values map[string]json.RawMessage) {
	d.name(name)
	if values == nil {
		d.raw(nil)
		return
	}
	d.b = append(d.b, '{')
	for i, key := range slices.Sorted(maps.Keys(values)) {
		if i > 0 {
			d.b = append(d.b, ',')
		}
		d.quoted(key)
		d.b = append(d.b, ':')
		d.raw(values[key])
	}
	d.b = append(d.b, '}')
}

func (d *documentWriter) list(name string, values []string) {
	d.name(name)
	if values == nil {
		d.raw(nil)
		return
	}
	d.b = append(d.b, '[')
	for i, value := range values {
		if i > 0 {
			d.b = append(d.b, ',')
		}
		d.quoted(value)
	}
	d.b = append(d.b, ']')
}

func (d *documentWriter) raw(value json.RawMessage) {
	if len(value) == 0 {
		value = json.RawMessage("null")
	}
	if len(value) >= largeValue {
		d.done, d.b = append(d.done, d.b, value), d.b[len(d.b):]
		return
	}
	d.b = append(d.b, value...)
}
