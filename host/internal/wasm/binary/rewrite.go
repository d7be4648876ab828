package binary

import (
	"fmt"
	"slices"
	"strings"
)

// RewriterVersion is the version of what Rewrite makes of a module, the weights of instructions included. Compiled
// modules and counts of fuel of different versions do not mix.
const RewriterVersion = 2

// Names that the rewriting adds to a module. Names that begin with Reserved are the host's: a module that uses one of
// them itself is refused.
const (
	Reserved = "uniflow:"
	// TickModule and TickName name the one function that is imported, of type () -> (). It is called when FuelExport has
	// become negative, and must raise it or stop the guest.
	TickModule, TickName = Reserved + "engine", "tick"
	// FuelExport is the mutable i64 global that is counted down. It begins at zero, so that the first function ticks.
	FuelExport = Reserved + "fuel"
	// GlobalExport and the index of a mutable global of the module's own are the name under which it is exported.
	GlobalExport = Reserved + "global:"
)

// Options say what Rewrite does beside metering.
type Options struct {
	// MaxMemoryPages bounds the memory that the module defines, in pages of 64 KiB. Defaults to what the module says.
	MaxMemoryPages uint32
	// MaxTableEntries bounds each table that the module defines. Defaults to what the module says.
	MaxTableEntries uint32
	// ExportGlobals exports the mutable globals that the module defines.
	ExportGlobals bool
	// Keep names custom sections to keep. Others are dropped; names of functions are kept always.
	Keep []string
	// Places adds what makes the engine say where in the code a trap was.
	Places bool
}

// RewriteInfo is what Rewrite did.
type RewriteInfo struct {
	// Segments is the number of data segments before and after those were merged that follow one another closely.
	SegmentsBefore, SegmentsAfter int
	// Globals are the exported mutable globals, by name.
	Globals []string
}

// Rewrite returns a module that does what m does, counts its work and calls the host while it works. Functions and loops
// begin with a look at the fuel that is left; memory and tables are filled, copied and grown at a price by length, memory
// in pieces where it is long. Every byte of the result was written by this package.
//
// The error is an *Error: the module uses a reserved name, or its memory or a table begins beyond the bounds of o.
func (m *Module) Rewrite(o Options) ([]byte, RewriteInfo, error) {
	if err := m.Rewritable(o); err != nil {
		return nil, RewriteInfo{}, err
	}
	p := newPlan(m, o)
	out := append(make([]byte, 0, len(m.bytes)+len(m.bytes)/4+1024), m.bytes[:8]...)
	out = p.section(out, sectionType, p.types())
	out = p.section(out, sectionImport, p.imports())
	out = p.section(out, sectionFunction, p.functions())
	out = p.section(out, sectionTable, p.tables())
	out = p.section(out, sectionMemory, p.memory())
	out = p.section(out, sectionGlobal, p.globals())
	out = p.section(out, sectionExport, p.exports())
	out = p.section(out, sectionStart, p.start())
	out = p.section(out, sectionElement, p.elements())
	data, segments := p.data()
	if m.declared != nil {
		out = p.section(out, sectionDataCount, appendU32(nil, uint32(segments)))
	}
	out = p.section(out, sectionCode, p.codes())
	out = p.section(out, sectionData, data)
	for _, c := range m.Customs {
		if slices.Contains(o.Keep, c.Name) {
			out = p.section(out, sectionCustom, append(appendName(nil, c.Name), c.Data...))
		}
	}
	if o.Places {
		out = p.places(out)
	}
	out = p.section(out, sectionCustom, p.names())
	return out, RewriteInfo{SegmentsBefore: m.datas, SegmentsAfter: segments, Globals: p.exported}, nil
}

// plan is what the parts of the new module know of one another.
type plan struct {
	m     *Module
	o     Options
	tick  uint32 // index of the imported function; functions of the module move up by one
	fuel  uint32 // index of the global, behind all of the module
	extra []extra
	// typeVoid, typeCount and typeThree are the types () -> (), (i32) -> (i32) and (i32, i32, i32) -> ().
	typeVoid, typeCount, typeThree uint32
	exported                       []string
	trace                          *trace // nil but in Origins
}

// Rewritable returns the error that Rewrite would.
func (m *Module) Rewritable(o Options) error {
	refuse := func(limit bool, format string, args ...any) error {
		return &Error{Rule: fmt.Sprintf(format, args...), Limit: limit}
	}
	for _, i := range m.Imports {
		if strings.HasPrefix(i.Module, Reserved) {
			return refuse(false, "import module %.100q: names that begin with %s are the host's", i.Module, Reserved)
		}
	}
	for _, e := range m.Exports {
		if strings.HasPrefix(e.Name, Reserved) {
			return refuse(false, "export %.100q: names that begin with %s are the host's", e.Name, Reserved)
		}
	}
	if o.MaxMemoryPages > 0 && m.Memory != nil && m.Memory.Min > o.MaxMemoryPages {
		return refuse(true, "a memory of %d pages at its start, at most %d are allowed", m.Memory.Min, o.MaxMemoryPages)
	}
	for _, t := range m.Tables {
		if o.MaxTableEntries > 0 && t.Limits.Min > o.MaxTableEntries {
			return refuse(true, "a table of %d entries at its start, at most %d are allowed", t.Limits.Min, o.MaxTableEntries)
		}
	}
	return nil
}

func newPlan(m *Module, o Options) *plan {
	types := uint32(len(m.Types))
	p := &plan{
		m: m, o: o, tick: uint32(m.imported[KindFunc]), fuel: uint32(m.globals),
		typeVoid: types, typeCount: types + 1, typeThree: types + 2,
	}
	p.addExtra()
	return p
}

// section appends a section, unless it is empty.
func (p *plan) section(out []byte, id byte, content []byte) []byte {
	if len(content) == 0 {
		return out
	}
	out = append(out, id)
	out = appendU32(out, uint32(len(content)))
	return append(out, content...)
}

// source returns a decoder at the content of a section of the module, or false when there is none. What it reads
// has been checked.
func (p *plan) source(id byte) (*decoder, bool) {
	for _, s := range p.m.sections {
		if s.id == id {
			return &decoder{m: p.m, r: reader{b: p.m.bytes, pos: s.start, end: s.end}}, true
		}
	}
	return nil, false
}

// function returns the new index of a function.
func (p *plan) function(index uint32) uint32 {
	if index >= p.tick {
		return index + 1
	}
	return index
}

// adapt turns indices of the module into new ones.
func (p *plan) adapt(in *instruction) {
	if in.op == opCall || in.op == opRefFunc {
		in.x = p.function(in.x)
	}
}

func (p *plan) types() []byte {
	out := appendU32(nil, uint32(len(p.m.Types)+3))
	for _, t := range p.m.Types {
		out = append(out, 0x60)
		out = appendTypes(out, t.Params)
		out = appendTypes(out, t.Results)
	}
	return append(out, 0x60, 0, 0, 0x60, 1, byte(I32), 1, byte(I32), 0x60, 3, byte(I32), byte(I32), byte(I32), 0)
}

func appendTypes(out []byte, types []ValueType) []byte {
	out = appendU32(out, uint32(len(types)))
	for _, t := range types {
		out = append(out, byte(t))
	}
	return out
}

func (p *plan) imports() []byte {
	out := appendU32(nil, uint32(len(p.m.Imports)+1))
	d, _ := p.source(sectionImport)
	if d != nil {
		d.r.u32()
	}
	for range p.m.Imports {
		out = appendName(out, d.r.name())
		out = appendName(out, d.r.name())
		kind := Kind(d.r.byte())
		out = append(out, byte(kind))
		switch kind {
		case KindFunc:
			out = appendU32(out, d.r.u32())
		case KindTable:
			out = appendTable(out, d.table())
		case KindMemory:
			out = appendLimits(out, d.limits("pages", MaxPages))
		case KindGlobal:
			g := d.globalType()
			out = append(out, byte(g.value), g.mutable)
		}
	}
	out = appendName(appendName(out, TickModule), TickName)
	return appendU32(append(out, byte(KindFunc)), p.typeVoid)
}

func appendName(out []byte, name string) []byte {
	out = appendU32(out, uint32(len(name)))
	return append(out, name...)
}

func appendTable(out []byte, t Table) []byte {
	return appendLimits(append(out, byte(t.Type)), t.Limits)
}

func appendLimits(out []byte, l Limits) []byte {
	if l.Max == nil {
		return appendU32(append(out, 0), l.Min)
	}
	return appendU32(appendU32(append(out, 1), l.Min), *l.Max)
}

// clamp returns limits with a maximum of at most most, where that is not zero.
func clamp(l Limits, most uint32) Limits {
	if most > 0 && (l.Max == nil || *l.Max > most) {
		l.Max = &most
	}
	return l
}

func (p *plan) functions() []byte {
	out := appendU32(nil, uint32(len(p.m.Functions)+len(p.extra)))
	for _, t := range p.m.Functions {
		out = appendU32(out, t)
	}
	for _, e := range p.extra {
		out = appendU32(out, e.typ)
	}
	return out
}

func (p *plan) tables() []byte {
	if len(p.m.Tables) == 0 {
		return nil
	}
	out := appendU32(nil, uint32(len(p.m.Tables)))
	for _, t := range p.m.Tables {
		out = appendTable(out, Table{Type: t.Type, Limits: clamp(t.Limits, p.o.MaxTableEntries)})
	}
	return out
}

func (p *plan) memory() []byte {
	if p.m.Memory == nil {
		return nil
	}
	return appendLimits([]byte{1}, clamp(*p.m.Memory, p.o.MaxMemoryPages))
}

func (p *plan) globals() []byte {
	out := appendU32(nil, uint32(len(p.m.ownGlobals)+1))
	if d, ok := p.source(sectionGlobal); ok {
		d.r.u32()
		for range p.m.ownGlobals {
			g := d.globalType()
			out = append(out, byte(g.value), g.mutable)
			out = p.expression(out, &d.r)
		}
	}
	return append(out, 0x7e, 1, opI64Const, 0, opEnd)
}

// expression copies a constant expression.
func (p *plan) expression(out []byte, r *reader) []byte {
	for r.err == nil {
		in := r.instruction()
		p.adapt(&in)
		out = in.append(out)
		if in.op == opEnd {
			break
		}
	}
	return out
}

func (p *plan) exports() []byte {
	var list []byte
	add := func(name string, kind Kind, index uint32) {
		list = appendU32(append(appendName(list, name), byte(kind)), index)
	}
	for _, e := range p.m.Exports {
		index := e.Index
		if e.Kind == KindFunc {
			index = p.function(index)
		}
		add(e.Name, e.Kind, index)
	}
	add(FuelExport, KindGlobal, p.fuel)
	for i, g := range p.m.ownGlobals {
		if g.mutable == 1 && p.o.ExportGlobals {
			name := fmt.Sprintf("%s%d", GlobalExport, p.m.imported[KindGlobal]+i)
			p.exported = append(p.exported, name)
			add(name, KindGlobal, uint32(p.m.imported[KindGlobal]+i))
		}
	}
	return append(appendU32(nil, uint32(len(p.m.Exports)+1+len(p.exported))), list...)
}

func (p *plan) start() []byte {
	if p.m.Start == nil {
		return nil
	}
	return appendU32(nil, p.function(*p.m.Start))
}

func (p *plan) elements() []byte {
	d, ok := p.source(sectionElement)
	if !ok {
		return nil
	}
	n := d.r.u32()
	out := appendU32(nil, n)
	for range n {
		out = p.element(out, &d.r)
	}
	return out
}

func (p *plan) element(out []byte, r *reader) []byte {
	form := r.u32()
	out = appendU32(out, form)
	if form&elementPassive == 0 {
		if form&elementExplicit != 0 {
			out = appendU32(out, r.u32())
		}
		out = p.expression(out, r)
	}
	if form&(elementPassive|elementExplicit) != 0 {
		out = append(out, r.byte())
	}
	count := r.u32()
	out = appendU32(out, count)
	for range count {
		if form&elementExprs != 0 {
			out = p.expression(out, r)
		} else {
			out = appendU32(out, p.function(r.u32()))
		}
	}
	return out
}

func (p *plan) codes() []byte {
	if len(p.m.bodies)+len(p.extra) == 0 {
		return nil
	}
	out := appendU32(nil, uint32(len(p.m.bodies)+len(p.extra)))
	m := meter{plan: p}
	var buf []byte
	for i, f := range p.m.bodies {
		buf = locals(buf[:0], reader{b: p.m.bytes, pos: f.start, end: f.code})
		declared := len(buf)
		buf = m.rewrite(buf, &p.m.bodies[i])
		out = append(appendU32(out, uint32(len(buf))), buf...)
		p.trace.body(len(out)-len(buf)+declared, len(out))
	}
	for _, e := range p.extra {
		buf = append(append(append(buf[:0], 0), e.code...), opEnd)
		out = append(appendU32(out, uint32(len(buf))), buf...)
	}
	return out
}

// locals copies the declarations of a body, and adds one of an i64 for the metering.
func locals(out []byte, r reader) []byte {
	n := r.u32()
	out = appendU32(out, n+1)
	for range n {
		out = appendU32(out, r.u32())
		out = append(out, r.byte())
	}
	return append(out, 1, byte(I64))
}
