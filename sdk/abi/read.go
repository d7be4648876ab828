package abi

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// moreDepth is how much deeper a run context may nest than what a guest hands
// over: the host has taken it from wherever the context of the run came from.
const moreDepth = 1000

// errNoObject is what is wrong with a document that is not one JSON object.
var errNoObject = errors.New("not a JSON object")

// read fills in the run context from its document in one pass and without
// reflection: every attempt of every guest in Go begins by it. Values that are
// JSON of their own are parts of doc, which must not change. Names match to the
// letter, the last of several counts, and null leaves a field as it is.
func (r *RunContext) read(doc []byte) error {
	jr := jsonReader{rest: doc}
	if jr.space() != '{' {
		return errNoObject
	}
	var failed error
	ok := jr.members('}', func() bool {
		name, found := jr.name()
		if !found || !jr.take(':') {
			return false
		}
		value, found := jr.part()
		if found && failed == nil {
			if err := r.set(name, value); err != nil {
				failed = fmt.Errorf("%s: %w", name, err)
			}
		}
		return found
	})
	if ok {
		jr.space()
	}
	if !ok || len(jr.rest) > 0 || jr.foreign && !utf8.Valid(doc) {
		return errNoObject
	}
	return failed
}

// name reads a string and returns it as it stands between its quotes.
func (r *jsonReader) name() ([]byte, bool) {
	if !r.take('"') {
		return nil, false
	}
	before := r.rest
	if !r.text() {
		return nil, false
	}
	return before[:len(before)-len(r.rest)-1], true
}

// part reads a value and returns its bytes.
func (r *jsonReader) part() ([]byte, bool) {
	r.space()
	before := r.rest
	if !r.value(-moreDepth) {
		return nil, false
	}
	n := len(before) - len(r.rest)
	return before[:n:n], true
}

// set stores the value of a member; one that this version does not know is
// ignored.
func (r *RunContext) set(name, value []byte) error {
	switch string(name) {
	case "context":
		r.Context = value
	case "with":
		r.With = value
	case "item":
		r.Item = value
	case "features":
		return setList(&r.Features, value)
	case "item_index":
		return setIndex(&r.ItemIndex, value)
	}
	if to := r.textOf(name); to != nil {
		return setText(to, value)
	}
	if to := r.instantOf(name); to != nil {
		return setInstant(to, value)
	}
	return r.setOther(name, value)
}

func (r *RunContext) setOther(name, value []byte) error {
	switch string(name) {
	case "attempt":
		return setNumber(&r.Attempt, value)
	case "max_attempts":
		return setNumber(&r.MaxAttempts, value)
	case "started_at":
		var at *time.Time
		if err := setInstant(&at, value); err != nil || at == nil {
			return err
		}
		r.StartedAt = *at
	}
	return nil
}

// textOf returns the field of a member that is a text, or nil.
func (r *RunContext) textOf(name []byte) *string {
	switch string(name) {
	case "abi":
		return &r.ABI
	case "tenant":
		return &r.Tenant
	case "project":
		return &r.Project
	case "pipeline":
		return &r.Pipeline
	case "version":
		return &r.Version
	case "label":
		return &r.Label
	case "run_id":
		return &r.RunID
	case "step":
		return &r.Step
	case "function":
		return &r.Function
	case "idempotency_key":
		return &r.IdempotencyKey
	case "trigger":
		return &r.Trigger
	case "schedule":
		return &r.Schedule
	case "traceparent":
		return &r.Traceparent
	}
	return nil
}

// instantOf returns the field of a member that is an instant or null, or nil.
func (r *RunContext) instantOf(name []byte) **time.Time {
	switch string(name) {
	case "scheduled_at":
		return &r.ScheduledAt
	case "interval_start":
		return &r.IntervalStart
	case "interval_end":
		return &r.IntervalEnd
	case "deadline":
		return &r.Deadline
	case "last_success_at":
		return &r.LastSuccessAt
	}
	return nil
}

func isNull(value []byte) bool { return string(value) == "null" }

func setText(to *string, value []byte) error {
	switch {
	case isNull(value):
		return nil
	case value[0] != '"':
		return fmt.Errorf("expected a text, found %.20s", value)
	case !slices.Contains(value, '\\'):
		*to = string(value[1 : len(value)-1])
		return nil
	}
	return json.Unmarshal(value, to) //nolint:wrapcheck // the caller names the member
}

func setNumber(to *int, value []byte) error {
	if isNull(value) {
		return nil
	}
	n, err := strconv.Atoi(string(value))
	if err != nil {
		return fmt.Errorf("expected a whole number, found %.20s", value)
	}
	*to = n
	return nil
}

func setIndex(to **int, value []byte) error {
	if isNull(value) {
		*to = nil
		return nil
	}
	n := 0
	if err := setNumber(&n, value); err != nil {
		return err
	}
	*to = &n
	return nil
}

func setInstant(to **time.Time, value []byte) error {
	if isNull(value) {
		*to = nil
		return nil
	}
	var at time.Time
	if err := at.UnmarshalJSON(value); err != nil {
		return fmt.Errorf("expected an instant: %s", strings.TrimPrefix(err.Error(), "parsing time "))
	}
	*to = &at
	return nil
}

func setList(to *[]string, value []byte) error {
	if isNull(value) {
		return nil
	}
	jr := jsonReader{rest: value}
	if jr.space() != '[' {
		return fmt.Errorf("expected a list of texts, found %.20s", value)
	}
	list := []string{}
	var failed error
	jr.members(']', func() bool {
		part, ok := jr.part()
		text := ""
		if ok && failed == nil {
			failed = setText(&text, part)
		}
		list = append(list, text)
		return ok
	})
	*to = list
	return failed
}
