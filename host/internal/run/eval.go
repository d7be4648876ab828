package run

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/expr"
)

// program is a plan's expressions, compiled. It is shared by all runs of the plan.
type program struct {
	when  *expr.Condition
	steps map[string]*stepProgram
}

// stepProgram is a step's expressions; nil where there is none.
type stepProgram struct {
	when  *expr.Condition
	each  *expr.Template
	with  map[string]*expr.Template
	stdin *expr.Template // or input
	args  []*expr.Template
	whole bool // with is the input
}

// maxPrograms bounds the plans whose expressions are kept compiled.
const maxPrograms = 1024

// programs keeps compiled plans by digest.
type programs struct {
	mu   sync.Mutex
	kept map[flow.Digest]*program
}

// of returns the program of a plan. Plans are checked before they are recorded, so an error means that the record is
// of another version of the host.
func (ps *programs) of(plan *flow.Plan) (*program, error) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if p := ps.kept[plan.Digest]; p != nil {
		return p, nil
	}
	p, err := compile(plan)
	if err != nil {
		return nil, err
	}
	if len(ps.kept) >= maxPrograms || ps.kept == nil {
		ps.kept = map[flow.Digest]*program{}
	}
	ps.kept[plan.Digest] = p
	return p, nil
}

func compile(plan *flow.Plan) (*program, error) {
	p := &program{steps: map[string]*stepProgram{}}
	if plan.When != "" {
		var err error
		if p.when, err = expr.NewScope(expr.PlanEnv(plan, "")).Condition(plan.When); err != nil {
			return nil, fmt.Errorf("when of pipeline %q: %w", plan.ID(), err)
		}
	}
	for i := range plan.Steps {
		s, err := compileStep(plan, &plan.Steps[i])
		if err != nil {
			return nil, fmt.Errorf("step %q: %w", plan.Steps[i].Name, err)
		}
		p.steps[plan.Steps[i].Name] = s
	}
	return p, nil
}

func compileStep(plan *flow.Plan, step *flow.PlanStep) (*stepProgram, error) {
	env := expr.PlanEnv(plan, step.Name)
	scope, p := expr.NewScope(env), &stepProgram{with: map[string]*expr.Template{}}
	var err error
	if step.When != "" {
		if p.when, err = scope.Condition(step.When); err != nil {
			return nil, fmt.Errorf("when: %w", err)
		}
	}
	if step.Each != "" {
		list := env
		list.Item = false
		if p.each, err = expr.NewScope(list).Each(step.Each); err != nil {
			return nil, fmt.Errorf("each: %w", err)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(step.With)) {
		if p.with[key], err = scope.Tree(step.With[key]); err != nil {
			return nil, fmt.Errorf("with.%s: %w", key, err)
		}
	}
	if step.Stdin != "" {
		if p.stdin, err = scope.Text(step.Stdin); err != nil {
			return nil, fmt.Errorf("stdin: %w", err)
		}
	}
	if p.whole = step.Input == flow.InputWith; step.Input != "" && !p.whole {
		if p.stdin, err = scope.Text(step.Input); err != nil {
			return nil, fmt.Errorf("input: %w", err)
		}
	}
	for i, arg := range step.Args {
		t, err := scope.Text(arg)
		if err != nil {
			return nil, fmt.Errorf("args[%d]: %w", i, err)
		}
		p.args = append(p.args, t)
	}
	return p, nil
}

// bind evaluates what the attempts of a call share.
func (p *stepProgram) bind(ctx context.Context, v *expr.Values) (input, error) {
	in := input{with: make(map[string]json.RawMessage, len(p.with))}
	for _, key := range slices.Sorted(maps.Keys(p.with)) {
		raw, err := p.with[key].JSON(ctx, v)
		if err != nil {
			return in, fmt.Errorf("with.%s: %w", key, err)
		}
		in.with[key] = raw
	}
	for i, arg := range p.args {
		text, err := arg.Text(ctx, v)
		if err != nil {
			return in, fmt.Errorf("args[%d]: %w", i, err)
		}
		in.args = append(in.args, text)
	}
	if p.stdin != nil {
		raw, err := p.stdin.JSON(ctx, v)
		if err != nil {
			return in, fmt.Errorf("stdin: %w", err)
		}
		in.stdin = raw
	}
	if p.whole {
		raw, err := json.Marshal(in.with)
		if err != nil {
			return in, fmt.Errorf("input: %w", err)
		}
		in.stdin = raw
	}
	return in, nil
}

// values are what a step's expressions see; nil stands for the pipeline's own condition. Of other steps only those
// are read that the step waits for: they have ended.
func (x *execution) values(s *stepState) *expr.Values {
	run := &x.claimed.Run
	v := &expr.Values{
		Context: run.Context,
		Run: expr.Run{
			ID: string(run.ID), Tenant: run.Tenant, Project: x.plan.Project, Pipeline: run.Pipeline, Version: string(run.Version), Label: x.plan.Label,
			Trigger: string(run.Trigger.Kind), Schedule: run.Trigger.Schedule, ScheduledAt: run.Trigger.ScheduledAt, StartedAt: x.claimed.StartedAt,
			IntervalStart: run.Trigger.IntervalStart, IntervalEnd: run.Trigger.IntervalEnd,
		},
		Steps: map[string]expr.Outputs{},
	}
	if s == nil {
		return v
	}
	v.Failed = s.failed
	for _, name := range x.plan.Before(s.step) {
		if p := x.states[name]; p.ending.Outcome == flow.Succeeded || p.ending.Outcome == flow.Skipped {
			v.Steps[name] = expr.Outputs{Named: p.outputs.named, List: p.outputs.list}
		}
	}
	return v
}
