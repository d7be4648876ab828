package flow

import (
	"context"
	"encoding/json"
	"io"
	"time"
)

// StateChange changes what a pipeline keeps: keys are deleted first.
type StateChange struct {
	Delete []string                   `json:"delete,omitempty"`
	Set    map[string]json.RawMessage `json:"set,omitempty"`
}

// Control is everything that a person or a program does to a host. The host itself implements it, and so does the
// client of its API, so that a command need not know whether the host is in the same process. Names are ids: "weather",
// or "acme/weather" in a tenant other than the default. What does not exist is an error that wraps ErrNotFound.
type Control interface {
	// Info tells about the host.
	Info(ctx context.Context) (HostInfo, error)
	// Pipelines lists all pipelines by id.
	Pipelines(ctx context.Context) ([]PipelineInfo, error)
	// Pipeline returns one, with its plan.
	Pipeline(ctx context.Context, id string) (PipelineInfo, error)
	// SaveVersion records the pipeline's present version with metadata.
	SaveVersion(ctx context.Context, id string, metadata map[string]string) (VersionRecord, error)
	// Versions lists the versions that were applied or saved, newest first.
	Versions(ctx context.Context, id string) ([]VersionRecord, error)
	// Rollback makes an earlier version of a pipeline the one that runs. One that was never applied or saved is an error
	// that wraps ErrNotFound.
	Rollback(ctx context.Context, r RollbackRequest) (PipelineInfo, error)
	// Apply makes what the host's manifest says now the state that runs, all at once; live runs keep their version. A
	// manifest that is refused changes nothing: the error is Problems. Manifests of tenants are refused one by one.
	Apply(ctx context.Context, r ApplyRequest) (ApplyReport, error)
	// Deployments lists what was applied, newest first.
	Deployments(ctx context.Context, q DeploymentQuery) ([]Deployment, error)
	// Tenants lists the tenants by name, the default one first, with what they use.
	Tenants(ctx context.Context) ([]TenantInfo, error)
	// Tokens lists the tokens by name.
	Tokens(ctx context.Context) ([]Token, error)
	// CreateToken makes a token. A name that is taken is an error with CodeExists.
	CreateToken(ctx context.Context, r TokenRequest) (NewToken, error)
	// RevokeToken ends a token, and all that it has under way.
	RevokeToken(ctx context.Context, name string) error
	// Audit lists writes, newest first.
	Audit(ctx context.Context, q AuditQuery) ([]AuditEntry, error)
	// State returns what a pipeline keeps from run to run, by key.
	State(ctx context.Context, id string) (map[string]json.RawMessage, error)
	// SetState changes what a pipeline keeps, and returns all of it. A run that is live writes over it when it succeeds.
	SetState(ctx context.Context, id string, change StateChange) (map[string]json.RawMessage, error)

	// Schedules lists all schedules by name.
	Schedules(ctx context.Context) ([]ScheduleInfo, error)
	// Next returns the next n fires of a schedule after an instant: when slots that get a run come due, which is the
	// schedule's Delay after the slot.
	Next(ctx context.Context, name string, after time.Time, n int) ([]time.Time, error)
	// ClockChanges returns the next n local days after an instant on which clocks change and a schedule has a slot, or
	// has none because the day does not exist. It looks 50 years ahead.
	ClockChanges(ctx context.Context, name string, after time.Time, n int) ([]ClockChange, error)
	// AddSchedule adds a schedule, which the ledger keeps.
	AddSchedule(ctx context.Context, s Schedule) (ScheduleInfo, error)
	// SetEnabled enables or disables a schedule, whatever its origin; it survives restarts.
	SetEnabled(ctx context.Context, name string, enabled bool) (ScheduleInfo, error)
	// Unschedule removes a schedule of origin api; one of the manifest is refused with its place.
	Unschedule(ctx context.Context, name string) error
	// Clear removes all schedules of origin api and says what stays.
	Clear(ctx context.Context) (Cleared, error)
	// Health judges the host as a whole: the incidents that are open, and whether messages about them arrive.
	Health(ctx context.Context) (HostHealth, error)
	// ScheduleHealth judges every schedule.
	ScheduleHealth(ctx context.Context) ([]ScheduleHealth, error)
	// Alerts lists the targets of messages by name.
	Alerts(ctx context.Context) ([]AlertInfo, error)
	// TestAlert sends a test message to a target and says whether it was taken.
	TestAlert(ctx context.Context, name string) (AlertTest, error)
	// Slots returns what became of a schedule's slots, newest first.
	Slots(ctx context.Context, q SlotQuery) ([]SlotRecord, error)
	// Why tells what became of the newest slot of a schedule at or before an instant; the zero instant is now.
	Why(ctx context.Context, name string, at time.Time) (SlotStory, error)

	// StartRun asks for a run and returns once it is recorded; the run may wait its turn.
	StartRun(ctx context.Context, r RunRequest) (RunRecord, error)
	// Rerun asks for a new run of an old one, as StartRun does; steps that it does not execute again are reused. What
	// cannot be reused is an error with CodeRerun that names it.
	Rerun(ctx context.Context, r RerunRequest) (RunRecord, error)
	// RerunAll asks for reruns of all runs that a filter matches, once their number is confirmed. Another number is an
	// error with CodeMatch.
	RerunAll(ctx context.Context, r RerunAllRequest) (MatchReport, error)
	// Backfill asks for runs of slots of the past, the oldest first, and returns once they are recorded. A range that
	// cannot be used is an error with CodeBackfill.
	Backfill(ctx context.Context, r BackfillRequest) (BackfillReport, error)
	// Cancel asks a run to end. A run that has ended is an error with CodeRunEnded.
	Cancel(ctx context.Context, id RunID) (RunRecord, error)
	// CancelAll asks all runs of a pipeline to end, once their number is confirmed. Another number is an error with
	// CodeMatch.
	CancelAll(ctx context.Context, r CancelAllRequest) (MatchReport, error)
	// Runs lists runs, newest first, without their contexts and steps.
	Runs(ctx context.Context, q RunQuery) ([]RunRecord, error)
	// Run returns one run whole. The name is an id, the unambiguous beginning of one, or "@last"; behind "acme/", it is
	// looked for in that tenant alone, here and wherever a run is named.
	Run(ctx context.Context, name string) (RunRecord, error)
	// RunVersion tells what a run executes, and what has changed since the pipeline's last success before it.
	RunVersion(ctx context.Context, name string) (RunVersion, error)
	// Logs returns lines of guests, oldest first.
	Logs(ctx context.Context, q LogQuery) ([]LogLine, error)
	// Events returns recorded changes, oldest first, without contexts and outputs. An answer ends by 8 MiB, whatever the
	// limit of the query: the next one goes on after its last event.
	Events(ctx context.Context, q EventQuery) ([]Event, error)
	// Follow calls yield with each event after q.After as it is recorded, until yield returns false, ctx ends, or the
	// run of q has ended and its last event was seen.
	Follow(ctx context.Context, q EventQuery, yield func(Event) bool) error
	// Artifact opens bytes that a run put.
	Artifact(ctx context.Context, id RunID, d Digest) (io.ReadCloser, error)
}

// HostInfo tells about a host.
type HostInfo struct {
	Version   string    `json:"version"`
	PID       int       `json:"pid"`
	StartedAt time.Time `json:"started_at"`
	Manifest  string    `json:"manifest,omitempty"`
	Data      string    `json:"data"`
	Listen    string    `json:"listen,omitempty"`
	// TLS is true when the address is served by TLS.
	TLS    bool   `json:"tls,omitempty"`
	Socket string `json:"socket,omitempty"`
	// Serving is true while schedules fire.
	Serving   bool `json:"serving"`
	Pipelines int  `json:"pipelines"`
	Schedules int  `json:"schedules"`
	LiveRuns  int  `json:"live_runs"`
	// Rearmed counts slots that a sweep found and no alarm had fired for.
	Rearmed int64 `json:"rearmed"`
}

// PipelineInfo is a pipeline as a host knows it.
type PipelineInfo struct {
	ID      string `json:"id"`
	Project string `json:"project,omitempty"`
	About   string `json:"about,omitempty"`
	Owner   string `json:"owner,omitempty"`
	Label   string `json:"label,omitempty"`
	Version Digest `json:"version"`
	// Over is the manifest's version where another one runs by a rollback.
	Over Digest `json:"over,omitempty"`
	// Origin is manifest or api: api stands for one defined in code.
	Origin    Origin     `json:"origin"`
	Steps     []string   `json:"steps"`
	Schedules []string   `json:"schedules,omitempty"`
	LastRun   *RunRecord `json:"last_run,omitempty"`
	// Plan is filled in by a query for one pipeline.
	Plan *Plan `json:"plan,omitempty"`
}

// ScheduleInfo is a schedule as a host knows it.
type ScheduleInfo struct {
	Name     string `json:"name"`
	Pipeline string `json:"pipeline"`
	// Type is the kind: daily, hourly, every, weekly, monthly, cron, once. Value is the canonical text.
	Type     string `json:"type"`
	Value    string `json:"value"`
	Words    string `json:"words"`
	Timezone string `json:"timezone"`
	Enabled  bool   `json:"enabled"`
	// Drift is true when it was enabled or disabled by hand, against what is written.
	Drift   bool    `json:"drift,omitempty"`
	Origin  Origin  `json:"origin"`
	Overlap Overlap `json:"overlap"`
	SlotRules
	// Delay is how long after its slot a run starts: the schedule's share of Jitter.
	Delay Duration `json:"delay,omitempty"`
	// From and To bound the slots, both included; empty is no bound.
	From    string                     `json:"from,omitempty"`
	To      string                     `json:"to,omitempty"`
	Context map[string]json.RawMessage `json:"context,omitempty"`
	// Broken says why its runs cannot be made: its pipeline is gone, or its context does not fit any more. Its slots
	// are skipped, and there is no next run.
	Broken string `json:"broken,omitempty"`
	// NextRun is when the next slot comes due that gets a run: Delay after the slot.
	NextRun *time.Time `json:"next_run,omitempty"`
	LastRun *RunRecord `json:"last_run,omitempty"`
}

// Cleared says what clearing the schedules did.
type Cleared struct {
	Removed []string `json:"removed"`
	// Kept are the schedules of the manifest.
	Kept []string `json:"kept"`
}

// HealthStatus of a schedule.
type HealthStatus string

const (
	HealthOK       HealthStatus = "ok"
	HealthDisabled HealthStatus = "disabled" // it was disabled
	HealthBroken   HealthStatus = "broken"   // its runs cannot be made, its slots are skipped
	HealthLate     HealthStatus = "late"     // a slot has been due for more than five minutes, or there is no success by expect.by
	HealthSilent   HealthStatus = "silent"   // no success within expect.every, or no run for two days and two intervals, though slots came due
	HealthFailing  HealthStatus = "failing"  // the last run failed, or the last expect.failures runs
	HealthDrifting HealthStatus = "drifting" // runs take longer than the interval
)

// ScheduleHealth is a judgement on one schedule.
type ScheduleHealth struct {
	Schedule string       `json:"schedule"`
	Pipeline string       `json:"pipeline"`
	Status   HealthStatus `json:"status"`
	Detail   string       `json:"detail,omitempty"`
}

// RunRequest asks for a run.
type RunRequest struct {
	Pipeline string `json:"pipeline"`
	// Context overrides the pipeline's own, key by key, and is checked against its params.
	Context map[string]json.RawMessage `json:"context,omitempty"`
	// ID makes the request idempotent: a known id is answered with its run. Empty for a fresh one.
	ID RunID `json:"id,omitempty"`
}
