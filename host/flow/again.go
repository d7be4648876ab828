package flow

import (
	"encoding/json"
	"time"
)

// RerunRequest asks for a new run of an old one, which has ended and stays as it is recorded.
type RerunRequest struct {
	// Run is the old run: an id, the unambiguous beginning of one, or "@last".
	Run string `json:"run"`
	// FromStep executes a step and all that comes after it, OnlyStep a step alone, Failed what did not succeed and all
	// that comes after it; of the other steps, the recorded outputs are reused. At most one of the three is set. Without
	// any, every step is executed.
	FromStep string `json:"from_step,omitempty"`
	OnlyStep string `json:"only_step,omitempty"`
	Failed   bool   `json:"failed,omitempty"`
	// Context is laid over that of the old run, key by key, and checked against the params of the pipeline as it is now.
	Context map[string]json.RawMessage `json:"context,omitempty"`
}

// BackfillRequest asks for runs of slots of the past.
type BackfillRequest struct {
	// Name is that of a schedule, or of a pipeline with one schedule.
	Name string `json:"name"`
	// From and To bound the slots, both included. To defaults to now, and is never later.
	From time.Time `json:"from"`
	To   time.Time `json:"to,omitzero"`
	// MissingOnly leaves out slots that have a run which succeeded or has yet to end, and those that are due still.
	MissingOnly bool `json:"missing_only,omitempty"`
	// DryRun asks for no run.
	DryRun bool `json:"dry_run,omitempty"`
	// Max bounds the runs; over it none is asked for. Defaults to 1,000 and is at most 10,000.
	Max int `json:"max,omitempty"`
}

// BackfillReport says which runs a backfill has asked for, or would.
type BackfillReport struct {
	Schedule string    `json:"schedule"`
	Pipeline string    `json:"pipeline"`
	From     time.Time `json:"from"`
	To       time.Time `json:"to"`
	DryRun   bool      `json:"dry_run,omitempty"`
	// Slots are the oldest first.
	Slots []BackfillSlot `json:"slots"`
	// Left counts the slots that MissingOnly left out, and those on which the schedule does not run.
	Left int `json:"left,omitempty"`
}

// BackfillSlot is a slot of the past with its new run.
type BackfillSlot struct {
	At time.Time `json:"at"`
	// Run is the new run; empty for a dry run.
	Run RunID `json:"run,omitempty"`
	// Of is the run that the slot had when it came due, if the ledger still has it.
	Of RunID `json:"of,omitempty"`
}

// RunFilter selects runs of one pipeline that have ended.
type RunFilter struct {
	Pipeline string `json:"pipeline"`
	Schedule string `json:"schedule,omitempty"`
	// Outcome defaults to failed. Reason defaults to any.
	Outcome Outcome `json:"outcome,omitempty"`
	Reason  Reason  `json:"reason,omitempty"`
	// Since and Until bound the instants that the runs stand for, both included: the slot, or the time of asking for a run
	// without one. A rerun stands for the instant of the run that it repeats.
	Since time.Time `json:"since,omitzero"`
	Until time.Time `json:"until,omitzero"`
}

// RerunAllRequest asks for reruns of the runs that a filter matches, each as a RerunRequest does.
type RerunAllRequest struct {
	RunFilter
	// FromStep, OnlyStep, Failed and Context are as in a RerunRequest.
	FromStep string                     `json:"from_step,omitempty"`
	OnlyStep string                     `json:"only_step,omitempty"`
	Failed   bool                       `json:"failed,omitempty"`
	Context  map[string]json.RawMessage `json:"context,omitempty"`
	// Confirm is the number of runs that are meant. Without it, or where it is not the number of those that match, none is
	// asked for.
	Confirm *int `json:"confirm,omitempty"`
}

// CancelAllRequest asks for the end of the runs that a filter matches.
type CancelAllRequest struct {
	Pipeline string `json:"pipeline"`
	// State is queued or running; empty stands for both.
	State State `json:"state,omitempty"`
	// Confirm is as in a RerunAllRequest.
	Confirm *int `json:"confirm,omitempty"`
}

// MatchReport says which runs a filter matches, and what was done to them.
type MatchReport struct {
	Pipeline string `json:"pipeline"`
	// Done is true where the number was confirmed, and false where the report only tells what matches.
	Done bool `json:"done"`
	// Runs are those that are meant, the oldest first.
	Runs []MatchedRun `json:"runs"`
	// Left are those that the filter matches and nothing can be done to; each says why.
	Left []MatchedRun `json:"left,omitempty"`
	// Repeated counts those that were rerun before: their reruns match in their place, if they do.
	Repeated int `json:"repeated,omitempty"`
}

// MatchedRun is a run that a filter matches.
type MatchedRun struct {
	Run RunID `json:"run"`
	// At is the instant that it stands for.
	At      time.Time `json:"at"`
	State   State     `json:"state"`
	Outcome Outcome   `json:"outcome,omitempty"`
	Reason  Reason    `json:"reason,omitempty"`
	// Rerun is the new run of it.
	Rerun RunID `json:"rerun,omitempty"`
	// Why says why nothing is done to it.
	Why string `json:"why,omitempty"`
}
