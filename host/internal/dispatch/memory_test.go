package dispatch

import (
	"context"
	"fmt"
	"sync"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// memory is a queue without a disk, by the rules of flow.Offer as far as the dispatcher sees them.
type memory struct {
	mu      sync.Mutex
	rows    map[flow.RunID]*flow.RunRecord
	waiting map[string][]flow.RunID
	live    map[string]flow.RunID
	// finished counts the events that came with endings.
	finished map[flow.RunID]int
	// fail is asked before each change; what it returns is the change's error.
	fail func(op string, id flow.RunID) error
	// offered and cancelled are called after such a change, without the lock.
	offered, cancelled func(id flow.RunID)
}

func newMemory() *memory {
	nothing := func(flow.RunID) {}
	return &memory{
		rows: map[flow.RunID]*flow.RunRecord{}, waiting: map[string][]flow.RunID{}, live: map[string]flow.RunID{}, finished: map[flow.RunID]int{},
		fail: func(string, flow.RunID) error { return nil }, offered: nothing, cancelled: nothing,
	}
}

func (m *memory) Offer(ctx context.Context, o flow.Offer) (flow.Offered, error) {
	offered, err := m.offer(o)
	m.offered(o.Run.ID)
	if err == nil && ctx.Err() != nil {
		err = ctx.Err() // as if the answer had been lost
	}
	return offered, err
}

func (m *memory) offer(o flow.Offer) (flow.Offered, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.fail("offer", o.Run.ID); err != nil {
		return flow.Offered{}, err
	}
	if m.rows[o.Run.ID] != nil {
		return flow.Offered{Answer: flow.OfferDuplicate}, nil
	}
	p := o.Run.Pipeline
	row := &flow.RunRecord{Run: o.Run, State: flow.StateQueued}
	m.rows[o.Run.ID] = row
	offered := flow.Offered{Answer: flow.OfferQueued}
	if o.Overlap == flow.OverlapWait || o.Overlap == flow.OverlapReplace {
		offered.Coalesced = m.waiting[p]
		m.waiting[p] = nil
		for _, id := range offered.Coalesced {
			delete(m.rows, id)
		}
	}
	if o.Overlap == flow.OverlapReplace {
		offered.Replaces = m.live[p]
	}
	if m.live[p] == "" {
		m.start(row)
		return flow.Offered{Answer: flow.OfferStarted, Claim: flow.Claim{Run: o.Run.ID, Epoch: row.Epoch}}, nil
	}
	m.waiting[p] = append(m.waiting[p], o.Run.ID)
	return offered, nil
}

func (m *memory) start(row *flow.RunRecord) {
	row.State, row.Epoch = flow.StateRunning, row.Epoch+1
	m.live[row.Pipeline] = row.ID
}

func (m *memory) ClaimNext(_ context.Context, _, pipeline string) (flow.Claimed, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.fail("claim", ""); err != nil {
		return flow.Claimed{}, false, err
	}
	if m.live[pipeline] != "" || len(m.waiting[pipeline]) == 0 {
		return flow.Claimed{}, false, nil
	}
	row := m.rows[m.waiting[pipeline][0]]
	m.waiting[pipeline] = m.waiting[pipeline][1:]
	m.start(row)
	return flow.Claimed{Run: row.Run, Claim: flow.Claim{Run: row.ID, Epoch: row.Epoch}}, true, nil
}

// ClaimOldest is of no use here: no tenant is bounded.
func (m *memory) ClaimOldest(context.Context, string) (flow.Claimed, bool, error) {
	return flow.Claimed{}, false, nil
}

func (m *memory) OverdueLines(context.Context) ([]flow.Line, error) { return nil, nil }

func (m *memory) Finish(_ context.Context, claim flow.Claim, ending flow.Ending, events ...flow.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.fail("finish", claim.Run); err != nil {
		return err
	}
	row := m.rows[claim.Run]
	if row == nil || row.State != flow.StateRunning || row.Epoch != claim.Epoch {
		return flow.ErrStale
	}
	row.State, row.Ending, m.finished[claim.Run] = flow.StateEnded, ending, len(events)
	delete(m.live, row.Pipeline)
	return nil
}

func (m *memory) Cancel(_ context.Context, id flow.RunID, ending flow.Ending) (flow.State, error) {
	state, err := m.cancel(id, ending)
	m.cancelled(id)
	return state, err
}

func (m *memory) cancel(id flow.RunID, ending flow.Ending) (flow.State, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	row := m.rows[id]
	if row == nil {
		return "", flow.ErrNotFound
	}
	state := row.State
	switch state {
	case flow.StateQueued:
		row.State, row.Ending = flow.StateEnded, ending
		var rest []flow.RunID
		for _, other := range m.waiting[row.Pipeline] {
			if other != id {
				rest = append(rest, other)
			}
		}
		m.waiting[row.Pipeline] = rest
	case flow.StateRunning:
		row.Cancelling = true
	case flow.StateEnded:
	}
	return state, nil
}

func (m *memory) Run(_ context.Context, id flow.RunID) (flow.RunRecord, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if row := m.rows[id]; row != nil {
		return *row, nil
	}
	return flow.RunRecord{}, fmt.Errorf("run %s: %w", id, flow.ErrNotFound)
}

func (m *memory) Plan(_ context.Context, d flow.Digest) (flow.Plan, error) {
	if d == "" {
		return flow.Plan{}, flow.ErrNotFound
	}
	return flow.Plan{Digest: d}, nil
}
