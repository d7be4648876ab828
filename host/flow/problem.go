package flow

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Severity of a problem.
type Severity string

const (
	SeverityError   Severity = "error"
	SeverityWarning Severity = "warning"
)

// Problem is a mistake in a manifest. Whoever finds it names the key; the manifest's position index turns the key
// into a place.
type Problem struct {
	Code     Code     `json:"code"`
	Severity Severity `json:"severity"`
	// Message says what is wrong, in the words of the manifest.
	Message string `json:"message"`
	// Path is the key that is meant, from the root: pipelines, weather, steps, load, with, rows.
	Path []string `json:"path,omitempty"`
	// Offset and Length select a part of the key's string value, in bytes; Length 0 means all of it.
	Offset int `json:"-"`
	Length int `json:"-"`
	// OnKey marks the key itself rather than its value.
	OnKey bool `json:"-"`
	// Note stands beside the caret: expected and found.
	Note string `json:"note,omitempty"`
	// Help is the next action.
	Help string `json:"help,omitempty"`

	// File, Line, Column and EndColumn are the place; lines and columns count from 1, columns in characters, EndColumn
	// is the first one after. Line 0 means that the place is not known.
	File      string `json:"file,omitempty"`
	Line      int    `json:"line,omitempty"`
	Column    int    `json:"column,omitempty"`
	EndColumn int    `json:"end_column,omitempty"`
	// Source is the text of the line; empty where there is none to show, and the place then stands alone.
	Source string `json:"source,omitempty"`
}

// String returns the problem as a person reads it: message, place, line with carets, help.
func (p *Problem) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s[%s]: %s\n", cmp.Or(p.Severity, SeverityError), p.Code, p.Message)
	switch {
	case p.Line > 0 && p.Source != "":
		p.writePlace(&b)
	case p.Line > 0:
		fmt.Fprintf(&b, "  --> %s:%d:%d\n", p.File, p.Line, p.Column)
	case p.File != "":
		fmt.Fprintf(&b, "  --> %s\n", p.File)
	}
	if (p.Line == 0 || p.Source == "") && p.Note != "" {
		fmt.Fprintf(&b, "   = note: %s\n", p.Note)
	}
	if p.Help != "" {
		fmt.Fprintf(&b, "   = help: %s\n", p.Help)
	}
	fmt.Fprintf(&b, "   = more: uniflow explain %s", p.Code)
	return b.String()
}

func (p *Problem) writePlace(b *strings.Builder) {
	fmt.Fprintf(b, "  --> %s:%d:%d\n", p.File, p.Line, p.Column)
	number := strconv.Itoa(p.Line)
	gutter := strings.Repeat(" ", len(number))
	carets := strings.Repeat("^", max(1, p.EndColumn-p.Column))
	fmt.Fprintf(b, " %s |\n %s | %s\n", gutter, number, p.Source)
	// A tab keeps its width, so that the caret stands under its column.
	pad := strings.Map(func(r rune) rune {
		if r == '\t' {
			return r
		}
		return ' '
	}, string([]rune(p.Source)[:min(p.Column-1, len([]rune(p.Source)))]))
	line := strings.TrimRight(fmt.Sprintf(" %s | %s%s %s", gutter, pad, carets, p.Note), " ")
	fmt.Fprintf(b, "%s\n", line)
}

// Problems are all mistakes of one manifest; as an error it is the text of all of them.
type Problems []Problem

// Error returns the text of all problems.
func (ps Problems) Error() string {
	texts := make([]string, len(ps))
	for i := range ps {
		texts[i] = ps[i].String()
	}
	return strings.Join(texts, "\n\n")
}

// Sort orders the problems by file and place.
func (ps Problems) Sort() {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Code, b.Code))
	})
}

// Errors returns the problems that are no warnings.
func (ps Problems) Errors() Problems {
	return slices.DeleteFunc(slices.Clone(ps), func(p Problem) bool { return p.Severity == SeverityWarning })
}
