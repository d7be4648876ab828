// Package binarytest assembles small Wasm modules for tests, byte by byte, so that tests need no other toolchain. It
// checks nothing: tests make malformed modules with it too.
package binarytest

import "encoding/binary"

// Value types.
const (
	I32 = 0x7f
	I64 = 0x7e
)

// Builder collects the parts of a module. Functions must be added after all imports.
type Builder struct {
	types, imports, funcs, exports, codes, datas [][]byte
	elements                                     [][]byte
	memory                                       []byte
	tables                                       [][]byte
	globals                                      [][]byte
	start                                        []byte
	customs                                      [][]byte
	imported                                     int
	passive                                      bool // code names a data segment
}

// Type adds a signature and returns its index.
func (b *Builder) Type(params, results []byte) int {
	b.types = append(b.types, Join([]byte{0x60}, Vec(params), Vec(results)))
	return len(b.types) - 1
}

// Import adds a function that the module needs and returns its index.
func (b *Builder) Import(module, name string, typ int) int {
	b.imports = append(b.imports, Join(Vec([]byte(module)), Vec([]byte(name)), []byte{0}, U32(typ)))
	b.imported++
	return b.imported - 1
}

// Func adds a function with i32 locals and returns its index; body does not hold the closing end.
func (b *Builder) Func(typ, locals int, body ...[]byte) int {
	b.funcs = append(b.funcs, U32(typ))
	decl := []byte{0}
	if locals > 0 {
		decl = Join([]byte{1}, U32(locals), []byte{I32})
	}
	b.codes = append(b.codes, Vec(Join(decl, Join(body...), []byte{0x0b})))
	return b.imported + len(b.funcs) - 1
}

// Memory adds the memory and exports it as "memory".
func (b *Builder) Memory(pages int) {
	b.memory = Join([]byte{0}, U32(pages))
	b.exports = append(b.exports, Join(Vec([]byte("memory")), []byte{2, 0}))
}

// PrivateMemory adds the memory without exporting it.
func (b *Builder) PrivateMemory(pages int) { b.memory = Join([]byte{0}, U32(pages)) }

// Table adds a table of functions without a maximum.
func (b *Builder) Table(entries int) { b.Tables(1, entries) }

// Tables adds tables of functions without a maximum.
func (b *Builder) Tables(n, entries int) {
	for range n {
		b.tables = append(b.tables, Join([]byte{0x70, 0}, U32(entries)))
	}
}

// Element puts functions into the table from an entry on.
func (b *Builder) Element(first int, functions ...int) {
	segment := Join([]byte{0}, Const(first), []byte{0x0b}, U32(len(functions)))
	for _, f := range functions {
		segment = append(segment, U32(f)...)
	}
	b.elements = append(b.elements, segment)
}

// Global adds a mutable global of type i32.
func (b *Builder) Global(value int) {
	b.globals = append(b.globals, Join([]byte{I32, 1}, Const(value), []byte{0x0b}))
}

// Pages changes the size of the memory.
func (b *Builder) Pages(pages int) { b.memory = Join([]byte{0}, U32(pages)) }

// Export exports a function.
func (b *Builder) Export(name string, index int) {
	b.exports = append(b.exports, Join(Vec([]byte(name)), []byte{0}, U32(index)))
}

// Start makes instantiation call a function.
func (b *Builder) Start(index int) { b.start = U32(index) }

// Data fills memory at offset.
func (b *Builder) Data(offset int, content string) {
	b.datas = append(b.datas, Join([]byte{0}, Const(offset), []byte{0x0b}, Vec([]byte(content))))
}

// Passive adds a data segment for memory.init.
func (b *Builder) Passive(content string) {
	b.datas = append(b.datas, Join([]byte{1}, Vec([]byte(content))))
	b.passive = true
}

// Custom adds a custom section at the end.
func (b *Builder) Custom(name, content string) {
	b.customs = append(b.customs, Join(Vec([]byte(name)), []byte(content)))
}

// Bytes returns the module.
func (b *Builder) Bytes() []byte {
	m := Preamble()
	for _, s := range []struct {
		id    byte
		items [][]byte
	}{{1, b.types}, {2, b.imports}, {3, b.funcs}} {
		m = append(m, list(s.id, s.items)...)
	}
	m = append(m, list(4, b.tables)...)
	if b.memory != nil {
		m = append(m, list(5, [][]byte{b.memory})...)
	}
	m = append(m, list(6, b.globals)...)
	m = append(m, list(7, b.exports)...)
	if b.start != nil {
		m = append(m, Section(8, b.start)...)
	}
	m = append(m, list(9, b.elements)...)
	if b.passive {
		m = append(m, Section(12, U32(len(b.datas)))...)
	}
	m = append(m, list(10, b.codes)...)
	m = append(m, list(11, b.datas)...)
	for _, c := range b.customs {
		m = append(m, Section(0, c)...)
	}
	return m
}

func list(id byte, items [][]byte) []byte {
	if len(items) == 0 {
		return nil
	}
	return Section(id, Join(U32(len(items)), Join(items...)))
}

// Preamble returns the first eight bytes of a module.
func Preamble() []byte { return []byte{0, 'a', 's', 'm', 1, 0, 0, 0} }

// Section returns a section.
func Section(id byte, content []byte) []byte { return Join([]byte{id}, Vec(content)) }

// Vec returns content with its length before it.
func Vec(content []byte) []byte { return Join(U32(len(content)), content) }

// U32 returns an unsigned LEB128 number.
func U32(n int) []byte { return binary.AppendUvarint(nil, uint64(uint32(n))) }

// Join returns all parts in one.
func Join(parts ...[]byte) []byte {
	var all []byte
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

// Const is i32.const; n is taken modulo 2^32.
func Const(n int) []byte {
	v := int64(int32(uint32(n)))
	code := []byte{0x41}
	for {
		c := byte(v & 0x7f)
		v >>= 7
		if (v == 0 && c&0x40 == 0) || (v == -1 && c&0x40 != 0) {
			return append(code, c)
		}
		code = append(code, c|0x80)
	}
}

// I64Const is i64.const.
func I64Const(v int64) []byte { return signed([]byte{0x42}, v) }

// Call calls a function.
func Call(index int) []byte { return Join([]byte{0x10}, U32(index)) }

// CallIndirect calls the function of a type that stands in the entry of the table on the stack.
func CallIndirect(typ int) []byte { return Join([]byte{0x11}, U32(typ), []byte{0}) }

// Get is local.get.
func Get(local int) []byte { return Join([]byte{0x20}, U32(local)) }

// Set is local.set.
func Set(local int) []byte { return Join([]byte{0x21}, U32(local)) }

// Op returns instructions without immediates.
func Op(codes ...byte) []byte { return codes }

// Loop is an endless loop around body.
func Loop(body ...[]byte) []byte {
	return Join([]byte{0x03, 0x40}, Join(body...), []byte{0x0c, 0, 0x0b})
}

// Instructions without immediates.
const (
	Unreachable = 0x00
	Drop        = 0x1a
	Add         = 0x6a
	DivS        = 0x6d
)
