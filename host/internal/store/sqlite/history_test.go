package sqlite

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// writeHistory fills a ledger with ended runs of two steps each, as the store's own calls would have.
func writeHistory(ctx context.Context, s *Store, runs, pipelines int) error {
	const together = 200
	begin := time.Now().Add(-time.Duration(runs) * time.Minute)
	for n := 0; n < runs; n += together {
		if err := s.do(ctx, func(w *writer) error {
			for i := n; i < min(n+together, runs); i++ {
				if err := writeRun(w, begin.Add(time.Duration(i)*time.Minute), fmt.Sprintf("p%d", i%pipelines)); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

func writeRun(w *writer, at time.Time, pipeline string) error {
	trigger := flow.Trigger{Kind: flow.TriggerSchedule, Schedule: pipeline, ScheduledAt: at.Truncate(time.Second)}
	run := flow.Run{ID: flow.NewRunID(at), Tenant: "default", Pipeline: pipeline, Trigger: trigger}
	t, err := textsOf(&run)
	if err != nil {
		return err
	}
	offered, err := w.offer(&flow.Offer{Run: run}, t)
	if err != nil {
		return err
	}
	r, err := w.held(offered.Claim)
	if err != nil {
		return err
	}
	for _, step := range []string{"load", "report"} {
		events := []flow.Event{
			{At: at, Kind: flow.AttemptStarted, Step: step, Attempt: 1},
			{At: at, Kind: flow.AttemptEnded, Step: step, Attempt: 1, Ending: flow.Ending{Outcome: flow.Succeeded}, Usage: &flow.Usage{}},
			{At: at, Kind: flow.StepEnded, Step: step, Ending: flow.Ending{Outcome: flow.Succeeded}},
		}
		if err := w.project(r, events); err != nil {
			return err
		}
	}
	return w.end(r, flow.Ending{Outcome: flow.Succeeded}, at.Add(time.Second))
}

// BenchmarkOpenWithHistory opens a ledger with 100,000 runs, or HISTORY of them, as after a crash.
func BenchmarkOpenWithHistory(b *testing.B) {
	runs, err := strconv.Atoi(os.Getenv("HISTORY"))
	if err != nil {
		runs = 100_000
	}
	dir := os.Getenv("HISTORY_DIR")
	if dir == "" {
		dir = b.TempDir()
	}
	path := dir + "/uniflow.db"
	if _, err := os.Stat(path); err != nil {
		s, err := Open(b.Context(), Config{Path: path, Boot: "history"})
		if err != nil {
			b.Fatal(err)
		}
		if err := writeHistory(b.Context(), s, runs, 20); err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		s, err := Open(b.Context(), Config{Path: path, Boot: "again"})
		if err != nil {
			b.Fatal(err)
		}
		if _, _, err := s.Recover(b.Context()); err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkEnded reads the ends of 1,000 runs of two steps each, by their 8,000 events, in a ledger that has ten times as
// many.
func BenchmarkEnded(b *testing.B) {
	s := open(b, b.TempDir(), "boot")
	if err := writeHistory(b.Context(), s, 10_000, 100); err != nil {
		b.Fatal(err)
	}
	last, err := s.Watched(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if runs, _, err := s.Ended(b.Context(), last-8000, 8000); err != nil || len(runs) != 1000 {
			b.Fatalf("%d runs, %v", len(runs), err)
		}
	}
}
