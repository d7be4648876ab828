package tool

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/uniflow-dev/uniflow/host"
	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/calendar"
	"github.com/uniflow-dev/uniflow/host/internal/plan"
	"github.com/uniflow-dev/uniflow/host/internal/project"
)

// changeDrift is the kind of a change that was made by hand, beside those of package plan.
const changeDrift = "drift"

// Plan tells what a host would run and when, and how that differs from what the running host has, or from what was
// recorded last. It runs no plugin and changes nothing.
func Plan(ctx context.Context, t Target, now time.Time, fires int) (flow.PlanReport, error) {
	report := flow.PlanReport{Manifest: t.manifest(), Plans: []flow.Plan{}, Fires: map[string][]time.Time{}, Changes: []flow.PlanChange{}, Problems: flow.Problems{}}
	p, err := project.Load(ctx, t.manifest(), project.Options{})
	if err != nil {
		return report, err
	}
	report.Plans = append(report.Plans, p.Plans...)
	report.Problems = append(report.Problems, p.Warnings...)
	for i := range p.Plans {
		for _, s := range p.Plans[i].Schedules {
			cal, err := calendar.Of(p.Plans[i].Tenant, &s)
			if err != nil {
				return report, fmt.Errorf("schedule %q: %w", s.Name, err)
			}
			report.Fires[flow.ID(p.Plans[i].Tenant, s.Name)] = append([]time.Time{}, cal.Fires(now, fires)...)
		}
	}
	changes, err := changes(ctx, t, p)
	report.Changes = append(report.Changes, changes...)
	return report, err
}

// changes compares the plans with those of the running host, or with what was recorded if none runs.
func changes(ctx context.Context, t Target, p *project.Project) ([]flow.PlanChange, error) {
	t.Manifest = p.Path
	link, err := Connect(ctx, t, Serving)
	if flow.CodeOf(err) == flow.CodeUnreachable {
		return sinceRecorded(ctx, p)
	}
	if err != nil {
		return nil, err
	}
	defer link.Close()
	infos, err := link.Pipelines(ctx)
	if err != nil {
		return nil, err
	}
	var running []flow.Plan
	for i := range infos {
		if infos[i].Origin != flow.OriginManifest {
			continue
		}
		info, err := link.Pipeline(ctx, infos[i].ID)
		if err != nil {
			return nil, err
		}
		running = append(running, *info.Plan)
	}
	var all []flow.PlanChange
	for _, c := range plan.Diff(running, p.Plans) {
		all = append(all, flow.PlanChange{Pipeline: c.Pipeline, Kind: string(c.Kind), What: c.What})
	}
	schedules, err := link.Schedules(ctx)
	return append(all, drift(schedules)...), err
}

// sinceRecorded compares the plans with the versions that ran last and the schedules that were served last. The ledger
// of another moment does not tell what else has changed.
func sinceRecorded(ctx context.Context, p *project.Project) ([]flow.PlanChange, error) {
	served := map[string]flow.ScheduleInfo{}
	versions := map[string]flow.Digest{}
	var kept []flow.ScheduleInfo
	if recorded(p.Data) {
		// Without the manifest, the host knows what is recorded and nothing else.
		h, err := host.Open(ctx, host.Config{Data: p.Data, ReadOnly: true})
		if err != nil {
			return nil, err
		}
		defer h.Close()
		if kept, err = h.Schedules(ctx); err != nil {
			return nil, err
		}
		for i := range p.Plans {
			last, err := h.Runs(ctx, flow.RunQuery{Pipeline: p.Plans[i].ID(), Limit: 1})
			if err != nil {
				return nil, err
			}
			if len(last) > 0 {
				versions[p.Plans[i].ID()] = last[0].Version
			}
		}
	}
	for _, s := range kept {
		if s.Origin == flow.OriginManifest {
			served[s.Name] = s
		}
	}
	var all []flow.PlanChange
	for i := range p.Plans {
		all = append(all, since(&p.Plans[i], versions[p.Plans[i].ID()], served)...)
	}
	for _, name := range slices.Sorted(maps.Keys(served)) {
		all = append(all, flow.PlanChange{Pipeline: served[name].Pipeline, Kind: string(plan.Changed), What: []string{fmt.Sprintf("schedule %q removed", name)}})
	}
	return append(all, drift(kept)...), nil
}

// since compares one plan, and takes its schedules out of those that were served.
func since(p *flow.Plan, version flow.Digest, served map[string]flow.ScheduleInfo) []flow.PlanChange {
	var what []string
	fresh := version == ""
	if !fresh && version != p.Digest {
		what = append(what, fmt.Sprintf("version %s -> %s", version.Short(), p.Digest.Short()))
	}
	for _, s := range p.Schedules {
		name := flow.ID(p.Tenant, s.Name)
		old, ok := served[name]
		delete(served, name)
		fresh = fresh && !ok
		switch {
		case !ok:
			what = append(what, fmt.Sprintf("schedule %q added: %s %s", name, s.At, s.Timezone))
		case old.Value != s.At || old.Timezone != s.Timezone:
			what = append(what, fmt.Sprintf("schedule %q: %s %s -> %s %s", name, old.Value, old.Timezone, s.At, s.Timezone))
			fallthrough
		default:
			for _, rule := range plan.RuleChanges(flow.PlanSchedule{From: old.From, To: old.To, SlotRules: old.SlotRules}, s) {
				what = append(what, fmt.Sprintf("schedule %q: %s", name, rule))
			}
		}
	}
	switch {
	case fresh:
		return []flow.PlanChange{{Pipeline: p.ID(), Kind: string(plan.Added)}}
	case len(what) > 0:
		return []flow.PlanChange{{Pipeline: p.ID(), Kind: string(plan.Changed), What: what}}
	}
	return nil
}

// drift lists the schedules that were enabled or disabled by hand.
func drift(schedules []flow.ScheduleInfo) []flow.PlanChange {
	var all []flow.PlanChange
	for i := range schedules {
		s := &schedules[i]
		if !s.Drift {
			continue
		}
		word := "disabled"
		if s.Enabled {
			word = "enabled"
		}
		all = append(all, flow.PlanChange{Pipeline: s.Pipeline, Kind: changeDrift, What: []string{fmt.Sprintf("schedule %q was %s by hand", s.Name, word)}})
	}
	return all
}
