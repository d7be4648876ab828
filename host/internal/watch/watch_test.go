package watch

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/calendar"
)

// Promise: a failure is told once, its end too, whatever happens to the host between.
func TestAFailureIsToldOnceAcrossRestarts(t *testing.T) {
	t.Parallel()
	inBubble(t, func(r *rig) {
		r.schedule("p", "every 1h")
		r.ran("p", time.Second, succeeded())
		r.wants(5 * time.Second)
		run := r.ran("p", time.Second, failed())
		r.wants(5*time.Second, "ops p: failed")
		incidents, err := r.OpenIncidents(r.Context())
		r.must(err)
		if len(incidents) != 1 || incidents[0].Run != run || incidents[0].Next != "uniflow runs show "+string(run) || incidents[0].Owner != "team" || strings.Contains(incidents[0].Detail, "plugin said") {
			r.Fatalf("incidents %+v", incidents)
		}
		r.ran("p", time.Second, failed())
		r.wants(time.Minute)
		r.stop()
		r.start()
		r.ran("p", time.Second, failed())
		r.wants(time.Minute)
		r.ran("p", time.Second, succeeded())
		r.wants(5*time.Second, "ops p: failed, over")
		r.stop()
		r.start()
		r.wants(time.Minute)
		r.ran("p", time.Second, failed())
		r.wants(5*time.Second, "ops p: failed")
	})
}

// A failure is no less one because a success came before anybody looked; and one that ended just before a crash is told
// by the next life.
func TestAFailureBetweenTwoLooksIsTold(t *testing.T) {
	t.Parallel()
	inBubble(t, func(r *rig) {
		r.schedule("p", "every 1h")
		r.wants(5 * time.Second)
		r.ran("p", 0, failed())
		r.ran("p", 0, succeeded())
		r.ran("p", 0, failed())
		r.ran("p", 0, succeeded())
		r.wants(5*time.Second, "ops p: failed", "ops p: failed, over", "ops p: failed", "ops p: failed, over")

		r.cancel()
		<-r.done // nobody looks any more
		r.ran("p", 0, failed())
		r.ran("p", 0, succeeded())
		r.must(r.Close())
		r.start()
		r.wants(5*time.Second, "ops p: failed", "ops p: failed, over")
	})
}

func TestSeveralFailuresMayBeAllowed(t *testing.T) {
	t.Parallel()
	inBubble(t, func(r *rig) {
		r.change(func() { r.plans[0].Expect.Failures = 3 })
		r.schedule("p", "every 1h")
		r.schedule("q", "every 1h")
		for _, schedule := range []string{"p", "q", "p", "q"} {
			r.ran(schedule, time.Second, failed())
		}
		r.ran("p", 0, flow.Ending{Outcome: flow.Cancelled}) // says nothing
		r.wants(time.Minute)
		r.stop()
		r.start()
		r.ran("p", 0, failed())
		r.wants(time.Minute, "ops p: failed")
		r.ran("q", 0, succeeded())
		r.ran("q", 0, failed())
		r.wants(time.Minute)
		r.ran("p", 0, flow.Ending{Outcome: flow.Skipped, Reason: flow.ReasonCondition})
		r.wants(time.Minute, "ops p: failed, over")
	})
}

func TestARunByHandThatFailsIsTold(t *testing.T) {
	t.Parallel()
	inBubble(t, func(r *rig) {
		r.schedule("p", "every 24h")
		r.ran("", time.Second, failed())
		r.wants(5*time.Second, "ops p: failed")
		r.ran("p", time.Second, succeeded())
		r.wants(5*time.Second, "ops p: failed, over")
		r.cancel()
		<-r.done
		r.ran("", 0, failed())
		time.Sleep(2 * time.Hour)
		r.must(r.Close())
		r.start()
		r.wants(time.Minute) // that is no news
	})
}

func TestLateIsASlotThatDoesNotStart(t *testing.T) {
	t.Parallel()
	inBubble(t, func(r *rig) {
		r.schedule("p", "every 1h") // the bubble begins at midnight
		r.wants(time.Hour + 5*time.Minute)
		r.wants(30*time.Second, "ops p: late")
		r.wants(time.Hour)
		r.ran("p", time.Second, succeeded())
		r.wants(30*time.Second, "ops p: late, over")
	})
}

// A slot that waits for the schedule's own run is not late; one that waits for another for an hour is.
func TestASlotThatWaitsForItsTurnIsLateAfterAnHour(t *testing.T) {
	t.Parallel()
	inBubble(t, func(r *rig) {
		r.schedule("p", "every 1h")
		live := r.begins("")
		now := time.Now()
		_, err := r.Offer(r.Context(), flow.Offer{Overlap: flow.OverlapWait, Watermark: now, Run: flow.Run{
			ID: flow.NewRunID(now), Tenant: "default", Pipeline: "p", Trigger: flow.Trigger{Kind: flow.TriggerSchedule, Schedule: "p", ScheduledAt: now},
		}})
		r.must(err)
		r.wants(59 * time.Minute)
		r.wants(2*time.Minute, "ops p: late")
		r.must(r.Finish(r.Context(), live, succeeded()))
		claimed, _, err := r.ClaimNext(r.Context(), "default", "p")
		r.must(err)
		r.must(r.Finish(r.Context(), claimed.Claim, succeeded()))
		r.must(r.SaveSlots(r.Context(), "default", "p", time.Now(), nil))
		r.wants(time.Minute, "ops p: late, over")
	})
}

func TestSilentIsAScheduleOfWhichNothingRuns(t *testing.T) {
	t.Parallel()
	inBubble(t, func(r *rig) {
		r.slowly(10 * time.Minute)
		r.schedule("p", "daily 02:00")
		// Its slots have endings, so that it is not late, and no run.
		for range 2 {
			r.must(r.SaveSlots(r.Context(), "default", "p", time.Now().Add(24*time.Hour), nil))
			r.wants(24 * time.Hour)
		}
		r.must(r.SaveSlots(r.Context(), "default", "p", time.Now().Add(24*time.Hour), nil))
		r.wants(11*time.Minute, "ops p: silent")
		r.ran("", time.Second, succeeded()) // by hand, says nothing of the schedule
		r.wants(11 * time.Minute)
		r.ran("p", time.Second, succeeded())
		r.wants(11*time.Minute, "ops p: silent, over")
	})
}

func TestRunsThatWereDroppedKeepNoScheduleFromFallingSilent(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 10, 12, 0, 0, 0, time.UTC)
	cal, err := calendar.Parse("daily 02:00", "UTC")
	if err != nil {
		t.Fatal(err)
	}
	s := Subject{Cal: cal, Record: &flow.ScheduleRecord{Since: now.AddDate(0, 0, -9), Watermark: now, PlanSchedule: flow.PlanSchedule{Name: "p", Enabled: true}}}
	for day := range 9 {
		dropped := flow.RunBrief{Kind: flow.TriggerSchedule, State: flow.StateEnded, QueuedAt: now.AddDate(0, 0, -day), Ending: flow.Overdue()}
		s.Recent = append(s.Recent, dropped)
	}
	if found := JudgeSchedule(&s, now); len(found) != 1 || found[0].Condition != flow.ConditionSilent {
		t.Errorf("found %+v, want silent: every run was dropped", found)
	}
	s.Recent[1].Ending = succeeded()
	if found := JudgeSchedule(&s, now); len(found) != 0 {
		t.Errorf("found %+v, though yesterday's ran", found)
	}
}

func TestASlotThatIsNotMeantToRunIsNotMissed(t *testing.T) {
	t.Parallel()
	inBubble(t, func(r *rig) {
		r.slowly(10 * time.Minute)
		r.change(func() { r.plans[0].Expect = flow.PlanExpect{Expect: flow.Expect{By: "06:00"}, Timezone: "UTC"} })
		r.schedule("p", "daily 02:00")
		for day := range 4 {
			at := time.Date(2000, 1, 1+day, 2, 0, 0, 0, time.UTC)
			time.Sleep(time.Until(at))
			r.must(r.SaveSlots(r.Context(), "default", "p", at, []flow.SlotRecord{{Pipeline: "p", From: at, To: at, Count: 1, Ending: flow.SlotSkipped, Reason: flow.ReasonCalendar}}))
			r.wants(12 * time.Hour)
		}
	})
}

func TestExpectIsWatched(t *testing.T) {
	t.Parallel()
	inBubble(t, func(r *rig) {
		r.slowly(5 * time.Minute)
		r.change(func() {
			r.plans[0].Expect = flow.PlanExpect{Expect: flow.Expect{Every: flow.Duration(26 * time.Hour), By: "06:00"}, Timezone: "Asia/Tokyo"}
		}) // 21:00 UTC
		r.schedule("p", "daily 17:00")
		time.Sleep(17 * time.Hour)
		r.ran("p", time.Minute, succeeded())
		r.wants(24*time.Hour - time.Minute) // 17:00 of the second day
		r.ran("p", time.Minute, failed())
		r.wants(time.Hour, "ops p: failed")
		r.wants(time.Hour+6*time.Minute, "ops p: silent") // at 19:01
		r.wants(time.Hour + 48*time.Minute)
		r.wants(11*time.Minute, "ops p: late") // at 21:00
		r.ran("", time.Minute, succeeded())
		r.wants(6*time.Minute, "ops p: silent, over", "ops p: late, over")
		if got := r.open(); !slices.Equal(got, []flow.Condition{flow.ConditionFailed}) {
			r.Errorf("open %v", got)
		}
	})
}

func TestAPipelineThatNothingFiresForIsWatched(t *testing.T) {
	t.Parallel()
	inBubble(t, func(r *rig) {
		r.change(func() {
			r.plans[0].Expect = flow.PlanExpect{Expect: flow.Expect{Every: flow.Duration(time.Hour)}, Timezone: "UTC"}
		})
		r.must(r.SavePlan(r.Context(), flow.Plan{Tenant: "default", Pipeline: "p", Digest: flow.DigestOf(nil)}))
		r.wants(59 * time.Minute)
		r.wants(2*time.Minute, "ops p: silent")
		r.ran("", time.Second, succeeded())
		r.wants(time.Minute, "ops p: silent, over")
	})
}

func TestDisabledByHandIsToldAfterTwoDays(t *testing.T) {
	t.Parallel()
	inBubble(t, func(r *rig) {
		r.slowly(10 * time.Minute)
		r.schedule("p", "every 1h")
		off := false
		r.must(r.SetOverride(r.Context(), "default", "p", &off))
		r.wants(47 * time.Hour)
		r.stop()
		r.start()
		r.must(r.SetOverride(r.Context(), "default", "p", &off)) // again: it was disabled before
		r.wants(72*time.Minute, "ops p: disabled")
		r.must(r.SaveSlots(r.Context(), "default", "p", time.Now(), nil))
		r.must(r.SetOverride(r.Context(), "default", "p", nil))
		r.wants(11*time.Minute, "ops p: disabled, over")
	})
}

func TestDriftingIsAMedianOverTheInterval(t *testing.T) {
	t.Parallel()
	inBubble(t, func(r *rig) {
		r.schedule("p", "every 1m")
		for range 2 {
			r.ran("p", 70*time.Second, succeeded())
		}
		r.wants(20 * time.Second)
		r.ran("p", 70*time.Second, succeeded())
		r.wants(20*time.Second, "ops p: drifting")
		for range 10 { // 58 s is no recovery: the next run would begin it anew
			r.ran("p", 58*time.Second, succeeded())
		}
		r.wants(20 * time.Second)
		for range 10 {
			r.ran("p", 10*time.Second, succeeded())
		}
		r.wants(20*time.Second, "ops p: drifting, over")
	})
}

func TestBrokenIsTold(t *testing.T) {
	t.Parallel()
	inBubble(t, func(r *rig) {
		r.change(func() { r.broken["p"] = errors.New("its context holds 2013") })
		r.schedule("p", "every 1h")
		r.wants(time.Minute, "ops p: broken")
		incidents, err := r.OpenIncidents(r.Context())
		r.must(err)
		if len(incidents) != 1 || strings.Contains(incidents[0].Detail, "2013") {
			r.Errorf("incidents %+v", incidents)
		}
		r.change(func() { delete(r.broken, "p") })
		r.ran("p", time.Second, succeeded()) // something changes
		r.wants(time.Minute, "ops p: broken, over")
	})
}

// One message about the host stands for one about each of its schedules.
func TestAHostThatIsBehindIsToldOnce(t *testing.T) {
	t.Parallel()
	inBubble(t, func(r *rig) {
		r.anew(func() {
			r.alerts["all"] = flow.Alert{URL: flow.SecretText{Text: "https://x"}, On: []string{"behind", "late"}}
		})
		names := []string{"p", "q", "s", "t"}
		for _, name := range names {
			r.schedule(name, "every 10m")
		}
		time.Sleep(11 * time.Minute)
		for range 2 {
			r.sink.set(nil)
			time.Sleep(time.Minute)
		}
		r.sink.mu.Lock()
		told := slices.Sorted(slices.Values(r.sink.told))
		r.sink.told = nil
		r.sink.mu.Unlock()
		if len(told) != 2 || !strings.HasPrefix(told[0], "all host ") || !strings.HasSuffix(told[1], ": behind") {
			r.Errorf("told %q", told)
		}
		r.wants(20 * time.Minute)
		for _, name := range names {
			r.ran(name, 0, succeeded())
		}
		time.Sleep(time.Minute)
		if open := r.open(); len(open) != 0 {
			r.Errorf("open %v", open)
		}
	})
}

// What nobody fires any more is not waited for.
func TestWhatIsGoneIsClosed(t *testing.T) {
	t.Parallel()
	inBubble(t, func(r *rig) {
		r.schedule("p", "every 1h")
		r.schedule("q", "every 1h")
		r.ran("p", 0, failed())
		r.ran("q", 0, failed())
		r.wants(5*time.Second, "ops p: failed", "ops q: failed")
		off := false
		r.must(r.SetOverride(r.Context(), "default", "p", &off))
		r.must(r.DeleteSchedule(r.Context(), "default", "q"))
		r.wants(time.Minute, "ops p: failed, over", "ops q: failed, over")
	})
}

// An alert is told of what it lists, and of the end of nothing that it was not told of.
func TestAnAlertHearsWhatItLists(t *testing.T) {
	t.Parallel()
	inBubble(t, func(r *rig) {
		r.anew(func() {
			r.plans[0].Alerts = []string{"fails", "late", "ends", "none"}
			r.alerts["fails"] = flow.Alert{On: []string{"failed"}}
			r.alerts["late"] = flow.Alert{On: []string{"late", "recovered"}}
			r.alerts["ends"] = flow.Alert{On: []string{"failed", "recovered"}}
		})
		r.schedule("p", "every 1h")
		r.ran("p", 0, failed())
		time.Sleep(5 * time.Second)
		r.ran("p", 0, succeeded())
		time.Sleep(5 * time.Second)
		r.sink.mu.Lock()
		got := slices.Sorted(slices.Values(r.sink.told))
		r.sink.mu.Unlock()
		if want := []string{"ends p: failed", "ends p: failed, over", "fails p: failed"}; !slices.Equal(got, want) {
			r.Errorf("told %q", got)
		}
	})
}

// Schedules may catch up after the start and after a sleep of the machine before they are judged.
func TestNothingIsLateBeforeItCouldCatchUp(t *testing.T) {
	t.Parallel()
	inBubble(t, func(r *rig) {
		r.schedule("p", "every 1h")
		r.stop()
		time.Sleep(10 * time.Hour)
		r.start()
		time.Sleep(20 * time.Second)
		r.ran("p", time.Second, succeeded())
		r.wants(time.Minute)
	})
}

// A fault of the watcher's own ends no host, and loses nothing.
func TestAPanicOfTheWatcherIsSurvived(t *testing.T) {
	t.Parallel()
	inBubble(t, func(r *rig) {
		r.schedule("p", "every 24h")
		r.change(func() { r.plans = append(r.plans, nil) })
		r.ran("p", 0, failed())
		r.wants(time.Minute)
		r.change(func() { r.plans = r.plans[:1] })
		r.wants(time.Minute, "ops p: failed")
	})
}
