package process

import (
	"slices"
	"time"
)

// pool holds processes that wait for an attempt. All of it is under runtime.mu.
type pool struct {
	runtime *Runtime
	idle    []*proc // the newest last
}

// take hands a process that fits to the tenant, or returns nil.
func (p *pool) take(tenant string, fits func(*proc) bool) *proc {
	p.runtime.mu.Lock()
	defer p.runtime.mu.Unlock()
	for i, w := range slices.Backward(p.idle) {
		if fits(w) && !w.child.ended() {
			p.drop(i)
			w.tenant = tenant
			return w
		}
	}
	return nil
}

// drop takes the process at place i out of the idle ones.
func (p *pool) drop(i int) {
	p.idle[i].until = time.Time{}
	p.idle = slices.Delete(p.idle, i, i+1)
	p.runtime.kept--
}

// freshTime is how long a process is kept that Load started and that served nobody yet, where processes are not kept
// after an attempt.
const freshTime = time.Minute

// put keeps the process for the next attempt, for a while, where there is room.
func (p *pool) put(w *proc) {
	r := p.runtime
	r.mu.Lock()
	defer r.mu.Unlock()
	keep := r.idle
	if keep < 0 && w.tenant == "" {
		keep = freshTime
	}
	if r.closed || keep < 0 || r.kept >= r.parallel || w.child.ended() {
		w.child.kill()
		return
	}
	w.until = time.Now().Add(keep)
	p.idle = append(p.idle, w)
	r.kept++
	r.sweepAt(w.until)
}

// sweepAt makes sure that idle processes are looked at then, under mu. A timer for each would cost every attempt the
// setting of one, which wakes a thread.
func (r *Runtime) sweepAt(t time.Time) {
	if r.nextSweep.IsZero() || t.Before(r.nextSweep) {
		r.nextSweep = t
		r.sweeper.Reset(time.Until(t))
	}
}

// sweep ends the processes whose time is over.
func (r *Runtime) sweep() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.nextSweep = time.Time{}
	if r.closed {
		return
	}
	now := time.Now()
	for w := range r.alive {
		switch {
		case w.until.IsZero():
		case w.until.After(now):
			r.sweepAt(w.until)
		default:
			w.child.kill() // and forget drops it
		}
	}
}

// forget is told when a process has ended.
func (p *pool) forget(w *proc) {
	p.runtime.mu.Lock()
	defer p.runtime.mu.Unlock()
	if i := slices.Index(p.idle, w); i >= 0 {
		p.drop(i)
	}
	delete(p.runtime.alive, w)
}
