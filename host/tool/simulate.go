package tool

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/uniflow-dev/uniflow/host"
	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/project"
	"github.com/uniflow-dev/uniflow/host/internal/simulate"
)

// Rehearsal says what Simulate rehearses.
type Rehearsal struct {
	// From and To bound the slots: [From, To).
	From, To time.Time
	// Durations of runs by the id of the pipeline. Defaults to the median of the runs that were recorded, and to a
	// minute where there are none.
	Durations map[string]time.Duration
}

const (
	assumedDuration = time.Minute // of the runs of which nothing is known
	recentRuns      = 200         // of a pipeline, that the median is taken of
)

// Simulate rehearses the schedules of a manifest on a virtual clock; nothing runs, and nothing is changed.
func Simulate(ctx context.Context, t Target, r Rehearsal) (flow.SimulateReport, error) {
	p, err := project.Load(ctx, t.manifest(), project.Options{})
	if err != nil {
		return flow.SimulateReport{}, err
	}
	zone, err := time.LoadLocation(p.Timezone())
	if err != nil {
		return flow.SimulateReport{}, fmt.Errorf("load the host's zone: %w", err)
	}
	in := simulate.Input{From: r.From, To: r.To, Zone: zone, Durations: map[string]time.Duration{}}
	disabled := []string{}
	scheduled := map[string]*flow.Plan{}
	plans := p.AllPlans()
	for i := range plans {
		plan := &plans[i]
		for _, s := range plan.Schedules {
			if !s.Enabled {
				disabled = append(disabled, flow.ID(plan.Tenant, s.Name))
				continue
			}
			in.Schedules = append(in.Schedules, simulate.Schedule{Tenant: plan.Tenant, PlanSchedule: s})
			scheduled[plan.ID()] = plan
		}
	}
	if err := knownPipelines(plans, r.Durations); err != nil {
		return flow.SimulateReport{}, err
	}
	pipelines, err := durations(ctx, t, p, scheduled, r.Durations)
	if err != nil {
		return flow.SimulateReport{}, err
	}
	for i := range pipelines {
		in.Durations[pipelines[i].Pipeline] = pipelines[i].Duration.Std()
	}
	report, err := simulate.Run(in)
	if err != nil {
		return report, err
	}
	report.Manifest, report.Disabled, report.Pipelines = t.manifest(), disabled, pipelines
	loads(&report)
	return report, nil
}

// knownPipelines refuses durations of pipelines that the manifest does not have.
func knownPipelines(plans []flow.Plan, given map[string]time.Duration) error {
	var names []string
	for i := range plans {
		names = append(names, plans[i].ID())
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if slices.Contains(names, name) {
			continue
		}
		hint := "the manifest has no pipelines"
		if len(names) > 0 {
			hint = "did you mean: " + slices.MinFunc(names, func(a, b string) int {
				return cmp.Or(cmp.Compare(flow.EditDistance(a, name), flow.EditDistance(b, name)), strings.Compare(a, b))
			})
		}
		return &flow.Error{Code: flow.CodeNotFound, Message: fmt.Sprintf("a duration is given for pipeline %q, which is not in the manifest", name), Hint: hint}
	}
	return nil
}

// durations says how long the runs of the scheduled pipelines take, and how that is known; sorted by id.
func durations(ctx context.Context, t Target, p *project.Project, scheduled map[string]*flow.Plan, given map[string]time.Duration) ([]flow.SimulatedPipeline, error) {
	history, done, err := recordedBy(ctx, t, p)
	if err != nil {
		return nil, err
	}
	defer done()
	all := []flow.SimulatedPipeline{}
	for _, id := range slices.Sorted(maps.Keys(scheduled)) {
		s := flow.SimulatedPipeline{Pipeline: id, Duration: flow.Duration(assumedDuration), Source: flow.DurationAssumed}
		if d, ok := given[id]; ok {
			s.Duration, s.Source = flow.Duration(d), flow.DurationGiven
		} else if history != nil {
			runs, err := history.Runs(ctx, flow.RunQuery{Pipeline: id, Outcome: flow.Succeeded, Limit: recentRuns})
			if err != nil {
				return nil, fmt.Errorf("read the runs of %q: %w", id, err)
			}
			if len(runs) > 0 {
				s.Duration, s.Source, s.Recorded = median(runs), flow.DurationRecorded, len(runs)
			}
		}
		if limit := scheduled[id].Timeout; limit > 0 && s.Duration > limit {
			s.Duration, s.Cut = limit, true
		}
		all = append(all, s)
	}
	return all, nil
}

// recordedBy opens what was recorded: by the host that serves, or in the data folder. It is nil where nothing was.
func recordedBy(ctx context.Context, t Target, p *project.Project) (flow.Control, func(), error) {
	t.Manifest = p.Path
	link, err := Connect(ctx, t, Serving)
	switch {
	case err == nil:
		return link, func() { _ = link.Close() }, nil
	case flow.CodeOf(err) != flow.CodeUnreachable || t.Server != "":
		return nil, nil, err
	case !recorded(p.Data):
		return nil, func() {}, nil
	}
	h, err := host.Open(ctx, host.Config{Data: p.Data, ReadOnly: true})
	if err != nil {
		return nil, nil, err
	}
	return h, func() { _ = h.Close() }, nil
}

// median returns the middle of the durations of runs that have ended.
func median(runs []flow.RunRecord) flow.Duration {
	lengths := make([]time.Duration, len(runs))
	for i := range runs {
		lengths[i] = runs[i].Duration(time.Time{})
	}
	slices.Sort(lengths)
	return flow.Duration(lengths[len(lengths)/2])
}

// loads fills in how busy each pipeline is. A replaced run counts as if it had taken all of its time.
func loads(r *flow.SimulateReport) {
	span := float64(r.To.Sub(r.From))
	for i := range r.Pipelines {
		p := &r.Pipelines[i]
		for _, s := range r.Schedules {
			if s.Pipeline == p.Pipeline {
				p.Runs += s.Runs
			}
		}
		p.Load = float64(p.Runs) * float64(p.Duration) / span
	}
}
