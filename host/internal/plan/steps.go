package plan

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/expr"
)

// step freezes one step, all but its place in the graph.
func (b *builder) step(p *flow.Plan, src *flow.Pipeline, d draft) flow.PlanStep {
	s := d.step
	if !d.alone {
		b.stepKeys(d)
	}
	d0 := b.m.Defaults
	declared, name := b.pluginOf(p, d)
	engine := b.m.Plugins[declared.Engine]
	out := flow.PlanStep{
		Name: d.name, Plugin: name, Function: s.Function, With: s.With, When: s.When, Each: s.Each,
		On: on(s.On), Args: s.Args, Stdin: s.Stdin, Input: s.Input, Stdout: s.Stdout,
		Retry: retries(d0.Retry, src.Retry, s.Retry),
	}
	bounds(&out, layer{key{"defaults"}, d0.Limits, d0.Timeout}, layer{key{"pipelines", p.Pipeline}, src.Limits, src.Timeout},
		layer{at: key{"plugins", declared.Engine}, limits: engine.Limits}, layer{at: key{"plugins", name}, limits: declared.Limits}, layer{d.at, s.Limits, s.Timeout})
	b.lower(&out)
	if s.Each != "" {
		out.Parallel = last(defaultParallel, s.Parallel)
	}
	b.function(&out, d, declared)
	return out
}

// on reads a word that stepKeys may have refused.
func on(o flow.On) flow.On {
	if o == flow.OnFailure || o == flow.OnAlways {
		return o
	}
	return flow.OnSuccess
}

// stepKeys checks what stands in the step's own table.
func (b *builder) stepKeys(d draft) {
	s := d.step
	if !goodName(d.name, false) {
		b.fail(flow.CodeBadName, d.at, nameHelp, "%q is no name for a step", d.name).OnKey = true
	}
	b.policy(d.at, s.Retry, s.Timeout, s.Limits)
	b.word(d.at.to("on"), string(s.On), string(flow.OnSuccess), string(flow.OnFailure), string(flow.OnAlways))
	b.word(d.at.to("stdout"), s.Stdout, "json", "text", "log")
	if !strings.Contains(s.Input, "${") {
		b.word(d.at.to("input"), s.Input, flow.InputWith, "${...}")
	}
	switch {
	case s.Parallel != 0 && s.Each == "":
		b.fail(flow.CodePlace, d.at.to("parallel"), `add each = "${...}", or remove parallel`, "parallel bounds the calls of each; step %q has no each", d.name).OnKey = true
	case s.Parallel < 0 || s.Parallel > maxParallel:
		b.fail(flow.CodeOutOfRange, d.at.to("parallel"), "", "parallel is %d; it lies between 1 and %d", s.Parallel, maxParallel)
	}
	if s.Timeout.Run != 0 {
		b.fail(flow.CodePlace, d.at.to("timeout", "run"), "write timeout.step, or move it to the pipeline", "timeout.run bounds a whole run; step %q is a part of one", d.name).OnKey = true
	}
	if s.Timeout.Start != 0 {
		b.fail(flow.CodePlace, d.at.to("timeout", "start"), "move it to the pipeline", "timeout.start is about the start of a run; step %q is a part of one", d.name).OnKey = true
	}
}

// pluginOf resolves what a step runs, and records it on the plan under the name that is returned.
func (b *builder) pluginOf(p *flow.Plan, d draft) (flow.Plugin, string) {
	s := d.step
	if d.script.Script != "" {
		b.freeze(p, "./"+d.script.Script, d.script, d.at.to("script"))
		return d.script, "./" + d.script.Script
	}
	if count(s.Plugin, s.Wasm, s.Process) != 1 {
		if !d.alone {
			b.fail(flow.CodeStepSource, d.at, `write plugin = "NAME", or wasm = "FILE"`, "step %q needs exactly one of plugin, wasm and process", d.name).OnKey = true
		}
		return flow.Plugin{}, ""
	}
	if s.Plugin == "" {
		declared := flow.Plugin{Wasm: s.Wasm, Process: s.Process, Grant: d.grant}
		name := s.Wasm + s.Process
		if goodName(name, true) {
			name = "./" + name // not to be taken for a declared plugin
		}
		b.freeze(p, name, declared, d.at.to(source(declared)))
		return declared, name
	}
	if !zeroGrant(d.grant) {
		b.fail(flow.CodePlace, d.at.to("grant"), fmt.Sprintf("move it to [plugins.%s.grant]", s.Plugin), "the grant of a declared plugin stands on the plugin").OnKey = true
	}
	declared, ok := b.m.Plugins[s.Plugin]
	if !ok {
		help := expr.DidYouMean(s.Plugin, slices.Sorted(maps.Keys(b.m.Plugins)))
		b.fail(flow.CodeUnknownPlugin, d.at.to("plugin"), first(help, fmt.Sprintf("declare it: [plugins.%s]", s.Plugin)), "there is no plugin %q", s.Plugin)
		return flow.Plugin{}, s.Plugin
	}
	b.used[s.Plugin] = true
	b.freeze(p, s.Plugin, declared, key{"plugins", s.Plugin, source(declared)})
	return declared, s.Plugin
}

// source is the key that names a plugin's file.
func source(p flow.Plugin) string {
	switch {
	case p.Process != "":
		return "process"
	case p.Script != "":
		return "script"
	}
	return "wasm"
}

// freeze records a plugin on the plan; at is the key that names its file.
func (b *builder) freeze(p *flow.Plan, name string, declared flow.Plugin, at key) {
	frozen := flow.PlanPlugin{Name: name, Grant: declared.Grant, Secrets: frozenSecrets(declared.Secrets)}
	frozen.Grant.HTTP = frozenHTTP(declared.Grant.HTTP)
	switch {
	case declared.Func != "":
		frozen.Kind, frozen.Path = flow.KindFunc, declared.Func
	case declared.Process != "":
		frozen.Kind = flow.KindProcess
	default:
		frozen.Kind = flow.KindWasm
		frozen.Fresh = declared.Snapshot != nil && !*declared.Snapshot
		if b.m.Defaults.Isolation != flow.IsolationInline {
			frozen.Isolation = b.m.Defaults.Isolation
		}
	}
	if file := declared.Wasm + declared.Process; file != "" {
		found := b.resolved(file, at)
		b.beyondProcess(at, declared.Process)
		b.beyondEnv(at, &declared)
		frozen.Path, frozen.Digest = found.Path, found.Digest
		frozen.Imports, frozen.Wants, frozen.Signer = found.Imports, found.Wants, found.Signer
		b.wants(name, declared, found.Wants, at)
	}
	if declared.Script != "" {
		b.freezeScript(&frozen, declared, at)
	}
	b.origin(&frozen, at)
	p.Plugins[name] = frozen
}

// resolved returns what is known of a file, and warns once where nothing is.
func (b *builder) resolved(file string, at key) flow.Resolved {
	found, ok := b.in.Resolved[file]
	if id := fmt.Sprint(at); !ok && !b.waiting[id] {
		b.waiting[id] = true
		b.warn(flow.CodeNotBuilt, at, "uniflow build", "%s is not there yet, so that its functions are not checked and the pipeline has no version", file)
	}
	return found
}

// freezeScript records a script and the engine that executes it, which is another plugin: a module.
func (b *builder) freezeScript(frozen *flow.PlanPlugin, declared flow.Plugin, at key) {
	script := b.resolved(declared.Script, at)
	frozen.Script = &flow.PlanScript{Path: script.Path, Digest: script.Digest, Entry: script.Entry}
	frozen.Signer = script.Signer
	engine, ok := b.m.Plugins[declared.Engine]
	place := at[:len(at)-1].to("engine")
	switch {
	case !ok:
		help := expr.DidYouMean(declared.Engine, slices.Sorted(maps.Keys(b.m.Plugins)))
		b.fail(flow.CodeUnknownPlugin, place, first(help, fmt.Sprintf("declare it: [plugins.%s]", declared.Engine)), "there is no plugin %q to execute the script", declared.Engine)
		return
	case engine.Wasm == "":
		b.fail(flow.CodeScriptEngine, place, `name a plugin with wasm = "FILE"`, "plugin %q executes no scripts: an engine is a module", declared.Engine)
		return
	}
	b.used[declared.Engine] = true
	found := b.resolved(engine.Wasm, key{"plugins", declared.Engine, "wasm"})
	frozen.Path, frozen.Digest, frozen.Imports = found.Path, found.Digest, found.Imports
	frozen.Fresh = frozen.Fresh || engine.Snapshot != nil && !*engine.Snapshot
	if script.Digest == "" {
		frozen.Digest = "" // no version without the text
	}
	if found.Functions != nil && !slices.Contains(found.Functions, defaultFunction) {
		b.fail(flow.CodeScriptEngine, place, "uniflow plugin inspect lists what it offers", "plugin %q executes no scripts: it has no function %s", declared.Engine, defaultFunction)
	}
}

// defaultFunction is what a module that offers functions by name is called by where a step names none.
const defaultFunction = "uniflow_run"

// function checks the step against what its plugin offers, and takes over the types of outputs.
func (b *builder) function(out *flow.PlanStep, d draft, declared flow.Plugin) {
	if declared.Func != "" && !b.in.Funcs[declared.Func] {
		b.fail(flow.CodeUnknownFunction, d.at.to("plugin"), first(expr.DidYouMean(declared.Func, slices.Sorted(maps.Keys(b.in.Funcs))), "register it with the host first"), "no Go function %q is registered", declared.Func)
	}
	facts := b.in.Resolved[declared.Wasm+declared.Process]
	b.wasmKeys(out, d, declared, facts)
	usual := defaultFunction
	if facts.Profile == profileExtism {
		usual = "run"
	}
	switch {
	case facts.Functions == nil, slices.Contains(facts.Functions, first(out.Function, facts.Default, usual)):
	case out.Function != "":
		b.fail(flow.CodeUnknownFunction, d.at.to("function"), first(expr.DidYouMean(out.Function, facts.Functions), "uniflow plugin inspect lists what it offers"), "plugin %q has no function %q", out.Plugin, out.Function)
	case len(facts.Functions) > 0:
		b.fail(flow.CodeUnknownFunction, d.at.to("function"), fmt.Sprintf("function = %q", facts.Functions[0]), "plugin %q must be told which function to call: it has no %s", out.Plugin, usual)
	}
	shaped := called(facts.Shapes, out.Function)
	out.Shape = facts.Shapes[shaped]
	b.shape(d, out)
	for name, schema := range facts.Outputs[called(facts.Outputs, out.Function)] {
		if out.Outputs == nil {
			out.Outputs = map[string]string{}
		}
		out.Outputs[name] = typeOf(schema)
	}
}

// profileExtism is flow.Resolved.Profile of a plugin of Extism.
const profileExtism = "extism"

// wasmKeys refuses keys that mean nothing to the plugin.
func (b *builder) wasmKeys(out *flow.PlanStep, d draft, declared flow.Plugin, facts flow.Resolved) {
	fail := func(name, help, whose string) {
		b.fail(flow.CodePlace, d.at.to(name), help, "%s is for %s; plugin %q is none", name, whose, out.Plugin).OnKey = true
	}
	module := declared.Wasm != "" || count(declared.Process, declared.Func) == 0
	for _, key := range []struct {
		name string
		set  bool
	}{{"args", len(out.Args) > 0}, {"stdin", out.Stdin != ""}, {"stdout", out.Stdout != ""}} {
		if key.set && !module {
			fail(key.name, "pass values by with", "WebAssembly commands")
		}
	}
	switch extism := facts.Profile == profileExtism; {
	case out.Stdin != "" && extism:
		fail("stdin", "write input instead of stdin", "WebAssembly commands")
	case out.Input != "" && !module, out.Input != "" && facts.Profile != "" && !extism:
		fail("input", "pass values by with", "plugins of Extism")
	case out.Input != "" && out.Stdin != "":
		b.fail(flow.CodePlace, d.at.to("stdin"), "keep the one that the plugin has", "step %q has stdin and input", d.name).OnKey = true
	}
}

// called is the name of the function that a call reaches, among those that are described.
func called[T any](described map[string]T, function string) string {
	if function != "" {
		return function
	}
	for _, name := range []string{defaultFunction, "run"} {
		if _, ok := described[name]; ok {
			return name
		}
	}
	if len(described) == 1 {
		for name := range described {
			return name
		}
	}
	return ""
}

// typeOf is the word for the type that a JSON Schema states, or "" where it states none or several.
func typeOf(schema json.RawMessage) string {
	var s struct {
		Type json.RawMessage `json:"type"`
	}
	var word string
	if json.Unmarshal(schema, &s) != nil || json.Unmarshal(s.Type, &word) != nil {
		return ""
	}
	if word == "array" {
		return "list"
	}
	if slices.Contains(paramTypes(), word) {
		return word
	}
	return ""
}
