package run

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/failpoint"
)

// item executes the attempts of one call: of a step, or of one element of a step with each (e is nil otherwise). It
// returns the call's outcome and the events of its last attempt, which the caller records together with what follows
// from them. The error is the ledger's.
func (x *execution) item(ctx context.Context, s *stepState, e *element) (outcome, []flow.Event, error) {
	number, failures, due := 0, 0, time.Time{}
	for i := range s.earlier {
		a := &s.earlier[i]
		lost := a.Outcome == "" || a.Reason == flow.ReasonLost
		switch {
		case !sameItem(a.Item, e):
			continue
		case lost: // it does not count
		case a.RetryAt == nil: // it was the last one
			return outcome{ending: a.Ending, outputs: outputs{named: a.Outputs}}, nil, nil
		default:
			failures++
			due = *a.RetryAt
		}
		number = max(number, a.Attempt)
	}
	input, ending, ok := x.input(ctx, s, e)
	if !ok {
		return outcome{ending: ending}, nil, nil
	}
	for {
		p := x.turn(ctx, s, due)
		if p == nil {
			return outcome{ending: faultEnding(flow.EndFault(ctx))}, nil, nil
		}
		number++
		end, event, err := x.attempt(ctx, s, e, input, number, p)
		p.end()
		if err != nil {
			return end.outcome, nil, err
		}
		if end.ending.Outcome == flow.Failed {
			failures++
		}
		if !end.retry || failures >= max(1, s.step.Retry.Attempts) || ctx.Err() != nil {
			return end.outcome, []flow.Event{event}, nil //nolint:nilerr // how ctx ended is in the event
		}
		due = time.Now().Add(max(backoff(s.step.Retry.Backoff, failures), end.retryAfter))
		retryAt := due
		event.RetryAt = &retryAt
		if err := x.commit(event); err != nil {
			return end.outcome, nil, err
		}
	}
}

func sameItem(item *int, e *element) bool {
	if item == nil || e == nil {
		return item == nil && e == nil
	}
	return *item == e.index
}

// backoff is the wait after the n-th failure: anywhere between the smallest wait and its n-th doubling, so that
// many that failed together do not come back together.
func backoff(b flow.Backoff, n int) time.Duration {
	top := b.Min
	for range n {
		if top >= b.Max/2 {
			top = b.Max
			break
		}
		top *= 2
	}
	if top <= b.Min {
		return b.Min
	}
	return b.Min + rand.N(top-b.Min) //nolint:gosec // jitter is no secret
}

// input is what all attempts of a call share.
type input struct {
	with  map[string]json.RawMessage
	stdin json.RawMessage
	args  []string
}

// input evaluates the step's condition and bindings; false means that the call ends as returned.
func (x *execution) input(ctx context.Context, s *stepState, e *element) (input, flow.Ending, bool) {
	values, p := x.values(s), s.program
	if e != nil {
		values.Item, values.Index = e.value, e.index
	}
	if p.when != nil {
		ok, err := p.when.Bool(ctx, values)
		switch {
		case err != nil:
			return input{}, expressionFailed(ctx, fmt.Sprintf("when of step %q", s.step.Name), err), false
		case !ok:
			return input{}, flow.Ending{Outcome: flow.Skipped, Reason: flow.ReasonCondition, Message: "the condition is false: " + s.step.When}, false
		}
	}
	in, err := p.bind(ctx, values)
	if err != nil {
		return input{}, expressionFailed(ctx, fmt.Sprintf("step %q", s.step.Name), err), false
	}
	if why := x.misfit(s.step.Shape.With, in.with); why != "" {
		return input{}, flow.Ending{Outcome: flow.Failed, Reason: flow.ReasonInput, Message: fmt.Sprintf("with of step %q: plugin %q does not take that: %s", s.step.Name, s.step.Plugin, why)}, false
	}
	return in, flow.Ending{}, true
}

// misfit says why values do not fit a schema of a plugin; empty when they do.
func (x *execution) misfit(schema json.RawMessage, values map[string]json.RawMessage) string {
	if len(schema) == 0 || x.runner.config.Misfit == nil {
		return ""
	}
	return x.runner.config.Misfit(schema, values)
}

// attemptEnd is how one attempt ended, and whether another may follow.
type attemptEnd struct {
	outcome
	usage      flow.Usage
	state      map[string]json.RawMessage // written to the pipeline's
	retry      bool
	retryAfter time.Duration
}

// attempt makes one try: records its start, calls the module, and returns its ending with the event that is to be
// recorded.
func (x *execution) attempt(ctx context.Context, s *stepState, e *element, in input, number int, p *place) (attemptEnd, flow.Event, error) {
	if err := x.commit(x.attemptEvent(flow.AttemptStarted, s, e, number)); err != nil {
		return attemptEnd{}, flow.Event{}, err
	}
	failpoint.Here(failpoint.Step)
	end := x.try(ctx, s, e, in, number, p)
	failpoint.Here(failpoint.Result)
	event := x.attemptEvent(flow.AttemptEnded, s, e, number)
	event.Ending, event.Outputs, event.Usage, event.State = end.ending, end.outputs.named, &end.usage, end.state
	return end, event, nil
}

// try calls the module once there is a place for it.
func (x *execution) try(ctx context.Context, s *stepState, e *element, in input, number int, p *place) attemptEnd {
	if !p.begin(ctx) {
		return x.broken(ctx, s, context.Cause(ctx))
	}
	message := fmt.Sprintf("step %q took longer than %s, its timeout.step, %s", s.step.Name, s.step.Timeout, setBy(s.step.SetBy["timeout"]))
	limited, cancel := context.WithTimeoutCause(ctx, s.step.Timeout.Std(), &flow.Fault{Reason: flow.ReasonTimeout, Message: message})
	defer cancel()
	return x.call(limited, s, e, in, number)
}

func (x *execution) attemptEvent(kind flow.EventKind, s *stepState, e *element, number int) flow.Event {
	event := x.event(kind, s)
	event.Attempt = number
	if e != nil {
		event.Item = &e.index
	}
	return event
}

// turn waits until an attempt of a step is due, and then for its turn; nil when ctx ends first.
func (x *execution) turn(ctx context.Context, s *stepState, due time.Time) *place {
	if wait := time.Until(due); wait > 0 {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil
		}
	}
	return x.runner.config.Turns.take(ctx, x.plan.Tenant, s.step.Limits.Memory)
}

// call loads the module, calls it and reads its answer. A panic of the host's own code ends the attempt, not the host.
func (x *execution) call(ctx context.Context, s *stepState, e *element, in input, number int) (end attemptEnd) {
	defer func() {
		if p := recover(); p != nil {
			x.runner.config.Logger.Error("panic in an attempt", slog.String("run", string(x.claimed.Run.ID)), slog.String("step", s.step.Name), slog.Any("err", p))
			end = attemptEnd{outcome: outcome{ending: flow.Ending{Outcome: flow.Failed, Reason: flow.ReasonInternal, Message: "a fault of the host ended the attempt; the host's log holds the details"}}}
		}
	}()
	plugin := x.plan.Plugins[s.step.Plugin]
	module, err := x.runner.config.Load(ctx, plugin)
	if err != nil {
		if e, ok := errors.AsType[*flow.Error](err); !ok || e.Op == "" { // else it says so itself
			err = fmt.Errorf("load plugin %q: %w", plugin.Name, err)
		}
		return x.broken(ctx, s, err)
	}
	var kept consumed
	result, err := x.serve(ctx, module, s, x.newCall(ctx, s, e, in, number), &kept)
	if err != nil {
		end = x.broken(ctx, s, err)
	} else {
		end = x.answered(s, result)
	}
	kept.add(&end)
	if o := end.ending.Outcome; o == flow.Succeeded || o == flow.Skipped {
		end.state = kept.written()
	}
	return end
}

// serve makes the call. Its log lines are recorded when it returns, however it does.
func (x *execution) serve(ctx context.Context, module flow.Module, s *stepState, call flow.Call, kept *consumed) (flow.Result, error) {
	host, closeHost := x.open(ctx, s, call, kept)
	defer x.logs.flush()
	defer closeHost()
	return module.Call(ctx, call, host)
}

// open builds the host side of one attempt.
func (x *execution) open(ctx context.Context, s *stepState, call flow.Call, kept *consumed) (flow.HostCalls, func()) {
	line := flow.LogLine{Tenant: x.plan.Tenant, Run: x.claimed.Run.ID, Step: s.step.Name, Item: call.Context.ItemIndex, Attempt: call.Context.Attempt}
	return x.runner.config.Open(ctx, Attempt{
		Call:   call,
		Plugin: x.plan.Plugins[s.step.Plugin],
		Known:  x.knownArtifacts(),
		Log: func(l flow.LogLine) {
			l.Tenant, l.Run, l.Step, l.Item, l.Attempt = line.Tenant, line.Run, line.Step, line.Item, line.Attempt
			kept.log.Add(int64(len(l.Message)))
			x.logs.add(l)
		},
		Progress: func(permille int, message string) { x.progress(s, call, permille, message) },
		Put: func(d flow.Digest, size int64) {
			kept.artifacts.Add(size)
			x.put(d)
		},
		Egress: func(bytes int64) { kept.egress.Add(bytes) },
		State: func(ctx context.Context) (map[string]json.RawMessage, error) {
			return x.runner.config.Ledger.State(ctx, x.plan.Tenant, x.plan.Pipeline, x.claimed.Run.ID)
		},
		Wrote: kept.write,
		Emit: func(_ context.Context, e flow.EmittedEvent) error {
			event := x.event(flow.EventEmitted, s)
			event.Item, event.Attempt = call.Context.ItemIndex, call.Context.Attempt
			var err error
			if event.Detail, err = json.Marshal(e); err != nil {
				return fmt.Errorf("encode the event: %w", err)
			}
			return x.commit(event)
		},
	})
}

// progress records a heartbeat; a ledger that refuses it will refuse the ending too, which is not to be overlooked.
func (x *execution) progress(s *stepState, call flow.Call, permille int, message string) {
	event := x.event(flow.StepProgress, s)
	event.Item, event.Attempt, event.Message = call.Context.ItemIndex, call.Context.Attempt, message
	event.Detail = json.RawMessage(fmt.Sprintf(`{"permille":%d}`, permille))
	if err := x.commit(event); err != nil {
		x.runner.config.Logger.Warn("progress not recorded", slog.String("run", string(x.claimed.Run.ID)), slog.String("step", s.step.Name), slog.Any("err", err))
	}
}

// newCall is what the sandbox of one attempt is given.
func (x *execution) newCall(ctx context.Context, s *stepState, e *element, in input, number int) flow.Call {
	run := &x.claimed.Run
	deadline, _ := ctx.Deadline()
	c := flow.RunContext{
		ABI: flow.RunContextABI, Tenant: run.Tenant, Project: x.plan.Project, Pipeline: run.Pipeline, Version: run.Version, Label: x.plan.Label,
		RunID: run.ID, Step: s.step.Name, Function: s.step.Function, Attempt: number, MaxAttempts: max(1, s.step.Retry.Attempts, number),
		Trigger: run.Trigger.Kind, Schedule: run.Trigger.Schedule, ScheduledAt: run.Trigger.ScheduledAt.UTC(),
		IntervalStart: run.Trigger.IntervalStart, IntervalEnd: run.Trigger.IntervalEnd,
		StartedAt: x.claimed.StartedAt.UTC(), Deadline: deadline.UTC(), LastSuccessAt: x.claimed.LastSuccessAt,
		Context: run.Context, With: in.with, Features: x.runner.config.Features,
	}
	index := ""
	if e != nil {
		c.Item, c.ItemIndex, index = e.value, &e.index, fmt.Sprint(e.index)
	}
	sum := sha256.Sum256([]byte(string(run.ID) + "\x00" + s.step.Name + "\x00" + index))
	c.IdempotencyKey = hex.EncodeToString(sum[:16])
	sampled := x.runner.config.Sampled != nil && x.runner.config.Sampled(run.ID)
	c.Traceparent = flow.Traceparent(run.ID, s.step.Name, c.ItemIndex, number, sampled)
	return flow.Call{Context: c, Args: in.args, Stdin: in.stdin, Stdout: s.step.Stdout, Limits: s.step.Limits, Grace: grace}
}

// grace is what a guest may use to end by itself after the end was asked for.
const grace = flow.Duration(2 * time.Second)

// broken is the end of an attempt whose sandbox broke.
func (x *execution) broken(ctx context.Context, s *stepState, err error) attemptEnd {
	if fault, ok := errors.AsType[*flow.Fault](err); ok {
		fault = limited(s.step, fault)
		return attemptEnd{outcome: outcome{ending: faultEnding(fault)}, usage: fault.Usage, retry: fault.Reason.Retryable()}
	}
	if fault := flow.EndFault(ctx); fault != nil {
		return attemptEnd{outcome: outcome{ending: faultEnding(fault)}, retry: fault.Reason.Retryable()}
	}
	reason := flow.ReasonInternal
	message := err.Error()
	if e, ok := errors.AsType[*flow.Error](err); ok {
		reason = flow.ReasonInvalid
		if e.Hint != "" {
			message += "; " + e.Hint
		}
	}
	return attemptEnd{outcome: outcome{ending: flow.Ending{Outcome: flow.Failed, Reason: reason, Message: message}}, retry: reason.Retryable()}
}

// answered is the end of an attempt in which the plugin had its say.
func (x *execution) answered(s *stepState, r flow.Result) attemptEnd {
	end := attemptEnd{usage: r.Usage}
	message := r.Message
	if r.Code != "" {
		message = r.Code + ": " + message
	}
	switch r.Verdict {
	case flow.VerdictOK:
		end.ending = flow.Ending{Outcome: flow.Succeeded}
	case flow.VerdictSkip:
		end.ending = flow.Ending{Outcome: flow.Skipped, Reason: flow.ReasonPlugin, Message: message}
	case flow.VerdictPermanent:
		end.ending = flow.Ending{Outcome: flow.Failed, Reason: flow.ReasonPermanent, Message: message}
		return end
	default:
		reason := flow.ReasonPlugin
		if r.ExitCode != nil {
			reason = flow.ReasonExit
		}
		end.ending = flow.Ending{Outcome: flow.Failed, Reason: reason, Message: message}
		end.retry = true
		if r.Verdict == flow.VerdictRetry {
			end.retryAfter = r.RetryAfter.Std()
		}
		return end
	}
	if name, bad := x.foreignArtifact(r.Outputs); bad {
		end.ending = flow.Ending{Outcome: flow.Failed, Reason: flow.ReasonOutput, Message: fmt.Sprintf("output %q of step %q names an artifact that this run neither received nor put", name, s.step.Name)}
		return end
	}
	if why := x.misfit(s.step.Shape.Outputs, r.Outputs); why != "" && r.Verdict == flow.VerdictOK {
		end.ending = flow.Ending{Outcome: flow.Failed, Reason: flow.ReasonOutput, Message: fmt.Sprintf("the outputs of step %q are not what plugin %q says that they are: %s", s.step.Name, s.step.Plugin, why)}
		return end
	}
	end.outputs.named = r.Outputs
	return end
}
