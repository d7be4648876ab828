package plan

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// ForTenant is the manifest of a tenant with what the operator's says for it: the source of secrets, the zone, the least
// interval and the defaults.
func ForTenant(own, operator flow.Manifest, t flow.Tenant) flow.Manifest {
	own.Host = flow.HostSettings{Timezone: operator.Host.Timezone, Secrets: t.Secrets, Keys: t.Keys, MinInterval: max(operator.Host.MinInterval, t.Quota.MinInterval)}
	own.Defaults = laidDefaults(operator.Defaults, t.Defaults)
	own.Defaults.Isolation = last(flow.IsolationWorker, t.Defaults.Isolation, t.Isolation)
	return own
}

// laidDefaults lays defaults over one another, key by key.
func laidDefaults(under, over flow.Defaults) flow.Defaults {
	out := under
	out.NotOn = nil // not to be written into
	if json.Unmarshal(encode(over), &out) != nil {
		return under // cannot be: what was just written is read
	}
	if out.NotOn = under.NotOn; over.NotOn != nil {
		out.NotOn = over.NotOn
	}
	return out
}

// tenants checks the tables of an operator's manifest. What their paths lead to is for whoever reads it.
func (b *builder) tenants() {
	for _, name := range slices.Sorted(maps.Keys(b.m.Tenants)) {
		t := b.m.Tenants[name]
		at := key{"tenants", name}
		if !goodName(name, true) || name == flow.DefaultTenant {
			b.fail(flow.CodeBadName, at, nameHelp, "%q is no name for a tenant", name).OnKey = true
		}
		b.word(at.to("isolation"), string(t.Isolation), string(flow.IsolationInline), string(flow.IsolationWorker))
		d := t.Defaults
		defaults := at.to("defaults")
		b.word(defaults.to("isolation"), string(d.Isolation), string(flow.IsolationInline), string(flow.IsolationWorker))
		b.policy(defaults, d.Retry, d.Timeout, d.Limits)
		b.slots(defaults, d.Overlap, d.Catchup, d.OnResume)
		b.crash(defaults, d.OnCrash)
		b.ceiling(at.to("ceiling"), t.Ceiling)
		b.quota(at.to("quota"), t.Quota)
	}
}

// ceiling checks what an operator writes in one.
func (b *builder) ceiling(at key, c flow.Ceiling) {
	b.http(at.to("http"), c.HTTP)
	b.policy(at, flow.Retry{}, c.Timeout, c.Limits)
	if c.Timeout.Start != 0 {
		b.fail(flow.CodePlace, at.to("timeout", "start"), "remove it", "timeout.start is about slots; a ceiling bounds steps and runs").OnKey = true
	}
	bad := func(list, item string, i int, help string) {
		b.fail(flow.CodeTenant, at.to(list, strconv.Itoa(i)), help, "%q allows nothing", clipped(item))
	}
	for i, d := range c.Process {
		if d != anyProcess && !flow.Digest(d).Valid() {
			bad("process", d, i, `write the digest of a binary, "sha256:…", or "*" for all that the tenant's lock pins`)
		}
	}
	for i, host := range c.Mount {
		if !allowsMount([]string{"."}, host) || host == "" {
			bad("mount", host, i, `write a path in the tenant's folder: mount = ["data"]`)
		}
	}
	for i, url := range c.Alerts {
		if !flow.GoodAlertBeginning(url) {
			bad("alerts", url, i, `write the beginning of a URL, with all of its host: "slack://", "https://hooks.example.com/"`)
		}
	}
}

// quota refuses numbers that bound nothing.
func (b *builder) quota(at key, q flow.Quota) {
	for _, c := range []struct {
		name string
		n    int64
	}{
		{"running", int64(q.Running)},
		{"queued", int64(q.Queued)},
		{"runs_per_hour", int64(q.RunsPerHour)},
		{"fuel_per_day", q.FuelPerDay},
		{"memory", int64(q.Memory)},
		{"artifacts", int64(q.Artifacts)},
		{"state", int64(q.State)},
		{"egress_per_day", int64(q.EgressPerDay)},
		{"min_interval", int64(q.MinInterval)},
		{"plugins", int64(q.Plugins)},
		{"pipelines", int64(q.Pipelines)},
		{"schedules", int64(q.Schedules)},
	} {
		if c.n < 0 {
			b.fail(flow.CodeOutOfRange, at.to(c.name), "leave it out for the default", "%s is negative", c.name)
		}
	}
}

// DeploymentDigest is the digest of what a host runs: the manifests by tenant and the versions by pipeline.
func DeploymentDigest(manifests, plans map[string]flow.Digest) flow.Digest {
	return flow.DigestOf(encode(map[string]any{"format": 1, "manifests": sure(manifests), "plans": sure(plans)}))
}

// sure makes nothing and an empty map the same.
func sure(m map[string]flow.Digest) map[string]flow.Digest {
	if m == nil {
		m = map[string]flow.Digest{}
	}
	return m
}
