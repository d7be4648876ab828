package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/expr"
)

// edge says why a step waits for another.
type edge struct {
	from, to string
	at       key
	offset   int
	length   int
}

// order makes the graph of a pipeline and sorts its steps.
func (b *builder) order(at key, p *flow.Plan, src *flow.Pipeline, drafts []draft) {
	var edges []edge
	for i := range p.Steps {
		edges = append(edges, b.references(p, &p.Steps[i], drafts[i].at)...)
		edges = append(edges, b.needs(p, drafts[i])...)
	}
	edges = append(edges, b.chain(at, p, src.Order)...)
	for i := range p.Steps {
		s := &p.Steps[i]
		for _, e := range edges {
			if e.from == s.Name && !slices.Contains(s.Needs, e.to) {
				s.Needs = append(s.Needs, e.to)
			}
		}
		slices.Sort(s.Needs)
	}
	b.loose(at, p)
	edges = append(edges, hooks(p, drafts)...)
	if loop := cycle(p, edges); loop != nil {
		b.cycle(edges, loop)
		return
	}
	p.Steps = sorted(p.Steps, edges)
}

// references compiles the expressions of a step and returns an edge for each step that they name.
func (b *builder) references(p *flow.Plan, s *flow.PlanStep, at key) []edge {
	var edges []edge
	use := func(at key, refs []expr.Reference) {
		for _, r := range refs {
			edges = append(edges, edge{from: s.Name, to: r.Step, at: at.to(r.Path...), offset: r.Offset, length: r.Length})
			b.output(p, at.to(r.Path...), r)
		}
	}
	template := func(at key, t *expr.Template, err error) {
		if b.expression(at, err); err == nil {
			use(at, t.References())
		}
	}
	env := expr.PlanEnv(p, s.Name)
	scope := expr.NewScope(env)
	if s.When != "" {
		c, err := scope.Condition(s.When)
		if b.expression(at.to("when"), err); err == nil {
			use(at.to("when"), c.References())
		}
	}
	if s.Each != "" {
		env.Item = false
		t, err := expr.NewScope(env).Each(s.Each)
		template(at.to("each"), t, err)
	}
	for _, name := range slices.Sorted(maps.Keys(s.With)) {
		t, err := scope.Tree(s.With[name])
		template(at.to("with", name), t, err)
	}
	for i, arg := range s.Args {
		t, err := scope.Text(arg)
		template(at.to("args", fmt.Sprint(i)), t, err)
	}
	if s.Stdin != "" {
		t, err := scope.Text(s.Stdin)
		template(at.to("stdin"), t, err)
	}
	if s.Input != "" && s.Input != flow.InputWith {
		t, err := scope.Text(s.Input)
		template(at.to("input"), t, err)
	}
	return edges
}

// output warns of an output that the plugin's own description does not have.
func (b *builder) output(p *flow.Plan, at key, r expr.Reference) {
	known := p.Step(r.Step).Outputs
	if _, ok := known[r.Output]; ok || r.Output == "" || len(known) == 0 {
		return
	}
	b.warn(flow.CodeUnknownOutput, at, expr.DidYouMean(r.Output, slices.Sorted(maps.Keys(known))), "the plugin of step %q does not describe an output %q", r.Step, r.Output)
	last := &b.problems[len(b.problems)-1]
	last.Offset, last.Length = r.Offset, r.Length
}

func (b *builder) needs(p *flow.Plan, d draft) []edge {
	var edges []edge
	for i, name := range d.step.Needs {
		at := d.at.to("needs", fmt.Sprint(i))
		if b.known(p, at, name) {
			edges = append(edges, edge{from: d.name, to: name, at: at})
		}
	}
	return edges
}

// chain turns order into edges between neighbours.
func (b *builder) chain(at key, p *flow.Plan, order []string) []edge {
	var edges []edge
	for i, name := range order {
		here := at.to("order", fmt.Sprint(i))
		if !b.known(p, here, name) {
			continue
		}
		if slices.Contains(order[:i], name) {
			b.fail(flow.CodeUnknownStep, here, "remove one of them", "order names step %q twice", name)
			continue
		}
		if i > 0 && p.Step(order[i-1]) != nil {
			edges = append(edges, edge{from: name, to: order[i-1], at: here})
		}
	}
	return edges
}

func (b *builder) known(p *flow.Plan, at key, name string) bool {
	if p.Step(name) != nil {
		return true
	}
	var names []string
	for i := range p.Steps {
		names = append(names, p.Steps[i].Name)
	}
	b.fail(flow.CodeUnknownStep, at, expr.DidYouMean(name, names), "there is no step %q", name)
	return false
}

// loose warns of steps that nothing ties to another one; hooks wait for the end by themselves.
func (b *builder) loose(at key, p *flow.Plan) {
	tied := map[string]bool{}
	plain := 0
	for i := range p.Steps {
		s := &p.Steps[i]
		if s.On == flow.OnSuccess {
			plain++
		}
		tied[s.Name] = tied[s.Name] || len(s.Needs) > 0 || s.On != flow.OnSuccess
		for _, n := range s.Needs {
			tied[n] = true
		}
	}
	for i := range p.Steps {
		if name := p.Steps[i].Name; plain > 1 && !tied[name] {
			b.warn(flow.CodeLooseStep, at.to("steps", name), fmt.Sprintf(`say what it waits for: needs = ["STEP"], or order on pipeline %q`, at[1]), "step %q is tied to no other; it starts at once", name)
			b.problems[len(b.problems)-1].OnKey = true
		}
	}
}

// hooks are the edges of steps for failure or always that name no step: they wait for every step that is no hook.
func hooks(p *flow.Plan, drafts []draft) []edge {
	var edges []edge
	for i := range p.Steps {
		if p.Steps[i].On == flow.OnSuccess || len(p.Steps[i].Needs) > 0 {
			continue
		}
		for j := range p.Steps {
			if p.Steps[j].On == flow.OnSuccess {
				edges = append(edges, edge{from: p.Steps[i].Name, to: p.Steps[j].Name, at: drafts[i].at.to("on")})
			}
		}
	}
	return edges
}

// cycle returns the names of a loop in the order of waiting, or nil.
func cycle(p *flow.Plan, edges []edge) []string {
	next := map[string][]string{}
	for _, e := range edges {
		next[e.from] = append(next[e.from], e.to)
	}
	const open, closed = 1, 2
	state := map[string]int{}
	var trail []string
	var visit func(string) []string
	visit = func(name string) []string {
		switch state[name] {
		case open:
			return slices.Clone(trail[slices.Index(trail, name):])
		case closed:
			return nil
		}
		state[name], trail = open, append(trail, name)
		for _, to := range next[name] {
			if loop := visit(to); loop != nil {
				return loop
			}
		}
		state[name], trail = closed, trail[:len(trail)-1]
		return nil
	}
	for i := range p.Steps {
		if loop := visit(p.Steps[i].Name); loop != nil {
			return loop
		}
	}
	return nil
}

// cycle reports a loop at its first link.
func (b *builder) cycle(edges []edge, loop []string) {
	to := loop[1%len(loop)]
	for _, e := range edges {
		if e.from == loop[0] && e.to == to {
			p := b.fail(flow.CodeCycle, e.at, "one of these links must go", "steps wait for one another: %s", strings.Join(append(loop, loop[0]), " -> "))
			p.Offset, p.Length = e.offset, e.length
			return
		}
	}
}

// sorted puts every step after those that it waits for; ties go by name. The edges have no cycle.
func sorted(steps []flow.PlanStep, edges []edge) []flow.PlanStep {
	waits := map[string]map[string]bool{}
	for _, e := range edges {
		if waits[e.from] == nil {
			waits[e.from] = map[string]bool{}
		}
		waits[e.from][e.to] = true
	}
	rest, out := slices.Clone(steps), make([]flow.PlanStep, 0, len(steps))
	for len(rest) > 0 {
		i := slices.IndexFunc(rest, func(s flow.PlanStep) bool { return len(waits[s.Name]) == 0 })
		name := rest[i].Name
		out, rest = append(out, rest[i]), slices.Delete(rest, i, i+1)
		for _, names := range waits {
			delete(names, name)
		}
	}
	return out
}
