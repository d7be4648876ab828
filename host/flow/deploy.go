package flow

import "time"

// ApplyRequest asks a host to make what its manifest says now the state that runs.
type ApplyRequest struct {
	// Tenant applies the manifest of one tenant only; empty is all.
	Tenant string `json:"tenant,omitempty"`
	// Expect is the digest of the deployment that was reviewed; another one is refused with CodeReviewed. Empty takes any.
	Expect Digest `json:"expect,omitempty"`
	// DryRun compares, and changes nothing.
	DryRun bool `json:"dry_run,omitempty"`
	// Metadata is kept with the deployment.
	Metadata map[string]string `json:"metadata,omitempty"`
	// Cause and By are for callers in the host's own process; they default to "apply" and nobody.
	Cause string `json:"-"`
	By    string `json:"-"`
}

// ApplyReport says what was applied.
type ApplyReport struct {
	// Applied is false when nothing had changed, or it was a dry run.
	Applied    bool         `json:"applied"`
	Deployment Deployment   `json:"deployment"`
	Changes    []PlanChange `json:"changes"`
	// Refused are the problems of manifests of tenants that were refused, by tenant; what ran of them before goes on.
	Refused map[string]Problems `json:"refused,omitempty"`
	// Problems are warnings.
	Problems Problems `json:"problems,omitempty"`
}

// Deployment is a state that was applied as a whole. Every one is kept.
type Deployment struct {
	// Seq counts the deployments of a ledger from 1; 0 for one that was not applied.
	Seq int64     `json:"seq"`
	At  time.Time `json:"at,omitzero"`
	// By is who applied it, and Cause how: start, apply, watch, signal, rollback.
	By    string `json:"by,omitempty"`
	Cause string `json:"cause,omitempty"`
	// Digest covers all that follows but the metadata: the same digest is the same state.
	Digest Digest `json:"digest"`
	// Manifests are the digests of the manifests' bytes by tenant; the default tenant's is the operator's.
	Manifests map[string]Digest `json:"manifests"`
	// Plans are the versions by pipeline id.
	Plans    map[string]Digest `json:"plans"`
	Metadata map[string]string `json:"metadata,omitempty"`
}

// DeploymentQuery selects deployments, newest first.
type DeploymentQuery struct {
	// Tenant leaves out the manifests and plans of others, and deployments that have nothing else.
	Tenant string `json:"tenant,omitempty"`
	// Pipeline selects deployments that changed the version of a pipeline.
	Pipeline string `json:"pipeline,omitempty"`
	// Before is the Seq of the last deployment of the page before.
	Before int64 `json:"before,omitempty"`
	// Limit defaults to 50 and is at most 1,000.
	Limit int `json:"limit,omitempty"`
}

// RollbackRequest asks for an earlier version of a pipeline. It holds until the manifest has another version of the
// pipeline than the one that was rolled back from, across restarts, and shows as drift in a plan.
type RollbackRequest struct {
	Pipeline string `json:"pipeline"`
	// To is a digest or the beginning of one, or the label of a version; empty is the version before the present one. The
	// manifest's own version takes a rollback back.
	To       string            `json:"to,omitempty"`
	Metadata map[string]string `json:"metadata,omitempty"`
	// By is for callers in the host's own process.
	By string `json:"-"`
}

// Rollback is a pipeline that was rolled back by hand: Digest runs as long as the manifest says Over.
type Rollback struct {
	Tenant   string    `json:"tenant"`
	Pipeline string    `json:"pipeline"`
	Digest   Digest    `json:"digest"`
	Over     Digest    `json:"over"`
	At       time.Time `json:"at"`
}

// Deploying is what a ledger writes, all or nothing, when a deployment is applied.
type Deploying struct {
	// Deployment gets a row and a Seq of its own unless the last one has the same digest.
	Deployment Deployment
	// Plans are recorded under their digests.
	Plans []Plan
	// Slots are endings of slots that the schedules of before leave behind.
	Slots []SlotRecord
	// Schedules are put in the place of those of their names, Gone are removed: of these only tenant and name count.
	Schedules, Gone []ScheduleRecord
	// Rollbacks are all that hold from now on.
	Rollbacks []Rollback
}

// Deployed is what a ledger holds once a deployment is applied.
type Deployed struct {
	Deployment Deployment
	// Schedules are those that were put, as they are kept.
	Schedules []ScheduleRecord
}

// PluginChange is how a plugin of a pipeline differs between two plans.
type PluginChange struct {
	Plugin string `json:"plugin"`
	From   Digest `json:"from,omitempty"` // empty for a new plugin
	To     Digest `json:"to,omitempty"`   // empty for one that is gone
	// Imports are what a module imports of the host, Grants what it is granted, Wants what it says that it wants.
	Imports Delta `json:"imports,omitzero"`
	Grants  Delta `json:"grants,omitzero"`
	Wants   Delta `json:"wants,omitzero"`
	// Signer is who signed the new bytes, where that has changed.
	Signer string `json:"signer,omitempty"`
}

// Delta is what a list has gained and lost, each sorted.
type Delta struct {
	Added   []string `json:"added,omitempty"`
	Removed []string `json:"removed,omitempty"`
}

// RunVersion is what a run executes, and how that differs from the pipeline's last success before it.
type RunVersion struct {
	Run     RunID  `json:"run"`
	Version Digest `json:"version"`
	Label   string `json:"label,omitempty"`
	// Deployment is the Seq of the newest deployment with the version by the time of the run, Manifest the digest of the
	// manifest's bytes in it; zero for a pipeline that was defined in code.
	Deployment int64  `json:"deployment,omitempty"`
	Manifest   Digest `json:"manifest,omitempty"`
	// Plugins are the digests of the plugins by name.
	Plugins map[string]Digest `json:"plugins,omitempty"`
	// Success is the pipeline's last run before this one that succeeded, and Changes what differs from it: version,
	// plugins, context, in words.
	Success RunID    `json:"success,omitempty"`
	Changes []string `json:"changes,omitempty"`
}
