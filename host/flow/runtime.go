package flow

import (
	"context"
	"encoding/json"
	"io"
	"time"
)

// RunContext is all that a guest may know: the JSON document "uniflow.run/1" of docs/ABI.md.
type RunContext struct {
	ABI            string                     `json:"abi"`
	Tenant         string                     `json:"tenant"`
	Project        string                     `json:"project"`
	Pipeline       string                     `json:"pipeline"`
	Version        Digest                     `json:"version"`
	Label          string                     `json:"label"`
	RunID          RunID                      `json:"run_id"`
	Step           string                     `json:"step"`
	Function       string                     `json:"function"`
	Attempt        int                        `json:"attempt"`
	MaxAttempts    int                        `json:"max_attempts"`
	IdempotencyKey string                     `json:"idempotency_key"`
	Trigger        TriggerKind                `json:"trigger"`
	Schedule       string                     `json:"schedule"`
	ScheduledAt    time.Time                  `json:"scheduled_at"`
	IntervalStart  *time.Time                 `json:"interval_start"`
	IntervalEnd    *time.Time                 `json:"interval_end"`
	StartedAt      time.Time                  `json:"started_at"`
	Deadline       time.Time                  `json:"deadline"`
	LastSuccessAt  *time.Time                 `json:"last_success_at"`
	Context        map[string]json.RawMessage `json:"context"`
	With           map[string]json.RawMessage `json:"with"`
	Item           json.RawMessage            `json:"item"`
	ItemIndex      *int                       `json:"item_index"`
	Features       []string                   `json:"features"`
	Traceparent    string                     `json:"traceparent,omitempty"`
}

// RunContextABI is the value of RunContext.ABI.
const RunContextABI = "uniflow.run/1"

// Call is one attempt of a step: what a sandbox is given.
type Call struct {
	Context RunContext `json:"context"`
	// Args are argv[1:] of a command module.
	Args []string `json:"args,omitempty"`
	// Stdin, if not nil, replaces the run context: on standard input of a command module, and as the input of a plugin of
	// Extism. It stands for the bytes of a JSON string, for such a plugin also for those of an artifact; any other JSON is
	// taken as it is.
	Stdin json.RawMessage `json:"stdin,omitempty"`
	// Stdout is the strict reading of standard output: json, text, log, or empty for the default.
	Stdout string `json:"stdout,omitempty"`
	Limits Limits `json:"limits"`
	// Grace is how long a guest may go on after ctx has ended, to end by itself. Zero kills it at once.
	Grace Duration `json:"grace,omitempty"`
}

// Verdict is the kind of a plugin's own answer; the numbers are those of the ABI.
type Verdict int

const (
	VerdictOK        Verdict = 0
	VerdictFailed    Verdict = 1
	VerdictSkip      Verdict = 2
	VerdictRetry     Verdict = 3
	VerdictPermanent Verdict = 4
)

// Result is what a plugin said at the end of an attempt.
type Result struct {
	Verdict Verdict `json:"verdict"`
	// ExitCode is set where a command or process ended with a code other than 0.
	ExitCode *int `json:"exit_code,omitempty"`
	// Code and Message are the plugin's words for why.
	Code    string `json:"code,omitempty"`
	Message string `json:"message,omitempty"`
	// RetryAfter is the wait that the plugin asked for; only VerdictRetry has one.
	RetryAfter Duration `json:"retry_after,omitempty"`
	// Outputs by name; each value is valid JSON.
	Outputs map[string]json.RawMessage `json:"outputs,omitempty"`
	Usage   Usage                      `json:"usage"`
}

// Usage is what an attempt consumed; a field that a runtime cannot know is zero.
type Usage struct {
	// Memory is the peak of the guest's memory.
	Memory Size `json:"memory,omitempty"`
	// Fuel is the guest's work in the units of the ABI.
	Fuel int64 `json:"fuel,omitempty"`
	// HostCalls counts calls from the guest to the host.
	HostCalls int64 `json:"host_calls,omitempty"`
	// Output is the sum of the outputs that were kept, Log of the log lines that were, and Artifacts of what was put.
	Output    Size `json:"output,omitempty"`
	Log       Size `json:"log,omitempty"`
	Artifacts Size `json:"artifacts,omitempty"`
	// Egress is what http.request sent and received, with headers.
	Egress Size `json:"egress,omitempty"`
}

// Fault is the error of a sandbox that broke: the plugin had no say. Module.Call returns nothing else, except where
// the host itself is at fault.
type Fault struct {
	Reason Reason
	// Message says what happened, with limit, value and where the limit was set, without paths or stacks of the host.
	Message string
	Hint    string
	Usage   Usage
	Err     error
}

// Error returns the message.
func (f *Fault) Error() string { return f.Message }

// Unwrap returns the cause.
func (f *Fault) Unwrap() error { return f.Err }

// Runtime loads plugins of one kind. It is safe for concurrent use.
type Runtime interface {
	// Load prepares the plugin, or answers from a cache by digest and grant. The bytes are checked against the digest
	// before anything of them is used. The error is an *Error with a code UF2xxx when the plugin cannot be loaded.
	Load(ctx context.Context, p PlanPlugin) (Module, error)
	// Close ends all that the runtime keeps: modules, processes, caches.
	Close(ctx context.Context) error
}

// Module is a loaded plugin. It is safe for concurrent use; each Call has a fresh sandbox.
type Module interface {
	// Call executes one attempt and returns the plugin's own verdict, or a *Fault when the sandbox broke. It returns
	// within call.Grace and a bounded time after ctx ends; context.Cause(ctx) then decides between ReasonTimeout
	// (context.DeadlineExceeded) and the reason of a *Fault given as cause, else ReasonRequest. A result that arrives
	// after ctx ended is a fault all the same.
	Call(ctx context.Context, call Call, host HostCalls) (Result, error)
}

// Warmer is a Module that can prepare for an attempt.
type Warmer interface {
	// Warm sees that the next attempt of the call's tenant need not wait for an instance or a process; of the call, only
	// its tenant and its limits count. It executes nothing of the plugin but its initialisation. An error means that the
	// attempt will have to wait, or will say more.
	Warm(ctx context.Context, call Call) error
}

// HostCalls is the host side of the ABI for one attempt, already narrowed to its grants. It is safe for concurrent
// use, and never calls back into the guest. Outputs and the recorded failure are not here: the runtime collects
// them next to the guest and returns them in the Result.
type HostCalls interface {
	// Log records a line of the guest. Over the limit it is counted, not kept. It never blocks on the ledger.
	Log(level LogLevel, message string)
	// Progress records a heartbeat, 0 to 1000, and reports whether the attempt is being cancelled.
	Progress(permille int, message string) (cancelled bool)
	// Artifact stores what r yields and returns its reference; over the limit the error is ErrTooLarge.
	Artifact(ctx context.Context, name, mediaType string, r io.Reader) (ArtifactRef, error)
	// Open reads an artifact that this run received or put; anything else is ErrNotFound.
	Open(ctx context.Context, ref ArtifactRef) (io.ReadCloser, error)
	// Call asks a service. A *ServiceError carries the errno that the guest sees.
	Call(ctx context.Context, op string, request, body []byte) (response []byte, err error)
}

// ServiceError is a refusal of a service, with the errno of the ABI (positive) and what `call_read` then yields.
type ServiceError struct {
	Errno   int    `json:"-"`
	Code    string `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// Error returns the message.
func (e *ServiceError) Error() string { return e.Message }

// ArtifactRef stands for bytes that are too large for JSON, in outputs and in with.
type ArtifactRef struct {
	Digest Digest `json:"$artifact"`
	Size   int64  `json:"size"`
	Type   string `json:"type,omitempty"`
}

// Blobs keeps artifacts by content, apart per tenant. Both methods are safe for concurrent use.
type Blobs interface {
	// Put stores what r yields, at most limit bytes, durably before it returns; over the limit nothing is kept and
	// the error is ErrTooLarge.
	Put(ctx context.Context, tenant string, r io.Reader, limit int64) (Digest, int64, error)
	// Get opens the bytes of a digest, or ErrNotFound. What is read is checked against the digest at the end.
	Get(ctx context.Context, tenant string, d Digest) (io.ReadCloser, error)
}

// LogLevel of a guest's log line; the numbers are those of the ABI.
type LogLevel int

const (
	LogTrace LogLevel = 0
	LogDebug LogLevel = 1
	LogInfo  LogLevel = 2
	LogWarn  LogLevel = 3
	LogError LogLevel = 4
)

// String returns the word for the level.
func (l LogLevel) String() string {
	if l < LogTrace || l > LogError {
		return "info"
	}
	return [...]string{"trace", "debug", "info", "warn", "error"}[l]
}
