package flow

import (
	"strings"
	"time"
)

// Tenant is a [tenants.NAME] table of an operator's manifest. A manifest path with one * is a pattern: each file that it
// matches is the manifest of a tenant that is named by what the * stands for, and the table says the same for all of them.
type Tenant struct {
	// Manifest is the path of the tenant's manifest, relative to the operator's.
	Manifest string `toml:"manifest" json:"manifest"`
	// Isolation says where the tenant's modules run. Defaults to worker.
	Isolation Isolation `toml:"isolation" json:"isolation,omitempty"`
	// Ceiling is the most that the tenant's plugins may be granted. The zero Ceiling grants nothing.
	Ceiling Ceiling `toml:"ceiling" json:"ceiling,omitzero"`
	// Quota bounds the tenant as a whole.
	Quota Quota `toml:"quota" json:"quota,omitzero"`
	// Secrets names the source of the tenant's secrets; {tenant} in it stands for the tenant's name. Defaults to none: a
	// tenant never reads the secrets of the host.
	Secrets string `toml:"secrets" json:"secrets,omitempty"`
	// Keys are minisign public keys. With any, each plugin file of the tenant needs a signature by one of them.
	Keys []string `toml:"keys" json:"keys,omitempty"`
	// Defaults go over the operator's [defaults] and under the tenant's pipelines.
	Defaults Defaults `toml:"defaults" json:"defaults,omitzero"`
}

// Ceiling is the most that a tenant's plugins may be granted. What it does not name is not to be had.
type Ceiling struct {
	// Process lists digests of binaries that may run as processes; "*" is any that the tenant's lock pins.
	// A binary that is allowed by its digest is executed without variables of the tenant.
	Process []string `toml:"process" json:"process,omitempty"`
	// HTTP lists patterns as a grant does.
	HTTP []string `toml:"http" json:"http,omitempty"`
	// Mount lists folders and files of the tenant's folder that may be mounted, with all that is in them.
	Mount []string `toml:"mount" json:"mount,omitempty"`
	// Alerts lists beginnings of URLs to which the tenant's messages may go: "slack://", "https://hooks.example.com/".
	Alerts []string `toml:"alerts" json:"alerts,omitempty"`
	// Expose allows secrets that plugins may read.
	Expose bool `toml:"expose" json:"expose,omitempty"`
	State  bool `toml:"state" json:"state,omitempty"`
	Clock  bool `toml:"clock" json:"clock,omitempty"`
	Random bool `toml:"random" json:"random,omitempty"`
	Event  bool `toml:"event" json:"event,omitempty"`
	// Limits bound those of every step; what a step leaves out is the lesser of default and ceiling.
	Limits Limits `toml:"limits" json:"limits,omitzero"`
	// Timeout bounds that of every step and run, as Limits do.
	Timeout Timeout `toml:"timeout" json:"timeout,omitzero"`
}

// AllowsAlert reports whether messages may go to a URL: it begins as one of Alerts does, and does not walk out of it.
func (c *Ceiling) AllowsAlert(url string) bool {
	place, _, _ := strings.Cut(url, "?")
	place, _, _ = strings.Cut(place, "#")
	lower := strings.ToLower(place)
	if strings.ContainsAny(place, "\\\t\r\n ") || strings.Contains(lower, "%2e") || strings.Contains(lower, "%2f") || strings.Contains(lower, "%5c") {
		return false
	}
	for segment := range strings.SplitSeq(place, "/") {
		if segment == ".." || segment == "." {
			return false
		}
	}
	for _, beginning := range c.Alerts {
		if GoodAlertBeginning(beginning) && strings.HasPrefix(url, beginning) {
			return true
		}
	}
	return false
}

// GoodAlertBeginning reports whether a text can stand in Alerts: a whole scheme, alone or with all of what stands before
// the path, so that no other host begins with it.
func GoodAlertBeginning(text string) bool {
	scheme, rest, ok := strings.Cut(text, "://")
	return ok && scheme != "" && (rest == "" || strings.Contains(rest, "/"))
}

// Quota bounds a tenant as a whole. Zero is the default.
type Quota struct {
	// Running is how many runs are live at one time; others wait. Defaults to 16.
	Running int `toml:"running" json:"running,omitempty"`
	// Queued is how many runs wait; what comes then is refused. Defaults to 1,000.
	Queued int `toml:"queued" json:"queued,omitempty"`
	// RunsPerHour is how many runs are taken in any 60 minutes. Defaults to no bound.
	RunsPerHour int `toml:"runs_per_hour" json:"runs_per_hour,omitempty"`
	// FuelPerDay is how much fuel attempts use in any 24 hours; a run that is live when it is used up goes on. Defaults to
	// no bound.
	FuelPerDay int64 `toml:"fuel_per_day" json:"fuel_per_day,omitempty"`
	// Memory is the sum of the memory limits of attempts that execute at one time; others wait. Defaults to 1GiB.
	Memory Size `toml:"memory" json:"memory,omitempty"`
	// Artifacts is the sum of the artifacts that are kept. Defaults to 10GiB.
	Artifacts Size `toml:"artifacts" json:"artifacts,omitempty"`
	// State is the sum of the state of all pipelines. Defaults to 256MiB.
	State Size `toml:"state" json:"state,omitempty"`
	// EgressPerDay is how many bytes http.request sends and receives in any 24 hours. Defaults to no bound.
	EgressPerDay Size `toml:"egress_per_day" json:"egress_per_day,omitempty"`
	// MinInterval is the least time between two slots of a schedule. Defaults to that of the host.
	MinInterval Duration `toml:"min_interval" json:"min_interval,omitempty"`
	// Plugins, Pipelines and Schedules bound the tenant's manifest, and Schedules those that are added by hand as well.
	// Default to 200, 500 and 1,000.
	Plugins   int `toml:"plugins" json:"plugins,omitempty"`
	Pipelines int `toml:"pipelines" json:"pipelines,omitempty"`
	Schedules int `toml:"schedules" json:"schedules,omitempty"`
}

// Filled returns the quota with its defaults.
func (q Quota) Filled() Quota {
	fill := func(v *int, to int) {
		if *v == 0 {
			*v = to
		}
	}
	fill(&q.Running, 16)
	fill(&q.Queued, 1000)
	fill(&q.Plugins, 200)
	fill(&q.Pipelines, 500)
	fill(&q.Schedules, 1000)
	for v, to := range map[*Size]Size{&q.Memory: GiB, &q.Artifacts: 10 * GiB, &q.State: 256 * MiB} {
		if *v == 0 {
			*v = to
		}
	}
	return q
}

// TenantInfo is a tenant as a host knows it.
type TenantInfo struct {
	Name string `json:"name"`
	// Manifest is where the tenant's manifest stands; empty for the default tenant.
	Manifest  string      `json:"manifest,omitempty"`
	Isolation Isolation   `json:"isolation"`
	Ceiling   *Ceiling    `json:"ceiling,omitempty"` // nil for the default tenant, which has none
	Quota     *Quota      `json:"quota,omitempty"`   // filled; nil for the default tenant, which has none
	Usage     TenantUsage `json:"usage"`
	Pipelines int         `json:"pipelines"`
	Schedules int         `json:"schedules"`
	// Refused are the problems of a manifest that was refused; what ran before goes on.
	Refused Problems `json:"refused,omitempty"`
	// AppliedAt is when the tenant's running version was applied.
	AppliedAt *time.Time `json:"applied_at,omitempty"`
}

// TenantUsage is what counts against a quota.
type TenantUsage struct {
	Running     int   `json:"running"`
	Queued      int   `json:"queued"`
	RunsPerHour int   `json:"runs_per_hour"`  // taken in the last 60 minutes
	FuelPerDay  int64 `json:"fuel_per_day"`   // used in the last 24 hours
	Egress      Size  `json:"egress_per_day"` // in the last 24 hours
	Memory      Size  `json:"memory"`
	Artifacts   Size  `json:"artifacts"`
	State       Size  `json:"state"`
}
