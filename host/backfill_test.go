package host_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host"
	"github.com/uniflow-dev/uniflow/host/flow"
)

// day is the n-th of March 2026.
func day(n int) time.Time { return time.Date(2026, 3, n, 2, 30, 0, 0, time.UTC) }

// daily opens a host with a pipeline "p", run daily at 02:30 by a schedule of its name, whose step fails on the named days.
func daily(t *testing.T, fails map[int]bool) (*host.Host, func() string) {
	t.Helper()
	h := begin(t, host.Config{Data: t.TempDir()})
	var mu sync.Mutex
	var order []string
	define(t, h, flow.Pipeline{Name: "p"}, func(_ context.Context, c *host.Call) error {
		mu.Lock()
		defer mu.Unlock()
		order = append(order, c.ScheduledAt.Format("02"))
		if fails[c.ScheduledAt.Day()] {
			return host.Permanent(errors.New("no data"))
		}
		return nil
	})
	if err := h.ScheduleDaily(t.Context(), "p", "p", 2, 30, nil); err != nil {
		t.Fatal(err)
	}
	return h, func() string {
		mu.Lock()
		defer mu.Unlock()
		text := strings.Join(order, " ")
		order = nil
		return text
	}
}

// backfill asks for a backfill and waits for the end of its runs.
func backfill(t *testing.T, h *host.Host, r flow.BackfillRequest) flow.BackfillReport {
	t.Helper()
	report, err := h.Backfill(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range report.Slots {
		if s.Run == "" {
			continue
		}
		if err := h.Follow(t.Context(), flow.EventQuery{Run: s.Run}, func(flow.Event) bool { return true }); err != nil {
			t.Fatal(err)
		}
	}
	return report
}

func TestBackfillRunsTheSlotsInOrder(t *testing.T) {
	t.Parallel()
	fails := map[int]bool{4: true}
	h, called := daily(t, fails)
	march := flow.BackfillRequest{Name: "p", From: day(3), To: day(6)}
	dry := march
	dry.DryRun = true
	if got := backfill(t, h, dry); len(got.Slots) != 4 || got.Slots[0].Run != "" || !got.DryRun || !got.Slots[0].At.Equal(day(3)) || !got.Slots[3].At.Equal(day(6)) {
		t.Errorf("a dry run: %+v", got)
	}
	if runs, err := h.Runs(t.Context(), flow.RunQuery{}); err != nil || len(runs) != 0 {
		t.Errorf("a dry run has made %d runs, %v", len(runs), err)
	}
	got := backfill(t, h, march)
	if order := called(); order != "03 04 05 06" || len(got.Slots) != 4 || got.Schedule != "p" || got.Pipeline != "p" {
		t.Errorf("ran %s: %+v", order, got)
	}
	record, err := h.Run(t.Context(), string(got.Slots[1].Run))
	if err != nil || record.Outcome != flow.Failed || record.Trigger.Kind != flow.TriggerBackfill || record.Trigger.Schedule != "p" || !record.Trigger.ScheduledAt.Equal(day(4)) ||
		!record.Trigger.IntervalStart.Equal(day(3)) || !record.Trigger.IntervalEnd.Equal(day(4)) {
		t.Errorf("%+v, %v", record, err)
	}

	missing := march
	missing.MissingOnly = true
	delete(fails, 4)
	if got := backfill(t, h, missing); len(got.Slots) != 1 || got.Left != 3 || called() != "04" {
		t.Errorf("what was missing: %+v", got)
	}
	if got := backfill(t, h, missing); len(got.Slots) != 0 || got.Left != 4 || called() != "" {
		t.Errorf("when nothing is missing: %+v", got)
	}
	if got := backfill(t, h, march); len(got.Slots) != 4 || called() != "03 04 05 06" {
		t.Errorf("all of it again: %+v", got)
	}
	if slots, err := h.Slots(t.Context(), flow.SlotQuery{Schedule: "p"}); err != nil || len(slots) != 0 {
		t.Errorf("a backfill has written to the record of slots: %+v, %v", slots, err)
	}
}

// Runs of a backfill are rows in the queue: they wait behind a live run, one at a time, survive the host, and count as on
// their way.
func TestBackfillWaitsInTheQueue(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	h, err := host.Open(t.Context(), host.Config{Data: data, Drain: -1})
	if err != nil {
		t.Fatal(err)
	}
	entered := make(chan struct{})
	define(t, h, flow.Pipeline{Name: "p"}, func(ctx context.Context, _ *host.Call) error {
		close(entered)
		<-ctx.Done()
		return ctx.Err()
	})
	if err := h.ScheduleDaily(t.Context(), "p", "p", 2, 30, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := h.StartRun(t.Context(), flow.RunRequest{Pipeline: "p"}); err != nil {
		t.Fatal(err)
	}
	<-entered
	r := flow.BackfillRequest{Name: "p", From: day(1), To: day(10), MissingOnly: true}
	report, err := h.Backfill(t.Context(), r)
	if err != nil || len(report.Slots) != 10 {
		t.Fatalf("%+v, %v", report, err)
	}
	if again, err := h.Backfill(t.Context(), r); err != nil || len(again.Slots) != 0 || again.Left != 10 {
		t.Errorf("slots that are on their way: %+v, %v", again, err)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	h = begin(t, host.Config{Data: data})
	var order []string
	define(t, h, flow.Pipeline{Name: "p"}, func(_ context.Context, c *host.Call) error {
		order = append(order, c.ScheduledAt.Format("02"))
		return nil
	})
	if err := h.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := h.Follow(t.Context(), flow.EventQuery{Run: report.Slots[9].Run}, func(flow.Event) bool { return true }); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(order, " "); got != "01 02 03 04 05 06 07 08 09 10" {
		t.Errorf("ran %s", got)
	}
}

// A slot that is due is for its schedule, unless that is disabled: what is missing is what nobody takes.
func TestBackfillOfWhatIsMissingLeavesDueSlots(t *testing.T) {
	t.Parallel()
	h := begin(t, host.Config{Data: t.TempDir()})
	define(t, h, flow.Pipeline{Name: "p"}, func(context.Context, *host.Call) error { return nil })
	if err := h.ScheduleInterval(t.Context(), "often", "p", time.Second, nil); err != nil {
		t.Fatal(err)
	}
	slot := time.Now().Truncate(time.Second).Add(time.Second)
	<-time.After(time.Until(slot)) // the host was not started, so nothing else happens
	r := flow.BackfillRequest{Name: "often", From: slot, To: slot, MissingOnly: true, DryRun: true}
	if got := backfill(t, h, r); len(got.Slots) != 0 || got.Left != 1 {
		t.Errorf("a slot that is due: %+v", got)
	}
	if err := h.Disable(t.Context(), "often"); err != nil {
		t.Fatal(err)
	}
	if got := backfill(t, h, r); len(got.Slots) != 1 || got.Left != 0 {
		t.Errorf("of a disabled schedule: %+v", got)
	}
}

// A slot's own run is named, and its record stays.
func TestBackfillLinksToTheSlotsRun(t *testing.T) {
	t.Parallel()
	h := begin(t, host.Config{Data: t.TempDir()})
	define(t, h, flow.Pipeline{Name: "p"}, func(context.Context, *host.Call) error { return nil })
	if err := errors.Join(h.ScheduleInterval(t.Context(), "often", "p", time.Second, nil), h.Start(t.Context())); err != nil {
		t.Fatal(err)
	}
	ran := func(s []flow.SlotRecord) bool { return len(s) > 0 && s[0].Run != "" }
	slot := awaitSlots(t, h, "often", ran)[0]
	if err := h.Disable(t.Context(), "often"); err != nil {
		t.Fatal(err)
	}
	got := backfill(t, h, flow.BackfillRequest{Name: "p", From: slot.To, To: slot.To})
	if len(got.Slots) != 1 || got.Slots[0].Of != slot.Run || got.Slots[0].Run == slot.Run || got.Schedule != "often" {
		t.Errorf("%+v", got)
	}
	for _, s := range awaitSlots(t, h, "often", ran) {
		if s.To.Equal(slot.To) && s != slot {
			t.Errorf("the slot was %+v and is %+v", slot, s)
		}
	}
}

func TestBackfillRefusesWithTheNearestRange(t *testing.T) {
	t.Parallel()
	h, called := daily(t, nil)
	for _, name := range []string{"none", "two"} {
		define(t, h, flow.Pipeline{Name: name}, func(context.Context, *host.Call) error { return nil })
	}
	for _, name := range []string{"morning", "evening"} {
		if err := h.ScheduleInterval(t.Context(), name, "two", time.Second, nil); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now()
	for name, c := range map[string]struct {
		r     flow.BackfillRequest
		code  flow.Code
		words []string
	}{
		"unknown name":          {flow.BackfillRequest{Name: "q", From: day(1)}, flow.CodeNotFound, []string{`"q"`, "evening, morning, p"}},
		"no schedule":           {flow.BackfillRequest{Name: "none", From: day(1)}, flow.CodeBackfill, []string{"no schedule"}},
		"several schedules":     {flow.BackfillRequest{Name: "two", From: day(1)}, flow.CodeBackfill, []string{"evening", "morning", "uniflow runs backfill evening"}},
		"from after to":         {flow.BackfillRequest{Name: "p", From: day(9), To: day(3)}, flow.CodeBackfill, []string{"--from 2026-03-03T02:30:00Z --to 2026-03-09T02:30:00Z"}},
		"no from":               {flow.BackfillRequest{Name: "p"}, flow.CodeBackfill, []string{"from is missing", "--from 20"}},
		"to in the future":      {flow.BackfillRequest{Name: "p", From: day(1), To: now.Add(time.Hour)}, flow.CodeBackfill, []string{"has not come yet", "--to 20"}},
		"from in the future":    {flow.BackfillRequest{Name: "p", From: now.Add(time.Hour)}, flow.CodeBackfill, []string{"has not come yet", "--from 20"}},
		"more than the bound":   {flow.BackfillRequest{Name: "p", From: day(1), To: day(10), Max: 3}, flow.CodeBackfill, []string{"of 10 runs", "--to 2026-03-03T02:30:00Z", "--max 10"}},
		"more than the default": {flow.BackfillRequest{Name: "evening", From: now.Add(-time.Hour), To: now}, flow.CodeBackfill, []string{"at most 1000", "--max 3600"}},
		"more than are read":    {flow.BackfillRequest{Name: "evening", From: day(1).AddDate(-9, 0, 0), To: day(1)}, flow.CodeBackfill, []string{"283996801 slots", "--to 2017-03-01T02:46:39Z"}},
		"a negative bound":      {flow.BackfillRequest{Name: "p", From: day(1), Max: -1}, flow.CodeBackfill, []string{"--max 1"}},
		"too large a bound":     {flow.BackfillRequest{Name: "p", From: day(1), Max: 10_001}, flow.CodeBackfill, []string{"--max 10000"}},
	} {
		_, err := h.Backfill(t.Context(), c.r)
		e, ok := errors.AsType[*flow.Error](err)
		if !ok || e.Code != c.code || e.Hint == "" {
			t.Errorf("%s: got %v, want code %s and a hint", name, err, c.code)
			continue
		}
		for _, word := range c.words {
			if !strings.Contains(e.Error()+" "+e.Hint, word) {
				t.Errorf("%s: %q, %q lacks %q", name, e.Error(), e.Hint, word)
			}
		}
	}
	if err := h.Define(t.Context(), flow.Pipeline{Name: "p", Params: map[string]flow.Param{"year": {Type: "integer", Required: true}}, Steps: map[string]flow.Step{"do": {Plugin: "p"}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Backfill(t.Context(), flow.BackfillRequest{Name: "p", From: day(1), To: day(2)}); flow.CodeOf(err) != flow.CodeBackfill || !strings.Contains(err.Error(), `"year" must be given`) {
		t.Errorf("a schedule whose runs cannot be made: %v", err)
	}
	if runs, err := h.Runs(t.Context(), flow.RunQuery{}); err != nil || len(runs) != 0 || called() != "" {
		t.Errorf("%d runs are recorded, %v", len(runs), err)
	}
}
