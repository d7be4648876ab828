package sqlite

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

func TestQueriesUseAnIndex(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), "boot")
	query := func(text string, args []any) func() (string, []any) {
		return func() (string, []any) { return text, args }
	}
	for name, c := range map[string]struct {
		query func() (string, []any)
		want  string
	}{
		"runs of a pipeline":   {func() (string, []any) { return runsQuery(flow.RunQuery{Tenant: "a", Pipeline: "b"}) }, "INDEX runs_pipeline"},
		"runs of a schedule":   {func() (string, []any) { return runsQuery(flow.RunQuery{Tenant: "a", Schedule: "b"}) }, "INDEX runs_schedule"},
		"runs of a project":    {func() (string, []any) { return runsQuery(flow.RunQuery{Tenant: "a", Project: "b"}) }, "INDEX runs_project"},
		"runs in a state":      {func() (string, []any) { return runsQuery(flow.RunQuery{State: flow.StateQueued}) }, "INDEX runs_state"},
		"a page of runs":       {func() (string, []any) { return runsQuery(flow.RunQuery{Before: "x"}) }, "INTEGER PRIMARY KEY"},
		"one run":              {query("SELECT seq FROM runs WHERE id = ?", []any{"x"}), "autoindex_runs"},
		"events after":         {func() (string, []any) { return eventsQuery(flow.EventQuery{After: 5}) }, "INTEGER PRIMARY KEY"},
		"events of a run":      {func() (string, []any) { return eventsQuery(flow.EventQuery{After: 5, Run: "x"}) }, "INDEX events_run"},
		"events of a pipeline": {func() (string, []any) { return eventsQuery(flow.EventQuery{After: 5, Tenant: "a", Pipeline: "b"}) }, "INDEX events_pipeline"},
		"lines of a run":       {func() (string, []any) { return logsQuery(flow.LogQuery{Run: "x"}) }, "INDEX logs_run"},
		"slots of a schedule":  {func() (string, []any) { return slotsQuery(flow.SlotQuery{Schedule: "x"}) }, "PRIMARY KEY"},
		"the next run":         {query("SELECT seq, body FROM runs WHERE tenant = ? AND pipeline = ? AND state = 'queued' ORDER BY place, seq LIMIT 1", []any{"a", "b"}), "INDEX runs_waiting"},
		"the live run":         {query("SELECT id FROM runs WHERE tenant = ? AND pipeline = ? AND state = 'running'", []any{"a", "b"}), "INDEX runs_live"},
		"the last success":     {query("SELECT max(ended_at) FROM runs WHERE tenant = ? AND pipeline = ? AND outcome = 'succeeded'", []any{"a", "b"}), "INDEX runs_success"},
		"slots of a run":       {query("UPDATE slots SET ending = 'coalesced', run = ? WHERE run = ?", []any{"a", "b"}), "INDEX slots_run"},
		"the artifact":         {query("SELECT 1 FROM artifacts WHERE tenant = ? AND digest = ? LIMIT 1", []any{"a", "b"}), "PRIMARY KEY"},
		"artifacts of a run":   {query("DELETE FROM artifacts WHERE run = ?", []any{1}), "INDEX artifacts_run"},
		"the oldest open run":  {query("SELECT min(queued_at) FROM runs WHERE state IN ('queued', 'running')", nil), "INDEX runs_state"},
		"last runs":            {query(recentText("x"), []any{"a", "b", "c", 1}), "INDEX runs_schedule"},
		"last runs by hand":    {query(recentText(""), []any{"a", "b", "", 1}), "INDEX runs_pipeline"},
		"runs that wait":       {query(waitingText, []any{1}), "INDEX runs_state"},
		"the next message":     {query("SELECT min(next_at) FROM deliveries WHERE state = 'pending' AND next_at > ?", []any{1}), "INDEX deliveries_pending"},
		"old slots":            {query("SELECT from_at FROM slots WHERE tenant = ? AND pipeline = ? AND to_at < ?", []any{"a", "b", 1}), "INDEX slots_pipeline"},
	} {
		text, args := c.query()
		steps, err := collect(t.Context(), reader{s.readers}, func(row scanner) (detail string, err error) {
			var id, parent, unused int
			return detail, row.Scan(&id, &parent, &unused, &detail)
		}, "EXPLAIN QUERY PLAN "+text, args...)
		if err != nil {
			t.Fatal(err)
		}
		plan := strings.Join(steps, "; ")
		if !strings.Contains(plan, c.want) || strings.Contains(plan, "TEMP B-TREE") {
			t.Errorf("%s: %s; want %s and no sort", name, plan, c.want)
		}
	}
}

// Ends of runs are found by the events since the last look, however long the history is.
func TestEndsAreFoundByNewEventsAlone(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), "boot")
	steps, err := collect(t.Context(), reader{s.readers}, func(row scanner) (detail string, err error) {
		var id, parent, unused int
		return detail, row.Scan(&id, &parent, &unused, &detail)
	}, "EXPLAIN QUERY PLAN "+endedText, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	if plan := strings.Join(steps, "; "); !strings.Contains(plan, "SEARCH events USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)") || strings.Contains(strings.ReplaceAll(plan, "SCAN e;", ""), "SCAN ") {
		t.Errorf("plan %q", steps)
	}
}

// BenchmarkRun is one run, offered and finished; with 64 in flight they share commits, with one each has two of its own.
func BenchmarkRun(b *testing.B) {
	for _, flight := range []int{1, 64} {
		b.Run(fmt.Sprintf("flight=%d", flight), func(b *testing.B) {
			s := open(b, b.TempDir(), "boot")
			var wait sync.WaitGroup
			runs := make(chan struct{}, flight)
			for n := range flight {
				wait.Go(func() {
					for range runs {
						offered, err := s.Offer(b.Context(), testOffer(fmt.Sprint("pipeline-", n)))
						if err == nil {
							err = s.Finish(b.Context(), offered.Claim, flow.Ending{Outcome: flow.Succeeded})
						}
						if err != nil {
							b.Error(err)
						}
					}
				})
			}
			for b.Loop() {
				runs <- struct{}{}
			}
			close(runs)
			wait.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "runs/s")
		})
	}
}

// Whoever follows the ledger, however many and slow, holds up no run: its readers have connections of their own.
func TestFollowersLeaveTheReadersOfRunsAlone(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), "boot")
	for range followerConnections() {
		held, err := s.followers.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer held.Close()
	}
	soon, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := s.Events(soon, flow.EventQuery{}); err == nil {
		t.Error("events are read by other connections than those that were taken")
	}
	bounded, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := s.Runs(bounded, flow.RunQuery{}); err != nil {
		t.Error(err)
	}
}
