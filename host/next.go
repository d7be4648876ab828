package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/plan"
	"github.com/uniflow-dev/uniflow/host/internal/project"
)

// applied is what was applied last, besides the plans. Nobody changes one.
type applied struct {
	project *project.Project // nil without a manifest
	// manifests are the digests of the manifests that run, by tenant.
	manifests map[string]flow.Digest
	// refused are the problems of tenants whose manifest was refused, by name.
	refused map[string]flow.Problems
	// kept are the manifests of refused tenants that were applied before, as far as this life of the host has read them.
	kept      map[string]*project.Project
	rollbacks map[string]flow.Rollback // by id
	// deployment is what the ledger has of it; its Seq is 0 before the host has started.
	deployment flow.Deployment
}

// of is the manifest of a tenant that was applied last; nil where there is none, or it was refused ever since the host began.
func (a *applied) of(tenant string) *project.Project {
	if a.project == nil {
		return nil
	}
	if own := a.project.Of(tenant); own != nil {
		return own
	}
	return a.kept[tenant]
}

// current is the manifest that is applied; nil without one.
func (h *Host) current() *project.Project { return h.applied.Load().project }

// next is a state that is about to be applied.
type next struct {
	applied

	plans   map[string]*entry // those of the manifests, by id
	changes []flow.PlanChange
	// dropped are rollbacks that hold no more, in words.
	dropped []string
	// reviewed is the digest of the deployment as far as files say it, without rollbacks.
	reviewed flow.Digest
}

// running is what a next state is compared with, and what a tenant keeps that is refused.
type running struct {
	applied

	plans map[string]*entry // those of manifests, by id
}

// running returns the present state.
func (h *Host) running() *running {
	r := &running{applied: *h.applied.Load(), plans: map[string]*entry{}}
	h.mu.Lock()
	defer h.mu.Unlock()
	for id, e := range h.plans {
		if e.origin == flow.OriginManifest {
			r.plans[id] = e
		}
	}
	return r
}

// less is the state without a pipeline.
func (r *running) less(id string) *running {
	l := *r
	l.plans = maps.Clone(r.plans)
	delete(l.plans, id)
	return &l
}

// next makes the state that a project leads to. A tenant that is refused keeps what runs of it as long as that is within
// its ceiling. A rollback holds while the manifest has the version that it is over.
func (h *Host) next(ctx context.Context, p *project.Project, before *running) (*next, error) {
	n := &next{applied: applied{project: p, manifests: p.Manifests(), refused: p.Refused(), kept: map[string]*project.Project{}, rollbacks: map[string]flow.Rollback{}}, plans: map[string]*entry{}}
	for _, built := range p.AllPlans() {
		n.plans[built.ID()] = &entry{plan: built, origin: flow.OriginManifest}
	}
	for name := range n.refused {
		n.keepRefused(p.Tenant(name), before)
	}
	n.reviewed = plan.DeploymentDigest(n.manifests, n.versions(true))
	for _, id := range slices.Sorted(maps.Keys(before.rollbacks)) {
		if err := h.takeRollback(ctx, n, id, before.rollbacks[id]); err != nil {
			return nil, err
		}
	}
	if err := h.takenByCode(n); err != nil {
		return nil, err
	}
	n.reuse(before)
	n.deployment = flow.Deployment{Manifests: n.manifests, Plans: n.versions(false)}
	n.deployment.Digest = plan.DeploymentDigest(n.deployment.Manifests, n.deployment.Plans)
	return n, nil
}

// keepRefused takes over what runs of a tenant, but for what is beyond its ceiling: that is stopped.
func (n *next) keepRefused(t *project.Tenant, before *running) {
	if d, ok := before.manifests[t.Name]; ok {
		n.manifests[t.Name] = d
	}
	if own := before.of(t.Name); own != nil {
		n.kept[t.Name] = own
	}
	for _, id := range slices.Sorted(maps.Keys(before.plans)) {
		e := before.plans[id]
		if e.plan.Tenant != t.Name {
			continue
		}
		beyond := append(plan.Exceeds(&e.plan, &t.Settings.Ceiling, t.Dir), plan.Distrusted(&e.plan, t.Settings.Keys, false)...)
		if len(beyond) == 0 {
			n.plans[id] = e.isolated(n.project)
			continue
		}
		n.refused[t.Name] = append(slices.Clone(n.refused[t.Name]), flow.Problem{
			Code: flow.CodeCeiling, Severity: flow.SeverityError, Message: fmt.Sprintf("pipeline %q is stopped: the version that ran is beyond what the operator allows: %s", id, strings.Join(beyond, "; ")),
			Help: "its slots are skipped until a manifest of the tenant is applied",
		})
	}
}

// isolated is an entry whose plans are.
func (e *entry) isolated(p *project.Project) *entry {
	kept := &entry{plan: isolated(p, e.plan), origin: e.origin}
	if e.own != nil {
		own := isolated(p, *e.own)
		kept.own = &own
	}
	return kept
}

// versions are those of the plans, by id; of the manifests', whatever was rolled back, where files is true.
func (n *next) versions(files bool) map[string]flow.Digest {
	versions := make(map[string]flow.Digest, len(n.plans))
	for id, e := range n.plans {
		versions[id] = e.plan.Digest
		if files && e.own != nil {
			versions[id] = e.own.Digest
		}
	}
	return versions
}

// takeRollback lets a rollback hold on, or drops it.
func (h *Host) takeRollback(ctx context.Context, n *next, id string, r flow.Rollback) error {
	e := n.plans[id]
	if e == nil {
		n.dropped = append(n.dropped, fmt.Sprintf("pipeline %q is gone, and with it the rollback to %s", id, r.Digest.Short()))
		return nil
	}
	own := e.own
	if own == nil {
		own = &e.plan
	}
	if own.Digest != r.Over {
		n.dropped = append(n.dropped, fmt.Sprintf("pipeline %q has another version in the manifest: the rollback to %s has ended", id, r.Digest.Short()))
		return nil
	}
	back, err := h.rolledBack(ctx, n, own, r.Digest)
	if err != nil {
		if ctx.Err() != nil {
			return err
		}
		n.dropped = append(n.dropped, fmt.Sprintf("pipeline %q: the rollback to %s has ended: %v", id, r.Digest.Short(), err))
		return nil
	}
	n.plans[id], n.rollbacks[id] = back, r
	return nil
}

// rolledBack is a pipeline that executes an earlier version; what describes, schedules and watches it is the manifest's.
func (h *Host) rolledBack(ctx context.Context, n *next, own *flow.Plan, to flow.Digest) (*entry, error) {
	old, err := h.store.Plan(ctx, to)
	if err != nil {
		return nil, err
	}
	if old.ID() != own.ID() {
		return nil, fmt.Errorf("version %s of %q: %w", to.Short(), own.ID(), flow.ErrNotFound)
	}
	keys := n.project.Manifest().Host.Keys
	if t := n.project.Tenant(own.Tenant); t != nil {
		keys = t.Settings.Keys
		if beyond := plan.Exceeds(&old, &t.Settings.Ceiling, t.Dir); len(beyond) > 0 {
			return nil, &flow.Error{Code: flow.CodeCeiling, Op: "roll back " + own.ID(), Message: "the version is beyond the ceiling: " + strings.Join(beyond, "; "), Hint: "choose another version, or ask the operator to raise the ceiling"}
		}
	}
	if distrusted := plan.Distrusted(&old, keys, true); len(distrusted) > 0 {
		return nil, &flow.Error{Code: flow.CodeSignature, Op: "roll back " + own.ID(), Message: "the version is not to be trusted: " + strings.Join(distrusted, "; "), Hint: "choose another version, or sign its plugins and apply it anew"}
	}
	old = isolated(n.project, old)
	back := *own
	back.Digest, back.Label, back.When, back.Context, back.Params = old.Digest, old.Label, old.When, old.Context, old.Params
	back.Steps, back.Plugins, back.Timeout, back.TimeoutFrom = old.Steps, old.Plugins, old.Timeout, old.TimeoutFrom
	for i := range back.Schedules {
		if _, err := checkContext(&back, back.Schedules[i].Context, fmt.Sprintf("schedule %q", back.Schedules[i].Name)); err != nil {
			return nil, err
		}
	}
	return &entry{plan: back, origin: flow.OriginManifest, own: own}, nil
}

// takenByCode refuses a pipeline of the manifests that is defined in code.
func (h *Host) takenByCode(n *next) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for id := range n.plans {
		if e := h.plans[id]; e != nil && e.origin != flow.OriginManifest {
			return &flow.Error{Code: flow.CodeExists, Op: "apply", Message: fmt.Sprintf("pipeline %q of the manifest is defined in code", id), Hint: "choose another name"}
		}
	}
	return nil
}

// reuse keeps the entries of what has not changed, and tells what has.
func (n *next) reuse(before *running) {
	var old, now []flow.Plan
	for id, e := range n.plans {
		b := before.plans[id]
		if b != nil && reflect.DeepEqual(b.plan, e.plan) && reflect.DeepEqual(b.own, e.own) {
			n.plans[id] = b
			continue
		}
		now = append(now, e.plan)
		if b != nil {
			old = append(old, b.plan)
		}
	}
	for id, b := range before.plans {
		if n.plans[id] == nil {
			old = append(old, b.plan)
		}
	}
	n.changes = []flow.PlanChange{}
	for _, c := range plan.Diff(old, now) {
		n.changes = append(n.changes, flow.PlanChange{Pipeline: c.Pipeline, Kind: string(c.Kind), What: c.What, Plugins: c.Plugins})
	}
}

// changed reports whether applying the state makes a difference to what runs.
func (n *next) changed(before *running) bool {
	return len(n.changes) > 0 || !maps.Equal(n.rollbacks, before.rollbacks) || before.project == nil ||
		!reflect.DeepEqual(settings(n.project), settings(before.project))
}

// settings are what a manifest says besides what becomes plans.
func settings(p *project.Project) flow.Manifest {
	m := p.Manifest()
	m.Plugins, m.Pipelines, m.Schedules = nil, nil, nil
	return m
}

// sameSchedule compares two forms of a schedule.
func sameSchedule(a, b flow.PlanSchedule) bool { return reflect.DeepEqual(a, b) }

// fresh are the entries that were not there before, by id.
func (n *next) fresh(before *running) []*entry {
	var all []*entry
	for id, e := range n.plans {
		if before.plans[id] != e {
			all = append(all, e)
		}
	}
	slices.SortFunc(all, func(a, b *entry) int { return cmp.Compare(a.plan.ID(), b.plan.ID()) })
	return all
}

// recorded is what the ledger says of a tenant that is refused when the host begins: the versions of the last deployment.
func (h *Host) recorded(ctx context.Context, p *project.Project) (*running, error) {
	before := &running{applied: applied{rollbacks: map[string]flow.Rollback{}, manifests: map[string]flow.Digest{}}, plans: map[string]*entry{}}
	rollbacks, err := h.store.Rollbacks(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the rollbacks: %w", err)
	}
	for _, r := range rollbacks {
		before.rollbacks[flow.ID(r.Tenant, r.Pipeline)] = r
	}
	last, err := h.store.Deployments(ctx, flow.DeploymentQuery{Limit: 1})
	if err != nil || len(last) == 0 {
		return before, err
	}
	before.deployment = last[0]
	for name := range p.Refused() {
		if err := h.recordedOf(ctx, name, before); err != nil {
			return nil, err
		}
	}
	return before, nil
}

func (h *Host) recordedOf(ctx context.Context, tenant string, before *running) error {
	if d, ok := before.deployment.Manifests[tenant]; ok {
		before.manifests[tenant] = d
	}
	for id, digest := range before.deployment.Plans {
		if of, _ := splitID(id, ""); of != tenant {
			continue
		}
		found, err := h.store.Plan(ctx, digest)
		if errors.Is(err, flow.ErrNotFound) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read the version of %q that ran last: %w", id, err)
		}
		e := &entry{plan: found, origin: flow.OriginManifest}
		if r, ok := before.rollbacks[id]; ok && r.Digest == digest {
			if own, err := h.store.Plan(ctx, r.Over); err == nil {
				e.own = &own
			}
		}
		before.plans[id] = e
	}
	return nil
}

// row is the deployment of a state that is applied now.
func (n *next) row(cause, by string, metadata map[string]string, now time.Time) flow.Deployment {
	d := n.deployment
	d.At, d.By, d.Cause, d.Metadata = now, by, cause, metadata
	return d
}

// replaced tells of schedules that were added by hand or in code, and whose names the manifests take.
func (h *Host) replaced(ctx context.Context, n *next, before *running) error {
	records, err := h.store.Schedules(ctx)
	if err != nil {
		return fmt.Errorf("list schedules: %w", err)
	}
	old, written := writtenBy(before.plans), writtenBy(n.plans)
	for i := range records {
		r := &records[i]
		id := flow.ID(r.Tenant, r.Name)
		_, had := old[id]
		if _, taken := written[id]; taken && !had && r.Origin != flow.OriginManifest {
			n.dropped = append(n.dropped, fmt.Sprintf("schedule %q of pipeline %q, %s, was added: the manifest's takes its place", id, flow.ID(r.Tenant, r.Pipeline), r.At))
		}
	}
	return nil
}
