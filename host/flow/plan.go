package flow

import (
	"encoding/json"
	"fmt"
)

// Plan is a checked, frozen pipeline: everything a runner needs, nothing left to look up. Its Digest is its version; it
// covers what runs (steps, plugin bytes, bindings, conditions, limits, grants, context, params, retry, timeout) and
// nothing else, so that a new owner, label or schedule is not a new version.
type Plan struct {
	Tenant   string `json:"tenant"`
	Pipeline string `json:"pipeline"`
	Project  string `json:"project,omitempty"`
	About    string `json:"about,omitempty"`
	Owner    string `json:"owner,omitempty"`
	Runbook  string `json:"runbook,omitempty"`
	Label    string `json:"label,omitempty"`
	// Digest is the version.
	Digest Digest `json:"digest"`
	// When is the condition of the whole run, or empty.
	When string `json:"when,omitempty"`
	// Context is what a run receives that brings none: defaults of params, then the pipeline's own.
	Context map[string]json.RawMessage `json:"context,omitempty"`
	Params  map[string]Param           `json:"params,omitempty"`
	// Steps in an order in which every step follows those that it needs; ties by name.
	Steps []PlanStep `json:"steps"`
	// Plugins by the name that steps use.
	Plugins map[string]PlanPlugin `json:"plugins"`
	Overlap Overlap               `json:"overlap"`
	// Slots is what the pipeline's schedules take over unless they say otherwise.
	Slots   SlotRules `json:"slots,omitzero"`
	Timeout Duration  `json:"timeout"` // of the run
	// TimeoutFrom is the table that sets the timeout, empty for the default. It is no part of the version.
	TimeoutFrom string `json:"timeout_from,omitempty"`
	Keep        Keep   `json:"keep"`
	// OnCrash is no part of the version: what it says now holds for a run that a crash has cut off before.
	OnCrash OnCrash `json:"on_crash,omitempty"`
	// Schedules of the pipeline, the manifest's own first, then by name.
	Schedules []PlanSchedule `json:"schedules,omitempty"`
	// Alerts are the targets of messages about the pipeline, Expect what is watched for.
	Alerts []string   `json:"alerts,omitempty"`
	Expect PlanExpect `json:"expect,omitzero"`
}

// PlanExpect is an Expect with the zone in which its time of day is read.
type PlanExpect struct {
	Expect
	Timezone string `json:"timezone,omitempty"`
}

// ID returns the pipeline's id.
func (p *Plan) ID() string { return ID(p.Tenant, p.Pipeline) }

// Step returns the named step, or nil.
func (p *Plan) Step(name string) *PlanStep {
	for i := range p.Steps {
		if p.Steps[i].Name == name {
			return &p.Steps[i]
		}
	}
	return nil
}

// Before returns the names of the steps that a step waits for. A hook that names none waits for every step that is no
// hook.
func (p *Plan) Before(s *PlanStep) []string {
	if len(s.Needs) > 0 || s.On == OnSuccess {
		return s.Needs
	}
	var all []string
	for i := range p.Steps {
		if p.Steps[i].On == OnSuccess {
			all = append(all, p.Steps[i].Name)
		}
	}
	return all
}

// Ends returns the names of the steps that no other step needs, hooks aside, in order: their outputs are the run's.
func (p *Plan) Ends() []string {
	needed := map[string]bool{}
	for i := range p.Steps {
		if p.Steps[i].On == OnSuccess {
			for _, name := range p.Steps[i].Needs {
				needed[name] = true
			}
		}
	}
	var ends []string
	for i := range p.Steps {
		if p.Steps[i].On == OnSuccess && !needed[p.Steps[i].Name] {
			ends = append(ends, p.Steps[i].Name)
		}
	}
	return ends
}

// PlanStep is a frozen step with its effective limits.
type PlanStep struct {
	Name     string                     `json:"name"`
	Plugin   string                     `json:"plugin"`
	Function string                     `json:"function,omitempty"`
	With     map[string]json.RawMessage `json:"with,omitempty"`
	When     string                     `json:"when,omitempty"`
	Each     string                     `json:"each,omitempty"`
	Parallel int                        `json:"parallel,omitempty"`
	// Needs are the steps that come first, from references, needs and order together; sorted.
	Needs   []string `json:"needs,omitempty"`
	On      On       `json:"on"`
	Retry   Retry    `json:"retry"`
	Timeout Duration `json:"timeout"` // of one attempt
	Limits  Limits   `json:"limits"`
	// SetBy names the tables of the manifest that set limits and, under "timeout", the timeout; what is not in it is the
	// default. It is no part of the version.
	SetBy  map[string]string `json:"set_by,omitempty"`
	Args   []string          `json:"args,omitempty"`
	Stdin  string            `json:"stdin,omitempty"`
	Input  string            `json:"input,omitempty"`
	Stdout string            `json:"stdout,omitempty"`
	// Shape is what the plugin says of the function. It follows from the plugin's bytes and is no part of the version of its own.
	Shape Shape `json:"shape,omitzero"`
	// Outputs are the types of outputs, in the words of Param.Type, as far as the plugin's own description says them.
	Outputs map[string]string `json:"outputs,omitempty"`
}

// PluginKind says which runtime executes a plugin.
type PluginKind string

const (
	KindWasm    PluginKind = "wasm"    // a module in a sandbox
	KindProcess PluginKind = "process" // a go-plugin binary
	KindFunc    PluginKind = "func"    // a Go function of the embedder
)

// PlanPlugin is a plugin whose bytes and effective grant are fixed.
type PlanPlugin struct {
	Name string     `json:"name"`
	Kind PluginKind `json:"kind"`
	// Path is where the bytes were found, an absolute path; it is not part of the version. For KindFunc it is the
	// name of the function.
	Path string `json:"path"`
	// Digest of the bytes. For KindFunc it is empty: a function's code has no digest, and the plan's version then
	// covers its name only.
	Digest Digest `json:"digest,omitempty"`
	// Grant is the effective grant; host paths in it are absolute.
	Grant Grant `json:"grant,omitzero"`
	// Script is what the module, an engine, executes; nil for a module that is the plugin itself.
	Script *PlanScript `json:"script,omitempty"`
	// Secrets are the places to which secrets are bound, by their names; their values are in no plan.
	Secrets map[string]SecretBinding `json:"secrets,omitempty"`
	// Fresh is true when no instance of a module serves two attempts, not even after a reset.
	Fresh bool `json:"fresh,omitempty"`
	// Isolation is where a module runs; empty is IsolationInline. It is not part of the version: what a step does is the
	// same in both.
	Isolation Isolation `json:"isolation,omitempty"`
	// Imports are what a module imports of the host, as module.name, sorted. They follow from its bytes.
	Imports []string `json:"imports,omitempty"`
	// Wants is what the plugin says that it wants to be granted. It follows from its bytes.
	Wants Wants `json:"wants,omitzero"`
	// GrantFrom is the table of the manifest that grants, Ceiling the place of the operator's that allows it; empty where
	// there is none. Signer is the key that signed the bytes. None of them is part of the version.
	GrantFrom string `json:"grant_from,omitempty"`
	Ceiling   string `json:"ceiling,omitempty"`
	Signer    string `json:"signer,omitempty"`
}

// Key names what a runtime prepares of a plugin: two plugins with the same key are one.
func (p *PlanPlugin) Key() string {
	grant, err := json.Marshal(p.Grant)
	if err != nil { // cannot be: a grant is strings, lists and maps of them
		grant = nil
	}
	script := PlanScript{}
	if p.Script != nil {
		script = *p.Script
	}
	return fmt.Sprintf("%s %s %s %s %s", p.Digest, p.Name, grant, script.Digest, script.Entry)
}

// PlanScript is a script whose text is fixed.
type PlanScript struct {
	// Path of the file or folder, absolute; it is not part of the version.
	Path string `json:"path"`
	// Digest of the file, or of all files of the folder.
	Digest Digest `json:"digest"`
	// Entry is the file to begin with, relative to the folder.
	Entry string `json:"entry"`
}

// PlanSchedule is a frozen schedule.
type PlanSchedule struct {
	// Name is unique within the tenant; a pipeline's own schedule has the pipeline's name.
	Name     string `json:"name"`
	Pipeline string `json:"pipeline"`
	// At is the canonical schedule text, Timezone an IANA name.
	At       string                     `json:"at"`
	Timezone string                     `json:"timezone"`
	Context  map[string]json.RawMessage `json:"context,omitempty"`
	// Enabled as written; the ledger may hold an override.
	Enabled bool    `json:"enabled"`
	Overlap Overlap `json:"overlap"`
	Catchup Catchup `json:"catchup"`
	SlotRules
	// From and To bound the slots, both included; empty is no bound. They are RFC 3339 instants.
	From string `json:"from,omitempty"`
	To   string `json:"to,omitempty"`
}

// SlotRules say more about the slots of a schedule.
type SlotRules struct {
	// OnResume is empty for none.
	OnResume OnResume `json:"on_resume,omitempty"`
	// NotOn are the times on which slots are skipped, in canonical form and order: sat, 2026-12-25,
	// 2026-12-24..2026-12-26, 2026-12-25 FREQ=YEARLY. What a calendar file said when it was read stands here, too.
	NotOn []string `json:"not_on,omitempty"`
	// Jitter bounds the delay between a slot and its start.
	Jitter Duration `json:"jitter,omitempty"`
	// Start is how long a slot may wait for the start of its run after it came due; 0 is for ever.
	Start Duration `json:"start,omitempty"`
}

// Shape is what a plugin says of a function: JSON Schemas of its inputs and of the object of all its outputs; empty for
// nothing.
type Shape struct {
	With    json.RawMessage `json:"with,omitempty"`
	Outputs json.RawMessage `json:"outputs,omitempty"`
}

// Wants is what a plugin wants to be granted, in the words of the manifest.
type Wants struct {
	HTTP   []string `json:"http,omitempty"`
	Mount  []string `json:"mount,omitempty"` // paths of the guest
	Secret []string `json:"secret,omitempty"`
	State  bool     `json:"state,omitempty"`
	Event  bool     `json:"event,omitempty"`
	Clock  bool     `json:"clock,omitempty"`
	Random bool     `json:"random,omitempty"`
}

// Resolved is what is known of a plugin's bytes before a plan is built.
type Resolved struct {
	// Path is absolute.
	Path   string `json:"path"`
	Digest Digest `json:"digest"`
	// Profile is how host and module work together: command, reactor or extism; empty of anything but a module.
	Profile string `json:"profile,omitempty"`
	// ABI names the contract that a module is built for: command, reactor uniflow_abi_v1 or extism.
	ABI string `json:"abi,omitempty"`
	// Entry is the file that a script begins with; empty for any other plugin.
	Entry string `json:"entry,omitempty"`
	// Imports are what a module imports of the host, as module.name, sorted.
	Imports []string `json:"imports,omitempty"`
	// Signer is the key that signed the bytes; empty where none is asked for.
	Signer string `json:"signer,omitempty"`
	// Functions are the entries that the bytes offer, where they can be known without running them; nil otherwise.
	Functions []string `json:"functions,omitempty"`
	// Default is the one of them that is called where a step names none; empty where a step must.
	Default string `json:"default,omitempty"`
	// Shapes are what the module's own descriptor says of its functions, by name, and Wants what it wants to be granted.
	Shapes map[string]Shape `json:"shapes,omitempty"`
	Wants  Wants            `json:"wants,omitzero"`
	// Outputs are the JSON Schemas of a function's outputs from the module's own descriptor, by function, by output.
	Outputs map[string]map[string]json.RawMessage `json:"outputs,omitempty"`
}
