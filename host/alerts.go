package host

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// alerts are the targets of messages that the manifests declare, by id: those of a tenant are the tenant's own, and of one
// that is refused those of the manifest that still runs.
func (h *Host) alerts() map[string]flow.Alert {
	now := h.applied.Load()
	p := now.project
	if p == nil {
		return nil
	}
	all := maps.Clone(p.Manifest().Alerts)
	if all == nil {
		all = map[string]flow.Alert{}
	}
	for i := range p.Tenants {
		name := p.Tenants[i].Name
		if own := now.of(name); own != nil {
			for alert, a := range own.Manifest().Alerts {
				all[flow.ID(name, alert)] = a
			}
		}
	}
	return all
}

// ceilingOf is what a tenant is allowed; one that is not declared is allowed nothing.
func (h *Host) ceilingOf(tenant string) flow.Ceiling {
	if p := h.current(); p != nil {
		if t := p.Tenant(tenant); t != nil {
			return t.Settings.Ceiling
		}
	}
	return flow.Ceiling{}
}

// alertsOf are the ids of the alerts that a plan names.
func alertsOf(p *flow.Plan) []string {
	ids := make([]string, len(p.Alerts))
	for i, name := range p.Alerts {
		ids[i] = flow.ID(p.Tenant, name)
	}
	return ids
}

// Alerts lists the targets of messages by id. It shows no address.
func (h *Host) Alerts(context.Context) ([]flow.AlertInfo, error) {
	alerts := h.alerts()
	infos := []flow.AlertInfo{}
	for _, name := range slices.Sorted(maps.Keys(alerts)) {
		a := alerts[name]
		info := flow.AlertInfo{Name: name, Secret: a.URL.Secret, Signed: a.Sign != flow.SecretText{}, On: a.On, Pipelines: []string{}}
		info.Service, _, _ = strings.Cut(a.URL.Text, "://")
		if len(info.On) == 0 {
			info.On = flow.AlertWords()
		}
		for _, e := range h.entries() {
			if slices.Contains(alertsOf(&e.plan), name) {
				info.Pipelines = append(info.Pipelines, e.plan.ID())
			}
		}
		infos = append(infos, info)
	}
	return infos, nil
}

// TestAlert sends a test message to a target, and says whether it was taken. It waits for half a minute at most.
func (h *Host) TestAlert(ctx context.Context, name string) (flow.AlertTest, error) {
	asked, names := readID(name), []string{}
	name = flow.ID(asked.tenant, asked.name)
	for other := range h.alerts() {
		if asked.hears(readID(other).tenant) {
			names = append(names, other)
		}
	}
	if _, ok := h.alerts()[name]; !ok || !asked.one() {
		return flow.AlertTest{}, notFound("alert", asked.text, names)
	}
	test := h.watcher.Test(ctx, name)
	if ctx.Err() != nil {
		return test, context.Cause(ctx)
	}
	if h.config.ReadOnly {
		return test, nil
	}
	if err := h.store.SaveAlertTest(ctx, test, time.Now()); err != nil {
		return test, fmt.Errorf("record the test of alert %q: %w", name, err)
	}
	return test, nil
}
