package binarytest

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Asm translates instructions of the text format, one after the other without parentheses, such as
// "local.get 0 i32.const 5 i32.add". A block's type stands behind its name: "loop void", "if i32", "block 3". A memory access has its
// offset there, and its own alignment; br_table has the number of its labels before them. It knows the instructions that
// tests use and panics at any other.
func Asm(text string) []byte {
	var code []byte
	words := strings.Fields(text)
	next := func() string {
		word := words[0]
		words = words[1:]
		return word
	}
	for len(words) > 0 {
		name := next()
		known, ok := mnemonics[name]
		if !ok {
			panic("no such instruction: " + name)
		}
		code = append(code, known.code...)
		for _, kind := range known.immediates {
			code = immediate(code, kind, next)
		}
	}
	return code
}

// immediate appends what follows an opcode.
func immediate(code []byte, kind rune, next func() string) []byte {
	switch kind {
	case 'u':
		return append(code, U32(number(next()))...)
	case 's':
		return signed(code, int64(number(next())))
	case 'f':
		return binary.LittleEndian.AppendUint64(code, math.Float64bits(float64(number(next()))))
	case 'b':
		word := next()
		if t, ok := map[string]byte{"void": 0x40, "i32": I32, "i64": I64}[word]; ok {
			return append(code, t)
		}
		return signed(code, int64(number(word)))
	case 'l':
		n := number(next())
		code = append(code, U32(n)...)
		for range n + 1 {
			code = append(code, U32(number(next()))...)
		}
		return code
	}
	panic(fmt.Sprintf("no such immediate: %c", kind))
}

func number(word string) int {
	n, err := strconv.ParseInt(word, 0, 64)
	if err != nil {
		panic(err)
	}
	return int(n)
}

func signed(code []byte, v int64) []byte {
	for {
		c := byte(v & 0x7f)
		v >>= 7
		if (v == 0 && c&0x40 == 0) || (v == -1 && c&0x40 != 0) {
			return append(code, c)
		}
		code = append(code, c|0x80)
	}
}

// mnemonic is an opcode, with the alignment of a memory access behind it, and the kinds of what follows.
type mnemonic struct {
	code       []byte
	immediates string
}

//nolint:gochecknoglobals // a table
var mnemonics = map[string]mnemonic{
	"unreachable": {[]byte{0x00}, ""}, "nop": {[]byte{0x01}, ""}, "block": {[]byte{0x02}, "b"}, "loop": {[]byte{0x03}, "b"},
	"if": {[]byte{0x04}, "b"}, "else": {[]byte{0x05}, ""}, "end": {[]byte{0x0b}, ""}, "br": {[]byte{0x0c}, "u"},
	"br_if": {[]byte{0x0d}, "u"}, "br_table": {[]byte{0x0e}, "l"}, "return": {[]byte{0x0f}, ""}, "call": {[]byte{0x10}, "u"},
	"call_indirect": {[]byte{0x11}, "uu"}, "drop": {[]byte{0x1a}, ""}, "select": {[]byte{0x1b}, ""},
	"local.get": {[]byte{0x20}, "u"}, "local.set": {[]byte{0x21}, "u"}, "local.tee": {[]byte{0x22}, "u"},
	"global.get": {[]byte{0x23}, "u"}, "global.set": {[]byte{0x24}, "u"}, "table.set": {[]byte{0x26}, "u"},
	"i32.load": {[]byte{0x28, 2}, "u"}, "i64.load": {[]byte{0x29, 3}, "u"}, "f64.load": {[]byte{0x2b, 3}, "u"}, "i32.load8_u": {[]byte{0x2d, 0}, "u"},
	"i32.store": {[]byte{0x36, 2}, "u"}, "i64.store": {[]byte{0x37, 3}, "u"}, "f64.store": {[]byte{0x39, 3}, "u"}, "i32.store8": {[]byte{0x3a, 0}, "u"},
	"memory.size": {[]byte{0x3f, 0}, ""}, "memory.grow": {[]byte{0x40, 0}, ""},
	"i32.const": {[]byte{0x41}, "s"}, "i64.const": {[]byte{0x42}, "s"}, "f64.const": {[]byte{0x44}, "f"},
	"i32.eqz": {[]byte{0x45}, ""}, "i32.eq": {[]byte{0x46}, ""}, "i32.ne": {[]byte{0x47}, ""}, "i32.lt_s": {[]byte{0x48}, ""}, "i32.lt_u": {[]byte{0x49}, ""},
	"i32.gt_s": {[]byte{0x4a}, ""}, "i32.gt_u": {[]byte{0x4b}, ""}, "i32.le_u": {[]byte{0x4d}, ""}, "i32.ge_u": {[]byte{0x4f}, ""}, "i64.eqz": {[]byte{0x50}, ""}, "i64.ne": {[]byte{0x52}, ""},
	"i32.add": {[]byte{0x6a}, ""}, "i32.sub": {[]byte{0x6b}, ""}, "i32.mul": {[]byte{0x6c}, ""}, "i32.div_s": {[]byte{0x6d}, ""}, "i32.div_u": {[]byte{0x6e}, ""}, "i32.rem_u": {[]byte{0x70}, ""},
	"i32.and": {[]byte{0x71}, ""}, "i32.or": {[]byte{0x72}, ""}, "i32.xor": {[]byte{0x73}, ""}, "i32.shl": {[]byte{0x74}, ""}, "i32.shr_u": {[]byte{0x76}, ""},
	"i64.add": {[]byte{0x7c}, ""}, "i64.mul": {[]byte{0x7e}, ""}, "i64.xor": {[]byte{0x85}, ""}, "i64.shl": {[]byte{0x86}, ""}, "i64.shr_u": {[]byte{0x88}, ""},
	"f64.add": {[]byte{0xa0}, ""}, "f64.mul": {[]byte{0xa2}, ""}, "i32.wrap_i64": {[]byte{0xa7}, ""}, "i64.extend_i32_u": {[]byte{0xad}, ""},
	"f64.convert_i32_u": {[]byte{0xb8}, ""}, "i32.trunc_f64_s": {[]byte{0xaa}, ""}, "ref.null": {[]byte{0xd0}, "u"}, "ref.func": {[]byte{0xd2}, "u"},
	"memory.init": {[]byte{0xfc, 8}, "uu"}, "data.drop": {[]byte{0xfc, 9}, "u"}, "memory.copy": {[]byte{0xfc, 10, 0, 0}, ""}, "memory.fill": {[]byte{0xfc, 11, 0}, ""},
	"table.init": {[]byte{0xfc, 12}, "uu"}, "table.copy": {[]byte{0xfc, 14}, "uu"}, "table.grow": {[]byte{0xfc, 15}, "u"}, "table.size": {[]byte{0xfc, 16}, "u"}, "table.fill": {[]byte{0xfc, 17}, "u"},
}
