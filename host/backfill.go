package host

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/calendar"
)

const (
	backfillRuns    = 1000    // unless the request says otherwise
	maxBackfillRuns = 10_000  // whatever it says
	maxBackfillSpan = 100_000 // slots that are looked at
)

// Backfill asks for runs of slots of the past, the oldest first, and returns once they are recorded. Each is a new run,
// whatever became of the slot, and the slot's own record stays. They wait in line with the other runs of the pipeline.
// A schedule need not be enabled. A range that cannot be used is an error with flow.CodeBackfill.
func (h *Host) Backfill(ctx context.Context, r flow.BackfillRequest) (flow.BackfillReport, error) {
	if h.config.ReadOnly && !r.DryRun {
		return flow.BackfillReport{}, errReadOnly("backfill " + r.Name)
	}
	report, run, cal, err := h.planBackfill(ctx, &r)
	if err != nil || r.DryRun {
		return report, err
	}
	return report, h.offerBackfill(ctx, &report, run, cal)
}

// planBackfill finds the slots of a backfill, and makes the run that all of them are like.
func (h *Host) planBackfill(ctx context.Context, r *flow.BackfillRequest) (report flow.BackfillReport, run flow.Run, cal *calendar.Schedule, err error) {
	h.view.RLock()
	defer h.view.RUnlock()
	s, err := h.backfilled(ctx, r.Name)
	if err != nil {
		return report, run, nil, err
	}
	if run, err = h.slotContext(&s); err != nil {
		return report, run, nil, &flow.Error{Code: flow.CodeBackfill, Op: "backfill " + r.Name, Message: "its runs cannot be made", Err: err}
	}
	if cal, err = calendar.Of(s.Tenant, &s.PlanSchedule); err != nil {
		return report, run, nil, fmt.Errorf("schedule %q: %w", s.Name, err)
	}
	if err := checkRange(r, cal, time.Now().UTC()); err != nil {
		return report, run, nil, err
	}
	run.Trigger.Schedule = s.Name
	report = flow.BackfillReport{Schedule: flow.ID(s.Tenant, s.Name), Pipeline: flow.ID(s.Tenant, s.Pipeline), From: r.From.UTC(), To: r.To.UTC(), DryRun: r.DryRun, Slots: []flow.BackfillSlot{}}
	return report, run, cal, h.fillSlots(ctx, &report, r, &s, cal)
}

// backfilled finds a schedule by its own name, or by that of a pipeline which has no other.
func (h *Host) backfilled(ctx context.Context, name string) (flow.ScheduleRecord, error) {
	records, err := h.store.Schedules(ctx)
	if err != nil {
		return flow.ScheduleRecord{}, fmt.Errorf("list schedules: %w", err)
	}
	a := readID(name)
	var names, own []string
	var found flow.ScheduleRecord
	for _, r := range h.withUnsynced(records) {
		if a.is(r.Tenant, r.Name) {
			return r, nil
		}
		id := flow.ID(r.Tenant, r.Name)
		if a.hears(r.Tenant) {
			names = append(names, id)
		}
		if a.is(r.Tenant, r.Pipeline) {
			own, found = append(own, id), r
		}
	}
	switch {
	case len(own) == 1:
		return found, nil
	case len(own) > 1:
		return found, &flow.Error{Code: flow.CodeBackfill, Op: "backfill " + name, Message: "the pipeline has several schedules: " + strings.Join(own, ", "), Hint: "name one of them: uniflow runs backfill " + own[0]}
	}
	if _, err := h.known(name); err == nil {
		return found, &flow.Error{Code: flow.CodeBackfill, Op: "backfill " + name, Message: "the pipeline has no schedule, and so no slots", Hint: "uniflow run " + name}
	}
	return found, notFound("schedule or pipeline", name, names)
}

// checkRange fills in the defaults of a request and refuses a range that cannot be used, with the nearest that can.
func checkRange(r *flow.BackfillRequest, cal *calendar.Schedule, now time.Time) error {
	past := now.Truncate(time.Second) // as it can be written
	if r.To.IsZero() {
		r.To = past
	}
	if r.Max == 0 {
		r.Max = backfillRuns
	}
	from, to := r.From.UTC().Format(time.RFC3339), r.To.UTC().Format(time.RFC3339)
	refuse := func(hint, format string, args ...any) error {
		return &flow.Error{Code: flow.CodeBackfill, Op: "backfill " + r.Name, Message: fmt.Sprintf(format, args...), Hint: hint}
	}
	switch {
	case r.Max < 1 || r.Max > maxBackfillRuns:
		return refuse(fmt.Sprintf("--max %d", min(max(r.Max, 1), maxBackfillRuns)), "a backfill is of 1 to %d runs, not %d", maxBackfillRuns, r.Max)
	case r.From.IsZero():
		return refuse("--from "+past.AddDate(0, 0, -1).Format(time.RFC3339), "from is missing")
	case r.From.After(now):
		return refuse("--from "+past.AddDate(0, 0, -1).Format(time.RFC3339), "from, %s, has not come yet", from)
	case r.From.After(r.To):
		return refuse("--from "+to+" --to "+from, "from, %s, is after to, %s", from, to)
	case r.To.After(now):
		return refuse("--to "+past.Format(time.RFC3339), "to, %s, has not come yet, and slots that come are for the schedule", to)
	}
	if _, count := cal.Due(r.From.Add(-1), r.To); count > maxBackfillSpan {
		return refuse("--to "+nth(cal, r.From, r.Max).Format(time.RFC3339), "there are %d slots from %s to %s; at most %d are looked at", count, from, to, maxBackfillSpan)
	}
	return nil
}

// nth is the n-th slot from an instant on.
func nth(cal *calendar.Schedule, from time.Time, n int) time.Time {
	all := cal.List(from.Add(-1), n)
	return all[len(all)-1].UTC()
}

// fillSlots finds the slots of a backfill, and refuses more than its bound.
func (h *Host) fillSlots(ctx context.Context, report *flow.BackfillReport, r *flow.BackfillRequest, s *flow.ScheduleRecord, cal *calendar.Schedule) error {
	past, err := h.pastRuns(ctx, s, r.From)
	if err != nil {
		return err
	}
	for at := cal.Next(r.From.Add(-1)); !at.IsZero() && !at.After(r.To); at = cal.Next(at) {
		p := past[at.UnixNano()]
		if _, shut := cal.Shut(at); shut {
			report.Left++
			continue
		}
		if r.MissingOnly && (p.done || s.Active() && at.After(s.Watermark)) {
			report.Left++
			continue
		}
		report.Slots = append(report.Slots, flow.BackfillSlot{At: at.UTC(), Of: p.own})
	}
	if n := len(report.Slots); n > r.Max {
		last := report.Slots[r.Max-1].At.Format(time.RFC3339)
		return &flow.Error{Code: flow.CodeBackfill, Op: "backfill " + r.Name, Message: fmt.Sprintf("it is of %d runs, and at most %d are asked for", n, r.Max), Hint: fmt.Sprintf("--to %s for the first %d, or --max %d", last, r.Max, min(n, maxBackfillRuns))}
	}
	return nil
}

// pastRun is what the ledger has of a slot's runs.
type pastRun struct {
	own  flow.RunID // made when it came due
	done bool       // one has succeeded, or has yet to end
}

// pastRuns returns the runs of a schedule's slots by the slot's instant, from an instant on.
func (h *Host) pastRuns(ctx context.Context, s *flow.ScheduleRecord, from time.Time) (map[int64]pastRun, error) {
	past := map[int64]pastRun{}
	query := flow.RunQuery{Tenant: s.Tenant, Pipeline: s.Pipeline, Schedule: s.Name, Limit: 1000}
	for {
		page, err := h.store.Runs(ctx, query)
		if err != nil {
			return nil, fmt.Errorf("read the runs of schedule %q: %w", s.Name, err)
		}
		for i := range page {
			r := &page[i]
			at := r.Trigger.ScheduledAt.UnixNano()
			p := past[at]
			if r.Trigger.Kind == flow.TriggerSchedule || r.Trigger.Kind == flow.TriggerCatchup {
				p.own = r.ID
			}
			p.done = p.done || r.State != flow.StateEnded || r.Outcome == flow.Succeeded
			past[at] = p
		}
		// No run is older than its slot; a day is for clocks that were wrong.
		if len(page) < query.Limit || page[len(page)-1].QueuedAt.Before(from.AddDate(0, 0, -1)) {
			return past, nil
		}
		query.Before = page[len(page)-1].ID
	}
}

// offerBackfill asks for the runs of a report, and fills in their ids. An apply waits for one of them at most: while it
// waits, so do the slots of everybody.
func (h *Host) offerBackfill(ctx context.Context, report *flow.BackfillReport, run flow.Run, cal *calendar.Schedule) error {
	e, err := h.known(report.Pipeline)
	if err != nil {
		return err
	}
	if err := h.load(ctx, &e.plan); err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx) // one that has begun is taken whole, whoever goes away
	for i := range report.Slots {
		s := &report.Slots[i]
		run.ID = flow.NewRunID(time.Now())
		run.Trigger = flow.Trigger{Kind: flow.TriggerBackfill, Schedule: run.Trigger.Schedule, ScheduledAt: s.At, IntervalEnd: &s.At, Of: s.Of}
		if start := cal.Prev(s.At); !start.IsZero() {
			run.Trigger.IntervalStart = &start
		}
		if err := h.offerSlot(ctx, run, e.plan.ID()); err != nil {
			return fmt.Errorf("%d of %d runs are queued; --missing-only takes up the rest: %w", i, len(report.Slots), err)
		}
		s.Run = run.ID
	}
	return nil
}

// offerSlot asks for one run of a backfill, if its version is still the one that runs.
func (h *Host) offerSlot(ctx context.Context, run flow.Run, pipeline string) error {
	h.view.RLock()
	defer h.view.RUnlock()
	e, err := h.known(pipeline)
	if err != nil {
		return err
	}
	if e.plan.Digest != run.Version {
		return &flow.Error{Code: flow.CodeBackfill, Op: "backfill " + pipeline, Message: "another version of the pipeline was applied meanwhile", Hint: "ask again with --missing-only"}
	}
	offered, err := h.runner.Offer(ctx, flow.Offer{Run: run})
	if err == nil && offered.Answer == flow.OfferRefused {
		err = overQuota("backfill "+pipeline, offered.Message)
	}
	return err
}
