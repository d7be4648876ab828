package binary

// The charging of fuel. A body is cut into groups of instructions; each charges the weight of all it holds where it
// begins, whichever of them are executed then. That is an upper bound of the work, known when the module is compiled, and
// the same in every run that takes the same path.
//
// A group stands wherever its beginning is passed before each of its instructions, as often as they are: a block that a
// branch leaves in its middle goes on with the group that was current where the block began, and the code of a loop is
// never in a group from outside it.
const (
	// groupFull is the weight from which a group ends at the next branch or end of a block. It bounds how much is charged
	// for work that is not done, against how often is charged.
	groupFull = 32
	// groupChecked is the weight from which a group ends anywhere, and the next one looks at the fuel that is left.
	groupChecked = 20_000
)

// group is what one charge pays for.
type group struct {
	at      int // where in the code its charge goes
	cost    int64
	checked bool // it looks at the fuel that is left: functions and loops begin with such a one
}

// block is a block that is open.
type block struct {
	op       uint32
	group    int  // the group in which it began
	dead     bool // it is never entered
	targeted bool // a branch leads to its end
}

// meter rewrites function bodies. Its buffers are used again for each body.
type meter struct {
	plan *plan

	r      reader
	code   []byte // the instructions without charges
	groups []group
	blocks []block
	now    int  // the current group
	dead   bool // code that is never reached
}

// body appends the instructions of a function with charges among them.
func (m *meter) body(out []byte, r reader) []byte {
	m.r, m.code, m.groups, m.blocks, m.dead = r, m.code[:0], m.groups[:0], m.blocks[:0], false
	m.begin(true)
	m.blocks = append(m.blocks, block{op: opBlock})
	for len(m.blocks) > 0 && m.r.err == nil {
		in := m.r.instruction()
		m.instruction(&in)
	}
	from := 0
	for _, g := range m.groups {
		out = append(out, m.code[from:g.at]...)
		from = g.at
		if g.checked {
			out = m.plan.check(m.plan.charge(out, max(g.cost, 1)))
		} else if g.cost > 0 {
			out = m.plan.charge(out, g.cost)
		}
	}
	return append(out, m.code[from:]...)
}

// begin opens a group here.
func (m *meter) begin(checked bool) {
	m.groups = append(m.groups, group{at: len(m.code), checked: checked})
	m.now = len(m.groups) - 1
}

// boundary ends a group that has become large.
func (m *meter) boundary() {
	if !m.dead && m.groups[m.now].cost >= groupFull {
		m.begin(false)
	}
}

func (m *meter) instruction(in *instruction) {
	m.plan.adapt(in)
	if !m.dead {
		if m.groups[m.now].cost >= groupChecked {
			m.begin(true)
		}
		m.groups[m.now].cost += m.plan.weight(in)
	}
	switch in.op {
	case opBlock, opLoop, opIf, opElse, opEnd:
		m.structure(in)
		return
	case opBr, opBrIf:
		m.target(in.x)
	case opBrTable:
		for r := (reader{b: in.raw, end: len(in.raw)}); r.left() > 0; {
			m.target(r.u32())
		}
		m.target(in.y)
	}
	m.code = m.plan.emit(m.code, in)
	switch in.op {
	case opBrIf:
		m.boundary()
	case opBr, opBrTable, opReturn, opUnreachable:
		m.dead = true
	}
}

// target notes a branch.
func (m *meter) target(depth uint32) {
	if !m.dead {
		m.blocks[len(m.blocks)-1-int(depth)].targeted = true
	}
}

// structure opens, turns and closes blocks.
func (m *meter) structure(in *instruction) {
	last := len(m.blocks) - 1
	m.code = in.append(m.code)
	switch in.op {
	case opElse:
		b := &m.blocks[last]
		b.op = opElse
		b.targeted = b.targeted || !m.dead // the end is reached from the first arm
		m.resume(*b)
	case opEnd:
		b := m.blocks[last]
		m.blocks = m.blocks[:last]
		m.close(b)
	default:
		m.blocks = append(m.blocks, block{op: in.op, group: m.now, dead: m.dead})
		switch {
		case m.dead:
		case in.op == opLoop:
			m.begin(true)
		case in.op == opIf:
			m.boundary()
		}
	}
}

// resume goes on in the group where the block began.
func (m *meter) resume(b block) {
	m.now, m.dead = b.group, b.dead
	m.boundary()
}

// close decides what group follows a block.
func (m *meter) close(b block) {
	switch {
	case len(m.blocks) == 0:
		return
	case b.op == opLoop:
		dead := m.dead // only its last instruction leads out of a loop
		m.resume(b)
		m.dead = dead
	case b.op == opIf, b.targeted:
		m.resume(b)
	}
}
