package tool

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/project"
)

// Check reads a manifest, looks at the plugins that it names, and makes its plans; it changes nothing. Mistakes are part
// of the report; the error is anything else.
func Check(ctx context.Context, t Target) (flow.CheckReport, error) {
	report := flow.CheckReport{Manifest: t.manifest(), Problems: flow.Problems{}}
	p, err := project.Load(ctx, t.manifest(), project.Options{Tenant: t.Tenant})
	if problems, ok := errors.AsType[flow.Problems](err); ok {
		report.Problems = problems
		return report, nil
	}
	if err != nil {
		return report, err
	}
	report.Tenants, report.Refused = len(p.Tenants), p.Refused()
	report.OK = len(report.Refused) == 0
	report.Problems = append(report.Problems, p.AllWarnings()...)
	plans := p.AllPlans()
	report.Pipelines = len(plans)
	plugins := map[string]bool{}
	for i := range plans {
		report.Steps += len(plans[i].Steps)
		report.Schedules += len(plans[i].Schedules)
		for _, plugin := range plans[i].Plugins {
			plugins[plugin.Path] = true
		}
	}
	report.Plugins = len(plugins)
	report.Reach = reach(plans)
	return report, nil
}

// reach lists the plugins that may call something or use a secret, each once.
func reach(plans []flow.Plan) []flow.PluginReach {
	var all []flow.PluginReach
	seen := map[string]bool{}
	for i := range plans {
		for _, name := range slices.Sorted(maps.Keys(plans[i].Plugins)) {
			r := flow.PluginReach{Plugin: flow.ID(plans[i].Tenant, name), HTTP: plans[i].Plugins[name].Grant.HTTP, Secrets: plans[i].Plugins[name].Secrets}
			id := fmt.Sprint(r) // a file that two pipelines name may have two grants
			if len(r.HTTP)+len(r.Secrets) > 0 && !seen[id] {
				seen[id] = true
				all = append(all, r)
			}
		}
	}
	return all
}

// Build runs the build commands of a manifest's plugins, pins all plugin files, and approves what the manifest grants.
// Prebuilt files that have changed are taken where accept says so, and refused otherwise.
func Build(ctx context.Context, t Target, accept bool) (flow.BuildReport, error) {
	p, err := project.Load(ctx, t.manifest(), project.Options{Build: true, Accept: accept, Tenant: t.Tenant})
	if err != nil {
		return flow.BuildReport{Plugins: []flow.BuiltPlugin{}}, err
	}
	return flow.BuildReport{Plugins: append([]flow.BuiltPlugin{}, p.Pins...), Changes: p.Changes}, nil
}
