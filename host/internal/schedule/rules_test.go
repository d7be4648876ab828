package schedule

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/calendar"
	"github.com/uniflow-dev/uniflow/host/internal/dispatch"
	"github.com/uniflow-dev/uniflow/host/internal/overlap"
	"github.com/uniflow-dev/uniflow/host/internal/store/sqlite"
)

// reasons counts a schedule's endings with their reasons.
func (w *world) reasons(schedule string) map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	counts := map[string]int{}
	for _, r := range w.endings[schedule] {
		counts[string(r.Ending)+" "+string(r.Reason)]++
	}
	return counts
}

func wantCounts(t *testing.T, got map[string]int, want map[string]int) {
	t.Helper()
	for kind, n := range want {
		if got[kind] != n {
			t.Errorf("%d slots ended as %q, want %d: %v", got[kind], kind, n, got)
		}
		delete(got, kind)
	}
	for kind, n := range got {
		t.Errorf("%d slots ended as %q", n, kind)
	}
}

// What was due while a schedule was disabled is decided when it is enabled again; what was due before and had to wait is
// dropped when it is disabled.
func TestPause(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		resume flow.OnResume
		max    int
		starts []string
		counts map[string]int
	}{
		{"", 0, []string{"a+10m0s@10m0s", "a+1h30m0s@1h30m0s"}, map[string]int{"run ": 2, "skipped paused": 7}},
		{flow.ResumeLatest, 0, []string{"a+10m0s@10m0s", "a+1h20m0s@1h25m0s", "a+1h30m0s@1h39m0s"}, map[string]int{"run ": 3, "skipped paused": 6}},
		{flow.ResumeAll, 2, []string{"a+10m0s@10m0s", "a+1h10m0s@1h25m0s", "a+1h20m0s@1h39m0s"}, map[string]int{"run ": 3, "skipped paused": 5}},
	} {
		t.Run(string(test.resume), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				from := time.Now()
				w := newWorld(t)
				w.duration = func(flow.Run) time.Duration { return 14 * time.Minute }
				r := every("a", "every 10m", flow.OverlapWait)
				r.OnResume, r.Catchup.Max = test.resume, test.max
				s := w.scheduler(r)
				s.Start()
				pass(22 * time.Minute) // the run of 10 is live until 24; the slot of 20 waits for it
				off, on := false, true
				r.Override, r.PausedAt = &off, time.Now()
				set := func() {
					if err := s.Set(r); err != nil {
						t.Fatal(err)
					}
				}
				set()
				pass(63 * time.Minute)
				r.Override, r.ResumedAt = &on, time.Now() // at 1h25
				set()
				pass(16 * time.Minute)
				w.stop(s)
				same(t, w.starts(from), test.starts)
				wantCounts(t, w.reasons("a"), test.counts)
				for _, x := range w.tasks()[1:] {
					if late := x.run.Trigger.ScheduledAt.Sub(from) < 85*time.Minute; late != (x.run.Trigger.Kind == flow.TriggerCatchup) {
						t.Errorf("trigger of %s: %s", x.run.Trigger.ScheduledAt, x.run.Trigger.Kind)
					}
				}
			})
		})
	}
}

// A slot on a day of not_on is due and recorded; newer slots do not stand for it.
func TestNotOn(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		overlap flow.Overlap
		starts  []string
		counts  map[string]int
	}{
		{flow.OverlapWait, []string{"a+10m0s@10m0s", "a+1h0m0s@1h5m0s", "a+2h0m0s@2h0m0s"}, map[string]int{"run ": 3, "coalesced ": 3, "skipped calendar": 6}},
		{flow.OverlapSkip, []string{"a+10m0s@10m0s", "a+1h10m0s@1h10m0s"}, map[string]int{"run ": 2, "skipped overlap": 3, "skipped calendar": 2}},
		{flow.OverlapWaitAll, []string{"a+10m0s@10m0s", "a+40m0s@1h5m0s", "a+50m0s@2h0m0s"}, map[string]int{"run ": 3, "skipped calendar": 2}},
	} {
		t.Run(string(test.overlap), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				from := time.Now().UTC()
				w := newWorld(t)
				w.duration = func(flow.Run) time.Duration { return 55 * time.Minute }
				r := every("a", "every 10m", test.overlap)
				day := from.Format("2006-01-02T")
				r.NotOn = []string{day + "00:15.." + day + "00:35", day + "01:15.." + day + "01:55"}
				s := w.scheduler(r)
				s.Start()
				pass(2*time.Hour + time.Minute)
				w.stop(s)
				same(t, w.starts(from), test.starts)
				wantCounts(t, w.reasons("a"), test.counts)
			})
		})
	}
}

// The start of each run is delayed by the same time; slots and their ids are those of the written times.
func TestJitter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		from := time.Now()
		w := newWorld(t)
		r := every("a", "every 10m", flow.OverlapWait)
		r.Jitter = flow.Duration(5 * time.Minute)
		s := w.scheduler(r)
		delay := s.entries[key{"default", "a"}].cal.Delay()
		if delay < time.Second || delay >= 5*time.Minute {
			t.Fatalf("delay %s", delay)
		}
		s.Start()
		pass(30*time.Minute + delay)
		if s.Rearmed() != 0 {
			t.Errorf("%d slots were left to the sweeper", s.Rearmed())
		}
		w.stop(s)
		for i, x := range w.tasks() {
			slot := from.Add(time.Duration(i+1) * 10 * time.Minute)
			if !x.run.Trigger.ScheduledAt.Equal(slot) || !x.at.Equal(slot.Add(delay)) || x.run.ID != flow.SlotRunID("default", "a", "a", slot) {
				t.Errorf("run %d: %s at %s", i, x.run.Trigger.ScheduledAt.Sub(from), x.at.Sub(from))
			}
		}
		if n := len(w.tasks()); n != 3 {
			t.Errorf("%d runs", n)
		}
		// Down when the slot of 40 came due and before: it is made up for.
		r.Watermark = w.watermark["a"]
		pass(20 * time.Minute)
		s = w.scheduler(r)
		s.Start()
		pass(time.Second)
		w.stop(s)
		wantCounts(t, w.reasons("a"), map[string]int{"run ": 4, "missed downtime": 1})
	})
}

// A slot whose run does not begin in time is missed when that time is over, and not before; the run that waits for it ends.
func TestStartTimeout(t *testing.T) {
	t.Parallel()
	t.Run("behind its own run", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			from := time.Now()
			w := newWorld(t)
			w.duration = func(flow.Run) time.Duration { return 48 * time.Minute }
			r := every("a", "every 10m", flow.OverlapWaitAll)
			r.Start = flow.Duration(25 * time.Minute)
			s := w.scheduler(r)
			s.Start()
			pass(time.Hour + 55*time.Minute)
			w.stop(s)
			same(t, w.starts(from), []string{"a+10m0s@10m0s", "a+40m0s@58m0s", "a+1h30m0s@1h46m0s"})
			wantCounts(t, w.reasons("a"), map[string]int{"run ": 3, "missed start": 6})
		})
	})
	t.Run("behind another run", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.duration = func(flow.Run) time.Duration { return time.Hour }
			r := every("a", "every 1h", flow.OverlapWait)
			r.Start = flow.Duration(5 * time.Minute)
			s := w.scheduler(r)
			s.Start()
			pass(30 * time.Minute)
			w.manual("a")
			pass(34*time.Minute + 59*time.Second)
			if got := w.reasons("a"); got["run "] != 1 {
				t.Errorf("before the time is over: %v", got)
			}
			pass(time.Second)
			if got := w.reasons("a"); got["missed start"] != 1 {
				t.Errorf("when the time is over: %v", got)
			}
			pass(56 * time.Minute) // to 2:01
			w.stop(s)
			wantCounts(t, w.reasons("a"), map[string]int{"missed start": 1, "run ": 1})
		})
	})
	t.Run("catching up", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			pass(55 * time.Minute)
			from := time.Now()
			w := newWorld(t)
			w.duration = func(flow.Run) time.Duration { return 20 * time.Minute }
			r := every("a", "every 10m", flow.OverlapWait)
			r.Start, r.Watermark = flow.Duration(time.Minute), from.Add(-time.Hour)
			s := w.scheduler(r)
			s.Start() // its slot is five minutes old, and begins to wait now
			pass(time.Second)
			w.stop(s)
			same(t, w.starts(from), []string{"a-5m0s@0s"})
		})
	})
}

// A slot that keeps failing to be taken is missed once it can no longer start in time.
func TestStartTimeoutOfASlotThatIsNotTaken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := every("a", "every 1h", flow.OverlapWait)
		r.Start = flow.Duration(time.Minute)
		w.newRun = func(flow.Run) error { panic(errors.New("out of order")) }
		s := w.scheduler(r)
		s.Start()
		pass(time.Hour + 50*time.Second)
		if got := w.reasons("a"); len(got) != 0 {
			t.Errorf("before the time is over: %v", got)
		}
		pass(30 * time.Second)
		w.stop(s)
		wantCounts(t, w.reasons("a"), map[string]int{"missed start": 1})
	})
}

// A year of seconds without weekends and with holidays is decided in as many steps as there are such days.
func TestYearOfSecondsWithNotOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := every("a", "every 1s", flow.OverlapWait)
		r.NotOn = []string{"sat", "sun", "2000-12-25 FREQ=YEARLY", "2001-01-01"}
		w := newWorld(t)
		s := w.scheduler(r)
		e := s.entries[key{"default", "a"}]
		now := time.Now().AddDate(1, 0, 1)
		d := due{e: e, Due: overlap.Due{Record: e.record, Cal: e.cal}}
		if !d.Find(now, now) {
			t.Fatal("nothing is due")
		}
		decision := d.Decide()
		var sum int64
		for _, r := range decision.Slots {
			sum += r.Count
		}
		if n := len(decision.Slots); n < 100 || n > 120 || sum != 367*24*3600-1 || decision.Slot.IsZero() {
			t.Errorf("%d records of %d slots, then %s", n, sum, decision.Slot)
		}
		w.stop(s)
	})
}

// BenchmarkYearOfSeconds decides about a jump of a year over a schedule of seconds without weekends.
func BenchmarkYearOfSeconds(b *testing.B) {
	r := every("a", "every 1s", flow.OverlapWait)
	r.NotOn = []string{"sat", "sun"}
	e := &entry{record: r}
	e.update(b.Context(), r, mustCalendar(b, &r))
	now := time.Now().AddDate(1, 0, 0)
	for b.Loop() {
		d := due{e: e, Due: overlap.Due{Record: e.record, Cal: e.cal}}
		if !d.Find(now, now) || len(d.Decide().Slots) < 100 {
			b.Fatal("few records")
		}
	}
}

func mustCalendar(tb testing.TB, r *flow.ScheduleRecord) *calendar.Schedule {
	tb.Helper()
	cal, err := calendar.Of(r.Tenant, &r.PlanSchedule)
	if err != nil {
		tb.Fatal(err)
	}
	return cal
}

// signal is a runner that tells of each run.
type signal chan flow.Claimed

func (s signal) Run(_ context.Context, _ *flow.Plan, c flow.Claimed) (flow.Ending, []flow.Event, error) {
	s <- c
	return flow.Ending{Outcome: flow.Succeeded}, nil, nil
}

// A downtime of a year does not keep a host of seconds without weekends from its next slot, on a real disk.
func TestYearJumpOnTheRealLedger(t *testing.T) {
	t.Parallel()
	store, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(t.TempDir(), "uniflow.db"), Boot: "jump"})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	r := every("p", "every 1s", flow.OverlapWait)
	r.NotOn = []string{"sat", "sun", "2000-12-25 FREQ=YEARLY", "2001-01-01..2001-01-02 FREQ=YEARLY"}
	r.Catchup.Within = flow.Duration(30 * 24 * time.Hour) // whatever day it is
	r.Since = r.Since.AddDate(-1, 0, 0)
	r.Watermark = r.Since
	if err := errors.Join(store.SavePlan(t.Context(), hammered), store.PutSchedule(t.Context(), r)); err != nil {
		t.Fatal(err)
	}
	runs := make(signal, 1000)
	log := slog.New(slog.DiscardHandler)
	dispatcher := dispatch.New(dispatch.Config{Queue: store, Runner: runs, Logger: log})
	clock, err := New(Config{Queue: dispatcher, Ledger: store, Logger: log, NewRun: func(_ context.Context, r flow.ScheduleRecord, trigger flow.Trigger) (flow.Run, error) {
		return flow.Run{ID: flow.SlotRunID(r.Tenant, r.Pipeline, r.Name, trigger.ScheduledAt), Tenant: r.Tenant, Pipeline: r.Pipeline, Version: hammered.Digest, Trigger: trigger}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := clock.Apply([]flow.ScheduleRecord{r}); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	clock.Start()
	var caught flow.Claimed
	select {
	case caught = <-runs:
	case <-time.After(20 * time.Second):
		t.Fatal("no run after a downtime of a year")
	}
	took := time.Since(began)
	if err := clock.Stop(); err != nil {
		t.Error(err)
	}
	dispatcher.Stop(t.Context())
	t.Logf("a year of seconds was decided, recorded and made up for in %s", took)
	slots, err := store.Slots(t.Context(), flow.SlotQuery{Schedule: "p", Limit: 1000, Until: caught.Run.Trigger.ScheduledAt})
	var sum int64
	for _, s := range slots {
		sum += s.Count
	}
	if _, due := mustCalendar(t, &r).Due(r.Since, caught.Run.Trigger.ScheduledAt); err != nil || sum != due || len(slots) > 130 {
		t.Errorf("%d slots in %d records, want %d; %v", sum, len(slots), due, err)
	}
	if took > 2*time.Second {
		t.Errorf("it took %s", took)
	}
}
