package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"

	extism "github.com/extism/go-sdk"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/hosttest"
)

// addOurs adds the step as Uniflow runs it: a sandbox in its first state,
// limits, a deadline, services and a checked result in each call.
func (l *lineup) addOurs(ctx context.Context, lang, path string) error {
	m, err := hosttest.Load(ctx, path, hosttest.Config{})
	if err != nil {
		return fmt.Errorf("load under Uniflow: %w", err)
	}
	l.closers = append(l.closers, func(context.Context) error { return m.Close() })
	l.add(lang, "Uniflow, reset sandbox", ours, func(ctx context.Context) ([]byte, error) { return l.ours(ctx, m) })
	return nil
}

// ours runs the step in a sandbox of ours.
func (l *lineup) ours(ctx context.Context, m *hosttest.Module) ([]byte, error) {
	out, err := m.Call(ctx, hosttest.Input{With: l.with})
	if err == nil && out.Verdict != flow.VerdictOK {
		err = fmt.Errorf("the step did not succeed: %s", out.Message)
	}
	return out.Outputs["result"], err
}

// exchange is what the host functions of raw wazero work on.
type exchange struct {
	input  []byte
	output []byte
}

// raw is a module on wazero alone, with the least host functions that it links
// with: no limits, no deadline, and the memory of the calls before.
type raw struct {
	exchange

	runtime  wazero.Runtime
	compiled wazero.CompiledModule
	config   wazero.ModuleConfig
	module   api.Module
}

// newRaw compiles and instantiates a module; the function closes it.
func newRaw(ctx context.Context, path string) (*raw, func(context.Context) error, error) {
	r := &raw{runtime: wazero.NewRuntime(ctx), config: wazero.NewModuleConfig().WithName("").WithStartFunctions("_initialize")}
	var err error
	if r.compiled, err = r.compile(ctx, r.runtime, path); err == nil {
		r.module, err = r.runtime.InstantiateModule(ctx, r.compiled, r.config)
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("load under wazero: %w", err), r.runtime.Close(ctx))
	}
	return r, r.runtime.Close, nil
}

// addRaw adds the same module on wazero alone.
func (l *lineup) addRaw(ctx context.Context, lang, path string) error {
	r, closeRaw, err := newRaw(ctx, path)
	if err != nil {
		return err
	}
	l.closers = append(l.closers, closeRaw)
	r.input = l.doc
	l.add(lang, nameFresh, peer, func(ctx context.Context) ([]byte, error) {
		instance, err := r.runtime.InstantiateModule(ctx, r.compiled, r.config)
		if err != nil {
			return nil, err
		}
		defer instance.Close(ctx)
		return r.call(ctx, instance.ExportedFunction("uniflow_run"))
	})
	entry := r.module.ExportedFunction("uniflow_run")
	l.add(lang, "wazero, reused instance", floor, func(ctx context.Context) ([]byte, error) { return r.call(ctx, entry) })
	return nil
}

// compile compiles a module and instantiates what it imports.
func (x *exchange) compile(ctx context.Context, runtime wazero.Runtime, path string) (wazero.CompiledModule, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if _, err := wasi_snapshot_preview1.Instantiate(ctx, runtime); err != nil {
		return nil, err
	}
	compiled, err := runtime.CompileModule(ctx, b)
	if err != nil {
		return nil, err
	}
	builder := runtime.NewHostModuleBuilder("uniflow")
	for _, f := range compiled.ImportedFunctions() {
		if from, name, _ := f.Import(); from == "uniflow" {
			builder.NewFunctionBuilder().WithGoModuleFunction(x.function(name), f.ParamTypes(), f.ResultTypes()).Export(name)
		}
	}
	_, err = builder.Instantiate(ctx)
	return compiled, err
}

// function returns a host function by its name in the contract. What the step
// does not need ends the guest.
func (x *exchange) function(name string) api.GoModuleFunc {
	switch name {
	case "input_size":
		return func(_ context.Context, _ api.Module, stack []uint64) { stack[0] = uint64(len(x.input)) }
	case "input_read":
		return func(_ context.Context, m api.Module, stack []uint64) {
			dst, off, size := api.DecodeU32(stack[0]), api.DecodeU32(stack[1]), api.DecodeU32(stack[2])
			part := x.input[min(int(off), len(x.input)):]
			part = part[:min(int(size), len(part))]
			if !m.Memory().Write(dst, part) {
				panic("input_read: bad pointer")
			}
			stack[0] = uint64(len(part))
		}
	case "output":
		return func(_ context.Context, m api.Module, stack []uint64) {
			value, ok := m.Memory().Read(api.DecodeU32(stack[2]), api.DecodeU32(stack[3]))
			if !ok {
				panic("output: bad pointer")
			}
			x.output = append(x.output[:0], value...)
			stack[0] = 0
		}
	}
	return func(context.Context, api.Module, []uint64) { panic(name + ": the step does not need it") }
}

// call calls an entry; the answer is valid until the next call.
func (x *exchange) call(ctx context.Context, entry api.Function) ([]byte, error) {
	x.output = x.output[:0]
	results, err := entry.Call(ctx)
	if err != nil {
		return nil, err
	}
	if code := api.DecodeI32(results[0]); code != 0 {
		return nil, fmt.Errorf("the entry returned %d", code)
	}
	return x.output, nil
}

// newExtism compiles a plugin of the Extism Go SDK, with the deadline that it
// needs to stop a guest.
func newExtism(ctx context.Context, path string) (*extism.CompiledPlugin, error) {
	manifest := extism.Manifest{Wasm: []extism.Wasm{extism.WasmFile{Path: path}}, Timeout: 60_000} // milliseconds
	compiled, err := extism.NewCompiledPlugin(ctx, manifest, extism.PluginConfig{EnableWasi: true}, nil)
	if err != nil {
		return nil, fmt.Errorf("load under Extism: %w", err)
	}
	return compiled, nil
}

// callExtism calls the entry of a plugin.
func callExtism(ctx context.Context, p *extism.Plugin, input []byte) ([]byte, error) {
	code, out, err := p.CallWithContext(ctx, "run", input)
	if err == nil && code != 0 {
		err = fmt.Errorf("the plugin returned %d", code)
	}
	return out, err
}

// addExtism adds the step as a plugin of the Extism Go SDK.
func (l *lineup) addExtism(ctx context.Context, lang, path string) error {
	compiled, err := newExtism(ctx, path)
	if err != nil {
		return err
	}
	l.closers = append(l.closers, compiled.Close)
	l.add(lang, nameExtism, peer, func(ctx context.Context) ([]byte, error) {
		p, err := compiled.Instance(ctx, extism.PluginInstanceConfig{})
		if err != nil {
			return nil, err
		}
		defer p.CloseWithContext(ctx)
		return callExtism(ctx, p, l.doc)
	})
	reused, err := compiled.Instance(ctx, extism.PluginInstanceConfig{})
	if err != nil {
		return fmt.Errorf("instantiate under Extism: %w", err)
	}
	l.add(lang, "Extism, reused instance, timeout", peer, func(ctx context.Context) ([]byte, error) { return callExtism(ctx, reused, l.doc) })
	return nil
}

// addProcess adds a program that is started for each call, with the document
// on its stdin.
func (l *lineup) addProcess(lang, name, path string, args ...string) {
	l.add(lang, name, peer, func(ctx context.Context) ([]byte, error) {
		cmd := exec.CommandContext(ctx, path, args...)
		cmd.Stdin = bytes.NewReader(l.doc)
		return cmd.Output()
	})
}
