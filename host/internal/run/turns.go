package run

import (
	"context"
	"sync"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// Turns bounds the attempts that execute at one time, over all runs. An attempt first gets its turn, has its start
// recorded, and then executes. Recording takes a sync of the disk, in which a few places would stand empty: while
// attempts are quick, more get their turn than there are places, and wait for one after the record, not before. Where
// attempts take long, none is recorded before there is a place for it.
//
// Tenants take turns. One of which nothing executes gets a place at once, beyond the others where those hold all, so that
// nobody's long attempts keep another tenant waiting: so many attempts as there are places and tenants may execute.
type Turns struct {
	most int
	// memory bounds the sum of the memory limits of a tenant's attempts that had their turn; zero is no bound. One attempt
	// always fits.
	memory func(tenant string) flow.Size

	mu        sync.Mutex
	ahead     int // had their turn and do not execute yet
	executing int
	shares    map[string]*share
	waiting   round // for a turn
	recorded  round // for a place
	// window is how many may be ahead: one more for each quick attempt, half for each slow one.
	window int
	// moved is when the last attempt got a place, or gave one up.
	moved time.Time
}

const (
	quick     = 20 * time.Millisecond // an attempt that takes longer is slow
	mostAhead = 256
)

// NewTurns returns turns for so many attempts at one time. Memory may be nil, which is no bound.
func NewTurns(most int, memory func(tenant string) flow.Size) *Turns {
	if memory == nil {
		memory = func(string) flow.Size { return 0 }
	}
	return &Turns{most: most, memory: memory, shares: map[string]*share{}, waiting: round{queue: (*share).turnQueue}, recorded: round{queue: (*share).placeQueue}}
}

// Memory returns the sum of the memory limits of a tenant's attempts that had their turn.
func (t *Turns) Memory(tenant string) flow.Size {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.shares[tenant]; s != nil {
		return s.memory
	}
	return 0
}

// place is one attempt on its way.
type place struct {
	turns  *Turns
	share  *share
	memory flow.Size
	state  placeState
	since  time.Time     // it executes
	ready  chan struct{} // closed when the state has changed while it waits
}

type placeState int

const (
	isWaiting placeState = iota
	isAhead
	isExecuting
	isGone
)

// take returns once the attempt of a tenant may be recorded as started; nil when ctx ends first.
func (t *Turns) take(ctx context.Context, tenant string, memory flow.Size) *place {
	if ctx.Err() != nil {
		return nil
	}
	p := &place{turns: t, memory: memory}
	if t == nil {
		return p
	}
	t.mu.Lock()
	p.share = t.shares[tenant]
	if p.share == nil {
		p.share = &share{tenant: tenant}
		t.shares[tenant] = p.share
	}
	t.waiting.add(p)
	t.admit(p.share)
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
	t.recorded.add(p)
	t.fill(p.share)
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
	t, s := p.turns, p.share
	switch p.state {
	case isWaiting:
		t.waiting.remove(p)
	case isAhead:
		t.recorded.remove(p)
		t.ahead--
		s.ahead--
		s.memory -= p.memory
	case isExecuting:
		t.executing--
		s.executing--
		s.memory -= p.memory
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
	t.fill(s)
	t.admit(s)
	if s.idle() {
		delete(t.shares, s.tenant)
	}
}

// fill gives free places to those that have been recorded, and one at once to a tenant of which nothing executes.
func (t *Turns) fill(own *share) {
	if own.executing == 0 && len(own.recorded) > 0 {
		t.execute(t.recorded.take(own))
	}
	for t.executing < t.most {
		s := t.recorded.next(nil)
		if s == nil {
			return
		}
		t.execute(t.recorded.take(s))
	}
}

func (t *Turns) execute(p *place) {
	t.ahead--
	p.share.ahead--
	t.executing++
	p.share.executing++
	t.moved = time.Now()
	p.since = t.moved
	p.move(isExecuting)
}

// admit gives turns; none ahead of their places while those that have places do not move, but one at once to a tenant that
// has nothing on its way.
func (t *Turns) admit(own *share) {
	if own.ahead+own.executing == 0 && len(own.waiting) > 0 {
		t.goAhead(t.waiting.take(own))
	}
	bound := t.most + t.window
	if t.executing >= t.most && time.Since(t.moved) > quick {
		bound = t.most
	}
	for t.executing+t.ahead < bound {
		s := t.waiting.next(t.fits)
		if s == nil {
			return
		}
		t.goAhead(t.waiting.take(s))
	}
}

func (t *Turns) goAhead(p *place) {
	t.ahead++
	p.share.ahead++
	p.share.memory += p.memory
	p.move(isAhead)
}

// fits reports whether the next attempt of a tenant stays within its memory.
func (t *Turns) fits(s *share) bool {
	bound := t.memory(s.tenant)
	return bound == 0 || s.ahead+s.executing == 0 || s.memory+s.waiting[0].memory <= bound
}
