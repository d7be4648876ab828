// Package sdktest runs a step inside a Go test, without a sandbox: the author
// of a plugin gives a run context and looks at outputs, log lines and the
// verdict. It settles an attempt by the same rules as the host, but it is no
// sandbox: time, memory and files are those of the test.
package sdktest

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/uniflow-dev/uniflow/sdk"
	"github.com/uniflow-dev/uniflow/sdk/abi"
)

// Input is what the step is given. The zero value is a first attempt by hand
// without context and inputs.
type Input struct {
	Run     abi.RunContext // defaults are filled in; the fields below win over it
	Context any            // what the caller gave the run, as JSON
	With    any            // the step's inputs, as JSON
	Item    any            // the element of a fan-out, as JSON; sets the index to 0 where there is none
	Limits  abi.Limits     // defaults to those of the contract

	// HTTP answers requests; an error is a server that does not answer, unless
	// it wraps an abi.Errno. Without it, every request is denied.
	HTTP func(abi.HTTPRequest) (abi.HTTPResponse, error)
	// Secrets are those that the step may read; any other is denied.
	Secrets map[string]string
	// State is what the pipeline keeps, as JSON by key.
	State map[string]any
	// Artifacts are contents that the step may read by their Ref.
	Artifacts [][]byte
	// Call answers calls of services in place of the above, as raw bytes. What
	// it answers with abi.UnknownOp, the above answers.
	Call func(op string, request, body []byte) ([]byte, error)
	// Cancel makes every Progress report that the attempt is being cancelled.
	Cancel bool
}

// Log is one line that the step logged.
type Log struct {
	Level   abi.Level
	Message string
}

// Result is what the step did.
type Result struct {
	Verdict  abi.Verdict
	Outputs  map[string]json.RawMessage // empty unless the step succeeded or skipped
	Logs     []Log
	Permille []int // every Progress, in thousandths

	Requests  []abi.HTTPRequest          // in the order in which they were made
	State     map[string]json.RawMessage // what the step left of it
	Artifacts map[string][]byte          // what the step put, by name
	Events    []Event
}

// Run runs a step once. The error is about the Input alone: a step that fails
// is a Result.
func Run(step func(*uniflow.Context) error, in Input) (Result, error) {
	run, err := in.context()
	if err != nil {
		return Result{}, fmt.Errorf("sdktest: %w", err)
	}
	h := &host{input: in, attempt: abi.NewAttempt(in.Limits)}
	if h.services, err = newServices(&h.input, &h.result); err != nil {
		return Result{}, fmt.Errorf("sdktest: %w", err)
	}
	kind := uniflow.Execute(h, run, step)
	h.result.Verdict = h.attempt.Settle(int32(kind))
	if k := h.result.Verdict.Kind; k == abi.KindOK || k == abi.KindSkip {
		h.result.Outputs = h.attempt.Outputs()
	}
	return h.result, nil
}

// Output stores a named output in the value that v points to. It fails when
// there is no such output.
func (r Result) Output(name string, v any) error {
	value, ok := r.Outputs[name]
	if !ok {
		return fmt.Errorf("sdktest: no output %q (the step ended as %s: %s)", name, r.Verdict.Kind, r.Verdict.Message)
	}
	return json.Unmarshal(value, v)
}

// context returns the run context as the step would read it from the host.
func (in Input) context() (abi.RunContext, error) {
	run := in.Run
	for _, part := range []struct {
		name  string
		value any
		into  *json.RawMessage
	}{{"context", in.Context, &run.Context}, {"with", in.With, &run.With}, {"item", in.Item, &run.Item}} {
		if part.value == nil {
			continue
		}
		doc, err := json.Marshal(part.value)
		if err != nil {
			return run, fmt.Errorf("%s: %w", part.name, err)
		}
		*part.into = doc
	}
	if in.Item != nil && run.ItemIndex == nil {
		run.ItemIndex = new(int)
	}
	run = defaults(run)
	doc, err := run.Encode()
	if err != nil {
		return run, err
	}
	return abi.DecodeRunContext(doc)
}

func defaults(run abi.RunContext) abi.RunContext {
	for field, value := range map[*string]string{
		&run.Tenant: "default", &run.Pipeline: "test", &run.RunID: "test", &run.Step: "test",
		&run.Trigger: "manual", &run.IdempotencyKey: "test",
	} {
		if *field == "" {
			*field = value
		}
	}
	run.Attempt = max(run.Attempt, 1)
	run.MaxAttempts = max(run.MaxAttempts, run.Attempt)
	if run.StartedAt.IsZero() {
		run.StartedAt = time.Now().UTC()
	}
	return run
}

// host is the other side of the step's Context.
type host struct {
	input   Input
	attempt *abi.Attempt
	result  Result

	services *services
}

func (h *host) Output(name string, value []byte) error { return h.attempt.Output(name, value).Err() }

func (h *host) Log(level abi.Level, message string) {
	h.result.Logs = append(h.result.Logs, Log{level, message})
}

func (h *host) Fail(kind abi.Kind, message []byte) { h.attempt.Fail(kind, message) }

func (h *host) Progress(permille int, _ string) bool {
	h.result.Permille = append(h.result.Permille, permille)
	return h.input.Cancel
}

func (h *host) Call(op string, request, body []byte) ([]byte, error) {
	return h.services.answer(op, request, body)
}
