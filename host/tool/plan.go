package tool

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
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
	report.Plans = append(report.Plans, p.AllPlans()...)
	report.Problems, report.Refused = append(report.Problems, p.AllWarnings()...), p.Refused()
	for i := range report.Plans {
		for _, s := range report.Plans[i].Schedules {
			cal, err := calendar.Of(report.Plans[i].Tenant, &s)
			if err != nil {
				return report, fmt.Errorf("schedule %q: %w", s.Name, err)
			}
			report.Fires[flow.ID(report.Plans[i].Tenant, s.Name)] = append([]time.Time{}, cal.Fires(now, fires)...)
		}
	}
	after := &deployment{plans: report.Plans, manifests: p.Manifests()}
	changes, err := changes(ctx, t, p, after)
	report.Changes, report.Digest = append(report.Changes, changes...), after.digest()
	return report, err
}

// deployment is what applying the manifest would make: its plans, and of tenants that are refused what runs now.
type deployment struct {
	plans     []flow.Plan
	manifests map[string]flow.Digest
}

// digest is empty where a plugin is not built, as there is nothing to apply then.
func (d *deployment) digest() flow.Digest {
	versions := map[string]flow.Digest{}
	for i := range d.plans {
		if d.plans[i].Digest == "" {
			return ""
		}
		versions[d.plans[i].ID()] = d.plans[i].Digest
	}
	return plan.DeploymentDigest(d.manifests, versions)
}

// keep takes over what runs of the tenants that are refused, as far as their ceilings still allow it.
func (d *deployment) keep(ctx context.Context, host flow.Control, p *project.Project, running []flow.Plan) error {
	refused := p.Refused()
	if len(refused) == 0 {
		return nil
	}
	latest, err := host.Deployments(ctx, flow.DeploymentQuery{Limit: 1})
	if err != nil {
		return err
	}
	for tenant := range refused {
		if len(latest) > 0 && latest[0].Manifests[tenant] != "" {
			d.manifests[tenant] = latest[0].Manifests[tenant]
		}
	}
	d.plans = slices.Clone(d.plans)
	for i := range running {
		t := p.Tenant(running[i].Tenant)
		if t != nil && t.Project == nil && len(plan.Exceeds(&running[i], &t.Settings.Ceiling, t.Dir))+len(plan.Distrusted(&running[i], t.Settings.Keys, false)) == 0 {
			d.plans = append(d.plans, running[i])
		}
	}
	return nil
}

// changes compares the plans with those of the running host, or with what was recorded if none runs.
func changes(ctx context.Context, t Target, p *project.Project, after *deployment) ([]flow.PlanChange, error) {
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
	over := map[string]flow.Digest{}
	for i := range infos {
		over[infos[i].ID] = infos[i].Over
		if infos[i].Origin != flow.OriginManifest {
			continue
		}
		info, err := link.Pipeline(ctx, infos[i].ID)
		if err != nil {
			return nil, err
		}
		running = append(running, *info.Plan)
	}
	if err := after.keep(ctx, link, p, running); err != nil {
		return nil, err
	}
	var all []flow.PlanChange
	for _, c := range plan.Diff(running, after.plans) {
		if rolledBack(over[c.Pipeline], c.Pipeline, after.plans) {
			all = append(all, flow.PlanChange{Pipeline: c.Pipeline, Kind: changeDrift, What: append([]string{"rolled back by hand, which holds until the manifest has another version of it"}, c.What...)})
			continue
		}
		all = append(all, flow.PlanChange{Pipeline: c.Pipeline, Kind: string(c.Kind), What: c.What, Plugins: c.Plugins})
	}
	schedules, err := link.Schedules(ctx)
	return append(all, drift(schedules)...), err
}

// rolledBack reports whether the manifest still has the version of a pipeline over which another one runs.
func rolledBack(over flow.Digest, id string, plans []flow.Plan) bool {
	return over != "" && slices.ContainsFunc(plans, func(p flow.Plan) bool { return p.ID() == id && p.Digest == over })
}

// sinceRecorded compares the plans with the versions that ran last and the schedules that were served last. The ledger
// of another moment does not tell what else has changed.
func sinceRecorded(ctx context.Context, p *project.Project) ([]flow.PlanChange, error) {
	served := map[string]flow.ScheduleInfo{}
	plans := p.AllPlans()
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
		for i := range plans {
			last, err := h.Runs(ctx, flow.RunQuery{Pipeline: plans[i].ID(), Limit: 1})
			if err != nil {
				return nil, err
			}
			if len(last) > 0 {
				versions[plans[i].ID()] = last[0].Version
			}
		}
	}
	refused := p.Refused()
	for _, s := range kept {
		tenant, _, foreign := strings.Cut(s.Name, "/")
		if _, ok := refused[tenant]; s.Origin == flow.OriginManifest && (!foreign || !ok) { // what ran of a refused one goes on
			served[s.Name] = s
		}
	}
	var all []flow.PlanChange
	for i := range plans {
		all = append(all, since(&plans[i], versions[plans[i].ID()], served)...)
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
