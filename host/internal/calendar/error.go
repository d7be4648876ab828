package calendar

import (
	"fmt"
	"strconv"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// Error is a mistake in a schedule text or a zone name. It unwraps to a *flow.Error of the same code, message and hint.
type Error struct {
	// Code is one of the UF13xx codes. With flow.CodeScheduleZone the place is in the zone name, else in the text.
	Code flow.Code
	// Message says what is wrong.
	Message string
	// Hint holds the nearest valid text, where one was found, and the expected form.
	Hint string
	// Key names what is wrong, where it is neither the text nor the zone: from, to, not_on or jitter; Item is the place in
	// the list not_on, -1 for all of it.
	Key  string
	Item int
	// Offset and Length are the place in bytes.
	Offset, Length int
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

// Unwrap returns the same failure in the common vocabulary.
func (e *Error) Unwrap() error {
	return &flow.Error{Code: e.Code, Message: e.Message, Hint: e.Hint}
}

// word is a part of a schedule text and its place.
type word struct {
	text string
	at   int
}

// part returns a piece of the word, with its place.
func (w word) part(from, to int) word { return word{w.text[from:to], w.at + from} }

// malformed returns an error about a word whose form is wrong.
func (w word) malformed(format string, args ...any) *Error {
	return &Error{Code: flow.CodeScheduleText, Message: fmt.Sprintf(format, args...), Offset: w.at, Length: len(w.text)}
}

// outside returns an error about a word whose value is out of range.
func (w word) outside(format string, args ...any) *Error {
	return &Error{Code: flow.CodeScheduleRange, Message: fmt.Sprintf(format, args...), Offset: w.at, Length: len(w.text)}
}

// quote makes foreign text fit for a message: printable, and short.
func quote(text string) string {
	const most = 40
	if len(text) > most {
		return strconv.QuoteToASCII(text[:most]) + "..."
	}
	return strconv.QuoteToASCII(text)
}
