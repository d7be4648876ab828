package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/project"
	"github.com/uniflow-dev/uniflow/host/internal/secret"
)

// Apply makes what the manifest says now the state that runs, all at once: whoever looks sees the state before or the one
// after. Live runs keep their version, and so do those that wait. A manifest that is refused changes nothing: the error is
// flow.Problems. A manifest of a tenant that is refused changes nothing of that tenant, and the report says so.
//
// All that can fail or take time, such as compiling plugins, is done before anything changes; when ctx ends until then,
// nothing has. No build command is run.
func (h *Host) Apply(ctx context.Context, r flow.ApplyRequest) (flow.ApplyReport, error) {
	switch {
	case h.config.ReadOnly:
		return flow.ApplyReport{}, errReadOnly("apply")
	case h.config.Manifest == "":
		return flow.ApplyReport{}, &flow.Error{Code: flow.CodeUnsupported, Op: "apply", Message: "the host was opened without a manifest", Hint: "define its pipelines in code, or open it with Config.Manifest"}
	}
	h.applying.Lock()
	defer h.applying.Unlock()
	if err := h.taking(); err != nil {
		return flow.ApplyReport{}, err
	}
	before := h.running()
	p, err := h.readAgain(ctx, r.Tenant, before)
	if err != nil {
		return flow.ApplyReport{}, err
	}
	n, err := h.ready(ctx, p, before, r.DryRun)
	if err != nil {
		return flow.ApplyReport{}, err
	}
	if err := h.replaced(ctx, n, before); err != nil {
		return flow.ApplyReport{}, err
	}
	if r.Expect != "" && r.Expect != n.deployment.Digest && r.Expect != n.reviewed {
		return flow.ApplyReport{}, &flow.Error{Code: flow.CodeReviewed, Op: "apply", Message: fmt.Sprintf("the deployment would be %s, and %s was reviewed", n.reviewed.Short(), r.Expect.Short()), Hint: "review it with `uniflow plan`"}
	}
	report := flow.ApplyReport{Deployment: n.row("", "", nil, time.Time{}), Changes: n.changes, Refused: n.refused, Problems: n.warnings()}
	if r.DryRun {
		return report, nil
	}
	if err := context.Cause(ctx); err != nil {
		return flow.ApplyReport{}, fmt.Errorf("apply: %w", err)
	}
	row := n.row(cmp.Or(r.Cause, "apply"), r.By, r.Metadata, time.Now().UTC())
	report.Applied = n.changed(before)
	if report.Deployment, err = h.commit(ctx, n, before, row, report.Applied); err != nil {
		return flow.ApplyReport{}, err
	}
	report.Deployment.Manifests, report.Deployment.Plans = maps.Clone(report.Deployment.Manifests), maps.Clone(report.Deployment.Plans) // the caller's own
	h.tellApplied(&report)
	return report, nil
}

// taking refuses what comes to a host that stops.
func (h *Host) taking() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stopped {
		return &flow.Error{Code: flow.CodeStopping, Op: "apply", Message: "the host is stopping", Hint: "ask again once it is back"}
	}
	return nil
}

// readAgain reads the manifest as it is now, or the manifest of one tenant beside all else as it was applied.
func (h *Host) readAgain(ctx context.Context, tenant string, before *running) (*project.Project, error) {
	p, err := project.Load(ctx, h.config.Manifest, project.Options{Pinned: true, Data: h.data, Secrets: h.config.Secrets})
	if err != nil {
		return nil, err
	}
	if tenant == "" || tenant == flow.DefaultTenant && len(p.Tenants) == 0 {
		if bad := emptied(p, before.project); bad != nil {
			return nil, bad
		}
		return p, nil
	}
	fresh := p.Tenant(tenant)
	if fresh == nil {
		return nil, notFound("tenant", tenant, tenantNames(p))
	}
	if before.project.Digest() != p.Digest() {
		return nil, &flow.Error{Code: flow.CodeReviewed, Op: "apply tenant " + tenant, Message: "the operator's manifest has changed since it was applied", Hint: "have it applied first, as a whole: uniflow apply"}
	}
	one := *before.project
	one.Tenants = slices.Clone(one.Tenants)
	i, found := slices.BinarySearchFunc(one.Tenants, tenant, func(t project.Tenant, name string) int { return cmp.Compare(t.Name, name) })
	if !found {
		one.Tenants = slices.Insert(one.Tenants, i, *fresh)
	}
	one.Tenants[i] = *fresh
	return &one, nil
}

func tenantNames(p *project.Project) []string {
	names := make([]string, len(p.Tenants))
	for i := range p.Tenants {
		names[i] = p.Tenants[i].Name
	}
	return names
}

// ready makes the next state and sees that all of it can be executed. A tenant of which a plugin cannot be loaded is
// refused, and for the operator's own it is an error. A dry run loads nothing.
func (h *Host) ready(ctx context.Context, p *project.Project, before *running, dry bool) (*next, error) {
	for {
		n, err := h.next(ctx, p, before)
		if err != nil || dry {
			return n, err
		}
		bad := map[string]flow.Problems{}
		for _, e := range n.fresh(before) {
			err := h.prepare(ctx, &e.plan)
			tenant := p.Tenant(e.plan.Tenant)
			switch {
			case err == nil:
			case ctx.Err() != nil:
				return nil, fmt.Errorf("apply: %w", context.Cause(ctx))
			case e.own != nil && h.dropRollback(before, e.plan.ID(), err):
				bad[""] = nil // once more without it
			case tenant == nil:
				return nil, err
			default:
				if tenant.Project == nil { // not even what ran before
					bad[tenant.Name] = slices.Clone(tenant.Refused)
					before = before.less(e.plan.ID())
				}
				bad[tenant.Name] = append(bad[tenant.Name], loadProblem(tenant, err))
			}
		}
		if len(bad) == 0 {
			return n, nil
		}
		p = without(p, bad)
	}
}

// dropRollback ends a rollback to a version that cannot be loaded any more.
func (h *Host) dropRollback(before *running, id string, why error) bool {
	rollbacks := maps.Clone(before.rollbacks)
	delete(rollbacks, id)
	dropped := len(rollbacks) < len(before.rollbacks)
	before.rollbacks = rollbacks
	if dropped {
		h.log.Error("rollback ended", slog.String("pipeline", id), slog.Any("err", why))
	}
	return dropped
}

func loadProblem(t *project.Tenant, err error) flow.Problem {
	problem := flow.Problem{Code: cmp.Or(flow.CodeOf(err), flow.CodePluginFile), Severity: flow.SeverityError, File: t.Settings.Manifest, Message: err.Error()}
	if e, ok := errors.AsType[*flow.Error](err); ok {
		problem.Help = e.Hint
	}
	return problem
}

// without is a project in which tenants are refused.
func without(p *project.Project, bad map[string]flow.Problems) *project.Project {
	less := *p
	less.Tenants = slices.Clone(p.Tenants)
	for i := range less.Tenants {
		if why := bad[less.Tenants[i].Name]; why != nil {
			less.Tenants[i].Project, less.Tenants[i].Refused = nil, why
		}
	}
	return &less
}

// prepare keeps the plugins of a plan, and compiles and checks them.
func (h *Host) prepare(ctx context.Context, p *flow.Plan) error {
	for _, plugin := range p.Plugins {
		if _, kept := h.loader.kept.find(plugin); kept {
			continue
		}
		if err := h.loader.kept.keep(&plugin); err != nil {
			return fmt.Errorf("pipeline %q: %w", p.ID(), err)
		}
	}
	return h.load(ctx, p)
}

// warnings are those of the manifests, and what became of rollbacks.
func (n *next) warnings() flow.Problems {
	all := n.project.AllWarnings()
	for _, text := range n.dropped {
		all = append(all, flow.Problem{Code: flow.CodeReviewed, Severity: flow.SeverityWarning, File: n.project.Path, Message: text})
	}
	return all
}

// commit writes the next state and makes it the present one. Without rows nothing of it is worth a record: what is read
// anew are texts and places.
func (h *Host) commit(ctx context.Context, n *next, before *running, row flow.Deployment, rows bool) (flow.Deployment, error) {
	sources, err := h.openSecrets(n.project)
	if err != nil {
		return row, err
	}
	ctx = context.WithoutCancel(ctx) // what has begun is done
	arm, done, err := h.exchange(ctx, n, before, row, rows, sources)
	if err != nil {
		return row, err
	}
	if err := arm(); err != nil {
		h.log.Error("schedules not armed", slog.Any("err", err))
	}
	for i := range done.Schedules {
		if r := &done.Schedules[i]; r.Active() {
			_, err := h.slotContext(r)
			h.tellBroken(r, err)
		}
	}
	if err := h.requota(ctx, n.project.Tenants); err != nil {
		h.log.Error("waiting runs not started", slog.Any("err", err))
	}
	return done.Deployment, nil
}

// exchange is the moment of a change: nobody who joins memory and ledger looks meanwhile, and no slot is decided.
func (h *Host) exchange(ctx context.Context, n *next, before *running, row flow.Deployment, rows bool, sources map[string]secret.Source) (arm func() error, done flow.Deployed, err error) {
	h.view.Lock()
	defer h.view.Unlock()
	done.Deployment = before.deployment
	if err = h.takenByCode(n); err != nil { // since it was made
		return nil, done, err
	}
	var gone []flow.ScheduleRecord
	if rows {
		kept, err := h.store.Schedules(ctx)
		if err != nil {
			return nil, done, fmt.Errorf("list schedules: %w", err)
		}
		d := h.deploying(n, before, kept, row)
		if done, err = h.store.Deploy(ctx, d); err != nil {
			return nil, done, fmt.Errorf("record the deployment: %w", err)
		}
		gone = d.Gone
	}
	n.deployment = done.Deployment
	h.adopt(n, sources)
	return h.clock.Swap(done.Schedules, gone), done, nil
}

// adopt makes a state the present one in memory. The caller holds view.
func (h *Host) adopt(n *next, sources map[string]secret.Source) {
	h.mu.Lock()
	plans := make(map[string]*entry, len(n.plans))
	for id, e := range h.plans {
		if e.origin != flow.OriginManifest {
			plans[id] = e
		}
	}
	maps.Copy(plans, n.plans)
	h.plans = plans
	h.mu.Unlock()
	h.applied.Store(&n.applied)
	h.setSources(sources)
	h.quotas.set(n.project.Tenants)
}

// deploying is what the ledger is to write. The caller holds view.
func (h *Host) deploying(n *next, before *running, kept []flow.ScheduleRecord, row flow.Deployment) flow.Deploying {
	now := time.Now().UTC()
	d := flow.Deploying{Deployment: row}
	for _, e := range n.fresh(before) {
		d.Plans = append(d.Plans, e.plan)
		if e.own != nil {
			d.Plans = append(d.Plans, *e.own)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(n.rollbacks)) {
		d.Rollbacks = append(d.Rollbacks, n.rollbacks[id])
	}
	old, written := writtenBy(before.plans), writtenBy(n.plans)
	added := map[string]flow.PlanSchedule{}
	for i := range kept {
		if kept[i].Origin != flow.OriginManifest {
			added[flow.ID(kept[i].Tenant, kept[i].Name)] = kept[i].PlanSchedule
		}
	}
	for name, s := range written {
		was, had := old[name]
		if had && sameSchedule(was, s) {
			continue
		}
		if !had {
			was, had = added[name]
		}
		tenant, _ := splitID(name, "")
		if had && (was.At != s.At || was.Timezone != s.Timezone || was.From != s.From || was.To != s.To) {
			d.Slots = append(d.Slots, h.clock.Leave(tenant, s.Name, now)...)
		}
		d.Schedules = append(d.Schedules, flow.ScheduleRecord{Tenant: tenant, PlanSchedule: s, Origin: flow.OriginManifest, Since: now, Watermark: now})
	}
	for name, s := range old {
		tenant, _ := splitID(name, "")
		if _, stays := written[name]; stays || n.refused[tenant] != nil {
			continue
		}
		d.Slots = append(d.Slots, h.clock.Leave(tenant, s.Name, now)...)
		d.Gone = append(d.Gone, flow.ScheduleRecord{Tenant: tenant, PlanSchedule: flow.PlanSchedule{Name: s.Name}})
	}
	for i := range kept { // of pipelines that were stopped
		name := flow.ID(kept[i].Tenant, kept[i].Name)
		_, stays := written[name]
		if _, told := old[name]; kept[i].Origin == flow.OriginManifest && !stays && !told && n.refused[kept[i].Tenant] == nil {
			d.Gone = append(d.Gone, kept[i])
		}
	}
	return d
}

// writtenBy are the schedules of plans, by id.
func writtenBy(plans map[string]*entry) map[string]flow.PlanSchedule {
	all := map[string]flow.PlanSchedule{}
	for _, e := range plans {
		for _, s := range e.plan.Schedules {
			all[flow.ID(e.plan.Tenant, s.Name)] = s
		}
	}
	return all
}

func (h *Host) tellApplied(r *flow.ApplyReport) {
	for tenant, problems := range r.Refused {
		h.log.Error("manifest of a tenant refused, what ran of it goes on", slog.String("tenant", tenant), slog.Any("err", problems))
	}
	if r.Applied {
		h.log.Info("applied", slog.Int64("deployment", r.Deployment.Seq), slog.String("digest", r.Deployment.Digest.Short()), slog.String("cause", r.Deployment.Cause), slog.Int("changes", len(r.Changes)))
	}
}
