package host

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// begin makes what the manifest says known, before anything of it is executed. The plans are recorded, so that a run finds
// its own for as long as its record is kept.
func (h *Host) begin(ctx context.Context) error {
	p := h.current()
	if p == nil {
		return nil
	}
	before, err := h.recorded(ctx, p)
	if err != nil {
		return err
	}
	n, err := h.next(ctx, p, before)
	if err != nil {
		return err
	}
	if !h.config.ReadOnly {
		var plans []flow.Plan
		for _, e := range n.fresh(before) {
			plans = append(plans, e.plan)
		}
		if err := h.store.SavePlans(ctx, plans); err != nil {
			return fmt.Errorf("record the plans of the manifest: %w", err)
		}
	}
	n.deployment = before.deployment
	h.adopt(n, h.sources)
	return nil
}

// loadAll compiles and checks every plugin before the first slot needs it. A tenant of which one cannot be loaded is
// refused, and goes on with the versions of before.
func (h *Host) loadAll(ctx context.Context) error {
	for _, e := range h.entries() {
		if e.origin == flow.OriginManifest {
			continue
		}
		if err := h.load(ctx, &e.plan); err != nil {
			return err
		}
	}
	p := h.current()
	if p == nil {
		return nil
	}
	before, err := h.recorded(ctx, p)
	if err != nil {
		return err
	}
	n, err := h.ready(ctx, p, before, false)
	if err != nil {
		return err
	}
	if len(n.refused) > len(p.Refused()) { // those that are refused now keep versions that were not asked for yet
		if before, err = h.recorded(ctx, n.project); err != nil {
			return err
		}
		if n, err = h.ready(ctx, n.project, before, false); err != nil {
			return err
		}
	}
	n.deployment.Seq = 0
	h.adopt(n, h.sources)
	return nil
}

// deployFirst records what a host begins with, makes the ledger's manifest schedules those of the manifest, and arms all.
func (h *Host) deployFirst(ctx context.Context) error {
	h.view.Lock() // the API is served: what it adds is seen here, or comes after the clock was set
	defer h.view.Unlock()
	if h.current() != nil {
		if err := h.deployManifest(ctx); err != nil {
			return err
		}
	}
	records, err := h.store.Schedules(ctx)
	if err != nil {
		return fmt.Errorf("list schedules: %w", err)
	}
	for i := range records {
		if records[i].Active() {
			_, err := h.slotContext(&records[i])
			h.tellBroken(&records[i], err)
		}
	}
	return h.clock.Apply(records)
}

func (h *Host) deployManifest(ctx context.Context) error {
	now := time.Now().UTC()
	n := &next{applied: *h.applied.Load(), plans: h.running().plans}
	n.deployment = flow.Deployment{Digest: n.deployment.Digest, Manifests: n.manifests, Plans: n.versions(false)}
	known, err := h.store.Schedules(ctx)
	if err != nil {
		return fmt.Errorf("list schedules: %w", err)
	}
	d := h.deploying(n, &running{}, known, n.row("start", "", nil, now))
	slices.SortFunc(d.Schedules, func(a, b flow.ScheduleRecord) int {
		return slices.Compare([]string{a.Tenant, a.Name}, []string{b.Tenant, b.Name})
	})
	done, err := h.store.Deploy(ctx, d)
	if err != nil {
		return fmt.Errorf("record the deployment: %w", err)
	}
	n.deployment = done.Deployment
	h.applied.Store(&n.applied)
	h.tellApplied(&flow.ApplyReport{Refused: n.refused})
	return nil
}
