package wasm_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/uniflow-dev/uniflow/host/internal/plugintest"
	"github.com/uniflow-dev/uniflow/host/internal/plugintest/guest"
	"github.com/uniflow-dev/uniflow/host/internal/wasm/binary"
)

// transcript is all that a guest told its host.
type transcript struct {
	bytes.Buffer
	input []byte
}

// answer is an import of the host ABI that writes down what it is given and answers with zero.
func (s *transcript) answer(name string, pointers ...int) api.GoModuleFunc {
	return func(_ context.Context, m api.Module, stack []uint64) {
		fmt.Fprintf(s, "%s", name)
		for _, i := range pointers {
			text, ok := m.Memory().Read(uint32(stack[i]), uint32(stack[i+1]))
			fmt.Fprintf(s, " %q %v", text, ok)
		}
		fmt.Fprintln(s)
		if len(stack) > 0 {
			stack[0] = 0
		}
	}
}

// offer instantiates the host ABI.
func (s *transcript) offer(ctx context.Context, r wazero.Runtime) error {
	read := func(_ context.Context, m api.Module, stack []uint64) {
		from := s.input[min(int(uint32(stack[1])), len(s.input)):]
		n := min(len(from), int(uint32(stack[2])))
		m.Memory().Write(uint32(stack[0]), from[:n])
		stack[0] = uint64(n)
	}
	size := func(_ context.Context, _ api.Module, stack []uint64) { stack[0] = uint64(len(s.input)) }
	b := r.NewHostModuleBuilder("uniflow")
	for name, f := range map[string]struct {
		params, results int
		call            api.GoModuleFunc
	}{
		"input_size": {0, 1, size}, "input_read": {3, 1, read}, "output": {4, 1, s.answer("output", 0, 2)},
		"log": {3, 0, s.answer("log", 1)}, "fail": {3, 1, s.answer("fail", 1)}, "progress": {3, 1, s.answer("progress", 1)},
		"call": {4, 1, s.answer("call", 0, 2)}, "call_read": {3, 1, s.answer("call_read")}, "call_write": {2, 1, s.answer("call_write", 0)},
	} {
		i32s := func(n int) []api.ValueType { return slices.Repeat([]api.ValueType{api.ValueTypeI32}, n) }
		b.NewFunctionBuilder().WithGoModuleFunction(f.call, i32s(f.params), i32s(f.results)).Export(name)
	}
	_, err := b.Instantiate(ctx)
	return err
}

// engine is a runtime for guests as they are, or for metered ones.
type engine struct {
	runtime wazero.Runtime
	said    *transcript
	guest   wazero.CompiledModule
}

func newEngine(t testing.TB, c wazero.RuntimeConfig, module []byte, metered bool) *engine {
	t.Helper()
	e := &engine{runtime: wazero.NewRuntimeWithConfig(t.Context(), c.WithCoreFeatures(api.CoreFeaturesV2)), said: &transcript{}}
	t.Cleanup(func() { _ = e.runtime.Close(context.WithoutCancel(t.Context())) })
	tickAlways(t, e.runtime, 200_000)
	wasi_snapshot_preview1.MustInstantiate(t.Context(), e.runtime)
	err := e.said.offer(t.Context(), e.runtime)
	if err == nil && metered {
		var m *binary.Module
		if m, err = binary.Decode(module); err == nil {
			module, _, err = m.Rewrite(binary.Options{ExportGlobals: true})
		}
	}
	if err == nil {
		e.guest, err = e.runtime.CompileModule(t.Context(), module)
	}
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// execute calls the entries of a fresh instance and returns what was said and how it ended.
func (e *engine) execute(t *testing.T, input []byte) string {
	t.Helper()
	e.said.Reset()
	e.said.input = input
	config := wazero.NewModuleConfig().WithName("").WithStartFunctions().WithArgs("guest").
		WithStdin(bytes.NewReader(input)).WithStdout(e.said).WithStderr(e.said)
	m, err := e.runtime.InstantiateModule(t.Context(), e.guest, config)
	if err != nil {
		return err.Error() // it needs another host
	}
	defer m.Close(context.WithoutCancel(t.Context()))
	for _, name := range []string{"_initialize", "_start", "uniflow_run", "mean", "step"} {
		f := m.ExportedFunction(name)
		if f == nil || len(f.Definition().ParamTypes()) > 0 {
			continue
		}
		results, err := f.Call(t.Context())
		end, _, _ := strings.Cut(fmt.Sprint(err), "\n")
		fmt.Fprintf(e.said, "%s = %v, %s, memory %d\n", name, results, end, m.Memory().Size())
	}
	return e.said.String()
}

// modules returns the files of all guests in the repository, those that are built for the tests included.
func modules(t *testing.T) []string {
	t.Helper()
	var paths []string
	for _, build := range []func() (string, error){built.command, built.reactor, built.files} {
		path, err := build()
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	root := filepath.Join("..", "..", "..")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && d.Name() == "data" { // of a host: it keeps what was rewritten
			return fs.SkipDir
		}
		if err == nil && filepath.Ext(path) == ".wasm" && !d.IsDir() {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil || len(paths) < 6 {
		t.Fatalf("%d modules, %v", len(paths), err)
	}
	return paths
}

// TestGuestsBehaveTheSame executes each guest as it is and metered: whatever it says to its host must be the same.
func TestGuestsBehaveTheSame(t *testing.T) {
	t.Parallel()
	for _, path := range modules(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			module, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			c := wazero.NewRuntimeConfigInterpreter() // other tests compile them
			plain, metered := newEngine(t, c, module, false), newEngine(t, c, module, true)
			for _, with := range []guest.With{
				{Behaviour: string(plugintest.Echo), Value: json.RawMessage(`{"n":[1,2.5,"three"]}`)},
				{Behaviour: string(plugintest.Context), Message: "grüße"},
				{Behaviour: string(plugintest.Log), Message: "water is"},
				{Behaviour: string(plugintest.Fail), Kind: 4, Message: "gone"},
				{Behaviour: string(plugintest.Panic), Message: "the floor"},
				{Behaviour: string(plugintest.Exit), Size: 75},
				{Behaviour: string(plugintest.Large), Size: 1 << 20},
				{Behaviour: string(plugintest.LogFlood), Size: 2000, Message: strings.Repeat("x", 100)},
			} {
				input, err := json.Marshal(plugintest.NewCall(t, with).Context)
				if err != nil {
					t.Fatal(err)
				}
				want, got := plain.execute(t, input), metered.execute(t, input)
				if got != want {
					t.Errorf("%s: %.2000s\nwant %.2000s", with.Behaviour, got, want)
				}
			}
		})
	}
}

// TestGuestsAreFarFromWhatCompilingMayTake would fail where the bounds against hostile modules come near to what
// compilers make.
func TestGuestsAreFarFromWhatCompilingMayTake(t *testing.T) {
	t.Parallel()
	for _, path := range modules(t) {
		module, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		m, err := binary.Decode(module)
		if err != nil {
			t.Fatal(err)
		}
		w := m.Work()
		t.Logf("%s, %d bytes: %.0f of %.0f million steps, %.0f MiB", filepath.Base(path), len(module), w.Steps/1e6, w.MostSteps/1e6, w.Bytes/(1<<20))
		if w.Steps > w.MostSteps/8 || w.Bytes > binary.MaxCompileMemory/8 {
			t.Errorf("%s is near to the bounds", path)
		}
	}
}
