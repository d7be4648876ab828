package schedule

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/calendar"
	"github.com/uniflow-dev/uniflow/host/internal/failpoint"
)

// drain takes every due slot of a schedule, one decision at a time, until none is due, and reports whether it took one.
// It returns after the run of the last one has ended, so that gocron's singleton mode covers the whole run. Only one
// goroutine drains a schedule at a time; others have nothing to take.
func (s *Scheduler) drain(e *entry) (took bool) {
	if !e.busy.TryLock() {
		return false
	}
	defer e.busy.Unlock()
	defer func() {
		if p := recover(); p != nil { // the slot stays due, as after an error
			s.config.Logger.Error("panic in a schedule", slog.Any("err", p), slog.String("stack", string(debug.Stack())))
		}
	}()
	for s.ctx.Err() == nil {
		d := s.due(e, time.Now())
		if d == nil {
			return took
		}
		if err := s.take(d); err != nil {
			if s.ctx.Err() == nil {
				s.config.Logger.Error("slot not taken", slog.String("tenant", d.record.Tenant), slog.String("schedule", d.record.Name), slog.Any("err", err))
			}
			return took // the slot stays due; the sweeper comes back to it
		}
		took = true
	}
	return took
}

// due are the slots of a schedule in (after, until] that are to be decided together.
type due struct {
	e      *entry
	record flow.ScheduleRecord
	cal    *calendar.Schedule
	form   context.Context //nolint:containedctx // ends when the schedule is edited
	idle   time.Time
	after  time.Time
	last   time.Time // the newest slot
	count  int64
	// down is the end of the downtime in which the slots came due; zero for slots that were seen coming.
	down time.Time
}

// due returns what is due, the slots of a downtime before those of the time after it; nil if nothing is.
func (s *Scheduler) due(e *entry, now time.Time) *due {
	e.mu.Lock()
	d := &due{e: e, record: e.record, cal: e.cal, form: e.form, idle: e.idle, after: e.record.Watermark}
	e.mu.Unlock()
	if !d.record.Active() {
		return nil
	}
	if down := time.Unix(0, s.down.Load()); down.After(d.after) {
		if d.last, d.count = d.cal.Due(d.after, down); d.count > 0 {
			d.down = down
			return d
		}
	}
	if d.last, d.count = d.cal.Due(d.after, now); d.count > 0 {
		return d
	}
	return nil
}

// take decides about due slots, and waits for the run if one was made.
func (s *Scheduler) take(d *due) error {
	switch {
	case !d.down.IsZero():
		return s.catchUp(d)
	case d.record.Overlap == flow.OverlapSkip:
		return s.takeSkipping(d)
	case d.record.Overlap == flow.OverlapWaitAll:
		return s.takeAll(d)
	}
	return s.offer(d, flow.TriggerSchedule, d.last, d.olderThan(d.last, flow.SlotCoalesced, ""))
}

// takeSkipping skips the slots that came due while the schedule's own run was live, and offers the newest after it.
func (s *Scheduler) takeSkipping(d *due) error {
	if last, n := d.cal.Due(d.after, d.idle); n > 0 {
		return s.save(d, last, d.slots(n, last, flow.SlotSkipped, flow.ReasonOverlap))
	}
	return s.offer(d, flow.TriggerSchedule, d.last, d.olderThan(d.last, flow.SlotCoalesced, ""))
}

// maxWaiting bounds the slots of one schedule that wait under wait_all.
const maxWaiting = 100

// takeAll offers the oldest due slot; the ones before the newest maxWaiting are skipped.
func (s *Scheduler) takeAll(d *due) error {
	if d.count > maxWaiting {
		over := d.back(maxWaiting)
		return s.save(d, over, d.slots(d.count-maxWaiting, over, flow.SlotSkipped, flow.ReasonQuota))
	}
	return s.offer(d, flow.TriggerSchedule, d.cal.Next(d.after), nil)
}

// catchUp decides about the slots of a downtime by the schedule's catchup setting.
func (s *Scheduler) catchUp(d *due) error {
	c := d.record.Catchup
	oldest := d.down.Add(-c.Within.Std())
	if c.Runs == "none" || d.last.Before(oldest) {
		return s.save(d, d.last, d.slots(d.count, d.last, flow.SlotMissed, flow.ReasonDowntime))
	}
	if c.Runs != "all" {
		return s.offer(d, flow.TriggerCatchup, d.last, d.olderThan(d.last, flow.SlotMissed, flow.ReasonDowntime))
	}
	bound := int64(c.Max)
	if bound <= 0 {
		bound = maxWaiting
	}
	if _, n := d.cal.Due(oldest.Add(-1), d.last); n < bound {
		bound = n
	}
	if d.count > bound {
		over := d.back(bound)
		return s.save(d, over, d.slots(d.count-bound, over, flow.SlotMissed, flow.ReasonDowntime))
	}
	d.record.Overlap = flow.OverlapWaitAll // whatever it is for new slots: none of these may take another's place
	return s.offer(d, flow.TriggerCatchup, d.cal.Next(d.after), nil)
}

// back returns the slot that has n due ones after it.
func (d *due) back(n int64) time.Time {
	t := d.last
	for range n {
		t = d.cal.Prev(t)
	}
	return t
}

// slots is the record of the oldest n due slots, the newest of which is last.
func (d *due) slots(n int64, last time.Time, ending flow.SlotEnding, reason flow.Reason) []flow.SlotRecord {
	return []flow.SlotRecord{{
		Tenant: d.record.Tenant, Schedule: d.record.Name, Pipeline: d.record.Pipeline,
		From: d.cal.Next(d.after), To: last, Count: n, Ending: ending, Reason: reason,
	}}
}

// olderThan is the record of all due slots before the newest one; nil when it is the only one.
func (d *due) olderThan(slot time.Time, ending flow.SlotEnding, reason flow.Reason) []flow.SlotRecord {
	if d.count < 2 {
		return nil
	}
	return d.slots(d.count-1, d.cal.Prev(slot), ending, reason)
}

// unmade is the record of a slot whose run cannot be made, and of the older ones that it would have stood for.
func (d *due) unmade(slot time.Time, older []flow.SlotRecord) []flow.SlotRecord {
	for i := range older {
		if older[i].Ending == flow.SlotCoalesced {
			older[i].Ending, older[i].Reason = flow.SlotSkipped, flow.ReasonInvalid
		}
	}
	return append(older, flow.SlotRecord{
		Tenant: d.record.Tenant, Schedule: d.record.Name, Pipeline: d.record.Pipeline,
		From: slot, To: slot, Count: 1, Ending: flow.SlotSkipped, Reason: flow.ReasonInvalid,
	})
}

// save records the endings of slots that have no run.
func (s *Scheduler) save(d *due, watermark time.Time, records []flow.SlotRecord) error {
	ctx, cancel := context.WithTimeout(s.ctx, recordTime)
	defer cancel()
	if err := s.config.Ledger.SaveSlots(ctx, d.record.Tenant, d.record.Name, watermark, records); err != nil {
		return err
	}
	d.e.advance(watermark)
	return nil
}

// recordTime bounds one record of the ledger.
const recordTime = 30 * time.Second

// offer makes the run of a slot, with the endings of older ones, and waits for its end. A slot whose run cannot be made
// is skipped.
func (s *Scheduler) offer(d *due, kind flow.TriggerKind, slot time.Time, older []flow.SlotRecord) error {
	start := d.cal.Prev(slot)
	trigger := flow.Trigger{Kind: kind, Schedule: d.record.Name, ScheduledAt: slot, IntervalEnd: &slot}
	if !start.IsZero() {
		trigger.IntervalStart = &start
	}
	ctx, cancel := context.WithTimeout(s.ctx, recordTime)
	defer cancel()
	run, err := s.config.NewRun(ctx, d.record, trigger)
	if err != nil {
		return s.save(d, slot, d.unmade(slot, older))
	}
	for i := range older {
		if older[i].Ending == flow.SlotCoalesced {
			older[i].Run = run.ID
		}
	}
	failpoint.Here(failpoint.Due)
	offered, err := s.config.Queue.Offer(ctx, flow.Offer{Run: run, Overlap: d.record.Overlap, Slots: older, Watermark: slot})
	if err != nil {
		return err
	}
	d.e.advance(slot)
	if offered.Answer == flow.OfferRefused {
		return nil
	}
	return s.wait(d, run.ID, slot, offered.Answer)
}

// wait returns when the run has ended. It returns at the next slot when that slot may change the run's fate: take its
// place in the queue, or replace it; and when the schedule is edited or removed.
func (s *Scheduler) wait(d *due, id flow.RunID, slot time.Time, answer flow.OfferAnswer) error {
	ctx, cancel := context.WithCancel(d.form)
	defer cancel()
	if d.record.Overlap == flow.OverlapReplace || (answer == flow.OfferQueued && d.record.Overlap == flow.OverlapWait) {
		if next := d.cal.Next(slot); !next.IsZero() {
			alarm := time.AfterFunc(time.Until(next), cancel)
			defer alarm.Stop()
		}
	}
	_, err := s.config.Queue.Wait(ctx, id)
	switch {
	case err == nil:
		d.e.rest(time.Now())
	case ctx.Err() != nil, errors.Is(err, flow.ErrNotFound): // look again, or stop; the run was coalesced
	default:
		return err
	}
	return nil
}

// advance moves the watermark on.
func (e *entry) advance(to time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if to.After(e.record.Watermark) {
		e.record.Watermark = to
	}
}

// rest notes when the schedule's run ended.
func (e *entry) rest(at time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.idle = at
}
