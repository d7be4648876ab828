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
	"log/slog"
	"maps"
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
	// Secrets are what the module may read by secret.get, unless Bindings say what else becomes of them. Defaults to none.
	Secrets map[string]string
	// Bindings are what a manifest says of the plugin's secrets.
	Bindings map[string]flow.SecretBinding
	// Limits of one attempt. Zero fields default to those of a manifest.
	Limits flow.Limits
	// CacheDir keeps compiled modules between test runs. Defaults to none.
	CacheDir string
	// Isolation is where the module runs: in this process, or in a worker, which is this program once more, confined; its
	// main function, or TestMain, then begins with host.WorkerMain(). Defaults to flow.IsolationInline.
	Isolation flow.Isolation
	// Name of the plugin, as messages have it. Defaults to the name of the file.
	Name string
	// Script is the path of a script, a file or a folder, that the module, an engine, executes. Defaults to none.
	Script string
	// Kind of the plugin. Defaults to flow.KindWasm.
	Kind flow.PluginKind
	// Network lets http.request reach real servers, as far as Grant covers them. Defaults to Input.HTTP alone.
	Network bool
}

// Module is a loaded module. It is safe for concurrent use.
type Module struct {
	runtime flow.Runtime
	plugin  flow.PlanPlugin
	blobs   *blobs
	config  Config
	scratch string // a folder of its own, or empty
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
	c.Kind = cmp.Or(c.Kind, flow.KindWasm)
	m := &Module{blobs: newBlobs()}
	if c.Kind == flow.KindProcess && c.CacheDir == "" {
		if m.scratch, err = os.MkdirTemp("", "uniflow-*"); err != nil {
			return nil, fmt.Errorf("make a folder for the process: %w", err)
		}
		c.CacheDir = m.scratch
	}
	if m.runtime, err = newRuntime(ctx, c); err != nil {
		return nil, errors.Join(err, m.clean())
	}
	m.plugin = flow.PlanPlugin{Name: cmp.Or(c.Name, filepath.Base(path)), Kind: c.Kind, Path: abs, Digest: flow.DigestOf(b), Grant: c.Grant}
	if m.plugin.Script, err = readScript(c.Script); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	if _, err = m.runtime.Load(ctx, m.plugin); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	c.Limits = withDefaults(c.Limits)
	m.config = c
	return m, nil
}

// readScript finds a script; nil for no path.
func readScript(path string) (*flow.PlanScript, error) {
	if path == "" {
		return nil, nil
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("find the script: %w", err)
	}
	script, err := wasm.ReadScript(os.DirFS(filepath.Dir(abs)), filepath.Base(abs))
	if err != nil {
		return nil, err
	}
	return &flow.PlanScript{Path: abs, Digest: script.Digest, Entry: script.Entry}, nil
}

func (m *Module) clean() error {
	if m.scratch == "" {
		return nil
	}
	return os.RemoveAll(m.scratch)
}

// newRuntime returns what runs modules where the Config says.
func newRuntime(ctx context.Context, c Config) (flow.Runtime, error) {
	log := slog.New(slog.DiscardHandler)
	if c.Kind == flow.KindProcess {
		return process.New(process.Config{Dir: c.CacheDir, Logger: log})
	}
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
	return errors.Join(m.runtime.Close(context.Background()), m.clean())
}

// Input is what one call is given.
type Input struct {
	// Function is the export of a reactor. Defaults to uniflow_run.
	Function string
	// Context and With are values that encoding/json can marshal. A json.RawMessage is handed on as it is, as in
	// production: it must be valid JSON. An Artifact becomes a reference to its bytes.
	Context, With map[string]any
	// Args are argv[1:] of a command.
	Args []string
	// Stdin, if not nil, replaces the run context: on standard input of a command, and as the input of a plugin of Extism.
	// Stdout is the reading of a command's standard output: json, text or log.
	Stdin  json.RawMessage
	Stdout string
	// At is when the run is scheduled and starts, which also makes its id. Set it where a test needs the same run context,
	// and the same fuel, each time. Without the grant of a clock it is also the time that the module sees. Defaults to the
	// time of the call.
	At time.Time
	// Seed makes the run's id, and so the randomness of a module without the grant of its own: the same seed gives the
	// same bytes. Defaults to At.
	Seed uint64
	// Attempt counts from 1, up to MaxAttempts. Both default to 1.
	Attempt, MaxAttempts int
	// Timeout ends the call. Defaults to one minute.
	Timeout time.Duration
	// Grace is how long the module may go on after the call was ended. Defaults to none.
	Grace time.Duration
	// Grant and Limits replace those of the Config for this call.
	Grant  *flow.Grant
	Limits *flow.Limits
	// Pipeline and Step are what the run context says. Both default to "test".
	Pipeline, Step string
	// Item is the element of a fan-out, at ItemIndex; nil outside of one. The index defaults to 0 where there is an item.
	Item      json.RawMessage
	ItemIndex *int

	// HTTP answers requests in place of real servers; all that a host does before and after, grants, secrets and redirects,
	// is done all the same. Of several replies to a request each serves once, in order, and the last one goes on.
	HTTP []Reply
	// Secrets are added to those of the Config.
	Secrets map[string]string
	// State is what the pipeline keeps, as JSON by key, before the call.
	State map[string]any
	// Answer, where it is set, answers all calls of services in place of the host's own; a *flow.ServiceError refuses.
	Answer func(op string, request, body []byte) ([]byte, error)
}

// Output is what came of a call.
type Output struct {
	flow.Result
	// Run is the id that the module saw.
	Run  flow.RunID
	Logs []flow.LogLine
	// Progress is in thousandths; of several heartbeats in a second, the last one.
	Progress []int
	// Requests are those that left the host, in order, redirects among them.
	Requests []Request
	// State is what the attempt leaves; a host keeps it when the run succeeds.
	State  map[string]json.RawMessage
	Events []Event
	// Refusals are calls of services that were refused, the first hundred.
	Refusals []Refusal

	blobs *blobs
}

// Call runs the module once, in a fresh sandbox. The error is a *flow.Fault when the sandbox broke.
func (m *Module) Call(ctx context.Context, in Input) (Output, error) {
	if in.Timeout == 0 {
		in.Timeout = time.Minute
	}
	f, err := m.newFakes(&in)
	if err != nil {
		return Output{}, err
	}
	services := service.New(service.Config{Blobs: m.blobs, Version: "hosttest", Secrets: func(_, name string) (string, error) { return f.secret(name) }, Network: f.network()})
	call, known, err := m.newCall(in, services.Features())
	if err != nil {
		return Output{}, err
	}
	plugin := m.pluginFor(&in)
	module, err := m.runtime.Load(ctx, plugin)
	if err != nil {
		return Output{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, in.Timeout)
	defer cancel()
	out := Output{Run: call.Context.RunID, blobs: m.blobs}
	var mu sync.Mutex
	calls, done := services.Open(ctx, f.attempt(service.Attempt{
		Call: call, Plugin: plugin, Known: known,
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
	}))
	f.HostCalls = calls
	calls = f
	if in.Answer != nil {
		calls = answered{f, in.Answer}
	}
	out.Result, err = service.Guard(module).Call(ctx, call, calls)
	done()
	out.Requests, out.State, out.Events, out.Refusals = f.requests, f.state, f.events, f.refusals
	return out, err
}

// pluginFor is the plugin with the grant and the secrets of one call.
func (m *Module) pluginFor(in *Input) flow.PlanPlugin {
	plugin := m.plugin
	if in.Grant != nil {
		plugin.Grant = *in.Grant
	}
	plugin.Secrets = maps.Clone(m.config.Bindings)
	if plugin.Secrets == nil {
		plugin.Secrets = map[string]flow.SecretBinding{}
	}
	for _, given := range []map[string]string{m.config.Secrets, in.Secrets} {
		for name := range given {
			if _, bound := plugin.Secrets[name]; !bound {
				plugin.Secrets[name] = flow.SecretBinding{Expose: true}
			}
		}
	}
	return plugin
}

// newCall makes the call of a step, and returns the artifacts that it may read.
func (m *Module) newCall(in Input, features []string) (flow.Call, []flow.Digest, error) {
	values, known, err := m.values(in.Context)
	if err != nil {
		return flow.Call{}, nil, err
	}
	with, more, err := m.values(in.With)
	if err != nil {
		return flow.Call{}, nil, err
	}
	now, id := in.instant()
	c := flow.RunContext{
		ABI: flow.RunContextABI, Tenant: flow.DefaultTenant, Pipeline: in.pipeline(), RunID: id, Step: cmp.Or(in.Step, "test"), Function: in.Function,
		Attempt: max(in.Attempt, 1), IdempotencyKey: string(id) + "/" + cmp.Or(in.Step, "test"), Trigger: flow.TriggerManual,
		ScheduledAt: now, StartedAt: now, Deadline: now.Add(in.Timeout), Context: values, With: with,
		Features: features,
	}
	c.MaxAttempts = max(in.MaxAttempts, c.Attempt)
	if c.Item, c.ItemIndex = in.Item, in.ItemIndex; c.Item != nil && c.ItemIndex == nil {
		c.ItemIndex = new(int)
	}
	limits := m.config.Limits
	if in.Limits != nil {
		limits = withDefaults(*in.Limits)
	}
	return flow.Call{Args: in.Args, Stdin: in.Stdin, Stdout: in.Stdout, Limits: limits, Grace: flow.Duration(in.Grace), Context: c}, append(known, more...), nil
}

// instant is when the run begins, and its id.
func (in *Input) instant() (time.Time, flow.RunID) {
	now := in.At.UTC()
	if in.At.IsZero() {
		now = time.Now().UTC()
	}
	switch {
	case in.Seed != 0:
		return now, flow.SlotRunID(flow.DefaultTenant, in.pipeline(), fmt.Sprintf("seed %d", in.Seed), time.UnixMilli(0))
	case in.At.IsZero():
		return now, flow.NewRunID(now)
	}
	return now, flow.SlotRunID(flow.DefaultTenant, in.pipeline(), "", now)
}

func (in *Input) pipeline() string { return cmp.Or(in.Pipeline, "test") }

// values returns values as JSON, and the artifacts among them.
func (m *Module) values(values map[string]any) (map[string]json.RawMessage, []flow.Digest, error) {
	out := make(map[string]json.RawMessage, len(values))
	var known []flow.Digest
	for k, v := range values {
		switch x := v.(type) {
		case json.RawMessage:
			out[k] = x
			continue
		case Artifact:
			ref := m.blobs.give(x)
			v, known = ref, append(known, ref.Digest)
		}
		raw, err := json.Marshal(v)
		if err != nil {
			return nil, nil, fmt.Errorf("value %q: %w", k, err)
		}
		out[k] = raw
	}
	return out, known, nil
}
