package binary

// decoder reads sections into m.
type decoder struct {
	m     *Module
	r     reader
	last  int // rank of the last section that has a place in the order
	names int
	ids   int
}

// section is where the content of a section stands in the file.
type section struct {
	id               byte
	head, start, end int
}

// Section ids.
const (
	sectionCustom = iota
	sectionType
	sectionImport
	sectionFunction
	sectionTable
	sectionMemory
	sectionGlobal
	sectionExport
	sectionStart
	sectionElement
	sectionCode
	sectionData
	sectionDataCount
)

// rank is the place of a section in the order; the data count stands before the code.
func rank(id byte) int {
	switch id {
	case sectionDataCount:
		return 2*sectionElement + 1
	default:
		return 2 * int(id)
	}
}

// section reads one section and sees that it is used up.
func (d *decoder) section() {
	head := d.r.pos
	id := d.r.byte()
	size := d.r.u32()
	if id > sectionDataCount {
		d.r.fail("section %d is not known, or belongs to a proposal that is not enabled", id)
		return
	}
	if uint64(size) > uint64(d.r.left()) {
		d.r.fail("section %d has %d bytes announced, %d left", id, size, d.r.left())
		return
	}
	if id != sectionCustom {
		if rank(id) <= d.last {
			d.r.fail("section %d is repeated or out of order", id)
			return
		}
		d.last = rank(id)
	}
	outer := d.r.end
	d.r.end = d.r.pos + int(size)
	d.m.sections = append(d.m.sections, section{id: id, head: head, start: d.r.pos, end: d.r.end})
	d.content(id)
	if d.r.err == nil && d.r.left() > 0 {
		d.r.fail("section %d has %d bytes too many", id, d.r.left())
	}
	d.r.end = outer
}

func (d *decoder) content(id byte) {
	switch id {
	case sectionCustom:
		d.custom()
	case sectionType:
		d.types()
	case sectionImport:
		d.imports()
	case sectionFunction:
		d.functions()
	case sectionTable:
		d.tables()
	case sectionMemory:
		d.memories()
	case sectionGlobal:
		d.globals()
	case sectionExport:
		d.exports()
	case sectionStart:
		index := d.r.u32()
		d.m.Start = &index
	case sectionElement:
		d.elements()
	case sectionCode:
		d.codes()
	case sectionData:
		d.datas()
	case sectionDataCount:
		n := d.r.u32()
		d.m.declared = &n
	}
}

// agree checks what sections say of each other.
func (d *decoder) agree() {
	m := d.m
	if len(m.bodies) != len(m.Functions) {
		d.r.fail("%d functions declared, %d bodies given", len(m.Functions), len(m.bodies))
	}
	if m.declared != nil && int64(*m.declared) != int64(m.datas) {
		d.r.fail("%d data segments declared, %d given", *m.declared, m.datas)
	}
	spaces := [4]int{m.functions(), m.tables, m.memories(), m.globals}
	for _, e := range m.Exports {
		if int64(e.Index) >= int64(spaces[e.Kind]) {
			d.r.fail("export %.100q names %s %d of %d", e.Name, e.Kind, e.Index, spaces[e.Kind])
		}
	}
	if m.Start != nil {
		if t, ok := m.FuncType(*m.Start); !ok || len(t.Params)+len(t.Results) > 0 {
			d.r.fail("the start function %d does not exist or has parameters or results", *m.Start)
		}
	}
	d.checkBodies()
}

func (d *decoder) types() {
	n := d.r.count("types", 3, MaxTypes)
	d.m.Types = make([]FuncType, n)
	for i := range d.m.Types {
		if form := d.r.byte(); form != 0x60 && d.r.err == nil {
			d.r.fail("type %d has form 0x%02x; only functions (0x60) are enabled", i, form)
			return
		}
		d.m.Types[i] = FuncType{Params: d.valueTypes(), Results: d.valueTypes()}
	}
}

// valueTypes reads a list of types.
func (d *decoder) valueTypes() []ValueType {
	n := d.r.count("parameters or results", 1, MaxParams)
	if n == 0 {
		return nil
	}
	types := make([]ValueType, n)
	for i := range types {
		types[i] = d.r.valueType()
	}
	return types
}

func (d *decoder) imports() {
	n := d.r.count("imports", 4, MaxImports)
	for range n {
		i := Import{Module: d.r.name(), Name: d.r.name(), Kind: Kind(d.r.byte())}
		switch i.Kind {
		case KindFunc:
			i.Type = d.typeIndex()
		case KindTable:
			d.table()
		case KindMemory:
			d.limits("pages", MaxPages)
		case KindGlobal:
			d.globalType()
		default:
			d.r.fail("import %.100q.%.100q is of unknown kind %d", i.Module, i.Name, byte(i.Kind))
		}
		if d.r.err != nil {
			return
		}
		d.m.imported[i.Kind]++
		d.m.Imports = append(d.m.Imports, i)
	}
	d.m.tables, d.m.globals = d.m.imported[KindTable], d.m.imported[KindGlobal]
	if d.m.imported[KindTable] > MaxTables {
		d.r.exceed("tables", uint64(d.m.imported[KindTable]), MaxTables)
	}
	if d.m.imported[KindMemory] > MaxMemories {
		d.r.exceed("memories", uint64(d.m.imported[KindMemory]), MaxMemories)
	}
}

func (d *decoder) typeIndex() uint32 {
	t := d.r.u32()
	if uint64(t) >= uint64(len(d.m.Types)) {
		d.r.fail("type %d of %d", t, len(d.m.Types))
		return 0
	}
	return t
}

func (d *decoder) functions() {
	n := d.r.count("functions", 1, MaxFunctions-d.m.imported[KindFunc])
	d.m.Functions = make([]uint32, n)
	for i := range d.m.Functions {
		d.m.Functions[i] = d.typeIndex()
	}
}

func (d *decoder) tables() {
	n := d.r.count("tables", 3, MaxTables-d.m.tables)
	for range n {
		d.m.Tables = append(d.m.Tables, d.table())
	}
	d.m.tables += n
}

// Table is a table that the module defines.
type Table struct {
	Type   ValueType
	Limits Limits
}

func (d *decoder) table() Table {
	t := ValueType(d.r.byte())
	if t != 0x70 && t != 0x6f {
		d.r.fail("a table of type 0x%02x is not enabled", byte(t))
		return Table{}
	}
	return Table{Type: t, Limits: d.limits("table entries", MaxTableSize)}
}

// limits reads bounds; the minimum is at most most. A maximum may be anything that is not below the minimum.
func (d *decoder) limits(what string, most int) Limits {
	flag := d.r.byte()
	if flag > 1 {
		d.r.fail("limits of form 0x%02x (shared or 64-bit memory) are not enabled", flag)
		return Limits{}
	}
	l := Limits{Min: d.r.u32()}
	if int64(l.Min) > int64(most) {
		d.r.exceed(what, uint64(l.Min), most)
	}
	if flag == 1 {
		highest := d.r.u32()
		if highest < l.Min {
			d.r.fail("limits with a maximum of %d below the minimum of %d", highest, l.Min)
		}
		l.Max = &highest
	}
	return l
}

func (d *decoder) memories() {
	n := d.r.count("memories", 2, MaxMemories-d.m.imported[KindMemory])
	for range n {
		l := d.limits("pages", MaxPages)
		if l.Max != nil && *l.Max > MaxPages {
			d.r.fail("a memory of %d pages; the format allows %d", *l.Max, MaxPages)
		}
		d.m.Memory = &l
	}
}

func (d *decoder) globals() {
	n := d.r.count("globals", 4, MaxGlobals)
	for range n {
		g := d.globalType()
		d.expression()
		if d.r.err != nil {
			return
		}
		d.m.ownGlobals = append(d.m.ownGlobals, g)
		d.m.globals++
	}
}

func (d *decoder) globalType() globalType {
	g := globalType{value: d.r.valueType(), mutable: d.r.byte()}
	if g.mutable > 1 {
		d.r.fail("a global with mutability 0x%02x", g.mutable)
	}
	return g
}

// globalType is the type of a global.
type globalType struct {
	value   ValueType
	mutable byte
}

func (d *decoder) exports() {
	n := d.r.count("exports", 3, MaxExports)
	d.m.Exports = make([]Export, 0, n)
	seen := make(map[string]bool, n)
	for range n {
		e := Export{Name: d.r.name(), Kind: Kind(d.r.byte()), Index: d.r.u32()}
		if e.Kind > KindGlobal {
			d.r.fail("export %.100q is of unknown kind %d", e.Name, byte(e.Kind))
		}
		if seen[e.Name] {
			d.r.fail("export %.100q is repeated", e.Name)
		}
		if d.r.err != nil {
			return
		}
		seen[e.Name] = true
		d.m.Exports = append(d.m.Exports, e)
	}
}
