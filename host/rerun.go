package host

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// Rerun asks for a new run of an old one, with the pipeline as it is now, and returns once it is recorded. It has the
// context and the slot of the old run, waits its turn, and is never coalesced. The recorded outputs of the steps that
// are not executed again are reused; what cannot be is an error with flow.CodeRerun that names it.
func (h *Host) Rerun(ctx context.Context, r flow.RerunRequest) (flow.RunRecord, error) {
	if h.config.ReadOnly {
		return flow.RunRecord{}, errReadOnly("rerun a run")
	}
	if old, err := h.Run(ctx, r.Run); err == nil {
		h.preload(ctx, flow.ID(old.Tenant, old.Pipeline))
	}
	h.view.RLock()
	defer h.view.RUnlock()
	p, offer, err := h.again(ctx, &r)
	if err != nil {
		return flow.RunRecord{}, err
	}
	return h.take(ctx, p, offer, opRerun(offer.Run.Trigger.Of))
}

func opRerun(old flow.RunID) string { return "rerun run " + string(old) }

// again returns the offer of a rerun, and its plan.
func (h *Host) again(ctx context.Context, r *flow.RerunRequest) (*flow.Plan, flow.Offer, error) {
	old, err := h.Run(ctx, r.Run)
	if err != nil {
		return nil, flow.Offer{}, err
	}
	e, err := h.known(flow.ID(old.Tenant, old.Pipeline))
	if err != nil {
		return nil, flow.Offer{}, err
	}
	steps, err := takeOver(&e.plan, &old, r)
	if err != nil {
		return nil, flow.Offer{}, err
	}
	if err := h.haveArtifacts(ctx, &old, steps); err != nil {
		return nil, flow.Offer{}, err
	}
	values := map[string]json.RawMessage{}
	maps.Copy(values, old.Context)
	maps.Copy(values, r.Context)
	merged, err := checkContext(&e.plan, values, opRerun(old.ID))
	if err != nil {
		return nil, flow.Offer{}, err
	}
	run := flow.Run{ID: flow.NewRunID(time.Now()), Tenant: e.plan.Tenant, Pipeline: e.plan.Pipeline, Version: e.plan.Digest, Trigger: old.Trigger, Context: merged}
	run.Trigger.Kind, run.Trigger.Of = flow.TriggerRerun, old.ID
	return &e.plan, flow.Offer{Run: run, Steps: steps}, nil
}

// repeat is one decision about which steps of a run are executed again.
type repeat struct {
	plan     *flow.Plan
	old      *flow.RunRecord
	recorded map[string]*flow.StepRecord
	again    map[string]bool
}

// takeOver returns the steps of a plan that a rerun does not execute, as the old run has them.
func takeOver(p *flow.Plan, old *flow.RunRecord, r *flow.RerunRequest) ([]flow.StepRecord, error) {
	x := &repeat{plan: p, old: old, recorded: map[string]*flow.StepRecord{}, again: map[string]bool{}}
	for i := range old.Steps {
		x.recorded[old.Steps[i].Name] = &old.Steps[i]
	}
	if old.State != flow.StateEnded {
		return nil, x.refuse("uniflow runs cancel "+string(old.ID)+", or wait for its end", "it has not ended")
	}
	step := cmp.Or(r.FromStep, r.OnlyStep)
	switch {
	case r.FromStep != "" && r.OnlyStep != "", step != "" && r.Failed:
		return nil, errOneOfThree(opRerun(old.ID))
	case step != "":
		if err := x.begin(step); err != nil {
			return nil, err
		}
	case r.Failed:
		if err := x.beginFailed(); err != nil {
			return nil, err
		}
	default:
		return nil, nil
	}
	if r.OnlyStep == "" {
		x.spread()
	}
	return x.others(r.OnlyStep)
}

func errOneOfThree(op string) error {
	return &flow.Error{Code: flow.CodeRequest, Op: op, Message: "only one of from_step, only_step and failed can be asked for", Hint: "leave out the others"}
}

// begin makes a step the one to execute: it must be one of the plan, and what it needs must have succeeded.
func (x *repeat) begin(name string) error {
	s := x.plan.Step(name)
	if s == nil {
		return noStep(x.plan, name)
	}
	if s.On == flow.OnFailure {
		return x.refuse("uniflow runs rerun "+string(x.old.ID)+" --failed", "step %q runs after a failure only, and a failure is not reused", name)
	}
	for _, need := range s.Needs {
		if r := x.recorded[need]; r == nil || s.On == flow.OnSuccess && r.Outcome != flow.Succeeded {
			return x.refuse(x.from(need), "step %q needs the outputs of step %q, and there are none: %s", name, need, standingOf(r))
		}
	}
	x.again[name] = true
	return nil
}

func noStep(p *flow.Plan, name string) error {
	names := make([]string, len(p.Steps))
	for i := range names {
		names[i] = p.Steps[i].Name
	}
	return notFound(fmt.Sprintf("step of pipeline %q with the name", p.ID()), name, names)
}

// beginFailed makes all steps that did not succeed those to execute.
func (x *repeat) beginFailed() error {
	for i := range x.plan.Steps {
		if name := x.plan.Steps[i].Name; !reusable(x.recorded[name]) {
			x.again[name] = true
		}
	}
	if len(x.again) > 0 {
		return nil
	}
	var gone []string
	for name, r := range x.recorded {
		if x.plan.Step(name) == nil && !reusable(r) {
			gone = append(gone, name)
		}
	}
	if len(gone) > 0 {
		slices.Sort(gone)
		return x.refuse("uniflow runs rerun "+string(x.old.ID), "the pipeline does not have the steps any more that failed: %q", gone)
	}
	return x.refuse("uniflow runs rerun "+string(x.old.ID), "none of its steps failed")
}

// spread adds all that comes after the steps to execute.
func (x *repeat) spread() {
	for more := true; more; {
		more = false
		for i := range x.plan.Steps {
			s := &x.plan.Steps[i]
			if !x.again[s.Name] && slices.ContainsFunc(x.plan.Before(s), func(name string) bool { return x.again[name] }) {
				x.again[s.Name], more = true, true
			}
		}
	}
}

// others returns what is taken over. Where one step alone is executed, the others that have no outputs are skipped.
func (x *repeat) others(only string) ([]flow.StepRecord, error) {
	var taken []flow.StepRecord
	for i := range x.plan.Steps {
		s := &x.plan.Steps[i]
		r := x.recorded[s.Name]
		switch {
		case x.again[s.Name]:
		case only != "" && (r == nil || r.Outcome != flow.Succeeded):
			ending := flow.Ending{Outcome: flow.Skipped, Reason: flow.ReasonRequest, Message: fmt.Sprintf("only step %q was asked for", only)}
			taken = append(taken, flow.StepRecord{Name: s.Name, State: flow.StateEnded, Ending: ending})
		case !reusable(r):
			return nil, x.refuse(x.from(s.Name), "step %q is not executed again, and has no outputs to reuse: %s", s.Name, standingOf(r))
		case s.Each == "" && r.List != nil, s.Each != "" && len(r.Outputs) > 0:
			return nil, x.refuse(x.from(s.Name), "the outputs of step %q cannot be reused: it has got or lost its `each` since", s.Name)
		default:
			taken = append(taken, flow.StepRecord{Name: s.Name, State: flow.StateEnded, Ending: r.Ending, Reused: cmp.Or(r.Reused, x.old.ID), Outputs: r.Outputs, List: r.List})
		}
	}
	return taken, nil
}

// reusable reports whether a recorded step can stand for an executed one: it succeeded, or a rule skipped it.
func reusable(r *flow.StepRecord) bool {
	if r == nil || r.Outcome != flow.Skipped {
		return r != nil && r.Outcome == flow.Succeeded
	}
	return r.Reason == flow.ReasonCondition || r.Reason == flow.ReasonPlugin || r.Reason == flow.ReasonUpstream
}

// standingOf says why a recorded step cannot be reused.
func standingOf(r *flow.StepRecord) string {
	if r == nil {
		return "the run never came to it"
	}
	return fmt.Sprintf("it ended as %s (%s)", r.Outcome, r.Reason)
}

// from is the command that executes a step again too.
func (x *repeat) from(step string) string {
	return fmt.Sprintf("uniflow runs rerun %s --from-step %s, or --failed", x.old.ID, step)
}

func (x *repeat) refuse(hint, format string, args ...any) error {
	return &flow.Error{Code: flow.CodeRerun, Op: opRerun(x.old.ID), Message: fmt.Sprintf(format, args...), Hint: hint}
}

// haveArtifacts refuses a rerun of outputs whose artifacts are gone.
func (h *Host) haveArtifacts(ctx context.Context, old *flow.RunRecord, steps []flow.StepRecord) error {
	for i := range steps {
		for name, value := range steps[i].NamedOutputs() {
			for _, d := range flow.ArtifactsIn(value) {
				content, err := h.blobs.Get(ctx, old.Tenant, d)
				if err == nil {
					err = content.Close()
				}
				if errors.Is(err, flow.ErrNotFound) {
					return &flow.Error{Code: flow.CodeRerun, Op: opRerun(old.ID), Message: fmt.Sprintf("output %q of step %q cannot be reused: its artifact %s is gone", name, steps[i].Name, d.Short()), Hint: fmt.Sprintf("uniflow runs rerun %s --from-step %s", old.ID, steps[i].Name)}
				}
				if err != nil {
					return fmt.Errorf("artifact of step %q of run %s: %w", steps[i].Name, old.ID, err)
				}
			}
		}
	}
	return nil
}
