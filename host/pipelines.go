package host

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/gofunc"
	"github.com/uniflow-dev/uniflow/host/internal/plan"
	"github.com/uniflow-dev/uniflow/host/internal/project"
	"github.com/uniflow-dev/uniflow/host/internal/service"
	"github.com/uniflow-dev/uniflow/sdk/abi"
)

// Func is a step written in Go: it reads c.Context, sets outputs with c.Output, and fails its attempt by returning an
// error; Skip, Retry and Permanent make errors with a meaning of their own. It must end when ctx does: one that goes on
// is abandoned, and its goroutine with it.
type Func = gofunc.Func

// Call is what a Func is given: the run context, and the host side of the attempt.
type Call = gofunc.Call

// Skip is an error that ends a step as skipped: no failure, and no step that needs it runs.
func Skip(reason string) error { return abi.Skip(reason) }

// Retry is an error that asks for another attempt after a wait, if the step's retry policy has one left.
func Retry(err error, after time.Duration) error { return abi.Retry(err, after) }

// Permanent is an error that no retry can mend.
func Permanent(err error) error { return abi.Permanent(err) }

// Register makes a Go function usable as a plugin of that name in pipelines that are defined in code. A name is
// registered once.
func (h *Host) Register(name string, f Func) error {
	if err := h.funcs.Register(name, f); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.registered = append(h.registered, name)
	return nil
}

// functions returns the names of the registered functions.
func (h *Host) functions() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.registered)
}

// Define adds a pipeline that is built in code, or replaces it. Its steps may name registered functions, plugins of
// the manifest, and files relative to the manifest's folder (without a manifest, to the working directory). All
// mistakes come back at once as flow.Problems. A schedule in it is of origin api, and kept until it is unscheduled; an
// earlier life of the host may have left one, so define a pipeline before Start: slots that are due then and have no
// pipeline are skipped.
func (h *Host) Define(ctx context.Context, p flow.Pipeline) error {
	h.view.RLock()
	defer h.view.RUnlock()
	if h.config.ReadOnly {
		return errReadOnly("define a pipeline")
	}
	plans, problems := plan.Build(h.manifestOf(p), h.planInputs())
	if bad := problems.Errors(); len(bad) > 0 {
		return bad
	}
	if e := h.entry(flow.ID(flow.DefaultTenant, p.Name)); e != nil && e.origin == flow.OriginManifest {
		return &flow.Error{Code: flow.CodeExists, Op: "define pipeline " + p.Name, Message: "the manifest has a pipeline of that name", Hint: "choose another name"}
	}
	for _, built := range plans {
		if built.Pipeline != p.Name {
			continue
		}
		if err := h.keepPlan(ctx, built, flow.OriginAPI); err != nil {
			return err
		}
		for _, s := range built.Schedules {
			if _, err := h.putSchedule(ctx, built.Tenant, s, flow.OriginAPI); err != nil {
				return err
			}
		}
	}
	return nil
}

// manifestOf is the host's manifest with one pipeline instead of its own.
func (h *Host) manifestOf(p flow.Pipeline) flow.Manifest {
	m := flow.Manifest{Version: 1, Host: flow.HostSettings{Secrets: h.config.Secrets}}
	if h.current() != nil {
		m = h.current().Manifest()
	}
	plugins := map[string]flow.Plugin{}
	for _, name := range h.functions() {
		plugins[name] = h.function(name)
	}
	maps.Copy(plugins, m.Plugins)
	m.Plugins, m.Schedules = plugins, nil
	m.Pipelines = map[string]flow.Pipeline{p.Name: p}
	return m
}

func (h *Host) planInputs() plan.Inputs {
	in := plan.Inputs{Funcs: map[string]bool{}}
	for _, name := range h.functions() {
		in.Funcs[name] = true
	}
	if h.current() != nil {
		in.Resolved, in.Calendars = h.current().Resolved, h.current().Calendars
	}
	return in
}

// projectOf is the manifest of a tenant with all that it names, of one that is refused that of before; nil where there is
// none.
func (h *Host) projectOf(tenant string) *project.Project { return h.applied.Load().of(tenant) }

// entries returns the known pipelines by id.
func (h *Host) entries() []*entry {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := make([]*entry, 0, len(h.plans))
	for _, e := range h.plans {
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b *entry) int { return cmp.Compare(a.plan.ID(), b.plan.ID()) })
	return all
}

func (h *Host) entry(id string) *entry {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.plans[id]
}

// known returns a pipeline or an error with the nearest names.
func (h *Host) known(id string) (*entry, error) {
	a := readID(id)
	if e := h.entry(flow.ID(a.tenant, a.name)); e != nil && a.is(e.plan.Tenant, e.plan.Pipeline) {
		return e, nil
	}
	var names []string
	for _, e := range h.entries() {
		if a.hears(e.plan.Tenant) {
			names = append(names, e.plan.ID())
		}
	}
	return nil, notFound("pipeline", id, names)
}

// notFound names what there is instead.
func notFound(what, name string, names []string) error {
	hint := "there is none yet"
	if len(names) > 0 {
		slices.Sort(names)
		more := ""
		if len(names) > 10 {
			names, more = names[:10], ", …"
		}
		hint = "there is: " + strings.Join(names, ", ") + more
	}
	return &flow.Error{Code: flow.CodeNotFound, Message: fmt.Sprintf("no %s %.80q", what, name), Hint: hint, Err: flow.ErrNotFound}
}

// Pipelines lists all pipelines by id.
func (h *Host) Pipelines(ctx context.Context) ([]flow.PipelineInfo, error) {
	return h.pipelinesOf(ctx, "")
}

// pipelinesOf lists the pipelines of a tenant; empty stands for all.
func (h *Host) pipelinesOf(ctx context.Context, tenant string) ([]flow.PipelineInfo, error) {
	h.view.RLock()
	defer h.view.RUnlock()
	infos := []flow.PipelineInfo{}
	for _, e := range h.entries() {
		if tenant != "" && e.plan.Tenant != tenant {
			continue
		}
		info, err := h.pipelineInfo(ctx, e)
		if err != nil {
			return nil, err
		}
		infos = append(infos, info)
	}
	return infos, nil
}

// Pipeline returns one pipeline with its plan.
func (h *Host) Pipeline(ctx context.Context, id string) (flow.PipelineInfo, error) {
	h.view.RLock()
	defer h.view.RUnlock()
	e, err := h.known(id)
	if err != nil {
		return flow.PipelineInfo{}, err
	}
	info, err := h.pipelineInfo(ctx, e)
	info.Plan = &e.plan
	return info, err
}

func (h *Host) pipelineInfo(ctx context.Context, e *entry) (flow.PipelineInfo, error) {
	p := &e.plan
	info := flow.PipelineInfo{
		ID: p.ID(), Project: p.Project, About: p.About, Owner: p.Owner, Label: p.Label, Version: p.Digest, Origin: e.origin, Steps: []string{},
	}
	if e.own != nil {
		info.Over = e.own.Digest
	}
	for i := range p.Steps {
		info.Steps = append(info.Steps, p.Steps[i].Name)
	}
	for i := range p.Schedules {
		info.Schedules = append(info.Schedules, p.Schedules[i].Name)
	}
	last, err := h.store.Runs(ctx, flow.RunQuery{Tenant: p.Tenant, Pipeline: p.Pipeline, Limit: 1})
	if err != nil {
		return info, fmt.Errorf("last run of %q: %w", p.ID(), err)
	}
	if len(last) > 0 {
		info.LastRun = &last[0]
	}
	return info, nil
}

// State returns what a pipeline keeps from run to run, by key.
func (h *Host) State(ctx context.Context, id string) (map[string]json.RawMessage, error) {
	e, err := h.known(id)
	if err != nil {
		return nil, err
	}
	return h.store.State(ctx, e.plan.Tenant, e.plan.Pipeline, "")
}

// SetState changes what a pipeline keeps, and returns all of it. A run that is live writes over it when it succeeds.
func (h *Host) SetState(ctx context.Context, id string, c flow.StateChange) (map[string]json.RawMessage, error) {
	e, err := h.known(id)
	if err != nil {
		return nil, err
	}
	if h.config.ReadOnly {
		return nil, errReadOnly("change the state")
	}
	h.bounding.Lock() // or many who ask at one time would each find room
	defer h.bounding.Unlock()
	kept, err := h.store.State(ctx, e.plan.Tenant, e.plan.Pipeline, "")
	if err != nil {
		return nil, err
	}
	before := sizeOf(kept)
	change := map[string]json.RawMessage{}
	for _, key := range c.Delete {
		if _, ok := kept[key]; !ok {
			return nil, &flow.Error{Code: flow.CodeNotFound, Op: fmt.Sprintf("change the state of %q", id), Message: fmt.Sprintf("it keeps nothing at %q", key), Err: flow.ErrNotFound, Hint: "uniflow pipeline state " + id}
		}
		delete(kept, key)
		change[key] = nil
	}
	maps.Copy(kept, c.Set)
	maps.Copy(change, c.Set)
	if err := service.CheckState(kept); err != nil {
		return nil, &flow.Error{Code: flow.CodeRequest, Op: fmt.Sprintf("change the state of %q", id), Message: err.Error()}
	}
	if err := h.stateFits(ctx, &e.plan, before, sizeOf(kept), fmt.Sprintf("change the state of %q", id)); err != nil {
		return nil, err
	}
	if err := h.store.SetState(ctx, e.plan.Tenant, e.plan.Pipeline, change); err != nil {
		return nil, err
	}
	return kept, nil
}
