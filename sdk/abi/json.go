package abi

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// CheckJSON answers OK when value is one JSON value (RFC 8259) in UTF-8 that is
// nested at most MaxDepth deep, else Invalid. It takes what json.Valid takes,
// but reads the bytes once, and long strings eight at a time: every value that
// crosses the border of a sandbox goes through it.
func CheckJSON(value []byte) Errno {
	r := jsonReader{rest: value}
	if !r.value(0) {
		return Invalid
	}
	if r.space(); len(r.rest) > 0 || r.foreign && !utf8.Valid(value) {
		return Invalid
	}
	return OK
}

// jsonReader reads JSON off the front of its bytes. Its methods report whether
// they found what they read.
type jsonReader struct {
	rest    []byte
	foreign bool // a text holds bytes that are not ASCII; outside of texts there are none
}

// space skips white space and returns the byte after it, 0 at the end.
func (r *jsonReader) space() byte {
	for i, c := range r.rest {
		if c != ' ' && c != '\n' && c != '\t' && c != '\r' {
			r.rest = r.rest[i:]
			return c
		}
	}
	r.rest = nil
	return 0
}

// take skips white space and then the byte c, if it is there.
func (r *jsonReader) take(c byte) bool {
	if r.space() != c {
		return false
	}
	r.rest = r.rest[1:]
	return true
}

// value reads a value that stands inside of depth others.
func (r *jsonReader) value(depth int) bool {
	switch c := r.space(); c {
	case '{':
		return depth < MaxDepth && r.members('}', func() bool { return r.take('"') && r.text() && r.take(':') && r.value(depth+1) })
	case '[':
		return depth < MaxDepth && r.members(']', func() bool { return r.value(depth + 1) })
	case '"':
		r.rest = r.rest[1:]
		return r.text()
	case 't':
		return r.word("true")
	case 'f':
		return r.word("false")
	case 'n':
		return r.word("null")
	}
	return r.number()
}

// members reads an opening bracket, members with commas between them, and the
// closing bracket.
func (r *jsonReader) members(closing byte, member func() bool) bool {
	r.rest = r.rest[1:]
	if r.take(closing) {
		return true
	}
	for member() {
		if r.take(closing) {
			return true
		}
		if !r.take(',') {
			return false
		}
	}
	return false
}

func (r *jsonReader) word(word string) bool {
	if len(r.rest) < len(word) || string(r.rest[:len(word)]) != word {
		return false
	}
	r.rest = r.rest[len(word):]
	return true
}

// text reads a string after its opening quote.
func (r *jsonReader) text() bool {
	for {
		n, ascii := plain(r.rest)
		r.rest, r.foreign = r.rest[n:], r.foreign || !ascii
		switch {
		case len(r.rest) == 0 || r.rest[0] < ' ':
			return false
		case r.rest[0] == '"':
			r.rest = r.rest[1:]
			return true
		case !r.escape():
			return false
		}
	}
}

// plain returns how many bytes at the front of b are neither a quote nor a
// backslash nor a control character, and whether all it has seen are ASCII.
func plain(b []byte) (n int, ascii bool) {
	seen := uint64(0)
	for ; len(b)-n >= 32; n += 32 {
		c := b[n : n+32]
		w0, w1, w2, w3 := word(c), word(c[8:]), word(c[16:]), word(c[24:])
		if special(w0)|special(w1)|special(w2)|special(w3) != 0 {
			break
		}
		seen |= w0 | w1 | w2 | w3
	}
	for ; len(b)-n >= 8; n += 8 {
		w := word(b[n:])
		seen |= w
		if found := special(w); found != 0 {
			return n + bits.TrailingZeros64(found)/8, seen&highest == 0
		}
	}
	for n < len(b) && b[n] >= ' ' && b[n] != '"' && b[n] != '\\' {
		seen |= uint64(b[n])
		n++
	}
	return n, seen&highest == 0
}

// highest are the highest bits of eight bytes.
const highest = 0x8080808080808080

func word(b []byte) uint64 { return binary.LittleEndian.Uint64(b) }

// special looks at eight bytes at once. The lowest bit of its answer is the
// highest of the first of them that is a quote, a backslash or a control
// character. With the second bit flipped, the quote comes right after the
// control characters; a byte below 0x80 that is less than a bound borrows its
// highest bit when the bound is subtracted.
func special(w uint64) uint64 {
	const ones = 0x0101010101010101
	control, escape := (w^0x02*ones)-0x21*ones, (w^'\\'*ones)-ones
	return (control | escape) &^ w & highest
}

// escape reads a backslash and what it escapes.
func (r *jsonReader) escape() bool {
	if len(r.rest) < 2 {
		return false
	}
	size := 2
	switch r.rest[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
	case 'u':
		if size = 6; len(r.rest) < size {
			return false
		}
		for _, c := range r.rest[2:size] {
			if digit := c >= '0' && c <= '9'; !digit && (c|' ' < 'a' || c|' ' > 'f') {
				return false
			}
		}
	default:
		return false
	}
	r.rest = r.rest[size:]
	return true
}

// number reads a number: -?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?
func (r *jsonReader) number() bool {
	r.skip('-')
	if !r.skip('0') && !r.digits() {
		return false
	}
	if r.skip('.') && !r.digits() {
		return false
	}
	if r.skip('e') || r.skip('E') {
		if !r.skip('+') {
			r.skip('-')
		}
		return r.digits()
	}
	return true
}

// skip skips the byte c, if it is there.
func (r *jsonReader) skip(c byte) bool {
	if len(r.rest) == 0 || r.rest[0] != c {
		return false
	}
	r.rest = r.rest[1:]
	return true
}

// digits reads one or more digits.
func (r *jsonReader) digits() bool {
	n := 0
	for n < len(r.rest) && r.rest[n] >= '0' && r.rest[n] <= '9' {
		n++
	}
	r.rest = r.rest[n:]
	return n > 0
}
