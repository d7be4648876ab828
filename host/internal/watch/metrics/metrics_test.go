package metrics

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// ledger is one that a test writes.
type ledger struct {
	events []flow.Event
	ended  []flow.RunBrief
}

func (*ledger) Changed() <-chan struct{}                 { return nil }
func (*ledger) LastEvent(context.Context) (int64, error) { return 0, nil }

func (l *ledger) Events(_ context.Context, q flow.EventQuery) ([]flow.Event, error) {
	return l.events[q.After:min(len(l.events), int(q.After)+q.Limit)], nil
}

func (l *ledger) Ended(_ context.Context, after int64, _ int) ([]flow.RunBrief, int64, error) {
	return l.ended[after:], int64(len(l.ended)), nil
}

func (l *ledger) add(e flow.Event) {
	e.Seq = int64(len(l.events) + 1)
	l.events = append(l.events, e)
}

// rig is metrics of a ledger and names that a test plays.
type rig struct {
	*testing.T
	*Metrics
	ledger ledger
	known  Known
	snap   Snapshot
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{T: t, known: Known{
		Tenants:   []string{"default", "acme", "zeta"},
		Pipelines: []Name{{Tenant: "acme", Name: "load"}, {Tenant: "zeta", Name: "secret-plan"}, {Tenant: "default", Name: "own"}},
		Schedules: []Name{{Tenant: "acme", Name: "hourly", Delay: 2 * time.Second}},
	}}
	r.Metrics = New(Config{
		Ledger: &r.ledger, Version: "v9", Logger: slog.New(slog.DiscardHandler), Pipelines: 8, Schedules: 8,
		Known: func(context.Context) (Known, error) { return r.known, nil },
		Now:   func(context.Context) (Snapshot, error) { return r.snap, nil },
	})
	return r
}

func (r *rig) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

func (r *rig) scrape(tenant string) string {
	r.Helper()
	w := httptest.NewRecorder()
	r.Handler(tenant).ServeHTTP(w, httptest.NewRequestWithContext(r.Context(), "GET", "/metrics", nil))
	if w.Code != 200 {
		r.Fatalf("scrape of %q: %d %s", tenant, w.Code, w.Body)
	}
	return w.Body.String()
}

// has looks for whole lines.
func (r *rig) has(text string, lines ...string) {
	r.Helper()
	for _, line := range lines {
		if !slices.Contains(strings.Split(text, "\n"), line) {
			name, _, _ := strings.Cut(line, "{")
			r.Errorf("no line %s among\n%s", line, strings.Join(regexp.MustCompile("(?m)^"+name+".*$").FindAllString(text, -1), "\n"))
		}
	}
}

// fill writes one run of everything: its slot came due at 10:00:02 and it started half a second late.
func (r *rig) fill() {
	slot := time.Date(2026, 11, 1, 10, 0, 0, 0, time.UTC)
	started, ended := slot.Add(2500*time.Millisecond), slot.Add(10*time.Second)
	run := flow.SlotRunID("acme", "load", "hourly", slot)
	retry := ended
	of := func(kind flow.EventKind, at time.Time) flow.Event {
		return flow.Event{At: at, Kind: kind, Tenant: "acme", Pipeline: "load", Schedule: "hourly", Run: run, Step: "fetch", Attempt: 1}
	}
	r.ledger.add(of(flow.AttemptStarted, started))
	tried := of(flow.AttemptEnded, started.Add(time.Second))
	tried.Ending, tried.RetryAt = flow.Ending{Outcome: flow.Failed, Reason: flow.ReasonPlugin, Message: "words of a plugin"}, &retry
	tried.Usage = &flow.Usage{Memory: 3 << 20, Fuel: 40, HostCalls: 2, Log: 7}
	r.ledger.add(tried)
	step := of(flow.StepEnded, started.Add(3*time.Second))
	step.Outcome = flow.Succeeded
	r.ledger.add(step)
	r.ledger.add(of(flow.EventEmitted, started))
	missed, err := json.Marshal(flow.SlotRecord{Count: 5, Ending: flow.SlotMissed, Reason: flow.ReasonDowntime})
	r.must(err)
	slots := of(flow.SlotEnded, ended)
	slots.Detail = missed
	r.ledger.add(slots)
	opened := of(flow.IncidentOpened, ended)
	opened.Detail = json.RawMessage(`{"condition":"failed"}`)
	r.ledger.add(opened)
	r.ledger.add(of(flow.AlertFailed, ended))
	r.ledger.ended = append(r.ledger.ended,
		flow.RunBrief{ID: run, Tenant: "acme", Pipeline: "load", Schedule: "hourly", Kind: flow.TriggerSchedule, State: flow.StateEnded, Ending: flow.Ending{Outcome: flow.Succeeded}, StartedAt: &started, EndedAt: &ended},
		flow.RunBrief{ID: flow.NewRunID(slot), Tenant: "zeta", Pipeline: "secret-plan", Kind: flow.TriggerManual, State: flow.StateEnded, Ending: flow.Ending{Outcome: flow.Failed, Reason: flow.ReasonStep}, StartedAt: &started, EndedAt: &ended},
	)
	r.snap = Snapshot{
		Tenants:   []flow.TenantInfo{{Name: "acme", Quota: &flow.Quota{Running: 4}, Usage: flow.TenantUsage{Running: 3, Queued: 2}}, {Name: "zeta"}},
		Incidents: []flow.Incident{{Tenant: "acme", Condition: flow.ConditionFailed}},
		Workers:   2,
	}
	r.must(r.follow(r.Context()))
}

// Promise: figures are those of the ledger; who may see one tenant sees its figures, and not one of another or of the process.
func TestFiguresAreThoseOfTheLedger(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.fill()
	r.Request("GET /v1/runs", 404)
	r.Request("", 200)
	all, acme := r.scrape(""), r.scrape("acme")
	own := []string{
		`uniflow_runs_ended_total{outcome="succeeded",pipeline="load",reason="",tenant="acme"} 1`,
		`uniflow_run_duration_seconds_sum{pipeline="load",tenant="acme"} 7.5`,
		`uniflow_start_lateness_seconds_sum{pipeline="load",tenant="acme"} 0.5`,
		`uniflow_slots_ended_total{ending="run",reason="",schedule="hourly",tenant="acme"} 1`,
		`uniflow_slots_ended_total{ending="missed",reason="downtime",schedule="hourly",tenant="acme"} 5`,
		`uniflow_attempts_ended_total{outcome="failed",reason="plugin",tenant="acme"} 1`,
		`uniflow_retries_total{pipeline="load",tenant="acme"} 1`,
		`uniflow_step_duration_seconds_sum{outcome="succeeded",tenant="acme"} 3`,
		`uniflow_fuel_total{pipeline="load",tenant="acme"} 40`,
		`uniflow_attempt_memory_bytes_bucket{tenant="acme",le="4.194304e+06"} 1`,
		`uniflow_host_calls_total{tenant="acme"} 2`,
		`uniflow_guest_bytes_total{kind="log",tenant="acme"} 7`,
		`uniflow_events_emitted_total{tenant="acme"} 1`,
		`uniflow_incidents_opened_total{condition="failed",tenant="acme"} 1`,
		`uniflow_incidents{condition="failed",tenant="acme"} 1`,
		`uniflow_alert_attempts_total{outcome="failed",tenant="acme"} 1`,
		`uniflow_runs_queued{tenant="acme"} 2`,
		`uniflow_quota_used{resource="running",tenant="acme"} 3`,
		`uniflow_quota_limit{resource="running",tenant="acme"} 4`,
	}
	r.has(acme, own...)
	r.has(all, own...)
	r.has(all,
		`uniflow_runs_ended_total{outcome="failed",pipeline="secret-plan",reason="step",tenant="zeta"} 1`, `uniflow_build_info{version="v9"} 1`, `uniflow_workers 2`,
		`uniflow_api_requests_total{route="GET /v1/runs",status="4xx"} 1`, `uniflow_api_requests_total{route="other",status="2xx"} 1`)
	for line := range strings.Lines(acme) {
		if !strings.HasPrefix(line, "#") && !strings.Contains(line, `tenant="acme"`) {
			t.Errorf("a tenant sees %s", line)
		}
	}
	for _, gone := range []string{"secret-plan", "zeta", "words of", string(r.ledger.ended[0].ID)} {
		if strings.Contains(acme, gone) {
			t.Errorf("a tenant sees %s", gone)
		}
	}
	if got := r.scrape("nobody"); strings.Contains(got, "uniflow_") {
		t.Errorf("a tenant that is none sees %s", got)
	}
}

// Promise: names are told apart up to a bound, for each tenant and for all, and what is gone leaves nothing.
func TestLabelsAreBounded(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	end := func(tenant, pipeline string) {
		r.ledger.ended = append(r.ledger.ended, flow.RunBrief{Tenant: tenant, Pipeline: pipeline, State: flow.StateEnded, Ending: flow.Ending{Outcome: flow.Succeeded}})
	}
	r.known.Pipelines = nil
	for i := range 5 {
		r.known.Pipelines = append(r.known.Pipelines, Name{Tenant: "acme", Name: fmt.Sprint("p", i)})
		end("acme", fmt.Sprint("p", i))
	}
	end("acme", "never-there")
	end("no-such-tenant", "p")
	r.must(r.follow(r.Context()))
	r.has(r.scrape(""), `uniflow_runs_ended_total{outcome="succeeded",pipeline="p1",reason="",tenant="acme"} 1`, `uniflow_runs_ended_total{outcome="succeeded",pipeline="other",reason="",tenant="acme"} 4`)

	r.known.Pipelines = []Name{{Tenant: "acme", Name: "p4"}}
	r.known.Tenants = []string{"acme"}
	r.read = time.Time{}
	end("acme", "p4")
	r.must(r.follow(r.Context()))
	all := r.scrape("")
	r.has(all, `uniflow_runs_ended_total{outcome="succeeded",pipeline="p4",reason="",tenant="acme"} 1`)
	for _, gone := range []string{`"p1"`, "zeta", "no-such-tenant", "never-there"} {
		if strings.Contains(all, gone) {
			t.Errorf("%s is still there", gone)
		}
	}
}

// Promise: docs/OBSERVE.md lists the figures that there are, no more and no less.
func TestTheDocumentListsAllFigures(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.fill()
	r.Request("", 200)
	page, err := os.ReadFile(filepath.Join("..", "..", "..", "..", "docs", "OBSERVE.md"))
	r.must(err)
	named := func(text, pattern string) []string {
		var all []string
		for _, hit := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
			all = append(all, hit[1])
		}
		slices.Sort(all)
		return slices.Compact(all)
	}
	got, want := named(string(page), "(?m)^\\| `(uniflow_[a-z_]+)`"), named(r.scrape(""), "(?m)^# TYPE (uniflow_[a-z_]+) ")
	if !slices.Equal(got, want) {
		t.Errorf("documented\n%s\nexposed\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// BenchmarkScrape is one scrape of a host with 1,000 pipelines of 100 tenants, each with a history.
func BenchmarkScrape(b *testing.B) {
	l := &ledger{}
	known := Known{}
	now := time.Now()
	for i := range 1000 {
		tenant, name := fmt.Sprint("t", i/10), fmt.Sprint("pipeline-", i)
		if i%10 == 0 {
			known.Tenants = append(known.Tenants, tenant)
		}
		known.Pipelines = append(known.Pipelines, Name{Tenant: tenant, Name: name})
		known.Schedules = append(known.Schedules, Name{Tenant: tenant, Name: name})
		l.ended = append(l.ended, flow.RunBrief{
			ID: flow.SlotRunID(tenant, name, name, now), Tenant: tenant, Pipeline: name, Schedule: name, Kind: flow.TriggerSchedule, State: flow.StateEnded,
			Ending: flow.Ending{Outcome: flow.Succeeded}, StartedAt: &now, EndedAt: &now,
		})
	}
	m := New(Config{
		Ledger: l, Logger: slog.New(slog.DiscardHandler),
		Known: func(context.Context) (Known, error) { return known, nil },
		Now:   func(context.Context) (Snapshot, error) { return Snapshot{}, nil },
	})
	if err := m.follow(b.Context()); err != nil {
		b.Fatal(err)
	}
	size := 0
	for b.Loop() {
		w := httptest.NewRecorder()
		m.Handler("").ServeHTTP(w, httptest.NewRequestWithContext(b.Context(), "GET", "/metrics", nil))
		size = w.Body.Len()
	}
	b.ReportMetric(float64(size)/1e6, "MB")
}
