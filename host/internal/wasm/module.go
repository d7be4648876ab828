package wasm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/tetratelabs/wazero/sys"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/sdk/abi"
)

// module is a plugin under its grant. The compiled module is fetched for each call, since it may have made room for
// others in between.
type module struct {
	runtime *Runtime
	plugin  flow.PlanPlugin
	key     string
	script  *Script // nil where the module is the plugin itself
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
	s := &session{engine: e, plugin: &m.plugin, script: m.script, log: m.runtime.config.Logger}
	if len(call.Args) == 0 { // arguments are part of the state
		s.pool = e.pool(poolKey{call.Context.Tenant, m.key}, &m.plugin)
	}
	result, err := s.call(ctx, call, host)
	if s.after == nil {
		release()
		return result, err
	}
	m.runtime.work.Go(func() {
		defer release()
		s.after()
	})
	return result, err
}

// Warm implements flow.Warmer.
func (m *module) Warm(ctx context.Context, call flow.Call) error {
	ctx, leave := m.runtime.enter(ctx)
	defer leave()
	e, release, err := m.runtime.acquire(ctx, m.plugin)
	if err != nil {
		return err
	}
	defer release()
	s := &session{engine: e, plugin: &m.plugin, script: m.script, log: m.runtime.config.Logger}
	s.pool = e.pool(poolKey{call.Context.Tenant, m.key}, &m.plugin)
	if s.pool == nil || s.pool.isReady() {
		return nil
	}
	a, err := newAttempt(ctx, s, call, nobody{})
	if err != nil {
		return err
	}
	defer a.close()
	guest, stop := guestContext(ctx, 0)
	defer stop(nil)
	a.guest, a.stop, a.denied = guest, stop, true
	in, err := s.take(withAttempt(guest, a), a)
	if err != nil {
		return err
	}
	in.left(a)
	if s.pool == nil {
		in.close()
	} else if after := s.pool.give(in); after != nil {
		after()
	}
	return nil
}

// nobody is the host of a guest that is only initialised: it keeps nothing, and its services are denied.
type nobody struct{ flow.HostCalls }

// Log implements flow.HostCalls.
func (nobody) Log(flow.LogLevel, string) {}

// Progress implements flow.HostCalls.
func (nobody) Progress(int, string) bool { return false }

// session is one attempt of a compiled module.
type session struct {
	engine *engine
	plugin *flow.PlanPlugin
	script *Script
	pool   *pool // nil when the instance is for this attempt alone
	log    *slog.Logger
	// program is true when the entry is _start, which initialises the module itself.
	program bool
	after   func() // what is left to do when the result is known
}

func (m *session) call(ctx context.Context, call flow.Call, host flow.HostCalls) (flow.Result, error) {
	entry, err := m.entry(call)
	if err != nil {
		return flow.Result{}, err
	}
	a, err := newAttempt(ctx, m, call, host)
	if err != nil {
		return flow.Result{}, err
	}
	defer a.close()
	if a.extism != nil {
		if fault := a.extismInput(m.engine.info.MemoryMin); fault != nil {
			fault.Usage = a.usage()
			return flow.Result{}, fault
		}
	}
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
	if m.script != nil { // an engine finds the function in its script
		name = abi.DefaultEntry
	}
	if name == "" {
		name = cmp.Or(m.engine.info.Default, m.engine.info.usual())
	}
	if name == entryStart && m.engine.info.Profile == ProfileExtism {
		m.pool, m.program = nil, true
	}
	if slices.Contains(m.engine.info.Functions, name) {
		return name, nil
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

// run calls the entry of an instance in its first state.
func (m *session) run(guest context.Context, a *attempt, entry string) (int32, error) {
	guest = withAttempt(guest, a)
	a.denied = true // until the entry: initialisation has no services
	in, err := m.take(guest, a)
	if err != nil {
		return 0, err
	}
	a.denied = false
	a.fuel.restart(a.call.Limits.Fuel)
	ret, err := in.call(guest, entry)
	in.left(a)
	m.engine.grown.Store(uint64(len(in.memory.bytes)))
	if err == nil && m.pool != nil {
		m.after = m.pool.give(in)
	} else {
		in.close()
	}
	return ret, err
}

// take returns an instance that has been initialised.
func (m *session) take(guest context.Context, a *attempt) (*instance, error) {
	if m.pool != nil && m.pool.fits(a) {
		return m.pool.take(guest, a)
	}
	m.pool = nil
	in, err := m.engine.instantiate(guest, a)
	if err != nil {
		return nil, err
	}
	for _, name := range m.engine.info.initialisers() {
		if m.program {
			break
		}
		if _, err := in.call(guest, name); err != nil {
			in.left(a)
			in.close()
			return nil, err
		}
	}
	return in, nil
}

// settle turns the end of the guest into a result or a fault. The end of ctx outweighs a stop by the host, and that what
// the guest says.
func (m *session) settle(ctx context.Context, a *attempt, ret int32, err error) (flow.Result, error) {
	if fault := flow.EndFault(ctx); fault != nil {
		fault = a.told(fault, err)
		fault.Usage = a.usage()
		return flow.Result{}, fault
	}
	if fault, ok := errors.AsType[*flow.Fault](context.Cause(a.guest)); ok {
		fault = a.told(fault, err)
		fault.Usage = a.usage()
		return flow.Result{}, fault
	}
	code, exited := exitCode(err)
	if err != nil && !exited && (a.extism == nil || !a.extism.gaveUp) {
		return flow.Result{}, m.broken(a, err)
	}
	if code != 0 && a.refused {
		return flow.Result{}, a.told(a.outOfMemory(), nil)
	}
	full, verdict := a.outFull(), m.verdict(a, ret, code, exited)
	if verdict.Kind == abi.KindFailed && full != nil {
		if verdict.Message != "" {
			full.Message += "; the guest said: " + verdict.Message
		}
		return flow.Result{}, full
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

// verdict is the guest's own word.
func (m *session) verdict(a *attempt, ret int32, code uint32, exited bool) abi.Verdict {
	switch {
	case a.extism != nil && code == 0:
		return a.extismVerdict(ret)
	case exited || m.engine.info.Profile == ProfileCommand:
		return a.outputs.SettleExit(code, a.stderr.reason())
	}
	return a.outputs.Settle(ret)
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
	fault := trapFault(err, a.where)
	switch {
	case a.refused && fault.Reason == flow.ReasonTrap:
		return a.told(a.outOfMemory(), err)
	case a.outFull() != nil && fault.Reason == flow.ReasonTrap:
		fault = a.outFull()
	case fault.Reason == flow.ReasonInternal:
		m.log.Error("fault of the engine", slog.String("run", string(a.call.Context.RunID)), slog.String("step", a.call.Context.Step), slog.Any("err", err))
	}
	if line := a.stderr.panicLine; line != "" {
		fault.Message += "; the guest said: " + line
	}
	fault = a.told(fault, nil)
	fault.Usage = a.usage()
	return fault
}
