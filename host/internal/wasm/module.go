package wasm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/sys"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/sdk/abi"
)

// module is a plugin under its grant. The compiled module is fetched for each call, since it may have made room for
// others in between.
type module struct {
	runtime *Runtime
	plugin  flow.PlanPlugin
}

// Call implements flow.Module.
func (m *module) Call(ctx context.Context, call flow.Call, host flow.HostCalls) (flow.Result, error) {
	if fault := flow.EndFault(ctx); fault != nil {
		return flow.Result{}, fault
	}
	ctx, leave := m.runtime.enter(ctx)
	defer leave()
	e, release, err := m.runtime.acquire(ctx, m.plugin)
	if fault := flow.EndFault(ctx); err != nil && fault != nil {
		return flow.Result{}, fault
	}
	if err != nil {
		return flow.Result{}, &flow.Fault{Reason: flow.ReasonInvalid, Message: err.Error(), Err: err}
	}
	defer release()
	s := &session{engine: e, log: m.runtime.config.Logger}
	return s.call(ctx, m.plugin.Grant, call, host)
}

// session is one attempt of a compiled module.
type session struct {
	engine *engine
	log    *slog.Logger
}

func (m *session) call(ctx context.Context, grant flow.Grant, call flow.Call, host flow.HostCalls) (flow.Result, error) {
	entry, err := m.entry(call)
	if err != nil {
		return flow.Result{}, err
	}
	a, err := newAttempt(ctx, m, grant, call, host)
	if err != nil {
		return flow.Result{}, err
	}
	defer a.close()
	guest, stop := guestContext(ctx, call.Grace.Std())
	defer stop(nil)
	a.guest, a.stop = guest, stop
	ret, err := m.run(guest, a, entry)
	a.flush()
	return m.settle(ctx, a, ret, err)
}

// entry returns the name of the function to call.
func (m *session) entry(call flow.Call) (string, error) {
	name := call.Context.Function
	if m.engine.info.Profile == ProfileCommand {
		if name != "" && name != entryStart {
			return "", &flow.Fault{
				Reason: flow.ReasonInvalid, Message: fmt.Sprintf("the plugin is a command, which has no function %.100q", name),
				Hint: "remove function from the step, and pass what it should do in with or args",
			}
		}
		return entryStart, nil
	}
	if name == "" {
		name = abi.DefaultEntry
	}
	for _, f := range m.engine.info.Functions {
		if f == name {
			return name, nil
		}
	}
	return "", &flow.Fault{
		Reason: flow.ReasonInvalid, Message: fmt.Sprintf("the plugin has no function %.100q", name),
		Hint: "name one of its functions in the step: " + few(m.engine.info.Functions),
	}
}

// few lists names for a message.
func few(names []string) string {
	const most = 20
	shown := make([]string, 0, most)
	for _, name := range names[:min(len(names), most)] {
		shown = append(shown, printable(name))
	}
	if len(names) > most {
		shown = append(shown, fmt.Sprintf("and %d more", len(names)-most))
	}
	return strings.Join(shown, ", ")
}

// guestContext ends when the guest must be stopped: at stop, or when the grace after the end of ctx is over.
func guestContext(ctx context.Context, grace time.Duration) (guest context.Context, stop context.CancelCauseFunc) {
	guest, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	unhook := context.AfterFunc(ctx, func() {
		defer cancel(nil)
		if grace <= 0 {
			return
		}
		timer := time.NewTimer(grace)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-guest.Done():
		}
	})
	return guest, func(cause error) {
		unhook()
		cancel(cause)
	}
}

// run gives the attempt a fresh instance and calls the entry.
func (m *session) run(guest context.Context, a *attempt, entry string) (ret int32, err error) {
	guest = experimental.WithMemoryAllocator(withAttempt(guest, a), &a.memory)
	config, err := a.moduleConfig(guest)
	if err != nil {
		return 0, err
	}
	a.denied = true // until the entry: initialisation has no services
	instance, err := m.engine.runtime.InstantiateModule(guest, m.engine.compiled, config)
	if err != nil {
		return 0, err //nolint:wrapcheck // settle reads it
	}
	defer instance.Close(context.WithoutCancel(guest)) //nolint:errcheck // nothing is left to do
	if m.engine.info.Profile == ProfileReactor {
		if f := instance.ExportedFunction(entryInitialize); f != nil {
			if _, err := f.Call(guest); err != nil {
				return 0, err //nolint:wrapcheck // settle reads it
			}
		}
	}
	a.denied = false
	a.fuel.restart(a.call.Limits.Fuel)
	results, err := instance.ExportedFunction(entry).Call(guest)
	if err == nil && len(results) == 1 {
		ret = api.DecodeI32(results[0])
	}
	return ret, err //nolint:wrapcheck // settle reads it
}

// settle turns the end of the guest into a result or a fault. The end of ctx outweighs a stop by the host, and that what
// the guest says.
func (m *session) settle(ctx context.Context, a *attempt, ret int32, err error) (flow.Result, error) {
	if fault := flow.EndFault(ctx); fault != nil {
		fault.Usage = a.usage()
		return flow.Result{}, fault
	}
	if fault, ok := errors.AsType[*flow.Fault](context.Cause(a.guest)); ok {
		fault.Usage = a.usage()
		return flow.Result{}, fault
	}
	code, exited := exitCode(err)
	if err != nil && !exited {
		return flow.Result{}, m.broken(a, err)
	}
	if code != 0 && a.memory.refused {
		return flow.Result{}, a.outOfMemory()
	}
	var verdict abi.Verdict
	if exited || m.engine.info.Profile == ProfileCommand {
		verdict = a.outputs.SettleExit(code, a.stderr.reason())
	} else {
		verdict = a.outputs.Settle(ret)
	}
	result := flow.Result{
		Verdict: flow.Verdict(verdict.Kind), Code: verdict.Code, Message: verdict.Message, RetryAfter: flow.Duration(verdict.RetryAfter),
	}
	if code != 0 {
		n := int(code)
		result.ExitCode = &n
	}
	if verdict.Kind == abi.KindOK || verdict.Kind == abi.KindSkip {
		fault := a.collect(ctx)
		if ended := flow.EndFault(ctx); ended != nil {
			fault = ended // whatever else went wrong then
		}
		if fault != nil {
			fault.Usage = a.usage()
			return flow.Result{}, fault
		}
		result.Outputs = a.outputs.Outputs()
	}
	result.Usage = a.usage()
	return result, nil
}

// exitCode returns the code of a guest that ended by proc_exit.
func exitCode(err error) (uint32, bool) {
	exit, ok := errors.AsType[*sys.ExitError](err)
	if !ok {
		return 0, false
	}
	return exit.ExitCode(), true
}

// broken turns an error of the engine into a fault.
func (m *session) broken(a *attempt, err error) error {
	if fault, ok := errors.AsType[*flow.Fault](err); ok {
		fault.Usage = a.usage()
		return fault
	}
	fault := trapFault(err)
	switch {
	case a.memory.refused && fault.Reason == flow.ReasonTrap:
		return a.outOfMemory()
	case fault.Reason == flow.ReasonInternal:
		m.log.Error("fault of the engine", slog.String("run", string(a.call.Context.RunID)), slog.String("step", a.call.Context.Step), slog.Any("err", err))
	}
	if line := a.stderr.panicLine; line != "" {
		fault.Message += "; the guest said: " + line
	}
	fault.Usage = a.usage()
	return fault
}
