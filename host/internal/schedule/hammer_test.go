package schedule

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/dispatch"
	"github.com/uniflow-dev/uniflow/host/internal/store/sqlite"
)

// counting is a runner that counts the live runs of each pipeline.
type counting struct {
	live     map[string]*atomic.Int32
	runs     atomic.Int32
	overlaps atomic.Int32
}

func (c *counting) Run(_ context.Context, _ *flow.Plan, claimed flow.Claimed) (flow.Ending, []flow.Event, error) {
	n := c.live[claimed.Run.Pipeline]
	if n.Add(1) > 1 {
		c.overlaps.Add(1)
	}
	c.runs.Add(1)
	time.Sleep(time.Millisecond)
	n.Add(-1)
	return flow.Ending{Outcome: flow.Succeeded}, nil, nil
}

var hammered = flow.Plan{Tenant: "default", Pipeline: "p", Digest: flow.Digest("sha256:" + strings.Repeat("0", 64)), Timeout: flow.Duration(time.Hour)}

// The promise: no run of a pipeline ever overlaps another, whatever triggers it. Rounds are pipelines, because what is
// hammered is the first fire: there gocron may start a job twice. In each round eight triggers meet gocron's own at the
// instant of the slot, on the real dispatcher and the real store.
func TestNoRunOverlapsAnother(t *testing.T) {
	t.Parallel()
	const rounds, together = 1000, 100
	path := filepath.Join(t.TempDir(), "uniflow.db")
	synctest.Test(t, func(t *testing.T) {
		store, err := sqlite.Open(t.Context(), sqlite.Config{Path: path, Boot: "hammer"})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := store.Close(); err != nil {
				t.Error(err)
			}
		}()
		if err := store.SavePlan(t.Context(), hammered); err != nil {
			t.Fatal(err)
		}
		runner := &counting{live: map[string]*atomic.Int32{}}
		log := slog.New(slog.DiscardHandler)
		dispatcher := dispatch.New(dispatch.Config{Queue: store, Runner: runner, Logger: log})
		clock, err := New(Config{Queue: dispatcher, Ledger: store, Logger: log, NewRun: func(_ context.Context, r flow.ScheduleRecord, trigger flow.Trigger) (flow.Run, error) {
			return flow.Run{ID: flow.SlotRunID(r.Tenant, r.Pipeline, r.Name, trigger.ScheduledAt), Tenant: r.Tenant, Pipeline: r.Pipeline, Version: hammered.Digest, Trigger: trigger}, nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		var records []flow.ScheduleRecord
		var puts sync.WaitGroup
		for i := range rounds {
			due := began.Add(time.Duration(i/together+1) * time.Minute)
			r := every(fmt.Sprint("p", i), "once "+due.UTC().Format(time.RFC3339), flow.OverlapWait)
			records = append(records, r)
			runner.live[r.Pipeline] = &atomic.Int32{}
			puts.Go(func() {
				if err := store.PutSchedule(t.Context(), r); err != nil {
					t.Error(err)
				}
			})
		}
		puts.Wait()
		if err := clock.Apply(records); err != nil {
			t.Fatal(err)
		}
		clock.Start()
		for wave := range rounds / together {
			var triggers sync.WaitGroup
			for _, r := range records[wave*together : (wave+1)*together] {
				eightTriggers(t, &triggers, clock, dispatcher, r)
			}
			triggers.Wait()
		}
		pass(time.Minute)
		if err := clock.Stop(); err != nil {
			t.Error(err)
		}
		dispatcher.Stop(t.Context())
		if got := runner.overlaps.Load(); got != 0 {
			t.Errorf("%d runs overlapped another", got)
		}
		if got := runner.runs.Load(); got != rounds*(manual+1) {
			t.Errorf("%d runs, want %d", got, rounds*(manual+1))
		}
		for _, r := range records {
			checkHistory(t, store, r, manual+1)
		}
	})
}

const manual = 5

// eightTriggers wait for the slot of a schedule and ask for runs then: five by hand, two as doubled alarms would, and
// one for whatever waits.
func eightTriggers(t *testing.T, group *sync.WaitGroup, clock *Scheduler, dispatcher *dispatch.Dispatcher, r flow.ScheduleRecord) {
	t.Helper()
	e := clock.entries[key{r.Tenant, r.Name}]
	due := time.Until(e.cal.Next(r.Since))
	trigger := func(fire func()) {
		group.Go(func() {
			time.Sleep(due)
			fire()
		})
	}
	for range manual {
		run := flow.Run{ID: flow.NewRunID(time.Now()), Tenant: r.Tenant, Pipeline: r.Pipeline, Version: hammered.Digest, Trigger: flow.Trigger{Kind: flow.TriggerManual, ScheduledAt: time.Now()}}
		trigger(func() {
			if _, err := dispatcher.Offer(t.Context(), flow.Offer{Run: run}); err != nil {
				t.Error(err)
			}
		})
	}
	trigger(func() { clock.fire(e) })
	trigger(func() { clock.drain(e) })
	trigger(func() {
		if err := dispatcher.Next(t.Context(), r.Tenant, r.Pipeline); err != nil {
			t.Error(err)
		}
	})
}

// checkHistory reads what the store has kept of a pipeline: runs one after the other, and one ending of the one slot.
func checkHistory(t *testing.T, store *sqlite.Store, r flow.ScheduleRecord, want int) {
	t.Helper()
	runs, err := store.Runs(t.Context(), flow.RunQuery{Tenant: r.Tenant, Pipeline: r.Pipeline})
	if err != nil || len(runs) != want {
		t.Fatalf("%s: %d runs, %v", r.Name, len(runs), err)
	}
	slices.SortFunc(runs, func(a, b flow.RunRecord) int { return a.StartedAt.Compare(*b.StartedAt) })
	for i := range runs {
		if runs[i].Outcome != flow.Succeeded || runs[i].Epoch != 1 {
			t.Errorf("%s: %+v", r.Name, runs[i])
		}
		if i > 0 && runs[i].StartedAt.Before(*runs[i-1].EndedAt) {
			t.Errorf("%s: run %s began at %s, before run %s ended at %s", r.Name, runs[i].ID, runs[i].StartedAt, runs[i-1].ID, runs[i-1].EndedAt)
		}
	}
	slots, err := store.Slots(t.Context(), flow.SlotQuery{Schedule: r.Name})
	if err != nil || len(slots) != 1 || slots[0].Ending != flow.SlotRun {
		t.Errorf("%s: slots %+v, %v", r.Name, slots, err)
	}
}
