package tool

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/hosttest"
	"github.com/uniflow-dev/uniflow/host/internal/manifest"
)

// PluginTesting says which cases are run.
type PluginTesting struct {
	// Path is a plugin's file, or a folder with a manifest. Defaults to the folder of Manifest.
	Path string
	// Manifest names the plugins where Path is no file. Defaults to uniflow.toml in Path.
	Manifest string
	// Cases is the folder of the cases. Defaults to testdata beside the file or manifest.
	Cases string
	// Only runs the cases whose name holds it. Defaults to all.
	Only string
	// Update writes what came into the cases that differ.
	Update bool
}

// casesFolder is where cases stand.
const casesFolder = "testdata"

// TestPlugin runs the cases of a plugin under the real engine. A case that fails is part of the report; the error says why
// none could be run. Nothing outside of the cases' files is read or changed.
func TestPlugin(ctx context.Context, t PluginTesting) (flow.PluginTests, error) {
	report := flow.PluginTests{OK: true, Cases: []flow.PluginCase{}}
	bench, err := openBench(&t)
	if err != nil {
		return report, err
	}
	defer bench.close()
	cases, err := readCases(t.Cases)
	if err != nil {
		return report, err
	}
	cases = slices.DeleteFunc(cases, func(c *pluginTestCase) bool { return !strings.Contains(c.name, t.Only) })
	if len(cases) == 0 {
		return report, &flow.Error{Code: flow.CodeInput, Op: "test the plugin", Message: fmt.Sprintf("no case in %s has %q in its name", t.Cases, t.Only), Hint: "uniflow plugin test"}
	}
	for _, c := range cases {
		result, err := bench.run(ctx, c)
		if err != nil {
			return report, err
		}
		if t.Update && !result.OK && len(result.Differences) > 0 {
			if err := c.update(&result); err != nil {
				return report, err
			}
		}
		report.OK = report.OK && result.OK
		report.Cases = append(report.Cases, result.PluginCase)
	}
	return report, nil
}

// bench holds the plugins that cases name.
type bench struct {
	dir      string                 // what paths of the manifest are relative to
	plugins  map[string]flow.Plugin // by name
	cache    string                 // of compiled modules
	scratch  bool                   // the cache goes when the bench does
	modules  map[string]*hosttest.Module
	fromFile string // the name of the one plugin that was given as a file
}

// openBench finds the plugins, and settles where the cases are.
func openBench(t *PluginTesting) (*bench, error) {
	b := &bench{modules: map[string]*hosttest.Module{}}
	info, err := os.Stat(cmp.Or(t.Path, "."))
	switch {
	case err != nil:
		return nil, &flow.Error{Code: flow.CodePluginMissing, Op: "test " + t.Path, Message: "there is no such file or folder", Hint: "build the plugin first: uniflow plugin build"}
	case !info.IsDir():
		dir, name := filepath.Split(t.Path)
		b.dir, b.fromFile = cmp.Or(dir, "."), name
		b.plugins = map[string]flow.Plugin{name: {Wasm: name}}
		if head, err := readPlugin(t.Path); err == nil && isProgram(head) {
			b.plugins[name] = flow.Plugin{Process: name}
		}
	default:
		if err := b.read(t); err != nil {
			return nil, err
		}
	}
	t.Cases = cmp.Or(t.Cases, filepath.Join(b.dir, casesFolder))
	b.cache, b.scratch, err = compiledFolder()
	return b, err
}

// compiledFolder is where compiled modules are kept for the next call, among the caches of the user; where there is no
// such folder, one that must go afterwards.
func compiledFolder() (dir string, scratch bool, err error) {
	if dir, err := os.UserCacheDir(); err == nil {
		dir = filepath.Join(dir, "uniflow", "plugins")
		if os.MkdirAll(dir, 0o700) == nil {
			return dir, false, nil
		}
	}
	dir, err = os.MkdirTemp("", "uniflow-*")
	return dir, true, err
}

// read takes the plugins of a manifest.
func (b *bench) read(t *PluginTesting) error {
	path := filepath.Join(t.Path, ManifestName)
	if t.Path == "" {
		path = cmp.Or(t.Manifest, ManifestName)
	}
	doc, err := manifest.Load(path)
	if err != nil {
		return err
	}
	b.dir, b.plugins = filepath.Dir(path), doc.Manifest.Plugins
	return nil
}

func (b *bench) close() {
	for _, m := range b.modules {
		_ = m.Close()
	}
	if b.scratch {
		_ = os.RemoveAll(b.cache)
	}
}

// plugin finds the plugin that a case is about.
func (b *bench) plugin(c *pluginTestCase) (string, error) {
	names := b.tested()
	fail := func(message, help string) (string, error) {
		return "", flow.Problems{{Code: flow.CodeCase, Severity: flow.SeverityError, File: c.path, Message: message, Help: help}}
	}
	switch name := c.file.Plugin; {
	case b.fromFile != "":
		return b.fromFile, nil
	case name == "" && len(names) == 1:
		return names[0], nil
	case name == "" && len(names) == 0:
		return fail("the manifest has no plugin", "add [plugins.NAME], or name a plugin's file: uniflow plugin test FILE")
	case name == "":
		return fail("the manifest has several plugins", fmt.Sprintf("say which one is meant: plugin = %q", names[0]))
	default:
		if _, ok := b.plugins[name]; !ok {
			help := "the manifest has " + strings.Join(names, ", ")
			if near := nearest(name, names); near != "" {
				help = fmt.Sprintf("did you mean %q?", near)
			}
			return fail(fmt.Sprintf("the manifest has no plugin %q", name), help)
		}
		return name, nil
	}
}

// tested are the names of the plugins that cases can be about without saying so: engines of others are left out.
func (b *bench) tested() []string {
	engines := map[string]bool{}
	for _, p := range b.plugins {
		engines[p.Engine] = true
	}
	return slices.DeleteFunc(slices.Sorted(maps.Keys(b.plugins)), func(name string) bool { return engines[name] })
}

// module loads a plugin, once.
func (b *bench) module(ctx context.Context, name string) (*hosttest.Module, error) {
	if m, ok := b.modules[name]; ok {
		return m, nil
	}
	p := b.plugins[name]
	config := hosttest.Config{Name: name, Grant: b.absolute(p.Grant), Limits: p.Limits, Bindings: p.Secrets, CacheDir: b.cache}
	file, hint := p.Wasm, "uniflow plugin build"
	switch {
	case p.Process != "":
		config.Kind, config.CacheDir, file = flow.KindProcess, "", p.Process
	case p.Script != "":
		config.Script, file = filepath.Join(b.dir, filepath.FromSlash(p.Script)), b.plugins[p.Engine].Wasm
		hint = "put the engine there: it is a plugin of its own, which executes all scripts of its language"
	}
	path := filepath.Join(b.dir, filepath.FromSlash(file))
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) || file == "" {
		return nil, &flow.Error{Code: flow.CodePluginMissing, Op: fmt.Sprintf("test plugin %q", name), Message: path + " does not exist", Hint: hint}
	}
	m, err := hosttest.Load(ctx, path, config)
	if err != nil {
		return nil, err
	}
	b.modules[name] = m
	return m, nil
}

// absolute resolves mounts against the manifest's folder.
func (b *bench) absolute(g flow.Grant) flow.Grant {
	mounts := map[string]string{}
	for guest, path := range g.Mount {
		if abs, err := filepath.Abs(filepath.Join(b.dir, filepath.FromSlash(path))); err == nil {
			mounts[guest] = abs
		}
	}
	g.Mount = mounts
	return g
}

// caseResult is a case that was run, with what came beside what is reported.
type caseResult struct {
	flow.PluginCase

	kind   string
	output hosttest.Output
}

// run makes the call of a case and compares.
func (b *bench) run(ctx context.Context, c *pluginTestCase) (caseResult, error) {
	result := caseResult{PluginCase: flow.PluginCase{Name: c.name, File: c.path}}
	var err error
	if result.Plugin, err = b.plugin(c); err != nil {
		return result, err
	}
	m, err := b.module(ctx, result.Plugin)
	if err != nil {
		return result, err
	}
	in := c.input
	in.Limits = b.limits(result.Plugin, c)
	if c.file.Grant != nil {
		grant := b.absolute(*c.file.Grant)
		in.Grant = &grant
	}
	started := time.Now()
	result.output, err = m.Call(ctx, in)
	if ctx.Err() != nil {
		return result, context.Cause(ctx)
	}
	took := time.Since(started)
	if result.PluginRun, err = pluginRan(result.output, err); err != nil {
		return result, err
	}
	result.Duration = flow.Duration(took.Round(time.Microsecond))
	result.kind = kindOf(&result)
	result.Differences = c.compare(&result)
	result.OK = len(result.Differences) == 0
	return result, nil
}

// limits are those of the plugin, with those of the case above them.
func (b *bench) limits(plugin string, c *pluginTestCase) *flow.Limits {
	l := b.plugins[plugin].Limits
	over := c.file.Limits
	l.Memory, l.Output, l.Log = cmp.Or(over.Memory, l.Memory), cmp.Or(over.Output, l.Output), cmp.Or(over.Log, l.Log)
	l.Artifacts, l.Fuel = cmp.Or(over.Artifacts, l.Artifacts), cmp.Or(over.Fuel, l.Fuel)
	return &l
}

// kindOf is how a call ended, in the words of expect.kind.
func kindOf(r *caseResult) string {
	switch v := r.output.Verdict; {
	case r.Reason != "" && slices.Contains(faultWords(), string(r.Reason)):
		return string(r.Reason)
	case int(v) < len(verdictWords()):
		return verdictWords()[v]
	}
	return "failed"
}

// pluginRan is the report of a call. A fault of the sandbox is an ending; another error is the host's own.
func pluginRan(out hosttest.Output, err error) (flow.PluginRun, error) {
	report := flow.PluginRun{Logs: out.Logs}
	for i := range report.Logs {
		l := &report.Logs[i]
		l.Seq, l.Tenant, l.Run, l.Step, l.Attempt = int64(i)+1, flow.DefaultTenant, out.Run, "test", 1
	}
	for _, refusal := range out.Refusals {
		report.Refused = append(report.Refused, flow.RefusedCall(refusal))
	}
	return ended(report, out.Result, err)
}

// logText is a log line as cases write it.
func logText(l *flow.LogLine) string { return l.Level.String() + ": " + l.Message }

// eventsOf are events as JSON.
func eventsOf(out hosttest.Output) json.RawMessage {
	events := out.Events
	if events == nil {
		events = []hosttest.Event{}
	}
	doc, err := json.Marshal(events)
	if err != nil {
		return json.RawMessage("[]") // cannot be: the data was read as JSON
	}
	return doc
}
