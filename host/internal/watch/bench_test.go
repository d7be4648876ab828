package watch

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/store/sqlite"
)

// BenchmarkLook is one look at 10,000 schedules, or SCHEDULES of them: when nothing has changed, and when a run has ended,
// so that all of them are read again. What is reported besides is the memory that is kept, and the time that reading the
// past of all of them takes once.
func BenchmarkLook(b *testing.B) {
	n, err := strconv.Atoi(os.Getenv("SCHEDULES"))
	if err != nil {
		n = 10_000
	}
	store, err := sqlite.Open(b.Context(), sqlite.Config{Path: filepath.Join(b.TempDir(), "uniflow.db"), Boot: "boot"})
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	plans := fillSchedules(b, store, n)
	eyes := newEyes(&Config{Ledger: store, Plans: func() []*flow.Plan { return plans }, Broken: func(*flow.ScheduleRecord) error { return nil }, Logger: slog.New(slog.DiscardHandler)})
	if err := eyes.begin(b.Context()); err != nil {
		b.Fatal(err)
	}
	look := func(b *testing.B) {
		b.Helper()
		if _, err := eyes.look(b.Context(), time.Now(), true); err != nil {
			b.Fatal(err)
		}
	}
	before := inUse()
	begun := time.Now()
	for len(eyes.lanes) < n {
		look(b)
	}
	first, kept := time.Since(begun), inUse()-before
	b.Run("idle", func(b *testing.B) {
		for b.Loop() {
			look(b)
		}
		b.ReportMetric(first.Seconds(), "s-at-first")
		b.ReportMetric(float64(kept)/1e6, "MB-kept")
	})
	b.Run("changed", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			endRun(b, store, "p0")
			b.StartTimer()
			look(b)
		}
	})
}

// fillSchedules writes schedules, each of a pipeline of its own, with a run.
func fillSchedules(b *testing.B, store *sqlite.Store, n int) []*flow.Plan {
	b.Helper()
	plans := make([]*flow.Plan, n)
	var wait sync.WaitGroup
	for worker := range 64 {
		wait.Go(func() {
			for i := worker; i < n; i += 64 {
				name := fmt.Sprint("p", i)
				plans[i] = &flow.Plan{Tenant: "default", Pipeline: name}
				now := time.Now()
				if err := store.PutSchedule(b.Context(), flow.ScheduleRecord{
					Tenant: "default", PlanSchedule: flow.PlanSchedule{Name: name, Pipeline: name, At: "every 1h", Timezone: "UTC", Enabled: true}, Since: now, Watermark: now,
				}); err != nil {
					b.Error(err)
				}
				endRun(b, store, name)
			}
		})
	}
	wait.Wait()
	return plans
}

func endRun(b *testing.B, store *sqlite.Store, name string) {
	b.Helper()
	now := time.Now()
	offered, err := store.Offer(b.Context(), flow.Offer{Watermark: now, Run: flow.Run{
		ID: flow.NewRunID(now), Tenant: "default", Pipeline: name, Trigger: flow.Trigger{Kind: flow.TriggerSchedule, Schedule: name, ScheduledAt: now},
	}})
	if err == nil {
		err = store.Finish(b.Context(), offered.Claim, flow.Ending{Outcome: flow.Succeeded})
	}
	if err != nil {
		b.Error(err)
	}
}

func inUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
