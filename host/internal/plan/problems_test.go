package plan

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// mistake is one edit of a good manifest and the problems that it must give, one a line: severity, code, path, the
// place inside the value where there is one, message, help.
type mistake struct {
	name string
	edit func(*flow.Manifest, *Inputs)
	want string
}

func mistakes() []mistake {
	return slices.Concat(mistakesOfSteps(), mistakesOfTables(), mistakesOfEgress(), mistakesOfShapes(), mistakesOfExpressions())
}

func mistakesOfSteps() []mistake {
	return []mistake{
		{
			"unknown plugin", changeStep("tell", func(s *flow.Step) { s.Plugin = "claen" }),
			`error UF1202 pipelines.weather.steps.tell.plugin: there is no plugin "claen" | did you mean "clean"?`,
		},
		{
			"unknown function", changeStep("load", func(s *flow.Step) { s.Function = "laod" }),
			`error UF1204 pipelines.weather.steps.load.function: plugin "clean" has no function "laod" | did you mean "load"?`,
		},
		{
			"no default function", changeStep("load", func(s *flow.Step) { s.Function = "" }),
			`error UF1204 pipelines.weather.steps.load.function: plugin "clean" must be told which function to call: it has no uniflow_run | function = "load"`,
		},
		{"unknown Go function", func(m *flow.Manifest, in *Inputs) {
			m.Plugins["Greet"] = flow.Plugin{Func: "Greet"}
			m.Pipelines["greet"] = flow.Pipeline{Plugin: "Greet"}
		}, `error UF1204 pipelines.greet.plugin: no Go function "Greet" is registered | register it with the host first`},
		{
			"unknown need", changeStep("tell", func(s *flow.Step) { s.Needs = []string{"lod"} }),
			`error UF1205 pipelines.weather.steps.tell.needs.0: there is no step "lod" | did you mean "load"?`,
		},
		{
			"unknown in order", change(func(p *flow.Pipeline) { p.Order = []string{"load", "nothing", "load"} }),
			`error UF1205 pipelines.weather.order.1: there is no step "nothing" | known: load, summarise, tell
error UF1205 pipelines.weather.order.2: order names step "load" twice | remove one of them`,
		},
		{
			"cycle of references", changeStep("load", func(s *flow.Step) { s.With["x"] = json.RawMessage(`["${steps.summarise[0].y}"]`) }),
			`error UF1206 pipelines.weather.steps.load.with.x.0 @2+20: steps wait for one another: load -> summarise -> load | one of these links must go`,
		},
		{
			"cycle of needs", changeStep("load", func(s *flow.Step) { s.Needs = []string{"load"} }),
			`error UF1206 pipelines.weather.steps.load.needs.0: steps wait for one another: load -> load | one of these links must go`,
		},
		{
			"cycle of order", change(func(p *flow.Pipeline) { p.Order = []string{"summarise", "load"} }),
			`error UF1206 pipelines.weather.order.1: steps wait for one another: load -> summarise -> load | one of these links must go`,
		},
		{
			"cycle with a hook", changeStep("load", func(s *flow.Step) { s.Needs = []string{"tell"} }),
			`error UF1206 pipelines.weather.steps.load.needs.0: steps wait for one another: load -> tell -> load | one of these links must go`,
		},
		{
			"bad name of a step", change(func(p *flow.Pipeline) { p.Steps["a-b"] = flow.Step{Plugin: "stats", Needs: []string{"load"}} }),
			`error UF1111 pipelines.weather.steps.a-b: "a-b" is no name for a step | ` + nameHelp,
		},
		{
			"two sources", changeStep("load", func(s *flow.Step) { s.Wasm = "x.wasm" }),
			`error UF1117 pipelines.weather.steps.load: step "load" needs exactly one of plugin, wasm and process | write plugin = "NAME", or wasm = "FILE"`,
		},
		{
			"loose step", change(func(p *flow.Pipeline) { p.Steps["alone"] = flow.Step{Plugin: "stats"} }),
			`warning UF1217 pipelines.weather.steps.alone: step "alone" is tied to no other; it starts at once | say what it waits for: needs = ["STEP"], or order on pipeline "weather"`,
		},
		{
			"unknown output", changeStep("summarise", func(s *flow.Step) { s.With["rows"] = json.RawMessage(`"a ${steps.load.row}"`) }),
			`warning UF1220 pipelines.weather.steps.summarise.with.rows @4+14: the plugin of step "load" does not describe an output "row" | did you mean "rows"?`,
		},
		{
			"parallel without each", changeStep("load", func(s *flow.Step) { s.Parallel = 2 }),
			`error UF1222 pipelines.weather.steps.load.parallel: parallel bounds the calls of each; step "load" has no each | add each = "${...}", or remove parallel`,
		},
		{
			"timeout.run on a step", changeStep("load", func(s *flow.Step) { s.Timeout.Run = flow.Duration(time.Hour) }),
			`error UF1222 pipelines.weather.steps.load.timeout.run: timeout.run bounds a whole run; step "load" is a part of one | write timeout.step, or move it to the pipeline`,
		},
		{"args of a process", func(m *flow.Manifest, in *Inputs) {
			in.Resolved["bin/x"] = flow.Resolved{Path: "/x", Digest: flow.DigestOf(nil)}
			changeStep("tell", func(s *flow.Step) { s.Plugin, s.Process, s.Args, s.Stdout = "", "bin/x", []string{"-v"}, "text" })(m, in)
		}, `error UF1222 pipelines.weather.steps.tell.args: args is for WebAssembly commands; plugin "bin/x" is none | pass values by with
error UF1222 pipelines.weather.steps.tell.stdout: stdout is for WebAssembly commands; plugin "bin/x" is none | pass values by with`},
		{"stdin of a plugin of Extism", func(m *flow.Manifest, in *Inputs) {
			in.Resolved["stats.wasm"] = flow.Resolved{Path: "/x", Digest: flow.DigestOf(nil), Profile: "extism", Functions: []string{"a", "b"}}
			changeStep("summarise", func(s *flow.Step) { s.Stdin, s.Input = "x", "with" })(m, in)
		}, `error UF1222 pipelines.weather.steps.summarise.stdin: stdin is for WebAssembly commands; plugin "stats" is none | write input instead of stdin
error UF1204 pipelines.weather.steps.summarise.function: plugin "stats" must be told which function to call: it has no run | function = "a"`},
		{"input of a reactor", func(m *flow.Manifest, in *Inputs) {
			in.Resolved["stats.wasm"] = flow.Resolved{Path: "/x", Digest: flow.DigestOf(nil), Profile: "reactor", Functions: []string{"uniflow_run"}}
			changeStep("summarise", func(s *flow.Step) { s.Input = "with" })(m, in)
		}, `error UF1222 pipelines.weather.steps.summarise.input: input is for plugins of Extism; plugin "stats" is none | pass values by with`},
		{
			"stdin and input", changeStep("load", func(s *flow.Step) { s.Stdin, s.Input = "x", "all" }),
			`error UF1108 pipelines.weather.steps.load.input: input cannot be "all" | known: with, ${...}
error UF1222 pipelines.weather.steps.load.stdin: step "load" has stdin and input | keep the one that the plugin has`,
		},
		{
			"words of a step", changeStep("load", func(s *flow.Step) { s.On, s.Stdout = "sucess", "xml" }),
			`error UF1108 pipelines.weather.steps.load.on: on cannot be "sucess" | did you mean "success"?
error UF1108 pipelines.weather.steps.load.stdout: stdout cannot be "xml" | known: json, text, log`,
		},
		{"caps of a step", changeStep("summarise", func(s *flow.Step) {
			s.Retry.Attempts, s.Parallel, s.Timeout.Step = 101, 65, flow.Duration(8*24*time.Hour)
			s.Limits = flow.Limits{Memory: 4 * flow.GiB, Output: 65 * flow.MiB, Log: 65 * flow.MiB, Artifacts: 65 * flow.GiB}
		}), `error UF1107 pipelines.weather.steps.summarise.retry.attempts: attempts is 101; it lies between 1 and 100 | 
error UF1107 pipelines.weather.steps.summarise.timeout.step: timeout.step is 192h; it lies between 1ms and 168h (7 days) | 
error UF1107 pipelines.weather.steps.summarise.limits.memory: memory is 4GiB; it lies between 64KiB and 4194240KiB | 
error UF1107 pipelines.weather.steps.summarise.limits.output: output is 65MiB; it lies between 1B and 64MiB | 
error UF1107 pipelines.weather.steps.summarise.limits.log: log is 65MiB; it lies between 1B and 64MiB | 
error UF1107 pipelines.weather.steps.summarise.limits.artifacts: artifacts is 65GiB; it lies between 1B and 64GiB | 
error UF1107 pipelines.weather.steps.summarise.parallel: parallel is 65; it lies between 1 and 64 | `},
	}
}

func mistakesOfTables() []mistake {
	return []mistake{
		{
			"unknown pipeline", func(m *flow.Manifest, _ *Inputs) {
				m.Schedules["x"] = flow.Schedule{Pipeline: "wether", At: "daily 01:00"}
			},
			`error UF1203 schedules.x.pipeline: there is no pipeline "wether" | did you mean "weather"?`,
		},
		{
			"name of a schedule", func(m *flow.Manifest, _ *Inputs) {
				m.Schedules["hello"] = flow.Schedule{Pipeline: "weather", At: "daily 01:00"}
			},
			`error UF1208 schedules.hello: schedule "hello" exists already: it stands on the pipeline of that name | rename this table`,
		},
		{
			"text of a schedule", change(func(p *flow.Pipeline) { p.Schedule = "cron 0 0 30 2 *" }),
			`error UF1304 pipelines.weather.schedule`,
		},
		{
			"zone of a schedule", func(m *flow.Manifest, _ *Inputs) { m.Host.Timezone = "Mars" },
			`error UF1303 host.timezone`,
		},
		{
			"no step", change(func(p *flow.Pipeline) { p.Steps = nil }),
			`error UF1118 pipelines.weather: pipeline "weather" needs either steps or exactly one of wasm, process, plugin and script | give it wasm = "plugins/NAME.wasm", or steps: [pipelines.weather.steps.NAME]
warning UF1216 plugins.clean: no step uses plugin "clean" | use it in a step: plugin = "clean"
warning UF1216 plugins.stats: no step uses plugin "stats" | use it in a step: plugin = "stats"`,
		},
		{
			"keys of one module", change(func(p *flow.Pipeline) { p.Function, p.With, p.Grant.Clock = "f", raws("x", "1"), true }),
			`error UF1119 pipelines.weather.function: function belongs to a pipeline that is one module; pipeline "weather" has steps | move it to a step or to its plugin
error UF1119 pipelines.weather.grant: grant belongs to a pipeline that is one module; pipeline "weather" has steps | move it to a step or to its plugin
error UF1119 pipelines.weather.with: with belongs to a pipeline that is one module; pipeline "weather" has steps | move it to a step or to its plugin`,
		},
		{"grant and order beside a plugin", func(m *flow.Manifest, _ *Inputs) {
			m.Pipelines["hello"] = flow.Pipeline{Plugin: "stats", Order: []string{"a"}, Grant: flow.Grant{Clock: true}}
		}, `error UF1222 pipelines.hello.order: order needs steps; pipeline "hello" is one module | remove it
error UF1222 pipelines.hello.grant: the grant of a declared plugin stands on the plugin | move it to [plugins.stats.grant]
error UF1205 pipelines.hello.order.0: there is no step "a" | known: main`},
		{"params", change(func(p *flow.Pipeline) {
			low, high := 5.0, 1.0
			p.Params = map[string]flow.Param{
				"year": {Type: "integer", Default: json.RawMessage(`"x"`), Required: true},
				"a":    {Type: "int"}, "b": {Type: "string", Min: &low}, "c": {Type: "number", Min: &low, Max: &high},
				"d": {Type: "string", Enum: []json.RawMessage{json.RawMessage("1")}},
			}
		}), `error UF1212 pipelines.weather.params.a.type: "int" is no type of a param | known: string, integer, number, boolean, list, object
error UF1212 pipelines.weather.params.b: param "b" is of type string and cannot have min or max | min and max belong to integer and number
error UF1212 pipelines.weather.params.c.min: min 5 of param "c" is more than its max 1 | 
error UF1212 pipelines.weather.params.d.enum.0: "d" must be of type string; found integer 1 | 
error UF1212 pipelines.weather.params.year.required: param "year" has a default, so it is never missing | remove required or default
error UF1212 pipelines.weather.params.year.default: "year" must be of type integer; found string "x" | `},
		{"context", func(m *flow.Manifest, in *Inputs) {
			change(func(p *flow.Pipeline) {
				p.Context["yaer"] = json.RawMessage("1")
				p.Params["must"] = flow.Param{Type: "string", Required: true}
			})(m, in)
			m.Schedules["weather_evening"] = flow.Schedule{Pipeline: "weather", At: "daily 01:00", Context: raws("year", "1900", "must", `"x"`)}
		}, `error UF1213 pipelines.weather.context.yaer: no param is named "yaer" | did you mean "year"?
error UF1213 pipelines.weather: schedule "weather" starts runs without "must", which the params require | give must in the context of the pipeline or of the schedule
error UF1213 schedules.weather_evening.context.year: "year" is 1900; it must be at least 1948 | `},
		{
			"tables of tenants", func(m *flow.Manifest, _ *Inputs) {
				m.Tenants = map[string]flow.Tenant{
					"default": {},
					"acme": {
						Isolation: "jail", Quota: flow.Quota{Running: -1}, Defaults: flow.Defaults{Overlap: "never", Retry: flow.Retry{Attempts: 1000}},
						Ceiling: flow.Ceiling{
							HTTP: []string{"GET example.com"}, Process: []string{"*", "sha256:12"}, Mount: []string{".", "../x", "/etc", ""},
							Alerts: []string{"slack://", "https://example.com", "slack"}, Timeout: flow.Timeout{Start: flow.Duration(time.Minute)},
						},
					},
				}
			},
			`error UF1108 tenants.acme.isolation: isolation cannot be "jail" | known: inline, worker
error UF1107 tenants.acme.defaults.retry.attempts: attempts is 1000; it lies between 1 and 100 | 
error UF1108 tenants.acme.defaults.overlap: overlap cannot be "never" | known: wait, wait_all, skip, replace
error UF1231 tenants.acme.ceiling.http.0: "GET example.com" grants nothing: the URL does not begin with https:// or http:// | write https://HOST/PATH
error UF1222 tenants.acme.ceiling.timeout.start: timeout.start is about slots; a ceiling bounds steps and runs | remove it
error UF1261 tenants.acme.ceiling.process.1: "sha256:12" allows nothing | write the digest of a binary, "sha256:…", or "*" for all that the tenant's lock pins
error UF1261 tenants.acme.ceiling.mount.1: "../x" allows nothing | write a path in the tenant's folder: mount = ["data"]
error UF1261 tenants.acme.ceiling.mount.2: "/etc" allows nothing | write a path in the tenant's folder: mount = ["data"]
error UF1261 tenants.acme.ceiling.mount.3: "" allows nothing | write a path in the tenant's folder: mount = ["data"]
error UF1261 tenants.acme.ceiling.alerts.1: "https://example.com" allows nothing | write the beginning of a URL, with all of its host: "slack://", "https://hooks.example.com/"
error UF1261 tenants.acme.ceiling.alerts.2: "slack" allows nothing | write the beginning of a URL, with all of its host: "slack://", "https://hooks.example.com/"
error UF1107 tenants.acme.quota.running: running is negative | leave it out for the default
error UF1111 tenants.default: "default" is no name for a tenant | ` + nameHelp,
		},
		{
			"script as a pipeline, by an engine that is none", func(m *flow.Manifest, in *Inputs) {
				in.Resolved["x.py"] = flow.Resolved{Path: "/p/x.py", Digest: flow.DigestOf(nil), Entry: "x.py"}
				m.Pipelines["hello"] = flow.Pipeline{Script: "x.py", Engine: "cleen"}
				m.Pipelines["other"] = flow.Pipeline{Script: "x.py", Engine: "clean"}
			},
			`error UF1202 pipelines.hello.engine: there is no plugin "cleen" to execute the script | did you mean "clean"?
error UF1116 pipelines.other.engine: plugin "clean" executes no scripts: it has no function uniflow_run | uniflow plugin inspect lists what it offers`,
		},
		{
			"not built", func(_ *flow.Manifest, in *Inputs) { delete(in.Resolved, "clean.wasm") },
			`warning UF1215 plugins.clean.wasm: clean.wasm is not there yet, so that its functions are not checked and the pipeline has no version | uniflow build`,
		},
		{"alerts", func(m *flow.Manifest, in *Inputs) {
			m.Alerts = map[string]flow.Alert{
				"ops":   {URL: flow.SecretText{Text: "slak://token@channel"}, On: []string{"failed", "brokn"}},
				"bad":   {URL: flow.SecretText{Text: "hooks.example.com/x"}, Sign: flow.SecretText{Text: "whsec_c2hvcnQ="}},
				"other": {URL: flow.SecretText{Text: "ntfy://ntfy.sh/topic"}, Sign: flow.SecretText{Secret: "KEY"}},
				"logs":  {URL: flow.SecretText{Text: "logger://"}},
				"good":  {URL: flow.SecretText{Text: "generic+https://example.com/x"}},
				"hook":  {URL: flow.SecretText{Text: "https://example.com/x"}, Sign: flow.SecretText{Text: "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"}},
			}
			change(func(p *flow.Pipeline) {
				p.Alerts, p.Expect = []string{"ops", "opps"}, flow.Expect{By: "6 o'clock", Failures: 21}
			})(m, in)
		}, `error UF1223 alerts.bad.url: the url of alert "bad" is no URL | write the URL of a service, url = "slack://…", or of a webhook, url = "https://…"
error UF1224 alerts.bad.sign: the signing secret is none, expected whsec_ and the base64 of 24 to 64 bytes | keep it as a secret: sign = { secret = "WEBHOOK_KEY" }
error UF1223 alerts.logs.url @0+6: no service is called "logger" | docs/ALERTS.md lists the services; a webhook has https://
error UF1108 alerts.ops.on.1: on cannot be "brokn" | did you mean "broken"?
error UF1223 alerts.ops.url @0+4: no service is called "slak" | did you mean "slack"?
error UF5113 alerts.other.sign: there is no source for secret "KEY" | say where secrets are: secrets = "dir:secrets" under [host]
error UF1222 alerts.other.sign: sign is for webhooks; the url of alert "other" is one of ntfy | remove it, or write the URL of a webhook
error UF1219 pipelines.weather.alerts.1: there is no alert "opps" | did you mean "ops"?
error UF1107 pipelines.weather.expect.failures: failures is 21; it lies between 1 and 20 | 
error UF1301 pipelines.weather.expect.by: by is no time of day | write a time of day: by = "06:00"`},
		{"grants", changePlugin("clean", func(p *flow.Plugin) {
			p.Grant.Mount, p.Grant.Env = map[string]string{"data": "x", "/a/../b": "x", "/out": "x", "/ok": ""}, map[string]string{"A=B": "", "UNIFLOW_X": "", "OK": "1"}
		}), `error UF1221 plugins.clean.grant.mount./a/../b: "/a/../b" is no place to mount at: a clean absolute path other than /in and /out, mapped to a host path | write mount = { "/data" = "data" }
error UF1221 plugins.clean.grant.mount./ok: "/ok" is no place to mount at: a clean absolute path other than /in and /out, mapped to a host path | write mount = { "/data" = "data" }
error UF1221 plugins.clean.grant.mount./out: "/out" is no place to mount at: a clean absolute path other than /in and /out, mapped to a host path | write mount = { "/data" = "data" }
error UF1221 plugins.clean.grant.mount.data: "data" is no place to mount at: a clean absolute path other than /in and /out, mapped to a host path | write mount = { "/data" = "data" }
error UF1221 plugins.clean.grant.env.A=B: "A=B" is no name for a variable of the guest | choose a name of letters, digits and _ that does not begin with UNIFLOW_
error UF1221 plugins.clean.grant.env.UNIFLOW_X: "UNIFLOW_X" is no name for a variable of the guest | choose a name of letters, digits and _ that does not begin with UNIFLOW_`},
		{"names", func(m *flow.Manifest, _ *Inputs) {
			m.Pipelines["Bad"] = flow.Pipeline{Plugin: "p.q"}
			m.Plugins["p.q"] = flow.Plugin{}
			m.Schedules["1"] = flow.Schedule{Pipeline: "hello", At: "daily 01:00"}
		}, `error UF1111 pipelines.Bad: "Bad" is no name for a pipeline | ` + nameHelp + `
error UF1111 schedules.1: "1" is no name for a schedule | ` + nameHelp + `
error UF1111 plugins.p.q: "p.q" is no name for a plugin | ` + nameHelp + `
error UF1115 plugins.p.q: plugin "p.q" needs exactly one of wasm, process and script | give it wasm = "FILE" or process = "FILE"`},
		{"words and caps of policy", func(m *flow.Manifest, in *Inputs) {
			change(func(p *flow.Pipeline) {
				p.Overlap, p.Catchup, p.Keep.Runs = "never", flow.Catchup{Runs: "some", Max: -1}, -1
				p.Retry.Backoff.Max = 8 * 24 * time.Hour
			})(m, in)
		}, `error UF1107 pipelines.weather.retry.backoff: backoff 0s..192h is no range of at most 7 days | write a range such as 1s..1m
error UF1108 pipelines.weather.overlap: overlap cannot be "never" | known: wait, wait_all, skip, replace
error UF1108 pipelines.weather.catchup.runs: runs cannot be "some" | known: none, latest, all
error UF1107 pipelines.weather.catchup.max: max is -1; it lies between 1 and 10000 | 
error UF1107 pipelines.weather.keep: keep holds -1 runs and 90 days; both are at least 1 | `},
		{"too many steps", change(func(p *flow.Pipeline) {
			for i := range 260 {
				p.Steps[fmt.Sprintf("s%d", i)] = flow.Step{Plugin: "stats", Needs: []string{"load"}}
			}
		}), `error UF1107 pipelines.weather.steps: pipeline "weather" has 263 steps; at most 256 | split it into several pipelines`},
	}
}

func mistakesOfExpressions() []mistake {
	return []mistake{
		{
			"syntax", changeStep("load", func(s *flow.Step) { s.With["x"] = json.RawMessage(`{"a":["${1 +"]}`) }),
			`error UF1250 pipelines.weather.steps.load.with.x.a.0 @0+5: ${ has no end | close it with }, or write $${ for a literal ${`,
		},
		{
			"item without each", changeStep("load", func(s *flow.Step) { s.Stdin = "${item}" }),
			`error UF1251 pipelines.weather.steps.load.stdin @2+4: item is not known here: the step has no each | item stands for one element of a step with each = "${...}"`,
		},
		{
			"item in each", changeStep("summarise", func(s *flow.Step) { s.Each = "${item.x}" }),
			`error UF1251 pipelines.weather.steps.summarise.each @2+6: item is not known here: the step has no each | item stands for one element of a step with each = "${...}"`,
		},
		{
			"a step in the pipeline's when", change(func(p *flow.Pipeline) { p.When = "steps.load.count > 0" }),
			`error UF1251 pipelines.weather.when @0+16: steps.load does not exist yet | the pipeline's when runs before every step; move the condition to a step's when`,
		},
		{
			"own outputs", changeStep("load", func(s *flow.Step) { s.Args = []string{"-v", "${steps.load.rows}"} }),
			`error UF1251 pipelines.weather.steps.load.args.1 @2+15: step "load" uses its own outputs | outputs exist when the step has ended; take what you need from another step`,
		},
		{
			"unknown step", changeStep("summarise", func(s *flow.Step) { s.When = "1 < steps.lod.count" }),
			`error UF1252 pipelines.weather.steps.summarise.when @4+15: there is no step "lod" | did you mean "load"?`,
		},
		{
			"condition of another type", changeStep("summarise", func(s *flow.Step) { s.When = "steps.load.count" }),
			`error UF1253 pipelines.weather.steps.summarise.when @0+16: a condition is true or false; this is an integer | compare it with something, as in steps.load.count > 0`,
		},
		{
			"each of another type", changeStep("summarise", func(s *flow.Step) { s.Each = "${steps.load.count}" }),
			`error UF1253 pipelines.weather.steps.summarise.each @0+19: each must be a list; this is an integer | each makes one call per element of a list`,
		},
		{
			"too long", changeStep("tell", func(s *flow.Step) { s.When = strings.Repeat("1+", 2500) + "1 > 0" }),
			`error UF1254 pipelines.weather.steps.tell.when @0+5005: an expression has at most 4 KiB; this has 5005 bytes | compute it in a step`,
		},
	}
}

func TestMistakesAreNamedWithTheirKey(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, c := range mistakes() {
		m, in := mended(), facts()
		c.edit(&m, &in)
		_, problems := Build(m, in)
		var lines []string
		for _, p := range problems {
			lines = append(lines, line(p))
		}
		got := strings.Join(lines, "\n")
		// What the calendar says of a schedule is tested there.
		if got != c.want && (!strings.HasPrefix(c.want, "error UF13") || !strings.HasPrefix(got, c.want) || len(lines) != 1) {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
		for _, code := range regexp.MustCompile(`UF12\d\d`).FindAllString(got, -1) {
			seen[code] = true
		}
	}
	// UF1255 is of evaluation; package expr tests it. UF1234 is of what the machine has; package project tests it. Those of
	// tenants are tested apart, UF1262 by package manifest. UF1214 is for sources of secrets; package secret tests it.
	for _, code := range []string{"UF1214", "UF1255", "UF1234", "UF1260", "UF1262", "UF1263"} {
		seen[code] = true
	}
	for _, e := range flow.Explanations() {
		if strings.HasPrefix(string(e.Code), "UF12") && !seen[string(e.Code)] {
			t.Errorf("no mistake gives %s, %s", e.Code, e.Title)
		}
	}
}

func line(p flow.Problem) string {
	place := ""
	if p.Length > 0 {
		place = fmt.Sprintf(" @%d+%d", p.Offset, p.Length)
	}
	return fmt.Sprintf("%s %s %s%s: %s | %s", p.Severity, p.Code, strings.Join(p.Path, "."), place, p.Message, p.Help)
}

func TestWhatIsNotBuiltHasNoVersion(t *testing.T) {
	t.Parallel()
	plans, problems := Build(mended(), Inputs{})
	if len(problems.Errors()) > 0 || len(problems) != 3 {
		t.Errorf("got %v", problems)
	}
	for _, p := range plans {
		if p.Digest != "" {
			t.Errorf("%s has digest %s", p.Pipeline, p.Digest)
		}
	}
}

// No manifest, however wrong, makes Build panic or go on for ever.
func FuzzBuild(f *testing.F) {
	for _, m := range []flow.Manifest{weather(), mended()} {
		text, err := json.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(`{"pipelines":{"a":{"steps":{"b":{"plugin":"","each":"${steps.c}","needs":["c"]},"c":{"on":"always","needs":["b"]}}}}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var m flow.Manifest
		if json.Unmarshal(text, &m) != nil {
			return
		}
		plans, problems := Build(m, facts())
		for _, p := range problems {
			if p.Message == "" || p.Code == "" {
				t.Fatalf("problem without words: %+v", p)
			}
		}
		if len(problems.Errors()) > 0 {
			return
		}
		for i := range plans {
			if len(plans[i].Steps) == 0 {
				t.Fatalf("plan %s has no steps", plans[i].Pipeline)
			}
		}
	})
}
