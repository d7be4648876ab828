package flow

import (
	"encoding/json"
	"time"
)

// CheckReport is the answer of `uniflow check`.
type CheckReport struct {
	Manifest string `json:"manifest"`
	// OK is true when no problem is an error, and no tenant is refused.
	OK        bool     `json:"ok"`
	Problems  Problems `json:"problems"`
	Pipelines int      `json:"pipelines"`
	Steps     int      `json:"steps"`
	Plugins   int      `json:"plugins"`
	Schedules int      `json:"schedules"`
	// Reach is what plugins may call and which secrets they use, of those that do either.
	Reach []PluginReach `json:"reach,omitempty"`
	// Tenants counts those that the manifest declares, and Refused are the problems of those that are refused, by name.
	Tenants int                 `json:"tenants,omitempty"`
	Refused map[string]Problems `json:"refused,omitempty"`
}

// PluginReach is what a plugin may reach by its grants.
type PluginReach struct {
	Plugin  string                   `json:"plugin"`
	HTTP    []string                 `json:"http,omitempty"`
	Secrets map[string]SecretBinding `json:"secrets,omitempty"`
}

// PlanReport is the answer of `uniflow plan`: what a host would run, and how that differs from what one runs.
type PlanReport struct {
	Manifest string `json:"manifest"`
	Plans    []Plan `json:"plans"`
	// Fires are the next instants of each schedule, by name.
	Fires map[string][]time.Time `json:"fires"`
	// Changes against the running host, or against what was recorded last; in words.
	Changes  []PlanChange `json:"changes"`
	Problems Problems     `json:"problems"`
	// Digest is that of the deployment that applying the manifest would make, for `apply --expect`.
	Digest Digest `json:"digest,omitempty"`
	// Refused are the problems of manifests of tenants that would be refused, by tenant.
	Refused map[string]Problems `json:"refused,omitempty"`
}

// PlanChange is one difference between two sets of plans.
type PlanChange struct {
	Pipeline string `json:"pipeline"`
	// Kind is added, removed, changed or drift.
	Kind string   `json:"kind"`
	What []string `json:"what,omitempty"`
	// Plugins are what changes of the plugins, bytes and rights.
	Plugins []PluginChange `json:"plugins,omitempty"`
}

// BuildReport is the answer of `uniflow build`.
type BuildReport struct {
	Plugins []BuiltPlugin `json:"plugins"`
	// Changes are what locks say now that they did not say before: bytes of a plugin, and grants.
	Changes []PluginChange `json:"changes,omitempty"`
}

// BackupReport is the answer of `uniflow backup`.
type BackupReport struct {
	File string `json:"file"`
	// Bytes is the size of the file.
	Bytes int64 `json:"bytes"`
}

// RestoreReport is the answer of `uniflow restore`.
type RestoreReport struct {
	Ledger string `json:"ledger"`
	// Kept is where the ledger that was there before stands now; empty if there was none.
	Kept string `json:"kept,omitempty"`
}

// BuiltPlugin is a plugin whose bytes were built or found, and pinned.
type BuiltPlugin struct {
	Name   string `json:"name"`
	Path   string `json:"path"`
	Digest Digest `json:"digest"`
	// Built is true when a build command ran; Changed when the digest was not the pinned one.
	Built   bool `json:"built"`
	Changed bool `json:"changed"`
	// Lock is the file that pins it.
	Lock string `json:"lock"`
}

// PluginInfo is the answer of `uniflow plugin inspect`: what a plugin's bytes say about themselves, read without
// running them.
type PluginInfo struct {
	Path   string     `json:"path"`
	Kind   PluginKind `json:"kind"`
	Digest Digest     `json:"digest"`
	Size   Size       `json:"size"`
	// Profile of a module: command or reactor.
	Profile string `json:"profile,omitempty"`
	// Functions that a step can name.
	Functions []string `json:"functions,omitempty"`
	Imports   []Import `json:"imports,omitempty"`
	Exports   []string `json:"exports,omitempty"`
	// MemoryMin and MemoryMax are what the module declares; max 0 is none.
	MemoryMin Size `json:"memory_min,omitempty"`
	MemoryMax Size `json:"memory_max,omitempty"`
	// Producers are the tools that made the module, as it says itself.
	Producers []string `json:"producers,omitempty"`
	// Descriptor is the module's own "uniflow.plugin" section, as it stands.
	Descriptor json.RawMessage `json:"descriptor,omitempty"`
	// Needs are what the module uses of the host and what its author asks for, with the lines of a manifest that give it.
	Needs []Need `json:"needs,omitempty"`
}

// Import is something that a module needs from the host.
type Import struct {
	Module string `json:"module"`
	Name   string `json:"name"`
	Type   string `json:"type"`
	// Known is false when the host has no such function: the module cannot be loaded.
	Known bool `json:"known"`
}

// PluginRun is the answer of `uniflow plugin run`.
type PluginRun struct {
	Ending
	Outputs  map[string]json.RawMessage `json:"outputs,omitempty"`
	Logs     []LogLine                  `json:"logs,omitempty"`
	Usage    Usage                      `json:"usage"`
	Duration Duration                   `json:"duration"`
	// State is what the call leaves as the state of a pipeline; nothing keeps it.
	State map[string]json.RawMessage `json:"state,omitempty"`
	// Events are those that the plugin emitted, as it wrote them.
	Events []json.RawMessage `json:"events,omitempty"`
	// Refused are calls of services that were refused, with what would have given them.
	Refused []RefusedCall `json:"refused,omitempty"`
}

// RefusedCall is a call of a service that was refused.
type RefusedCall struct {
	Op      string `json:"op"`
	Code    string `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// RunReport is the answer of `uniflow run`: the run with its steps, and the files of its artifacts.
type RunReport struct {
	Run RunRecord `json:"run"`
	// Outputs are those of the steps that no other step needs, by step and name.
	Outputs map[string]map[string]json.RawMessage `json:"outputs"`
	// Artifacts are files on this machine, by step and output; none when the host is another machine.
	Artifacts map[string]string `json:"artifacts,omitempty"`
}

// DoctorReport is the answer of `uniflow doctor`.
type DoctorReport struct {
	OK     bool          `json:"ok"`
	Checks []DoctorCheck `json:"checks"`
}

// DoctorCheck is one thing that a host needs or can use.
type DoctorCheck struct {
	Name string `json:"name"`
	// Status is ok, warning or error.
	Status string `json:"status"`
	Detail string `json:"detail"`
	Help   string `json:"help,omitempty"`
}

// VersionInfo is the answer of `uniflow version`.
type VersionInfo struct {
	Version string `json:"version"`
	Go      string `json:"go"`
	System  string `json:"system"`
	ABI     string `json:"abi"`
}

// ErrorReport is an error as the command line writes it with --json, on standard error.
type ErrorReport struct {
	Code    Code   `json:"code,omitempty"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
	// Problems are the mistakes of a manifest or a context, where there are any.
	Problems Problems `json:"problems,omitempty"`
}

// ArtifactFile is an artifact among the outputs of a run, and where it was written to, if it was.
type ArtifactFile struct {
	Step string `json:"step"`
	// Output is the output's name; within a larger value, the keys and indices that lead to it, joined by ".".
	Output string `json:"output"`
	Digest Digest `json:"digest"`
	// Bytes is the size.
	Bytes int64  `json:"bytes"`
	Type  string `json:"type,omitempty"`
	Path  string `json:"path,omitempty"`
}
