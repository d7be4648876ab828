package binary

// checkBodies walks the instructions of all functions.
func (d *decoder) checkBodies() {
	if d.r.err != nil {
		return
	}
	outer := d.r
	d.m.quiet = make([]bool, len(d.m.bodies))
	for i := range d.m.bodies {
		d.m.quiet[i] = d.quiet(&d.m.bodies[i])
	}
	c := codeChecker{d: d, effort: newEffort(d.m)}
	for i := range d.m.bodies {
		f := &d.m.bodies[i]
		d.r.pos, d.r.end = f.code, f.end
		t := &d.m.Types[d.m.Functions[i]]
		f.locals += len(t.Params)
		f.results = len(t.Results) > 0
		c = codeChecker{d: d, body: f, frames: c.frames[:0], effort: c.effort}
		c.effort.begin(t, f.locals)
		c.check()
		if d.r.err != nil {
			return
		}
		if rule := c.effort.finish(d.m.imported[KindFunc] + i); rule != "" {
			d.r.pos = f.start
			d.r.refuse(rule)
			return
		}
	}
	d.r.pos, d.r.end = outer.pos, outer.end
}

// quiet reports whether a function does so little that calls of it have paid for it: it calls nothing, has no loop, and
// leaves the fuel alone.
func (d *decoder) quiet(f *body) bool {
	const most = 64 // bytes
	if f.end-f.code > most {
		return false
	}
	r, weight := d.r, int64(0)
	r.pos, r.end = f.code, f.end
	for r.err == nil && r.left() > 0 {
		in := r.instruction()
		if in.calls() || in.op == opLoop {
			return false
		}
		weight += int64(in.weight)
	}
	return r.err == nil && weight <= weightSmall
}

// codeChecker walks one body, and notes where it calls what looks at the fuel.
type codeChecker struct {
	d      *decoder
	body   *body
	frames []frame
	loops  int // among the frames
	effort *effort
}

// frame is a block that is open.
type frame struct {
	op    byte
	place int  // in body.leaf
	loops bool // it is a loop, or holds one
	calls bool // it holds an instruction that calls, other than a quiet function
	outer bool // it holds one that is in no loop inside
}

// check walks up to the end that closes the body, which must be its last byte.
func (c *codeChecker) check() {
	r := &c.d.r
	c.frames = append(c.frames, frame{op: opBlock}) // the body itself
	for r.err == nil {
		in := r.instruction()
		if r.err != nil {
			return
		}
		switch in.op {
		case opBlock, opLoop, opIf:
			c.open(in)
		case opElse:
			if last := &c.frames[len(c.frames)-1]; last.op == opIf {
				last.op = opElse
			} else {
				c.d.at(in.pos, "else without if")
			}
		case opEnd:
			c.close()
		default:
			c.indices(in)
		}
		if r.err != nil || !c.goOn(&in) {
			return
		}
	}
}

// goOn takes an instruction that was checked to the estimate, and reports whether there are more.
func (c *codeChecker) goOn(in *instruction) bool {
	r := &c.d.r
	c.effort.step(in)
	if len(c.frames) == 0 {
		if r.left() > 0 {
			r.fail("%d bytes after the end of a function body", r.left())
		}
		return false
	}
	if (c.effort.instructions%64 == 0 || in.op == opBrTable) && c.effort.tooLarge() {
		r.pos = r.end // finish says why
		return false
	}
	return true
}

func (c *codeChecker) open(in instruction) {
	if in.value >= 0 {
		c.d.inRange(in, "type", uint32(in.value), len(c.d.m.Types))
	}
	if len(c.frames) > MaxNesting {
		c.d.r.pos = in.pos
		c.d.r.exceed("blocks in one another", uint64(len(c.frames)), MaxNesting)
		return
	}
	c.frames = append(c.frames, frame{op: byte(in.op), place: len(c.body.leaf), loops: in.op == opLoop})
	if in.op != opIf {
		c.body.leaf = append(c.body.leaf, false)
	}
	if in.op != opLoop {
		return
	}
	if c.loops++; c.loops > MaxLoops {
		c.d.r.pos = in.pos
		c.d.r.exceed("loops in one another", uint64(c.loops), MaxLoops)
	}
}

// close ends the innermost block; what it calls, the one around it calls.
func (c *codeChecker) close() {
	last := len(c.frames) - 1
	closed := c.frames[last]
	c.frames = c.frames[:last]
	leaf := closed.loops && !closed.calls
	if last == 0 {
		c.body.calls, c.body.whole = closed.outer, leaf
		return
	}
	switch closed.op {
	case opLoop:
		c.loops--
		closed.outer = false
		fallthrough
	case opBlock:
		c.body.leaf[closed.place] = leaf
	}
	around := &c.frames[last-1]
	around.loops = around.loops || closed.loops
	around.calls = around.calls || closed.calls
	around.outer = around.outer || closed.outer
}

// indices checks what an instruction refers to.
func (c *codeChecker) indices(in instruction) {
	d, m := c.d, c.d.m
	if in.calls() && (in.op != opCall || !m.isQuiet(in.x)) {
		top := &c.frames[len(c.frames)-1]
		top.calls, top.outer = true, true
	}
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
		m.shifts = "data.drop"
	case 0xfc0d:
		d.inRange(in, "element segment", in.x, m.elements)
		m.shifts = "elem.drop"
	case 0x25, 0x26, opTableGrow, 0xfc10, opTableFill: // table.get, table.set, table.size
		d.inRange(in, "table", in.x, m.tables)
		if in.op != 0x25 && in.op != 0xfc10 {
			m.shifts = "table.set, table.grow or table.fill"
		}
	default: // local.get, local.set, local.tee
		d.inRange(in, "local", in.x, c.body.locals)
	}
}

// tableIndices checks the instructions with two indices.
func (c *codeChecker) tableIndices(in instruction) {
	d, m := c.d, c.d.m
	switch in.op {
	case opTableInit:
		d.inRange(in, "element segment", in.x, m.elements)
		d.inRange(in, "table", in.y, m.tables)
		m.shifts = "table.init"
	case opTableCopy:
		d.inRange(in, "table", in.x, m.tables)
		d.inRange(in, "table", in.y, m.tables)
		m.shifts = "table.copy"
	default: // call_indirect
		d.inRange(in, "type", in.x, len(m.Types))
		d.inRange(in, "table", in.y, m.tables)
	}
}
