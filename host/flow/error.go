package flow

import (
	"errors"
	"strings"
)

// Code names a kind of mistake or failure, for people to look up and programs to compare. Codes are never reused.
type Code string

// Error is a failure that the caller can act on.
type Error struct {
	Code Code
	// Op is what was being done: `load plugin "stats"`.
	Op string
	// Message says what is wrong: expected and found, with unit and limit.
	Message string
	// Hint is the next action, ready to paste where it is a command.
	Hint string
	// Err is the cause, if there is one; it is part of the text.
	Err error
}

// Error returns one line: operation, message, cause.
func (e *Error) Error() string {
	parts := make([]string, 0, 3)
	for _, p := range []string{e.Op, e.Message} {
		if p != "" {
			parts = append(parts, p)
		}
	}
	if e.Err != nil {
		parts = append(parts, e.Err.Error())
	}
	return strings.Join(parts, ": ")
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// CodeOf returns the code of the first *Error or Problems in err's chain, or "".
func CodeOf(err error) Code {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	if p, ok := errors.AsType[Problems](err); ok && len(p) > 0 {
		return p[0].Code
	}
	return ""
}

var (
	// ErrNotFound says that what was asked for does not exist, or not for this caller.
	ErrNotFound = errors.New("not found")
	// ErrStale says that a claim is no longer good: another epoch owns the run, or it has ended.
	ErrStale = errors.New("the run is no longer held by this claim")
	// ErrTooLarge says that a limit on size was exceeded; nothing was kept.
	ErrTooLarge = errors.New("too large")
)
