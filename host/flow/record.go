package flow

import (
	"encoding/json"
	"time"
)

// RunRecord is a run as the ledger shows it.
type RunRecord struct {
	Run
	Project string `json:"project,omitempty"`
	Label   string `json:"label,omitempty"`
	State   State  `json:"state"`
	Ending
	// Epoch counts starts: 1, and one more for each resume after a crash. 0 while queued.
	Epoch     int        `json:"epoch"`
	QueuedAt  time.Time  `json:"queued_at"`
	StartedAt *time.Time `json:"started_at,omitempty"`
	EndedAt   *time.Time `json:"ended_at,omitempty"`
	// Cancelling is true once the end was asked for.
	Cancelling bool `json:"cancelling,omitempty"`
	// Steps are filled in by a query for one run, in the plan's order.
	Steps []StepRecord `json:"steps,omitempty"`
}

// Duration is the time from the start to the end; of a live run, until now; zero before the start.
func (r *RunRecord) Duration(now time.Time) time.Duration {
	if r.StartedAt == nil {
		return 0
	}
	if r.EndedAt != nil {
		now = *r.EndedAt
	}
	return now.Sub(*r.StartedAt)
}

// StepRecord is a step of a run.
type StepRecord struct {
	Name  string `json:"name"`
	State State  `json:"state"`
	Ending
	// Reused is the run that executed the step, where this one has taken its ending and outputs over. EndedAt is then when
	// that was done, and there are no attempts.
	Reused    RunID      `json:"reused,omitempty"`
	StartedAt *time.Time `json:"started_at,omitempty"`
	EndedAt   *time.Time `json:"ended_at,omitempty"`
	// Outputs by name; a step with each has List instead.
	Outputs map[string]json.RawMessage `json:"outputs,omitempty"`
	List    []json.RawMessage          `json:"list,omitempty"`
	// Progress is the last heartbeat, 0 to 1000.
	Progress int             `json:"progress,omitempty"`
	Attempts []AttemptRecord `json:"attempts,omitempty"`
}

// NamedOutputs are the outputs by name; the list of a step with each stands under "list".
func (s *StepRecord) NamedOutputs() map[string]json.RawMessage {
	if s.List == nil {
		return s.Outputs
	}
	raw, err := json.Marshal(s.List)
	if err != nil { // cannot be: the elements are valid JSON
		return nil
	}
	return map[string]json.RawMessage{"list": raw}
}

// AttemptRecord is one try of a step, or of one element of a step with each.
type AttemptRecord struct {
	Item    *int  `json:"item,omitempty"`
	Attempt int   `json:"attempt"`
	Epoch   int   `json:"epoch"`
	State   State `json:"state"`
	Ending
	StartedAt time.Time                  `json:"started_at"`
	EndedAt   *time.Time                 `json:"ended_at,omitempty"`
	Outputs   map[string]json.RawMessage `json:"outputs,omitempty"`
	Usage     Usage                      `json:"usage"`
	RetryAt   *time.Time                 `json:"retry_at,omitempty"`
}

// RunQuery selects runs, newest first. What is found has neither steps nor contexts: those are a query for one run away.
type RunQuery struct {
	Tenant   string  `json:"tenant,omitempty"`
	Pipeline string  `json:"pipeline,omitempty"`
	Project  string  `json:"project,omitempty"`
	Schedule string  `json:"schedule,omitempty"`
	State    State   `json:"state,omitempty"`
	Outcome  Outcome `json:"outcome,omitempty"`
	// Due selects the runs that slots made by coming due, and leaves out those that were asked for.
	Due bool `json:"due,omitempty"`
	// Before is the id of the last run of the page before; empty for the first page.
	Before RunID `json:"before,omitempty"`
	// Limit defaults to 50 and is at most 1,000.
	Limit int `json:"limit,omitempty"`
}

// LogQuery selects log lines, oldest first.
type LogQuery struct {
	// Tenant leaves out the lines of others.
	Tenant string `json:"tenant,omitempty"`
	Run    RunID  `json:"run"`
	Step   string `json:"step,omitempty"`
	After  int64  `json:"after,omitempty"`
	// Limit defaults to 1,000 and is at most 10,000.
	Limit int `json:"limit,omitempty"`
}

// EventQuery selects events, oldest first.
type EventQuery struct {
	After    int64  `json:"after,omitempty"`
	Tenant   string `json:"tenant,omitempty"`
	Pipeline string `json:"pipeline,omitempty"`
	Run      RunID  `json:"run,omitempty"`
	// Schedule selects events of a schedule that are not about a run: how it was set, and slots that have no run.
	Schedule string `json:"schedule,omitempty"`
	// Kind selects events of one kind.
	Kind EventKind `json:"kind,omitempty"`
	// Limit defaults to 1,000 and is at most 10,000.
	Limit int `json:"limit,omitempty"`
	// Bytes ends the answer with the event by which it has so many bytes as JSON. Defaults to 8 MiB.
	Bytes Size `json:"bytes,omitempty"`
}

// SlotQuery selects slot records, newest first.
type SlotQuery struct {
	Tenant   string `json:"tenant,omitempty"`
	Schedule string `json:"schedule"`
	// Since leaves out records that end before it, Until those that begin after it.
	Since time.Time `json:"since,omitzero"`
	Until time.Time `json:"until,omitzero"`
	Limit int       `json:"limit,omitempty"`
}

// Origin says where a schedule comes from.
type Origin string

const (
	OriginManifest Origin = "manifest" // written in the manifest
	OriginAPI      Origin = "api"      // added by CLI, HTTP or an embedder; kept in the ledger
)

// ScheduleRecord is a schedule as the ledger keeps it.
type ScheduleRecord struct {
	Tenant string `json:"tenant"`
	PlanSchedule
	Origin Origin `json:"origin"`
	// Override is set when the schedule was enabled or disabled by hand, against what is written.
	Override *bool `json:"override,omitempty"`
	// OverrideAt is when it was enabled or disabled by hand last.
	OverrideAt *time.Time `json:"override_at,omitempty"`
	// Since is when the schedule, in its present form, was first applied; nothing before it is owed.
	Since time.Time `json:"since"`
	// Watermark is the newest slot with a recorded ending, or Since.
	Watermark time.Time `json:"watermark"`
	// PausedAt is when the schedule was last disabled, ResumedAt when it was last enabled after that; zero for never.
	PausedAt  time.Time `json:"paused_at,omitzero"`
	ResumedAt time.Time `json:"resumed_at,omitzero"`
}

// Begun is when the schedule began to fire, in its present form and by the last hand that was laid on it.
func (s *ScheduleRecord) Begun() time.Time {
	if s.OverrideAt != nil && s.OverrideAt.After(s.Since) {
		return *s.OverrideAt
	}
	return s.Since
}

// Active reports whether the schedule fires.
func (s *ScheduleRecord) Active() bool {
	if s.Override != nil {
		return *s.Override
	}
	return s.Enabled
}

// VersionRecord is a saved version of a pipeline.
type VersionRecord struct {
	Tenant   string            `json:"tenant"`
	Pipeline string            `json:"pipeline"`
	Digest   Digest            `json:"digest"`
	Label    string            `json:"label,omitempty"`
	Metadata map[string]string `json:"metadata,omitempty"`
	SavedAt  time.Time         `json:"saved_at"`
	// Deployment is the Seq of the deployment that applied it; 0 for a version that was saved by hand.
	Deployment int64 `json:"deployment,omitempty"`
	// Present is true for the version that runs now.
	Present bool `json:"present,omitempty"`
}
