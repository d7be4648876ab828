package expr

import (
	"fmt"
	"strings"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// Error is a mistake in an expression, or a failure of its evaluation.
type Error struct {
	// Code is one of the UF125x codes.
	Code flow.Code
	// Message says what is wrong, in the words of the expression.
	Message string
	// Hint is the next action.
	Hint string
	// Offset and Length are the place in the string that holds the expression, in bytes.
	Offset, Length int
	// Path leads to that string inside a value: keys, and indexes as decimal numbers.
	Path []string
}

// Error returns the message and the hint.
func (e *Error) Error() string {
	if e.Hint == "" {
		return e.Message
	}
	return e.Message + "; " + e.Hint
}

// Errors are all mistakes of one value, in the order of its text.
type Errors []*Error

// Error returns one line per mistake.
func (es Errors) Error() string {
	lines := make([]string, len(es))
	for i, e := range es {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

// orNil keeps an empty list from becoming an error that is not nil.
func (es Errors) orNil() error {
	if len(es) == 0 {
		return nil
	}
	return es
}

func fault(code flow.Code, span span, hint, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...), Hint: hint, Offset: span.start, Length: span.end - span.start}
}

// maxSuggested bounds the names that others are compared with, in bytes.
const maxSuggested = 200

// Nearest returns the name that a person most likely meant, or "": at most two edits away, and one for names of up to
// four letters. Ties go to the first.
func Nearest(name string, names []string) string {
	best, bound := "", 3
	if len(name) <= 4 {
		bound = 2
	}
	if len(name) > maxSuggested {
		return ""
	}
	for _, n := range names {
		if max(len(name)-len(n), len(n)-len(name)) >= bound {
			continue
		}
		if d := flow.EditDistance(name, n); d < bound {
			best, bound = n, d
		}
	}
	return best
}

// DidYouMean returns the help line for an unknown name: the nearest one, or all of them where they are few.
func DidYouMean(name string, names []string) string {
	switch near := Nearest(name, names); {
	case near != "":
		return fmt.Sprintf("did you mean %q?", near)
	case len(names) > 0 && len(names) <= 12:
		return "known: " + strings.Join(names, ", ")
	}
	return ""
}
