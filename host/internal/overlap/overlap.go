// Package overlap decides what becomes of slots that have come due: which one gets a run, and how the others end. It
// also holds the rule of the line of a pipeline, by which a queue takes a run, lets it wait, or refuses it.
//
// It is pure, so that the scheduler, every store and the simulation decide alike. It must know nothing of clocks,
// queues or ledgers.
package overlap

import (
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/calendar"
)

// Bounds on what waits.
const (
	MaxWaitingSlots = 100  // of one schedule with overlap wait_all, or made up for one by one
	MaxWaitingRuns  = 1000 // of one pipeline
)

// Due are the slots of a schedule, after its watermark, that are to be decided together. A slot is due its schedule's
// delay after its instant: the times of the world are compared with slots as they were then.
type Due struct {
	// Record is the schedule; slots up to its watermark are decided.
	Record flow.ScheduleRecord
	Cal    *calendar.Schedule
	// Idle is when the schedule's own last run ended; zero if it had none.
	Idle time.Time
	// Last is the newest slot that may get a run, Count how many of them there are.
	Last  time.Time
	Count int64
	// Shut is the newest slot where none may get a run: not_on has them all.
	Shut time.Time
	// Down is the end of the downtime in which the slots came due, less the delay; zero for slots that were seen coming.
	Down time.Time
	// Pause says whether the slots came due before the schedule was disabled, or while it was.
	Pause Pause
	// Now is when the decision is made, less the delay.
	Now time.Time
}

// Pause is what disabling a schedule means for slots.
type Pause int

// The kinds of Pause.
const (
	NoPause Pause = iota
	Dropped       // due and undecided when it was disabled
	Paused        // due while it was disabled; it is enabled again
)

// Find fills in what is due by now, older times before newer ones: what was undecided when the schedule was disabled, the
// slots of the time until it was enabled, those of a downtime that ended at down, and those of the time after it. It
// reports whether anything is. A zero down is no downtime.
func (d *Due) Find(down, now time.Time) bool {
	delay := d.Cal.Delay()
	d.Now, d.Down, d.Pause, d.Shut = now.Add(-delay), time.Time{}, NoPause, time.Time{}
	if at := d.Record.PausedAt; !at.IsZero() && d.until(at.Add(-delay)) {
		d.Pause = Dropped
		return true
	}
	if !d.Record.Active() {
		return false
	}
	if at := d.Record.ResumedAt; !at.IsZero() && d.until(at.Add(-delay)) {
		d.Pause = Paused
		return true
	}
	if at := down.Add(-delay); !down.IsZero() && d.until(at) {
		d.Down = at
		return true
	}
	return d.until(d.Now)
}

// until fills in what is due by a time.
func (d *Due) until(t time.Time) bool {
	if !t.After(d.Record.Watermark) {
		return false
	}
	if d.Last, d.Count = d.Cal.Owed(d.Record.Watermark, t); d.Count > 0 {
		return true
	}
	var n int64
	d.Shut, n = d.Cal.Due(d.Record.Watermark, t)
	return n > 0
}

// Decision is what is to be done about due slots. Those that it leaves out are due still.
type Decision struct {
	// Slot gets a run, which is offered with Overlap; zero when Slots are only to be recorded.
	Slot    time.Time
	Kind    flow.TriggerKind
	Overlap flow.Overlap
	// StartBy is when the run ends if it still waits; zero is never.
	StartBy time.Time
	// Slots are the endings of other slots. Those that are coalesced stand for the run that Slot gets.
	Slots []flow.SlotRecord
	// Watermark is the schedule's new one.
	Watermark time.Time
}

// Decide decides about due slots.
func (d *Due) Decide() Decision {
	switch {
	case d.Count == 0:
		return d.record(d.Shut, flow.SlotSkipped, flow.ReasonCalendar)
	case d.Pause == Dropped:
		return d.record(d.Last, flow.SlotSkipped, flow.ReasonPaused)
	case d.Pause == Paused:
		return d.resume()
	case !d.Down.IsZero():
		return d.catchUp()
	}
	if last, n := d.tooLate(); n > 0 {
		return d.record(last, flow.SlotMissed, flow.ReasonStart)
	}
	switch d.Record.Overlap {
	case flow.OverlapSkip:
		return d.skipping()
	case flow.OverlapWaitAll:
		return d.all()
	}
	return d.newest()
}

// Leave is the decision about due slots of a schedule that is about to be edited or removed: none of them gets a run.
func (d *Due) Leave() Decision {
	switch {
	case d.Count == 0:
		return d.record(d.Shut, flow.SlotSkipped, flow.ReasonCalendar)
	case d.Pause != NoPause:
		return d.record(d.Last, flow.SlotSkipped, flow.ReasonPaused)
	case !d.Down.IsZero():
		return d.record(d.Last, flow.SlotMissed, flow.ReasonDowntime)
	}
	return d.record(d.Last, flow.SlotSkipped, flow.ReasonRequest)
}

// tooLate returns the newest slot that can no longer start in time and how many there are. Where a newer slot stands for
// older ones, it is the newest that must start in time.
func (d *Due) tooLate() (time.Time, int64) {
	patience := d.Record.Start.Std()
	latest := d.Now.Add(-patience)
	switch {
	case patience == 0, d.Record.Overlap != flow.OverlapWaitAll && d.Last.After(latest):
		return time.Time{}, 0
	case d.Record.Overlap == flow.OverlapSkip:
		if _, n := d.Cal.Owed(d.Record.Watermark, d.idle()); n > 0 {
			return time.Time{}, 0 // the overlap is what kept them
		}
	}
	return d.Cal.Owed(d.Record.Watermark, latest)
}

// newest offers the newest slot, which stands for the older ones.
func (d *Due) newest() Decision {
	return d.offer(flow.TriggerSchedule, d.Last, flow.SlotCoalesced, "")
}

// skipping skips the slots that came due while the schedule's own run was live, and offers the newest after it.
func (d *Due) skipping() Decision {
	if last, n := d.Cal.Due(d.Record.Watermark, d.idle()); n > 0 {
		return d.record(last, flow.SlotSkipped, flow.ReasonOverlap)
	}
	return d.newest()
}

// idle is when the schedule's last run ended, less the delay.
func (d *Due) idle() time.Time {
	if d.Idle.IsZero() {
		return d.Idle
	}
	return d.Idle.Add(-d.Cal.Delay())
}

// all offers the oldest slot; the ones before the newest MaxWaitingSlots are skipped.
func (d *Due) all() Decision {
	if d.Count > MaxWaitingSlots {
		return d.record(d.back(MaxWaitingSlots), flow.SlotSkipped, flow.ReasonQuota)
	}
	return d.offer(flow.TriggerSchedule, d.Cal.NextOpen(d.Record.Watermark), "", "")
}

// catchUp decides about the slots of a downtime by the schedule's catchup setting.
func (d *Due) catchUp() Decision {
	c := d.Record.Catchup
	oldest := d.Down.Add(-c.Within.Std())
	if c.Runs == "none" || d.Last.Before(oldest) {
		return d.record(d.Last, flow.SlotMissed, flow.ReasonDowntime)
	}
	if c.Runs != "all" {
		return d.makeUp(d.Last, flow.SlotMissed, flow.ReasonDowntime)
	}
	bound := d.bound()
	if _, n := d.Cal.Owed(oldest.Add(-1), d.Last); n < bound {
		bound = n
	}
	return d.oneByOne(bound, flow.SlotMissed, flow.ReasonDowntime)
}

// resume decides about the slots of a time in which the schedule was disabled by its on_resume setting.
func (d *Due) resume() Decision {
	switch d.Record.OnResume {
	case flow.ResumeLatest:
		return d.makeUp(d.Last, flow.SlotSkipped, flow.ReasonPaused)
	case flow.ResumeAll:
		return d.oneByOne(d.bound(), flow.SlotSkipped, flow.ReasonPaused)
	}
	return d.record(d.Last, flow.SlotSkipped, flow.ReasonPaused)
}

// bound is how many slots are made up for one by one.
func (d *Due) bound() int64 {
	if d.Record.Catchup.Max > 0 {
		return int64(d.Record.Catchup.Max)
	}
	return MaxWaitingSlots
}

// oneByOne makes up for the oldest of the newest slots, so many of them; older ones have the given ending.
func (d *Due) oneByOne(bound int64, ending flow.SlotEnding, reason flow.Reason) Decision {
	if d.Count > bound {
		return d.record(d.back(bound), ending, reason)
	}
	one := d.makeUp(d.Cal.NextOpen(d.Record.Watermark), ending, reason)
	one.Overlap = flow.OverlapWaitAll // whatever it is for new slots: none of these may take another's place
	return one
}

// makeUp offers a slot that could not run in its time. It begins to wait now.
func (d *Due) makeUp(slot time.Time, older flow.SlotEnding, reason flow.Reason) Decision {
	one := d.offer(flow.TriggerCatchup, slot, older, reason)
	if d.Record.Start > 0 {
		one.StartBy = d.Now.Add(d.Cal.Delay() + d.Record.Start.Std())
	}
	return one
}

// offer offers a slot; the due ones before it have the given ending.
func (d *Due) offer(kind flow.TriggerKind, slot time.Time, older flow.SlotEnding, reason flow.Reason) Decision {
	one := Decision{Slot: slot, Kind: kind, Overlap: d.Record.Overlap, Watermark: slot}
	if d.Record.Start > 0 {
		one.StartBy = slot.Add(d.Cal.Delay() + d.Record.Start.Std())
	}
	alone := d.Count == 1 && slot.Equal(d.Last) && d.Cal.NotOn() == nil
	if !alone && d.Cal.Next(d.Record.Watermark).Before(slot) {
		one.Slots = d.slots(d.Cal.Prev(slot), older, reason)
	}
	return one
}

// record is the decision to make no run of the slots up to last.
func (d *Due) record(last time.Time, ending flow.SlotEnding, reason flow.Reason) Decision {
	return Decision{Slots: d.slots(last, ending, reason), Watermark: last}
}

// back returns the slot that has n due ones after it, by the shorter way.
func (d *Due) back(n int64) time.Time {
	all := d.Cal.Stretches(d.Record.Watermark, d.Last)
	for i := len(all) - 1; i >= 0; i-- {
		switch r := &all[i]; {
		case r.Shut:
		case n >= r.Count:
			n -= r.Count
		default:
			return d.backIn(r, n)
		}
	}
	return time.Time{}
}

// backIn returns the slot that has n after it in a stretch.
func (d *Due) backIn(r *calendar.Stretch, n int64) time.Time {
	if older := r.Count - 1 - n; older < n {
		t := r.From
		for range older {
			t = d.Cal.Next(t)
		}
		return t
	}
	t := r.To
	for range n {
		t = d.Cal.Prev(t)
	}
	return t
}

// slots is the record of the due slots up to last: those that not_on has are skipped for it, the others end as said.
func (d *Due) slots(last time.Time, ending flow.SlotEnding, reason flow.Reason) []flow.SlotRecord {
	var all []flow.SlotRecord
	for _, r := range d.Cal.Stretches(d.Record.Watermark, last) {
		record := flow.SlotRecord{
			Tenant: d.Record.Tenant, Schedule: d.Record.Name, Pipeline: d.Record.Pipeline,
			From: r.From, To: r.To, Count: r.Count, Ending: ending, Reason: reason,
		}
		if r.Shut {
			record.Ending, record.Reason = flow.SlotSkipped, flow.ReasonCalendar
		}
		all = append(all, record)
	}
	return all
}

// Looks reports whether whoever waits for the run of an offered slot must look again at the schedule's next slot,
// because that one may change the run's fate: take its place in the line, or replace it.
func Looks(o flow.Overlap, answer flow.OfferAnswer) bool {
	return o == flow.OverlapReplace || (answer == flow.OfferQueued && o == flow.OverlapWait)
}
