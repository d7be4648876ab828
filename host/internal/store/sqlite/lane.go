package sqlite

import "time"

// lane is a line of calls. What begins goes first, so that many slots that are due at once begin on time, and runs end a
// little later; attempts go before runs, so that guests execute while other runs are still being taken.
type lane int

const (
	attempts lane = iota // that start
	runs                 // that are offered or claimed
	rest
	lanes
)

const (
	mostRuns = 1024 // that share a transaction with attempts
	// mostRest is of the calls that share a transaction with what begins; fewRest, where much begins at once.
	mostRest, muchBegins, fewRest = 64, 64, 8
)

// wait returns the next call; nil when all queues are closed and empty.
func (w *writer) wait() (op *operation, in lane) {
	for {
		for in := range lanes {
			if op := w.poll(in); op != nil {
				return op, in
			}
		}
		var idle <-chan time.Time
		if w.behind >= muchBehind || w.filled {
			idle = time.After(idleTime)
		}
		var open bool
		select {
		case op, open = <-w.queues[attempts]:
			in = attempts
		case op, open = <-w.queues[runs]:
			in = runs
		case op, open = <-w.queues[rest]:
			in = rest
		case <-idle:
			w.rest()
			continue
		}
		if open {
			return op, in
		}
		w.queues[in] = nil // closed
		if w.queues == ([lanes]<-chan *operation{}) {
			return nil, in
		}
	}
}

// poll returns a call that waits, or nil.
func (w *writer) poll(in lane) *operation {
	select {
	case op := <-w.queues[in]: // nil from one that is closed
		return op
	default:
		return nil
	}
}

// gather adds what has queued beside the first call, without waiting for more.
func (w *writer) gather(batch []*operation, first lane) []*operation {
	batch = w.fill(batch, attempts, w.most)
	bound := w.most
	if first == attempts || len(batch) > 1 {
		bound = mostRuns
	}
	batch = w.fill(batch, runs, bound)
	switch begun := len(batch); {
	case first == rest && begun == 1:
		bound = w.most
	case begun < muchBegins:
		bound = mostRest
	default:
		bound = fewRest
	}
	return w.fill(batch, rest, bound)
}

// fill adds so many calls of a lane.
func (w *writer) fill(batch []*operation, in lane, more int) []*operation {
	for bound := min(w.most, len(batch)+more); len(batch) < bound; {
		op := w.poll(in)
		if op == nil {
			break
		}
		batch = append(batch, op)
	}
	return batch
}
