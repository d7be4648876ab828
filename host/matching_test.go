package host_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/uniflow-dev/uniflow/host"
	"github.com/uniflow-dev/uniflow/host/flow"
)

// many asks for reruns and waits for their ends.
func many(t *testing.T, h *host.Host, r flow.RerunAllRequest) flow.MatchReport {
	t.Helper()
	report, err := h.RerunAll(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range report.Runs {
		if (m.Rerun != "") != report.Done {
			t.Errorf("done %t: %+v", report.Done, m)
		}
		if m.Rerun == "" {
			continue
		}
		if err := h.Follow(t.Context(), flow.EventQuery{Run: m.Rerun}, func(flow.Event) bool { return true }); err != nil {
			t.Fatal(err)
		}
	}
	return report
}

// days are the days of the runs of a report.
func days(r *flow.MatchReport) string {
	var all []string
	for _, m := range r.Runs {
		all = append(all, m.At.Format("02"))
	}
	return strings.Join(all, " ")
}

func TestRerunOfAllThatMatch(t *testing.T) {
	t.Parallel()
	fails := map[int]bool{3: true, 5: true, 6: true}
	h, called := daily(t, fails)
	backfill(t, h, flow.BackfillRequest{Name: "p", From: day(2), To: day(7)})
	called()
	all := flow.RerunAllRequest{RunFilter: flow.RunFilter{Pipeline: "p"}}
	for _, c := range []struct {
		f    flow.RunFilter
		want string
	}{
		{flow.RunFilter{}, "03 05 06"},
		{flow.RunFilter{Since: day(5)}, "05 06"},
		{flow.RunFilter{Until: day(5)}, "03 05"},
		{flow.RunFilter{Since: day(4), Until: day(5)}, "05"},
		{flow.RunFilter{Outcome: flow.Succeeded}, "02 04 07"},
		{flow.RunFilter{Reason: flow.ReasonTimeout}, ""},
		{flow.RunFilter{Reason: flow.ReasonStep}, "03 05 06"},
		{flow.RunFilter{Schedule: "p"}, "03 05 06"},
		{flow.RunFilter{Schedule: "q"}, ""},
	} {
		c.f.Pipeline = "p"
		if got := many(t, h, flow.RerunAllRequest{RunFilter: c.f}); days(&got) != c.want || got.Done {
			t.Errorf("%+v: %s, want %s", c.f, days(&got), c.want)
		}
	}
	for _, n := range []int{0, 2, 4, -1} {
		all.Confirm = new(n)
		if _, err := h.RerunAll(t.Context(), all); flow.CodeOf(err) != flow.CodeMatch || !strings.Contains(err.Error(), fmt.Sprintf("3 runs match now, but the number that was confirmed is %d", n)) {
			t.Errorf("%d: %v", n, err)
		}
	}
	if got := called(); got != "" {
		t.Fatalf("what was not confirmed has run %s", got)
	}

	delete(fails, 3)
	delete(fails, 6)
	all.Confirm, all.Failed = new(3), true
	got := many(t, h, all)
	if ran := called(); ran != "03 05 06" || !got.Done {
		t.Errorf("ran %s: %+v", ran, got)
	}
	record, err := h.Run(t.Context(), string(got.Runs[0].Rerun))
	if err != nil || record.Trigger.Kind != flow.TriggerRerun || record.Trigger.Of != got.Runs[0].Run || !record.Trigger.ScheduledAt.Equal(day(3)) {
		t.Errorf("%+v, %v", record, err)
	}

	// Asking again repeats nothing: what failed again stands for the run that it repeats, in the same window.
	if _, err := h.RerunAll(t.Context(), all); flow.CodeOf(err) != flow.CodeMatch || called() != "" {
		t.Errorf("asked again: %v", err)
	}
	all.Confirm, all.Until = nil, day(7)
	again := many(t, h, all)
	if days(&again) != "05" || again.Repeated != 3 || again.Runs[0].Run != got.Runs[1].Rerun {
		t.Errorf("what is left: %+v", again)
	}
	delete(fails, 5)
	all.Confirm = new(1)
	many(t, h, all)
	all.Confirm = new(0)
	if got := many(t, h, all); len(got.Runs) != 0 || got.Repeated != 4 || called() != "05" {
		t.Errorf("when nothing is left: %+v", got)
	}
}

// Two who ask at one time do not both get the reruns.
func TestMatchingRunsAreRerunOnce(t *testing.T) {
	t.Parallel()
	fails := map[int]bool{3: true, 5: true}
	h, called := daily(t, fails)
	backfill(t, h, flow.BackfillRequest{Name: "p", From: day(2), To: day(7)})
	called()
	var wait sync.WaitGroup
	done := make(chan bool, 4)
	for range cap(done) {
		wait.Go(func() {
			report, err := h.RerunAll(t.Context(), flow.RerunAllRequest{RunFilter: flow.RunFilter{Pipeline: "p", Until: day(7)}, Confirm: new(2)})
			if err == nil {
				for _, m := range report.Runs {
					if err := h.Follow(t.Context(), flow.EventQuery{Run: m.Rerun}, func(flow.Event) bool { return true }); err != nil {
						t.Error(err)
					}
				}
			} else if flow.CodeOf(err) != flow.CodeMatch {
				t.Error(err)
			}
			done <- err == nil
		})
	}
	wait.Wait()
	close(done)
	took := 0
	for ok := range done {
		if ok {
			took++
		}
	}
	// Reruns that fail match in turn, so that one who comes later may have asked for those.
	if ran := called(); took < 1 || ran != strings.TrimSpace(strings.Repeat("03 05 ", took)) {
		t.Errorf("%d were served, and %s ran", took, ran)
	}
}

func TestWhatCannotBeRerunIsLeftOut(t *testing.T) {
	t.Parallel()
	h := begin(t, host.Config{Data: t.TempDir()})
	if err := h.Register("w", func(_ context.Context, c *host.Call) error {
		if c.Step == "load" && string(c.Context["ok"]) == "false" {
			return host.Permanent(errors.New("broken"))
		}
		if c.Step == "sum" {
			return host.Permanent(errors.New("broken too"))
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := h.Define(t.Context(), flow.Pipeline{Name: "p", Steps: map[string]flow.Step{"load": {Plugin: "w"}, "sum": {Plugin: "w", Needs: []string{"load"}}}}); err != nil {
		t.Fatal(err)
	}
	for _, ok := range []bool{true, false, true} {
		if _, err := h.RunNow(t.Context(), "p", map[string]any{"ok": ok}); err != nil {
			t.Fatal(err)
		}
	}
	got := many(t, h, flow.RerunAllRequest{RunFilter: flow.RunFilter{Pipeline: "p"}, FromStep: "sum"})
	if len(got.Runs) != 2 || len(got.Left) != 1 || !strings.Contains(got.Left[0].Why, `step "sum" needs the outputs of step "load"`) {
		t.Errorf("%+v", got)
	}
	if got := many(t, h, flow.RerunAllRequest{RunFilter: flow.RunFilter{Pipeline: "p"}, FromStep: "sum", Confirm: new(2)}); len(got.Runs) != 2 || len(got.Left) != 1 {
		t.Errorf("%+v", got)
	}
	for name, c := range map[string]struct {
		r    flow.RerunAllRequest
		code flow.Code
		text string
	}{
		"pipeline":   {flow.RerunAllRequest{RunFilter: flow.RunFilter{Pipeline: "q"}}, flow.CodeNotFound, `no pipeline "q"`},
		"none":       {flow.RerunAllRequest{}, flow.CodeNotFound, `no pipeline ""`},
		"step":       {flow.RerunAllRequest{RunFilter: flow.RunFilter{Pipeline: "p"}, OnlyStep: "lod"}, flow.CodeNotFound, `"lod"`},
		"outcome":    {flow.RerunAllRequest{RunFilter: flow.RunFilter{Pipeline: "p", Outcome: "bad"}}, flow.CodeRequest, `outcome "bad" is not one of`},
		"both":       {flow.RerunAllRequest{RunFilter: flow.RunFilter{Pipeline: "p"}, OnlyStep: "load", Failed: true}, flow.CodeRequest, "only one of"},
		"since":      {flow.RerunAllRequest{RunFilter: flow.RunFilter{Pipeline: "p", Since: day(4), Until: day(3)}}, flow.CodeRequest, "is after until"},
		"after that": {flow.RerunAllRequest{RunFilter: flow.RunFilter{Pipeline: "p"}, Confirm: new(5)}, flow.CodeMatch, "the number that was confirmed is 5"},
	} {
		if _, err := h.RerunAll(t.Context(), c.r); flow.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCancelOfAllThatMatch(t *testing.T) {
	t.Parallel()
	h := begin(t, host.Config{Data: t.TempDir()})
	entered := make(chan flow.RunID, 1)
	define(t, h, flow.Pipeline{Name: "p"}, func(ctx context.Context, c *host.Call) error {
		entered <- c.RunID
		<-ctx.Done()
		return ctx.Err()
	})
	var ids []flow.RunID
	for range 40 {
		r, err := h.StartRun(t.Context(), flow.RunRequest{Pipeline: "p"})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, r.ID)
	}
	<-entered
	cancel := func(state flow.State, n *int) (flow.MatchReport, error) {
		return h.CancelAll(t.Context(), flow.CancelAllRequest{Pipeline: "p", State: state, Confirm: n})
	}
	for state, want := range map[flow.State]int{flow.StateQueued: 39, flow.StateRunning: 1, "": 40} {
		if got, err := cancel(state, nil); err != nil || len(got.Runs) != want || got.Done {
			t.Errorf("%q: %d runs, %v", state, len(got.Runs), err)
		}
	}
	if _, err := cancel(flow.StateQueued, new(40)); flow.CodeOf(err) != flow.CodeMatch {
		t.Errorf("another number: %v", err)
	}
	got, err := cancel(flow.StateQueued, new(39))
	if err != nil || !got.Done {
		t.Fatalf("%+v, %v", got, err)
	}
	for i, m := range got.Runs {
		if m.Run != ids[i+1] || m.Outcome != flow.Cancelled || m.Reason != flow.ReasonRequest {
			t.Errorf("run %d: %+v", i, m)
		}
	}
	if left, err := h.Runs(t.Context(), flow.RunQuery{State: flow.StateRunning}); err != nil || len(left) != 1 || left[0].ID != ids[0] {
		t.Errorf("what runs: %+v, %v", left, err)
	}
	if got, err := cancel("", new(1)); err != nil || !slices.ContainsFunc(got.Runs, func(m flow.MatchedRun) bool { return m.Run == ids[0] }) {
		t.Errorf("the live one: %+v, %v", got, err)
	}
	if err := h.Follow(t.Context(), flow.EventQuery{Run: ids[0]}, func(flow.Event) bool { return true }); err != nil {
		t.Fatal(err)
	}
	for state, code := range map[flow.State]flow.Code{flow.StateEnded: flow.CodeRequest, "x": flow.CodeRequest} {
		if _, err := cancel(state, nil); flow.CodeOf(err) != code {
			t.Errorf("%q: %v", state, err)
		}
	}
	if _, err := h.CancelAll(t.Context(), flow.CancelAllRequest{Pipeline: "q"}); flow.CodeOf(err) != flow.CodeNotFound {
		t.Errorf("an unknown pipeline: %v", err)
	}
}
