package wasm

import (
	"bytes"
	"context"
	"io"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
	wasys "github.com/tetratelabs/wazero/sys"

	"github.com/uniflow-dev/uniflow/host/internal/wasm/binary"
	"github.com/uniflow-dev/uniflow/sdk/abi"
)

// instance is a module that has a state. Everything that WASI shows to it is that of the attempt whose turn it is.
type instance struct {
	module    api.Module
	attempt   *attempt
	memory    memory
	fuel      api.MutableGlobal
	globals   []api.MutableGlobal
	functions map[string]api.Function
	// touched is true when the guest has changed descriptors: the engine keeps their state, which nothing here puts back.
	touched bool
}

// maxLikely bounds the memory that an instance is given room for before it asks.
const maxLikely = 16 << 20

// instantiate makes an instance for the attempt; a start function of the module is executed.
func (e *engine) instantiate(guest context.Context, a *attempt) (*instance, error) {
	in := &instance{attempt: a, memory: memory{limit: a.limit, likely: min(e.grown.Load(), maxLikely), attempt: a}, functions: map[string]api.Function{}}
	a.instance = in
	config, err := in.config(e.info)
	if err != nil {
		return nil, err
	}
	in.module, err = e.runtime.InstantiateModule(experimental.WithMemoryAllocator(guest, &in.memory), e.compiled, config)
	if err != nil {
		in.left(a)
		return nil, err
	}
	in.fuel, _ = in.module.ExportedGlobal(binary.FuelExport).(api.MutableGlobal) // the rewriting has put it there
	a.fuel.left = in.fuel
	return in, nil
}

// enter gives the instance to an attempt.
func (in *instance) enter(a *attempt) {
	in.attempt, a.instance = a, in
	in.memory.limit, in.memory.refused, in.memory.attempt = a.limit, false, a
	in.memory.peak = uint64(len(in.memory.bytes))
	a.fuel.left = in.fuel
}

// left notes what the attempt has used; the instance is another's from then on.
func (in *instance) left(a *attempt) {
	a.peak, a.refused = in.memory.peak, in.memory.refused
	in.noteOpen(a)
	in.memory.attempt = nil
	a.fuel.stop()
}

// noteOpen marks an instance that still holds files open.
func (in *instance) noteOpen(a *attempt) { in.touched = in.touched || a.files != nil && a.files.n > 0 }

// call calls an exported function and returns its result, if it has one. Parameters, which only hs_init has, are zero.
func (in *instance) call(guest context.Context, name string) (int32, error) {
	f := in.functions[name]
	if f == nil {
		f = in.module.ExportedFunction(name)
		in.functions[name] = f
	}
	var stack [2]uint64
	err := f.CallWithStack(guest, stack[:])
	return api.DecodeI32(stack[0]), err
}

// close frees the instance.
func (in *instance) close() { _ = in.module.Close(context.Background()) } // it has nothing to write

// config is what WASI shows to this instance. Arguments and variables of a reactor are the same in every attempt.
func (in *instance) config(info *Info) (wazero.ModuleConfig, error) {
	a := in.attempt
	c := wazero.NewModuleConfig().WithName("").WithStartFunctions().
		WithStderr(writer(func() io.Writer { return in.attempt.stderr })).
		WithStdout(writer(func() io.Writer { return in.attempt.standardOutput() }))
	if !info.WASI {
		return c, nil
	}
	for _, name := range slices.Sorted(maps.Keys(a.grant.Env)) {
		c = c.WithEnv(name, a.grant.Env[name])
	}
	if a.script != nil {
		c = c.WithEnv(envScript, dirScript+"/"+a.script.Entry)
	}
	if info.Profile == ProfileCommand {
		stdin, err := a.stdin()
		if err != nil {
			return nil, err
		}
		run := &a.call.Context
		c = c.WithStdin(bytes.NewReader(stdin)).WithArgs(append([]string{run.Step}, a.call.Args...)...).
			WithEnv(abi.EnvRunID, string(run.RunID)).WithEnv(abi.EnvStep, run.Step).
			WithEnv(abi.EnvAttempt, strconv.Itoa(run.Attempt)).WithEnv(abi.EnvDeadline, run.Deadline.UTC().Format(time.RFC3339Nano))
	} else {
		c = c.WithArgs(append([]string{a.plugin}, a.call.Args...)...)
	}
	return in.ambient(c).WithFSConfig(in.fsConfig()), nil
}

// ambient gives the guest time and randomness.
func (in *instance) ambient(c wazero.ModuleConfig) wazero.ModuleConfig {
	c = c.WithNanosleep(func(ns int64) { in.attempt.sleep(time.Duration(ns)) }).
		WithRandSource(reader(func(p []byte) (int, error) { return in.attempt.randomness().Read(p) }))
	if in.attempt.grant.Clock {
		return c.WithSysWalltime().WithSysNanotime()
	}
	return c.WithWalltime(func() (int64, int32) { return in.attempt.clock.walltime() }, wasys.ClockResolution(time.Microsecond)).
		WithNanotime(func() int64 { return in.attempt.clock.nanotime() }, wasys.ClockResolution(time.Microsecond))
}

// writer is an io.Writer that is chosen at each write.
type writer func() io.Writer

// Write implements io.Writer.
func (w writer) Write(p []byte) (int, error) { return w().Write(p) }

// reader is a function as an io.Reader.
type reader func([]byte) (int, error)

// Read implements io.Reader.
func (r reader) Read(p []byte) (int, error) { return r(p) }
