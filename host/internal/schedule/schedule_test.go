package schedule

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/calendar"
)

func same(t *testing.T, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// pass lets time go by in a bubble, and all that is due then happen.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestFiresAtEachSlot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		from := time.Now()
		w := newWorld(t)
		s := w.scheduler(every("a", "every 10m", flow.OverlapWait), every("b", "hourly :15", flow.OverlapSkip))
		s.Start()
		pass(31 * time.Minute)
		w.stop(s)
		same(t, w.starts(from), []string{"a+10m0s@10m0s", "b+15m0s@15m0s", "a+20m0s@20m0s", "a+30m0s@30m0s"})
		if s.Rearmed() != 0 {
			t.Errorf("%d slots were left to the sweeper", s.Rearmed())
		}
		x := w.tasks()[2].run.Trigger
		if x.Kind != flow.TriggerSchedule || !x.IntervalEnd.Equal(x.ScheduledAt) || x.ScheduledAt.Sub(*x.IntervalStart) != 10*time.Minute {
			t.Errorf("trigger %+v", x)
		}
	})
}

// One run of 35 minutes beside slots of 10 minutes.
func TestOverlap(t *testing.T) {
	t.Parallel()
	tests := []struct {
		overlap flow.Overlap
		starts  []string
		tally   map[flow.SlotEnding]int
	}{
		{flow.OverlapWait, []string{"a+10m0s@10m0s", "a+40m0s@45m0s", "a+50m0s@50m0s"}, map[flow.SlotEnding]int{flow.SlotRun: 3, flow.SlotCoalesced: 2}},
		{flow.OverlapSkip, []string{"a+10m0s@10m0s", "a+50m0s@50m0s"}, map[flow.SlotEnding]int{flow.SlotRun: 2, flow.SlotSkipped: 3}},
		{flow.OverlapWaitAll, []string{"a+10m0s@10m0s", "a+20m0s@45m0s", "a+30m0s@45m1s", "a+40m0s@45m2s", "a+50m0s@50m0s"}, map[flow.SlotEnding]int{flow.SlotRun: 5}},
		{flow.OverlapReplace, []string{"a+10m0s@10m0s", "a+20m0s@20m0s", "a+30m0s@30m0s", "a+40m0s@40m0s", "a+50m0s@50m0s"}, map[flow.SlotEnding]int{flow.SlotRun: 5}},
	}
	for _, test := range tests {
		t.Run(string(test.overlap), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				from := time.Now()
				w := newWorld(t)
				w.duration = func(run flow.Run) time.Duration {
					if run.Trigger.ScheduledAt.Equal(from.Add(10 * time.Minute)) {
						return 35 * time.Minute
					}
					return time.Second
				}
				s := w.scheduler(every("a", "every 10m", test.overlap))
				s.Start()
				pass(55 * time.Minute)
				w.stop(s)
				same(t, w.starts(from), test.starts)
				if got := w.tally("a"); fmt.Sprint(got) != fmt.Sprint(test.tally) {
					t.Errorf("endings %v, want %v", got, test.tally)
				}
			})
		})
	}
}

// A slot that waits behind somebody else's run gives its place to newer ones, and no look is wasted meanwhile.
func TestWaitingSlotCarriesTheNewest(t *testing.T) {
	t.Parallel()
	for _, overlap := range []flow.Overlap{flow.OverlapWait, flow.OverlapWaitAll} {
		t.Run(string(overlap), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				from := time.Now()
				w := newWorld(t)
				w.duration = func(run flow.Run) time.Duration {
					if run.Trigger.Kind == flow.TriggerManual {
						return 35 * time.Minute
					}
					return time.Second
				}
				s := w.scheduler(every("a", "every 10m", overlap))
				w.manual("a")
				s.Start()
				pass(39 * time.Minute)
				w.stop(s)
				want, offers := []string{"+0s@0s", "a+30m0s@35m0s"}, 4
				if overlap == flow.OverlapWaitAll {
					want = []string{"+0s@0s", "a+10m0s@35m0s", "a+20m0s@35m1s", "a+30m0s@35m2s"}
				}
				same(t, w.starts(from), want)
				if w.offers != offers {
					t.Errorf("%d offers, want %d: one per slot and the manual one", w.offers, offers)
				}
			})
		})
	}
}

func TestReplaceEndsTheRunAtTheNextSlot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		from := time.Now()
		w := newWorld(t)
		w.duration = func(flow.Run) time.Duration { return time.Hour }
		s := w.scheduler(every("a", "every 10m", flow.OverlapReplace))
		s.Start()
		pass(25 * time.Minute)
		if w.offers != 2 {
			t.Errorf("%d offers for two slots", w.offers)
		}
		if first := w.tasks()[0]; !first.cancelled || first.end.Sub(from) != 20*time.Minute {
			t.Errorf("the first run ended at +%s, cancelled %v", first.end.Sub(from), first.cancelled)
		}
		w.stop(s)
	})
}

func TestWaitAllIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		from := time.Now()
		w := newWorld(t)
		w.duration = func(run flow.Run) time.Duration {
			if run.Trigger.ScheduledAt.Equal(from.Add(time.Minute)) {
				return 150*time.Minute + 30*time.Second
			}
			return 100 * time.Millisecond
		}
		s := w.scheduler(every("a", "every 1m", flow.OverlapWaitAll))
		s.Start()
		pass(152*time.Minute - time.Second) // the first run ends at 151:30, when 150 slots wait
		w.stop(s)
		tally := w.tally("a")
		if tally[flow.SlotRun] != 101 || tally[flow.SlotSkipped] != 50 {
			t.Errorf("endings %v, want 101 run and 50 skipped", tally)
		}
		if r := w.endings["a"][from.Add(2*time.Minute).Unix()]; r.Reason != flow.ReasonQuota || r.Count != 50 {
			t.Errorf("the record of those over the bound: %+v", r)
		}
		for i, tasks := 2, w.tasks(); i < len(tasks); i++ {
			if a, b := tasks[i-1].run.Trigger.ScheduledAt, tasks[i].run.Trigger.ScheduledAt; b.Sub(a) != time.Minute {
				t.Fatalf("slot %s ran after slot %s", b, a)
			}
		}
	})
}

// Every slot has exactly one ending, whatever runs last. The world checks each record against the calendar.
func TestEverySlotEndsOnce(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				random := rand.New(rand.NewPCG(seed, 7))
				w := newWorld(t)
				w.duration = func(flow.Run) time.Duration {
					return time.Duration(random.ExpFloat64() * float64(4*time.Minute))
				}
				w.newRun = func(flow.Run) error {
					if random.IntN(50) == 0 {
						return errors.New("no plan")
					}
					return nil
				}
				records := []flow.ScheduleRecord{
					every("wait", "every 3m", flow.OverlapWait), every("skip", "cron */5 * * * *", flow.OverlapSkip),
					every("all", "every 5m", flow.OverlapWaitAll), every("replace", "every 7m", flow.OverlapReplace),
					every("beside", "every 11m", flow.OverlapWait), every("daily", "daily 12:00", flow.OverlapWait),
				}
				records[4].Pipeline = "wait" // two schedules of one pipeline
				s := w.scheduler(records...)
				s.Start()
				for range 24 {
					pass(time.Hour)
					w.manual("all")
				}
				pass(time.Minute)
				w.stop(s)
				for _, r := range records {
					cal := w.calendars[r.Name]
					_, due := cal.Due(r.Since, w.watermark[r.Name])
					if got := int64(len(w.endings[r.Name])); got != due || due == 0 {
						t.Errorf("%s: %d endings for %d slots", r.Name, got, due)
					}
					if _, open := cal.Due(w.watermark[r.Name], time.Now()); open > 30 {
						t.Errorf("%s: %d slots have no ending yet", r.Name, open)
					}
				}
			})
		})
	}
}

// What a slot needs can be prepared before it is due, by the schedules that have one and by no others.
func TestSoonIsTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		from := time.Now()
		w := newWorld(t)
		s := w.scheduler(every("a", "every 10m", flow.OverlapWait), every("far", "every 300d", flow.OverlapWait))
		told := map[time.Duration]int{}
		s.config.Soon = func(_ context.Context, r flow.ScheduleRecord) {
			if r.Name != "a" {
				t.Errorf("%s has no slot soon", r.Name)
			}
			told[time.Since(from).Truncate(10*time.Minute)+10*time.Minute]++
			time.Sleep(time.Hour) // while one is being prepared for, no other is
		}
		s.Start()
		pass(31 * time.Minute)
		w.stop(s)
		if len(told) != 1 || told[10*time.Minute] != 1 {
			t.Errorf("told %v, want once, for the first slot", told)
		}
		s = w.scheduler(every("b", "every 10m", flow.OverlapWait))
		tellings := 0
		s.config.Soon = func(_ context.Context, r flow.ScheduleRecord) {
			if until := time.Until(from.Add(time.Since(from).Truncate(10*time.Minute) + 10*time.Minute)); until > 15*time.Second+lateness {
				t.Errorf("told %s before the slot", until)
			}
			tellings++
		}
		s.Start()
		pass(30 * time.Minute)
		w.stop(s)
		if tellings < 3 {
			t.Errorf("told %d times before three slots", tellings)
		}
	})
}

// What no alarm fired for is taken by the sweeper, and counted.
func TestSweeperTakesWhatTheAlarmLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		from := time.Now()
		w := newWorld(t)
		s := w.scheduler(every("a", "every 10m", flow.OverlapWait))
		s.Start()
		if err := s.clock.RemoveJob(s.entries[key{"default", "a"}].job); err != nil {
			t.Fatal(err)
		}
		pass(21 * time.Minute)
		if got := len(w.starts(from)); got != 2 || s.Rearmed() != 2 {
			t.Errorf("%d runs, %d rearmed, want 2 of each", got, s.Rearmed())
		}
		if late := w.tasks()[0].at.Sub(from) - 10*time.Minute; late > 15*time.Second+lateness {
			t.Errorf("the sweeper came %s late", late)
		}
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestDisabledScheduleFiresNothingAndOwesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		from := time.Now()
		w := newWorld(t)
		r := every("a", "every 10m", flow.OverlapWait)
		off, on := false, true
		r.Override = &off
		s := w.scheduler(r)
		s.Start()
		pass(35 * time.Minute)
		if got := w.starts(from); len(got) != 0 {
			t.Errorf("ran while disabled: %v", got)
		}
		r.Override, r.Watermark = &on, time.Now().UTC()
		w.know(r)
		if err := s.Set(r); err != nil {
			t.Fatal(err)
		}
		pass(6 * time.Minute)
		w.stop(s)
		same(t, w.starts(from), []string{"a+40m0s@40m0s"})
	})
}

// A watermark that an old record holds does not bring slots back.
func TestSetKeepsTheWatermark(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		from := time.Now()
		w := newWorld(t)
		r := every("a", "every 10m", flow.OverlapWait)
		s := w.scheduler(r)
		s.Start()
		pass(25 * time.Minute)
		if err := s.Set(r); err != nil {
			t.Fatal(err)
		}
		pass(10 * time.Minute)
		w.stop(s)
		same(t, w.starts(from), []string{"a+10m0s@10m0s", "a+20m0s@20m0s", "a+30m0s@30m0s"})
		if w.offers != 3 {
			t.Errorf("%d offers for three slots", w.offers)
		}
	})
}

func TestEditedScheduleIsArmedAnew(t *testing.T) {
	t.Parallel()
	for _, live := range []time.Duration{time.Second, time.Hour} {
		t.Run(fmt.Sprint("with runs of ", live), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				from := time.Now()
				w := newWorld(t)
				w.duration = func(run flow.Run) time.Duration {
					if run.Trigger.ScheduledAt.Equal(from.Add(10 * time.Minute)) {
						return live
					}
					return time.Second
				}
				s := w.scheduler(every("a", "every 10m", flow.OverlapReplace))
				s.Start()
				pass(11 * time.Minute)
				r := every("a", "cron */2 * * * *", flow.OverlapReplace)
				w.know(r)
				if err := s.Set(r); err != nil {
					t.Fatal(err)
				}
				pass(3*time.Minute + 30*time.Second)
				w.stop(s)
				same(t, w.starts(from), []string{"a+10m0s@10m0s", "a+12m0s@12m0s", "a+14m0s@14m0s"})
				if s.Rearmed() != 0 {
					t.Error("the new alarm did not fire")
				}
			})
		})
	}
}

// A schedule that is removed while its run is live lets go of it at once; one that takes its name fires on time.
func TestRemoveWhileARunIsLive(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		from := time.Now()
		w := newWorld(t)
		w.duration = func(run flow.Run) time.Duration { return time.Hour }
		s := w.scheduler(every("a", "every 10m", flow.OverlapWait))
		s.Start()
		pass(11 * time.Minute)
		old := s.entries[key{"default", "a"}]
		job := old.job
		if err := s.Remove("default", "a"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if !old.busy.TryLock() {
			t.Error("the removed schedule still waits for its run")
		}
		if err := s.Remove("default", "a"); err != nil {
			t.Errorf("remove again: %v", err)
		}
		pass(10 * time.Minute)
		if len(w.tasks()) != 1 || w.tasks()[0].cancelled {
			t.Errorf("%v: want one run, which goes on", w.starts(from))
		}
		r := every("b", "every 5m", flow.OverlapWait)
		w.know(r)
		if err := s.Set(r); err != nil {
			t.Fatal(err)
		}
		if s.entries[key{"default", "b"}].job != job {
			t.Error("gocron got another id, and keeps the goroutine of the old one")
		}
		pass(5 * time.Minute)
		w.stop(s)
		same(t, w.starts(from), []string{"a+10m0s@10m0s", "b+25m0s@25m0s"})
	})
}

func TestApplyIsTheWholeSet(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		from := time.Now()
		w := newWorld(t)
		kept := every("kept", "every 10m", flow.OverlapWait)
		s := w.scheduler(kept, every("gone", "every 10m", flow.OverlapWait))
		s.Start()
		pass(11 * time.Minute)
		job := s.entries[key{"default", "kept"}].job
		added, broken := every("added", "every 4m", flow.OverlapWait), every("broken", "every now and then", flow.OverlapWait)
		w.know(added)
		if err := s.Apply([]flow.ScheduleRecord{broken, kept, added}); err == nil {
			t.Error("a schedule that cannot be read was armed")
		}
		if s.entries[key{"default", "kept"}].job != job || len(s.entries) != 2 {
			t.Errorf("entries %v", s.entries)
		}
		pass(10 * time.Minute)
		w.stop(s)
		got := w.starts(from)[2:]
		slices.Sort(got)
		same(t, got, []string{"added+12m0s@12m0s", "added+16m0s@16m0s", "added+20m0s@20m0s", "kept+20m0s@20m0s"})
	})
}

// Schedules come, change and go from many sides while they fire; what is there at the end fires on time.
func TestChangesFromManySides(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.edits, w.duration = true, func(flow.Run) time.Duration { return 700 * time.Millisecond }
		var records []flow.ScheduleRecord
		for i := range 20 {
			records = append(records, every(fmt.Sprint("s", i), "every 1s", flow.OverlapWait))
		}
		s := w.scheduler(records...)
		s.Start()
		var sides sync.WaitGroup
		for side := range uint64(6) {
			random := rand.New(rand.NewPCG(side, 1))
			sides.Go(func() {
				for range 200 {
					time.Sleep(time.Duration(random.IntN(200)) * time.Millisecond)
					r := records[random.IntN(len(records))]
					r.At = []string{"every 1s", "every 2s"}[random.IntN(2)]
					r.Overlap = []flow.Overlap{flow.OverlapWait, flow.OverlapReplace, flow.OverlapSkip}[random.IntN(3)]
					r.Watermark = time.Now().UTC()
					if err := []func() error{
						func() error { return s.Set(r) },
						func() error { return s.Remove(r.Tenant, r.Name) },
						func() error { return s.Apply(append([]flow.ScheduleRecord{r}, records[:10]...)) },
					}[random.IntN(3)](); err != nil {
						t.Error(err)
					}
				}
			})
		}
		sides.Wait()
		final := records[:5]
		if err := s.Apply(nil); err != nil {
			t.Error(err)
		}
		pass(time.Second)
		for i := range final {
			final[i] = every(final[i].Name, "every 5s", flow.OverlapWait)
			w.know(final[i])
		}
		if err := s.Apply(final); err != nil {
			t.Error(err)
		}
		s.mu.Lock()
		known := len(s.entries) + len(s.spare)
		s.mu.Unlock()
		if known > len(records)+1 {
			t.Errorf("gocron knows %d jobs of %d schedules", known, len(records))
		}
		before := len(w.tasks())
		pass(51 * time.Second)
		w.stop(s)
		for _, x := range w.tasks()[before:] {
			if !x.at.Equal(x.run.Trigger.ScheduledAt) {
				t.Errorf("%s: slot %s ran at %s", x.run.Trigger.Schedule, x.run.Trigger.ScheduledAt, x.at)
			}
		}
		if got := len(w.tasks()) - before; got != 5*10 {
			t.Errorf("%d runs, want 50", got)
		}
	})
}

func TestOnceFiresOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		from := time.Now()
		w := newWorld(t)
		s := w.scheduler(every("a", "once 2000-01-01T00:30:00Z", flow.OverlapWait), every("past", "once 1999-01-01T00:30:00Z", flow.OverlapWait))
		s.Start()
		pass(72 * time.Hour)
		w.stop(s)
		same(t, w.starts(from), []string{"a+30m0s@30m0s"})
	})
}

// A slot stays due after a fault of the host, and is not asked for in a loop.
func TestSlotStaysDueAfterAPanic(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		from := time.Now()
		w := newWorld(t)
		asked := 0
		w.newRun = func(flow.Run) error {
			if time.Since(from) > 11*time.Minute {
				return nil
			}
			asked++
			panic("no plan")
		}
		s := w.scheduler(every("a", "every 10m", flow.OverlapWait))
		s.Start()
		pass(12 * time.Minute)
		if asked < 2 || asked > 6 {
			t.Errorf("asked %d times in a minute, want the alarm and a sweep each 15 s", asked)
		}
		pass(9 * time.Minute)
		w.stop(s)
		same(t, w.starts(from), []string{"a+10m0s@11m15s", "a+20m0s@20m0s"})
	})
}

// A slot whose run cannot be made ends all the same, at its time, whatever the overlap; the slots of a downtime that
// the schedule gives up are missed as ever.
func TestSlotWithoutARunIsSkipped(t *testing.T) {
	t.Parallel()
	for _, overlap := range []flow.Overlap{flow.OverlapWait, flow.OverlapWaitAll, flow.OverlapSkip, flow.OverlapReplace} {
		t.Run(string(overlap), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				from := time.Now()
				w := newWorld(t)
				w.newRun = func(flow.Run) error {
					if time.Since(from) > 25*time.Minute {
						return nil
					}
					return errors.New("no plan")
				}
				a := every("a", "every 10m", overlap)
				a.Watermark = from.Add(-time.Hour)
				s := w.scheduler(a)
				s.Start()
				pass(31 * time.Minute)
				w.stop(s)
				same(t, w.starts(from), []string{"a+30m0s@30m0s"})
				if got, want := fmt.Sprint(w.tally("a")), "map[missed:5 run:1 skipped:3]"; got != want {
					t.Errorf("endings %s, want %s", got, want)
				}
				for _, r := range w.endings["a"] {
					if r.Ending == flow.SlotSkipped && r.Reason != flow.ReasonInvalid {
						t.Errorf("slot %s: reason %q", r.From, r.Reason)
					}
				}
			})
		})
	}
}

// Stop leaves runs alone, waits for no run, and leaves no goroutine: the bubble would not end.
func TestStopWithLiveRuns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.duration = func(flow.Run) time.Duration { return 24 * time.Hour }
		var records []flow.ScheduleRecord
		for i := range 50 {
			overlap := []flow.Overlap{flow.OverlapWait, flow.OverlapWaitAll, flow.OverlapReplace, flow.OverlapSkip}[i%4]
			records = append(records, every(fmt.Sprint("s", i), "every 10m", overlap))
		}
		s := w.scheduler(records...)
		s.Start()
		s.Start() // no second clock
		pass(25 * time.Minute)
		asked := time.Now()
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
		if took := time.Since(asked); took > time.Second {
			t.Errorf("the stop took %s", took)
		}
		if len(w.live) != 50 {
			t.Errorf("%d of 50 runs go on", len(w.live))
		}
		if err := s.Set(every("late", "every 1m", flow.OverlapWait)); err != nil {
			t.Errorf("set after the stop: %v", err)
		}
		if err := s.Remove("default", "s1"); err != nil {
			t.Errorf("remove after the stop: %v", err)
		}
		before := len(w.tasks())
		pass(time.Hour)
		if len(w.tasks()) != before {
			t.Error("fired after the stop")
		}
		w.stop(s)
	})
}

func TestStopWithoutStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.stop(w.scheduler(every("a", "every 10m", flow.OverlapWait)))
	})
}

func TestManySchedulesDueTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		from := time.Now()
		w := newWorld(t)
		var records []flow.ScheduleRecord
		for i := range 2000 {
			records = append(records, every(fmt.Sprint("s", i), "every 10m", flow.OverlapWait))
		}
		s := w.scheduler(records...)
		s.Start()
		pass(21 * time.Minute)
		w.stop(s)
		if len(w.tasks()) != 4000 {
			t.Errorf("%d runs, want 4000", len(w.tasks()))
		}
		for _, x := range w.tasks() {
			if !x.at.Equal(x.run.Trigger.ScheduledAt) {
				t.Fatalf("slot +%s ran at +%s", x.run.Trigger.ScheduledAt.Sub(from), x.at.Sub(from))
			}
		}
	})
}

// In New York the night of 2 April 2000 has no 02:30, that of 29 October two 01:30.
func TestClockChange(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		gap, fold := every("gap", "daily 02:30", flow.OverlapWait), every("fold", "daily 01:30", flow.OverlapWait)
		gap.Timezone, fold.Timezone = "America/New_York", "America/New_York"
		s := w.scheduler(gap, fold)
		s.config.Sweep = 12 * time.Hour // three quarters of a year of sweeps take their time
		s.Start()
		pass(time.Until(time.Date(2000, 11, 2, 0, 0, 0, 0, time.UTC)))
		w.stop(s)
		got := map[string]bool{}
		for _, x := range w.tasks() {
			if !x.at.Equal(x.run.Trigger.ScheduledAt) {
				t.Errorf("slot %s ran at %s", x.run.Trigger.ScheduledAt, x.at)
			}
			got[x.run.Trigger.Schedule+" "+x.at.UTC().Format(time.RFC3339)] = true
		}
		for _, want := range []string{"gap 2000-04-01T07:30:00Z", "gap 2000-04-02T07:00:00Z", "gap 2000-04-03T06:30:00Z", "fold 2000-10-29T05:30:00Z", "fold 2000-10-30T06:30:00Z"} {
			if !got[want] {
				t.Errorf("no run of %s", want)
			}
		}
		if len(w.tasks()) != 2*306 {
			t.Errorf("%d runs in 306 days, want 2 a day", len(w.tasks()))
		}
	})
}

// gocron asks again and again for a time that is past: in its only goroutine, for all schedules.
func TestAlarmIsNeverInThePast(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"every 1s", "daily 02:30", "once 1999-01-01T00:00:00Z", "cron 0 0 29 2 *"} {
		cal, err := calendar.Parse(text, "UTC")
		if err != nil {
			t.Fatal(err)
		}
		for _, last := range []time.Time{{}, time.Now().AddDate(-10, 0, 0), time.Now(), time.Now().AddDate(0, 0, 3)} {
			before := time.Now()
			if next := (alarm{cal}).Next(last); !next.After(before) || !next.After(last) {
				t.Errorf("%s: after %s comes %s", text, last, next)
			}
		}
	}
}
