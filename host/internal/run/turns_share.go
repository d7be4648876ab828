package run

import (
	"slices"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// share is what a tenant has of the turns while it has attempts on their way.
type share struct {
	tenant            string
	ahead, executing  int
	memory            flow.Size // of both
	waiting, recorded []*place  // the oldest first
}

func (s *share) idle() bool {
	return s.ahead+s.executing == 0 && len(s.waiting) == 0
}

// turnQueue and placeQueue are the two queues in which attempts of a tenant wait.
func (s *share) turnQueue() *[]*place  { return &s.waiting }
func (s *share) placeQueue() *[]*place { return &s.recorded }

// round holds the tenants that have attempts in one of the two queues, in the order of their turns.
type round struct {
	queue  func(*share) *[]*place
	shares []*share
}

// add puts an attempt at the end of its tenant's queue.
func (r *round) add(p *place) {
	q := r.queue(p.share)
	if len(*q) == 0 {
		r.shares = append(r.shares, p.share)
	}
	*q = append(*q, p)
}

// next returns the first tenant, of those that fit, whose turn it is; nil where there is none.
func (r *round) next(fits func(*share) bool) *share {
	for _, s := range r.shares {
		if fits == nil || fits(s) {
			return s
		}
	}
	return nil
}

// take takes out the oldest attempt of a tenant, whose next turn is after those of all others.
func (r *round) take(s *share) *place {
	q := r.queue(s)
	p := (*q)[0]
	(*q)[0] = nil
	*q = (*q)[1:]
	if len(r.shares) == 1 && len(*q) > 0 {
		return p
	}
	r.drop(s)
	if len(*q) > 0 {
		r.shares = append(r.shares, s)
	}
	return p
}

// remove takes out an attempt that gave up, if it is there.
func (r *round) remove(p *place) {
	q := r.queue(p.share)
	if i := slices.Index(*q, p); i >= 0 {
		if *q = slices.Delete(*q, i, i+1); len(*q) == 0 {
			r.drop(p.share)
		}
	}
}

func (r *round) drop(s *share) {
	if i := slices.Index(r.shares, s); i >= 0 {
		r.shares = slices.Delete(r.shares, i, i+1)
	}
}
