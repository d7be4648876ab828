package tool

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/uniflow-dev/uniflow/host"
	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/blob"
	"github.com/uniflow-dev/uniflow/host/internal/process"
	"github.com/uniflow-dev/uniflow/host/internal/service"
	"github.com/uniflow-dev/uniflow/host/internal/wasm"
)

// maxPluginFile bounds the plugin files that are read; a larger one is refused.
const maxPluginFile = 512 << 20

// readPlugin reads a plugin's file.
func readPlugin(path string) ([]byte, error) {
	op := "read plugin " + path
	info, err := os.Stat(path)
	if err == nil && (!info.Mode().IsRegular() || info.Size() > maxPluginFile) {
		return nil, &flow.Error{Code: flow.CodePluginFile, Op: op, Message: fmt.Sprintf("expected a regular file of at most %s", flow.Size(maxPluginFile)), Hint: "name the built plugin"}
	}
	if errors.Is(err, os.ErrNotExist) {
		return nil, &flow.Error{Code: flow.CodePluginMissing, Op: op, Message: "there is no such file", Hint: "check the path, or build the plugin first"}
	}
	var b []byte
	if err == nil {
		b, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, &flow.Error{Code: flow.CodePluginFile, Op: op, Message: "the file cannot be read", Hint: "check its permissions", Err: err}
	}
	return b, nil
}

// isProgram reports whether bytes begin like an executable of Linux, macOS or Windows, or like a script for one.
func isProgram(b []byte) bool {
	for _, magic := range []string{"\x7fELF", "\xcf\xfa\xed\xfe", "\xca\xfe\xba\xbe", "MZ", "#!"} {
		if bytes.HasPrefix(b, []byte(magic)) {
			return true
		}
	}
	return false
}

// InspectPlugin tells what a plugin's bytes say about themselves, without running them. An error with a code UF2xxx says
// why a host cannot load it; what could be read comes with it.
func InspectPlugin(path string) (flow.PluginInfo, error) {
	b, err := readPlugin(path)
	if err != nil {
		return flow.PluginInfo{Path: path}, err
	}
	info := flow.PluginInfo{Path: path, Kind: flow.KindWasm, Digest: flow.DigestOf(b), Size: flow.Size(len(b))}
	if isProgram(b) {
		info.Kind = flow.KindProcess
		return info, nil
	}
	module, err := wasm.Inspect(b)
	if module != nil {
		describe(&info, module)
	}
	if e, ok := errors.AsType[*flow.Error](err); ok && e.Op == "" {
		own := *e
		own.Op = "plugin " + path
		return info, &own
	}
	return info, err
}

// describe fills in what a module says.
func describe(info *flow.PluginInfo, m *wasm.Info) {
	info.Profile, info.Functions = string(m.Profile), m.Functions
	info.MemoryMin, info.MemoryMax = m.MemoryMin, m.MemoryMax
	for _, i := range m.Imports {
		kind := i.Signature
		if kind == "" {
			kind = i.Kind
		}
		info.Imports = append(info.Imports, flow.Import{Module: i.Module, Name: i.Name, Type: kind, Known: i.Refused == ""})
	}
	for _, e := range m.Exports {
		info.Exports = append(info.Exports, strings.TrimSpace(e.Name+" "+e.Signature))
	}
	for _, p := range m.Producers {
		info.Producers = append(info.Producers, strings.TrimSpace(p.Name+" "+p.Version))
	}
	if m.Descriptor != nil {
		if raw, err := json.Marshal(m.Descriptor); err == nil {
			info.Descriptor = raw
		}
	}
}

// PluginCall is one call of one plugin, outside of any pipeline.
type PluginCall struct {
	// Path of the plugin's file.
	Path string
	// Function to call. Defaults to the plugin's own default.
	Function string
	// Context and With are those of the run context.
	Context, With map[string]json.RawMessage
	// Grant is what the plugin may reach; host paths are relative to the working directory.
	Grant flow.Grant
	// Args are argv[1:] of a command module.
	Args []string
	// Timeout bounds the call. Defaults to 30 s.
	Timeout time.Duration
	// Memory bounds the guest's memory. Defaults to 64 MiB.
	Memory flow.Size
}

// RunPlugin calls a plugin once, in the sandbox that it would have in a run, and records nothing. How the call ended is
// part of the answer; the error says why the plugin could not be loaded.
func RunPlugin(ctx context.Context, c PluginCall) (flow.PluginRun, error) {
	info, err := InspectPlugin(c.Path)
	if err != nil {
		return flow.PluginRun{}, err
	}
	scratch, err := os.MkdirTemp("", "uniflow-*")
	if err != nil {
		return flow.PluginRun{}, err
	}
	defer os.RemoveAll(scratch)
	runtime, err := runtimeOf(ctx, info.Kind, scratch)
	if err != nil {
		return flow.PluginRun{}, err
	}
	defer runtime.Close(context.WithoutCancel(ctx))
	plugin, err := c.plugin(info)
	if err != nil {
		return flow.PluginRun{}, err
	}
	module, err := runtime.Load(ctx, plugin)
	if err != nil {
		return flow.PluginRun{}, err
	}
	return c.call(ctx, plugin, module, scratch)
}

func runtimeOf(ctx context.Context, kind flow.PluginKind, scratch string) (flow.Runtime, error) {
	log := slog.New(slog.DiscardHandler)
	if kind == flow.KindProcess {
		return process.New(process.Config{Dir: scratch, Logger: log})
	}
	return wasm.New(ctx, wasm.Config{Logger: log})
}

// plugin makes the plan's view of the file; its paths are absolute.
func (c *PluginCall) plugin(info flow.PluginInfo) (flow.PlanPlugin, error) {
	p := flow.PlanPlugin{Name: filepath.Base(c.Path), Kind: info.Kind, Digest: info.Digest, Grant: c.Grant}
	var err error
	if p.Path, err = filepath.Abs(c.Path); err != nil {
		return p, err
	}
	p.Grant.Mount = map[string]string{}
	for guest, path := range c.Grant.Mount {
		if p.Grant.Mount[guest], err = filepath.Abs(path); err != nil {
			return p, err
		}
	}
	return p, nil
}

const (
	defaultCallTime = 30 * time.Second
	callGrace       = 2 * time.Second
)

// call makes the one attempt.
func (c *PluginCall) call(ctx context.Context, plugin flow.PlanPlugin, module flow.Module, scratch string) (flow.PluginRun, error) {
	timeout := c.Timeout
	if timeout <= 0 {
		timeout = defaultCallTime
	}
	memory := c.Memory
	if memory <= 0 {
		memory = 64 * flow.MiB
	}
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	now := time.Now().UTC()
	call := flow.Call{
		Context: c.runContext(now, now.Add(timeout)), Args: c.Args, Grace: flow.Duration(callGrace),
		Limits: flow.Limits{Memory: memory, Output: flow.MiB, Log: flow.MiB, Artifacts: 64 * flow.MiB},
	}
	blobs, err := blob.Open(filepath.Join(scratch, "artifacts"))
	if err != nil {
		return flow.PluginRun{}, err
	}
	var mu sync.Mutex
	report := flow.PluginRun{}
	services := service.New(service.Config{Blobs: blobs, Version: host.Version})
	call.Context.Features = services.Features()
	hostCalls, done := services.Open(limited, service.Attempt{
		Call:   call,
		Plugin: plugin,
		Log: func(l flow.LogLine) {
			mu.Lock()
			defer mu.Unlock()
			l.Seq, l.Tenant, l.Run = int64(len(report.Logs))+1, call.Context.Tenant, call.Context.RunID
			l.Step, l.Attempt = call.Context.Step, 1
			report.Logs = append(report.Logs, l)
		},
		Progress: func(int, string) {},
	})
	result, err := module.Call(limited, call, hostCalls)
	done()
	mu.Lock()
	defer mu.Unlock()
	report.Duration = flow.Duration(time.Since(now).Round(time.Microsecond))
	return ended(report, result, err)
}

// runContext is the document that the plugin sees.
func (c *PluginCall) runContext(now, deadline time.Time) flow.RunContext {
	filled := func(m map[string]json.RawMessage) map[string]json.RawMessage {
		if m == nil {
			return map[string]json.RawMessage{}
		}
		return m
	}
	id := flow.NewRunID(now)
	return flow.RunContext{
		ABI: flow.RunContextABI, Tenant: flow.DefaultTenant, Pipeline: "plugin-run", Version: flow.DigestOf(nil), RunID: id, Step: "main",
		Function: c.Function, Attempt: 1, MaxAttempts: 1, IdempotencyKey: string(id) + "/main", Trigger: flow.TriggerManual,
		ScheduledAt: now, StartedAt: now, Deadline: deadline, Context: filled(c.Context), With: filled(c.With), Item: json.RawMessage("null"),
	}
}

// ended fills in how the call ended. A fault of the sandbox is an ending; another error is the host's own.
func ended(report flow.PluginRun, r flow.Result, err error) (flow.PluginRun, error) {
	if fault, ok := errors.AsType[*flow.Fault](err); ok {
		report.Outcome, report.Reason, report.Message, report.Usage = flow.Failed, fault.Reason, fault.Message, fault.Usage
		return report, nil
	}
	if err != nil {
		return report, err
	}
	report.Message, report.Usage, report.Outputs = r.Message, r.Usage, r.Outputs
	switch r.Verdict {
	case flow.VerdictOK:
		report.Outcome = flow.Succeeded
	case flow.VerdictSkip:
		report.Outcome, report.Reason = flow.Skipped, flow.ReasonPlugin
	case flow.VerdictPermanent:
		report.Outcome, report.Reason = flow.Failed, flow.ReasonPermanent
	default:
		report.Outcome, report.Reason = flow.Failed, flow.ReasonPlugin
		if r.ExitCode != nil {
			report.Reason = flow.ReasonExit
		}
	}
	return report, nil
}
