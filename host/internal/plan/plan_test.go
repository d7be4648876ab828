package plan

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

func raws(pairs ...string) map[string]json.RawMessage {
	m := map[string]json.RawMessage{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = json.RawMessage(pairs[i+1])
	}
	return m
}

// weather is a manifest without mistakes, made anew for each test.
func weather() flow.Manifest {
	low := 1948.0
	return flow.Manifest{
		Version:  1,
		Host:     flow.HostSettings{Timezone: "UTC"},
		Defaults: flow.Defaults{Retry: flow.Retry{Attempts: 2}, Limits: flow.Limits{Memory: 32 * flow.MiB}},
		Plugins: map[string]flow.Plugin{
			"clean": {Wasm: "clean.wasm", Grant: flow.Grant{Mount: map[string]string{"/data": "data"}, Env: map[string]string{"MODE": "fast"}}},
			"stats": {Wasm: "stats.wasm", Limits: flow.Limits{Output: 2 * flow.MiB}},
		},
		Pipelines: map[string]flow.Pipeline{
			"weather": {
				About: "Daily weather", Project: "climate", Owner: "team-climate", Label: "v1",
				Schedule: "daily 2:00", Timezone: "America/Los_Angeles", When: "context.year > 2000",
				Context: raws("station", `"seattle"`),
				Params:  map[string]flow.Param{"year": {Type: "integer", Default: json.RawMessage("2015"), Min: &low}},
				Steps: map[string]flow.Step{
					"load":      {Plugin: "clean", Function: "load", With: raws("station", `"${context.station}"`, "literal", `"$${kept}"`)},
					"summarise": {Plugin: "stats", With: raws("rows", `"${steps.load.rows}"`), When: "steps.load.count > 0", Each: "${steps.load.months}", Retry: flow.Retry{Attempts: 3}},
					"tell":      {Plugin: "clean", Function: "tell", On: flow.OnFailure, With: raws("steps", `"${failed}"`)},
				},
			},
			"hello": {Wasm: "hello.wasm", Schedule: "every 10m", With: raws("name", `"Ada"`)},
		},
		Schedules: map[string]flow.Schedule{
			"weather_evening": {Pipeline: "weather", At: "daily 18:00", Context: raws("station", `"portland"`)},
		},
	}
}

func facts() Inputs {
	resolved := map[string]flow.Resolved{}
	for _, name := range []string{"clean.wasm", "stats.wasm", "hello.wasm"} {
		resolved[name] = flow.Resolved{Path: "/srv/" + name, Digest: flow.DigestOf([]byte(name))}
	}
	clean := resolved["clean.wasm"]
	clean.Functions = []string{"load", "tell"}
	clean.Outputs = map[string]map[string]json.RawMessage{"load": raws("rows", `{"type":"array"}`, "count", `{"type":"integer"}`, "months", `{"type":["array","null"]}`)}
	resolved["clean.wasm"] = clean
	return Inputs{Resolved: resolved}
}

// mended is weather with a canonical schedule.
func mended() flow.Manifest {
	m := weather()
	p := m.Pipelines["weather"]
	p.Schedule = "daily 02:00"
	m.Pipelines["weather"] = p
	return m
}

func built(t *testing.T, m flow.Manifest, in Inputs) []flow.Plan {
	t.Helper()
	plans, problems := Build(m, in)
	if len(problems) > 0 {
		t.Fatalf("problems:\n%s", problems.Error())
	}
	return plans
}

func TestPlanHoldsAllThatARunNeeds(t *testing.T) {
	t.Parallel()
	plans := built(t, mended(), facts())
	if len(plans) != 2 || plans[0].Pipeline != "hello" || plans[1].Pipeline != "weather" {
		t.Fatalf("got %d plans", len(plans))
	}
	hello, weather := plans[0], plans[1]
	if s := hello.Step("main"); s == nil || s.Plugin != "hello.wasm" || hello.Plugins["hello.wasm"].Path != "/srv/hello.wasm" || string(s.With["name"]) != `"Ada"` {
		t.Errorf("one module: got %+v", hello)
	}
	var order []string
	for _, s := range weather.Steps {
		order = append(order, s.Name)
	}
	if !slices.Equal(order, []string{"load", "summarise", "tell"}) {
		t.Errorf("got order %v", order)
	}
	s := weather.Step("summarise")
	if !slices.Equal(s.Needs, []string{"load"}) || s.Parallel != 4 || s.On != flow.OnSuccess || s.Timeout != flow.Duration(time.Minute) {
		t.Errorf("got %+v", s)
	}
	if want := (flow.Limits{Memory: 32 * flow.MiB, Output: 2 * flow.MiB, Log: flow.MiB, Artifacts: 64 * flow.MiB}); s.Limits != want {
		t.Errorf("got limits %+v, want %+v", s.Limits, want)
	}
	if want := map[string]string{"memory": "[defaults]", "output": "[plugins.stats]"}; !reflect.DeepEqual(s.SetBy, want) {
		t.Errorf("limits are set by %v, want %v", s.SetBy, want)
	}
	if s.Retry.Attempts != 3 || s.Retry.Backoff != (flow.Backoff{Min: time.Second, Max: time.Minute}) || weather.Step("load").Retry.Attempts != 2 {
		t.Errorf("got retry %+v and %+v", s.Retry, weather.Step("load").Retry)
	}
	if want := map[string]string{"rows": "list", "count": "integer", "months": ""}; !reflect.DeepEqual(weather.Step("load").Outputs, want) {
		t.Errorf("got outputs %v", weather.Step("load").Outputs)
	}
	if want := raws("station", `"seattle"`, "year", "2015"); !reflect.DeepEqual(weather.Context, want) {
		t.Errorf("got context %s", weather.Context)
	}
	if weather.Overlap != flow.OverlapWait || weather.Timeout != flow.Duration(time.Hour) || weather.Keep != (flow.Keep{Runs: 10_000, Days: 90}) {
		t.Errorf("got %v, %v, %v", weather.Overlap, weather.Timeout, weather.Keep)
	}
}

func TestTheLastTableThatSetsALimitIsNamed(t *testing.T) {
	t.Parallel()
	m := mended()
	m.Defaults.Timeout = flow.Timeout{Step: flow.Duration(time.Second), Run: flow.Duration(time.Minute)}
	change(func(p *flow.Pipeline) {
		p.Limits = flow.Limits{Memory: 16 * flow.MiB, Fuel: 7, Artifacts: 64 * flow.MiB}
		p.Timeout.Run = flow.Duration(2 * time.Minute)
	})(&m, nil)
	changeStep("load", func(s *flow.Step) {
		s.Limits, s.Timeout.Step = flow.Limits{Fuel: 8, Log: flow.KiB}, flow.Duration(3*time.Second)
	})(&m, nil)
	plans := built(t, m, facts())
	weather := find(plans, "weather")
	const step, pipeline = "[pipelines.weather.steps.load]", "[pipelines.weather]"
	if want := map[string]string{"memory": pipeline, "artifacts": pipeline, "fuel": step, "log": step, "timeout": step}; !reflect.DeepEqual(weather.Step("load").SetBy, want) {
		t.Errorf("limits are set by %v, want %v", weather.Step("load").SetBy, want)
	}
	if weather.TimeoutFrom != pipeline || find(plans, "hello").TimeoutFrom != "[defaults]" || find(plans, "hello").Steps[0].SetBy["timeout"] != "[defaults]" {
		t.Errorf("timeouts are set by %q, %q, %v", weather.TimeoutFrom, find(plans, "hello").TimeoutFrom, find(plans, "hello").Steps[0].SetBy)
	}
}

func TestSchedulesAreFrozen(t *testing.T) {
	t.Parallel()
	off := false
	m := mended()
	m.Host.Timezone = "Europe/Berlin"
	m.Defaults.Catchup = flow.Catchup{Runs: "all", Max: 7}
	m.Schedules["hello_too"] = flow.Schedule{Pipeline: "hello", At: "hourly :15", Enabled: &off, Overlap: flow.OverlapSkip, Catchup: flow.Catchup{Max: 3}}
	m.Schedules["weather_far"] = flow.Schedule{Pipeline: "weather", At: "daily 18:00", Timezone: "Asia/Tokyo"}
	plans := built(t, m, facts())
	catchup := flow.Catchup{Runs: "all", Within: flow.Duration(24 * time.Hour), Max: 7}
	rarer := catchup
	rarer.Max = 3
	want := []flow.PlanSchedule{
		{Name: "hello", Pipeline: "hello", At: "every 10m", Timezone: "Europe/Berlin", Enabled: true, Overlap: flow.OverlapWait, Catchup: catchup},
		{Name: "hello_too", Pipeline: "hello", At: "hourly :15", Timezone: "Europe/Berlin", Overlap: flow.OverlapSkip, Catchup: rarer},
		{Name: "weather", Pipeline: "weather", At: "daily 02:00", Timezone: "America/Los_Angeles", Enabled: true, Overlap: flow.OverlapWait, Catchup: catchup},
		{Name: "weather_evening", Pipeline: "weather", At: "daily 18:00", Timezone: "America/Los_Angeles", Context: raws("station", `"portland"`), Enabled: true, Overlap: flow.OverlapWait, Catchup: catchup},
		{Name: "weather_far", Pipeline: "weather", At: "daily 18:00", Timezone: "Asia/Tokyo", Enabled: true, Overlap: flow.OverlapWait, Catchup: catchup},
	}
	if got := slices.Concat(plans[0].Schedules, plans[1].Schedules); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestPlansSurviveJSONAndAreTheSameEveryTime(t *testing.T) {
	t.Parallel()
	plans := built(t, mended(), facts())
	text, err := json.Marshal(plans)
	if err != nil {
		t.Fatal(err)
	}
	var back []flow.Plan
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(back)
	if err != nil || string(again) != string(text) {
		t.Errorf("got %s\nwant %s", again, text)
	}
	for i := range back {
		if digest(&back[i]) != plans[i].Digest || !plans[i].Digest.Valid() {
			t.Errorf("the digest of %s changed on the way", back[i].Pipeline)
		}
	}
	broken := mended()
	broken.Plugins["clean"] = flow.Plugin{Wasm: "clean.wasm", Grant: flow.Grant{HTTP: []string{"x"}, State: true, Event: true, Mount: map[string]string{"a": "b", "c": ""}}}
	_, want := Build(broken, Inputs{})
	for range 20 {
		if next := built(t, mended(), facts()); !reflect.DeepEqual(next, plans) {
			t.Fatal("the same manifest gave another plan")
		}
		if _, got := Build(broken, Inputs{}); !reflect.DeepEqual(got, want) {
			t.Fatal("the same manifest gave other problems")
		}
	}
}

// change edits the weather pipeline, or a step of it.
func change(edit func(*flow.Pipeline)) func(*flow.Manifest, *Inputs) {
	return func(m *flow.Manifest, _ *Inputs) {
		p := m.Pipelines["weather"]
		edit(&p)
		m.Pipelines["weather"] = p
	}
}

func changeStep(name string, edit func(*flow.Step)) func(*flow.Manifest, *Inputs) {
	return change(func(p *flow.Pipeline) {
		s := p.Steps[name]
		edit(&s)
		p.Steps[name] = s
	})
}

func changePlugin(name string, edit func(*flow.Plugin)) func(*flow.Manifest, *Inputs) {
	return func(m *flow.Manifest, _ *Inputs) {
		p := m.Plugins[name]
		edit(&p)
		m.Plugins[name] = p
	}
}

func TestDigestChangesWhenWhatRunsChanges(t *testing.T) {
	t.Parallel()
	high := 2030.0
	for name, edit := range map[string]func(*flow.Manifest, *Inputs){
		"bytes": func(_ *flow.Manifest, in *Inputs) {
			r := in.Resolved["clean.wasm"]
			r.Digest = flow.DigestOf([]byte("other"))
			in.Resolved["clean.wasm"] = r
		},
		"tenant":         func(_ *flow.Manifest, in *Inputs) { in.Tenant = "acme" },
		"default retry":  func(m *flow.Manifest, _ *Inputs) { m.Defaults.Retry.Attempts = 5 },
		"default memory": func(m *flow.Manifest, _ *Inputs) { m.Defaults.Limits.Memory = 16 * flow.MiB },
		"when":           change(func(p *flow.Pipeline) { p.When = "context.year > 2001" }),
		"context":        change(func(p *flow.Pipeline) { p.Context["station"] = json.RawMessage(`"x"`) }),
		"big number":     change(func(p *flow.Pipeline) { p.Context["big"] = json.RawMessage("12345678901234567891") }),
		"param default": change(func(p *flow.Pipeline) {
			p.Params["year"] = flow.Param{Type: "integer", Default: json.RawMessage("2016")}
		}),
		"param max":        change(func(p *flow.Pipeline) { y := p.Params["year"]; y.Max = &high; p.Params["year"] = y }),
		"run timeout":      change(func(p *flow.Pipeline) { p.Timeout.Run = flow.Duration(time.Minute) }),
		"order":            change(func(p *flow.Pipeline) { p.Order = []string{"load", "summarise", "tell"} }),
		"a step":           change(func(p *flow.Pipeline) { p.Steps["more"] = flow.Step{Plugin: "stats", Needs: []string{"load"}} }),
		"function":         changeStep("load", func(s *flow.Step) { s.Function = "tell" }),
		"with":             changeStep("load", func(s *flow.Step) { s.With["station"] = json.RawMessage(`"y"`) }),
		"step when":        changeStep("summarise", func(s *flow.Step) { s.When = "steps.load.count > 1" }),
		"each":             changeStep("summarise", func(s *flow.Step) { s.Each = "${steps.load.rows}" }),
		"parallel":         changeStep("summarise", func(s *flow.Step) { s.Parallel = 5 }),
		"needs":            changeStep("tell", func(s *flow.Step) { s.Needs = []string{"load"} }),
		"on":               changeStep("tell", func(s *flow.Step) { s.On = flow.OnAlways }),
		"step retry":       changeStep("load", func(s *flow.Step) { s.Retry.Backoff = flow.Backoff{Min: time.Second, Max: time.Second} }),
		"step timeout":     changeStep("load", func(s *flow.Step) { s.Timeout.Step = flow.Duration(time.Second) }),
		"step fuel":        changeStep("load", func(s *flow.Step) { s.Limits.Fuel = 1_000_000 }),
		"step limits":      changeStep("load", func(s *flow.Step) { s.Limits.Log = flow.KiB }),
		"args":             changeStep("load", func(s *flow.Step) { s.Args = []string{"-v"} }),
		"stdin":            changeStep("load", func(s *flow.Step) { s.Stdin = "x" }),
		"input":            changeStep("load", func(s *flow.Step) { s.Input = "with" }),
		"stdout":           changeStep("load", func(s *flow.Step) { s.Stdout = "text" }),
		"another plugin":   changeStep("tell", func(s *flow.Step) { s.Plugin, s.Function = "stats", "" }),
		"mount":            changePlugin("clean", func(p *flow.Plugin) { p.Grant.Mount["/data"] = "other" }),
		"env":              changePlugin("clean", func(p *flow.Plugin) { p.Grant.Env["MODE"] = "slow" }),
		"clock":            changePlugin("clean", func(p *flow.Plugin) { p.Grant.Clock = true }),
		"random":           changePlugin("clean", func(p *flow.Plugin) { p.Grant.Random = true }),
		"snapshot":         changePlugin("clean", func(p *flow.Plugin) { p.Snapshot = new(bool) }),
		"limits of plugin": changePlugin("stats", func(p *flow.Plugin) { p.Limits.Output = 3 * flow.MiB }),
	} {
		if before, after := digests(t, edit); before == after || !after.Valid() {
			t.Errorf("%s: the digest is still %s", name, after)
		}
	}
}

func TestDigestStaysWhenWhatRunsStays(t *testing.T) {
	t.Parallel()
	for name, edit := range map[string]func(*flow.Manifest, *Inputs){
		"about":          change(func(p *flow.Pipeline) { p.About = "x" }),
		"project":        change(func(p *flow.Pipeline) { p.Project = "x" }),
		"owner":          change(func(p *flow.Pipeline) { p.Owner, p.Runbook = "x", "y" }),
		"label":          change(func(p *flow.Pipeline) { p.Label = "v2" }),
		"schedule":       change(func(p *flow.Pipeline) { p.Schedule, p.Timezone = "daily 03:00", "UTC" }),
		"overlap":        change(func(p *flow.Pipeline) { p.Overlap, p.Catchup.Runs = flow.OverlapSkip, "none" }),
		"keep":           change(func(p *flow.Pipeline) { p.Keep.Runs = 3 }),
		"about a param":  change(func(p *flow.Pipeline) { y := p.Params["year"]; y.About = "x"; p.Params["year"] = y }),
		"a default said": change(func(p *flow.Pipeline) { p.Timeout.Run = flow.Duration(time.Hour) }),
		"a limit said":   change(func(p *flow.Pipeline) { p.Limits.Memory, p.Timeout.Step = 32*flow.MiB, flow.Duration(time.Minute) }),
		"a need said":    changeStep("summarise", func(s *flow.Step) { s.Needs = []string{"load"} }),
		"an order said":  change(func(p *flow.Pipeline) { p.Order = []string{"load", "summarise"} }),
		"blanks in JSON": change(func(p *flow.Pipeline) { p.Context["station"] = json.RawMessage(` "seattle" `) }),
		"a schedule":     func(m *flow.Manifest, _ *Inputs) { delete(m.Schedules, "weather_evening") },
		"another pipeline": func(m *flow.Manifest, _ *Inputs) {
			m.Pipelines["more"] = flow.Pipeline{Plugin: "stats"}
		},
		"path of a file": func(m *flow.Manifest, in *Inputs) {
			p := m.Plugins["clean"]
			p.Wasm = "moved.wasm"
			m.Plugins["clean"] = p
			in.Resolved["moved.wasm"] = in.Resolved["clean.wasm"]
		},
		"place of a checkout": func(_ *flow.Manifest, in *Inputs) {
			r := in.Resolved["clean.wasm"]
			r.Path = "/elsewhere/clean.wasm"
			in.Resolved["clean.wasm"] = r
		},
		"build command": changePlugin("clean", func(p *flow.Plugin) { p.Build = []string{"make"} }),
		"name of a plugin": func(m *flow.Manifest, in *Inputs) {
			m.Plugins["cleaner"] = m.Plugins["clean"]
			delete(m.Plugins, "clean")
			for _, step := range []string{"load", "tell"} {
				changeStep(step, func(s *flow.Step) { s.Plugin = "cleaner" })(m, in)
			}
		},
	} {
		if before, after := digests(t, edit); before != after {
			t.Errorf("%s: the digest changed", name)
		}
	}
}

func digests(t *testing.T, edit func(*flow.Manifest, *Inputs)) (before, after flow.Digest) {
	t.Helper()
	m, in := mended(), facts()
	before = find(built(t, m, in), "weather").Digest
	edit(&m, &in)
	plans, problems := Build(m, in)
	if bad := problems.Errors(); len(bad) > 0 {
		t.Fatalf("problems:\n%s", bad.Error())
	}
	return before, find(plans, "weather").Digest
}

func find(plans []flow.Plan, name string) *flow.Plan {
	return &plans[slices.IndexFunc(plans, func(p flow.Plan) bool { return p.Pipeline == name })]
}

func TestDiffSaysWhatChanges(t *testing.T) {
	t.Parallel()
	before := built(t, mended(), facts())
	m, in := mended(), facts()
	changeStep("load", func(s *flow.Step) { s.Timeout.Step = flow.Duration(time.Second) })(&m, &in)
	change(func(p *flow.Pipeline) { p.Label = "v2"; p.Schedule = "daily 03:00"; delete(p.Steps, "tell") })(&m, &in)
	delete(m.Pipelines, "hello")
	m.Pipelines["new"] = flow.Pipeline{Plugin: "stats"}
	r := in.Resolved["stats.wasm"]
	r.Digest = flow.DigestOf([]byte("other"))
	in.Resolved["stats.wasm"] = r
	after := built(t, m, in)
	old := flow.DigestOf([]byte("stats.wasm"))
	want := []Change{
		{Pipeline: "hello", Kind: Removed},
		{Pipeline: "new", Kind: Added, Version: true, Plugins: []flow.PluginChange{{Plugin: "stats", To: r.Digest}}},
		{Pipeline: "weather", Kind: Changed, Version: true, Plugins: []flow.PluginChange{{Plugin: "stats", From: old, To: r.Digest}}, What: []string{
			`label "v1" -> "v2"`,
			`step "load": timeout "1m" -> "1s"`,
			`step "tell" removed`,
			fmt.Sprintf(`plugin "stats": digest %s -> %s`, old.Short(), r.Digest.Short()),
			`schedule "weather": at "daily 02:00" -> "daily 03:00"`,
		}},
	}
	if got := Diff(before, after); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if got := Diff(before, before); got != nil {
		t.Errorf("got %+v for no change", got)
	}
}

func TestContextIsMergedAndChecked(t *testing.T) {
	t.Parallel()
	low, high := 1948.0, 2030.0
	p := &flow.Plan{
		Tenant: "default", Pipeline: "weather", Context: raws("year", "2015", "station", `"seattle"`),
		Params: map[string]flow.Param{
			"year": {Type: "integer", Min: &low, Max: &high}, "ratio": {Type: "number"}, "mode": {Type: "string", Enum: []json.RawMessage{json.RawMessage(`"fast"`), json.RawMessage(`"slow"`)}},
			"tags": {Type: "list"}, "opts": {Type: "object"}, "dry": {Type: "boolean"}, "must": {Type: "string", Required: true},
		},
	}
	for _, c := range []struct {
		values map[string]json.RawMessage
		want   string
	}{
		{raws("must", `"x"`, "free", "[1]"), `{"free":[1],"must":"x","station":"seattle","year":2015}`},
		{raws("must", `"x"`, "year", "1948", "ratio", "1", "mode", `"slow"`, "tags", "[]", "opts", "{}", "dry", "false"), `{"dry":false,"mode":"slow","must":"x","opts":{},"ratio":1,"station":"seattle","tags":[],"year":1948}`},
		{nil, `context of pipeline "weather": "must" must be given | --set must=VALUE`},
		{raws("must", `"x"`, "year", "1900"), `context of pipeline "weather": "year" is 1900; it must be at least 1948 | `},
		{raws("must", `"x"`, "year", "2031"), `context of pipeline "weather": "year" is 2031; it must be at most 2030 | `},
		{raws("must", `"x"`, "year", `"2015"`), `context of pipeline "weather": "year" must be of type integer; found string "2015" | `},
		{raws("must", `"x"`, "year", "2015.0"), `context of pipeline "weather": "year" must be of type integer; found number 2015.0 | `},
		{raws("must", `"x"`, "year", "99999999999999999999"), `context of pipeline "weather": "year" is 99999999999999999999, which is too large | `},
		{raws("must", "null", "mode", `"quick"`, "yaer", "1"), `context of pipeline "weather": "mode" is "quick"; it must be one of "fast", "slow"; "must" must be of type string; found null null; no param is named "yaer" | did you mean "year"?`},
		{raws("must", `"x"`, "free", "{"), `context of pipeline "weather": "free" is no JSON | `},
		{raws("must", `"x`+"\xff"+`"`, "free", "[\"\xff\"]"), `context of pipeline "weather": "free" is not UTF-8; "must" is not UTF-8 | write other characters as \u escapes`},
	} {
		merged, err := Context(p, c.values)
		got := string(encode(merged))
		if err != nil {
			e, _ := err.(*flow.Error) //nolint:errorlint // the type is part of the promise
			if got = e.Error() + " | " + e.Hint; e.Code != flow.CodeContext {
				t.Errorf("got code %s", e.Code)
			}
		}
		if got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.values, got, c.want)
		}
	}
}

func TestSetIsReadByType(t *testing.T) {
	t.Parallel()
	params := map[string]flow.Param{"year": {Type: "integer"}, "name": {Type: "string"}, "tags": {Type: "list"}}
	for _, c := range []struct{ in, want string }{
		{"year=2013", `year 2013`},
		{"name=2013", `name "2013"`},
		{`name="x"`, `name "\"x\""`},
		{`tags=["a"]`, `tags ["a"]`},
		{"year=soon", `year "soon"`},
		{"free=1.50", "free 1.50"},
		{"free=abc", `free "abc"`},
		{"free=a=b", `free "a=b"`},
		{"free=", `free ""`},
		{"free=true", "free true"},
		{"year", `set "year": expected NAME=VALUE`},
		{"=1", `set "=1": expected NAME=VALUE`},
	} {
		name, value, err := ParseSet(c.in, params)
		got := fmt.Sprintf("%s %s", name, value)
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s: got %s, want %s", c.in, got, c.want)
		}
	}
}

func TestOrderComesFromReferencesNeedsAndOrder(t *testing.T) {
	t.Parallel()
	step := func(with string, needs ...string) flow.Step {
		return flow.Step{Plugin: "stats", With: raws("x", with), Needs: needs}
	}
	m := mended()
	m.Pipelines["weather"] = flow.Pipeline{
		Order: []string{"z", "a"},
		Steps: map[string]flow.Step{
			"a": step("1"), "b": step(`["${steps.c.v}"]`), "c": step("1", "a"), "z": step("1"),
			"done": {Plugin: "stats", On: flow.OnAlways}, "after": {Plugin: "clean", Function: "tell", On: flow.OnFailure, Needs: []string{"b"}, Args: []string{"${steps.b.x}"}, Stdin: "${steps.c}"},
		},
	}
	plans, problems := Build(m, facts())
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	var got []string
	for _, s := range find(plans, "weather").Steps {
		got = append(got, s.Name+"("+strings.Join(s.Needs, " ")+")")
	}
	if want := []string{"z()", "a(z)", "c(a)", "b(c)", "after(b c)", "done()"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestFunctionsOfAnEmbedder(t *testing.T) {
	t.Parallel()
	m := flow.Manifest{
		Plugins:   map[string]flow.Plugin{"Greet": {Func: "Greet"}, "unused": {Func: "unused"}},
		Pipelines: map[string]flow.Pipeline{"hello": {Plugin: "Greet"}},
	}
	plans := built(t, m, Inputs{Funcs: map[string]bool{"Greet": true}})
	if p := plans[0].Plugins["Greet"]; p.Kind != flow.KindFunc || p.Path != "Greet" || !plans[0].Digest.Valid() {
		t.Errorf("got %+v", p)
	}
}
