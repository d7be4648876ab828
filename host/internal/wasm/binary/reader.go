package binary

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"unicode/utf8"
)

// Error says which rule a module breaks, and where.
type Error struct {
	// Offset is the place in the file, in bytes from its start.
	Offset int
	Rule   string
	// Limit is true for a bound of this host, false for a rule of the format.
	Limit bool
}

// Error returns rule and offset.
func (e *Error) Error() string { return fmt.Sprintf("at byte %d: %s", e.Offset, e.Rule) }

// reader reads bytes up to end. The first error sticks: every later read yields zero, so that callers check once. A
// loop over a count stays bounded, since count admits none that the bytes left cannot hold.
type reader struct {
	b   []byte
	pos int
	end int
	err *Error
}

func (r *reader) left() int { return r.end - r.pos }

// fail records the first broken rule.
func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = &Error{Offset: r.pos, Rule: fmt.Sprintf(format, args...)}
	}
	r.pos = r.end
}

// exceed records the first exceeded bound.
func (r *reader) exceed(what string, found uint64, most int) {
	if r.err == nil {
		r.err = &Error{Offset: r.pos, Rule: fmt.Sprintf("%d %s, at most %d are allowed", found, what, most), Limit: true}
	}
	r.pos = r.end
}

// refuse records a bound of another kind that is exceeded.
func (r *reader) refuse(rule string) {
	if r.err == nil {
		r.err = &Error{Offset: r.pos, Rule: rule, Limit: true}
	}
	r.pos = r.end
}

func (r *reader) byte() byte {
	if r.left() < 1 {
		r.fail("unexpected end")
		return 0
	}
	r.pos++
	return r.b[r.pos-1]
}

func (r *reader) bytes(n uint32) []byte {
	if uint64(n) > uint64(r.left()) {
		r.fail("%d bytes announced, %d left", n, r.left())
		return nil
	}
	r.pos += int(n)
	return r.b[r.pos-int(n) : r.pos]
}

// u32 reads an unsigned LEB128 number of at most 32 bits.
func (r *reader) u32() uint32 {
	var v uint32
	for shift := 0; shift < 35; shift += 7 {
		c := r.byte()
		if shift == 28 && c > 0x0f {
			break
		}
		v |= uint32(c&0x7f) << shift
		if c < 0x80 {
			return v
		}
	}
	r.fail("a number has more than 32 bits")
	return 0
}

// signed reads a signed LEB128 number of at most the given number of bits.
func (r *reader) signed(bits int) int64 {
	var v int64
	for shift := 0; shift < bits; shift += 7 {
		c := r.byte()
		v |= int64(c&0x7f) << shift
		if c >= 0x80 {
			continue
		}
		if shift+7 < 64 {
			v = v << (57 - shift) >> (57 - shift) // the sign
		}
		if spare := shift + 7 - bits; spare > 0 {
			// what a number has no room for must repeat its sign
			if top := int8(c<<1) >> (7 - spare); top != 0 && top != -1 {
				break
			}
		}
		return v
	}
	r.fail("a number has more than %d bits", bits)
	return 0
}

// count reads how many items follow, each of at least size bytes, and refuses what cannot be or may not be.
func (r *reader) count(what string, size, most int) int {
	n := r.u32()
	if uint64(n)*uint64(size) > uint64(r.left()) {
		r.fail("%d %s announced, but only %d bytes left", n, what, r.left())
		return 0
	}
	if uint64(n) > uint64(most) {
		r.exceed(what, uint64(n), most)
		return 0
	}
	return int(n)
}

// name reads a text of at most MaxName bytes.
func (r *reader) name() string {
	n := r.u32()
	if n > MaxName && r.err == nil {
		r.exceed("bytes in a name", uint64(n), MaxName)
	}
	text := r.bytes(n)
	if !utf8.Valid(text) {
		r.fail("a name is not UTF-8")
	}
	return string(text)
}

// fixed16 and fixed32 read numbers of a fixed size.
func (r *reader) fixed16() uint16 {
	if b := r.bytes(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

func (r *reader) fixed32() uint32 {
	if b := r.bytes(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

// number reads an unsigned LEB128 number; bits beyond the 64th are lost.
func (r *reader) number() uint64 {
	var v uint64
	for shift := 0; r.err == nil; shift = min(shift+7, 64) {
		c := r.byte()
		v |= uint64(c&0x7f) << shift
		if c < 0x80 {
			break
		}
	}
	return v
}

// text reads a text up to the zero that ends it.
func (r *reader) text() []byte {
	n := bytes.IndexByte(r.b[r.pos:r.end], 0)
	if n < 0 {
		r.fail("a text without an end")
		return nil
	}
	r.pos += n + 1
	return r.b[r.pos-n-1 : r.pos-1]
}
