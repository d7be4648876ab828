package flow

import "time"

// ClockEffect is what a clock change does to a schedule on the local day of the change.
type ClockEffect string

const (
	ClockNone    ClockEffect = "none"    // no written time is touched
	ClockMoved   ClockEffect = "moved"   // the clock skips a written time; it runs at the first instant after the gap
	ClockFirst   ClockEffect = "first"   // the clock shows a written time twice; it runs at the first showing
	ClockNoDay   ClockEffect = "no_day"  // the local day does not exist; there is no slot
	ClockElapsed ClockEffect = "elapsed" // slots follow elapsed time
)

// ClockShift says which way clocks are set.
type ClockShift string

const (
	ClockGap  ClockShift = "gap"  // forward: the clock skips times
	ClockFold ClockShift = "fold" // back: the clock shows times twice
)

// ClockChange is a local day on which clocks change, and what a schedule does about it.
type ClockChange struct {
	Schedule string `json:"schedule"`
	Timezone string `json:"timezone"`
	// Day is the local date: 2026-03-08.
	Day string `json:"day"`
	// At is the instant of the change, in the schedule's zone.
	At    time.Time  `json:"at"`
	Shift ClockShift `json:"shift"`
	// By is how far clocks are set.
	By     Duration    `json:"by"`
	Effect ClockEffect `json:"effect"`
	// Wall is the first written time that is touched, such as 02:30:00.
	Wall string `json:"wall,omitempty"`
	// Slot is when that time runs; where none is touched, the first slot of the day; none where the day does not exist.
	Slot *time.Time `json:"slot,omitempty"`
	// Text says it in one sentence.
	Text string `json:"text"`
}

// SlotStanding is where a slot stands: its ending, or why it has none.
type SlotStanding string

const (
	StandingRun        SlotStanding = "run"        // a run was made for it
	StandingCoalesced  SlotStanding = "coalesced"  // a newer slot of the schedule stands for it
	StandingSkipped    SlotStanding = "skipped"    // a rule said so, or its run could not be made
	StandingMissed     SlotStanding = "missed"     // the host was down, or it could not start in time
	StandingDue        SlotStanding = "due"        // it is due and nothing is decided yet
	StandingFuture     SlotStanding = "future"     // it is not due yet, or its start is delayed
	StandingDisabled   SlotStanding = "disabled"   // the schedule was disabled then: nothing was owed
	StandingBefore     SlotStanding = "before"     // it lies before the schedule was applied: nothing was owed
	StandingNone       SlotStanding = "none"       // the schedule has no slot by then
	StandingUnrecorded SlotStanding = "unrecorded" // its ending is no longer kept
)

// SlotStory is what became of one slot, and why.
type SlotStory struct {
	Schedule string `json:"schedule"`
	Pipeline string `json:"pipeline"`
	Timezone string `json:"timezone"`
	// At is the instant that was asked about.
	At time.Time `json:"at"`
	// Slot is the newest slot at or before it; none where there is none.
	Slot     *time.Time   `json:"slot,omitempty"`
	Standing SlotStanding `json:"standing"`
	// Reason of a slot that was skipped or missed.
	Reason Reason `json:"reason,omitempty"`
	// Record is the ledger's: of the slot alone, or of a range that holds it.
	Record *SlotRecord `json:"record,omitempty"`
	// Run is the slot's run, the one that stands for it, or the one that stood in its way.
	Run *RunRecord `json:"run,omitempty"`
	// Next is the first slot after now of a schedule that is enabled.
	Next *time.Time `json:"next,omitempty"`
	// Text says it in one sentence.
	Text string `json:"text"`
}
