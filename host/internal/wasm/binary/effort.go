package binary

import "math"

// The engine's compiler cannot be interrupted, and what it needs for a function grows faster than the function does: with
// the square of its blocks, of the branches to one place, of the values that are alive together. So what it will need is
// estimated before it sees a module, and a module that would take too long, or too much memory, is refused.
//
// The estimate follows the compiler: it lays out the blocks of a function as the rewriting leaves them, and finds for each
// block the locals that are alive where it begins. It is an upper bound within a small factor, and costs as much as
// reading the function does.

// MaxTargets bounds the targets of one br_table.
const MaxTargets = 65_520

// Blocks of the engine that one of ours stands for, because of what the rewriting adds.
const (
	spanPlain  = 1
	spanBranch = 3  // br_if becomes an if around a branch
	spanEntry  = 4  // with a look at the fuel
	spanLoop   = 10 // two loops, with a look at the fuel each
)

// effort estimates one function after the other. Its buffers are used again for each.
type effort struct {
	m        *Module
	imported []uint32 // types of the imported functions
	mutable  int      // globals that can change
	limit    float64  // steps for all functions
	steps    float64  // of those that were read
	closely  int      // steps that are left for looking closely
	largest  float64  // blocks of the largest function
	widest   float64  // locals of the block that has most

	blocks   []flowBlock
	edges    []flowEdge
	frames   []flowFrame
	locals   []flowLocal
	touched  []uint32 // the locals that this function uses
	accesses []flowAccess
	queue    []int32
	epoch    uint32 // of this function, in locals
	token    uint32 // of one local of one function, in blocks

	current int32 // the block that is open; dead where code is never reached
	height  int   // of the operand stack
	known   int   // addresses that the compiler knows to lie in memory
	loops   int   // in one another
	sums
}

// sums are what the estimate of a function is made of.
type sums struct {
	instructions, calls, deepest, ticks int
	spans                               float64 // blocks of the engine
	dominators                          float64 // blocks that dominate where a branch comes from, over all branches
	branches                            float64 // squares of the branches to one place
	walks                               float64 // blocks that are passed on the way to a local that is read
	lookups                             float64 // the same, from where branches meet
	bounds                              float64 // known addresses, over all blocks
	values                              float64 // parameters and results of calls and blocks
	alive                               float64 // values alive, over all blocks
	arguments                           float64 // values that branches carry, once the compiler has made parameters of locals
	merging                             float64 // the same, squared for each place
	aliases                             float64
}

// dead is the block of code that is never reached.
const dead int32 = -1

// flowBlock is a block of the function, as the compiler has it.
type flowBlock struct {
	first      int32 // of its edges
	preds      int32
	depth      int32 // blocks that dominate it, at most
	chain      int32 // blocks with one predecessor between it and one that has several
	span       int32
	height     int32
	carries    int32 // values that branches to it bring
	loop       bool
	sealed     int32 // the instruction that ends a loop
	live       int32 // locals
	sets       int32 // locals that are set in it
	parameters int32
	value      int32  // of the local of the token
	mark, defs uint32 // tokens
}

// flowEdge is a branch to a block.
type flowEdge struct{ from, next int32 }

// flowFrame is a block of the format that is open.
type flowFrame struct {
	op              uint32
	head            int32 // of a loop or if
	first, n        int32 // edges to its end
	known           int   // at its head, and the least of those edges
	least           int
	depth           int32 // the least of the blocks of those edges
	height          int
	params, results int
	dead            bool
}

// flowLocal is a local of this function where epoch says so.
type flowLocal struct {
	epoch    uint32
	first    int32 // of its accesses
	get, set int32 // the last block + 1 in which it was
	gets     int32
}

// flowAccess is the first use of a local in a block, or that it is set there.
type flowAccess struct {
	block, next int32
	time        int32
	set         bool
}

func newEffort(m *Module) *effort {
	e := &effort{m: m, limit: workBase + workPerByte*float64(len(m.bytes)), closely: countedBase + countedPerByte*len(m.bytes)}
	for _, i := range m.Imports {
		if i.Kind == KindFunc {
			e.imported = append(e.imported, i.Type)
		}
	}
	e.mutable = m.imported[KindGlobal] + 1 // the fuel
	for _, g := range m.ownGlobals {
		e.mutable += int(g.mutable)
	}
	return e
}

// begin starts a function.
func (e *effort) begin(t *FuncType, locals int) {
	e.blocks, e.edges, e.frames, e.touched, e.accesses = e.blocks[:0], e.edges[:0], e.frames[:0], e.touched[:0], e.accesses[:0]
	e.epoch++
	e.height, e.known, e.loops, e.sums = 0, 0, 0, sums{ticks: 1}
	if locals > len(e.locals) {
		e.locals = make([]flowLocal, locals)
	}
	e.current = e.block(spanEntry)
	e.frames = append(e.frames, flowFrame{op: opBlock, first: -1, results: len(t.Results)})
	e.values = float64(len(t.Params) + len(t.Results))
}

// block adds a block.
func (e *effort) block(span int32) int32 {
	e.blocks = append(e.blocks, flowBlock{first: -1, span: span, height: int32(e.height)})
	e.spans += float64(span)
	return int32(len(e.blocks) - 1)
}

// leave ends the open block.
func (e *effort) leave() {
	if e.current != dead {
		e.bounds += float64(e.known) * float64(e.blocks[e.current].span)
		e.current = dead
	}
}

// edge adds a branch from a block to another one.
func (e *effort) edge(from, to int32) {
	b := &e.blocks[to]
	e.edges = append(e.edges, flowEdge{from: from, next: b.first})
	b.first = int32(len(e.edges) - 1)
	if b.preds++; b.preds == 1 {
		b.depth = e.blocks[from].depth + b.span
	}
	e.dominators += float64(e.blocks[from].depth) * float64(b.span)
}

// after goes on in a block that only one leads to.
func (e *effort) after(from, span int32) {
	b := e.block(span)
	e.blocks[b].chain = e.blocks[from].chain + span
	e.edge(from, b)
	e.current = b
}

// step takes an instruction whose indices are right.
func (e *effort) step(in *instruction) {
	e.instructions++
	switch in.op {
	case opBlock, opLoop, opIf:
		e.open(in)
	case opElse:
		e.turn()
	case opEnd:
		e.close()
	case opCall, opCallIndirect:
		e.call(in)
	default:
		if e.current != dead {
			e.live(in)
		}
	}
}

// live takes an instruction that is reached.
func (e *effort) live(in *instruction) {
	switch in.op {
	case opBr:
		e.branch(in.x)
		e.leave()
	case opBrIf:
		e.height--
		e.branch(in.x)
		from := e.current
		e.leave()
		e.after(from, spanBranch)
	case opBrTable:
		e.spans += float64(in.x) + 1 // each jump has a block of its own
		for r := (reader{b: in.raw, end: len(in.raw)}); r.left() > 0; {
			e.branch(r.u32())
		}
		e.branch(in.y)
		e.leave()
	case opReturn, opUnreachable:
		e.leave()
	case opLocalGet:
		e.height++
		e.get(in.x)
	case opLocalSet:
		e.height--
		e.set(in.x)
	case opLocalTee:
		e.set(in.x)
	default:
		if in.imm == immAccess || in.imm == immAccessLane {
			e.known++
		}
		if in.calls() {
			e.calls++
		}
		e.height += in.effect()
	}
}

// arity returns how many values a block takes and leaves.
func (e *effort) arity(in *instruction) (params, results int) {
	switch {
	case in.value >= 0:
		t := &e.m.Types[in.value]
		return len(t.Params), len(t.Results)
	case in.value != blockVoid:
		return 0, 1
	}
	return 0, 0
}

func (e *effort) open(in *instruction) {
	f := flowFrame{op: in.op, first: -1, dead: e.current == dead, known: e.known, head: e.current}
	f.params, f.results = e.arity(in)
	e.values += float64(f.params + f.results)
	if in.op == opLoop {
		e.loops++
		e.deepest = max(e.deepest, e.loops)
		e.ticks++
	}
	if !f.dead {
		if in.op == opIf {
			e.height--
		}
		f.height = max(e.height-f.params, 0)
		e.enter(&f)
	}
	e.frames = append(e.frames, f)
}

// enter begins the block that a frame opens.
func (e *effort) enter(f *flowFrame) {
	from := e.current
	switch f.op {
	case opIf:
		e.leave()
		e.after(from, spanPlain)
	case opLoop:
		e.leave()
		f.head = e.block(spanLoop)
		h := &e.blocks[f.head]
		h.loop, h.carries, h.sealed = true, int32(f.params), math.MaxInt32
		e.edge(from, f.head)
		e.current = f.head
	}
}

// branch adds an edge to a label.
func (e *effort) branch(depth uint32) {
	f := &e.frames[len(e.frames)-1-int(depth)]
	if f.op == opLoop {
		e.edge(e.current, f.head)
		return
	}
	e.arrive(f, e.current, e.known)
}

// arrive adds an edge to the end of a frame.
func (e *effort) arrive(f *flowFrame, from int32, known int) {
	e.edges = append(e.edges, flowEdge{from: from, next: f.first})
	f.first = int32(len(e.edges) - 1)
	depth := e.blocks[from].depth
	e.dominators += float64(depth)
	if f.n == 0 {
		f.least, f.depth = known, depth
	}
	f.least, f.depth = min(f.least, known), min(f.depth, depth)
	f.n++
}

// turn begins the other arm of an if.
func (e *effort) turn() {
	f := &e.frames[len(e.frames)-1]
	if f.dead {
		return
	}
	if e.current != dead {
		e.arrive(f, e.current, e.known)
		e.leave()
	}
	f.op = opElse
	e.height, e.known = f.height+f.params, f.known
	e.after(f.head, spanPlain)
}

// close ends a frame.
func (e *effort) close() {
	last := len(e.frames) - 1
	f := &e.frames[last]
	e.frames = e.frames[:last]
	if f.op == opLoop {
		e.loops--
	}
	if f.dead {
		return
	}
	if f.op == opLoop {
		h := &e.blocks[f.head]
		h.sealed = int32(e.instructions)
		e.branches += float64(h.preds) * float64(h.preds)
	}
	if e.current != dead {
		e.arrive(f, e.current, e.known)
		e.leave()
	}
	if f.op == opIf { // there is no other arm
		e.arrive(f, f.head, f.known)
	}
	e.height = f.height + f.results
	e.join(f)
}

// join goes on behind a frame, if anything leads there.
func (e *effort) join(f *flowFrame) {
	e.branches += float64(f.n) * float64(f.n)
	switch {
	case f.n == 0:
		return
	case f.n == 1 && len(e.frames) == 0:
		return
	case f.n == 1:
		e.known = f.least
		e.after(e.edges[f.first].from, spanPlain)
		return
	}
	b := e.block(spanPlain)
	e.blocks[b].first, e.blocks[b].preds, e.blocks[b].carries, e.blocks[b].depth = f.first, f.n, int32(f.results), f.depth+spanPlain
	e.current, e.known = b, f.least
}

// call takes a call, reached or not: the validator makes room for its results all the same.
func (e *effort) call(in *instruction) {
	typ := in.x
	if in.op == opCall {
		if in.x < uint32(len(e.imported)) {
			typ = e.imported[in.x]
		} else {
			typ = e.m.Functions[in.x-uint32(len(e.imported))]
		}
	}
	t := &e.m.Types[typ]
	e.values += float64(len(t.Params) + len(t.Results))
	if e.current == dead {
		return
	}
	e.calls++
	e.height += len(t.Results) - len(t.Params)
	if in.op == opCallIndirect {
		e.height--
	}
	e.height = max(e.height, 0)
}
