package manifest

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/uniflow-dev/uniflow/host/flow"
)

const (
	runeStep  = 1 << 10 // bytes between two known counts of characters
	maxSource = 1000    // characters of a line that a problem carries
)

// text finds lines and columns of offsets, fast enough for thousands of problems in one long line.
// Its tables are built when the first problem asks for a place.
type text struct {
	src   []byte
	once  sync.Once
	lines []int // offsets at which lines start
	runes []int // characters before every runeStep-th byte
}

func newText(src []byte) *text {
	return &text{src: src}
}

func (t *text) prepare() {
	t.lines = []int{0}
	for i := 0; i < len(t.src); i = lineEnd(t.src, i) + 1 {
		if end := lineEnd(t.src, i); end < len(t.src) {
			t.lines = append(t.lines, end+1)
		}
	}
	count := 0
	for i := 0; i <= len(t.src); i += runeStep {
		t.runes = append(t.runes, count)
		count += starts(t.src[i:min(i+runeStep, len(t.src))])
	}
}

// starts counts the bytes that begin a character, which can be summed over any division of the text.
func starts(b []byte) int {
	n := 0
	for _, c := range b {
		if utf8.RuneStart(c) {
			n++
		}
	}
	return n
}

// characters returns the number of characters before offset.
func (t *text) characters(offset int) int {
	known := offset / runeStep
	return t.runes[known] + starts(t.src[known*runeStep:offset])
}

// finding is a problem whose place is known as a range of bytes.
type finding struct {
	flow.Problem
	span span
}

// finish turns findings into problems: sorted, the first of them located, the rest counted.
func (d *Document) finish(findings []finding, dropped int) flow.Problems {
	slices.SortStableFunc(findings, func(a, b finding) int {
		return cmp.Or(cmp.Compare(a.span.start, b.span.start), cmp.Compare(a.Code, b.Code))
	})
	var problems flow.Problems
	for i, f := range findings {
		if i == maxShown {
			return append(problems, d.rest(len(findings)-i+dropped))
		}
		p := f.Problem
		p.Severity = cmp.Or(p.Severity, flow.SeverityError)
		d.place(&p, f.span)
		problems = append(problems, p)
	}
	return problems
}

func (d *Document) rest(n int) flow.Problem {
	message := fmt.Sprintf("%d more mistakes are not shown", n)
	if n == 1 {
		message = "1 more mistake is not shown"
	}
	return flow.Problem{
		Code: flow.CodeMore, Severity: flow.SeverityError, File: d.Name, Message: message,
		Help: "mend the ones above and check again",
	}
}

// find returns the range of bytes that a problem speaks of.
func (d *Document) find(p *flow.Problem) span {
	e, exact := d.root.lookup(p.Path)
	switch {
	case !exact || p.OnKey:
		return e.key
	case e.kind == kindText && p.Length > 0:
		return within(d.text.src, e.value, p.Offset, p.Length)
	}
	return e.value
}

// place fills in file, line, columns and source of a range; only the first line of a longer range is marked.
func (d *Document) place(p *flow.Problem, at span) {
	p.File = d.Name
	t := d.text
	if at.start < 0 {
		return
	}
	t.once.Do(t.prepare)
	start := min(at.start, len(t.src))
	line, found := slices.BinarySearch(t.lines, start)
	if !found {
		line--
	}
	first := t.lines[line]
	last := lineEnd(t.src, first)
	row := bytes.TrimSuffix(t.src[first:last], []byte("\r"))
	end := min(max(at.end, start), first+len(row))
	before := t.characters(first)
	p.Line = line + 1
	p.Column = t.characters(start) - before + 1
	p.EndColumn = max(p.Column, t.characters(max(end, start))-before+1)
	p.Source = excerpt(row)
	if shown := utf8.RuneCountInString(p.Source); p.Column > shown+1 {
		p.Source = ""
	} else {
		p.EndColumn = min(p.EndColumn, shown+1)
	}
}

// excerpt is a line as it can be shown: of bounded length, and without what a terminal would obey.
func excerpt(row []byte) string {
	row = row[:min(len(row), maxSource*utf8.UTFMax)]
	s := strings.Map(printable, string(row))
	if cut := []rune(s); len(cut) > maxSource {
		s = string(cut[:maxSource])
	}
	return s
}

func printable(r rune) rune {
	if r == '\t' || unicode.IsPrint(r) {
		return r
	}
	return utf8.RuneError
}

// within maps a part of a string's value, in bytes, to the range of bytes of its source.
func within(src []byte, value span, offset, length int) span {
	raw := src[value.start:value.end]
	quotes := 1
	if len(raw) >= 6 && (bytes.HasPrefix(raw, []byte(`"""`)) || bytes.HasPrefix(raw, []byte(`'''`))) {
		quotes = 3
	}
	if len(raw) < 2*quotes {
		return value
	}
	body := raw[:len(raw)-quotes]
	pos := quotes
	if quotes == 3 {
		pos += newline(body[pos:])
	}
	pos = advance(body, pos, raw[0] == '"', offset)
	end := advance(body, pos, raw[0] == '"', length)
	if end <= pos {
		return value
	}
	return span{value.start + pos, value.start + end}
}

// advance returns the offset behind n decoded bytes of a string's body.
func advance(body []byte, pos int, escapes bool, n int) int {
	for pos < len(body) && n > 0 {
		width, decoded := 1, 1
		if escapes && body[pos] == '\\' {
			width, decoded = escape(body[pos:])
		}
		pos += width
		n -= decoded
	}
	return min(pos, len(body))
}

// escape returns the width of the escape at the start of b and the number of bytes that it stands for.
func escape(b []byte) (width, decoded int) {
	if len(b) < 2 {
		return 1, 1
	}
	digits := map[byte]int{'x': 2, 'u': 4, 'U': 8}[b[1]]
	if digits > 0 && len(b) >= 2+digits {
		n, err := strconv.ParseUint(string(b[2:2+digits]), 16, 32)
		if err != nil {
			return 2, 1
		}
		return 2 + digits, utf8.RuneLen(rune(n))
	}
	rest := bytes.TrimLeft(b[1:], " \t\r\n")
	if bytes.IndexByte(b[1:len(b)-len(rest)], '\n') >= 0 {
		return len(b) - len(rest), 0 // a backslash at the end of a line swallows the space that follows
	}
	return 2, 1
}

func newline(b []byte) int {
	switch {
	case bytes.HasPrefix(b, []byte("\n")):
		return 1
	case bytes.HasPrefix(b, []byte("\r\n")):
		return 2
	}
	return 0
}
