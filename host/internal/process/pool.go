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
	p.idle[i].until, p.idle[i].warmed = time.Time{}, false
	p.idle = slices.Delete(p.idle, i, i+1)
	p.runtime.kept--
}

// freshTime is how long a process is kept that Load started and that served nobody yet, where processes are not kept
// after an attempt.
const freshTime = time.Minute

// put keeps the process for the next attempt, for a while.
func (p *pool) put(w *proc) { p.keep(w, false) }

// keep is put; warmed are processes that an attempt will need soon: they make room for others last.
func (p *pool) keep(w *proc, warmed bool) {
	r := p.runtime
	r.mu.Lock()
	defer r.mu.Unlock()
	keep := r.idle
	if keep < 0 && w.tenant == "" {
		keep = freshTime
	}
	if r.closed || keep < 0 || w.child.ended() {
		w.child.kill()
		return
	}
	if r.kept >= r.keep {
		r.makeRoom()
	}
	w.until, w.warmed = time.Now().Add(keep), warmed
	p.idle = append(p.idle, w)
	r.kept++
	r.sweepAt(w.until)
}

// makeRoom ends the idle process that was used longest ago, under mu.
func (r *Runtime) makeRoom() {
	var oldest *proc
	for w := range r.alive {
		if !w.until.IsZero() && (oldest == nil || oldest.warmed && !w.warmed || oldest.warmed == w.warmed && w.until.Before(oldest.until)) {
			oldest = w
		}
	}
	if oldest != nil {
		oldest.child.kill()
		oldest.pool.drop(slices.Index(oldest.pool.idle, oldest))
	}
}

// mayWarm reports whether one more process may be made ready before it is needed.
func (r *Runtime) mayWarm() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for w := range r.alive {
		if w.warmed {
			n++
		}
	}
	return n < r.keep
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
