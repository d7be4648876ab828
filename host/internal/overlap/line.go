package overlap

import (
	"slices"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// Line is what an offered run would have to wait for.
type Line struct {
	// Live is true when the pipeline has a live run.
	Live bool
	// Waiting counts the pipeline's waiting runs, Slots those among them that slots of the same schedule wait for.
	Waiting, Slots int
}

// Verdict is what a queue does with an offered run.
type Verdict struct {
	// Refuse says why the run is not taken; empty when it is.
	Refuse flow.Reason
	// Coalesce: the run stands for the waiting slots of its schedule, and takes over the first one's place.
	Coalesce bool
	// Start: the run is live at once; else it waits.
	Start bool
	// Replace: the live run is to be cancelled.
	Replace bool
}

// IsSlot reports whether a run is the run of a slot: only those are skipped, coalesced or replace others.
func IsSlot(k flow.TriggerKind) bool { return k == flow.TriggerSchedule || k == flow.TriggerCatchup }

// Judge says what becomes of a run that meets the line.
func (l Line) Judge(kind flow.TriggerKind, o flow.Overlap) Verdict {
	slot := IsSlot(kind)
	switch {
	case !l.Live && l.Waiting == 0:
		return Verdict{Start: true}
	case slot && o == flow.OverlapSkip:
		return Verdict{Refuse: flow.ReasonOverlap}
	case slot && o == flow.OverlapWaitAll && l.Slots >= MaxWaitingSlots, !slot && kind != flow.TriggerBackfill && l.Waiting >= MaxWaitingRuns:
		return Verdict{Refuse: flow.ReasonQuota}
	}
	v := Verdict{Coalesce: slot && o != flow.OverlapWaitAll && l.Slots > 0}
	left := l.Waiting
	if v.Coalesce {
		left -= l.Slots
	}
	v.Start = !l.Live && left == 0
	v.Replace = !v.Start && slot && o == flow.OverlapReplace && l.Live
	return v
}

// Older returns the endings of the older slots of an offer: those that a refused run was to stand for are skipped as its
// own slot is, since it never comes to be.
func (v Verdict) Older(slots []flow.SlotRecord) []flow.SlotRecord {
	if v.Refuse == "" {
		return slots
	}
	return Instead(slots, flow.SlotRecord{Ending: flow.SlotSkipped, Reason: v.Refuse})
}

// Instead returns slots of which those that a run was to stand for end as its own slot did, because the run is not there.
func Instead(slots []flow.SlotRecord, own flow.SlotRecord) []flow.SlotRecord {
	all := slices.Clone(slots)
	for i := range all {
		if all[i].Ending == flow.SlotCoalesced {
			all[i].Ending, all[i].Reason, all[i].Run = own.Ending, own.Reason, own.Run
		}
	}
	return all
}
