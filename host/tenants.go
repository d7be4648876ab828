package host

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/project"
)

// Tenants lists the tenants by name, the default one first, with what they use.
func (h *Host) Tenants(ctx context.Context) ([]flow.TenantInfo, error) { return h.tenantsOf(ctx, "") }

// tenantsOf is Tenants for one of them; empty stands for all.
func (h *Host) tenantsOf(ctx context.Context, tenant string) ([]flow.TenantInfo, error) {
	h.view.RLock()
	defer h.view.RUnlock()
	schedules, err := h.store.Schedules(ctx)
	if err != nil {
		return nil, fmt.Errorf("list schedules: %w", err)
	}
	infos := []flow.TenantInfo{{Name: flow.DefaultTenant, Isolation: flow.IsolationInline}}
	if p := h.current(); p != nil {
		if i := p.Manifest().Defaults.Isolation; i != "" {
			infos[0].Isolation = i
		}
		for i := range p.Tenants {
			infos = append(infos, tenantInfo(&p.Tenants[i]))
		}
	}
	infos = slices.DeleteFunc(infos, func(t flow.TenantInfo) bool { return tenant != "" && t.Name != tenant })
	place := map[string]*flow.TenantInfo{}
	for i := range infos {
		place[infos[i].Name] = &infos[i]
	}
	for _, e := range h.entries() {
		if t := place[e.plan.Tenant]; t != nil {
			t.Pipelines++
		}
	}
	for _, r := range h.withUnsynced(schedules) {
		if t := place[r.Tenant]; t != nil {
			t.Schedules++
		}
	}
	applied, err := h.store.AppliedAt(ctx)
	if err != nil {
		return nil, fmt.Errorf("find what was applied: %w", err)
	}
	for i := range infos {
		if at, ok := applied[infos[i].Name]; ok {
			infos[i].AppliedAt = &at
		}
		if infos[i].Usage, err = h.usage(ctx, infos[i].Name); err != nil {
			return nil, fmt.Errorf("count what tenant %q uses: %w", infos[i].Name, err)
		}
	}
	return infos, nil
}

// tenantInfo is what a manifest says of a tenant.
func tenantInfo(t *project.Tenant) flow.TenantInfo {
	s := &t.Settings
	return flow.TenantInfo{Name: t.Name, Manifest: t.Path, Isolation: cmp.Or(s.Isolation, flow.IsolationWorker), Ceiling: &s.Ceiling, Quota: &s.Quota, Refused: t.Refused}
}

// usage counts what a tenant uses. The artifacts of one without a quota are not counted: they may be many.
func (h *Host) usage(ctx context.Context, tenant string) (flow.TenantUsage, error) {
	u, err := h.store.Usage(ctx, tenant)
	if err != nil {
		return u, err
	}
	if h.turns != nil {
		u.Memory = h.turns.Memory(tenant)
	}
	if h.quotas.of(tenant) != nil {
		u.Artifacts, err = h.blobs.Kept(tenant)
	}
	return u, err
}

// sizeOf is what a state takes of the quota.
func sizeOf(state map[string]json.RawMessage) flow.Size {
	n := 0
	for key, value := range state {
		n += len(key) + len(value)
	}
	return flow.Size(n)
}

// emptied are the patterns that match nothing any more: a folder that is away for a moment removes no tenant.
func emptied(p, before *project.Project) flow.Problems {
	if before == nil {
		return nil
	}
	gone := map[string]int{} // by table
	for i := range before.Tenants {
		gone[before.Tenants[i].Table]++
	}
	for i := range p.Tenants {
		delete(gone, p.Tenants[i].Table)
	}
	var bad flow.Problems
	for _, table := range slices.Sorted(maps.Keys(gone)) {
		if t, declared := p.Manifest().Tenants[table]; declared {
			bad = append(bad, flow.Problem{
				Code: flow.CodeTenant, Severity: flow.SeverityError, File: p.Path, Path: []string{"tenants", table, "manifest"},
				Message: fmt.Sprintf("no file matches %q any more, and %d tenants of it run", t.Manifest, gone[table]),
				Help:    fmt.Sprintf("bring the folders back; if the tenants are to be removed, remove [tenants.%s] too", table),
			})
		}
	}
	return bad
}
