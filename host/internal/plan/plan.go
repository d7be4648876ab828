// Package plan turns a manifest into checked, frozen plans.
//
// It owns what a manifest means: the graph of steps, what is merged over what, effective limits and grants, the
// version (digest) of a pipeline, and every mistake that can be found before a run. It is pure: the same manifest and
// the same facts about plugin files give the same plans, and it never runs a plugin. It must not read files or clocks.
package plan

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/expr"
	"github.com/uniflow-dev/uniflow/host/internal/schema"
)

// Inputs are the facts beside the manifest that a plan depends on.
type Inputs struct {
	// Resolved holds what is known of plugin files, by path as the manifest writes it. A plugin whose file is missing
	// here is not built yet: its pipelines get no digest, and a warning says so.
	Resolved map[string]flow.Resolved
	// Funcs are the registered Go functions.
	Funcs map[string]bool
	// Calendars holds what calendar files say, as entries of not_on, by path as the manifest writes it. One that could not
	// be read is nil, and whoever reads it tells why; one that is missing here is an error.
	Calendars map[string][]string
	// Tenant owns the pipelines. Defaults to flow.DefaultTenant.
	Tenant string
	// Bounds are what the operator says of the tenant; nil for the default tenant, which has none.
	Bounds *Bounds
}

// Build returns the plans of all pipelines, by name, and all problems that were found, in the order of the manifest's
// keys. With an error among the problems the plans are not fit to run; with warnings alone they are.
func Build(m flow.Manifest, in Inputs) ([]flow.Plan, flow.Problems) {
	if in.Tenant == "" {
		in.Tenant = flow.DefaultTenant
	}
	b := &builder{m: m, in: in, used: map[string]bool{}, waiting: map[string]bool{}, zones: map[string]bool{}, told: map[string]bool{}, wanted: map[string]bool{}}
	b.refuse()
	var plans []flow.Plan
	for _, name := range slices.Sorted(maps.Keys(m.Pipelines)) {
		plans = append(plans, b.pipeline(name))
	}
	b.schedules(plans)
	b.plugins()
	for i := range plans {
		plans[i].Digest = digest(&plans[i])
	}
	return plans, b.problems
}

// builder collects the problems of one manifest.
type builder struct {
	m        flow.Manifest
	in       Inputs
	problems flow.Problems
	// used are the plugins that a step names, waiting those files that a warning was given for.
	used, waiting map[string]bool
	// zones are the keys of time zones that were checked.
	zones map[string]bool
	// wanted are the plugins of which it was told what they want; shapes judges inputs.
	wanted map[string]bool
	shapes schema.Shapes
	// told are problems of schedules that were told.
	told map[string]bool
}

// key is the path of a key in the manifest.
type key []string

// to returns the path of a key below k.
func (k key) to(names ...string) key { return append(slices.Clone(k), names...) }

func (b *builder) add(severity flow.Severity, code flow.Code, at key, help, format string, args ...any) *flow.Problem {
	b.problems = append(b.problems, flow.Problem{Code: code, Severity: severity, Path: at, Help: help, Message: fmt.Sprintf(format, args...)})
	return &b.problems[len(b.problems)-1]
}

func (b *builder) fail(code flow.Code, at key, help, format string, args ...any) *flow.Problem {
	return b.add(flow.SeverityError, code, at, help, format, args...)
}

func (b *builder) warn(code flow.Code, at key, help, format string, args ...any) {
	b.add(flow.SeverityWarning, code, at, help, format, args...)
}

// expression reports the mistakes of an expression under the key that holds it.
func (b *builder) expression(at key, err error) {
	errs, _ := err.(expr.Errors) //nolint:errorlint // expr returns this type and nothing else
	for _, e := range errs {
		p := b.fail(e.Code, at.to(e.Path...), e.Hint, "%s", e.Message)
		p.Offset, p.Length = e.Offset, e.Length
	}
}

// word checks that a key holds one of a few words; empty is the default.
func (b *builder) word(at key, word string, known ...string) {
	if word == "" || slices.Contains(known, word) {
		return
	}
	name := at[len(at)-1]
	if _, err := strconv.Atoi(name); err == nil {
		name = at[len(at)-2]
	}
	b.fail(flow.CodeNotOneOf, at, expr.DidYouMean(word, known), "%s cannot be %q", name, word)
}

// pipeline builds one plan, without its schedules and its digest.
func (b *builder) pipeline(name string) flow.Plan {
	src := b.m.Pipelines[name]
	at := key{"pipelines", name}
	if !goodName(name, true) {
		b.fail(flow.CodeBadName, at, nameHelp, "%q is no name for a pipeline", name).OnKey = true
	}
	p := flow.Plan{
		Tenant: b.in.Tenant, Pipeline: name, Project: src.Project, About: src.About, Owner: src.Owner, Runbook: src.Runbook, Label: src.Label,
		When: src.When, Params: src.Params, Plugins: map[string]flow.PlanPlugin{},
		Overlap: last(flow.OverlapWait, b.m.Defaults.Overlap, src.Overlap),
		OnCrash: last(flow.CrashResume, b.m.Defaults.OnCrash, src.OnCrash),
		Slots:   b.slotRules(at, &src),
		Keep:    b.keep(at, src.Keep),
	}
	b.runTimeout(&p, at, src.Timeout)
	b.params(at, &p, src.Context)
	b.pipelineKeys(at, &src)
	b.watched(at, &p, &src)
	drafts := b.drafts(at, &src)
	for _, d := range drafts {
		p.Steps = append(p.Steps, b.step(&p, &src, d))
	}
	if src.When != "" {
		_, err := expr.NewScope(expr.PlanEnv(&p, "")).Condition(src.When)
		b.expression(at.to("when"), err)
	}
	b.order(at, &p, &src, drafts)
	return p
}

// draft is a step as it is written; a pipeline of one module is one step that stands on the pipeline itself.
type draft struct {
	name  string
	at    key
	step  flow.Step
	grant flow.Grant
	alone bool
	// script is the plugin of a pipeline that is one script.
	script flow.Plugin
}

// drafts lists the steps of a pipeline, by name.
func (b *builder) drafts(at key, src *flow.Pipeline) []draft {
	modules := count(src.Wasm, src.Process, src.Plugin, src.Script)
	if modules > 1 || (modules == 1) == (len(src.Steps) > 0) {
		b.fail(flow.CodePipelineSource, at, `give it wasm = "plugins/NAME.wasm", or steps: [pipelines.`+at[1]+`.steps.NAME]`,
			"pipeline %q needs either steps or exactly one of wasm, process, plugin and script", at[1]).OnKey = true
	}
	if modules == 1 {
		name := "main"
		if goodName(src.Function, false) {
			name = src.Function
		}
		return []draft{{
			name: name, at: at, grant: src.Grant, alone: true,
			script: flow.Plugin{Script: src.Script, Engine: src.Engine, Grant: src.Grant},
			step:   flow.Step{Plugin: src.Plugin, Wasm: src.Wasm, Process: src.Process, Function: src.Function, With: src.With},
		}}
	}
	if len(src.Steps) > maxSteps {
		b.fail(flow.CodeOutOfRange, at.to("steps"), "split it into several pipelines", "pipeline %q has %d steps; at most %d", at[1], len(src.Steps), maxSteps)
	}
	var drafts []draft
	for _, name := range slices.Sorted(maps.Keys(src.Steps)) {
		drafts = append(drafts, draft{name: name, at: at.to("steps", name), step: src.Steps[name]})
	}
	return drafts
}

// pipelineKeys refuses what has no place on a pipeline.
func (b *builder) pipelineKeys(at key, src *flow.Pipeline) {
	if len(src.Steps) > 0 {
		b.onlyAlone(at, "function", src.Function != "")
		b.onlyAlone(at, "grant", !zeroGrant(src.Grant))
		b.onlyAlone(at, "with", src.With != nil)
	} else if src.Order != nil {
		b.fail(flow.CodePlace, at.to("order"), "remove it", "order needs steps; pipeline %q is one module", at[1]).OnKey = true
	}
}

func (b *builder) onlyAlone(at key, name string, set bool) {
	if set {
		b.fail(flow.CodeOnlyOneModule, at.to(name), "move it to a step or to its plugin", "%s belongs to a pipeline that is one module; pipeline %q has steps", name, at[1]).OnKey = true
	}
}

// plugins checks the declared plugins themselves, used or not.
func (b *builder) plugins() {
	for _, name := range slices.Sorted(maps.Keys(b.m.Plugins)) {
		p := b.m.Plugins[name]
		at := key{"plugins", name}
		if p.Func == "" && !goodName(name, true) {
			b.fail(flow.CodeBadName, at, nameHelp, "%q is no name for a plugin", name).OnKey = true
		}
		if count(p.Wasm, p.Process, p.Script, p.Func) != 1 {
			b.fail(flow.CodePluginSource, at, `give it wasm = "FILE" or process = "FILE"`, "plugin %q needs exactly one of wasm, process and script", name).OnKey = true
		}
		b.limits(at.to("limits"), p.Limits)
		b.grant(at.to("grant"), p.Grant)
		b.beyondProcess(at.to("process"), p.Process)
		if !b.used[name] && p.Func == "" {
			b.warn(flow.CodeUnusedPlugin, at, fmt.Sprintf("use it in a step: plugin = %q", name), "no step uses plugin %q", name)
			b.problems[len(b.problems)-1].OnKey = true
		}
	}
}

// laid lays contexts over one another, key by key; later ones win.
func laid(contexts ...map[string]json.RawMessage) map[string]json.RawMessage {
	out := map[string]json.RawMessage{}
	for _, c := range contexts {
		maps.Copy(out, c)
	}
	return out
}
