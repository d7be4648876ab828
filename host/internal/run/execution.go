package run

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// execution is one run under way. Its coordinator, the goroutine in steps, alone changes states; a step's goroutine
// reads the states of the steps before it, which have ended.
type execution struct {
	runner  *Runner
	plan    *flow.Plan
	program *program
	claimed flow.Claimed
	states  map[string]*stepState
	logs    *logWriter
	// last are the events of the step that ended last: the caller records them with the run's end.
	last []flow.Event

	mu    sync.Mutex
	known map[flow.Digest]bool // artifacts that the run has received or put
}

// stepState is what the coordinator knows of a step.
type stepState struct {
	step    *flow.PlanStep
	program *stepProgram
	state   flow.State
	outcome
	// earlier are the attempts of an earlier epoch of the run.
	earlier []flow.AttemptRecord
	// failed are the steps that had failed when this one began; hooks may ask for them.
	failed []string
	// last tells that no other step was left when this one began.
	last bool
}

// outcome is how a step ended, and with what.
type outcome struct {
	ending  flow.Ending
	outputs outputs
}

// ended is a step's message to the coordinator; err is the ledger's, events are not recorded yet.
type ended struct {
	step *stepState
	outcome
	events []flow.Event
	err    error
}

func newExecution(r *Runner, plan *flow.Plan, p *program, claimed flow.Claimed) *execution {
	x := &execution{
		runner: r, plan: plan, program: p, claimed: claimed,
		states: map[string]*stepState{}, known: map[flow.Digest]bool{},
		logs: newLogWriter(r.config.Ledger, r.config.Logger),
	}
	for i := range plan.Steps {
		step := &plan.Steps[i]
		x.states[step.Name] = &stepState{step: step, program: p.steps[step.Name], state: flow.StateQueued}
	}
	for _, v := range claimed.Run.Context {
		x.learn(v)
	}
	for i := range claimed.Steps {
		x.recall(&claimed.Steps[i])
	}
	return x
}

// recall takes over what an earlier epoch recorded of a step.
func (x *execution) recall(record *flow.StepRecord) {
	s := x.states[record.Name]
	if s == nil {
		return
	}
	s.earlier = record.Attempts
	x.learnAll(record.Outputs)
	for _, v := range record.List {
		x.learn(v)
	}
	for i := range record.Attempts {
		x.learnAll(record.Attempts[i].Outputs)
	}
	if record.State == flow.StateEnded {
		s.state = flow.StateEnded
		s.outcome = outcome{ending: record.Ending, outputs: outputs{named: record.Outputs, list: record.List}}
		if s.step.Each != "" && s.ending.Outcome == flow.Succeeded && s.outputs.list == nil {
			s.outputs.list = []json.RawMessage{} // a record does not hold an empty list
		}
	}
}

// steps runs the graph until every step has ended. A ledger that refuses ends everything: what cannot be recorded
// must not go on.
func (x *execution) steps(ctx context.Context) error {
	work, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	hooks, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), x.plan.Timeout.Std()+cleanupTime, &flow.Fault{Reason: flow.ReasonTimeout, Message: "the hooks took too long"})
	defer cancel()
	// Hooks outlive a cancelled run by cleanupTime.
	unhook := context.AfterFunc(ctx, func() { time.AfterFunc(cleanupTime, cancel) })
	defer unhook()

	done := make(chan ended, 1)
	live := 0
	var failure error
	for {
		if failure == nil {
			n, err := x.startReady(work, hooks, done)
			live += n
			failure = err
		}
		if failure != nil {
			stop(&flow.Fault{Reason: flow.ReasonInternal, Message: "the ledger refused a record", Err: failure})
			cancel()
		}
		if live == 0 {
			return failure
		}
		e := <-done
		live--
		if e.err != nil && failure == nil {
			failure = e.err
		}
		e.step.state, e.step.outcome = flow.StateEnded, e.outcome
		x.last = e.events
	}
}

// startReady starts or skips every step whose turn has come, and returns how many it started.
func (x *execution) startReady(work, hooks context.Context, done chan<- ended) (int, error) {
	started := 0
	for again := true; again; {
		again = false
		for i := range x.plan.Steps {
			s := x.states[x.plan.Steps[i].Name]
			if s.state != flow.StateQueued {
				continue
			}
			switch decision, ending := x.decide(work, s); decision {
			case waits:
			case skips:
				if err := x.skip(s, ending); err != nil {
					return started, err
				}
				again = true
			case runs:
				s.state, s.failed, s.last = flow.StateRunning, x.failed(), x.left() == 1
				ctx := work
				if s.step.On != flow.OnSuccess {
					ctx = hooks
				}
				started++
				if s.last { // nothing else is to be coordinated
					done <- x.step(ctx, s)
					return started, nil
				}
				go func() { done <- x.step(ctx, s) }()
			}
		}
	}
	return started, nil
}

// decision is what to do with a step that has not begun.
type decision int

const (
	waits decision = iota
	skips
	runs
)

// decide applies the step's `on` to the endings of the steps before it.
func (x *execution) decide(work context.Context, s *stepState) (decision, flow.Ending) {
	before := x.plan.Before(s.step)
	var failed, other string
	for _, name := range before {
		p := x.states[name]
		switch {
		case p.state != flow.StateEnded:
			return waits, flow.Ending{}
		case p.ending.Outcome == flow.Failed && failed == "":
			failed = name
		case p.ending.Outcome != flow.Succeeded && other == "":
			other = name
		}
	}
	fault := flow.EndFault(work)
	if fault != nil && fault.Reason == flow.ReasonStop {
		return skips, faultSkip(fault)
	}
	switch s.step.On {
	case flow.OnAlways:
		return runs, flow.Ending{}
	case flow.OnFailure:
		if failed == "" {
			return skips, flow.Ending{Outcome: flow.Skipped, Reason: flow.ReasonCondition, Message: "no step failed"}
		}
		return runs, flow.Ending{}
	default:
	}
	if bad := cmp.Or(failed, other); bad != "" {
		return skips, flow.Ending{Outcome: flow.Skipped, Reason: flow.ReasonUpstream, Message: fmt.Sprintf("step %q did not succeed", bad)}
	}
	if fault != nil {
		return skips, faultSkip(fault)
	}
	return runs, flow.Ending{}
}

func faultSkip(f *flow.Fault) flow.Ending {
	return flow.Ending{Outcome: flow.Skipped, Reason: f.Reason, Message: f.Message}
}

// skip ends a step that never began.
func (x *execution) skip(s *stepState, ending flow.Ending) error {
	s.state, s.ending = flow.StateEnded, ending
	event := x.event(flow.StepEnded, s)
	event.Ending = ending
	return x.commit(event)
}

// recordTime bounds one record of the ledger.
const recordTime = 30 * time.Second

// commit records events, also when the run is being cancelled: endings are history.
func (x *execution) commit(events ...flow.Event) error {
	ctx, cancel := context.WithTimeout(context.Background(), recordTime)
	defer cancel()
	if err := x.runner.config.Ledger.Commit(ctx, x.claimed.Claim, events...); err != nil {
		return fmt.Errorf("record %s of run %s: %w", events[0].Kind, x.claimed.Run.ID, err)
	}
	return nil
}

// event begins an event of a step.
func (x *execution) event(kind flow.EventKind, s *stepState) flow.Event {
	return flow.Event{
		At: time.Now(), Kind: kind, Tenant: x.plan.Tenant, Pipeline: x.plan.Pipeline,
		Run: x.claimed.Run.ID, Epoch: x.claimed.Claim.Epoch, Step: s.step.Name,
	}
}

// left counts the steps that have not ended. Only the coordinator calls it.
func (x *execution) left() int {
	n := 0
	for _, s := range x.states {
		if s.state != flow.StateEnded {
			n++
		}
	}
	return n
}

// failed returns the names of the steps that have failed so far, in the plan's order. Only the coordinator calls it.
func (x *execution) failed() []string {
	names := []string{}
	for i := range x.plan.Steps {
		if s := x.states[x.plan.Steps[i].Name]; s.state == flow.StateEnded && s.ending.Outcome == flow.Failed {
			names = append(names, s.step.Name)
		}
	}
	return names
}
