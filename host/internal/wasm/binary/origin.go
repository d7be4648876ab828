package binary

import "slices"

// Bounds of modules whose places are kept: the engine's map takes memory, and two reads of a file where the module comes
// from the cache, for each instruction that may trap; reading the lines of a module takes time.
const (
	maxPlacedCode = 4 << 20
	maxLineTable  = 16 << 20
)

// sectionLine is the custom section that holds the lines of a module.
const sectionLine = ".debug_line"

// HasLines reports whether the module says from which lines of its source it was made, within the bounds up to which that
// is looked at.
func (m *Module) HasLines() bool {
	table, _ := m.Custom(sectionLine)
	code, ok := m.section(sectionCode)
	return len(table) > 0 && len(table) <= maxLineTable && ok && code.end-code.start <= maxPlacedCode
}

func (m *Module) section(id byte) (section, bool) {
	i := slices.IndexFunc(m.sections, func(s section) bool { return s.id == id })
	if i < 0 {
		return section{}, false
	}
	return m.sections[i], true
}

// places appends debug information of our own, in place of the module's, whose addresses no longer fit and which may be
// hostile: one unit that spans all code. The engine prints no line for what has no unit; where there is one it prints the
// offset in the code as well, and Origins tells from that where the instruction was in the module.
func (p *plan) places(out []byte) []byte {
	const (
		first = 1          // address
		size  = 0x7fffffff // of all
	)
	abbreviations := []byte{
		1, 0x11, 0, // unit without children
		0x11, 0x01, 0x12, 0x06, 0x10, 0x17, // low_pc addr, high_pc data4, stmt_list sec_offset
		0, 0, 0,
	}
	unit := appendFixed(nil, 4) // DWARF 4
	unit = append(appendLong32(unit, 0), 4, 1)
	unit = appendLong32(appendLong32(appendLong32(unit, first), size), 0)
	header := []byte{1, 1, 1, 0, 1, 10, 0, 1, 1, 1, 1, 0, 0, 0, 1, 0, '-', 0, 0, 0, 0, 0}
	table := appendFixed(nil, 4)
	table = append(appendLong32(table, uint32(len(header))), header...)
	table = append(appendLong32(append(table, 0, 5, 2), first), 1)      // at first: line 1
	table = append(appendLong32(append(table, 0, 5, 2), size), 0, 1, 1) // at the end
	for _, s := range []struct {
		name    string
		content []byte
	}{
		{".debug_abbrev", abbreviations},
		{".debug_info", append(appendLong32(nil, uint32(len(unit))), unit...)},
		{sectionLine, append(appendLong32(nil, uint32(len(table))), table...)},
	} {
		out = p.section(out, sectionCustom, append(appendName(nil, s.name), s.content...))
	}
	return out
}

func appendFixed(out []byte, v uint16) []byte { return append(out, byte(v), byte(v>>8)) }

func appendLong32(out []byte, v uint32) []byte {
	return appendFixed(appendFixed(out, uint16(v)), uint16(v>>16))
}

// Origins tells where instructions were. Offsets are those of the code section that Rewrite writes under the same options;
// what is returned are offsets in that of the module, or zero for what the rewriting has added. It writes all code again.
func (m *Module) Origins(o Options, offsets []uint32) []uint32 {
	if m.Rewritable(o) != nil {
		return make([]uint32, len(offsets))
	}
	code, _ := m.section(sectionCode)
	p := newPlan(m, o)
	p.trace = &trace{start: code.start, offsets: offsets, origins: make([]uint32, len(offsets))}
	p.codes()
	return p.trace.origins
}

// trace finds the origins of offsets while code is written. A nil one does nothing.
type trace struct {
	start            int // of the module's code section
	offsets, origins []uint32
	// Of one body:
	marks   []mark
	charges []charged
}

// mark is an instruction: where it begins in meter.code, and in the module.
type mark struct{ at, pos int }

// charged is a charge: before what in meter.code it stands, and its size.
type charged struct{ at, size int }

// instruction notes the one that comes next.
func (t *trace) instruction(at, pos int) {
	if t != nil {
		t.marks = append(t.marks, mark{at, pos})
	}
}

// charge notes what was added.
func (t *trace) charge(at, size int) {
	if t != nil {
		t.charges = append(t.charges, charged{at, size})
	}
}

// body looks up the offsets that lie in the instructions of a body, which stand at begin and below end of the section.
func (t *trace) body(begin, end int) {
	if t == nil {
		return
	}
	for i, offset := range t.offsets {
		if at := int(offset); at >= begin && at < end {
			t.origins[i] = t.origin(at - begin)
		}
	}
	t.marks, t.charges = t.marks[:0], t.charges[:0]
}

// origin returns where the instruction was at or around a place in the current body.
func (t *trace) origin(at int) uint32 {
	for _, c := range t.charges {
		if at < c.at {
			break
		}
		at = max(c.at, at-c.size)
	}
	n, exact := slices.BinarySearchFunc(t.marks, at, func(m mark, at int) int { return m.at - at })
	if !exact {
		n--
	}
	if n < 0 {
		return 0
	}
	return uint32(t.marks[n].pos - t.start)
}
