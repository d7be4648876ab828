// Package run executes one run of a plan: steps in order or side by side, conditions, fan-out, retries, deadlines,
// outputs, and hooks at the end.
//
// It alone decides to retry. It reaches plugins, services and the ledger through what its Config holds, and must not
// know which runtime or which store stands behind them. Every change is recorded before it counts.
package run

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// Ledger is where a run's changes are recorded; both methods are durable when they return.
type Ledger interface {
	// Commit records events under the claim, all or none; flow.ErrStale when the claim is no longer good.
	Commit(ctx context.Context, claim flow.Claim, events ...flow.Event) error
	// State returns what the steps of a run see of the state of its pipeline.
	State(ctx context.Context, tenant, pipeline string, run flow.RunID) (map[string]json.RawMessage, error)
	// AppendLogs records lines of guests.
	AppendLogs(ctx context.Context, lines []flow.LogLine) error
}

// Attempt is what the services need to know to serve one attempt.
type Attempt struct {
	Call flow.Call
	// Plugin is what the attempt executes: its grant and secrets are those of the attempt.
	Plugin flow.PlanPlugin
	// Known are the artifacts that the run has received or put.
	Known []flow.Digest
	// Log takes a line; the runner fills in whose it is. It does not block.
	Log func(flow.LogLine)
	// Progress takes a heartbeat.
	Progress func(permille int, message string)
	// Put hears of each artifact that the attempt put, and of its size.
	Put func(flow.Digest, int64)
	// Egress hears of the bytes of HTTP that the attempt sent and received.
	Egress func(bytes int64)
	// State reads what the pipeline keeps, as the run sees it. Wrote hears of each change that the attempt makes, nil for a
	// deletion, and Emit records an event. None of the three is set where there is no ledger.
	State func(ctx context.Context) (map[string]json.RawMessage, error)
	Wrote func(key string, value json.RawMessage)
	Emit  func(ctx context.Context, e flow.EmittedEvent) error
}

// Config wires a Runner.
type Config struct {
	// Load returns the module of a plugin, from a cache where it can.
	Load func(ctx context.Context, p flow.PlanPlugin) (flow.Module, error)
	// Open returns the host side of one attempt; ctx is the attempt's. The returned function ends it: it is called
	// once, after the guest, and its log lines are complete when it returns.
	Open func(ctx context.Context, a Attempt) (flow.HostCalls, func())
	// Ledger records.
	Ledger Ledger
	// Misfit says why values do not have the shape that a JSON Schema of a plugin asks for; empty when they have. Nil does
	// not look.
	Misfit func(schema json.RawMessage, values map[string]json.RawMessage) string
	// Turns bounds the attempts that execute at one time, over all runs. Nil is no bound.
	Turns *Turns
	// Features are the names of services that guests find in their run context.
	Features []string
	// Sampled says whether the trace of a run is sent to somebody, which guests are told. Nil is no.
	Sampled func(flow.RunID) bool
	Logger  *slog.Logger
}

// Runner executes runs. It is safe for concurrent use.
type Runner struct {
	config   Config
	programs programs
}

// New returns a Runner.
func New(c Config) *Runner { return &Runner{config: c} }

// cleanupTime bounds the hooks of a run that was cancelled or ran out of time, so that a stop ends.
const cleanupTime = time.Minute

// Run executes a claimed run and returns how it ended, with the events of its last step, which are to be recorded together
// with that. Steps that an earlier epoch finished keep their outputs. It returns within the grace of its steps and the time
// of its hooks after ctx ends; a cause of ctx that is a *flow.Fault names the reason. The error is that of the ledger: the
// run then has no ending yet.
func (r *Runner) Run(ctx context.Context, plan *flow.Plan, claimed flow.Claimed) (flow.Ending, []flow.Event, error) {
	program, err := r.programs.of(plan)
	if err != nil {
		return flow.Ending{Outcome: flow.Failed, Reason: flow.ReasonExpression, Message: err.Error()}, nil, nil
	}
	message := fmt.Sprintf("the run took longer than %s, its timeout.run, %s", plan.Timeout, setBy(plan.TimeoutFrom))
	limited, cancel := context.WithTimeoutCause(ctx, plan.Timeout.Std(), &flow.Fault{Reason: flow.ReasonTimeout, Message: message})
	defer cancel()
	x := newExecution(r, plan, program, claimed)
	defer x.logs.close()
	if ending, skip := x.condition(limited); skip {
		return ending, nil, nil
	}
	if err := x.steps(limited); err != nil {
		return flow.Ending{}, nil, err
	}
	return x.ending(limited), x.last, nil
}

// condition evaluates the pipeline's when; true means that the run ends as returned. A run that is resumed
// in a step has passed it before; steps that a rerun has taken over were never started in it.
func (x *execution) condition(ctx context.Context) (flow.Ending, bool) {
	started := func(s flow.StepRecord) bool { return len(s.Attempts) > 0 }
	if x.program.when == nil || slices.ContainsFunc(x.claimed.Steps, started) {
		return flow.Ending{}, false
	}
	ok, err := x.program.when.Bool(ctx, x.values(nil))
	switch {
	case err != nil:
		return expressionFailed(ctx, fmt.Sprintf("when of pipeline %q", x.plan.ID()), err), true
	case !ok:
		return flow.Ending{Outcome: flow.Skipped, Reason: flow.ReasonCondition, Message: "the condition of the pipeline is false: " + x.plan.When}, true
	}
	return flow.Ending{}, false
}

// ending sums the steps up.
func (x *execution) ending(ctx context.Context) flow.Ending {
	if fault := flow.EndFault(ctx); fault != nil {
		return faultEnding(fault)
	}
	for i := range x.plan.Steps {
		s := x.states[x.plan.Steps[i].Name]
		if s.ending.Outcome == flow.Failed {
			return flow.Ending{Outcome: flow.Failed, Reason: flow.ReasonStep, Message: fmt.Sprintf("step %q failed: %s", s.step.Name, s.ending.Message)}
		}
	}
	return flow.Ending{Outcome: flow.Succeeded}
}

// faultEnding turns a fault into an ending: what was asked to end is cancelled, all else has failed.
func faultEnding(f *flow.Fault) flow.Ending {
	outcome := flow.Failed
	switch f.Reason {
	case flow.ReasonRequest, flow.ReasonStop, flow.ReasonReplaced:
		outcome = flow.Cancelled
	default:
	}
	message := f.Message
	if f.Hint != "" {
		message += "; " + f.Hint
	}
	return flow.Ending{Outcome: outcome, Reason: f.Reason, Message: message}
}
