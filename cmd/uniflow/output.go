package main

import (
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"
)

// output is a stream that remembers its first failure, so that verbs need not look at every line. It may be written to
// by several goroutines.
type output struct {
	terminal bool
	size     func() (width, height int)

	mu  sync.Mutex
	w   io.Writer
	err error
}

func newOutput(w io.Writer) *output {
	o := &output{w: w, size: func() (int, int) { return 80, 24 }}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		o.terminal = true
		o.size = func() (int, int) {
			if width, height, err := term.GetSize(int(f.Fd())); err == nil && width > 0 && height > 0 {
				return width, height
			}
			return 80, 24
		}
	}
	return o
}

// Write implements io.Writer; after a failure it pretends, and the failure is told at the end.
func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil {
		_, o.err = o.w.Write(b)
	}
	return len(b), nil
}

// failure is the first failure.
func (o *output) failure() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}

// line makes text of guests, or of anybody else, safe to show on one line: nothing in it can move the cursor, change
// colours, reverse the reading direction or begin a line.
func line(text string) string { return escape(text, false) }

// lines is line for text whose line breaks and tabs are meant.
func lines(text string) string { return escape(text, true) }

func escape(text string, breaks bool) string {
	var b strings.Builder
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			b.WriteString(`\x` + strconv.FormatUint(uint64(text[i])|0x100, 16)[1:])
		case breaks && (r == '\n' || r == '\t'):
			b.WriteRune(r)
		case unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029':
			quoted := strconv.QuoteRuneToASCII(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		default:
			b.WriteString(text[i : i+size])
		}
		i += size
	}
	return b.String()
}

// Colours of the terminal, by what they are for.
const (
	good  = "32"
	bad   = "31"
	alert = "33"
	faint = "2"
	bold  = "1"
)

// paint colours text where colours are wanted.
func (a *app) paint(style, text string) string {
	if !a.painting || text == "" {
		return text
	}
	return "\x1b[" + style + "m" + text + "\x1b[0m"
}

// onOut colours text for standard output, which may be none where the talk goes to a terminal.
func (a *app) onOut(style, text string) string {
	if !a.out.terminal && a.color != "always" {
		return text
	}
	return a.paint(style, text)
}

// paintOn colours text for one of the two streams.
func (a *app) paintOn(w io.Writer, style, text string) string {
	if w == io.Writer(a.out) {
		return a.onOut(style, text)
	}
	return a.paint(style, text)
}

// table writes rows in columns that are as wide as their widest cell; the first row is the head. Cells are made safe.
func (a *app) table(w io.Writer, rows [][]string) {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			row[i] = line(cell)
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
	}
	for n, row := range rows {
		var b strings.Builder
		for i, cell := range row {
			b.WriteString(cell)
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2))
			}
		}
		text := strings.TrimRight(b.String(), " ")
		if n == 0 && w == io.Writer(a.out) && a.out.terminal {
			text = a.paint(bold, text)
		}
		_, _ = io.WriteString(w, text+"\n") // output keeps the error
	}
}
