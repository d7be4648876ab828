package binary

// checkBodies walks the instructions of all functions.
func (d *decoder) checkBodies() {
	if d.r.err != nil {
		return
	}
	outer := d.r
	var c codeChecker
	for i, f := range d.m.bodies {
		d.r.pos, d.r.end = f.code, f.end
		c = codeChecker{d: d, locals: f.locals + len(d.m.Types[d.m.Functions[i]].Params), frames: c.frames[:0]}
		c.check()
		if d.r.err != nil {
			return
		}
	}
	d.r.pos, d.r.end = outer.pos, outer.end
}

// codeChecker walks one body. A frame is the opcode of a block that is open.
type codeChecker struct {
	d      *decoder
	locals int
	frames []byte
}

// check walks up to the end that closes the body, which must be its last byte.
func (c *codeChecker) check() {
	r := &c.d.r
	c.frames = append(c.frames, opBlock) // the body itself
	for r.err == nil {
		in := r.instruction()
		if r.err != nil {
			return
		}
		switch in.op {
		case opBlock, opLoop, opIf:
			c.open(in)
		case opElse:
			if last := len(c.frames) - 1; c.frames[last] == opIf {
				c.frames[last] = opElse
			} else {
				c.d.at(in.pos, "else without if")
			}
		case opEnd:
			c.frames = c.frames[:len(c.frames)-1]
			if len(c.frames) > 0 {
				continue
			}
			if r.left() > 0 {
				r.fail("%d bytes after the end of a function body", r.left())
			}
			return
		default:
			c.indices(in)
		}
	}
}

func (c *codeChecker) open(in instruction) {
	if in.value >= 0 {
		c.d.inRange(in, "type", uint32(in.value), len(c.d.m.Types)) //nolint:gosec // 33 bits, not negative
	}
	if len(c.frames) > MaxNesting {
		c.d.r.pos = in.pos
		c.d.r.exceed("blocks in one another", uint64(len(c.frames)), MaxNesting)
		return
	}
	c.frames = append(c.frames, byte(in.op))
}

// indices checks what an instruction refers to.
func (c *codeChecker) indices(in instruction) {
	d, m := c.d, c.d.m
	switch in.imm {
	case immIndex:
		c.index(in)
	case immLabels:
		for r := (reader{b: in.raw, end: len(in.raw)}); r.left() > 0; {
			d.inRange(in, "label", r.u32(), len(c.frames))
		}
		d.inRange(in, "label", in.y, len(c.frames))
	case immIndices:
		c.tableIndices(in)
	case immMemory, immMemoryFill, immMemoryCopy, immAccess, immAccessLane, immMemoryInit:
		d.inRange(in, "memory", 0, m.memories())
		if in.op == opMemoryInit {
			d.inRange(in, "data segment", in.x, m.datas)
			m.usesData = true
		}
	}
}

// index checks the one index of an instruction.
func (c *codeChecker) index(in instruction) {
	d, m := c.d, c.d.m
	switch in.op {
	case opBr, opBrIf:
		d.inRange(in, "label", in.x, len(c.frames))
	case opCall, opRefFunc:
		d.inRange(in, "function", in.x, m.functions())
	case opGlobalGet, opGlobalSet:
		d.inRange(in, "global", in.x, m.globals)
	case opDataDrop:
		d.inRange(in, "data segment", in.x, m.datas)
		m.usesData = true
	case 0xfc0d: // elem.drop
		d.inRange(in, "element segment", in.x, m.elements)
	case 0x25, 0x26, opTableGrow, 0xfc10, opTableFill: // table.get, table.set, table.size
		d.inRange(in, "table", in.x, m.tables)
	default: // local.get, local.set, local.tee
		d.inRange(in, "local", in.x, c.locals)
	}
}

// tableIndices checks the instructions with two indices.
func (c *codeChecker) tableIndices(in instruction) {
	d, m := c.d, c.d.m
	switch in.op {
	case opTableInit:
		d.inRange(in, "element segment", in.x, m.elements)
		d.inRange(in, "table", in.y, m.tables)
	case opTableCopy:
		d.inRange(in, "table", in.x, m.tables)
		d.inRange(in, "table", in.y, m.tables)
	default: // call_indirect
		d.inRange(in, "type", in.x, len(m.Types))
		d.inRange(in, "table", in.y, m.tables)
	}
}
