package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/calendar"
)

// ClockChanges returns the next n local days after an instant on which clocks change and a schedule has a slot, or has
// none because the day does not exist. It looks 50 years ahead.
func (h *Host) ClockChanges(ctx context.Context, name string, after time.Time, n int) ([]flow.ClockChange, error) {
	h.view.RLock()
	defer h.view.RUnlock()
	_, r, cal, err := h.written(ctx, name)
	if err != nil {
		return nil, err
	}
	return cal.Changes(flow.ID(r.Tenant, r.Name), after, n), nil
}

// written finds a schedule by id, among those of a manifest that no host has served yet, too; applied is false for one
// of these.
func (h *Host) written(ctx context.Context, name string) (applied bool, r flow.ScheduleRecord, cal *calendar.Schedule, err error) {
	records, err := h.store.Schedules(ctx)
	if err != nil {
		return false, r, nil, fmt.Errorf("list schedules: %w", err)
	}
	known := len(records)
	records = h.withUnsynced(records)
	a := readID(name)
	i := slices.IndexFunc(records, func(r flow.ScheduleRecord) bool { return a.is(r.Tenant, r.Name) })
	if i < 0 {
		var names []string
		for i := range records {
			if a.hears(records[i].Tenant) {
				names = append(names, flow.ID(records[i].Tenant, records[i].Name))
			}
		}
		return false, r, nil, notFound("schedule", name, names)
	}
	r = records[i]
	if cal, err = calendar.Of(r.Tenant, &r.PlanSchedule); err != nil {
		return false, r, nil, fmt.Errorf("schedule %q: %w", name, err)
	}
	return i < known, r, cal, nil
}

// Why tells what became of the newest slot of a schedule at or before an instant; the zero instant is now.
func (h *Host) Why(ctx context.Context, name string, at time.Time) (flow.SlotStory, error) {
	h.view.RLock()
	defer h.view.RUnlock()
	applied, r, cal, err := h.written(ctx, name)
	if err != nil {
		return flow.SlotStory{}, err
	}
	now := time.Now()
	if at.IsZero() {
		at = now
	}
	i := inquiry{h: h, r: &r, cal: cal, now: now, applied: applied}
	i.story = flow.SlotStory{Schedule: flow.ID(r.Tenant, r.Name), Pipeline: flow.ID(r.Tenant, r.Pipeline), Timezone: r.Timezone, At: at.UTC()}
	if next := cal.FiresOf(r.Since, now, 1); r.Active() && len(next) > 0 {
		i.story.Next = &next[0]
	}
	if err := i.ask(ctx); err != nil {
		return flow.SlotStory{}, fmt.Errorf("look for the slot of %q: %w", name, err)
	}
	i.story.Text = i.sentence()
	return i.story, nil
}

// inquiry collects what the ledger knows about one slot.
type inquiry struct {
	h       *Host
	r       *flow.ScheduleRecord
	cal     *calendar.Schedule
	now     time.Time
	applied bool
	story   flow.SlotStory
	// Of a schedule that was disabled at the slot: since when, and until when; zero where it is not known, or still is.
	from, to time.Time
	// caught is the run that a catch-up made for a newer slot than a missed one.
	caught *flow.RunRecord
}

// ask fills in the story.
func (i *inquiry) ask(ctx context.Context) error {
	slot := i.cal.Prev(i.story.At.Add(1))
	// The ledger is asked first: its slots may be those of an earlier form of the schedule.
	found, err := i.h.store.Slots(ctx, flow.SlotQuery{Tenant: i.r.Tenant, Schedule: i.r.Name, Until: i.story.At, Limit: 1})
	if err != nil {
		return err
	}
	if len(found) > 0 && (!found[0].To.Before(slot) || !slot.After(i.r.Since)) {
		return i.recorded(ctx, &found[0], slot)
	}
	if !slot.IsZero() {
		i.story.Slot = &slot
	}
	return i.unrecorded(ctx, slot)
}

// recorded tells the story of a slot that has an ending.
func (i *inquiry) recorded(ctx context.Context, record *flow.SlotRecord, slot time.Time) error {
	if slot.Before(record.From) || slot.After(record.To) {
		slot = record.To
	}
	i.story.Slot, i.story.Record, i.story.Reason = &slot, record, record.Reason
	i.story.Standing = flow.SlotStanding(record.Ending)
	var err error
	switch {
	case record.Run != "":
		i.story.Run, err = i.run(ctx, record.Run)
	case record.Reason == flow.ReasonOverlap:
		i.story.Run, err = i.liveAt(ctx, slot)
	case record.Reason == flow.ReasonQuota:
		i.story.Record.Message, err = i.h.store.SlotMessage(ctx, record)
	case record.Reason == flow.ReasonPaused:
		err = i.disabled(ctx, slot)
	case record.Reason == flow.ReasonDowntime:
		i.caught, err = i.caughtUp(ctx, i.cal.Next(record.To))
	}
	return err
}

// unrecorded tells why a slot has no ending.
func (i *inquiry) unrecorded(ctx context.Context, slot time.Time) error {
	s := &i.story
	switch {
	case slot.IsZero():
		s.Standing = flow.StandingNone
	case slot.Add(i.cal.Delay()).After(i.now):
		s.Standing = flow.StandingFuture
		return i.disabled(ctx, i.now)
	case !slot.After(i.r.Since):
		s.Standing = flow.StandingBefore
		return i.disabled(ctx, i.now)
	case slot.After(i.r.Watermark) && i.r.Active() && slot.Add(i.cal.Delay()).After(i.r.ResumedAt):
		s.Standing = flow.StandingDue
		var err error
		s.Run, err = i.liveAt(ctx, i.now)
		return err
	default:
		s.Standing = flow.StandingUnrecorded
		if err := i.disabled(ctx, slot); err != nil {
			return err
		}
		if i.from.IsZero() && slot.After(i.r.Watermark) { // it was due when the schedule was disabled
			if err := i.disabled(ctx, i.now); err != nil {
				return err
			}
			s.Standing = flow.StandingDisabled
		}
		if !i.from.IsZero() {
			s.Standing = flow.StandingDisabled
		}
	}
	return nil
}

// run reads a run without its context and steps; nil where it is no longer kept.
func (i *inquiry) run(ctx context.Context, id flow.RunID) (*flow.RunRecord, error) {
	r, err := i.h.store.Run(ctx, id)
	if errors.Is(err, flow.ErrNotFound) {
		return nil, nil //nolint:nilnil // history is kept for a while only
	}
	r.Context, r.Steps = nil, nil
	return &r, err
}

// recentRuns bounds how far back a run is looked for that was live at some instant.
const recentRuns = 1000

// liveAt returns the run of the pipeline that was live at an instant; nil where none is known.
func (i *inquiry) liveAt(ctx context.Context, at time.Time) (*flow.RunRecord, error) {
	runs, err := i.h.store.Runs(ctx, flow.RunQuery{Tenant: i.r.Tenant, Pipeline: i.r.Pipeline, Limit: recentRuns})
	for n := range runs {
		// A slot is looked at a moment after it came due.
		if r := &runs[n]; r.StartedAt != nil && !r.StartedAt.After(at.Add(time.Second)) && (r.EndedAt == nil || r.EndedAt.After(at)) {
			return r, err
		}
	}
	return nil, err
}

// caughtUp returns the run that a catch-up made for a slot; nil where it made none.
func (i *inquiry) caughtUp(ctx context.Context, slot time.Time) (*flow.RunRecord, error) {
	found, err := i.h.store.Slots(ctx, flow.SlotQuery{Tenant: i.r.Tenant, Schedule: i.r.Name, Until: slot, Limit: 1})
	if err != nil || len(found) == 0 || !found[0].To.Equal(slot) || found[0].Ending != flow.SlotRun {
		return nil, err
	}
	return i.run(ctx, found[0].Run)
}

// disabled finds since when, and until when, the schedule was disabled around an instant.
func (i *inquiry) disabled(ctx context.Context, at time.Time) error {
	events, err := i.h.store.Events(ctx, flow.EventQuery{Tenant: i.r.Tenant, Schedule: i.r.Name, Kind: flow.ScheduleSet, Limit: 10_000})
	if err != nil {
		return err
	}
	for n := range events {
		var r flow.ScheduleRecord
		if json.Unmarshal(events[n].Detail, &r) != nil {
			continue // an event of a later version, perhaps
		}
		switch e := events[n].At; {
		case e.After(at) && r.Active() && !i.from.IsZero():
			i.to = e
			return nil
		case e.After(at):
		case r.Active():
			i.from = time.Time{}
		case i.from.IsZero():
			i.from = e
		}
	}
	return nil
}
