package binary

import "slices"

// Where branches meet, the compiler makes a parameter of each local that may hold one of several values, as far as it can
// tell at the time; it then looks at all of them again and again. How many there are is found by doing the same, one local
// after the other. That takes longer than the rest of an estimate, and is done only where it matters.

// local returns a local of this function.
func (e *effort) local(index uint32) *flowLocal {
	l := &e.locals[index]
	if l.epoch != e.epoch {
		*l = flowLocal{epoch: e.epoch, first: -1}
		e.touched = append(e.touched, index)
	}
	return l
}

// get notes that a local is read. The compiler looks for what it holds in one block after the other.
func (e *effort) get(index uint32) {
	l := e.local(index)
	l.gets++
	if l.set == e.current+1 {
		e.walks++
		return
	}
	e.walks += float64(e.blocks[e.current].chain) + 1
	if l.get != e.current+1 {
		l.get = e.current + 1
		e.access(l, false)
	}
}

func (e *effort) set(index uint32) {
	if l := e.local(index); l.set != e.current+1 {
		l.set = e.current + 1
		e.blocks[e.current].sets++
		e.access(l, true)
	}
}

func (e *effort) access(l *flowLocal, set bool) {
	e.accesses = append(e.accesses, flowAccess{block: e.current, next: l.first, time: int32(e.instructions), set: set})
	l.first = int32(len(e.accesses) - 1)
}

// values follows one local through a function.
type values struct {
	e       *effort
	now     int32 // the instruction at which the compiler is
	last    int32 // the last value that was made
	pending []int32
	left    int // steps until it gives up
}

// parameters counts the parameters of each block, and the blocks that are passed on the way to values. It reports false
// when that takes more than what is left for looking closely.
func (e *effort) parameters() (steps int, ok bool) {
	v := values{e: e, left: e.closely}
	for _, index := range e.touched {
		if e.token++; v.left > 0 {
			v.follow(&e.locals[index])
		}
	}
	steps, e.closely = e.closely-v.left, max(v.left, 0)
	return steps, v.left > 0
}

// follow takes what is done with a local in the order in which it was written.
func (v *values) follow(l *flowLocal) {
	e := v.e
	order := e.queue[:0]
	for i := l.first; i >= 0; i = e.accesses[i].next {
		order = append(order, i)
	}
	e.queue = order
	v.pending = v.pending[:0]
	for _, i := range slices.Backward(order) {
		a := e.accesses[i]
		v.seal(a.time)
		v.now = a.time
		if a.set {
			v.define(a.block)
		} else {
			v.find(a.block)
		}
	}
	v.seal(int32(e.instructions) + 1)
}

// define gives the local a new value in a block.
func (v *values) define(block int32) int32 {
	v.last++
	b := &v.e.blocks[block]
	b.mark, b.value = v.e.token, v.last
	return v.last
}

// seal looks up what the local holds at the ends of the loops that have been closed by then, the inner ones first.
func (v *values) seal(now int32) {
	for v.left > 0 {
		first := -1
		v.left -= len(v.pending)
		for i, h := range v.pending {
			if at := v.e.blocks[h].sealed; at <= now && (first < 0 || at < v.e.blocks[v.pending[first]].sealed) {
				first = i
			}
		}
		if first < 0 {
			return
		}
		header := v.pending[first]
		v.pending = append(v.pending[:first], v.pending[first+1:]...)
		v.now = v.e.blocks[header].sealed
		v.join(header)
	}
}

// join makes a parameter of a block, and looks up what each branch to it brings.
func (v *values) join(block int32) {
	v.e.blocks[block].parameters++
	for i := v.e.blocks[block].first; i >= 0; i = v.e.edges[i].next {
		v.find(v.e.edges[i].from)
	}
}

// find returns the value of the local at the end of a block.
func (v *values) find(block int32) int32 {
	e := v.e
	for {
		b := &e.blocks[block]
		switch v.left--; {
		case v.left <= 0:
			return 0
		case b.mark == e.token:
			return b.value
		case b.loop && b.sealed > v.now: // not all branches to it are known yet
			v.pending = append(v.pending, block)
			return v.define(block)
		case b.preds == 0:
			return 0
		case b.preds == 1 && !b.loop:
			block = e.edges[b.first].from
			continue
		}
		return v.merge(block)
	}
}

// merge returns the one value that all branches to a block bring, or a parameter.
func (v *values) merge(block int32) int32 {
	e := v.e
	own := v.define(block)
	only := int32(-1)
	for i := e.blocks[block].first; i >= 0; i = e.edges[i].next {
		switch found := v.find(e.edges[i].from); {
		case only < 0:
			only = found
		case only != found:
			v.join(block)
			return own
		}
	}
	return only
}
