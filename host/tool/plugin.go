package tool

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/hosttest"
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
		info.Needs = needs(module, b)
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
	// Context and With are those of the run context, Item the element of a fan-out.
	Context, With map[string]json.RawMessage
	Item          json.RawMessage
	// Grant is what the plugin may reach; host paths are relative to the working directory.
	Grant flow.Grant
	// Secrets are exposed to the plugin.
	Secrets map[string]string
	// Args are argv[1:] of a command module.
	Args []string
	// Clock is when the run is scheduled, and the time that a plugin without the grant of a clock sees. Defaults to now.
	Clock time.Time
	// Seed makes the randomness of a plugin without the grant of its own. Defaults to the time.
	Seed uint64
	// Timeout bounds the call. Defaults to 30 s.
	Timeout time.Duration
	// Limits of the call; zero fields default to those of a manifest.
	Limits flow.Limits
}

const (
	defaultCallTime = 30 * time.Second
	callGrace       = 2 * time.Second
)

// RunPlugin calls a plugin once, in the sandbox that it would have in a run, and records nothing: state and events are
// gone with the call. How the call ended is part of the answer; the error says why the plugin could not be loaded.
func RunPlugin(ctx context.Context, c PluginCall) (flow.PluginRun, error) {
	info, err := InspectPlugin(c.Path)
	if err != nil {
		return flow.PluginRun{}, err
	}
	b := &bench{dir: "."}
	config := hosttest.Config{Kind: info.Kind, Grant: b.absolute(c.Grant), Limits: c.Limits, Network: true}
	if info.Kind == flow.KindWasm {
		if b.cache, b.scratch, err = compiledFolder(); err != nil {
			return flow.PluginRun{}, err
		}
		defer b.close()
		config.CacheDir = b.cache
	}
	m, err := hosttest.Load(ctx, c.Path, config)
	if err != nil {
		return flow.PluginRun{}, err
	}
	defer m.Close()
	started := time.Now()
	out, err := m.Call(ctx, c.input())
	took := time.Since(started)
	report, err := pluginRan(out, err)
	report.Duration = flow.Duration(took.Round(time.Microsecond))
	if len(out.State) > 0 {
		report.State = out.State
	}
	for _, e := range out.Events {
		if doc, err := json.Marshal(e); err == nil {
			report.Events = append(report.Events, doc)
		}
	}
	return report, err
}

func (c *PluginCall) input() hosttest.Input {
	return hosttest.Input{
		Function: c.Function, Context: anyValues(c.Context), With: anyValues(c.With), Args: c.Args, At: c.Clock, Seed: c.Seed,
		Timeout: cmp.Or(c.Timeout, defaultCallTime), Grace: callGrace, Secrets: c.Secrets, Item: c.Item,
	}
}

func anyValues(values map[string]json.RawMessage) map[string]any {
	out := make(map[string]any, len(values))
	for key, value := range values {
		out[key] = value
	}
	return out
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
