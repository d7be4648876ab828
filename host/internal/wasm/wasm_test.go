package wasm_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/plugintest"
	"github.com/uniflow-dev/uniflow/host/internal/wasm"
	bt "github.com/uniflow-dev/uniflow/host/internal/wasm/binary/binarytest"
)

// guests are the Go test plugins, built once per run of the tests.
type guests struct {
	dir                     string
	command, reactor, files func() (string, error)
}

//nolint:gochecknoglobals // built once for all tests, removed by TestMain
var built = newGuests()

func newGuests() *guests {
	dir, err := os.MkdirTemp("", "uniflow-guests")
	if err != nil {
		panic(err)
	}
	return &guests{
		dir:     dir,
		command: sync.OnceValues(func() (string, error) { return buildGuest(dir, suite+"command", "exe") }),
		reactor: sync.OnceValues(func() (string, error) { return buildGuest(dir, suite+"reactor", "c-shared") }),
		files:   sync.OnceValues(func() (string, error) { return buildGuest(dir, "./testdata/files", "exe") }),
	}
}

// suite is where the guests of the conformance suite are.
const suite = "../plugintest/testdata/guest/"

func buildGuest(dir, pkg, mode string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	path := filepath.Join(dir, filepath.Base(pkg)+".wasm")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-buildmode="+mode, "-o", path, pkg)
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", pkg, err, out)
	}
	return path, nil
}

func TestMain(m *testing.M) {
	code := m.Run()
	_ = os.RemoveAll(built.dir)
	os.Exit(code)
}

// newRuntime returns a runtime that is closed with the test.
func newRuntime(tb testing.TB, c wasm.Config) *wasm.Runtime {
	tb.Helper()
	rt, err := wasm.New(tb.Context(), c)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := rt.Close(context.WithoutCancel(tb.Context())); err != nil {
			tb.Error(err)
		}
	})
	return rt
}

// pluginAt returns the plugin whose file is at path.
func pluginAt(tb testing.TB, path string, err error) flow.PlanPlugin {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	return flow.PlanPlugin{Name: filepath.Base(path), Kind: flow.KindWasm, Path: path, Digest: flow.DigestOf(b)}
}

// pluginOf writes a module to a file.
func pluginOf(tb testing.TB, module []byte) flow.PlanPlugin {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "test.wasm")
	return pluginAt(tb, path, os.WriteFile(path, module, 0o600))
}

func TestConformance(t *testing.T) {
	t.Parallel()
	for name, build := range map[string]func() (string, error){"command": built.command, "reactor": built.reactor} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rt := newRuntime(t, wasm.Config{Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
			path, err := build()
			guest := pluginAt(t, path, err)
			component := pluginOf(t, []byte("\x00asm\x0d\x00\x01\x00"))
			t.Run("suite", func(t *testing.T) {
				plugintest.Run(t, plugintest.Subject{
					Runtime: rt,
					Plugin: func(b plugintest.Behaviour) flow.PlanPlugin {
						if b == plugintest.WrongABI {
							return component
						}
						return guest
					},
				})
			})
		})
	}
}

// reactor returns a builder with the parts of every reactor: memory, marker, and the imports named, in this order.
func reactor(imports ...string) (b *bt.Builder, index map[string]int) {
	b, index = &bt.Builder{}, map[string]int{}
	arity := map[string]int{"input_size": 0, "input_read": 3, "output": 4, "log": 3, "fail": 3, "progress": 3, "call": 4, "call_read": 3, "call_write": 2}
	void := b.Type(nil, nil)
	for _, name := range imports {
		results := []byte{bt.I32}
		if name == "log" {
			results = nil
		}
		params := make([]byte, arity[name])
		for i := range params {
			params[i] = bt.I32
		}
		index[name] = b.Import("uniflow", name, b.Type(params, results))
	}
	b.Memory(1)
	b.Export("uniflow_abi_v1", b.Func(void, 0))
	return b, index
}

// entry adds the default entry, which returns what body leaves on the stack.
func entry(b *bt.Builder, locals int, body ...[]byte) []byte {
	b.Export("uniflow_run", b.Func(b.Type(nil, []byte{bt.I32}), locals, body...))
	return b.Bytes()
}
