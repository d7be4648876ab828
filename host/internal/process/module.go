package process

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/sdk/abi"
)

// module is a plugin with its grant, and the processes of it that wait for an attempt.
type module struct {
	runtime *Runtime
	plugin  flow.PlanPlugin
	loading chan struct{} // held while it is loaded
	// program and descriptor are set once, under loading.
	program    string
	descriptor abi.Descriptor
	idle       []*worker // under runtime.mu; the newest last
}

// Call implements flow.Module.
func (m *module) Call(ctx context.Context, call flow.Call, host flow.HostCalls) (flow.Result, error) {
	if fault := flow.EndFault(ctx); fault != nil {
		return flow.Result{}, fault
	}
	doc, fault := encode(call.Context)
	if fault != nil {
		return flow.Result{}, fault
	}
	select {
	case m.runtime.slots <- struct{}{}:
		defer func() { <-m.runtime.slots }()
	case <-ctx.Done():
		return flow.Result{}, flow.EndFault(ctx)
	}
	w, err := m.take(ctx, cmp.Or(call.Context.Tenant, flow.DefaultTenant))
	if err != nil {
		return flow.Result{}, m.startFault(ctx, err)
	}
	a := newAttempt(w, call, host)
	result, fault := a.run(ctx, doc)
	if fault != nil {
		w.end()
		return flow.Result{}, fault
	}
	m.put(w)
	return result, nil
}

// startFault turns the failure to start a process into the fault of an attempt.
func (m *module) startFault(ctx context.Context, err error) *flow.Fault {
	if fault := flow.EndFault(ctx); fault != nil {
		return fault
	}
	if m.runtime.stopping() {
		return stopFault()
	}
	return &flow.Fault{Reason: flow.ReasonCrashed, Message: "the process of the plugin did not start: " + err.Error(), Err: err}
}

func stopFault() *flow.Fault {
	return &flow.Fault{Reason: flow.ReasonStop, Message: "the host is stopping"}
}

// take returns a process for one attempt of the tenant: one that served the tenant before, one that served nobody yet,
// or a new one.
func (m *module) take(ctx context.Context, tenant string) (*worker, error) {
	if w := m.takeIdle(tenant); w != nil {
		return w, nil
	}
	w, err := m.runtime.startWorker(ctx, m, m.program)
	if err != nil {
		return nil, err
	}
	w.tenant = tenant
	return w, nil
}

func (m *module) takeIdle(tenant string) *worker {
	m.runtime.mu.Lock()
	defer m.runtime.mu.Unlock()
	for i, w := range slices.Backward(m.idle) {
		if w.tenant != tenant && w.tenant != "" || w.child.ended() {
			continue
		}
		if m.dropIdle(i) { // else its time was over in this moment
			w.tenant = tenant
			return w
		}
	}
	return nil
}

// dropIdle takes the worker at place i out of the idle ones, under runtime.mu, and reports whether it was in time.
func (m *module) dropIdle(i int) bool {
	inTime := m.idle[i].timer.Stop()
	m.idle = slices.Delete(m.idle, i, i+1)
	m.runtime.kept--
	return inTime
}

// freshTime is how long a process is kept that Load started and that served nobody yet, where processes are not kept
// after an attempt.
const freshTime = time.Minute

// put keeps the process for the next attempt, for a while, where there is room.
func (m *module) put(w *worker) {
	r := m.runtime
	r.mu.Lock()
	defer r.mu.Unlock()
	keep := r.idle
	if keep < 0 && w.tenant == "" {
		keep = freshTime
	}
	if r.closed || keep < 0 || r.kept >= r.parallel || w.child.ended() {
		w.child.kill()
		return
	}
	w.timer = time.AfterFunc(keep, w.child.kill)
	m.idle = append(m.idle, w)
	r.kept++
}

// forget is told when a process has ended.
func (m *module) forget(w *worker) {
	m.runtime.mu.Lock()
	defer m.runtime.mu.Unlock()
	if i := slices.Index(m.idle, w); i >= 0 {
		m.dropIdle(i)
	}
	delete(m.runtime.alive, w)
}
