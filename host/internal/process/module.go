package process

import (
	"cmp"
	"context"

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
	pool       pool
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
	leave, fault := m.runtime.enter(ctx)
	if fault != nil {
		return flow.Result{}, fault
	}
	defer leave()
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
	m.pool.put(w)
	return result, nil
}

// Warm implements flow.Warmer.
func (m *module) Warm(ctx context.Context, call flow.Call) error {
	if !m.runtime.mayWarm() {
		return nil
	}
	leave, fault := m.runtime.enter(ctx)
	if fault != nil {
		return fault
	}
	defer leave()
	w, err := m.take(ctx, cmp.Or(call.Context.Tenant, flow.DefaultTenant))
	if err != nil {
		return m.startFault(ctx, err)
	}
	m.pool.keep(w, true)
	return nil
}

// enter waits for a place among the attempts that may be live together; leave gives it up.
func (r *Runtime) enter(ctx context.Context) (leave func(), fault *flow.Fault) {
	select {
	case r.slots <- struct{}{}:
		return func() { <-r.slots }, nil
	case <-ctx.Done():
		return nil, flow.EndFault(ctx)
	}
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
func (m *module) take(ctx context.Context, tenant string) (*proc, error) {
	fits := func(w *proc) bool { return w.tenant == tenant || w.tenant == "" }
	if w := m.pool.take(tenant, fits); w != nil {
		return w, nil
	}
	w, err := m.runtime.startPlugin(ctx, m, m.program)
	if err != nil {
		return nil, err
	}
	w.tenant = tenant
	return w, nil
}
