package dispatch

import (
	"context"
	"fmt"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/failpoint"
)

// lane is a pipeline.
type lane struct{ tenant, pipeline string }

// line is what may wait for a pipeline: there is one where a run is to be looked for when the live one ends.
type line struct {
	offers int  // under way
	waits  bool // an offer was queued, or somebody asked for the next run, since none was found
}

// Next ends the pipeline's waiting runs that could not start in time, and starts the oldest other one if none is live; the
// host calls it for what waited when it started.
func (d *Dispatcher) Next(ctx context.Context, tenant, pipeline string) error {
	return d.next(ctx, lane{tenant, pipeline}, true)
}

// next is Next; waits tells whether a run may wait though none was claimed, because one is live.
func (d *Dispatcher) next(ctx context.Context, in lane, waits bool) error {
	if err := d.enter(ctx); err != nil {
		return err
	}
	defer d.running.Done()
	d.lineUp(in)
	claimed, ok, err := d.queue.ClaimNext(d.ends, in.tenant, in.pipeline)
	d.linedUp(in, waits || ok || err != nil)
	if err != nil {
		return fmt.Errorf("claim the next run of %s: %w", flow.ID(in.tenant, in.pipeline), err)
	}
	d.tellOverdue(claimed.Overdue)
	if ok {
		failpoint.Here(failpoint.Claim)
		d.start(claimed)
	}
	return nil
}

// lineUp and linedUp stand around what may leave a run waiting for a pipeline.
func (d *Dispatcher) lineUp(in lane) {
	d.mu.Lock()
	defer d.mu.Unlock()
	l := d.lines[in]
	if l == nil {
		l = &line{}
		d.lines[in] = l
	}
	l.offers++
}

func (d *Dispatcher) linedUp(in lane, waits bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	l := d.lines[in]
	l.offers--
	l.waits = l.waits || waits
	if l.offers == 0 && !l.waits {
		delete(d.lines, in)
	}
}

// waited reports whether a run may wait for the end of a live one that the queue has ended. A run that was queued before
// that end has been noted by then, or its offer is under way.
func (d *Dispatcher) waited(in lane) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	l := d.lines[in]
	if l == nil {
		return false
	}
	l.waits = false
	if l.offers == 0 {
		delete(d.lines, in)
	}
	return true
}
