package flow

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"strings"
	"time"
)

// RunID names a run. It has the form of a ULID: 26 characters of Crockford's base 32, a time of milliseconds first,
// so that ids sort by time.
type RunID string

// NewRunID returns a fresh id for a run that is asked for at t.
func NewRunID(t time.Time) RunID {
	var tail [10]byte
	// crypto/rand.Read never fails: the runtime ends the process when the system has no randomness.
	_, _ = rand.Read(tail[:])
	return ulid(t, tail)
}

// SlotRunID returns the id of the run for a slot. It depends on its arguments only, so that a slot offered twice, by a
// restarted or a second host, is one run.
func SlotRunID(tenant, pipeline, schedule string, slot time.Time) RunID {
	h := sha256.New()
	for _, part := range []string{tenant, pipeline, schedule, slot.UTC().Format(time.RFC3339Nano)} {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(part)))
		h.Write(n[:])
		h.Write([]byte(part))
	}
	var tail [10]byte
	copy(tail[:], h.Sum(nil))
	return ulid(slot, tail)
}

// Valid reports whether the id has the form of one.
func (id RunID) Valid() bool {
	return len(id) == 26 && strings.Trim(string(id), crockford) == ""
}

// For returns the id that stands for id in a tenant: what one who is of the tenant may choose. It keeps the time and
// hashes the rest, so that no choice is the id of another tenant's run, present or to come.
func (id RunID) For(tenant string) RunID {
	h := sha256.New()
	h.Write([]byte("tenant\x00" + tenant + "\x00" + string(id)))
	var tail [10]byte
	copy(tail[:], h.Sum(nil))
	return id[:10] + ulid(time.UnixMilli(0), tail)[10:]
}

const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// ulid encodes 48 bits of milliseconds and 80 bits of tail (github.com/ulid/spec).
func ulid(t time.Time, tail [10]byte) RunID {
	var text [26]byte
	ms := uint64(max(t.UnixMilli(), 0))
	for i := 9; i >= 0; i-- {
		text[i] = crockford[ms&31]
		ms >>= 5
	}
	hi, lo := binary.BigEndian.Uint64(append([]byte{0, 0, 0}, tail[:5]...)), binary.BigEndian.Uint64(append([]byte{0, 0, 0}, tail[5:]...))
	for i := 7; i >= 0; i-- {
		text[10+i], text[18+i] = crockford[hi&31], crockford[lo&31]
		hi, lo = hi>>5, lo>>5
	}
	return RunID(text[:])
}

// TriggerKind says why a run exists.
type TriggerKind string

const (
	TriggerSchedule TriggerKind = "schedule" // a slot came due
	TriggerCatchup  TriggerKind = "catchup"  // a slot of a downtime, or of a time in which its schedule was disabled, is made up for
	TriggerManual   TriggerKind = "manual"   // a person or a program asked
	TriggerRerun    TriggerKind = "rerun"    // a new run of an old one
	TriggerBackfill TriggerKind = "backfill" // a slot of the past was asked for
)

// Trigger is why a run exists, and for which slot.
type Trigger struct {
	Kind TriggerKind `json:"kind"`
	// Schedule is the name of the schedule, for slots.
	Schedule string `json:"schedule,omitempty"`
	// ScheduledAt is the slot's instant; without a slot, the time of asking. A rerun has that of the run it is linked to.
	ScheduledAt time.Time `json:"scheduled_at"`
	// IntervalStart and IntervalEnd are the slot before this one and this one, where a schedule has them.
	IntervalStart *time.Time `json:"interval_start,omitempty"`
	IntervalEnd   *time.Time `json:"interval_end,omitempty"`
	// Of is the run that a rerun is a new run of; of a backfill, the run that its slot had, if there was one.
	Of RunID `json:"of,omitempty"`
}

// Run is one execution of a plan, as it is asked for.
type Run struct {
	ID       RunID   `json:"id"`
	Tenant   string  `json:"tenant"`
	Pipeline string  `json:"pipeline"`
	Version  Digest  `json:"version"`
	Trigger  Trigger `json:"trigger"`
	// Context is complete: defaults, pipeline, schedule and --set merged, params checked. Lists of runs leave it out.
	Context map[string]json.RawMessage `json:"context,omitzero"`
}

// State of a run, step or attempt.
type State string

const (
	StateQueued  State = "queued"
	StateRunning State = "running"
	StateEnded   State = "ended"
)

// Outcome of what has ended; empty before.
type Outcome string

const (
	Succeeded Outcome = "succeeded"
	Failed    Outcome = "failed"
	Skipped   Outcome = "skipped"
	Cancelled Outcome = "cancelled"
)

// Reason is the machine code of why something ended as it did; empty for a plain success.
type Reason string

const (
	ReasonPlugin      Reason = "plugin"       // the plugin said so
	ReasonPermanent   Reason = "permanent"    // the plugin said so, and that a retry is useless
	ReasonExit        Reason = "exit"         // a command or process ended with an exit code that means failure
	ReasonTimeout     Reason = "timeout"      // a time limit was reached
	ReasonTrap        Reason = "trap"         // a guest fault
	ReasonPanic       Reason = "panic"        // a Go function or process panicked
	ReasonMemory      Reason = "memory"       // the memory limit was reached
	ReasonStack       Reason = "stack"        // the call stack was exhausted
	ReasonFuel        Reason = "fuel"         // the fuel budget was used up
	ReasonOutputLimit Reason = "output_limit" // the outputs exceed their limit
	ReasonOutput      Reason = "output"       // the outputs are not what they must be (not JSON, unknown artifact)
	ReasonDenied      Reason = "denied"       // a grant is missing
	ReasonInvalid     Reason = "invalid"      // the plugin cannot be loaded; of a slot: its run cannot be made
	ReasonCrashed     Reason = "crashed"      // the process of the plugin, or its worker, died
	ReasonLost        Reason = "lost"         // the host that executed it died
	ReasonInput       Reason = "input"        // the inputs are not what the plugin says that it takes
	ReasonExpression  Reason = "expression"   // a condition or reference could not be evaluated
	ReasonCondition   Reason = "condition"    // a when condition was false
	ReasonUpstream    Reason = "upstream"     // a step that it needs did not succeed
	ReasonStep        Reason = "step"         // of a run: a step failed
	ReasonOverlap     Reason = "overlap"      // the pipeline had a live run
	ReasonReplaced    Reason = "replaced"     // a newer slot took its place
	ReasonRequest     Reason = "request"      // a person or a program asked for the end
	ReasonStop        Reason = "stop"         // the host stopped
	ReasonDowntime    Reason = "downtime"     // the host was not running
	ReasonStart       Reason = "start"        // it could not start in time
	ReasonPaused      Reason = "paused"       // the schedule was disabled
	ReasonCalendar    Reason = "calendar"     // the schedule does not run on that day
	ReasonQuota       Reason = "quota"        // a bound on waiting runs, or a quota of the tenant, was reached
	ReasonInternal    Reason = "internal"     // a fault of the host itself
)

// Retryable reports whether an attempt that failed for r may be tried again under a retry policy.
func (r Reason) Retryable() bool {
	switch r {
	case ReasonPermanent, ReasonDenied, ReasonInvalid, ReasonFuel, ReasonMemory, ReasonOutputLimit, ReasonOutput, ReasonInput, ReasonExpression:
		return false
	}
	return true
}

// Ending is how a run, step or attempt ended.
type Ending struct {
	Outcome Outcome `json:"outcome,omitempty"`
	Reason  Reason  `json:"reason,omitempty"`
	// Message is for people: what happened, where, and what to do.
	Message string `json:"message,omitempty"`
}
