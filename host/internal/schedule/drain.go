package schedule

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/failpoint"
	"github.com/uniflow-dev/uniflow/host/internal/overlap"
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
		err := s.take(d)
		if errors.Is(err, errStale) {
			continue
		}
		if err != nil {
			if s.ctx.Err() == nil {
				s.config.Logger.Error("slot not taken", slog.String("tenant", d.Record.Tenant), slog.String("schedule", d.Record.Name), slog.Any("err", err))
			}
			return took // the slot stays due; the sweeper comes back to it
		}
		took = true
	}
	return took
}

// due are the slots of a schedule that are to be decided together.
type due struct {
	overlap.Due
	e     *entry
	edits int
	form  context.Context //nolint:containedctx // ends when the schedule is edited
}

// due returns what is due, the slots of a pause or a downtime before those of the time after it; nil if nothing is.
func (s *Scheduler) due(e *entry, now time.Time) *due {
	e.mu.Lock()
	d := &due{e: e, edits: e.edits, form: e.form, Due: overlap.Due{Record: e.record, Cal: e.cal, Idle: e.idle}}
	gone := e.gone
	e.mu.Unlock()
	if gone || !d.Find(time.Unix(0, s.down.Load()), now) {
		return nil
	}
	return d
}

// errStale says that a schedule was edited since a look at it, which nothing may be decided by then.
var errStale = errors.New("the schedule was edited")

// take decides about due slots, and waits for the run if one was made.
func (s *Scheduler) take(d *due) error {
	decision := d.Decide()
	if decision.Slot.IsZero() {
		return s.locked(d, func() error { return s.save(d, decision.Watermark, decision.Slots) })
	}
	var id flow.RunID
	var answer flow.OfferAnswer
	err := s.locked(d, func() (err error) {
		id, answer, err = s.offer(d, &decision)
		return err
	})
	if err != nil || id == "" {
		return err
	}
	return s.wait(d, &decision, id, answer)
}

// locked does something about due slots while the schedule keeps its form; errStale when it has another one already.
func (s *Scheduler) locked(d *due, do func() error) error {
	s.config.Lock.Lock()
	defer s.config.Lock.Unlock()
	d.e.mu.Lock()
	stale := d.e.gone || d.e.edits != d.edits
	d.e.mu.Unlock()
	if stale {
		return errStale
	}
	return do()
}

// unmade is the record of a slot whose run cannot be made, and of the older ones that it would have stood for.
func (d *due) unmade(slot time.Time, older []flow.SlotRecord) []flow.SlotRecord {
	for i := range older {
		if older[i].Ending == flow.SlotCoalesced {
			older[i].Ending, older[i].Reason = flow.SlotSkipped, flow.ReasonInvalid
		}
	}
	return append(older, flow.SlotRecord{
		Tenant: d.Record.Tenant, Schedule: d.Record.Name, Pipeline: d.Record.Pipeline,
		From: slot, To: slot, Count: 1, Ending: flow.SlotSkipped, Reason: flow.ReasonInvalid,
	})
}

// save records the endings of slots that have no run.
func (s *Scheduler) save(d *due, watermark time.Time, records []flow.SlotRecord) error {
	ctx, cancel := context.WithTimeout(s.ctx, recordTime)
	defer cancel()
	if err := s.config.Ledger.SaveSlots(ctx, d.Record.Tenant, d.Record.Name, watermark, records); err != nil {
		return err
	}
	d.e.advance(watermark)
	return nil
}

// recordTime bounds one record of the ledger.
const recordTime = 30 * time.Second

// offer makes the run of a slot, with the endings of older ones; the id is empty where there is none to wait for. A slot
// whose run cannot be made is skipped.
func (s *Scheduler) offer(d *due, o *overlap.Decision) (flow.RunID, flow.OfferAnswer, error) {
	slot, older := o.Slot, o.Slots
	start := d.Cal.Prev(slot)
	trigger := flow.Trigger{Kind: o.Kind, Schedule: d.Record.Name, ScheduledAt: slot, IntervalEnd: &slot}
	if !start.IsZero() {
		trigger.IntervalStart = &start
	}
	ctx, cancel := context.WithTimeout(s.ctx, recordTime)
	defer cancel()
	run, err := s.config.NewRun(ctx, d.Record, trigger)
	if err != nil {
		return "", "", s.save(d, slot, d.unmade(slot, older))
	}
	for i := range older {
		if older[i].Ending == flow.SlotCoalesced {
			older[i].Run = run.ID
		}
	}
	failpoint.Here(failpoint.Due)
	offered, err := s.config.Queue.Offer(ctx, flow.Offer{Run: run, Overlap: o.Overlap, Slots: older, Watermark: slot, StartBy: o.StartBy})
	if err != nil {
		return "", "", err
	}
	d.e.advance(slot)
	if offered.Answer == flow.OfferRefused {
		return "", "", nil
	}
	return run.ID, offered.Answer, nil
}

// wait returns when the run has ended. It returns at the next slot when that slot may change the run's fate: take its
// place in the queue, or replace it; and when the schedule is edited or removed.
func (s *Scheduler) wait(d *due, o *overlap.Decision, id flow.RunID, answer flow.OfferAnswer) error {
	ctx, cancel := context.WithCancel(d.form)
	defer cancel()
	if overlap.Looks(o.Overlap, answer) {
		if next := d.Cal.NextDue(o.Slot); !next.IsZero() {
			alarm := time.AfterFunc(time.Until(next), cancel)
			defer alarm.Stop()
		}
	}
	if answer == flow.OfferQueued && !o.StartBy.IsZero() {
		s.patience(ctx, d, id, o.StartBy)
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

// patience waits until a run has ended, or has to have started; then it lets the queue end it if it waits still.
func (s *Scheduler) patience(ctx context.Context, d *due, id flow.RunID, by time.Time) {
	limited, cancel := context.WithDeadline(ctx, by)
	defer cancel()
	_, _ = s.config.Queue.Wait(limited, id) // whoever waits next is told how it ended
	if ctx.Err() == nil && limited.Err() != nil {
		if err := s.config.Queue.Next(s.ctx, d.Record.Tenant, d.Record.Pipeline); err != nil && s.ctx.Err() == nil {
			s.config.Logger.Error("overdue run not ended", slog.String("run", string(id)), slog.Any("err", err))
		}
	}
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

// Leave returns the endings of the slots of a schedule that are due by now and undecided, for somebody who is about to
// edit or remove it: what is edited starts anew. The caller holds Lock for writing.
func (s *Scheduler) Leave(tenant, name string, now time.Time) []flow.SlotRecord {
	s.mu.Lock()
	e := s.entries[key{tenant, name}]
	s.mu.Unlock()
	if e == nil {
		return nil
	}
	var left []flow.SlotRecord
	for d := s.due(e, now); d != nil && d.Find(time.Unix(0, s.down.Load()), now); {
		decision := d.Leave()
		left = append(left, decision.Slots...)
		d.Record.Watermark = decision.Watermark
	}
	return left
}
