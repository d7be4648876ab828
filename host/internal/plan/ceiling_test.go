package plan

import (
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

const minute = flow.Duration(time.Minute)

// bounded is facts for a tenant under a ceiling.
func bounded(c flow.Ceiling, q flow.Quota) Inputs {
	in := facts()
	in.Resolved["tool"] = flow.Resolved{Path: "/srv/tool", Digest: flow.DigestOf([]byte("tool"))}
	in.Tenant = "acme"
	in.Bounds = &Bounds{
		Table: []string{"tenants", "acme"}, Ceiling: FilledCeiling(c, flow.Defaults{}), Quota: q,
		Place: func(path []string) string { return "uniflow.toml:" + path[len(path)-1] },
	}
	return in
}

// greedy is a manifest that asks for one of everything.
func greedy() flow.Manifest {
	return flow.Manifest{
		Version: 1, Host: flow.HostSettings{Secrets: "env:ACME_"},
		Alerts: map[string]flow.Alert{"ops": {URL: flow.SecretText{Text: "slack://token@channel"}}, "own": {URL: flow.SecretText{Secret: "URL"}}},
		Plugins: map[string]flow.Plugin{
			"clean": {
				Wasm: "clean.wasm", Limits: flow.Limits{Memory: 128 * flow.MiB, Output: 2 * flow.MiB, Log: 2 * flow.MiB, Artifacts: flow.GiB},
				Grant: flow.Grant{
					HTTP: []string{"GET https://api.example.com/v1/*", "POST https://api.example.com/v1/x"}, Mount: map[string]string{"/a": "data/a", "/b": "data"},
					Env: map[string]string{"MODE": "fast"}, State: true, Clock: true, Random: true, Event: true,
				},
				Secrets: map[string]flow.SecretBinding{"TOKEN": {Expose: true}},
			},
			"tool": {Process: "tool"},
		},
		Pipelines: map[string]flow.Pipeline{
			"p": {
				Schedule: "every 1h", Timeout: flow.Timeout{Run: 120 * minute},
				Steps: map[string]flow.Step{
					"a": {Plugin: "clean", Function: "load", Timeout: flow.Timeout{Step: 2 * minute}, Limits: flow.Limits{Fuel: 1000}},
					"b": {Plugin: "tool", Needs: []string{"a"}},
				},
			},
			"solo": {Wasm: "hello.wasm", Grant: flow.Grant{Clock: true}},
		},
		Schedules: map[string]flow.Schedule{"more": {Pipeline: "p", At: "every 2h"}},
	}
}

// generous is the least ceiling that allows it.
func generous() flow.Ceiling {
	return flow.Ceiling{
		Process: []string{string(flow.DigestOf([]byte("tool")))}, HTTP: []string{"* https://api.example.com/v1/*"}, Mount: []string{"data"}, Alerts: []string{"slack://"},
		Expose: true, State: true, Clock: true, Random: true, Event: true,
		Limits:  flow.Limits{Memory: 128 * flow.MiB, Output: 2 * flow.MiB, Log: 2 * flow.MiB, Artifacts: flow.GiB, Fuel: 1000},
		Timeout: flow.Timeout{Step: 2 * minute, Run: 120 * minute},
	}
}

func excesses(problems flow.Problems) []string {
	var all []string
	for _, p := range problems.Errors() {
		all = append(all, fmt.Sprintf("%s %s: %s | %s", p.Code, strings.Join(p.Path, "."), p.Message, p.Note))
	}
	slices.Sort(all)
	return all
}

// Promise: everything that a tenant asks for beyond its ceiling is named at once, where it is written, with the place of the
// ceiling; what the ceiling does not name is not to be had.
func TestEveryExcessIsNamed(t *testing.T) {
	t.Parallel()
	_, problems := Build(greedy(), bounded(flow.Ceiling{}, flow.Quota{Plugins: 1, Pipelines: 1, Schedules: 1}))
	want := []string{
		`UF1260 alerts.ops.url: the url of alert "ops" is beyond the ceiling | it allows none: [tenants.acme.ceiling] alerts uniflow.toml:alerts`,
		`UF1260 alerts.own.url: the url of alert "own" is beyond the ceiling | it allows none: [tenants.acme.ceiling] alerts uniflow.toml:alerts`,
		`UF1260 pipelines.p.steps.a.timeout.step: timeout.step 2m is beyond the ceiling | it allows 1m: [tenants.acme.ceiling] timeout step uniflow.toml:step`,
		`UF1260 pipelines.p.timeout.run: timeout.run 2h is beyond the ceiling | it allows 1h: [tenants.acme.ceiling] timeout run uniflow.toml:run`,
		`UF1260 pipelines.solo.grant.clock: clock is beyond the ceiling | it does not allow clock: [tenants.acme.ceiling] clock uniflow.toml:clock`,
		`UF1260 plugins.clean.grant.clock: clock is beyond the ceiling | it does not allow clock: [tenants.acme.ceiling] clock uniflow.toml:clock`,
		`UF1260 plugins.clean.grant.event: event is beyond the ceiling | it does not allow event: [tenants.acme.ceiling] event uniflow.toml:event`,
		`UF1260 plugins.clean.grant.http.0: http "GET https://api.example.com/v1/*" is beyond the ceiling | it allows none: [tenants.acme.ceiling] http uniflow.toml:http`,
		`UF1260 plugins.clean.grant.http.1: http "POST https://api.example.com/v1/x" is beyond the ceiling | it allows none: [tenants.acme.ceiling] http uniflow.toml:http`,
		`UF1260 plugins.clean.grant.mount./a: mount "data/a" is beyond the ceiling | it allows none: [tenants.acme.ceiling] mount uniflow.toml:mount`,
		`UF1260 plugins.clean.grant.mount./b: mount "data" is beyond the ceiling | it allows none: [tenants.acme.ceiling] mount uniflow.toml:mount`,
		`UF1260 plugins.clean.grant.random: random is beyond the ceiling | it does not allow random: [tenants.acme.ceiling] random uniflow.toml:random`,
		`UF1260 plugins.clean.grant.state: state is beyond the ceiling | it does not allow state: [tenants.acme.ceiling] state uniflow.toml:state`,
		`UF1260 plugins.clean.limits.artifacts: artifacts 1GiB is beyond the ceiling | it allows 64MiB: [tenants.acme.ceiling] limits artifacts uniflow.toml:artifacts`,
		`UF1260 plugins.clean.limits.log: log 2MiB is beyond the ceiling | it allows 1MiB: [tenants.acme.ceiling] limits log uniflow.toml:log`,
		`UF1260 plugins.clean.limits.memory: memory 128MiB is beyond the ceiling | it allows 64MiB: [tenants.acme.ceiling] limits memory uniflow.toml:memory`,
		`UF1260 plugins.clean.limits.output: output 2MiB is beyond the ceiling | it allows 1MiB: [tenants.acme.ceiling] limits output uniflow.toml:output`,
		`UF1260 plugins.clean.secrets.TOKEN.expose: expose of secret "TOKEN" is beyond the ceiling | it does not allow expose: [tenants.acme.ceiling] expose uniflow.toml:expose`,
		`UF1260 plugins.tool.process: the process "tool" of digest ` + string(flow.DigestOf([]byte("tool"))) + ` is beyond the ceiling | it allows none: [tenants.acme.ceiling] process uniflow.toml:process`,
		`UF1263 pipelines: the manifest has 2 pipelines | the quota allows 1: [tenants.acme.quota] pipelines uniflow.toml:pipelines`,
		`UF1263 plugins: the manifest has 2 plugins | the quota allows 1: [tenants.acme.quota] plugins uniflow.toml:plugins`,
		`UF1263 schedules: the manifest has 2 schedules | the quota allows 1: [tenants.acme.quota] schedules uniflow.toml:schedules`,
	}
	if got := excesses(problems); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// Promise: under the least ceiling that allows all of it the same manifest is planned, with the origin of its grants, and
// each thing that the ceiling loses again is found in the finished plan as well.
func TestCeilingThatIsLoweredLater(t *testing.T) {
	t.Parallel()
	plans, problems := Build(greedy(), bounded(generous(), flow.Quota{}))
	if bad := problems.Errors(); len(bad) > 0 {
		t.Fatal(bad)
	}
	p := &plans[0]
	clean := p.Plugins["clean"]
	if clean.GrantFrom != "[plugins.clean.grant]" || clean.Ceiling != "[tenants.acme.ceiling] uniflow.toml:ceiling" || p.Plugins["tool"].GrantFrom != "" {
		t.Errorf("origins %q, %q, %q", clean.GrantFrom, clean.Ceiling, p.Plugins["tool"].GrantFrom)
	}
	if s := p.Step("b"); s.Limits.Fuel != 1000 || s.SetBy["fuel"] != "[tenants.acme.ceiling]" || s.Timeout != minute {
		t.Errorf("what the step left out: %+v, %v, %s", s.Limits, s.SetBy, s.Timeout)
	}
	clean.Grant.Mount = map[string]string{"/a": "/srv/acme/data/a", "/b": "/srv/acme/data"} // as a project makes it
	p.Plugins["clean"] = clean
	full := FilledCeiling(generous(), flow.Defaults{})
	if found := Exceeds(p, &full, "/srv/acme"); len(found) > 0 {
		t.Errorf("nothing was lowered: %v", found)
	}
	for want, lower := range map[string]func(*flow.Ceiling){
		`plugin "tool": it is a process`:                         func(c *flow.Ceiling) { c.Process = []string{string(flow.DigestOf(nil))} },
		`plugin "clean": http POST https://api.example.com/v1/x`: func(c *flow.Ceiling) { c.HTTP = []string{"GET https://api.example.com/*"} },
		`plugin "clean": mount /b`:                               func(c *flow.Ceiling) { c.Mount = []string{"data/a"} },
		`plugin "clean": state`:                                  func(c *flow.Ceiling) { c.State = false },
		`plugin "clean": clock`:                                  func(c *flow.Ceiling) { c.Clock = false },
		`plugin "clean": random`:                                 func(c *flow.Ceiling) { c.Random = false },
		`plugin "clean": event`:                                  func(c *flow.Ceiling) { c.Event = false },
		`plugin "clean": expose of secret "TOKEN"`:               func(c *flow.Ceiling) { c.Expose = false },
		`step "a": memory 128MiB, the ceiling allows 64MiB`:      func(c *flow.Ceiling) { c.Limits.Memory = 64 * flow.MiB },
		`step "a": timeout 2m, the ceiling allows 1m`:            func(c *flow.Ceiling) { c.Timeout.Step = minute },
		`timeout 2h, the ceiling allows 1h`:                      func(c *flow.Ceiling) { c.Timeout.Run = 60 * minute },
		`step "a": fuel 1000, the ceiling allows 10`:             func(c *flow.Ceiling) { c.Limits.Fuel = 10 },
		`step "a": artifacts 1GiB, the ceiling allows 1MiB`:      func(c *flow.Ceiling) { c.Limits.Artifacts = flow.MiB },
	} {
		c := full
		lower(&c)
		if found := Exceeds(p, &c, "/srv/acme"); len(found) == 0 || found[0] != want {
			t.Errorf("got %v, want %s", found, want)
		}
	}
	if found := Exceeds(p, &full, "/srv/other"); len(found) != 2 {
		t.Errorf("mounts of another folder: %v", found)
	}
}

// Promise: a tenant is part of a version, and the default tenant's versions are what they were before there were others.
func TestVersionsOfTenantsLieApart(t *testing.T) {
	t.Parallel()
	seen := map[flow.Digest]string{}
	for _, tenant := range []string{"", "default", "acme", "beta"} {
		in := facts()
		in.Tenant = tenant
		plans, _ := Build(weather(), in)
		d := plans[1].Digest
		if other, taken := seen[d]; taken != (tenant == "default") {
			t.Errorf("%q has the version of %q: %t", tenant, other, taken)
		}
		seen[d] = tenant
	}
	// What is said of a tenant beside its plans changes no version.
	one, _ := Build(greedy(), bounded(generous(), flow.Quota{}))
	more := generous()
	more.HTTP, more.Mount = append(more.HTTP, "GET https://other.example/*"), []string{"."}
	two, _ := Build(greedy(), bounded(more, flow.Quota{Running: 1}))
	if one[0].Digest != two[0].Digest {
		t.Error("a ceiling that allows more is another version")
	}
}

func TestDeploymentDigest(t *testing.T) {
	t.Parallel()
	a, b := map[string]flow.Digest{"default": flow.DigestOf(nil)}, map[string]flow.Digest{"acme/p": flow.DigestOf([]byte("p"))}
	d := DeploymentDigest(a, b)
	if !d.Valid() || d != DeploymentDigest(map[string]flow.Digest{"default": flow.DigestOf(nil)}, b) || d == DeploymentDigest(b, a) || d == DeploymentDigest(a, nil) {
		t.Errorf("got %s", d)
	}
	if DeploymentDigest(nil, nil) != DeploymentDigest(map[string]flow.Digest{}, map[string]flow.Digest{}) {
		t.Error("nothing and an empty map differ")
	}
}

// No two layers of defaults share memory, and each key of the upper one wins alone.
func TestDefaultsOfATenant(t *testing.T) {
	t.Parallel()
	under := flow.Defaults{NotOn: []string{"sat", "sun"}, Retry: flow.Retry{Attempts: 3, Backoff: flow.Backoff{Min: time.Second, Max: time.Minute}}, Limits: flow.Limits{Memory: flow.MiB}}
	before, _ := json.Marshal(under)
	got := laidDefaults(under, flow.Defaults{NotOn: []string{"mon"}, Retry: flow.Retry{Attempts: 1}, Limits: flow.Limits{Log: flow.KiB}})
	want := flow.Defaults{NotOn: []string{"mon"}, Retry: flow.Retry{Attempts: 1, Backoff: under.Retry.Backoff}, Limits: flow.Limits{Memory: flow.MiB, Log: flow.KiB}}
	a, _ := json.Marshal(got)
	b, _ := json.Marshal(want)
	after, _ := json.Marshal(under)
	if string(a) != string(b) || string(before) != string(after) {
		t.Errorf("got %s, want %s; the operator's were %s, are %s", a, b, before, after)
	}
}

// No manifest that passes under a ceiling gives a plan that goes beyond it.
func FuzzCeiling(f *testing.F) {
	for _, m := range []flow.Manifest{greedy(), weather(), mended()} {
		text, err := json.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(`{"plugins":{"a":{"wasm":"clean.wasm","grant":{"mount":{"/d":"data/../.."}}}},"pipelines":{"p":{"steps":{"s":{"process":"tool"},"t":{"plugin":"a"}}}}}`))
	f.Add([]byte(`{"plugins":{"a":{"script":"clean.wasm","engine":"b","grant":{"http":["* https://*.com/*"],"clock":true}},"b":{"wasm":"clean.wasm","limits":{"memory":999999999}}},"pipelines":{"p":{"steps":{"t":{"plugin":"a"}}}}}`))
	least := generous()
	least.Process, least.Clock, least.Expose, least.Limits, least.Timeout, least.HTTP = nil, false, false, flow.Limits{Fuel: 10}, flow.Timeout{}, []string{"GET https://*.example.com/v1/*"}
	f.Fuzz(func(t *testing.T, text []byte) {
		var m flow.Manifest
		if json.Unmarshal(text, &m) != nil {
			return
		}
		m.Defaults = flow.Defaults{} // the operator's
		for _, c := range []flow.Ceiling{{}, least, generous()} {
			in := bounded(c, flow.Quota{})
			plans, problems := Build(m, in)
			if len(problems.Errors()) > 0 {
				continue
			}
			for i := range plans {
				for _, p := range plans[i].Plugins {
					for guest, host := range p.Grant.Mount {
						if !path.IsAbs(host) { // two pipelines may share it
							p.Grant.Mount[guest] = path.Join("/srv/acme", host)
						}
					}
				}
				if beyond := Exceeds(&plans[i], &in.Bounds.Ceiling, "/srv/acme"); len(beyond) > 0 {
					t.Fatalf("%s is beyond its ceiling: %v", plans[i].Pipeline, beyond)
				}
			}
		}
	})
}

// Promise: a binary that is allowed by its digest is the binary that the operator has looked at: variables of the tenant, by
// which it would execute other code, are refused, and are found in a plan from before.
func TestABinaryByItsDigestHasNoVariables(t *testing.T) {
	t.Parallel()
	m := greedy()
	tool := m.Plugins["tool"]
	tool.Grant.Env = map[string]string{"LD_PRELOAD": "/srv/acme/x.so"}
	m.Plugins["tool"] = tool
	_, problems := Build(m, bounded(generous(), flow.Quota{}))
	want := `UF1260 plugins.tool.grant.env: env of the process "tool" is beyond the ceiling | it allows binaries by their digests, which are executed without variables of the tenant: [tenants.acme.ceiling] process uniflow.toml:process`
	if got := excesses(problems); !slices.Equal(got, []string{want}) {
		t.Errorf("got %q", got)
	}
	wide := generous()
	wide.Process = []string{"*"}
	plans, problems := Build(m, bounded(wide, flow.Quota{}))
	if len(problems.Errors()) > 0 {
		t.Fatal(problems)
	}
	by, all := FilledCeiling(generous(), flow.Defaults{}), FilledCeiling(wide, flow.Defaults{})
	if found := Exceeds(&plans[0], &by, "/"); !slices.Contains(found, `plugin "tool": env of a process`) {
		t.Errorf("of a plan from before: %v", found)
	}
	if found := Exceeds(&plans[0], &all, "/"); slices.Contains(found, `plugin "tool": env of a process`) {
		t.Errorf("where all may run: %v", found)
	}
}
