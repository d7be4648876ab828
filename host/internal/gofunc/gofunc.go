// Package gofunc is the flow.Runtime of plugins that are Go functions of the embedding program. They run in the host's
// own process: they are trusted, not confined, and cannot be stopped by force. A panic ends the attempt, not the host.
//
// It must not know the other runtimes, the services or the ledger.
package gofunc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/sdk/abi"
)

// Func is a step. It returns soon after ctx ends: one that does not is left behind when its grace is over, its attempt
// fails as a timeout, and its goroutine goes on until it returns by itself.
type Func func(ctx context.Context, c *Call) error

// Runtime holds the registered functions. It is safe for concurrent use.
type Runtime struct {
	log *slog.Logger

	mu    sync.RWMutex
	funcs map[string]Func
}

var _ flow.Runtime = (*Runtime)(nil)

// New returns a Runtime without functions. Panics of functions are logged to log, with their stack.
func New(log *slog.Logger) *Runtime {
	return &Runtime{log: log, funcs: map[string]Func{}}
}

// Register names a function for plugins of flow.KindFunc. A name is taken once; an empty one or a nil function is
// refused. The error has the code CodeRegister.
func (r *Runtime) Register(name string, f Func) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	op := fmt.Sprintf("register function %q", name)
	switch _, taken := r.funcs[name]; {
	case name == "":
		return &flow.Error{Code: flow.CodeFuncRegister, Op: op, Message: "a function needs a name"}
	case f == nil:
		return &flow.Error{Code: flow.CodeFuncRegister, Op: op, Message: "the function is nil"}
	case taken:
		return &flow.Error{Code: flow.CodeFuncRegister, Op: op, Message: "the name is taken", Hint: "register each function once, before the host starts"}
	}
	r.funcs[name] = f
	return nil
}

// Load finds the function that p.Path names. The error has the code CodeFuncUnknown.
func (r *Runtime) Load(_ context.Context, p flow.PlanPlugin) (flow.Module, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	f, ok := r.funcs[p.Path]
	if !ok {
		known := strings.Join(slices.Sorted(maps.Keys(r.funcs)), ", ")
		if known == "" {
			known = "none"
		}
		return nil, &flow.Error{
			Code: flow.CodeFuncUnknown, Op: fmt.Sprintf("load plugin %q", p.Name),
			Message: fmt.Sprintf("no function %q is registered; registered: %s", p.Path, known),
			Hint:    "register it on the host before the pipeline runs",
		}
	}
	return &module{name: p.Path, f: f, log: r.log}, nil
}

// Close does nothing: functions belong to the embedder.
func (r *Runtime) Close(context.Context) error { return nil }

type module struct {
	name string
	f    Func
	log  *slog.Logger
}

// Call implements flow.Module.
func (m *module) Call(ctx context.Context, call flow.Call, host flow.HostCalls) (flow.Result, error) {
	if fault := flow.EndFault(ctx); fault != nil {
		return flow.Result{}, fault
	}
	if f := call.Context.Function; f != "" && f != m.name {
		return flow.Result{}, &flow.Fault{
			Reason: flow.ReasonInvalid, Message: fmt.Sprintf("the Go function %q has no entry %q", m.name, f), Hint: "remove function from the step",
		}
	}
	c := &Call{RunContext: call.Context, host: host, attempt: abi.NewAttempt(abi.Limits{OutputBytes: int(call.Limits.Output)})}
	done := make(chan error, 1)
	go func() { done <- m.protected(ctx, c) }()
	select {
	case err := <-done:
		return m.settle(ctx, c, err)
	case <-ctx.Done():
	}
	select {
	case err := <-done:
		return m.settle(ctx, c, err)
	case <-time.After(call.Grace.Std()):
		fault := flow.EndFault(ctx)
		fault.Message += fmt.Sprintf("; the Go function %q ignored it for %s and was left behind", m.name, call.Grace)
		fault.Hint = "return when ctx ends; a Go function cannot be stopped by force"
		fault.Usage = c.close()
		return flow.Result{}, fault
	}
}

// settle turns the function's answer into a result. A panic outweighs the end of ctx, and that any answer.
func (m *module) settle(ctx context.Context, c *Call, err error) (flow.Result, error) {
	usage := c.close()
	if fault, ok := errors.AsType[*flow.Fault](err); ok && fault.Reason == flow.ReasonPanic {
		fault.Usage = usage
		return flow.Result{}, fault
	}
	if fault := flow.EndFault(ctx); fault != nil {
		fault.Usage = usage
		return flow.Result{}, fault
	}
	return c.result(err, usage), nil
}

// protected calls the function and turns a panic into a fault.
func (m *module) protected(ctx context.Context, c *Call) (err error) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		m.log.Error("panic in a Go function", slog.String("plugin", m.name), slog.String("run", string(c.RunID)), slog.String("step", c.Step),
			slog.Any("err", p), slog.String("stack", string(debug.Stack())))
		err = &flow.Fault{Reason: flow.ReasonPanic, Message: abi.ClipMessage(fmt.Sprintf("the Go function %q panicked: %v", m.name, p)), Hint: "the host's log holds the stack"}
	}()
	return m.f(ctx, c)
}
