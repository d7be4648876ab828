package host_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host"
	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/api"
)

// verb is one call of a control.
type verb struct {
	name string
	do   func(flow.Control) (any, error)
}

// ofItsOwn are what two hosts cannot have in common: run ids, instants of now, and times that something took.
var ofItsOwn = regexp.MustCompile(`[0-9A-HJKMNP-TV-Z]{26}|20[2-9]\d-\d\d-\d\d[T ][0-9:.]+Z|"(took|duration|fuel|memory|host_calls|cpu|wall)": ?[^,}]+|"usage":\{[^}]*\}`)

// alike writes an answer or an error such that those of two hosts can be compared.
func alike(dir string, answer any, err error) string {
	raw, _ := json.Marshal(answer)
	text := string(raw)
	if err != nil {
		text = fmt.Sprintf("%s: %s; not found %t; %+v", flow.CodeOf(err), strings.TrimSuffix(err.Error(), ": "+flow.ErrNotFound.Error()), errors.Is(err, flow.ErrNotFound), asProblems(err))
		if e, ok := errors.AsType[*flow.Error](err); ok {
			text += "; help: " + e.Hint
		}
	}
	return ofItsOwn.ReplaceAllString(strings.ReplaceAll(text, dir, "DIR"), "X")
}

// said is a request as the name of a call.
func said(request any) string {
	raw, _ := json.Marshal(request)
	return fmt.Sprintf("%.100s", raw)
}

// settled waits for the end of a run and returns it as what a verb has answered.
func settled(t *testing.T, c flow.Control, id flow.RunID, err error) (any, error) {
	t.Helper()
	if err != nil {
		return nil, err
	}
	if err := c.Follow(t.Context(), flow.EventQuery{Run: id}, func(flow.Event) bool { return true }); err != nil {
		return nil, err
	}
	return c.Run(t.Context(), string(id))
}

const controlled = `version = 1
[plugins]
echo = { wasm = "echo.wasm" }
[pipelines.hello]
plugin        = "echo"
schedule      = "daily 02:00"
params.year   = { type = "integer", default = 2015, min = 1948 }
[pipelines.chain]
steps.first  = { plugin = "echo" }
steps.second = { plugin = "echo", with = { x = "${steps.first.none}" } }
`

// TestWritingVerbsAnswerAlike does to a host in this process and to one behind its API what can be done to a host, right
// and wrong, in the same order: each answer and each error is the same, and so is what is recorded in the end.
func TestWritingVerbsAnswerAlike(t *testing.T) {
	t.Parallel()
	near, far := t.TempDir(), t.TempDir()
	here := begin(t, host.Config{Manifest: manifest(t, near, controlled)})
	there := begin(t, host.Config{Manifest: manifest(t, far, controlled), API: &host.API{Listen: "none"}})
	for _, h := range []*host.Host{here, there} {
		if err := h.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	client := api.NewSocketClient(host.SocketPath(filepath.Join(far, "data")))
	for _, v := range writingVerbs(t) {
		answer, err := v.do(here)
		want := alike(near, answer, err)
		answer, err = v.do(client)
		if got := alike(far, answer, err); got != want {
			t.Errorf("%s over the API:\n     %s\nwant %s", v.name, got, want)
		}
	}
	// A name that a path of a URL would swallow names nothing, and above all not everything.
	for _, v := range nameVerbs(t, "", ".", "..") {
		for where, c := range map[string]flow.Control{"here": here, "over the API": client} {
			if _, err := v.do(c); flow.CodeOf(err) != flow.CodeNotFound || !errors.Is(err, flow.ErrNotFound) {
				t.Errorf("%s %s: got %v", v.name, where, err)
			}
		}
	}
	if infos, err := client.Schedules(t.Context()); err != nil || len(infos) != 2 {
		t.Errorf("schedules %+v, %v", infos, err)
	}
}

func writingVerbs(t *testing.T) []verb {
	t.Helper()
	odd := nameVerbs(t, "../info", "a/b", "acme/hello", "%2e%2e", "ü ☃", "a?b=c#d", "\x00\n", strings.Repeat("n", 300), strings.Repeat("n/", 3000))
	return slices.Concat(runVerbs(t), scheduleVerbs(t), odd)
}

// year is a context of one value.
func year(text string) map[string]json.RawMessage {
	return map[string]json.RawMessage{"year": json.RawMessage(text)}
}

func runVerbs(t *testing.T) []verb {
	t.Helper()
	ctx := t.Context()
	start := func(r flow.RunRequest) verb {
		return verb{"run " + said(r), func(c flow.Control) (any, error) {
			record, err := c.StartRun(ctx, r)
			return settled(t, c, record.ID, err)
		}}
	}
	rerun := func(r flow.RerunRequest) verb {
		return verb{"rerun " + said(r), func(c flow.Control) (any, error) {
			record, err := c.Rerun(ctx, r)
			return settled(t, c, record.ID, err)
		}}
	}
	all := func(r flow.RerunAllRequest) verb {
		return verb{"rerun all " + said(r), func(c flow.Control) (any, error) {
			report, err := c.RerunAll(ctx, r)
			for _, m := range report.Runs {
				if m.Rerun != "" {
					if _, err := settled(t, c, m.Rerun, err); err != nil {
						t.Error(err)
					}
				}
			}
			return report, err
		}}
	}
	cancel := func(r flow.CancelAllRequest) verb {
		return verb{"cancel all " + said(r), func(c flow.Control) (any, error) { return c.CancelAll(ctx, r) }}
	}
	id := flow.NewRunID(time.Now())
	chain := flow.RunFilter{Pipeline: "chain"}
	return []verb{
		start(flow.RunRequest{Pipeline: "hello"}), start(flow.RunRequest{Pipeline: "default/hello", Context: year("2013")}), start(flow.RunRequest{Pipeline: "chain"}),
		start(flow.RunRequest{Pipeline: "hello", Context: year("1900")}), start(flow.RunRequest{Pipeline: "hello", Context: year(`"x"`)}),
		start(flow.RunRequest{Pipeline: "hello", Context: map[string]json.RawMessage{"yaer": json.RawMessage("1")}}),
		start(flow.RunRequest{Pipeline: "hallo"}), start(flow.RunRequest{}), start(flow.RunRequest{Pipeline: "other/hello"}),
		start(flow.RunRequest{Pipeline: "hello", ID: id}), start(flow.RunRequest{Pipeline: "hello", ID: id}), start(flow.RunRequest{Pipeline: "chain", ID: id}),
		start(flow.RunRequest{Pipeline: "hello", ID: "../../x"}), start(flow.RunRequest{Pipeline: "hello", ID: flow.RunID(strings.Repeat("0", 1000))}),
		rerun(flow.RerunRequest{Run: "@last"}), rerun(flow.RerunRequest{Run: string(id), Context: year("2014")}), rerun(flow.RerunRequest{Run: string(id), Context: year("1")}),
		rerun(flow.RerunRequest{Run: string(id), Failed: true}), rerun(flow.RerunRequest{Run: string(id), FromStep: "nain"}), rerun(flow.RerunRequest{Run: string(id), FromStep: "main", OnlyStep: "main"}),
		rerun(flow.RerunRequest{Run: "0"}), rerun(flow.RerunRequest{}), rerun(flow.RerunRequest{Run: "zz"}), rerun(flow.RerunRequest{Run: "@first"}),
		all(flow.RerunAllRequest{RunFilter: chain}), all(flow.RerunAllRequest{RunFilter: chain, Confirm: new(7)}), all(flow.RerunAllRequest{RunFilter: chain, Failed: true, Confirm: new(1)}),
		all(flow.RerunAllRequest{RunFilter: flow.RunFilter{Pipeline: "chian"}}), all(flow.RerunAllRequest{}), all(flow.RerunAllRequest{RunFilter: chain, OnlyStep: "x"}),
		all(flow.RerunAllRequest{RunFilter: flow.RunFilter{Pipeline: "chain", Outcome: "bad"}}), all(flow.RerunAllRequest{RunFilter: flow.RunFilter{Pipeline: "chain", Since: day(4), Until: day(3)}}),
		cancel(flow.CancelAllRequest{Pipeline: "hello"}), cancel(flow.CancelAllRequest{Pipeline: "hello", Confirm: new(1)}), cancel(flow.CancelAllRequest{Pipeline: "hello", State: "ended"}),
		cancel(flow.CancelAllRequest{Pipeline: "hallo", Confirm: new(0)}),
		{"cancel an ended run", func(c flow.Control) (any, error) { return c.Cancel(ctx, "@last") }},
		{"cancel no run", func(c flow.Control) (any, error) { return c.Cancel(ctx, flow.RunID(strings.Repeat("0", 26))) }},
		{"runs", func(c flow.Control) (any, error) { return c.Runs(ctx, flow.RunQuery{Limit: 100}) }},
	}
}

func scheduleVerbs(t *testing.T) []verb {
	t.Helper()
	ctx := t.Context()
	add := func(s flow.Schedule) verb {
		return verb{"add " + said(s), func(c flow.Control) (any, error) { return c.AddSchedule(ctx, s) }}
	}
	enable := func(name string, on bool) verb {
		return verb{fmt.Sprintf("enable %.50s %t", name, on), func(c flow.Control) (any, error) { return c.SetEnabled(ctx, name, on) }}
	}
	unschedule := func(name string) verb {
		return verb{"unschedule " + name, func(c flow.Control) (any, error) { return nil, c.Unschedule(ctx, name) }}
	}
	backfill := func(r flow.BackfillRequest) verb {
		return verb{"backfill " + said(r), func(c flow.Control) (any, error) {
			report, err := c.Backfill(ctx, r)
			for _, s := range report.Slots {
				if s.Run != "" {
					if _, err := settled(t, c, s.Run, err); err != nil {
						t.Error(err)
					}
				}
			}
			return report, err
		}}
	}
	clearAll := verb{"clear", func(c flow.Control) (any, error) { return c.Clear(ctx) }}
	return []verb{
		add(flow.Schedule{Name: "more", Pipeline: "hello", At: "hourly :05", Context: year("2013")}), add(flow.Schedule{Name: "more", Pipeline: "hello", At: "hourly :10"}),
		add(flow.Schedule{Name: "more", Pipeline: "chain", At: "hourly :10"}), add(flow.Schedule{Name: "hello", Pipeline: "hello", At: "hourly :10"}),
		add(flow.Schedule{Name: "a b", Pipeline: "hello", At: "hourly :10"}), add(flow.Schedule{Name: "", Pipeline: "hello", At: "hourly :10"}), add(flow.Schedule{Name: strings.Repeat("n", 65), Pipeline: "hello", At: "hourly :10"}),
		add(flow.Schedule{Name: "odd", Pipeline: "hello", At: "dayly 2"}), add(flow.Schedule{Name: "odd", Pipeline: "hello", At: ""}), add(flow.Schedule{Name: "odd", Pipeline: "hello", At: "daily 25:00"}),
		add(flow.Schedule{Name: "odd", Pipeline: "hello", At: "hourly :10", Timezone: "Europe/Belrin"}), add(flow.Schedule{Name: "odd", Pipeline: "hello", At: "hourly :10", Overlap: "queue"}),
		add(flow.Schedule{Name: "odd", Pipeline: "hello", At: "hourly :10", Context: year("1")}), add(flow.Schedule{Name: "odd", Pipeline: "hallo", At: "hourly :10"}),
		add(flow.Schedule{Name: "odd", Pipeline: "hello", At: "hourly :10", Catchup: flow.Catchup{Runs: "some"}}),
		enable("more", false), enable("more", false), enable("more", true), enable("hello", false), enable("hello", true), enable("none", true), enable("none", false), enable("default/hello", false),
		backfill(flow.BackfillRequest{Name: "hello", From: day(1), To: day(3), DryRun: true}), backfill(flow.BackfillRequest{Name: "hello", From: day(1), To: day(3)}),
		backfill(flow.BackfillRequest{Name: "hello", From: day(1), To: day(4), MissingOnly: true}), backfill(flow.BackfillRequest{Name: "hello", From: day(3), To: day(1)}),
		backfill(flow.BackfillRequest{Name: "hello", From: day(1), To: day(9), Max: 2}), backfill(flow.BackfillRequest{Name: "hello", From: day(1), To: day(9), Max: -1}), backfill(flow.BackfillRequest{Name: "hello"}),
		backfill(flow.BackfillRequest{Name: "none", From: day(1)}), backfill(flow.BackfillRequest{Name: "chain", From: day(1)}), backfill(flow.BackfillRequest{From: day(1)}),
		{"schedules", func(c flow.Control) (any, error) { return c.Schedules(ctx) }},
		unschedule("hello"), unschedule("more"), unschedule("more"), clearAll,
		add(flow.Schedule{Name: "more", Pipeline: "hello", At: "hourly :05"}), clearAll, clearAll,
		add(flow.Schedule{Name: "kept", Pipeline: "hello", At: "hourly :05"}),
		{"save", func(c flow.Control) (any, error) { return c.SaveVersion(ctx, "hello", map[string]string{"by": "ada"}) }},
		{"save nothing", func(c flow.Control) (any, error) { return c.SaveVersion(ctx, "hello", nil) }},
		{"save of none", func(c flow.Control) (any, error) { return c.SaveVersion(ctx, "hallo", nil) }},
		{"versions", func(c flow.Control) (any, error) { return c.Versions(ctx, "hello") }},
		{"set state", func(c flow.Control) (any, error) {
			return c.SetState(ctx, "hello", flow.StateChange{Set: map[string]json.RawMessage{"n": json.RawMessage(`{"a":1}`)}})
		}},
		{"delete nothing", func(c flow.Control) (any, error) {
			return c.SetState(ctx, "hello", flow.StateChange{Delete: []string{"m"}})
		}},
		{"state", func(c flow.Control) (any, error) { return c.State(ctx, "hello") }},
	}
}

// nameVerbs name what does not exist, in all ways that a path of a URL could get wrong.
func nameVerbs(t *testing.T, names ...string) []verb {
	t.Helper()
	ctx := t.Context()
	var all []verb
	for _, name := range names {
		all = append(all,
			verb{fmt.Sprintf("enable %.20q", name), func(c flow.Control) (any, error) { return c.SetEnabled(ctx, name, true) }},
			verb{fmt.Sprintf("unschedule %.20q", name), func(c flow.Control) (any, error) { return nil, c.Unschedule(ctx, name) }},
			verb{fmt.Sprintf("cancel %.20q", name), func(c flow.Control) (any, error) { return c.Cancel(ctx, flow.RunID(name)) }},
			verb{fmt.Sprintf("run %.20q", name), func(c flow.Control) (any, error) { return c.StartRun(ctx, flow.RunRequest{Pipeline: name}) }},
			verb{fmt.Sprintf("rerun %.20q", name), func(c flow.Control) (any, error) { return c.Rerun(ctx, flow.RerunRequest{Run: name}) }},
			verb{fmt.Sprintf("backfill %.20q", name), func(c flow.Control) (any, error) {
				return c.Backfill(ctx, flow.BackfillRequest{Name: name, From: day(1)})
			}},
			verb{fmt.Sprintf("save %.20q", name), func(c flow.Control) (any, error) { return c.SaveVersion(ctx, name, nil) }},
			verb{fmt.Sprintf("show %.20q", name), func(c flow.Control) (any, error) { return c.Run(ctx, name) }},
			verb{fmt.Sprintf("pipeline %.20q", name), func(c flow.Control) (any, error) { return c.Pipeline(ctx, name) }},
			verb{fmt.Sprintf("next %.20q", name), func(c flow.Control) (any, error) { return c.Next(ctx, name, day(1), 1) }},
			verb{fmt.Sprintf("try alert %.20q", name), func(c flow.Control) (any, error) { return c.TestAlert(ctx, name) }},
			verb{fmt.Sprintf("why %.20q", name), func(c flow.Control) (any, error) { return c.Why(ctx, name, day(1)) }},
		)
	}
	return all
}
