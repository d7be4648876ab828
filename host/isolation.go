package host

import (
	"context"
	"maps"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/project"
	"github.com/uniflow-dev/uniflow/host/internal/store/sqlite"
)

// queue is the ledger, with its plans as they are to be executed now.
type queue struct {
	*sqlite.Store
	current func() *project.Project
}

// Plan implements dispatch.Queue: a run that has waited, or whose version is an old one, runs where the manifest says now.
func (q queue) Plan(ctx context.Context, digest flow.Digest) (flow.Plan, error) {
	p, err := q.Store.Plan(ctx, digest)
	if err != nil {
		return p, err
	}
	return isolated(q.current(), p), nil
}

// isolated is a plan whose modules run where the operator's manifest says: that is no part of a version, so no earlier one
// leads out of a worker. The modules of a tenant that is declared no more would run in workers.
func isolated(p *project.Project, of flow.Plan) flow.Plan {
	if p == nil {
		return of
	}
	want := flow.IsolationWorker
	if of.Tenant == flow.DefaultTenant {
		want = p.Manifest().Defaults.Isolation
	} else if t := p.Tenant(of.Tenant); t != nil && t.Settings.Isolation != "" {
		want = t.Settings.Isolation
	}
	if want == flow.IsolationInline {
		want = ""
	}
	var plugins map[string]flow.PlanPlugin // nobody changes those of a plan
	for name, plugin := range of.Plugins {
		if plugin.Kind != flow.KindWasm || plugin.Isolation == want {
			continue
		}
		if plugins == nil {
			plugins = maps.Clone(of.Plugins)
		}
		plugin.Isolation = want
		plugins[name] = plugin
	}
	if plugins != nil {
		of.Plugins = plugins
	}
	return of
}
