package host

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// Slots returns what became of a schedule's slots, newest first.
func (h *Host) Slots(ctx context.Context, q flow.SlotQuery) ([]flow.SlotRecord, error) {
	q.Tenant, q.Schedule = splitID(q.Schedule, q.Tenant)
	return h.store.Slots(ctx, q)
}

// slotRun makes the run of a slot; the scheduler asks for it. An error is the schedule's, and was told.
func (h *Host) slotRun(_ context.Context, s flow.ScheduleRecord, t flow.Trigger) (flow.Run, error) {
	r, err := h.slotContext(&s)
	h.tellBroken(&s, err)
	r.ID, r.Trigger = flow.SlotRunID(s.Tenant, s.Pipeline, s.Name, t.ScheduledAt), t
	return r, err
}

// slotSoon prepares for a slot that is due soon.
func (h *Host) slotSoon(ctx context.Context, s flow.ScheduleRecord) {
	if e := h.entry(flow.ID(s.Tenant, s.Pipeline)); e != nil {
		h.loader.warm(ctx, &e.plan, s.Tenant, h.log)
	}
}

// slotContext is what all runs of a schedule share. The error says why they cannot be made.
func (h *Host) slotContext(s *flow.ScheduleRecord) (flow.Run, error) {
	e := h.entry(flow.ID(s.Tenant, s.Pipeline))
	if e == nil {
		return flow.Run{}, fmt.Errorf("its pipeline %q is gone; remove it with `uniflow schedule unschedule %s`, or bring the pipeline back", flow.ID(s.Tenant, s.Pipeline), flow.ID(s.Tenant, s.Name))
	}
	merged, err := checkContext(&e.plan, s.Context, "its context does not fit")
	if err != nil {
		return flow.Run{}, fmt.Errorf("%w; remove it with `uniflow schedule unschedule %s`, and add it again", err, flow.ID(s.Tenant, s.Name))
	}
	return flow.Run{Tenant: s.Tenant, Pipeline: s.Pipeline, Version: e.plan.Digest, Context: merged}, nil
}

// tellBroken logs once that the runs of a schedule cannot be made, and once that they can again.
func (h *Host) tellBroken(s *flow.ScheduleRecord, broken error) {
	text, id := "", flow.ID(s.Tenant, s.Name)
	if broken != nil {
		text = broken.Error()
	}
	h.mu.Lock()
	before := h.broken[id]
	if delete(h.broken, id); broken != nil {
		h.broken[id] = text
	}
	h.mu.Unlock()
	log := h.log.With(slog.String("tenant", s.Tenant), slog.String("schedule", s.Name), slog.String("pipeline", s.Pipeline))
	switch {
	case text == before:
	case broken != nil:
		log.Error("schedule broken, its slots are skipped", slog.Any("err", broken))
	default:
		log.Info("schedule mended")
	}
}
