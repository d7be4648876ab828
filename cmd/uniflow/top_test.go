package main

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/uniflow-dev/uniflow/host/flow"
)

const hostile = "\x1b]0;pwned\x07\r\n\u202e evil"

// busy is a host whose names and words are hostile.
type busy struct {
	flow.Control

	looked chan struct{}
}

func (busy) Info(context.Context) (flow.HostInfo, error) {
	return flow.HostInfo{Version: "v9" + hostile, Serving: true, Pipelines: 2, StartedAt: time.Now().Add(-time.Hour)}, nil
}

func (busy) Tenants(context.Context) ([]flow.TenantInfo, error) {
	return []flow.TenantInfo{
		{Name: "default"},
		{
			Name: "acme" + hostile, Refused: flow.Problems{{}}, Quota: &flow.Quota{Running: 16, FuelPerDay: 5_000_000, Memory: flow.GiB},
			Usage: flow.TenantUsage{Running: 3, Queued: 7, FuelPerDay: 1_234_567, Memory: 192 * flow.MiB},
		},
	}, nil
}

func (busy) Runs(_ context.Context, q flow.RunQuery) ([]flow.RunRecord, error) {
	slot := time.Now().Add(-10 * time.Second)
	started := slot.Add(3 * time.Second)
	r := flow.RunRecord{Run: flow.Run{
		ID: flow.SlotRunID("acme", "load", "s", slot), Tenant: "acme", Pipeline: "load", Trigger: flow.Trigger{Kind: flow.TriggerSchedule, Schedule: "s", ScheduledAt: slot},
	}, StartedAt: &started}
	if q.Outcome == flow.Failed {
		r.Ending = flow.Ending{Outcome: flow.Failed, Reason: flow.ReasonStep, Message: "because " + hostile}
	}
	return []flow.RunRecord{r}, nil
}

func (b busy) Run(ctx context.Context, _ string) (flow.RunRecord, error) {
	runs, err := b.Runs(ctx, flow.RunQuery{})
	runs[0].Steps = []flow.StepRecord{{Name: "fetch", State: flow.StateRunning, Attempts: []flow.AttemptRecord{{Attempt: 2}}}}
	return runs[0], err
}

func (busy) Schedules(context.Context) ([]flow.ScheduleInfo, error) {
	soon, later := time.Now().Add(time.Minute), time.Now().Add(time.Hour)
	return []flow.ScheduleInfo{{Name: "later", NextRun: &later}, {Name: "acme/s", NextRun: &soon, Delay: flow.Duration(time.Second)}}, nil
}

func (b busy) Health(context.Context) (flow.HostHealth, error) {
	if b.looked != nil {
		b.looked <- struct{}{}
	}
	return flow.HostHealth{Incidents: []flow.Incident{{Condition: flow.ConditionLate, Tenant: "acme", Pipeline: "load", Detail: hostile}}, Alerts: []flow.AlertHealth{{Name: "acme/ops", Pending: 2, Error: hostile}}}, nil
}

// Promise: top shows what matters of a host, and nothing that others have named can move the cursor or begin a line.
func TestTopShowsAHostAndNothingElse(t *testing.T) {
	t.Parallel()
	a := &app{out: newOutput(io.Discard), talk: newOutput(io.Discard)}
	report, err := (&top{control: busy{}}).look(t.Context(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	frame := a.frame(&report)
	text := strings.Join(frame, "\n")
	for _, want := range []string{
		"1 running, 7 queued", "3/16", "1.2M/5.0M", "192MiB/1.0GiB", "manifest refused", "acme/load", "fetch  2  ", " 2.0 s", "because ", "late ", "2 messages on the way", "uniflow v9",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Index(text, "acme/s") > strings.Index(text, "later") || strings.Index(text, "acme") > strings.Index(text, "default") {
		t.Errorf("the order is wrong:\n%s", text)
	}
	for _, l := range frame {
		if strings.ContainsFunc(l, func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) }) {
			t.Errorf("a line could do something to a terminal: %q", l)
		}
	}
}

// Promise: a terminal is as it was when top ends, whichever way; what is drawn fits into it.
func TestTopLeavesTheTerminalAsItWas(t *testing.T) {
	t.Parallel()
	var screenText bytes.Buffer
	a := &app{out: newOutput(&screenText), talk: newOutput(io.Discard), in: strings.NewReader("")}
	a.out.terminal, a.painting = true, true
	a.out.size = func() (int, int) { return 40, 8 }
	ctx, cancel := context.WithCancel(t.Context())
	host := busy{looked: make(chan struct{}, 10)}
	done := make(chan error)
	go func() { done <- a.watchTop(ctx, &top{control: host}) }()
	<-host.looked
	<-host.looked // the first frame is drawn by then
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	text := screenText.String()
	if !strings.HasPrefix(text, "\x1b[?1049h\x1b[?25l\x1b[H") || !strings.HasSuffix(text, "\x1b[?25h\x1b[?1049l") {
		t.Errorf("drawn %q", text)
	}
	first, _, _ := strings.Cut(strings.TrimPrefix(text, "\x1b[?1049h\x1b[?25l\x1b[H"), "\x1b[J")
	drawn := strings.Split(first, "\r\n")
	if len(drawn) != 8 || strings.Contains(first, "evil") && strings.Contains(first, "\u202e") {
		t.Errorf("%d lines: %q", len(drawn), drawn)
	}
	if got := cut("\x1b[1mabc\x1b[0mdef", 4); got != "\x1b[1mabc\x1b[0md" {
		t.Errorf("cut to %q", got)
	}

	for _, keys := range []string{"xq", "\x03", ""} {
		ended := make(chan struct{})
		go quitOn(strings.NewReader(keys), func() { close(ended) })
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			t.Errorf("%q does not end it", keys)
		}
	}
}
