package process

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// hosted is a module whose calls are executed in workers. It is compiled once, in a worker that has seen no other
// module and served nobody; what that one has compiled is handed to the workers that execute it later.
type hosted struct {
	runtime *Runtime
	plugin  flow.PlanPlugin
	id      string        // among the modules of a worker
	reads   string        // the paths that its worker must be able to read, as JSON
	loading chan struct{} // held while it is loaded
	// file is the checked copy and compiled what was made of it; both are set once, under loading.
	file     string
	compiled []keptFile
	index    flow.Digest // of compiled, as it was sealed
}

var _ flow.Module = (*hosted)(nil)

// loadHosted checks the bytes and has a worker load them, which is kept for the first attempt.
func (r *Runtime) loadHosted(ctx context.Context, p flow.PlanPlugin) (flow.Module, error) {
	m, err := r.hostedModule(p)
	if err != nil {
		return nil, err
	}
	select {
	case m.loading <- struct{}{}:
		defer func() { <-m.loading }()
	case <-ctx.Done():
		return nil, fmt.Errorf("load plugin %q: %w", p.Name, context.Cause(ctx))
	}
	if r.stopping() {
		return nil, loadError(p, flow.CodeStopping, "", "the host is stopping", nil)
	}
	if m.file != "" {
		return m, nil
	}
	m.plugin = p // an earlier one could not be loaded
	if err := m.load(ctx); err != nil {
		return nil, err
	}
	return m, nil
}

// load makes the module ready for all workers.
func (m *hosted) load(ctx context.Context) error {
	file, err := m.runtime.takeFile(ctx, m.plugin)
	if err != nil {
		return err
	}
	if m.compiled = m.recall(ctx); m.known(ctx) { // the first attempt will start a worker
		m.file = file
		return nil
	}
	w, err := m.runtime.startWorker(ctx, m)
	if err != nil {
		return err
	}
	if err := w.worker.load(ctx, m, file); err != nil {
		w.end()
		return err
	}
	if m.compiled, err = w.worker.keepCompiled(ctx, m); err != nil {
		m.runtime.log.Warn("compiled module not kept", slog.String("plugin", m.plugin.Name), slog.Any("err", err))
	}
	m.remember(ctx)
	m.file = file
	m.runtime.workers.put(w)
	return nil
}

// hostedModule returns the one module for a digest and grant; it may not be loaded yet.
func (r *Runtime) hostedModule(p flow.PlanPlugin) (*hosted, error) {
	reads, err := json.Marshal(readable(&p))
	if err != nil {
		return nil, loadError(p, flow.CodeProcessHost, "", "the mounts are not valid", err)
	}
	id := p.Key()
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.hosted[id]
	if m == nil {
		m = &hosted{runtime: r, plugin: p, id: id, reads: string(reads), loading: make(chan struct{}, 1)}
		r.hosted[id] = m
	}
	return m, nil
}

// Call implements flow.Module.
func (m *hosted) Call(ctx context.Context, call flow.Call, host flow.HostCalls) (flow.Result, error) {
	if fault := flow.EndFault(ctx); fault != nil {
		return flow.Result{}, fault
	}
	request, fault := encodeCall(&call)
	if fault != nil {
		return flow.Result{}, fault
	}
	leave, fault := m.runtime.enter(ctx)
	if fault != nil {
		return flow.Result{}, fault
	}
	defer leave()
	w, fault := m.worker(ctx, cmp.Or(call.Context.Tenant, flow.DefaultTenant))
	if fault != nil {
		return flow.Result{}, fault
	}
	w.worker.allow(call.Limits.Memory)
	result, fault, alive := newAttempt(w, call, host).inWorker(ctx, m.id, request)
	if alive {
		m.runtime.workers.put(w)
	} else {
		w.end()
	}
	if fault != nil {
		return flow.Result{}, fault
	}
	return result, nil
}

// Warm implements flow.Warmer.
func (m *hosted) Warm(ctx context.Context, call flow.Call) error {
	if !m.runtime.mayWarm() {
		return nil
	}
	leave, fault := m.runtime.enter(ctx)
	if fault != nil {
		return fault
	}
	defer leave()
	w, fault := m.worker(ctx, cmp.Or(call.Context.Tenant, flow.DefaultTenant))
	if fault != nil {
		return fault
	}
	m.runtime.workers.keep(w, true)
	return nil
}

// worker returns a worker of the tenant that has loaded the module: one that waits, or a new one.
func (m *hosted) worker(ctx context.Context, tenant string) (*proc, *flow.Fault) {
	fits := func(w *proc) bool {
		return w.worker.reads == m.reads && (w.tenant == tenant || w.tenant == "" && w.worker.loaded[m.id])
	}
	w := m.runtime.workers.take(tenant, fits)
	if w == nil {
		var err error
		if w, err = m.runtime.startWorker(ctx, m); err != nil {
			return nil, m.workerFault(ctx, err)
		}
		w.tenant = tenant
	}
	if w.worker.loaded[m.id] {
		return w, nil
	}
	if err := w.worker.load(ctx, m, m.file); err != nil {
		w.end()
		return nil, m.workerFault(ctx, err)
	}
	return w, nil
}

// workerFault turns the failure to have a worker into the fault of an attempt.
func (m *hosted) workerFault(ctx context.Context, err error) *flow.Fault {
	if fault := flow.EndFault(ctx); fault != nil {
		return fault
	}
	if m.runtime.stopping() {
		return stopFault()
	}
	return &flow.Fault{Reason: flow.ReasonCrashed, Message: "no worker could take the attempt: " + err.Error(), Err: err}
}
