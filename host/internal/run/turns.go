package run

import (
	"context"
	"sync"
	"time"
)

// Turns bounds the attempts that execute at one time, over all runs. An attempt first gets its turn, has its start
// recorded, and then executes. Recording takes a sync of the disk, in which a few places would stand empty: while
// attempts are quick, more get their turn than there are places, and wait for one after the record, not before. Where
// attempts take long, none is recorded before there is a place for it.
type Turns struct {
	most int

	mu        sync.Mutex
	ahead     int // had their turn and do not execute yet
	executing int
	waiting   []*place // for a turn, the oldest first
	recorded  []*place // for a place, the oldest first
	// window is how many may be ahead: one more for each quick attempt, half for each slow one.
	window int
	// moved is when the last attempt got a place, or gave one up.
	moved time.Time
}

const (
	quick     = 20 * time.Millisecond // an attempt that takes longer is slow
	mostAhead = 256
)

// NewTurns returns turns for so many attempts at one time.
func NewTurns(most int) *Turns { return &Turns{most: most} }

// place is one attempt on its way.
type place struct {
	turns *Turns
	state placeState
	since time.Time     // it executes
	ready chan struct{} // closed when the state has changed while it waits
}

type placeState int

const (
	isWaiting placeState = iota
	isAhead
	isExecuting
	isGone
)

// take returns once the attempt may be recorded as started; nil when ctx ends first.
func (t *Turns) take(ctx context.Context) *place {
	if ctx.Err() != nil {
		return nil
	}
	p := &place{turns: t}
	if t == nil {
		return p
	}
	t.mu.Lock()
	t.waiting = append(t.waiting, p)
	t.admit()
	ready := p.await(isWaiting)
	t.mu.Unlock()
	if !p.wait(ctx, ready) {
		return nil
	}
	return p
}

// begin returns once the attempt may execute; false when ctx ends first.
func (p *place) begin(ctx context.Context) bool {
	t := p.turns
	if t == nil {
		return true
	}
	t.mu.Lock()
	t.recorded = append(t.recorded, p)
	t.fill()
	ready := p.await(isAhead)
	t.mu.Unlock()
	return p.wait(ctx, ready)
}

// end gives the place to another attempt. It may be called again.
func (p *place) end() {
	t := p.turns
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	p.leave()
}

// await returns what to wait for while the state is as given; nil when it has changed.
func (p *place) await(state placeState) <-chan struct{} {
	if p.state != state {
		return nil
	}
	p.ready = make(chan struct{})
	return p.ready
}

// wait waits for a change; false when ctx ended first, and the place is given up.
func (p *place) wait(ctx context.Context, ready <-chan struct{}) bool {
	if ready == nil {
		return true
	}
	select {
	case <-ready:
		return true
	case <-ctx.Done():
		p.end()
		return false
	}
}

// move changes the state. The caller holds the lock.
func (p *place) move(state placeState) {
	p.state = state
	if p.ready != nil {
		close(p.ready)
		p.ready = nil
	}
}

// leave takes an attempt out, whatever its state.
func (p *place) leave() {
	t := p.turns
	switch p.state {
	case isWaiting:
		t.waiting = without(t.waiting, p)
	case isAhead:
		t.recorded = without(t.recorded, p)
		t.ahead--
	case isExecuting:
		t.executing--
		t.moved = time.Now()
		if t.moved.Sub(p.since) < quick {
			t.window = min(t.window+1, mostAhead)
		} else {
			t.window /= 2
		}
	case isGone:
		return
	}
	p.state = isGone
	t.fill()
	t.admit()
}

func without(all []*place, p *place) []*place {
	for i := range all {
		if all[i] == p {
			return append(all[:i], all[i+1:]...)
		}
	}
	return all
}

// fill gives free places to those that have been recorded.
func (t *Turns) fill() {
	for len(t.recorded) > 0 && t.executing < t.most {
		p := t.recorded[0]
		t.recorded = t.recorded[1:]
		t.ahead--
		t.executing++
		t.moved = time.Now()
		p.since = t.moved
		p.move(isExecuting)
	}
}

// admit gives turns; none ahead of their places while those that have places do not move.
func (t *Turns) admit() {
	bound := t.most + t.window
	if t.executing == t.most && time.Since(t.moved) > quick {
		bound = t.most
	}
	for len(t.waiting) > 0 && t.executing+t.ahead < bound {
		p := t.waiting[0]
		t.waiting = t.waiting[1:]
		t.ahead++
		p.move(isAhead)
	}
}
