package gofunc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/sdk/abi"
)

// Call is what a function knows and how it answers. It is safe for concurrent use; after the attempt has ended its
// methods change nothing and answer abi.Cancelled.
type Call struct {
	flow.RunContext

	host  flow.HostCalls
	calls atomic.Int64

	mu      sync.Mutex
	attempt *abi.Attempt
	ended   bool
}

// Output sets a named output to v as JSON; the last one of a name wins. The error wraps an abi.Errno: abi.TooLarge over
// the output limit, abi.Invalid for a name or value that is no text or no JSON.
func (c *Call) Output(name string, v any) error {
	value, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("output %q: %w: %w", name, abi.Invalid, err)
	}
	return c.OutputJSON(name, value)
}

// OutputJSON is Output for a value that is JSON already; it is kept byte by byte.
func (c *Call) OutputJSON(name string, value json.RawMessage) error {
	c.calls.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return fmt.Errorf("output %q: %w", name, abi.Cancelled)
	}
	if err := c.attempt.Output(name, value).Err(); err != nil {
		return fmt.Errorf("output %q of %d bytes: %w", name, len(value), err)
	}
	return nil
}

// Log records a line.
func (c *Call) Log(level flow.LogLevel, message string) {
	c.calls.Add(1)
	if !c.over() {
		c.host.Log(level, abi.ClipMessage(message))
	}
}

// Progress records a heartbeat, 0 to 1000, and reports whether the attempt is being cancelled.
func (c *Call) Progress(permille int, message string) (cancelled bool) {
	c.calls.Add(1)
	return c.over() || c.host.Progress(permille, abi.ClipMessage(message))
}

// Artifact stores what r yields and returns its reference, to be set as an output; over the limit the error is
// flow.ErrTooLarge.
func (c *Call) Artifact(ctx context.Context, name, mediaType string, r io.Reader) (flow.ArtifactRef, error) {
	c.calls.Add(1)
	if c.over() {
		return flow.ArtifactRef{}, abi.Cancelled
	}
	return c.host.Artifact(ctx, name, mediaType, r)
}

// Open reads an artifact that this run received or put; anything else is flow.ErrNotFound.
func (c *Call) Open(ctx context.Context, ref flow.ArtifactRef) (io.ReadCloser, error) {
	c.calls.Add(1)
	if c.over() {
		return nil, abi.Cancelled
	}
	return c.host.Open(ctx, ref)
}

// Services asks the services of the host, each call bounded by ctx.
func (c *Call) Services(ctx context.Context) abi.Services {
	return abi.NewServices(func(op string, request, body []byte) ([]byte, error) {
		answer, err := c.Call(ctx, op, request, body)
		if e, ok := errors.AsType[*flow.ServiceError](err); ok {
			return nil, &abi.Refusal{Op: op, Errno: abi.Errno(e.Errno), Code: e.Code, Message: e.Message, Hint: e.Hint}
		}
		return answer, err
	})
}

// Call asks a service of the host; body is the part of the request that is not JSON. A refusal is a
// *flow.ServiceError.
func (c *Call) Call(ctx context.Context, op string, request, body []byte) ([]byte, error) {
	c.calls.Add(1)
	if c.over() {
		return nil, abi.Cancelled
	}
	return c.host.Call(ctx, op, request, body)
}

func (c *Call) over() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ended
}

// close ends the attempt for a function that may still run.
func (c *Call) close() flow.Usage {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	return flow.Usage{HostCalls: c.calls.Load()}
}

// result is the answer of a function that returned in time. A failure has no outputs; a skip keeps them.
func (c *Call) result(err error, usage flow.Usage) flow.Result {
	r := flow.Result{Usage: usage}
	if err != nil {
		end := abi.EndingOf(err)
		r.Verdict, r.Code, r.Message = flow.Verdict(end.Kind), end.Code, abi.ClipMessage(end.Error())
		if r.Verdict == flow.VerdictRetry {
			r.RetryAfter = flow.Duration(min(max(end.After, 0), abi.MaxRetryAfter))
		}
	}
	if r.Verdict == flow.VerdictOK || r.Verdict == flow.VerdictSkip {
		r.Outputs = c.attempt.Outputs()
	}
	return r
}

// Ending is an error that says how a step wants to end. Any other error is a failure under the step's retry policy.
type Ending = abi.Ending
