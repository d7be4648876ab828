package manifest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

func parseGood(t *testing.T, name string) flow.Manifest {
	t.Helper()
	doc, err := Load(filepath.Join("testdata", "good", name))
	if err != nil {
		t.Fatal(err)
	}
	return doc.Manifest
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s is %#v, want %#v", what, got, want)
	}
}

func raws(pairs ...string) map[string]json.RawMessage {
	m := map[string]json.RawMessage{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = json.RawMessage(pairs[i+1])
	}
	return m
}

// TestTheDocumentedExampleIsRead holds every value of the design's example against the manifest.
func TestTheDocumentedExampleIsRead(t *testing.T) {
	t.Parallel()
	m := parseGood(t, "design.toml")
	listen := "127.0.0.1:7420"
	minimum, enabled := 1948.0, true
	equal(t, "version", m.Version, 1)
	equal(t, "host", m.Host, flow.HostSettings{Data: "data", Listen: &listen, Timezone: "UTC", Secrets: "dir:secrets"})
	equal(t, "defaults", m.Defaults, flow.Defaults{
		Overlap: flow.OverlapWait,
		Catchup: flow.Catchup{Runs: "latest", Within: flow.Duration(24 * time.Hour)},
		Retry:   flow.Retry{Attempts: 1, Backoff: flow.Backoff{Min: time.Second, Max: time.Minute}},
		Timeout: flow.Timeout{Step: flow.Duration(time.Minute), Run: flow.Duration(time.Hour)},
		Limits:  flow.Limits{Memory: 64 * flow.MiB, Output: flow.MiB, Log: flow.MiB, Fuel: 5_000_000_000},
		Keep:    flow.Keep{Runs: 10_000, Days: 90},
	})
	equal(t, "alerts", m.Alerts, map[string]flow.Alert{
		"ops":   {URL: flow.SecretText{Text: "slack://..."}, On: []string{"failed", "recovered", "late", "silent"}},
		"pager": {URL: flow.SecretText{Secret: "SLACK_URL"}},
	})
	equal(t, "clean", m.Plugins["clean"], flow.Plugin{
		Wasm: "plugins/clean.wasm", Build: []string{"make", "-C", "clean"},
		Grant: flow.Grant{
			HTTP:  []string{"GET https://api.example.com/v1/*"},
			Mount: map[string]string{"/data": "./data"}, State: true,
		},
		Secrets: map[string]flow.SecretBinding{
			"API_TOKEN": {To: "https://api.example.com", Header: "Authorization: Bearer {}"},
		},
	})
	equal(t, "score", m.Plugins["score"], flow.Plugin{Script: "score.py", Engine: "python"})
	equal(t, "hello", m.Pipelines["hello"], flow.Pipeline{Name: "hello", Wasm: "plugins/hello.wasm", Schedule: "every 10m"})
	equal(t, "weather", m.Pipelines["weather"], flow.Pipeline{
		Name: "weather", About: "Daily weather report", Project: "climate", Owner: "team-climate",
		Schedule: "daily 02:00", Timezone: "America/Los_Angeles", When: "context.year > 2000",
		Context: raws("station", `"seattle"`), Label: "v1.2.0", Alerts: []string{"ops"},
		Expect: flow.Expect{Every: flow.Duration(26 * time.Hour), By: "06:00"},
		Params: map[string]flow.Param{"year": {Type: "integer", Default: json.RawMessage("2015"), Min: &minimum}},
		Steps: map[string]flow.Step{
			"load": {Plugin: "clean", Function: "load", With: raws("station", `"${context.station}"`, "literal", `"$${kept}"`)},
			"summarise": {
				Plugin: "stats", With: raws("rows", `"${steps.load.rows}"`), When: "steps.load.count > 0",
				Each: "${steps.load.months}", Retry: flow.Retry{Attempts: 3},
			},
		},
	})
	equal(t, "schedules", m.Schedules, map[string]flow.Schedule{"weather_evening": {
		Name: "weather_evening", Pipeline: "weather", At: "daily 18:00", Context: raws("station", `"portland"`), Enabled: &enabled,
	}})
}

// TestEveryOtherKeyIsRead covers the keys that the documented example has no use for.
func TestEveryOtherKeyIsRead(t *testing.T) {
	t.Parallel()
	m := parseGood(t, "every_key.toml")
	no, empty := false, ""
	low, high := -0.5, 10.0
	equal(t, "host", m.Host, flow.HostSettings{Listen: &empty, Secrets: "env:"})
	equal(t, "defaults", m.Defaults, flow.Defaults{
		Isolation: flow.IsolationWorker, Catchup: flow.Catchup{Runs: "all", Max: 10},
		Timeout: flow.Timeout{Start: flow.Duration(5 * time.Minute)}, Limits: flow.Limits{Artifacts: flow.GiB},
	})
	equal(t, "plugins", m.Plugins, map[string]flow.Plugin{"lib-1": {
		Process: "bin/lib", Build: []string{"CGO_ENABLED=0", "go", "build"}, Snapshot: &no,
		Limits:  flow.Limits{Memory: 64 * flow.KiB},
		Grant:   flow.Grant{Env: map[string]string{"LANG": ""}, Clock: true, Random: true, Event: true},
		Secrets: map[string]flow.SecretBinding{"db-password": {Expose: true}},
	}})
	equal(t, "one", m.Pipelines["one"], flow.Pipeline{
		Name: "one", Script: "one.py", Engine: "python", Function: "main", Runbook: "https://example.com/one", Enabled: &no,
		With: raws("a", "1"), Grant: flow.Grant{State: true}, Overlap: flow.OverlapWaitAll, Keep: flow.Keep{Days: 1},
		Params: map[string]flow.Param{"p": {
			Type: "number", About: "a number", Min: &low, Max: &high, Required: true,
			Enum: []json.RawMessage{json.RawMessage("1"), json.RawMessage("2.0"), json.RawMessage(`"x"`)},
		}},
	})
	equal(t, "many", m.Pipelines["many"], flow.Pipeline{
		Name: "many", Order: []string{"a", "b"},
		Steps: map[string]flow.Step{
			"a": {
				Wasm: "a.wasm", Args: []string{"-v", ""}, Stdin: "text", Input: "with", Stdout: "text",
				Timeout: flow.Timeout{Step: flow.Duration(36 * time.Hour)},
			},
			"b": {Process: "bin/b", Needs: []string{"a"}, On: flow.OnFailure, Parallel: 8},
		},
	})
	equal(t, "schedules", m.Schedules["s"], flow.Schedule{
		Name: "s", Pipeline: "one", At: "once 2027-01-01T00:00:00Z", Timezone: "Europe/Berlin", Overlap: flow.OverlapSkip,
		Catchup: flow.Catchup{Runs: "none"},
	})
	equal(t, "tenants", m.Tenants, map[string]flow.Tenant{"acme": {
		Manifest: "acme/uniflow.toml", Isolation: flow.IsolationInline, Secrets: "age:acme.age",
		Ceiling: flow.Ceiling{
			Process: []string{"bin/lib"}, HTTP: []string{"https://example.com/*"}, State: true, Clock: true, Random: true, Event: true,
			Limits: flow.Limits{Log: 10},
		},
		Quota: flow.Quota{Running: 1, Queued: 2, RunsPerHour: 3, Artifacts: flow.GiB},
	}})
}

func TestFreeValuesKeepTheirTypes(t *testing.T) {
	t.Parallel()
	m := parseGood(t, "values.toml")
	equal(t, "context", m.Pipelines["p"].Context, raws(
		"integer", "9223372036854775807", "negative", "-1", "hex", "255", "float", "1.0", "exponent", "1e+100", "small", "1e-07",
		"zero", "-0.0", "text", `"<a href=\"x\">é\n</a>"`, "yes", "true", "list", `[1,2.5,"x",[],{}]`,
		"table", `{"a":{"b":[{"c":1}]},"z":2}`, "instant", `"2027-01-01T10:00:00.5+02:00"`, "utc", `"2027-01-01T00:00:00Z"`,
		"local", `"2027-01-01T10:00:00"`, "date", `"2027-01-01"`, "time", `"07:32:00"`, "odd key", `""`,
	))
}

// TestManifestSurvivesJSON guards the promise that plans and manifests can be handed to another process.
func TestManifestSurvivesJSON(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"design.toml", "every_key.toml", "values.toml"} {
		m := parseGood(t, name)
		text, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		var again flow.Manifest
		if err := json.Unmarshal(text, &again); err != nil {
			t.Fatal(err)
		}
		second, err := json.Marshal(again)
		if err != nil {
			t.Fatal(err)
		}
		if string(text) != string(second) {
			t.Errorf("%s changes through JSON:\n%s\n%s", name, text, second)
		}
	}
}

func TestByteOrderMarkShiftsNothing(t *testing.T) {
	t.Parallel()
	_, problems := Parse("bom.toml", []byte("\xef\xbb\xbfverzion = 1\n"))
	comparePlaces(t, problems, []string{"1:1 UF1101", "1:1 UF1113"})
}

func TestLoadRefusesWhatIsNoFile(t *testing.T) {
	t.Chdir(filepath.Join("testdata", "bad"))
	for name, want := range map[string]struct {
		path string
		code flow.Code
	}{
		"missing": {"nothing.toml", flow.CodeFileUnreadable},
		"folder":  {"folder", flow.CodeFileKind},
		"device":  {os.DevNull, flow.CodeFileKind},
	} {
		doc, err := Load(want.path)
		if doc != nil || flow.CodeOf(err) != want.code {
			t.Fatalf("%s: got %v and %v, want %s", name, doc, err, want.code)
		}
		if runtime.GOOS != "windows" {
			compareGolden(t, name+".want", err.Error())
		}
	}
}

func TestLoadBoundsTheSize(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "uniflow.toml")
	text := "version = 1\n" + strings.Repeat("#", MaxTenantSize)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err != nil {
		t.Errorf("256 KiB and a line: %v", err)
	}
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	_, problems := LoadTenant(root, "uniflow.toml", path)
	if len(problems) == 0 || problems[0].Code != flow.CodeFileSize || problems[0].File != path {
		t.Errorf("of a tenant: %v, want %s at %s", problems, flow.CodeFileSize, path)
	}
	if err := os.Truncate(path, MaxTenantSize); err != nil {
		t.Fatal(err)
	}
	if _, problems := LoadTenant(root, "uniflow.toml", path); len(problems) > 0 {
		t.Errorf("256 KiB of a tenant: %v", problems)
	}
}

// TestHostileTextEnds gives the parser what has cost other parsers minutes or the process; ten seconds are a bound for
// a slow machine under the race detector, the usual time is below 0.1 s.
func TestHostileTextEnds(t *testing.T) {
	t.Parallel()
	fill := func(s string) string { return strings.Repeat(s, MaxSize/len(s)-16) }
	deep := strings.Repeat("a.b.c.d.e.f.g.h.i.j.k.l.m.n.o={", 3) + "x=1" + strings.Repeat("}", 3)
	for name, src := range map[string]string{
		"brackets":       strings.Repeat("[", 10<<20),
		"nested lists":   "a=" + fill("["),
		"nested tables":  fill("a={"),
		"dotted key":     fill("a."),
		"wide paths":     "x=[" + fill("{"+deep+"},") + "]",
		"headers":        fill("[a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p]\n"),
		"duplicates":     fill("a=1\n"),
		"few duplicates": strings.Repeat("a=1\n", 24_000),
		"unknown keys":   "version=1\nhost={" + numbered("key%d=1,", 20_000) + "}\n",
		"bad names":      "version=1\n" + numbered("[plugins.A%d]\nwasm=''\n", 15_000),
		"NUL":            fill("\x00"),
		"bad UTF-8":      fill("\xff"),
		"empty tables":   "a=[" + fill("{},") + "]",
		"open string":    "a=\"\"\"" + fill("\\\n"),
		"quotes":         "a=" + fill("\""),
		"comments":       fill("#\n"),
		"long key":       fill("a") + "=1",
		"long number":    "a=" + fill("1_") + "1",
		"blanks":         "a=" + fill(" "),
	} {
		start := time.Now()
		_, problems := Parse("hostile.toml", []byte(src))
		took := time.Since(start)
		t.Logf("%-13s %7d bytes %4d ms %v", name, len(src), took.Milliseconds(), flow.CodeOf(problems))
		if len(problems.Errors()) == 0 {
			t.Errorf("%s is accepted", name)
		}
		if took > 10*time.Second {
			t.Errorf("%s takes %v", name, took)
		}
		if text := problems.Error(); len(text) > 100_000 {
			t.Errorf("%s gives a report of %d bytes", name, len(text))
		}
	}
}
