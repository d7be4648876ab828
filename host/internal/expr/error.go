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

// Nearest returns the name that a person most likely meant, or "": at most two edits away, and one for names of up to
// four letters. Ties go to the first.
func Nearest(name string, names []string) string {
	best, bound := "", 3
	if len(name) <= 4 {
		bound = 2
	}
	for _, n := range names {
		if d := distance(name, n, bound); d < bound {
			best, bound = n, d
		}
	}
	return best
}

// distance counts insertions, deletions, replacements and swaps of neighbours, up to bound.
func distance(a, b string, bound int) int {
	if len(a)-len(b) >= bound || len(b)-len(a) >= bound || len(a) > 200 {
		return bound
	}
	before, prev := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(prev[j]+1, row[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, prev = prev, row
	}
	return prev[len(b)]
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
