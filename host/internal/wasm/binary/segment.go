package binary

// elements walks the element segments: eight forms, told apart by three bits.
func (d *decoder) elements() {
	n := d.r.count("element segments", 3, MaxElements)
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
		if form&elementExplicit != 0 {
			d.r.u32()
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
		} else {
			d.r.u32()
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
		switch op := d.r.byte(); op {
		case 0x0b: // end
			return
		case 0x41: // i32.const
			d.r.skipSigned(5)
		case 0x42: // i64.const
			d.r.skipSigned(10)
		case 0x43: // f32.const
			d.r.bytes(4)
		case 0x44: // f64.const
			d.r.bytes(8)
		case 0x23, 0xd2: // global.get, ref.func
			d.r.u32()
		case 0xd0: // ref.null
			d.r.byte()
		case 0xfd: // v128.const
			if sub := d.r.u32(); sub != 12 {
				d.r.fail("vector instruction %d in a constant expression", sub)
			}
			d.r.bytes(16)
		default:
			d.r.fail("instruction 0x%02x in a constant expression", op)
		}
	}
}

// codes walks the bodies: sizes and local declarations. The instructions are left to the engine's validator.
func (d *decoder) codes() {
	n := d.r.count("function bodies", 3, MaxFunctions)
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
		d.r.end = next
		d.locals()
		if d.r.err != nil {
			return
		}
		if d.r.left() < 1 || d.r.b[next-1] != 0x0b {
			d.r.fail("a function body does not close with end")
			return
		}
		d.r.pos, d.r.end = next, outer
	}
	d.m.bodies = n
}

func (d *decoder) locals() {
	groups := d.r.count("groups of locals", 2, MaxLocals)
	sum := uint64(0)
	for range groups {
		sum += uint64(d.r.u32())
		d.valueType()
		if sum > MaxLocals {
			d.r.exceed("locals in a function", sum, MaxLocals)
			return
		}
	}
}

func (d *decoder) datas() {
	n := d.r.count("data segments", 2, MaxData)
	for range n {
		form := d.r.u32()
		switch form {
		case 0:
			d.expression()
		case 1:
		case 2:
			d.r.u32()
			d.expression()
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
