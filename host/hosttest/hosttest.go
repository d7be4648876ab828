// Package hosttest runs a module under Uniflow's real engine in a `go test`: the same sandbox, limits and services as
// in production, without a manifest, a schedule or a ledger.
//
// It is for authors of plugins. Package sdk/sdktest tests a step's logic without compiling it to Wasm; this package
// tests the module that is shipped.
package hosttest

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/process"
	"github.com/uniflow-dev/uniflow/host/internal/service"
	"github.com/uniflow-dev/uniflow/host/internal/wasm"
)

// Config is how to load a module.
type Config struct {
	// Grant is what the module may reach. Defaults to nothing.
	Grant flow.Grant
	// Secrets are what the module may read by secret.get. Defaults to none.
	Secrets map[string]string
	// Limits of one attempt. Zero fields default to those of a manifest.
	Limits flow.Limits
	// CacheDir keeps compiled modules between test runs. Defaults to none.
	CacheDir string
	// Isolation is where the module runs: in this process, or in a worker, which is this program once more, confined; its
	// main function, or TestMain, then begins with host.WorkerMain(). Defaults to flow.IsolationInline.
	Isolation flow.Isolation
}

// Module is a loaded module. It is safe for concurrent use.
type Module struct {
	runtime  flow.Runtime
	plugin   flow.PlanPlugin
	module   flow.Module
	services *service.Services
	config   Config
}

// Load reads and compiles the module at path. The caller closes it.
func Load(ctx context.Context, path string, c Config) (*Module, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("find the module: %w", err)
	}
	b, err := os.ReadFile(abs)
	if err != nil {
		return nil, fmt.Errorf("read the module: %w", err)
	}
	runtime, err := newRuntime(ctx, c)
	if err != nil {
		return nil, err
	}
	plugin := flow.PlanPlugin{Name: filepath.Base(path), Kind: flow.KindWasm, Path: abs, Digest: flow.DigestOf(b), Grant: c.Grant, Secrets: c.bindings()}
	loaded, err := runtime.Load(ctx, plugin)
	if err != nil {
		return nil, errors.Join(err, runtime.Close(ctx))
	}
	c.Limits = withDefaults(c.Limits)
	return &Module{runtime, plugin, service.Guard(loaded), service.New(service.Config{Blobs: noBlobs{}, Version: "hosttest", Secrets: c.secret}), c}, nil
}

// bindings expose the secrets.
func (c *Config) bindings() map[string]flow.SecretBinding {
	exposed := map[string]flow.SecretBinding{}
	for name := range c.Secrets {
		exposed[name] = flow.SecretBinding{Expose: true}
	}
	return exposed
}

func (c *Config) secret(name string) (string, error) { return c.Secrets[name], nil }

// newRuntime returns what runs modules where the Config says.
func newRuntime(ctx context.Context, c Config) (flow.Runtime, error) {
	log := slog.New(slog.DiscardHandler)
	switch c.Isolation {
	case flow.IsolationWorker:
		return process.New(process.Config{Dir: c.CacheDir, Logger: log})
	case flow.IsolationInline, "":
		return wasm.New(ctx, wasm.Config{CacheDir: c.CacheDir, Logger: log})
	}
	return nil, fmt.Errorf("isolation %q is unknown: use %q or %q", c.Isolation, flow.IsolationInline, flow.IsolationWorker)
}

// withDefaults fills in what a manifest that says nothing gives.
func withDefaults(l flow.Limits) flow.Limits {
	for _, f := range []struct {
		size *flow.Size
		to   flow.Size
	}{{&l.Memory, 64 * flow.MiB}, {&l.Output, flow.MiB}, {&l.Log, flow.MiB}, {&l.Artifacts, 64 * flow.MiB}} {
		if *f.size == 0 {
			*f.size = f.to
		}
	}
	return l
}

// Close releases the module.
func (m *Module) Close() error {
	return m.runtime.Close(context.Background())
}

// Input is what one call is given.
type Input struct {
	// Function is the export of a reactor. Defaults to uniflow_run.
	Function string
	// Context and With are values that encoding/json can marshal. A json.RawMessage is handed on as it is, as in
	// production: it must be valid JSON.
	Context, With map[string]any
	// Args are argv[1:] of a command.
	Args []string
	// Stdin, if not nil, replaces the run context: on standard input of a command, and as the input of a plugin of Extism.
	Stdin json.RawMessage
	// At is when the run is scheduled and starts, which also makes its id. Set it where a test needs the same run context,
	// and the same fuel, each time. Defaults to the time of the call.
	At time.Time
	// Timeout ends the call. Defaults to one minute.
	Timeout time.Duration
	// Pipeline and Step are what the run context says. Both default to "test".
	Pipeline, Step string
	// Item is the element of a fan-out, at ItemIndex; nil outside of one.
	Item      json.RawMessage
	ItemIndex *int
	// Answer, where it is set, answers all calls of services in place of the host's own; a *flow.ServiceError refuses.
	Answer func(op string, request, body []byte) ([]byte, error)
}

// Output is what came of a call.
type Output struct {
	flow.Result
	Logs     []flow.LogLine
	Progress []int // in thousandths; of several in a second, the last one
}

// Call runs the module once, in a fresh sandbox. The error is a *flow.Fault when the sandbox broke.
func (m *Module) Call(ctx context.Context, in Input) (Output, error) {
	call, err := m.newCall(in)
	if err != nil {
		return Output{}, err
	}
	if in.Timeout == 0 {
		in.Timeout = time.Minute
	}
	ctx, cancel := context.WithTimeout(ctx, in.Timeout)
	defer cancel()
	var out Output
	var mu sync.Mutex
	calls, done := m.services.Open(ctx, service.Attempt{
		Call:   call,
		Plugin: m.plugin,
		Log: func(l flow.LogLine) {
			mu.Lock()
			defer mu.Unlock()
			out.Logs = append(out.Logs, l)
		},
		Progress: func(permille int, _ string) {
			mu.Lock()
			defer mu.Unlock()
			out.Progress = append(out.Progress, permille)
		},
	})
	if in.Answer != nil {
		calls = answered{calls, in.Answer}
	}
	out.Result, err = m.module.Call(ctx, call, calls)
	done()
	return out, err
}

func (m *Module) newCall(in Input) (flow.Call, error) {
	values, err := marshal(in.Context)
	if err != nil {
		return flow.Call{}, err
	}
	with, err := marshal(in.With)
	if err != nil {
		return flow.Call{}, err
	}
	pipeline, step := cmp.Or(in.Pipeline, "test"), cmp.Or(in.Step, "test")
	now := time.Now().UTC()
	id := flow.NewRunID(now)
	if !in.At.IsZero() {
		now = in.At.UTC()
		id = flow.SlotRunID(flow.DefaultTenant, pipeline, "", now)
	}
	return flow.Call{
		Args: in.Args, Stdin: in.Stdin, Limits: m.config.Limits,
		Context: flow.RunContext{
			ABI: flow.RunContextABI, Tenant: flow.DefaultTenant, Pipeline: pipeline, RunID: id, Step: step, Function: in.Function,
			Attempt: 1, MaxAttempts: 1, Trigger: flow.TriggerManual, ScheduledAt: now, StartedAt: now, Deadline: now.Add(in.Timeout),
			Context: values, With: with, Item: in.Item, ItemIndex: in.ItemIndex, Features: m.services.Features(),
		},
	}, nil
}

func marshal(values map[string]any) (map[string]json.RawMessage, error) {
	out := make(map[string]json.RawMessage, len(values))
	for k, v := range values {
		if raw, ok := v.(json.RawMessage); ok {
			out[k] = raw
			continue
		}
		raw, err := json.Marshal(v)
		if err != nil {
			return nil, fmt.Errorf("value %q: %w", k, err)
		}
		out[k] = raw
	}
	return out, nil
}

// noBlobs keeps the digest of what a module puts, not the bytes.
type noBlobs struct{}

// Put implements flow.Blobs.
func (noBlobs) Put(_ context.Context, _ string, r io.Reader, limit int64) (flow.Digest, int64, error) {
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	switch {
	case err != nil:
		return "", 0, fmt.Errorf("read the artifact: %w", err)
	case int64(len(b)) > limit:
		return "", 0, flow.ErrTooLarge
	}
	return flow.DigestOf(b), int64(len(b)), nil
}

// Get implements flow.Blobs.
func (noBlobs) Get(context.Context, string, flow.Digest) (io.ReadCloser, error) {
	return nil, flow.ErrNotFound
}
