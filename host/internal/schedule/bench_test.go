package schedule

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/store/sqlite"
)

// storeQueue is the real store, without anybody who executes runs: they end at once.
type storeQueue struct{ *sqlite.Store }

func (q storeQueue) Wait(ctx context.Context, id flow.RunID) (flow.Ending, error) {
	ending := flow.Ending{Outcome: flow.Succeeded}
	return ending, q.Finish(ctx, flow.Claim{Run: id, Epoch: 1}, ending)
}

func (storeQueue) Next(context.Context, string, string) error { return nil }

func (storeQueue) Overdue(context.Context) error { return nil }

// BenchmarkYearPasses is a clock that jumps by a year, or a host that was down for one, beside a schedule of every
// second: 31,536,000 slots are decided and recorded.
func BenchmarkYearPasses(b *testing.B) {
	store, err := sqlite.Open(b.Context(), sqlite.Config{Path: filepath.Join(b.TempDir(), "uniflow.db"), Boot: "bench"})
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	if err := store.SavePlan(b.Context(), hammered); err != nil {
		b.Fatal(err)
	}
	s, err := New(Config{Queue: storeQueue{store}, Ledger: store, Logger: slog.New(slog.DiscardHandler), NewRun: func(_ context.Context, r flow.ScheduleRecord, trigger flow.Trigger) (flow.Run, error) {
		return flow.Run{ID: flow.SlotRunID(r.Tenant, r.Pipeline, r.Name, trigger.ScheduledAt), Tenant: r.Tenant, Pipeline: r.Pipeline, Version: hammered.Digest, Trigger: trigger}, nil
	}})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Stop()
	for b.Loop() {
		b.StopTimer()
		r := yearBehind(b, store)
		if err := s.Set(r); err != nil {
			b.Fatal(err)
		}
		s.down.Store(time.Now().UnixNano())
		e := s.entries[key{r.Tenant, r.Name}]
		b.StartTimer()
		for d := s.due(e, time.Now()); d != nil && d.Count > 1; d = s.due(e, time.Now()) {
			if err := s.take(d); err != nil {
				b.Fatal(err)
			}
		}
		b.StopTimer()
		var slots int64
		records, err := store.Slots(b.Context(), flow.SlotQuery{Schedule: r.Name})
		for i := range records {
			slots += records[i].Count
		}
		if err != nil || slots < 365*86400 {
			b.Fatalf("%d slots are recorded in %d records, %v", slots, len(records), err)
		}
		b.StartTimer()
	}
}

// yearBehind is a schedule whose slots of a year are due.
func yearBehind(b *testing.B, store *sqlite.Store) flow.ScheduleRecord {
	b.Helper()
	r := every("s"+time.Now().Format("150405.000000000"), "every 1s", flow.OverlapWait)
	r.Pipeline = r.Name
	r.Watermark = time.Now().AddDate(-1, 0, 0).UTC()
	r.Since = r.Watermark
	r.Catchup = flow.Catchup{Runs: "latest", Within: flow.Duration(24 * time.Hour)}
	if err := store.PutSchedule(b.Context(), r); err != nil {
		b.Fatal(err)
	}
	return r
}
