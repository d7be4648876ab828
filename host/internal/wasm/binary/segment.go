package binary

// elements walks the element segments: eight forms, told apart by three bits.
func (d *decoder) elements() {
	n := d.r.count("element segments", 3, MaxElements)
	d.m.elements = n
	for range n {
		d.element()
		if d.r.err != nil {
			return
		}
	}
}

// Bits of an element segment's form.
const (
	elementPassive  = 1 // passive or declarative: no offset
	elementExplicit = 2 // names its table (or, when passive, is declarative)
	elementExprs    = 4 // entries are expressions, not indices
)

func (d *decoder) element() {
	form := d.r.u32()
	if form > 7 {
		d.r.fail("an element segment of unknown form %d", form)
		return
	}
	if form&elementPassive == 0 {
		table := uint32(0)
		if form&elementExplicit != 0 {
			table = d.r.u32()
		}
		if uint64(table) >= uint64(d.m.tables) {
			d.r.fail("an element segment for table %d of %d", table, d.m.tables)
		}
		d.expression()
	}
	if form&(elementPassive|elementExplicit) != 0 {
		d.elementType(form&elementExprs != 0)
	}
	count := d.r.count("entries of an element segment", 1, MaxElementIDs-d.ids)
	d.ids += count
	for range count {
		if form&elementExprs != 0 {
			d.expression()
		} else if f := d.r.u32(); uint64(f) >= uint64(d.m.functions()) {
			d.r.fail("an element names function %d of %d", f, d.m.functions())
		}
		if d.r.err != nil {
			return
		}
	}
}

func (d *decoder) elementType(exprs bool) {
	t := d.r.byte()
	valid := t == 0x00
	if exprs {
		valid = t == 0x70 || t == 0x6f
	}
	if !valid {
		d.r.fail("an element segment of kind 0x%02x", t)
	}
}

// expression walks a constant expression up to its end.
func (d *decoder) expression() {
	for d.r.err == nil {
		in := d.r.instruction()
		switch in.op {
		case opEnd:
			return
		case opI32Const, opI64Const, 0x43, 0x44, 0xd0, opVectorConst:
		case opGlobalGet:
			d.inRange(in, "global", in.x, d.m.globals)
		case opRefFunc:
			d.inRange(in, "function", in.x, d.m.functions())
		default:
			d.at(in.pos, "instruction 0x%02x in a constant expression", in.op)
		}
	}
}

// at records a broken rule at a place.
func (d *decoder) at(pos int, format string, args ...any) {
	if d.r.err == nil {
		d.r.pos = pos
		d.r.fail(format, args...)
	}
}

// inRange sees that an index names one of n.
func (d *decoder) inRange(in instruction, what string, index uint32, n int) {
	if uint64(index) >= uint64(n) {
		d.at(in.pos, "%s %d of %d", what, index, n)
	}
}

// codes walks the bodies: sizes and local declarations. The instructions follow when all sections are known.
func (d *decoder) codes() {
	n := d.r.count("function bodies", 3, MaxFunctions)
	d.m.bodies = make([]body, 0, n)
	all := 0
	for range n {
		size := d.r.u32()
		if size > MaxBody {
			d.r.exceed("bytes in a function body", uint64(size), MaxBody)
			return
		}
		if uint64(size) > uint64(d.r.left()) {
			d.r.fail("a function body of %d bytes announced, %d left", size, d.r.left())
			return
		}
		outer, next := d.r.end, d.r.pos+int(size)
		f := body{start: d.r.pos, end: next}
		d.r.end = next
		f.locals = d.locals()
		if all += f.locals; all > MaxAllLocals {
			d.r.exceed("locals in all functions", uint64(all), MaxAllLocals)
		}
		f.code = d.r.pos
		if d.r.err != nil {
			return
		}
		if d.r.left() < 1 || d.r.b[next-1] != opEnd {
			d.r.fail("a function body does not close with end")
			return
		}
		d.m.bodies = append(d.m.bodies, f)
		d.r.pos, d.r.end = next, outer
	}
}

// body is where a function body stands in the file.
type body struct {
	start, code, end int // of the declarations, of the instructions
	locals           int // parameters included, when the body has been checked

	results bool   // the function returns values
	calls   bool   // it holds an instruction that calls, other than a quiet function, and is in no loop
	whole   bool   // it has loops and holds no such instruction at all
	leaf    []bool // the same for each of its blocks and loops, in their order
}

func (d *decoder) locals() int {
	groups := d.r.count("groups of locals", 2, MaxLocals)
	sum := uint64(0)
	for range groups {
		sum += uint64(d.r.u32())
		d.r.valueType()
		if sum > MaxLocals {
			d.r.exceed("locals in a function", sum, MaxLocals)
			return 0
		}
	}
	return int(sum)
}

func (d *decoder) datas() {
	n := d.r.count("data segments", 2, MaxData)
	for range n {
		form := d.r.u32()
		switch form {
		case 0:
			d.activeData(0)
		case 1:
		case 2:
			d.activeData(d.r.u32())
		default:
			d.r.fail("a data segment of unknown form %d", form)
		}
		d.r.bytes(d.r.u32())
		if d.r.err != nil {
			return
		}
	}
	d.m.datas = n
}

func (d *decoder) activeData(memory uint32) {
	if uint64(memory) >= uint64(d.m.memories()) {
		d.r.fail("a data segment for memory %d of %d", memory, d.m.memories())
	}
	d.expression()
}
