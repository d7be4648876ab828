package binary

import (
	"math"
	"strings"
)

// Line is a place in a source.
type Line struct {
	File string // its name, without folders
	Line uint32
}

// Lines returns from which lines the instructions at these offsets in the code section were made. A Line without a file
// stands for what is not known. The table may be hostile: each step reads a byte of it at least, and nothing of it is
// kept.
func (m *Module) Lines(offsets []uint32) []Line {
	found := make([]Line, len(offsets))
	data, _ := m.Custom(sectionLine)
	if !m.HasLines() {
		return found
	}
	code, _ := m.section(sectionCode)
	t := &lineTable{m: m, limit: uint64(code.end - code.start), offsets: offsets, found: found, hits: make([]lineHit, len(offsets))}
	r := &reader{b: data, end: len(data)}
	for r.err == nil && r.left() > 0 {
		size := r.fixed32()
		if size > math.MaxInt32 { // the form of 64 bits, which no code of 32 needs
			break
		}
		unit := r.bytes(size)
		if r.err != nil {
			break
		}
		if size < leastUnit {
			continue
		}
		clear(t.hits)
		t.read(&reader{b: unit, end: len(unit)})
	}
	return found
}

// leastUnit is the size of a unit that holds nothing but a header.
const leastUnit = 12

// lineTable reads the lines of one unit.
type lineTable struct {
	m       *Module
	limit   uint64 // of addresses
	offsets []uint32
	found   []Line
	hits    []lineHit

	version    uint16
	unit       byte // the least size of an instruction
	base       int8
	span       byte
	first      byte   // opcode that is special
	arguments  []byte // how many the standard opcodes have
	row, last  lineRow
	dead, open bool // of the sequence
}

// lineRow is the state of the program that yields the table.
type lineRow struct {
	address    uint64
	file, line uint32
}

// lineHit is the row of an offset.
type lineHit struct {
	file, line uint32
}

// read reads a unit up to its first mistake.
func (t *lineTable) read(r *reader) {
	if t.version = r.fixed16(); t.version < 2 || t.version > 5 {
		return
	}
	if t.version == 5 {
		r.bytes(2) // the sizes of an address and of a segment's number
	}
	size := r.fixed32()
	if uint64(size) > uint64(r.left()) {
		return
	}
	files := *r
	files.end = r.pos + int(size)
	program := *r
	program.pos = files.end
	t.unit = files.byte()
	if t.version >= 4 && files.byte() > 1 {
		return // several operations in an instruction
	}
	files.byte()
	t.base, t.span, t.first = int8(files.byte()), files.byte(), files.byte()
	if t.span == 0 || t.first == 0 {
		return
	}
	t.arguments = files.bytes(uint32(t.first) - 1)
	if files.err != nil {
		return
	}
	t.reset()
	for program.err == nil && program.left() > 0 {
		t.step(&program)
	}
	for i, hit := range t.hits {
		if hit.line > 0 && t.found[i].File == "" {
			names := files
			t.found[i] = Line{File: t.file(&names, hit.file), Line: hit.line}
		}
	}
}

func (t *lineTable) reset() {
	t.row, t.dead, t.open = lineRow{file: 1, line: 1}, true, false
}

// emit ends the row before this one.
func (t *lineTable) emit() {
	if t.open && !t.dead {
		for i, offset := range t.offsets {
			if at := uint64(offset); at > 0 && at >= t.last.address && at < t.row.address {
				t.hits[i] = lineHit{t.last.file, t.last.line}
			}
		}
	}
	t.last, t.open = t.row, true
}

// step executes one operation.
func (t *lineTable) step(r *reader) {
	op := r.byte()
	if op >= t.first {
		t.advance(uint64((op - t.first) / t.span))
		t.row.line += uint32(int32(t.base) + int32((op-t.first)%t.span))
		t.emit()
		return
	}
	switch op {
	case 0:
		t.extended(r)
	case 1: // copy
		t.emit()
	case 2: // advance_pc
		t.advance(r.number())
	case 3: // advance_line
		t.row.line += uint32(r.signed(64))
	case 4: // set_file
		t.row.file = uint32(min(r.number(), math.MaxUint32))
	case 8: // const_add_pc
		t.advance(uint64((255 - t.first) / t.span))
	case 9: // fixed_advance_pc
		t.row.address += uint64(r.fixed16())
	default:
		for range t.arguments[op-1] {
			r.number()
		}
	}
}

func (t *lineTable) advance(by uint64) { t.row.address += by * uint64(t.unit) }

func (t *lineTable) extended(r *reader) {
	size := r.number()
	if size == 0 || size > uint64(r.left()) {
		r.fail("an operation of no size, or a larger one than there is")
		return
	}
	body := reader{b: r.bytes(uint32(size))}
	body.end = len(body.b)
	switch body.byte() {
	case 1: // end_sequence
		t.emit()
		t.reset()
	case 2: // set_address
		t.row.address = uint64(body.fixed32())
		if size == 9 {
			t.row.address |= uint64(body.fixed32()) << 32
		}
		// Linkers leave what they have removed at an address that no code has.
		t.dead = t.row.address == 0 || t.row.address >= t.limit
	}
}

// file returns the name of a file by its number.
func (t *lineTable) file(r *reader, number uint32) string {
	if t.version == 5 {
		return t.file5(r, number)
	}
	for r.err == nil && len(r.text()) > 0 { // the folders
	}
	for n := uint32(1); r.err == nil; n++ {
		name := r.text()
		if len(name) == 0 {
			break
		}
		if n == number {
			return baseName(name)
		}
		for range 3 { // folder, time and size
			r.number()
		}
	}
	return ""
}

// file5 does so in version 5, where the module describes how names are written.
func (t *lineTable) file5(r *reader, number uint32) string {
	t.entries(r, math.MaxUint32) // the folders
	return baseName(t.entries(r, number))
}

// entries reads a list of files or folders up to the one of that number, and returns its name.
func (t *lineTable) entries(r *reader, number uint32) []byte {
	form := make([][2]uint64, r.byte())
	for i := range form {
		form[i] = [2]uint64{r.number(), r.number()}
	}
	count := r.number()
	if len(form) == 0 {
		if count > 0 {
			r.fail("entries without a form")
		}
		return nil
	}
	for n := uint64(0); n < count && r.err == nil; n++ {
		var name lineText
		for _, f := range form {
			if value := t.value(r, f[1]); f[0] == 1 {
				name = value
			}
		}
		if n == uint64(number) && r.err == nil {
			return t.resolve(name)
		}
	}
	return nil
}

// lineText is a text, or where in a section of texts it begins.
type lineText struct {
	text    []byte
	section string
	offset  uint32
}

// value reads a value, of a byte at least, and returns it if it is a text.
func (t *lineTable) value(r *reader, form uint64) lineText {
	switch form {
	case 0x08: // string
		return lineText{text: r.text()}
	case 0x1f: // line_strp
		return lineText{section: ".debug_line_str", offset: r.fixed32()}
	case 0x0e: // strp
		return lineText{section: ".debug_str", offset: r.fixed32()}
	case 0x0f: // udata
		r.number()
	case 0x0b: // data1
		r.byte()
	case 0x05: // data2
		r.bytes(2)
	case 0x06: // data4
		r.bytes(4)
	case 0x07: // data8
		r.bytes(8)
	case 0x1e: // data16, a checksum
		r.bytes(16)
	case 0x09: // block
		r.bytes(uint32(min(r.number(), math.MaxUint32)))
	default:
		r.fail("a form that is not known")
	}
	return lineText{}
}

// maxPath bounds what is looked at of a file's name and folders, in bytes.
const maxPath = 4096

func (t *lineTable) resolve(text lineText) []byte {
	if text.section == "" {
		return text.text
	}
	data, _ := t.m.Custom(text.section)
	if uint64(text.offset) >= uint64(len(data)) {
		return nil
	}
	data = data[text.offset:]
	r := reader{b: data, end: min(len(data), maxPath)}
	return r.text()
}

// baseName drops folders, which are those of who built the module.
func baseName(path []byte) string {
	name := string(path[max(0, len(path)-maxPath):])
	return strings.ToValidUTF8(name[strings.LastIndexAny(name, `/\`)+1:], "?")
}
