package binary

import "fmt"

// Bounds of what the compiler may need, by the estimate. A step is about a nanosecond of a slow machine.
const (
	workBase    = 2_000_000_000 // steps for any module
	workPerByte = 1_500         // and for each byte of it

	// MaxCompileMemory bounds what the compiler needs for one function, in bytes.
	MaxCompileMemory = 768 << 20
)

// worthCounting is from where a function is looked at more closely.
const worthCounting = 10_000_000

// countedBase and countedPerByte bound looking closely, for a module.
const (
	countedBase    = 2_000_000
	countedPerByte = 1
)

// Steps of the compiler.
const (
	stepsDominator = 5.0   // for a block that dominates where a branch comes from
	stepsBranches  = 0.5   // for the square of the branches to one place
	stepsWalk      = 5.0   // for a block on the way to a local
	stepsMerging   = 0.6   // for a value of a branch, times those beside it
	stepsAlias     = 3.0   // for another name of a value
	stepsKnown     = 10.0  // for a known address
	stepsAlive     = 200.0 // for a value that is alive in a block
	stepsValue     = 100.0
	stepsGlobal    = 100.0
	stepsDeclaring = 5.0 // for a global, in each function
	stepsTable     = 8.0 // for a block of the largest function so far, in each function: a table is not made smaller
	stepsClearing  = 0.5 // for a local of the widest block so far, in each block
)

// Bytes that the compiler takes.
const (
	bytesBlock       = 2_500
	bytesAlive       = 16
	bytesArgument    = 40
	bytesKnown       = 24
	bytesValue       = 400
	bytesGlobal      = 300
	bytesInstruction = 350
)

// Work is what compiling a module is estimated to take.
type Work struct {
	// Steps of all functions, and how many are allowed to a module of its size.
	Steps, MostSteps float64
	// Bytes of memory for the function that takes most.
	Bytes float64
}

// Work returns what compiling the module is estimated to take. A module that takes more than is allowed is not decoded.
func (m *Module) Work() Work { return m.work }

// part is one of the things that an estimate is the sum of.
type part struct {
	amount float64
	about  string
}

// total returns the sum of the parts and what the largest of them is about.
func total(parts []part) (sum float64, about string) {
	largest := 0.0
	for _, p := range parts {
		sum += p.amount
		if p.amount > largest {
			largest, about = p.amount, p.about
		}
	}
	return sum, about
}

// tooLarge reports whether a function that is not read to its end is beyond all bounds already. It keeps the estimate
// itself from becoming expensive.
func (e *effort) tooLarge() bool {
	return e.steps+stepsDominator*e.dominators+stepsWalk*e.walks > e.limit || bytesBlock*e.spans > MaxCompileMemory
}

// finish returns what is wrong with a function that was read, or nothing.
func (e *effort) finish(function int) string {
	e.largest = max(e.largest, e.spans)
	e.liveness()
	e.places()
	rough := stepsMerging*e.merging*e.turns() + stepsWalk*e.lookups
	parts := e.stepParts()
	if steps, _ := total(parts[:]); rough > worthCounting && e.steps+steps-rough < e.limit {
		e.refine()
		parts = e.stepParts()
	}
	steps, about := total(parts[:])
	if left := e.limit - e.steps; steps > left {
		return fmt.Sprintf("compiling function %d takes about %.0f million steps, for its %s; %.0f million are left of the %.0f million for a module of %d bytes",
			function, steps/1e6, about, left/1e6, e.limit/1e6, len(e.m.bytes))
	}
	e.steps += steps
	taken := e.byteParts()
	bytes, about := total(taken[:])
	if bytes > MaxCompileMemory {
		return fmt.Sprintf("compiling function %d takes about %.0f MiB of memory, for its %s; at most %d MiB are allowed", function, bytes/(1<<20), about, MaxCompileMemory>>20)
	}
	e.m.work = Work{Steps: e.steps, MostSteps: e.limit, Bytes: max(e.m.work.Bytes, bytes)}
	return ""
}

// liveness finds for each block how many locals are alive where it begins.
func (e *effort) liveness() {
	for _, index := range e.touched {
		l := &e.locals[index]
		e.token++
		exposed := false
		for i := l.first; i >= 0; i = e.accesses[i].next {
			if a := e.accesses[i]; a.set {
				e.blocks[a.block].defs = e.token
			} else {
				exposed = true
			}
		}
		if !exposed {
			continue
		}
		e.queue = e.queue[:0]
		places := 0
		for i := l.first; i >= 0; i = e.accesses[i].next {
			if a := e.accesses[i]; !a.set {
				places += e.reach(a.block)
			}
		}
		places += e.spread()
		e.aliases += float64(l.gets) * float64(places)
		if e.steps+stepsAlive*e.alive > e.limit {
			return
		}
	}
}

// reach notes that the local of the token is alive where a block begins, and returns 1 where branches meet.
func (e *effort) reach(block int32) int {
	b := &e.blocks[block]
	if b.mark == e.token {
		return 0
	}
	b.mark = e.token
	b.live++
	e.alive += float64(b.span)
	e.queue = append(e.queue, block)
	if b.preds > 1 || b.loop {
		return 1
	}
	return 0
}

// spread goes from the blocks in the queue to where the local was set.
func (e *effort) spread() int {
	places := 0
	for len(e.queue) > 0 {
		last := len(e.queue) - 1
		block := e.queue[last]
		e.queue = e.queue[:last]
		for i := e.blocks[block].first; i >= 0; i = e.edges[i].next {
			e.alive += 0.25
			if from := e.edges[i].from; e.blocks[from].defs != e.token {
				places += e.reach(from)
			}
		}
	}
	return places
}

// fuelLocal is the local that the rewriting adds.
const fuelLocal = 1

// places sums up what the compiler does where branches meet, if all locals that are alive there become parameters.
func (e *effort) places() {
	for i := range e.blocks {
		b := &e.blocks[i]
		e.alive += float64(b.height+fuelLocal) * float64(b.span)
		b.parameters = b.live
		if b.preds < 2 && !b.loop {
			e.widest = max(e.widest, float64(b.sets))
			continue
		}
		e.widest = max(e.widest, float64(b.sets+b.live))
		chain := 0.0
		for i := b.first; i >= 0; i = e.edges[i].next {
			chain += float64(e.blocks[e.edges[i].from].chain) + 1
		}
		e.lookups += 2 * chain * float64(b.live)
	}
	e.meet()
}

// refine counts parameters and lookups one by one.
func (e *effort) refine() {
	for i := range e.blocks {
		e.blocks[i].parameters = 0
	}
	if steps, ok := e.parameters(); ok {
		e.lookups = float64(steps)
		e.meet()
	}
}

// meet sums up what branches carry to where they meet.
func (e *effort) meet() {
	e.merging, e.arguments = 0, 0
	for i := range e.blocks {
		b := &e.blocks[i]
		if b.preds < 2 && !b.loop {
			continue
		}
		edges, values := float64(b.preds), float64(b.parameters+b.carries+fuelLocal)
		if b.loop {
			edges += 4 // the rewriting makes two of it, and a place between them
		}
		e.arguments += edges * values
		e.merging += edges * values * values
	}
}

// turns is how often the compiler looks at all branches before it has found all values that are the same.
func (e *effort) turns() float64 { return float64(2 + e.deepest + min(e.deepest, loopsTwice)) }

func (e *effort) stepParts() [12]part {
	globals := float64(e.calls+e.ticks) * float64(e.mutable)
	return [...]part{
		{stepsDominator * e.dominators, "blocks that lie behind many others"},
		{stepsBranches * e.branches, "branches to one place"},
		{stepsWalk * (e.walks + e.lookups), "reading locals many blocks behind where they are set"},
		{stepsMerging * e.merging * e.turns(), "locals in use where branches meet, in loops in one another"},
		{stepsAlias * e.aliases, "locals that are read in many blocks"},
		{stepsKnown * e.bounds, "addresses that stay known over many blocks"},
		{stepsAlive * e.alive, "values that are alive over many blocks"},
		{stepsValue * e.values, "parameters and results of calls and blocks"},
		{stepsGlobal * globals, "calls that may change many globals"},
		{stepsDeclaring * float64(e.m.globals), "globals"},
		{stepsTable * e.largest, "tables as large as those of a function before it"},
		{stepsClearing * e.spans * e.widest, "room for as many locals as in a function before it"},
	}
}

func (e *effort) byteParts() [7]part {
	globals := float64(e.calls+e.ticks) * float64(e.mutable)
	return [...]part{
		{bytesBlock * e.spans, "blocks"},
		{bytesAlive * e.alive, "values that are alive over many blocks"},
		{bytesArgument * e.arguments, "locals in use where branches meet"},
		{bytesKnown * e.bounds, "addresses that stay known over many blocks"},
		{bytesValue * e.values, "parameters and results of calls and blocks"},
		{bytesGlobal * globals, "calls that may change many globals"},
		{bytesInstruction * float64(e.instructions), "instructions"},
	}
}
