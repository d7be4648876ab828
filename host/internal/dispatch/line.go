package dispatch

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/failpoint"
)

// lane is a pipeline, or a tenant where pipeline is empty.
type lane struct{ tenant, pipeline string }

// line is what may wait for a lane: there is one where a run is to be looked for when a live one of the lane ends.
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
	_, err := d.claim(ctx, in, waits, func() (flow.Claimed, bool, error) { return d.queue.ClaimNext(d.ends, in.tenant, in.pipeline) })
	if err != nil {
		return fmt.Errorf("claim the next run of %s: %w", flow.ID(in.tenant, in.pipeline), err)
	}
	return nil
}

// Oldest starts the waiting runs of a tenant that can start now, the oldest first; the host calls it for what waited when
// it started, and when the tenant may have more live runs than before.
func (d *Dispatcher) Oldest(ctx context.Context, tenant string) error {
	for {
		claimed, err := d.claim(ctx, lane{tenant: tenant}, false, func() (flow.Claimed, bool, error) { return d.queue.ClaimOldest(d.ends, tenant) })
		if err != nil {
			return fmt.Errorf("claim the oldest run of tenant %q: %w", tenant, err)
		}
		if !claimed {
			return nil
		}
	}
}

// claim starts the run that the queue lets go of, if there is one.
func (d *Dispatcher) claim(ctx context.Context, in lane, waits bool, next func() (flow.Claimed, bool, error)) (bool, error) {
	if err := d.enter(ctx); err != nil {
		return false, err
	}
	defer d.running.Done()
	lanes := d.lineUp(in)
	claimed, ok, err := next()
	crowded := err != nil || claimed.Crowded
	d.linedUp(lanes, waits || ok || crowded, crowded || ok && in.pipeline == "")
	if err != nil {
		return false, err
	}
	d.tellOverdue(claimed.Overdue)
	if ok {
		failpoint.Here(failpoint.Claim)
		d.start(claimed)
	}
	return ok, nil
}

// goOn starts what waited for the end of a run: the next one of its pipeline, or the oldest ones of its tenant where the
// tenant had no room for more.
func (d *Dispatcher) goOn(in lane, log *slog.Logger) {
	start := func() error { return d.next(d.open, in, false) }
	switch {
	case d.bound(in.tenant) && d.waited(lane{tenant: in.tenant}): // what waits for the pipeline is among them
		start = func() error { return d.Oldest(d.open, in.tenant) }
	case !d.waited(in):
		return
	}
	_ = insist(d.open, log, "next run not started", start)
}

// lineUp and linedUp stand around what may leave a run waiting: for its pipeline, or crowded, for room of its tenant.
func (d *Dispatcher) lineUp(in lane) []lane {
	lanes := []lane{in}
	if in.pipeline != "" && d.bound(in.tenant) {
		lanes = append(lanes, lane{tenant: in.tenant})
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, in := range lanes {
		l := d.lines[in]
		if l == nil {
			l = &line{}
			d.lines[in] = l
		}
		l.offers++
	}
	return lanes
}

func (d *Dispatcher) linedUp(lanes []lane, waits, crowded bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, in := range lanes {
		l := d.lines[in]
		l.offers--
		l.waits = l.waits || in.pipeline != "" && waits || in.pipeline == "" && crowded
		if l.offers == 0 && !l.waits {
			delete(d.lines, in)
		}
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
