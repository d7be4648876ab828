package host

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/plan"
)

// SaveVersion records the pipeline's present version with metadata of the caller's.
func (h *Host) SaveVersion(ctx context.Context, id string, metadata map[string]string) (flow.VersionRecord, error) {
	e, err := h.known(id)
	if err != nil {
		return flow.VersionRecord{}, err
	}
	if h.config.ReadOnly {
		return flow.VersionRecord{}, errReadOnly("save a version")
	}
	v := flow.VersionRecord{Tenant: e.plan.Tenant, Pipeline: e.plan.Pipeline, Digest: e.plan.Digest, Label: e.plan.Label, Metadata: metadata, SavedAt: time.Now().UTC()}
	if err := h.store.SaveVersion(ctx, v); err != nil {
		return flow.VersionRecord{}, fmt.Errorf("save version of %q: %w", id, err)
	}
	v.Present = true
	return v, nil
}

// Versions lists the versions of a pipeline that were applied or saved, newest first.
func (h *Host) Versions(ctx context.Context, id string) ([]flow.VersionRecord, error) {
	h.view.RLock()
	defer h.view.RUnlock()
	tenant, name := splitID(id, "")
	applied, err := h.store.Applied(ctx, tenant, name)
	if err != nil {
		return nil, fmt.Errorf("list the versions of %q: %w", id, err)
	}
	saved, err := h.store.Versions(ctx, tenant, name)
	if err != nil {
		return nil, fmt.Errorf("list the versions of %q: %w", id, err)
	}
	all := slices.Concat(applied, saved)
	present := flow.Digest("")
	switch e, err := h.known(id); {
	case err == nil:
		present = e.plan.Digest
	case len(all) == 0: // of one that is gone, versions are known
		return nil, err
	}
	for i := range all {
		all[i].Present = all[i].Digest == present
	}
	slices.SortStableFunc(all, func(a, b flow.VersionRecord) int { return b.SavedAt.Compare(a.SavedAt) })
	return all, nil
}

// Rollback makes an earlier version of a pipeline the one that runs; what describes, schedules and watches it stays that of
// the manifest. It is a deployment as any other, holds across restarts, and ends when the manifest has another version of
// the pipeline than the one it has now. To the manifest's own version, it takes a rollback back.
func (h *Host) Rollback(ctx context.Context, r flow.RollbackRequest) (flow.PipelineInfo, error) {
	if h.config.ReadOnly {
		return flow.PipelineInfo{}, errReadOnly("roll back")
	}
	h.applying.Lock()
	defer h.applying.Unlock()
	if err := h.taking(); err != nil {
		return flow.PipelineInfo{}, err
	}
	before := h.running()
	n, err := h.rollback(ctx, &r, before)
	if err != nil {
		return flow.PipelineInfo{}, err
	}
	for _, e := range n.fresh(before) {
		if err := h.prepare(ctx, &e.plan); err != nil {
			return flow.PipelineInfo{}, err
		}
	}
	if err := context.Cause(ctx); err != nil {
		return flow.PipelineInfo{}, fmt.Errorf("roll back: %w", err)
	}
	done, err := h.commit(ctx, n, before, n.row("rollback", r.By, r.Metadata, time.Now().UTC()), true)
	if err != nil {
		return flow.PipelineInfo{}, err
	}
	h.tellApplied(&flow.ApplyReport{Applied: true, Deployment: done, Changes: n.changes})
	return h.Pipeline(ctx, r.Pipeline)
}

// rollback makes the state in which a pipeline executes another version.
func (h *Host) rollback(ctx context.Context, r *flow.RollbackRequest, before *running) (*next, error) {
	op := "roll back " + r.Pipeline
	e, err := h.known(r.Pipeline)
	if err != nil {
		return nil, err
	}
	if e.origin != flow.OriginManifest {
		return nil, &flow.Error{Code: flow.CodeUnsupported, Op: op, Message: "it is defined in code", Hint: "define the earlier version"}
	}
	to, err := h.wanted(ctx, e, r.To, op)
	if err != nil {
		return nil, err
	}
	own := e.own
	if own == nil {
		own = &e.plan
	}
	n := &next{applied: before.applied, plans: maps.Clone(before.plans)}
	n.rollbacks = maps.Clone(before.rollbacks)
	if n.rollbacks == nil {
		n.rollbacks = map[string]flow.Rollback{}
	}
	id := own.ID()
	if to == own.Digest {
		n.plans[id] = &entry{plan: *own, origin: flow.OriginManifest}
		delete(n.rollbacks, id)
	} else {
		if n.plans[id], err = h.rolledBack(ctx, n, own, to); err != nil {
			return nil, fmt.Errorf("%s: %w", op, err)
		}
		n.rollbacks[id] = flow.Rollback{Tenant: own.Tenant, Pipeline: own.Pipeline, Digest: to, Over: own.Digest, At: time.Now().UTC()}
	}
	n.reuse(before)
	n.deployment = flow.Deployment{Manifests: n.manifests, Plans: n.versions(false)}
	n.deployment.Digest = plan.DeploymentDigest(n.deployment.Manifests, n.deployment.Plans)
	return n, nil
}

// wanted finds the version that somebody means: by digest, the beginning of one, or a label; empty is the one before the
// present one.
func (h *Host) wanted(ctx context.Context, e *entry, to, op string) (flow.Digest, error) {
	known, err := h.Versions(ctx, e.plan.ID())
	if err != nil {
		return "", err
	}
	hex := strings.TrimPrefix(to, "sha256:")
	found := map[flow.Digest]bool{}
	for i := range known {
		v := &known[i]
		switch {
		case to == "" && (v.Digest == e.plan.Digest || len(found) > 0 || v.Deployment == 0):
		case to == "", len(hex) >= leastDigest && strings.HasPrefix(v.Digest.Hex(), hex), v.Label == to:
			found[v.Digest] = true
		}
	}
	delete(found, "")
	switch versions := slices.Sorted(maps.Keys(found)); {
	case len(versions) == 1:
		return versions[0], nil
	case len(versions) > 1:
		return "", &flow.Error{Code: flow.CodeRequest, Op: op, Message: fmt.Sprintf("%d versions are called %.80q", len(versions), to), Hint: "name one by its digest: uniflow pipeline versions " + e.plan.ID()}
	case to == "":
		return "", &flow.Error{Code: flow.CodeNotFound, Op: op, Message: "no earlier version was applied", Hint: "uniflow pipeline versions " + e.plan.ID(), Err: flow.ErrNotFound}
	}
	return "", &flow.Error{Code: flow.CodeNotFound, Op: op, Message: fmt.Sprintf("no version %.80q was applied or saved", to), Hint: "uniflow pipeline versions " + e.plan.ID(), Err: flow.ErrNotFound}
}

// leastDigest is how many digits name a version.
const leastDigest = 4

// RunVersion tells what a run executes, and what has changed since the pipeline's last success before it.
func (h *Host) RunVersion(ctx context.Context, name string) (flow.RunVersion, error) {
	record, err := h.Run(ctx, name)
	if err != nil {
		return flow.RunVersion{}, err
	}
	v := flow.RunVersion{Run: record.ID, Version: record.Version, Label: record.Label}
	p, err := h.store.Plan(ctx, record.Version)
	if err != nil && !errors.Is(err, flow.ErrNotFound) {
		return v, fmt.Errorf("read the version of run %s: %w", record.ID, err)
	}
	v.Plugins = digests(&p)
	switch d, err := h.store.DeploymentOf(ctx, record.Tenant, record.Pipeline, record.Version, record.QueuedAt); {
	case err == nil:
		v.Deployment, v.Manifest = d.Seq, d.Manifests[record.Tenant]
	case !errors.Is(err, flow.ErrNotFound):
		return v, fmt.Errorf("find the deployment of run %s: %w", record.ID, err)
	}
	return v, h.sinceSuccess(ctx, &record, &p, &v)
}

// digests are those of the plugins of a plan, by name.
func digests(p *flow.Plan) map[string]flow.Digest {
	all := map[string]flow.Digest{}
	for name, plugin := range p.Plugins {
		all[name] = plugin.Digest
		if plugin.Script != nil {
			all[name] = plugin.Script.Digest
		}
	}
	return all
}

// sinceSuccess compares a run with the pipeline's last success before it.
func (h *Host) sinceSuccess(ctx context.Context, r *flow.RunRecord, p *flow.Plan, v *flow.RunVersion) error {
	found, err := h.store.Runs(ctx, flow.RunQuery{Tenant: r.Tenant, Pipeline: r.Pipeline, Outcome: flow.Succeeded, Before: r.ID, Limit: 1})
	if err != nil {
		return fmt.Errorf("find the success before run %s: %w", r.ID, err)
	}
	if len(found) == 0 {
		return nil
	}
	success, err := h.store.Run(ctx, found[0].ID)
	if err != nil {
		return fmt.Errorf("read run %s: %w", found[0].ID, err)
	}
	v.Success = success.ID
	if success.Version != r.Version {
		v.Changes = append(v.Changes, fmt.Sprintf("version %s -> %s", success.Version.Short(), r.Version.Short()))
		if old, err := h.store.Plan(ctx, success.Version); err == nil && p.Digest.Valid() {
			for _, c := range plan.Diff([]flow.Plan{executed(&old)}, []flow.Plan{executed(p)}) {
				v.Changes = append(v.Changes, c.What...)
			}
		}
	}
	v.Changes = append(v.Changes, plan.ContextChanges(success.Context, r.Context)...)
	return nil
}

// executed is a plan with nothing but what its version covers.
func executed(p *flow.Plan) flow.Plan {
	return flow.Plan{
		Tenant: p.Tenant, Pipeline: p.Pipeline, When: p.When, Steps: p.Steps, Plugins: p.Plugins, Params: p.Params, Context: p.Context, Timeout: p.Timeout,
	}
}
