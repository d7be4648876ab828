//go:build unix

package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/plugintest"
	"github.com/uniflow-dev/uniflow/host/internal/plugintest/guest"
)

// subject is the plugin of the tests, built once.
var subject struct { //nolint:gochecknoglobals // set before the first test
	path   string
	digest flow.Digest
}

func TestMain(m *testing.M) {
	if pipe := os.Getenv(doomedEnv); pipe != "" {
		fmt.Fprintln(os.Stderr, doomedHost(pipe))
		os.Exit(1)
	}
	if program := os.Getenv(doomedWorkerEnv); program != "" {
		fmt.Fprintln(os.Stderr, doomedWorkerHost(program))
		os.Exit(1)
	}
	os.Exit(withSubject(m))
}

func withSubject(m *testing.M) int {
	dir, err := os.MkdirTemp("", "subject")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	subject.path = filepath.Join(dir, "subject")
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	build := exec.CommandContext(ctx, "go", "build", "-o", subject.path, "./testdata/plugin")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the plugin of the tests: %v\n%s", err, out)
		return 1
	}
	if subject.digest, err = digestOf(subject.path); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

func digestOf(path string) (flow.Digest, error) {
	content, err := os.ReadFile(path)
	return flow.DigestOf(content), err
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// newRuntime returns a Runtime that is closed at the end of the test.
func newRuntime(tb testing.TB, cfg Config) *Runtime {
	tb.Helper()
	cfg.Logger = quiet()
	if cfg.Dir == "" {
		cfg.Dir = tb.TempDir()
	}
	if cfg.Start == 0 {
		cfg.Start = time.Minute // tests run side by side on busy machines
	}
	r, err := New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := r.Close(ctx); err != nil {
			tb.Errorf("close: %v", err)
		}
	})
	return r
}

func plan(env map[string]string) flow.PlanPlugin {
	return flow.PlanPlugin{Name: "subject", Kind: flow.KindProcess, Path: subject.path, Digest: subject.digest, Grant: flow.Grant{Env: env}}
}

func load(tb testing.TB, r *Runtime, p flow.PlanPlugin) flow.Module {
	tb.Helper()
	m, err := r.Load(tb.Context(), p)
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

// do executes one attempt.
func do(tb testing.TB, m flow.Module, with guest.With) (flow.Result, *plugintest.Host, error) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), time.Minute)
	defer cancel()
	host := plugintest.NewHost(ctx)
	result, err := m.Call(ctx, plugintest.NewCall(tb, with), host)
	return result, host, err
}

// succeed executes one attempt that must succeed.
func succeed(tb testing.TB, m flow.Module, with guest.With) (flow.Result, *plugintest.Host) {
	tb.Helper()
	result, host, err := do(tb, m, with)
	if err != nil || result.Verdict != flow.VerdictOK {
		tb.Fatalf("%s: result %+v, error %v\nlog: %v", with.Behaviour, result, err, host.Lines())
	}
	return result, host
}

func wantFault(tb testing.TB, err error, want flow.Reason) *flow.Fault {
	tb.Helper()
	fault, ok := errors.AsType[*flow.Fault](err)
	if !ok {
		tb.Fatalf("error %v, want a *flow.Fault", err)
	}
	if fault.Reason != want {
		tb.Errorf("reason %q (%s), want %q", fault.Reason, fault.Message, want)
	}
	return fault
}

// get reads an output.
func get[T any](tb testing.TB, r flow.Result, name string) T {
	tb.Helper()
	var v T
	if err := json.Unmarshal(r.Outputs[name], &v); err != nil {
		tb.Fatalf("output %s %s: %v", name, r.Outputs[name], err)
	}
	return v
}

func TestConformance(t *testing.T) {
	t.Parallel()
	wrong := filepath.Join(t.TempDir(), "wrong")
	if err := os.WriteFile(wrong, []byte("#!/bin/sh\necho '1|7|unix|/nowhere|grpc|'\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	digest, err := digestOf(wrong)
	if err != nil {
		t.Fatal(err)
	}
	plugintest.Run(t, plugintest.Subject{
		Runtime: newRuntime(t, Config{Parallel: 4}),
		Plugin: func(b plugintest.Behaviour) flow.PlanPlugin {
			if b == plugintest.WrongABI {
				return flow.PlanPlugin{Name: "wrong", Kind: flow.KindProcess, Path: wrong, Digest: digest}
			}
			return plan(nil)
		},
		Without: map[plugintest.Behaviour]string{
			plugintest.Exit:  "a process that ends by itself has crashed; it says how an attempt ends by its answer",
			plugintest.Files: "a process has the host's files; artifacts go out by Call.Artifact",
		},
	})
}
