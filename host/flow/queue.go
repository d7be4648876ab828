package flow

import (
	"encoding/json"
	"time"
)

// Slot is one scheduled instant of one schedule.
type Slot struct {
	Tenant   string    `json:"tenant"`
	Schedule string    `json:"schedule"`
	At       time.Time `json:"at"`
}

// SlotEnding is what became of a slot. Every slot of an enabled schedule has exactly one.
type SlotEnding string

const (
	SlotRun       SlotEnding = "run"       // a run was made for it
	SlotCoalesced SlotEnding = "coalesced" // a newer slot of the schedule stands for it
	SlotSkipped   SlotEnding = "skipped"   // a rule said so: overlap, condition, calendar, quota, paused; or its run cannot be made
	SlotMissed    SlotEnding = "missed"    // the host was down, or it could not start in time
)

// SlotRecord is the recorded ending of a slot, or of all slots of a schedule from From to To, both included.
type SlotRecord struct {
	Tenant   string     `json:"tenant"`
	Schedule string     `json:"schedule"`
	Pipeline string     `json:"pipeline"`
	From     time.Time  `json:"from"`
	To       time.Time  `json:"to"`
	Count    int64      `json:"count"`
	Ending   SlotEnding `json:"ending"`
	Reason   Reason     `json:"reason,omitempty"`
	// Run is the slot's run, or the run that it was coalesced into.
	Run RunID `json:"run,omitempty"`
	// Message says more than the reason, in the event of the ending only.
	Message string `json:"message,omitempty"`
}

// Offer asks the queue to take a run. It is idempotent by run id.
type Offer struct {
	Run Run `json:"run"`
	// Overlap applies to slots only: other runs always wait their turn.
	Overlap Overlap `json:"overlap"`
	// Steps have ended before the run begins: a rerun takes them over. They are recorded with the offer.
	Steps []StepRecord `json:"steps,omitempty"`
	// Slots are the endings of older due slots of the schedule, recorded with the offer in one transaction.
	Slots []SlotRecord `json:"slots,omitempty"`
	// Watermark is the schedule's new watermark; zero leaves it.
	Watermark time.Time `json:"watermark,omitzero"`
	// StartBy is when a run that still waits ends as skipped, and its slot as missed (start); zero is never.
	StartBy time.Time `json:"start_by,omitzero"`
}

// OfferAnswer says what the queue did with an offer.
type OfferAnswer string

const (
	OfferStarted   OfferAnswer = "started"   // the run is live and the caller holds its claim
	OfferQueued    OfferAnswer = "queued"    // the run waits for its turn
	OfferDuplicate OfferAnswer = "duplicate" // the run is known already
	OfferRefused   OfferAnswer = "refused"   // Reason says why; a slot's ending is recorded
)

// Line names the waiting runs of a pipeline.
type Line struct {
	Tenant   string `json:"tenant"`
	Pipeline string `json:"pipeline"`
}

// Offered is the queue's answer.
type Offered struct {
	Answer OfferAnswer `json:"answer"`
	Reason Reason      `json:"reason,omitempty"`
	// Message names the quota of the tenant that is used up, where that is the reason.
	Message string `json:"message,omitempty"`
	// Claim is set when Answer is OfferStarted.
	Claim Claim `json:"claim,omitzero"`
	// StartedAt and LastSuccessAt are those of Claimed, set when Answer is OfferStarted.
	StartedAt     time.Time  `json:"started_at,omitzero"`
	LastSuccessAt *time.Time `json:"last_success_at,omitempty"`
	// Coalesced are waiting runs that ended because this one stands for them.
	Coalesced []RunID `json:"coalesced,omitempty"`
	// Replaces is the live run that must be cancelled so that this one can start (OverlapReplace).
	Replaces RunID `json:"replaces,omitempty"`
	// Overdue are waiting runs of the pipeline that ended because they could not start in time.
	Overdue []RunID `json:"overdue,omitempty"`
	// Crowded: the run waits until one of the tenant's live runs ends, of whatever pipeline.
	Crowded bool `json:"crowded,omitempty"`
}

// Overdue is the ending of a waiting run that could not start in time.
func Overdue() Ending {
	return Ending{Outcome: Skipped, Reason: ReasonStart, Message: "it did not begin within timeout.start"}
}

// Claim is the right to execute a run: it is good as long as the run's epoch is Epoch.
type Claim struct {
	Run   RunID `json:"run"`
	Epoch int   `json:"epoch"`
}

// Claimed is a run together with the right to execute it, and what is already done of it.
type Claimed struct {
	Run   Run   `json:"run"`
	Claim Claim `json:"claim"`
	// Steps that an earlier epoch recorded, for a run that is resumed after a crash; for a first start, those of the offer.
	Steps []StepRecord `json:"steps,omitempty"`
	// StartedAt is when the run first became live.
	StartedAt time.Time `json:"started_at"`
	// LastSuccessAt is the end of the pipeline's last run that succeeded, if there is one.
	LastSuccessAt *time.Time `json:"last_success_at,omitempty"`
	// Overdue are waiting runs of the pipeline that ended because they could not start in time, whether another one was
	// claimed or not.
	Overdue []RunID `json:"overdue,omitempty"`
	// Crowded: runs of the tenant may wait until one of its live runs ends, of whatever pipeline.
	Crowded bool `json:"crowded,omitempty"`
}

// EventKind says what an event records.
type EventKind string

const (
	RunQueued      EventKind = "run.queued"
	RunCoalesced   EventKind = "run.coalesced"
	RunStarted     EventKind = "run.started"
	RunResumed     EventKind = "run.resumed"
	RunCancelling  EventKind = "run.cancelling"
	RunEnded       EventKind = "run.ended"
	AttemptStarted EventKind = "attempt.started"
	AttemptEnded   EventKind = "attempt.ended"
	StepEnded      EventKind = "step.ended"
	StepProgress   EventKind = "step.progress"
	EventEmitted   EventKind = "event.emitted" // by a guest; Detail is its EmittedEvent
	SlotEnded      EventKind = "slot.ended"
	ScheduleSet    EventKind = "schedule.set"
	ScheduleGone   EventKind = "schedule.removed"
	PlanSaved      EventKind = "plan.saved"
	IncidentOpened EventKind = "incident.opened"
	IncidentClosed EventKind = "incident.closed"
	AlertSent      EventKind = "alert.sent"   // a target took a message
	AlertFailed    EventKind = "alert.failed" // a target did not take a message
)

// Event is one recorded change. Seq orders all events of a ledger; the ledger assigns it. A ledger shows events without
// outputs and contexts, whose sizes have no measure in a list: the record of the run has them.
type Event struct {
	Seq      int64     `json:"seq"`
	At       time.Time `json:"at"`
	Kind     EventKind `json:"kind"`
	Tenant   string    `json:"tenant"`
	Pipeline string    `json:"pipeline,omitempty"`
	Schedule string    `json:"schedule,omitempty"`
	Run      RunID     `json:"run,omitempty"`
	Epoch    int       `json:"epoch,omitempty"`
	Step     string    `json:"step,omitempty"`
	// Item is the element's index of a step with each; nil otherwise.
	Item    *int `json:"item,omitempty"`
	Attempt int  `json:"attempt,omitempty"`
	Ending
	// Reused is the run that executed the step, on the end of a step that a rerun has taken over.
	Reused RunID `json:"reused,omitempty"`
	// Outputs of an attempt or step that succeeded, on the way to the ledger.
	Outputs map[string]json.RawMessage `json:"outputs,omitempty"`
	// List is the ordered outputs of a step with each, on the way to the ledger; null stands for a skipped element.
	List []json.RawMessage `json:"list,omitempty"`
	// State is what an attempt that succeeded has written to the state of its pipeline, on the way to the ledger; nil deletes.
	State map[string]json.RawMessage `json:"state,omitempty"`
	// Usage of an attempt.
	Usage *Usage `json:"usage,omitempty"`
	// RetryAt is when the next attempt is due, on an attempt that ended and will be retried.
	RetryAt *time.Time `json:"retry_at,omitempty"`
	// Detail holds what else the kind calls for.
	Detail json.RawMessage `json:"detail,omitempty"`
}

// EmittedEvent is what a guest says has happened, in the words of CloudEvents.
type EmittedEvent struct {
	ID string `json:"id"`
	// Source is uniflow:PIPELINE/STEP, with the pipeline's id.
	Source  string          `json:"source"`
	Type    string          `json:"type"`
	Subject string          `json:"subject,omitempty"`
	Time    time.Time       `json:"time"`
	Data    json.RawMessage `json:"data,omitempty"`
}

// LogLine is a line of a guest, kept in the ledger.
type LogLine struct {
	Seq     int64     `json:"seq"`
	At      time.Time `json:"at"`
	Tenant  string    `json:"tenant"`
	Run     RunID     `json:"run"`
	Step    string    `json:"step"`
	Item    *int      `json:"item,omitempty"`
	Attempt int       `json:"attempt"`
	Level   LogLevel  `json:"level"`
	Message string    `json:"message"`
	// Dropped counts lines that were not kept, on the attempt's last line.
	Dropped int64 `json:"dropped,omitempty"`
}
