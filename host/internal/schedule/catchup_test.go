package schedule

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

func TestCatchUp(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		catchup flow.Catchup
		overlap flow.Overlap
		down    time.Duration
		starts  []string
		missed  int
	}{
		{"none", flow.Catchup{Runs: "none", Within: flow.Duration(time.Hour)}, flow.OverlapWait, 65 * time.Minute, []string{}, 6},
		{"latest", flow.Catchup{Runs: "latest", Within: flow.Duration(time.Hour)}, flow.OverlapWait, 65 * time.Minute, []string{"a-5m0s@0s"}, 5},
		{"latest too old", flow.Catchup{Runs: "latest", Within: flow.Duration(time.Minute)}, flow.OverlapWait, 65 * time.Minute, []string{}, 6},
		{"all", flow.Catchup{Runs: "all", Within: flow.Duration(24 * time.Hour)}, flow.OverlapWait, 35 * time.Minute, []string{"a-25m0s@0s", "a-15m0s@1m0s", "a-5m0s@2m0s"}, 0},
		{"all within", flow.Catchup{Runs: "all", Within: flow.Duration(20 * time.Minute)}, flow.OverlapWait, 65 * time.Minute, []string{"a-15m0s@0s", "a-5m0s@1m0s"}, 4},
		{"all at most", flow.Catchup{Runs: "all", Within: flow.Duration(24 * time.Hour), Max: 2}, flow.OverlapWait, 65 * time.Minute, []string{"a-15m0s@0s", "a-5m0s@1m0s"}, 4},
		{"all, none takes another's place", flow.Catchup{Runs: "all", Within: flow.Duration(24 * time.Hour)}, flow.OverlapReplace, 35 * time.Minute, []string{"a-25m0s@0s", "a-15m0s@1m0s", "a-5m0s@2m0s"}, 0},
		{"all, none is skipped", flow.Catchup{Runs: "all", Within: flow.Duration(24 * time.Hour)}, flow.OverlapSkip, 35 * time.Minute, []string{"a-25m0s@0s", "a-15m0s@1m0s", "a-5m0s@2m0s"}, 0},
		{"all by default at most 100", flow.Catchup{Runs: "all", Within: flow.Duration(2400 * time.Hour)}, flow.OverlapWait, 2000 * time.Minute, nil, 100},
		{"two months", flow.Catchup{Runs: "latest", Within: flow.Duration(time.Hour)}, flow.OverlapSkip, 60 * 24 * time.Hour, []string{"a+0s@0s"}, 8639},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				pass(test.down % (10 * time.Minute)) // slots fall on tens of minutes
				from := time.Now()
				w := newWorld(t)
				w.duration = func(flow.Run) time.Duration { return time.Minute }
				r := every("a", "every 10m", test.overlap)
				r.Catchup, r.Watermark = test.catchup, from.Add(-test.down)
				s := w.scheduler(r)
				s.Start()
				pass(3*time.Minute + 30*time.Second)
				if test.missed == 100 {
					pass(100 * time.Minute)
				}
				w.stop(s)
				switch got := w.starts(from); {
				case test.starts != nil:
					same(t, got, test.starts)
				case len(got) < 100:
					t.Errorf("%d runs", len(got))
				}
				if got := w.tally("a")[flow.SlotMissed]; got != test.missed {
					t.Errorf("%d slots missed, want %d", got, test.missed)
				}
				for _, x := range w.tasks() {
					if x.run.Trigger.ScheduledAt.Before(from) && x.run.Trigger.Kind != flow.TriggerCatchup {
						t.Errorf("trigger %s", x.run.Trigger.Kind)
					}
				}
				if s.Rearmed() != 0 {
					t.Error("a downtime was taken for a fault of the clock")
				}
			})
		})
	}
}

// What is owed is settled at the start: a slot does not grow too old while those before it run.
func TestCatchUpWithinCountsFromTheStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		pass(5 * time.Minute)
		from := time.Now()
		w := newWorld(t)
		w.duration = func(flow.Run) time.Duration { return 30 * time.Minute }
		r := every("a", "every 10m", flow.OverlapWait)
		r.Catchup, r.Watermark = flow.Catchup{Runs: "all", Within: flow.Duration(20 * time.Minute)}, from.Add(-35*time.Minute)
		s := w.scheduler(r)
		s.Start()
		pass(61 * time.Minute)
		w.stop(s)
		same(t, w.starts(from), []string{"a-15m0s@0s", "a-5m0s@30m0s", "a+55m0s@1h0m0s"})
		if got := w.tally("a"); got[flow.SlotMissed] != 1 || got[flow.SlotCoalesced] != 5 {
			t.Errorf("endings %v", got)
		}
	})
}

// All of a downtime's slots run one after the other, also behind a run that is live.
func TestCatchUpAllBehindALiveRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		pass(5 * time.Minute)
		from := time.Now()
		w := newWorld(t)
		w.duration = func(flow.Run) time.Duration { return time.Minute }
		r := every("a", "every 10m", flow.OverlapWait)
		r.Catchup, r.Watermark = flow.Catchup{Runs: "all", Within: flow.Duration(time.Hour)}, from.Add(-35*time.Minute)
		s := w.scheduler(r)
		w.manual("a")
		s.Start()
		pass(4*time.Minute + time.Second)
		w.stop(s)
		same(t, w.starts(from), []string{"+0s@0s", "a-25m0s@1m0s", "a-15m0s@2m0s", "a-5m0s@3m0s"})
	})
}

// A clock that went on by itself makes a downtime of what it skipped.
func TestClockJumpIsADowntime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := every("a", "every 10m", flow.OverlapWait)
		s := w.scheduler(r)
		s.Start()
		pass(12 * time.Minute)
		down := s.down.Load()
		s.look(time.Now())
		if s.down.Load() != down {
			t.Error("a look in the sweeper's rhythm was taken for a jump")
		}
		s.seen.Store(time.Now().Add(-time.Minute).UnixNano())
		s.look(time.Now())
		if s.down.Load() != down {
			t.Error("a minute without a look was taken for a jump")
		}
		s.seen.Store(time.Now().Add(time.Hour).UnixNano())
		s.look(time.Now())
		if s.down.Load() != down {
			t.Error("a step back was taken for a jump")
		}
		// As if the last 12 minutes had been asleep: the slot at 10 was not taken.
		w.mu.Lock()
		w.watermark["a"], w.endings["a"] = r.Watermark, map[int64]flow.SlotRecord{}
		w.mu.Unlock()
		s.seen.Store(r.Watermark.UnixNano())
		e := s.entries[key{"default", "a"}]
		e.mu.Lock()
		e.record.Watermark, e.record.Catchup.Runs = r.Watermark, "none"
		e.mu.Unlock()
		s.fire(e)
		w.stop(s)
		if got := w.tally("a"); got[flow.SlotMissed] != 1 || len(w.tasks()) != 1 {
			t.Errorf("endings %v, %d runs; want the slot of the jump missed", got, len(w.tasks()))
		}
	})
}
