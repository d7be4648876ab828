package flow

import "encoding/json"

// Manifest is what a user wrote in uniflow.toml: checked for form, not yet for sense (package plan does that).
type Manifest struct {
	// Version of the manifest format; always 1.
	Version int `toml:"version" json:"version"`
	// Host settings of the process that serves this manifest.
	Host HostSettings `toml:"host" json:"host,omitzero"`
	// Defaults for every pipeline and step.
	Defaults Defaults `toml:"defaults" json:"defaults,omitzero"`
	// Alerts are named targets for messages.
	Alerts map[string]Alert `toml:"alerts" json:"alerts,omitempty"`
	// Plugins by name.
	Plugins map[string]Plugin `toml:"plugins" json:"plugins,omitempty"`
	// Pipelines by name.
	Pipelines map[string]Pipeline `toml:"pipelines" json:"pipelines,omitempty"`
	// Schedules beside the ones that stand on pipelines, by name.
	Schedules map[string]Schedule `toml:"schedules" json:"schedules,omitempty"`
	// Tenants that the operator declares, by name.
	Tenants map[string]Tenant `toml:"tenants" json:"tenants,omitempty"`
}

// HostSettings is the [host] table.
type HostSettings struct {
	// Data is the folder of ledger, module cache and artifacts, relative to the manifest. Defaults to "data".
	Data string `toml:"data" json:"data,omitempty"`
	// Listen is the address of the API. Defaults to "127.0.0.1:7420"; "" in the file turns it off.
	Listen *string `toml:"listen" json:"listen,omitempty"`
	// Timezone is the default zone of schedules, an IANA name. Defaults to "UTC".
	Timezone string `toml:"timezone" json:"timezone,omitempty"`
	// Secrets names the source of secrets: env:PREFIX_, file:PATH, dir:PATH or age:PATH.
	Secrets string `toml:"secrets" json:"secrets,omitempty"`
	// MinInterval is the least time between two slots of a schedule. Defaults to 1s.
	MinInterval Duration `toml:"min_interval" json:"min_interval,omitempty"`
	// Keys are minisign public keys. With any, each plugin file of the default tenant needs a signature by one of them.
	Keys []string `toml:"keys" json:"keys,omitempty"`
	// TLS serves the API's TCP address by TLS. Defaults to none.
	TLS TLS `toml:"tls" json:"tls,omitzero"`
	// Names are further host names by which the API may be addressed, such as that of a proxy before it.
	Names []string `toml:"names" json:"names,omitempty"`
}

// TLS names the files of a certificate, relative to the manifest. New ones hold without a restart.
type TLS struct {
	// Cert is a PEM file: the certificate and those that lead to its root.
	Cert string `toml:"cert" json:"cert,omitempty"`
	// Key is the PEM file of its private key.
	Key string `toml:"key" json:"key,omitempty"`
}

// Defaults is the [defaults] table; pipelines and steps override it key by key.
type Defaults struct {
	Overlap   Overlap   `toml:"overlap" json:"overlap,omitempty"`
	Catchup   Catchup   `toml:"catchup" json:"catchup,omitzero"`
	OnResume  OnResume  `toml:"on_resume" json:"on_resume,omitempty"`
	NotOn     []string  `toml:"not_on" json:"not_on,omitempty"`
	Jitter    Duration  `toml:"jitter" json:"jitter,omitempty"`
	OnCrash   OnCrash   `toml:"on_crash" json:"on_crash,omitempty"`
	Retry     Retry     `toml:"retry" json:"retry,omitzero"`
	Timeout   Timeout   `toml:"timeout" json:"timeout,omitzero"`
	Limits    Limits    `toml:"limits" json:"limits,omitzero"`
	Keep      Keep      `toml:"keep" json:"keep,omitzero"`
	Isolation Isolation `toml:"isolation" json:"isolation,omitempty"`
}

// Overlap says what a slot does that comes due while its pipeline has a live run.
type Overlap string

const (
	OverlapWait    Overlap = "wait"     // one slot per schedule waits; the newest wins, older ones are coalesced into it
	OverlapWaitAll Overlap = "wait_all" // up to 100 slots wait, in order
	OverlapSkip    Overlap = "skip"     // the slot is skipped
	OverlapReplace Overlap = "replace"  // the live run is cancelled and the slot runs
)

// OnResume says which slots run that were due while a schedule was disabled, once it is enabled again.
type OnResume string

const (
	ResumeNone   OnResume = "none"   // none of them
	ResumeLatest OnResume = "latest" // the newest
	ResumeAll    OnResume = "all"    // all, up to the max of catchup
)

// OnCrash says what becomes of a run whose host died.
type OnCrash string

const (
	CrashResume  OnCrash = "resume"  // it goes on at the step in flight; finished steps keep their outputs
	CrashRestart OnCrash = "restart" // it begins again with its first step
	CrashFail    OnCrash = "fail"    // it ends as failed, with the reason lost
)

// Isolation says where Wasm modules run.
type Isolation string

const (
	IsolationInline Isolation = "inline" // in the host process
	IsolationWorker Isolation = "worker" // in a confined process per tenant
)

// Catchup says which slots of a downtime or a clock jump still run.
type Catchup struct {
	// Runs is "none", "latest" or "all". Defaults to "latest".
	Runs string `toml:"runs" json:"runs,omitempty"`
	// Within is the age after which a slot is not caught up. Defaults to 24 hours.
	Within Duration `toml:"within" json:"within,omitempty"`
	// Max bounds "all". Defaults to 100.
	Max int `toml:"max" json:"max,omitempty"`
}

// Retry is the policy for failed attempts of a step.
type Retry struct {
	// Attempts in all, the first included; 1 means no retry. Defaults to 1, at most 100.
	Attempts int `toml:"attempts" json:"attempts,omitempty"`
	// Backoff is the wait between attempts, drawn from the first bound up to its doublings. Defaults to 1s..1m.
	Backoff Backoff `toml:"backoff" json:"backoff,omitzero"`
}

// Timeout bounds time.
type Timeout struct {
	// Step bounds one attempt. Defaults to 1m.
	Step Duration `toml:"step" json:"step,omitempty"`
	// Run bounds the whole run, waits between attempts included. Defaults to 1h.
	Run Duration `toml:"run" json:"run,omitempty"`
	// Start drops a slot whose run has not begun so long after it came due. Defaults to none.
	Start Duration `toml:"start" json:"start,omitempty"`
}

// Limits bound one attempt. Zero means the inherited value.
type Limits struct {
	// Memory of the guest. Defaults to 64MiB.
	Memory Size `toml:"memory" json:"memory,omitempty"`
	// Output is the sum of all outputs. Defaults to 1MiB.
	Output Size `toml:"output" json:"output,omitempty"`
	// Log kept per attempt; what exceeds it is counted. Defaults to 1MiB.
	Log Size `toml:"log" json:"log,omitempty"`
	// Artifacts is the sum of bytes written as artifacts. Defaults to 64MiB.
	Artifacts Size `toml:"artifacts" json:"artifacts,omitempty"`
	// Fuel is a budget of guest work. Defaults to none.
	Fuel int64 `toml:"fuel" json:"fuel,omitempty"`
}

// Keep bounds history per pipeline; what exceeds either bound is dropped.
type Keep struct {
	// Runs kept. Defaults to 10,000.
	Runs int `toml:"runs" json:"runs,omitempty"`
	// Days kept. Defaults to 90.
	Days int `toml:"days" json:"days,omitempty"`
}

// Alert is a named target for messages.
type Alert struct {
	// URL of the target's service, or the name of a secret that holds it.
	URL SecretText `toml:"url" json:"url"`
	// Sign is the signing secret of a webhook, "whsec_" and base64, or the name of a secret that holds it. Defaults to none.
	Sign SecretText `toml:"sign" json:"sign,omitzero"`
	// On lists what to tell: behind, broken, disabled, drifting, failed, late, recovered, silent. Defaults to all.
	On []string `toml:"on" json:"on,omitempty"`
}

// SecretText is a text, or the name of a secret that holds it: { secret = "NAME" }.
type SecretText struct {
	Text   string `toml:"-" json:"text,omitempty"`
	Secret string `toml:"secret" json:"secret,omitempty"`
}

// Plugin is a declared artifact: exactly one of Wasm, Process, Script or Func names it.
type Plugin struct {
	// Wasm is the path of a module.
	Wasm string `toml:"wasm" json:"wasm,omitempty"`
	// Process is the path of a go-plugin binary.
	Process string `toml:"process" json:"process,omitempty"`
	// Script is the path of a script that Engine, another plugin, executes.
	Script string `toml:"script" json:"script,omitempty"`
	Engine string `toml:"engine" json:"engine,omitempty"`
	// Func is the name of a Go function that an embedder registered; not available in a file.
	Func string `toml:"-" json:"func,omitempty"`
	// Build is the command that makes the file, as words, never a shell line; leading NAME=value words set its
	// environment. Only build and run execute it.
	Build []string `toml:"build" json:"build,omitempty"`
	// Grant lists what the plugin may reach.
	Grant Grant `toml:"grant" json:"grant,omitzero"`
	// Secrets by name, each bound to a place.
	Secrets map[string]SecretBinding `toml:"secrets" json:"secrets,omitempty"`
	// Limits of every step that uses the plugin.
	Limits Limits `toml:"limits" json:"limits,omitzero"`
	// Snapshot false opts out of instance reuse by snapshot.
	Snapshot *bool `toml:"snapshot" json:"snapshot,omitempty"`
}

// Grant is what a plugin may reach beyond its own memory. The zero Grant grants nothing.
type Grant struct {
	// HTTP lists "METHOD https://host[:port]/path*"; no method means GET, * any, and *. before the host all names below it.
	HTTP []string `toml:"http" json:"http,omitempty"`
	// Mount maps guest paths to host folders or files, read-only.
	Mount map[string]string `toml:"mount" json:"mount,omitempty"`
	// Env lists variables for the guest, with their values.
	Env map[string]string `toml:"env" json:"env,omitempty"`
	// State allows state of the pipeline.
	State bool `toml:"state" json:"state,omitempty"`
	// Clock allows the real clock; without it the guest sees a virtual one that starts at scheduled_at.
	Clock bool `toml:"clock" json:"clock,omitempty"`
	// Random allows real randomness; without it the guest sees a sequence seeded per attempt.
	Random bool `toml:"random" json:"random,omitempty"`
	// Event allows event.emit.
	Event bool `toml:"event" json:"event,omitempty"`
}

// SecretBinding says what becomes of a secret: the host fills it in, or the plugin may read it.
type SecretBinding struct {
	// To is the origin whose requests the host fills the secret in on: https://api.example.com.
	To string `toml:"to" json:"to,omitempty"`
	// Header is the header that holds it, with {} in its place: Authorization: Bearer {}.
	Header string `toml:"header" json:"header,omitempty"`
	// Expose lets the plugin read the secret. What it does with it then is not in the host's hands.
	Expose bool `toml:"expose" json:"expose,omitempty"`
}

// Pipeline is a named set of steps, or one module.
type Pipeline struct {
	// Name is the key of the table; embedders set it.
	Name    string `toml:"-" json:"name"`
	About   string `toml:"about" json:"about,omitempty"`
	Project string `toml:"project" json:"project,omitempty"`
	Owner   string `toml:"owner" json:"owner,omitempty"`
	Runbook string `toml:"runbook" json:"runbook,omitempty"`
	// Label is a name for this version, for people; the digest is the version.
	Label string `toml:"label" json:"label,omitempty"`
	// Schedule is a schedule text; none means manual runs only.
	Schedule string `toml:"schedule" json:"schedule,omitempty"`
	Timezone string `toml:"timezone" json:"timezone,omitempty"`
	Enabled  *bool  `toml:"enabled" json:"enabled,omitempty"`
	// When is a CEL condition for the whole run.
	When string `toml:"when" json:"when,omitempty"`
	// Context is what every run receives.
	Context map[string]json.RawMessage `toml:"context" json:"context,omitempty"`
	// Params type the context, by key.
	Params map[string]Param `toml:"params" json:"params,omitempty"`
	// Wasm, Process, Plugin or Script make the pipeline one step named like its function, "main" by default.
	Wasm     string                     `toml:"wasm" json:"wasm,omitempty"`
	Process  string                     `toml:"process" json:"process,omitempty"`
	Plugin   string                     `toml:"plugin" json:"plugin,omitempty"`
	Script   string                     `toml:"script" json:"script,omitempty"`
	Engine   string                     `toml:"engine" json:"engine,omitempty"`
	Function string                     `toml:"function" json:"function,omitempty"`
	With     map[string]json.RawMessage `toml:"with" json:"with,omitempty"`
	Grant    Grant                      `toml:"grant" json:"grant,omitzero"`
	// Steps by name.
	Steps map[string]Step `toml:"steps" json:"steps,omitempty"`
	// Order chains the named steps.
	Order    []string `toml:"order" json:"order,omitempty"`
	Overlap  Overlap  `toml:"overlap" json:"overlap,omitempty"`
	Catchup  Catchup  `toml:"catchup" json:"catchup,omitzero"`
	OnResume OnResume `toml:"on_resume" json:"on_resume,omitempty"`
	// NotOn are times on which slots are skipped: weekdays, dates, ranges of dates, and paths of .ics files.
	NotOn []string `toml:"not_on" json:"not_on,omitempty"`
	// Jitter bounds a delay of the start that is the same for every slot of a schedule, and differs from schedule to
	// schedule.
	Jitter  Duration `toml:"jitter" json:"jitter,omitempty"`
	OnCrash OnCrash  `toml:"on_crash" json:"on_crash,omitempty"`
	Retry   Retry    `toml:"retry" json:"retry,omitzero"`
	Timeout Timeout  `toml:"timeout" json:"timeout,omitzero"`
	Limits  Limits   `toml:"limits" json:"limits,omitzero"`
	Keep    Keep     `toml:"keep" json:"keep,omitzero"`
	Alerts  []string `toml:"alerts" json:"alerts,omitempty"`
	Expect  Expect   `toml:"expect" json:"expect,omitzero"`
}

// Expect says how often and until when a pipeline should have run.
type Expect struct {
	// Every is the longest time between two successes.
	Every Duration `toml:"every" json:"every,omitempty"`
	// By is a time of day, by which the newest slot before it has had a success.
	By string `toml:"by" json:"by,omitempty"`
	// Failures are the failed runs in a row that are told. Defaults to 1.
	Failures int `toml:"failures" json:"failures,omitempty"`
}

// Param types one key of the context.
type Param struct {
	// Type is string, integer, number, boolean, list or object.
	Type    string            `toml:"type" json:"type"`
	About   string            `toml:"about" json:"about,omitempty"`
	Default json.RawMessage   `toml:"default" json:"default,omitempty"`
	Min     *float64          `toml:"min" json:"min,omitempty"`
	Max     *float64          `toml:"max" json:"max,omitempty"`
	Enum    []json.RawMessage `toml:"enum" json:"enum,omitempty"`
	// Required refuses a run whose context lacks the key.
	Required bool `toml:"required" json:"required,omitempty"`
}

// Step is one plugin call.
type Step struct {
	// Plugin names a declared plugin; Wasm or Process name a file without a table.
	Plugin   string `toml:"plugin" json:"plugin,omitempty"`
	Wasm     string `toml:"wasm" json:"wasm,omitempty"`
	Process  string `toml:"process" json:"process,omitempty"`
	Function string `toml:"function" json:"function,omitempty"`
	// With is the step's input; strings may hold ${...}, and $${ stands for a literal ${.
	With map[string]json.RawMessage `toml:"with" json:"with,omitempty"`
	// When is a CEL condition; false skips the step and what depends on it.
	When string `toml:"when" json:"when,omitempty"`
	// Each is one ${...} that yields a list: one call per element, ${item}; the output is the ordered list.
	Each string `toml:"each" json:"each,omitempty"`
	// Parallel bounds the calls of Each at one time. Defaults to 4, at most 64.
	Parallel int `toml:"parallel" json:"parallel,omitempty"`
	// Needs names steps that come first.
	Needs []string `toml:"needs" json:"needs,omitempty"`
	// On says after which endings of its predecessors the step runs. Defaults to success.
	On      On      `toml:"on" json:"on,omitempty"`
	Retry   Retry   `toml:"retry" json:"retry,omitzero"`
	Timeout Timeout `toml:"timeout" json:"timeout,omitzero"`
	Limits  Limits  `toml:"limits" json:"limits,omitzero"`
	// Args are argv[1:] of a command module.
	Args []string `toml:"args" json:"args,omitempty"`
	// Stdin replaces the run context on standard input of a command module.
	Stdin string `toml:"stdin" json:"stdin,omitempty"`
	// Input replaces the run context as the input of a plugin of Extism: InputWith, or a text that holds ${...}.
	Input string `toml:"input" json:"input,omitempty"`
	// Stdout makes the reading of standard output strict: json, text or log.
	Stdout string `toml:"stdout" json:"stdout,omitempty"`
}

// InputWith as the input of a step is its with, as a JSON object.
const InputWith = "with"

// On says after which endings of its predecessors a step runs.
type On string

const (
	OnSuccess On = "success" // all predecessors succeeded
	OnFailure On = "failure" // a predecessor failed; without predecessors: any step of the run did
	OnAlways  On = "always"  // all predecessors ended, in whatever way
)

// Schedule is a [schedules.NAME] table: a further schedule of a pipeline, with a context of its own.
type Schedule struct {
	Name     string                     `toml:"-" json:"name"`
	Pipeline string                     `toml:"pipeline" json:"pipeline"`
	At       string                     `toml:"at" json:"at"`
	Timezone string                     `toml:"timezone" json:"timezone,omitempty"`
	Context  map[string]json.RawMessage `toml:"context" json:"context,omitempty"`
	Enabled  *bool                      `toml:"enabled" json:"enabled,omitempty"`
	Overlap  Overlap                    `toml:"overlap" json:"overlap,omitempty"`
	Catchup  Catchup                    `toml:"catchup" json:"catchup,omitzero"`
	OnResume OnResume                   `toml:"on_resume" json:"on_resume,omitempty"`
	// NotOn replaces the pipeline's; an empty list skips nothing.
	NotOn  []string `toml:"not_on" json:"not_on,omitzero"`
	Jitter Duration `toml:"jitter" json:"jitter,omitempty"`
	// From and To bound the slots, both included: instants, or dates in the schedule's zone.
	From string `toml:"from" json:"from,omitempty"`
	To   string `toml:"to" json:"to,omitempty"`
}
