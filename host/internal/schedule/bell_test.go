package schedule

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// bell is the one that a schedule rings with.
func (s *Scheduler) bell(name string) *bell { return s.bells[s.entries[key{"default", name}].times] }

// Schedules of one timetable share an alarm, which each of them can leave; none is ever without.
func TestSchedulesOfOneTimetableRingTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		from := time.Now()
		w := newWorld(t)
		s := w.scheduler(every("a", "every 10m", flow.OverlapWait), every("b", "every 10m", flow.OverlapWait), every("c", "every 15m", flow.OverlapWait))
		if s.bell("a") != s.bell("b") || len(s.bells) != 2 {
			t.Errorf("%d bells for two timetables", len(s.bells))
		}
		s.Start()
		pass(11 * time.Minute)
		moved := every("b", "every 15m", flow.OverlapWait)
		w.know(moved)
		if err := s.Set(moved); err != nil {
			t.Fatal(err)
		}
		if s.bell("b") != s.bell("c") || len(s.bell("a").entries) != 1 {
			t.Error("an edited schedule did not change its bell")
		}
		pass(5 * time.Minute)
		if err := s.Remove("default", "a"); err != nil {
			t.Fatal(err)
		}
		pass(15 * time.Minute)
		w.stop(s)
		got := w.starts(from)
		slices.Sort(got)
		same(t, got, []string{"a+10m0s@10m0s", "b+10m0s@10m0s", "b+15m0s@15m0s", "b+30m0s@30m0s", "c+15m0s@15m0s", "c+30m0s@30m0s"})
		if len(s.bells) != 1 || len(s.spare) != 1 || s.Rearmed() != 0 {
			t.Errorf("%d bells, %d spare, %d rearmed", len(s.bells), len(s.spare), s.Rearmed())
		}
	})
}
