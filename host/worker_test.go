package host_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host"
	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/plugintest"
	"github.com/uniflow-dev/uniflow/host/internal/process"
)

// buildGuest builds a module of the conformance suite. The toolchain's cache makes the second time cheap.
func buildGuest(t *testing.T, name, mode string) flow.PlanPlugin {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	path := filepath.Join(t.TempDir(), name+".wasm")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-buildmode="+mode, "-o", path, "./internal/plugintest/testdata/guest/"+name)
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", name, err, out)
	}
	return pluginAt(t, path)
}

func pluginAt(t *testing.T, path string) flow.PlanPlugin {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return flow.PlanPlugin{Name: filepath.Base(path), Kind: flow.KindWasm, Path: path, Digest: flow.DigestOf(content), Isolation: flow.IsolationWorker}
}

// TestConformanceInWorkers runs the suite of all runtimes against the engine inside workers, which are this program.
func TestConformanceInWorkers(t *testing.T) {
	t.Parallel()
	component := filepath.Join(t.TempDir(), "component.wasm")
	if err := os.WriteFile(component, []byte("\x00asm\x0d\x00\x01\x00"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]string{"command": "exe", "reactor": "c-shared"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			workers, err := process.New(process.Config{Dir: t.TempDir(), Logger: slog.New(slog.NewTextHandler(t.Output(), nil)), Parallel: 4, Start: time.Minute, Compile: 5 * time.Minute})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := workers.Close(context.Background()); err != nil {
					t.Error(err)
				}
			})
			guest := buildGuest(t, name, mode)
			t.Run("suite", func(t *testing.T) {
				plugintest.Run(t, plugintest.Subject{Runtime: workers, Plugin: func(b plugintest.Behaviour) flow.PlanPlugin {
					if b == plugintest.WrongABI {
						return pluginAt(t, component)
					}
					return guest
				}})
			})
		})
	}
}

// inWorkers is a manifest with one pipeline whose module ends with the exit code 0 or traps.
const inWorkers = `version = 1
[defaults]
isolation = "worker"
retry     = { attempts = 2, backoff = "1ms" }
[pipelines.good]
wasm = "good.wasm"
[pipelines.bad]
wasm = "bad.wasm"
[pipelines.parse]
wasm = "parse.wasm"
`

// module is a command of a body without locals that ends with the byte 0x0b.
func module(body ...byte) []byte {
	code := append([]byte{byte(len(body) + 1), 0}, body...)
	m := []byte("\x00asm\x01\x00\x00\x00\x01\x04\x01\x60\x00\x00\x03\x02\x01\x00\x05\x03\x01\x00\x01")
	m = append(m, "\x07\x13\x02\x06_start\x00\x00\x06memory\x02\x00"...)
	return append(m, append([]byte{10, byte(len(code) + 1), 1}, code...)...)
}

func TestManifestRunsModulesInWorkers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	parse, err := os.ReadFile(filepath.Join("internal", "wasm", "testdata", "lines", "dwarf4.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		"uniflow.toml": []byte(inWorkers), "good.wasm": module(0x0b), "bad.wasm": module(0x00, 0x0b), "parse.wasm": parse,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var said safeLog
	h, err := host.Open(t.Context(), host.Config{
		Manifest: filepath.Join(dir, "uniflow.toml"), Build: true, Logger: slog.New(slog.NewTextHandler(&said, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		t.Fatal(err)
	}
	result, err := h.RunNow(t.Context(), "good", nil)
	if err != nil || !result.Success {
		t.Errorf("good: %+v, %v", result, err)
	}
	result, err = h.RunNow(t.Context(), "bad", nil)
	if err != nil || result.Success || !strings.Contains(result.Err.Error(), "unreachable") {
		t.Errorf("bad: %+v, %v, want a trap", result, err)
	}
	result, err = h.RunNow(t.Context(), "parse", nil)
	if err != nil || result.Success || !strings.Contains(result.Err.Error(), "unreachable in parse (parse.c:12)") {
		t.Errorf("parse: %+v, %v, want a trap in a line", result, err)
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	if n := strings.Count(said.text(), "process started"); n == 0 {
		t.Errorf("no worker was started:\n%s", said.text())
	}
}

// safeLog keeps what is logged.
type safeLog struct {
	mu   sync.Mutex
	kept []byte
}

func (l *safeLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kept = append(l.kept, p...)
	return len(p), nil
}

func (l *safeLog) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.kept)
}

// TestHostInsideAWorkerIsRefused guards against a program without WorkerMain, which would start itself for ever.
func TestHostInsideAWorkerIsRefused(t *testing.T) {
	t.Setenv("UNIFLOW_WORKER", "uniflow.worker.v1")
	_, err := host.Open(t.Context(), host.Config{Data: t.TempDir()})
	if flow.CodeOf(err) != flow.CodeWorkerStart {
		t.Errorf("got %v, want %s", err, flow.CodeWorkerStart)
	}
}

// The main function of a program that opens a host.
func ExampleWorkerMain() {
	host.WorkerMain() // returns at once, unless this process is a worker

	ctx := context.Background()
	h, err := host.Open(ctx, host.Config{Manifest: "uniflow.toml"})
	if err != nil {
		log.Fatal(err)
	}
	defer h.Close()
	result, err := h.RunNow(ctx, "weather", map[string]any{"station": "seattle"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(result.Success)
}
