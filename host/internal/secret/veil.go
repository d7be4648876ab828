package secret

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
)

// LeastLength is the length, in bytes, from which a secret can be told from ordinary text: shorter ones are not masked.
const LeastLength = 6

// Veil takes the values of secrets out of what passes it, in the forms in which programs repeat them: as they are, in
// base64 at any place of a longer text, in hexadecimal, escaped for URLs, JSON and HTML, and broken over lines. In their
// place stands [secret NAME]. It is safe for concurrent use; the zero Veil changes nothing.
//
// It is a net for accidents: who knows a secret and wants to tell it can always write it in a form of their own.
type Veil struct {
	mu    sync.RWMutex
	known map[string]bool
	now   *forms
}

// form is one way of writing a secret.
type form struct{ text, mask string }

// forms are all of them, for a search in one pass. They do not change.
type forms struct {
	all     []form
	longest int
	// begun has a bit for every pair of bytes that a form begins with, and by finds those forms, the longest first.
	begun [1 << 16 / 64]uint64
	by    map[uint16][]form
}

func newForms(all []form) *forms {
	slices.SortStableFunc(all, func(a, b form) int { return cmp.Compare(len(b.text), len(a.text)) })
	f := &forms{all: all, longest: len(all[0].text), by: map[uint16][]form{}}
	for _, form := range all {
		pair := pairAt(form.text, 0)
		f.begun[pair/64] |= 1 << (pair % 64)
		f.by[pair] = append(f.by[pair], form)
	}
	return f
}

func pairAt(text string, i int) uint16 { return uint16(text[i]) | uint16(text[i+1])<<8 }

// Add makes the veil know a value of a secret. What it knew before stays, so that a secret that changes is masked in both
// values.
func (v *Veil) Add(name, value string) {
	if len(value) < LeastLength {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.known[value] {
		return
	}
	if v.known == nil {
		v.known = map[string]bool{}
	}
	v.known[value] = true
	var all []form
	if v.now != nil {
		all = slices.Clone(v.now.all) // others may be reading it
	}
	for _, text := range formsOf(value) {
		all = append(all, form{text, fmt.Sprintf("[secret %s]", name)})
	}
	v.now = newForms(all)
}

// load returns nil where no secret is known.
func (v *Veil) load() *forms {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.now
}

// Empty reports whether the veil knows no secret.
func (v *Veil) Empty() bool {
	return v.load() == nil
}

// Text returns a text without secrets.
func (v *Veil) Text(text string) string {
	return masked(text, v.load().find(text))
}

// Hides reports whether a name holds a secret, whatever its case: headers lose theirs on the way.
func (v *Veil) Hides(name string) bool {
	f := v.load()
	name = strings.ToLower(name)
	return f != nil && slices.ContainsFunc(f.all, func(f form) bool { return strings.Contains(name, strings.ToLower(f.text)) })
}

// span is a part of a text that a mask takes the place of.
type span struct {
	start, end int
	mask       string
}

// find returns where secrets stand in a text, in order and apart from one another.
func (f *forms) find(text string) []span {
	if f == nil {
		return nil
	}
	spans := f.search(nil, text, func(at int) int { return at })
	joined, cuts := unbroken(text)
	if len(cuts) == 0 {
		return spans
	}
	spans = f.search(spans, joined, cuts.original)
	slices.SortStableFunc(spans, func(a, b span) int { return cmp.Compare(a.start, b.start) })
	var apart []span
	for _, s := range spans {
		apart = with(apart, s)
	}
	return apart
}

// with adds a span to others that do not begin after it, and joins it to the last one where they overlap.
func with(spans []span, s span) []span {
	if n := len(spans); n > 0 && s.start >= spans[n-1].start && s.start < spans[n-1].end {
		spans[n-1].end = max(spans[n-1].end, s.end)
		return spans
	}
	return append(spans, s)
}

// search adds what it finds; original translates places of the text.
func (f *forms) search(spans []span, text string, original func(int) int) []span {
	for i := 0; i+1 < len(text); i++ {
		pair := pairAt(text, i)
		if f.begun[pair/64]&(1<<(pair%64)) == 0 {
			continue
		}
		for _, form := range f.by[pair] {
			if strings.HasPrefix(text[i:], form.text) {
				spans = with(spans, span{original(i), original(i+len(form.text)-1) + 1, form.mask})
				break
			}
		}
	}
	return spans
}

// cuts are the places of a text from which line breaks were taken out.
type cuts []cut

type cut struct{ at, sum int } // the place in what is left, and all that was taken out up to it

// original translates a place in what is left into one in the whole text.
func (c cuts) original(at int) int {
	i, found := slices.BinarySearchFunc(c, at, func(x cut, at int) int { return cmp.Compare(x.at, at) })
	if !found {
		i--
	}
	if i < 0 {
		return at
	}
	return at + c[i].sum
}

// maxIndent bounds the blanks after a line break that belong to it.
const maxIndent = 16

// unbroken returns a text without line breaks, escaped ones among them, and without the indents that follow them.
func unbroken(text string) (string, cuts) {
	if !strings.ContainsAny(text, "\r\n") && !strings.Contains(text, `\n`) && !strings.Contains(text, `\r`) {
		return text, nil
	}
	var b strings.Builder
	var all cuts
	taken := 0
	for i := 0; i < len(text); {
		next := strings.IndexAny(text[i:], "\r\n\\")
		if next < 0 {
			b.WriteString(text[i:])
			break
		}
		n := breakAt(text[i+next:])
		b.WriteString(text[i : i+next])
		i += next
		if n == 0 {
			b.WriteByte(text[i])
			i++
			continue
		}
		taken += n
		i += n
		if last := len(all) - 1; last >= 0 && all[last].at == b.Len() {
			all[last].sum = taken
		} else {
			all = append(all, cut{b.Len(), taken})
		}
	}
	return b.String(), all
}

// breakAt returns the length of the line break that a text begins with, its indent included; 0 if there is none.
func breakAt(text string) int {
	var n int
	switch {
	case text[0] == '\n' || text[0] == '\r':
		n = 1
	case strings.HasPrefix(text, `\n`), strings.HasPrefix(text, `\r`):
		n = 2
	default:
		return 0
	}
	end := min(len(text), n+maxIndent)
	for n < end && (text[n] == ' ' || text[n] == '\t') {
		n++
	}
	return n
}

func masked(text string, spans []span) string {
	if len(spans) == 0 {
		return text
	}
	var b strings.Builder
	at := 0
	for _, s := range spans {
		b.WriteString(text[at:s.start])
		b.WriteString(s.mask)
		at = s.end
	}
	b.WriteString(text[at:])
	return b.String()
}

// Lines masks consecutive lines, and finds what is broken over several of them.
func (v *Veil) Lines(lines []string) []string {
	spans := v.load().find(strings.Join(lines, "\n"))
	if len(spans) == 0 {
		return lines
	}
	out := make([]string, len(lines))
	start := 0
	for i, l := range lines {
		end := start + len(l)
		var own []span
		for _, s := range spans {
			if from, to := max(s.start, start), min(s.end, end); from < to {
				own = append(own, span{from - start, to - start, s.mask})
			}
		}
		out[i] = masked(l, own)
		start = end + 1
	}
	return out
}

// leastBegun is how much of a secret the end of a text must hold to be taken for its beginning.
const leastBegun = 4

// Begun reports whether a secret may go on after the end of consecutive lines.
func (v *Veil) Begun(lines []string) bool {
	known := v.load()
	if known == nil {
		return false
	}
	text := strings.Join(lines, "\n")
	text, _ = unbroken(text[max(0, len(text)-slack*known.longest):])
	for _, f := range known.all {
		for at := max(0, len(text)-len(f.text)+1); at <= len(text)-leastBegun; at++ {
			i := strings.Index(text[at:], f.text[:leastBegun])
			if i < 0 {
				break
			}
			at += i
			if strings.HasPrefix(f.text, text[at:]) {
				return true
			}
		}
	}
	return false
}

// slack is by how much line breaks may lengthen a secret.
const slack = 4

// chunk is how much is read before secrets are looked for, at least.
const chunk = 64 << 10

// Reader returns what r yields, without secrets.
func (v *Veil) Reader(r io.Reader) io.Reader { return &veiled{from: r, veil: v} }

type veiled struct {
	from    io.Reader
	veil    *Veil
	pending []byte // read, and not masked yet
	ready   []byte // masked, and not handed on yet
	err     error
}

// Read implements io.Reader.
func (r *veiled) Read(p []byte) (int, error) {
	for len(r.ready) == 0 && r.err == nil {
		r.fill()
	}
	if len(r.ready) == 0 {
		return 0, r.err
	}
	n := copy(p, r.ready)
	r.ready = r.ready[n:]
	return n, nil
}

// fill reads a chunk and masks all of it but an end in which a secret may have begun.
func (r *veiled) fill() {
	known, longest := r.veil.load(), 0
	if known != nil {
		longest = known.longest
	}
	start, size := len(r.pending), max(chunk, slack*longest)
	r.pending = slices.Grow(r.pending, size)[:start+size]
	n, err := io.ReadFull(r.from, r.pending[start:])
	r.pending = r.pending[:start+n]
	end := len(r.pending)
	if r.err = err; err == nil {
		end = max(0, end-slack*longest)
	} else if err == io.ErrUnexpectedEOF {
		r.err = io.EOF
	}
	spans := known.find(string(r.pending))
	kept := spans[:0]
	for _, s := range spans {
		if s.start < end {
			end = max(end, s.end)
			kept = append(kept, s)
		}
	}
	r.ready = []byte(masked(string(r.pending[:end]), kept))
	r.pending = append([]byte(nil), r.pending[end:]...)
}
