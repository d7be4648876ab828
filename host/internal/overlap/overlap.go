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

// Due are the slots of a schedule, after its watermark, that are to be decided together.
type Due struct {
	// Record is the schedule; slots up to its watermark are decided.
	Record flow.ScheduleRecord
	Cal    *calendar.Schedule
	// Idle is when the schedule's own last run ended; zero if it had none.
	Idle time.Time
	// Last is the newest slot, Count how many there are.
	Last  time.Time
	Count int64
	// Down is the end of the downtime in which the slots came due; zero for slots that were seen coming.
	Down time.Time
}

// Find fills in what is due by now, the slots of a downtime that ended at down before those of the time after it; it
// reports whether anything is. A zero down is no downtime.
func (d *Due) Find(down, now time.Time) bool {
	if down.After(d.Record.Watermark) {
		if d.Last, d.Count = d.Cal.Due(d.Record.Watermark, down); d.Count > 0 {
			d.Down = down
			return true
		}
	}
	d.Last, d.Count = d.Cal.Due(d.Record.Watermark, now)
	return d.Count > 0
}

// Decision is what is to be done about due slots. Those that it leaves out are due still.
type Decision struct {
	// Slot gets a run, which is offered with Overlap; zero when Slots are only to be recorded.
	Slot    time.Time
	Kind    flow.TriggerKind
	Overlap flow.Overlap
	// Slots are the endings of other slots. Those that are coalesced stand for the run that Slot gets.
	Slots []flow.SlotRecord
	// Watermark is the schedule's new one.
	Watermark time.Time
}

// Decide decides about due slots.
func (d *Due) Decide() Decision {
	switch {
	case !d.Down.IsZero():
		return d.catchUp()
	case d.Record.Overlap == flow.OverlapSkip:
		return d.skipping()
	case d.Record.Overlap == flow.OverlapWaitAll:
		return d.all()
	}
	return d.newest()
}

// newest offers the newest slot, which stands for the older ones.
func (d *Due) newest() Decision {
	return d.offer(flow.TriggerSchedule, d.Last, d.olderThan(d.Last, flow.SlotCoalesced, ""))
}

// skipping skips the slots that came due while the schedule's own run was live, and offers the newest after it.
func (d *Due) skipping() Decision {
	if last, n := d.Cal.Due(d.Record.Watermark, d.Idle); n > 0 {
		return record(last, d.slots(n, last, flow.SlotSkipped, flow.ReasonOverlap))
	}
	return d.newest()
}

// all offers the oldest slot; the ones before the newest MaxWaitingSlots are skipped.
func (d *Due) all() Decision {
	if d.Count > MaxWaitingSlots {
		over := d.back(MaxWaitingSlots)
		return record(over, d.slots(d.Count-MaxWaitingSlots, over, flow.SlotSkipped, flow.ReasonQuota))
	}
	return d.offer(flow.TriggerSchedule, d.Cal.Next(d.Record.Watermark), nil)
}

// catchUp decides about the slots of a downtime by the schedule's catchup setting.
func (d *Due) catchUp() Decision {
	c := d.Record.Catchup
	oldest := d.Down.Add(-c.Within.Std())
	if c.Runs == "none" || d.Last.Before(oldest) {
		return record(d.Last, d.slots(d.Count, d.Last, flow.SlotMissed, flow.ReasonDowntime))
	}
	if c.Runs != "all" {
		return d.offer(flow.TriggerCatchup, d.Last, d.olderThan(d.Last, flow.SlotMissed, flow.ReasonDowntime))
	}
	bound := int64(c.Max)
	if bound <= 0 {
		bound = MaxWaitingSlots
	}
	if _, n := d.Cal.Due(oldest.Add(-1), d.Last); n < bound {
		bound = n
	}
	if d.Count > bound {
		over := d.back(bound)
		return record(over, d.slots(d.Count-bound, over, flow.SlotMissed, flow.ReasonDowntime))
	}
	one := d.offer(flow.TriggerCatchup, d.Cal.Next(d.Record.Watermark), nil)
	one.Overlap = flow.OverlapWaitAll // whatever it is for new slots: none of these may take another's place
	return one
}

func (d *Due) offer(kind flow.TriggerKind, slot time.Time, older []flow.SlotRecord) Decision {
	return Decision{Slot: slot, Kind: kind, Overlap: d.Record.Overlap, Slots: older, Watermark: slot}
}

// record is the decision to make no run.
func record(watermark time.Time, slots []flow.SlotRecord) Decision {
	return Decision{Slots: slots, Watermark: watermark}
}

// back returns the slot that has n due ones after it, by the shorter way.
func (d *Due) back(n int64) time.Time {
	if older := d.Count - n; older < n {
		t := d.Record.Watermark
		for range older {
			t = d.Cal.Next(t)
		}
		return t
	}
	t := d.Last
	for range n {
		t = d.Cal.Prev(t)
	}
	return t
}

// slots is the record of the oldest n due slots, the newest of which is last.
func (d *Due) slots(n int64, last time.Time, ending flow.SlotEnding, reason flow.Reason) []flow.SlotRecord {
	return []flow.SlotRecord{{
		Tenant: d.Record.Tenant, Schedule: d.Record.Name, Pipeline: d.Record.Pipeline,
		From: d.Cal.Next(d.Record.Watermark), To: last, Count: n, Ending: ending, Reason: reason,
	}}
}

// olderThan is the record of all due slots before the newest one; nil when it is the only one.
func (d *Due) olderThan(slot time.Time, ending flow.SlotEnding, reason flow.Reason) []flow.SlotRecord {
	if d.Count < 2 {
		return nil
	}
	return d.slots(d.Count-1, d.Cal.Prev(slot), ending, reason)
}

// Looks reports whether whoever waits for the run of an offered slot must look again at the schedule's next slot,
// because that one may change the run's fate: take its place in the line, or replace it.
func Looks(o flow.Overlap, answer flow.OfferAnswer) bool {
	return o == flow.OverlapReplace || (answer == flow.OfferQueued && o == flow.OverlapWait)
}
