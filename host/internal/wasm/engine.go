package wasm

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/wasm/binary"
)

// engine is one compiled module. It has a wazero runtime and a cache of its own, so that it can be freed, and its cache
// mended, without a look at the others.
type engine struct {
	info     *Info
	runtime  wazero.Runtime
	cache    wazero.CompilationCache
	compiled wazero.CompiledModule
	globals  []string // the exported names of all mutable globals
	kept     *allowance
	lines    *lines        // nil without debug information
	grown    atomic.Uint64 // bytes that the memory of an instance had at its end

	mu    sync.Mutex
	pools map[poolKey]*pool
}

// newEngine compiles a module as the rewriting has left it. Where dir holds a file that cannot be used, it is emptied and the
// module compiled once more.
func newEngine(ctx context.Context, m *prepared, dir string) (*engine, error) {
	e, err := compile(ctx, m, dir)
	if err == nil || dir == "" {
		return e, err
	}
	if _, statErr := os.Stat(dir); statErr != nil {
		return nil, err
	}
	if removeErr := os.RemoveAll(dir); removeErr != nil {
		return nil, &flow.Error{Code: flow.CodeModuleCache, Message: "a file of the cache is damaged and cannot be removed", Err: pathless(removeErr)}
	}
	e, err = compile(ctx, m, dir)
	if err != nil {
		_ = os.RemoveAll(dir) // nothing in it can be of use
	}
	return e, err
}

func compile(ctx context.Context, m *prepared, dir string) (e *engine, err error) {
	defer func() {
		// The engine's validator has panicked on bytes that were made to confuse it. It must stay on this goroutine (one
		// compilation worker, the default): a panic on another one would end the host.
		if p := recover(); p != nil {
			e, err = nil, &flow.Error{Code: flow.CodeCompile, Message: "the module does not pass validation"}
		}
		if err != nil && e != nil {
			_ = e.close(ctx)
			e = nil
		}
	}()
	e = &engine{info: m.Info, globals: m.Globals, cache: wazero.NewCompilationCache(), pools: map[poolKey]*pool{}}
	if m.Lines {
		e.lines = &lines{resettable: m.Resettable, known: map[uint32]string{}}
	}
	if dir != "" {
		e.cache, err = wazero.NewCompilationCacheWithDir(dir)
		if err != nil {
			e.cache = nil
			return e, &flow.Error{Code: flow.CodeModuleCache, Message: "the cache cannot be opened", Err: pathless(err), Hint: "see that the data folder can be written"}
		}
	}
	e.runtime = wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().
		WithCoreFeatures(api.CoreFeaturesV2).
		WithCompilationCache(e.cache).
		WithMemoryLimitPages(binary.MaxPages).
		WithDebugInfoEnabled(m.Lines)) // what the rewriting has written; that of the guest may be hostile, and is never there
	if e.compiled, err = e.runtime.CompileModule(ctx, m.module); err != nil {
		return e, &flow.Error{Code: flow.CodeCompile, Err: err, Hint: "build with the default features of the target wasip1"}
	}
	return e, e.imports(ctx)
}

// imports instantiates what the module may import.
func (e *engine) imports(ctx context.Context) error {
	_, err := e.runtime.NewHostModuleBuilder(binary.TickModule).NewFunctionBuilder().
		WithGoModuleFunction(api.GoModuleFunc(tick), nil, nil).Export(binary.TickName).Instantiate(ctx)
	if err != nil {
		return fmt.Errorf("instantiate the meter: %w", err)
	}
	if e.info.usesABI {
		builder := e.runtime.NewHostModuleBuilder(abiModule)
		for _, f := range abiFunctions() {
			builder.NewFunctionBuilder().WithGoModuleFunction(f.call, i32s(f.params), i32s(f.results)).Export(f.name)
		}
		if _, err := builder.Instantiate(ctx); err != nil {
			return fmt.Errorf("instantiate the host ABI: %w", err)
		}
	}
	if e.info.usesExtism {
		builder := e.runtime.NewHostModuleBuilder(extismModule)
		for _, f := range extismFunctions() {
			builder.NewFunctionBuilder().WithGoModuleFunction(f.call, valueTypes[api.ValueType](f.params), valueTypes[api.ValueType](f.results)).Export(f.name)
		}
		if _, err := builder.Instantiate(ctx); err != nil {
			return fmt.Errorf("instantiate the functions of Extism: %w", err)
		}
	}
	if e.info.WASI {
		builder := e.runtime.NewHostModuleBuilder(wasiModule)
		wasi_snapshot_preview1.NewFunctionExporter().ExportFunctions(builder)
		// The engine's own grows the table of descriptors to any number that the guest names: 16 GiB for one call.
		builder.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(renumber), i32s(2), i32s(1)).Export("fd_renumber")
		builder.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(setFlags), i32s(2), i32s(1)).Export("fd_fdstat_set_flags")
		if _, err := builder.Instantiate(experimental.WithFunctionListenerFactory(ctx, wasiCalls{})); err != nil {
			return fmt.Errorf("instantiate WASI: %w", err)
		}
	}
	return nil
}

func i32s(n int) []api.ValueType {
	types := make([]api.ValueType, n)
	for i := range types {
		types[i] = api.ValueTypeI32
	}
	return types
}

func (e *engine) close(ctx context.Context) error {
	for _, p := range e.pools {
		p.close()
	}
	var err error
	if e.runtime != nil {
		err = e.runtime.Close(ctx)
	}
	if e.cache != nil {
		if closeErr := e.cache.Close(ctx); err == nil {
			err = closeErr
		}
	}
	return err
}
