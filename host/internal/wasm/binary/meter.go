package binary

// The charging of fuel. A body is cut into groups of instructions; each charges the weight of all it holds where it
// begins, whichever of them are executed then. That is an upper bound of the work, known when the module is compiled, and
// the same in every run that takes the same path.
//
// A group stands wherever its beginning is passed before each of its instructions, as often as they are: a block that a
// branch leaves in its middle goes on with the group that was current where the block began, and the code of a loop is
// never in a group from outside it.
//
// The fuel that is left is looked at where functions begin, and in each turn of a loop. A loop becomes two:
//
//	loop                 ;; around
//	  if fuel < 0: call tick
//	  loop               ;; the module's own
//	    if fuel >= 0
//	      fuel = fuel - cost
//	      ...
//	    else br around
//
// so that the inner one, which is executed most, holds no call that the engine would have to keep registers for, and what
// it does follows the comparison without a jump. A loop that calls nothing, and the blocks around it that do not,
// keep the fuel in a local; the global has it again where control leaves them, and where the host is called. A trap there
// loses what was used since, less than a slice and the same each time.
const (
	// groupFull is the weight from which a group ends at the next branch or end of a block. It bounds how much is charged
	// for work that is not done, against how often is charged.
	groupFull = 32
	// checkedEvery is the weight after which the fuel is looked at in code without loops.
	checkedEvery = 20_000
	// weightSmall is the weight of what stands before the loops of a function up to which calls of it have paid for it, and
	// weightUnchecked that of all outside of loops up to which it does not look at the fuel there, if it calls nothing
	// there: its loops look, or who calls it looks often enough.
	weightSmall = 16
	// loopsTwice is how many loops in one another become two. The engine's work for a function grows with the third power
	// of their depth; loops inside so many others have a call in them.
	loopsTwice      = 16
	weightUnchecked = 100
)

// check says whether a group looks at the fuel before it charges.
type check byte

const (
	checkNone check = iota
	checkCall       // calls tick here
	checkLoop       // goes on only if there is some, else back to the loop around, which calls tick
)

// group is what one charge pays for.
type group struct {
	at    int // where in the code its charge goes
	cost  int64
	check check
	local bool  // the fuel is in the local
	typ   int64 // of the loop
}

// block is a block that is open.
type block struct {
	op       uint32
	group    int   // the group in which it began
	loops    int   // loops among the open blocks, this one included, that became two
	since    int64 // meter.since where it began
	peak     int64 // the highest meter.since of the branches to its end
	carries  bool  // a branch to it carries values
	dead     bool  // it is never entered
	targeted bool  // a branch leads to its end
	twice    bool  // a loop that became two
	local    bool  // meter.local around it
	within   bool  // meter.local at the target of a branch to it
}

// meter rewrites function bodies. Its buffers are used again for each body.
type meter struct {
	plan *plan

	body   *body
	r      reader
	code   []byte // the instructions without charges
	labels []byte
	groups []group
	blocks []block
	begun  int   // blocks and loops that have begun, for body.leaf
	inside int   // loops that are open
	now    int   // the current group
	bare   int64 // weight of all that is in no loop
	since  int64 // the most that can have been executed since the fuel was looked at
	dead   bool  // code that is never reached
	local  bool  // the fuel is in the local, and what the global says is old
}

// rewrite appends the instructions of a function with charges among them.
func (m *meter) rewrite(out []byte, f *body) []byte {
	*m = meter{
		plan: m.plan, body: f, r: reader{b: m.plan.m.bytes, pos: f.code, end: f.end},
		code: m.code[:0], labels: m.labels, groups: m.groups[:0], blocks: m.blocks[:0],
	}
	if f.whole {
		m.load()
	}
	m.begin(checkCall)
	m.blocks = append(m.blocks, block{op: opBlock, carries: f.results})
	for len(m.blocks) > 0 && m.r.err == nil {
		in := m.r.instruction()
		m.plan.trace.instruction(len(m.code), in.pos)
		m.instruction(&in)
	}
	m.excuse()
	from := 0
	for _, g := range m.groups {
		out = append(out, m.code[from:g.at]...)
		size := len(out)
		out = m.charge(out, g)
		m.plan.trace.charge(g.at, len(out)-size)
		from = g.at
	}
	return append(out, m.code[from:]...)
}

// excuse spares a small function what it would cost to look.
func (m *meter) excuse() {
	if m.body.calls || m.bare > weightUnchecked {
		return
	}
	m.groups[0].check = checkNone
	if m.groups[0].cost <= weightSmall {
		m.groups[0].cost = 0
	}
}

// begin opens a group here.
func (m *meter) begin(c check) {
	m.groups = append(m.groups, group{at: len(m.code), check: c, local: m.local})
	m.now = len(m.groups) - 1
	if c != checkNone {
		m.since = 0
	}
}

// boundary ends a group that has become large.
func (m *meter) boundary() {
	if !m.dead && m.groups[m.now].cost >= groupFull {
		m.begin(checkNone)
	}
}

func (m *meter) instruction(in *instruction) {
	m.plan.adapt(in)
	if !m.dead {
		m.count(in)
	}
	switch in.op {
	case opBlock, opLoop, opIf, opElse, opEnd:
		m.structure(in)
		return
	case opBrIf:
		m.branchIf(in)
		return
	case opBr:
		m.leave(in.x)
		in.x = m.target(in.x)
	case opBrTable:
		m.targets(in)
	case opReturn:
		m.leave(uint32(len(m.blocks) - 1))
	}
	m.code = m.plan.emit(m.code, in)
	switch in.op {
	case opBr, opBrTable, opReturn, opUnreachable:
		m.dead = true
	}
}

// count adds the weight of an instruction to the current group.
func (m *meter) count(in *instruction) {
	if m.since >= checkedEvery {
		m.begin(checkCall)
	}
	weight := m.plan.weight(in)
	m.groups[m.now].cost += weight
	if m.inside == 0 {
		m.bare += weight
	}
	m.since += weight
	if in.op == opCall || in.op == opCallIndirect {
		m.since += weightUnchecked
	}
}

// branchIf writes a branch on a condition as an if around a branch, where it carries no values: the engine then makes one
// comparison and one jump of it.
func (m *meter) branchIf(in *instruction) {
	depth := in.x
	carries := m.blocks[len(m.blocks)-1-int(depth)].carries
	in.x = m.target(depth)
	if carries || m.dead {
		m.leave(depth)
		m.code = in.append(m.code)
	} else {
		m.code = append(m.code, opIf, 0x40)
		m.leave(depth)
		m.code = append(appendU32(append(m.code, opBr), in.x+1), opEnd)
	}
	m.boundary()
}

// leave appends what stands before a branch of this depth: the global gets the fuel back where it was in the local.
func (m *meter) leave(depth uint32) {
	if m.local && !m.blocks[len(m.blocks)-1-int(depth)].within && !m.dead {
		m.code = m.store(m.code)
	}
}

// load appends code that takes the fuel of the global into the local, where it is until it is stored.
func (m *meter) load() {
	m.code = m.appendLocal(appendU32(append(m.code, opGlobalGet), m.plan.fuel), opLocalSet)
	m.local = true
}

// store appends code that gives the fuel in the local to the global.
func (m *meter) store(out []byte) []byte {
	return appendU32(append(m.appendLocal(out, opLocalGet), opGlobalSet), m.plan.fuel)
}

// target notes a branch and returns its depth among the blocks of the new body, where a loop is three.
func (m *meter) target(depth uint32) uint32 {
	last := len(m.blocks) - 1
	b := &m.blocks[last-int(depth)]
	if !m.dead {
		b.targeted = true
		b.peak = max(b.peak, m.since)
	}
	depth += 2 * uint32(m.blocks[last].loops-b.loops)
	if b.twice {
		depth++
	}
	return depth
}

// targets does the same for all branches of br_table.
func (m *meter) targets(in *instruction) {
	m.labels = m.labels[:0]
	outermost := in.y
	for r := (reader{b: in.raw, end: len(in.raw)}); r.left() > 0; {
		depth := r.u32()
		outermost = max(outermost, depth)
		m.labels = appendU32(m.labels, m.target(depth))
	}
	m.leave(outermost) // if that leaves no loop, none does
	in.raw = m.labels
	in.y = m.target(in.y)
}

// structure opens, turns and closes blocks.
func (m *meter) structure(in *instruction) {
	last := len(m.blocks) - 1
	switch in.op {
	case opElse:
		m.code = in.append(m.code)
		b := &m.blocks[last]
		b.op = opElse
		m.reach(b) // the end is reached from the first arm
		m.since = b.since
		m.resume(*b)
	case opEnd:
		b := m.blocks[last]
		if b.twice {
			m.code = append(m.code, opElse, opBr, 2, opEnd, opEnd)
		}
		if last == 0 && m.local { // behind it there is nothing
			m.leave(0)
		}
		m.code = in.append(m.code)
		if b.within && !b.local {
			m.code = m.store(m.code)
		}
		m.blocks = m.blocks[:last]
		m.close(b)
	default:
		m.open(in)
	}
}

func (m *meter) open(in *instruction) {
	b := block{op: in.op, group: m.now, carries: m.carries(in), dead: m.dead, since: m.since, local: m.local, within: m.local}
	if last := len(m.blocks) - 1; last >= 0 {
		b.loops = m.blocks[last].loops
	}
	leaf := false
	if in.op != opIf {
		leaf = m.body.leaf[m.begun] && !m.dead
		m.begun++
	}
	if in.op != opLoop {
		m.code = in.append(m.code)
		if leaf && !m.local {
			b.within = true
			m.load()
		}
		m.blocks = append(m.blocks, b)
		if in.op == opIf {
			m.boundary()
		}
		return
	}
	m.inside++
	if m.dead {
		m.code = in.append(m.code)
		m.blocks = append(m.blocks, b)
		return
	}
	if b.carries || b.loops >= loopsTwice { // what it carries cannot be had in the if that goes back to the loop around
		m.blocks = append(m.blocks, b)
		m.code = in.append(m.code)
		m.begin(checkCall)
		return
	}
	b.loops++
	b.twice, b.within = true, leaf
	m.blocks = append(m.blocks, b)
	if leaf && !m.local {
		m.load()
	}
	m.code = m.around(in.append(m.code))
	m.code = in.append(m.code)
	m.begin(checkLoop)
	m.groups[m.now].typ = in.value
}

// carries reports whether a branch to a block carries values.
func (m *meter) carries(in *instruction) bool {
	switch {
	case in.value >= 0 && in.op == opLoop:
		return len(m.plan.m.Types[in.value].Params) > 0
	case in.value >= 0:
		return len(m.plan.m.Types[in.value].Results) > 0
	}
	return in.op != opLoop && in.value != blockVoid
}

// around appends what stands between the two loops that a loop becomes.
func (m *meter) around(out []byte) []byte {
	if m.local {
		return m.tickLocal(out)
	}
	return m.plan.check(out)
}

// tickLocal appends code that calls the host when there is no fuel left, by the local.
func (m *meter) tickLocal(out []byte) []byte {
	p := m.plan
	out = append(m.appendLocal(out, opLocalGet), opI64Const, 0, opI64LtS, opIf, 0x40)
	out = appendU32(append(p.callTick(m.store(out)), opGlobalGet), p.fuel)
	return append(m.appendLocal(out, opLocalSet), opEnd)
}

// appendLocal appends an instruction on the local that metering has added.
func (m *meter) appendLocal(out []byte, op byte) []byte {
	return appendU32(append(out, op), uint32(m.body.locals))
}

// charge appends what a group begins with.
func (m *meter) charge(out []byte, g group) []byte {
	p := m.plan
	get := func(out []byte) []byte {
		if g.local {
			return m.appendLocal(out, opLocalGet)
		}
		return appendU32(append(out, opGlobalGet), p.fuel)
	}
	if g.check == checkLoop {
		out = appendSigned(append(get(out), opI64Const, 0, opI64GeS, opIf), g.typ)
	}
	if g.cost > 0 {
		out = append(appendSigned(append(get(out), opI64Const), g.cost), opI64Sub)
		if g.local {
			out = m.appendLocal(out, opLocalSet)
		} else {
			out = appendU32(append(out, opGlobalSet), p.fuel)
		}
	}
	switch {
	case g.check == checkCall && g.local:
		out = m.tickLocal(out)
	case g.check == checkCall:
		out = p.check(out)
	}
	return out
}

// resume goes on in the group where the block began.
func (m *meter) resume(b block) {
	m.now, m.dead, m.local = b.group, b.dead, b.local
	m.boundary()
}

// reach notes that the end of a block is reached from here.
func (m *meter) reach(b *block) {
	if !m.dead {
		b.targeted = true
		b.peak = max(b.peak, m.since)
	}
}

// close decides what group follows a block.
func (m *meter) close(b block) {
	if b.op == opLoop {
		m.inside--
	}
	m.local = b.local
	switch {
	case len(m.blocks) == 0:
	case b.op == opLoop:
		dead := m.dead // only its last instruction leads out of a loop
		m.resume(b)
		m.dead = dead
	case b.op == opIf, b.targeted:
		m.since = max(m.since, b.since, b.peak)
		m.resume(b)
	}
}
