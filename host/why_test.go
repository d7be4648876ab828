package host_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/uniflow-dev/uniflow/host"
	"github.com/uniflow-dev/uniflow/host/flow"
)

// wantStory is what Why must say about the slot at or before an hour of the test's day.
type wantStory struct {
	schedule string
	after    time.Duration // of the asking, since the start
	standing flow.SlotStanding
	says     string // RUN stands for the id of a run, " … " for any words
}

func (w *wantStory) check(t *testing.T, h *host.Host, start time.Time) {
	t.Helper()
	s, err := h.Why(t.Context(), w.schedule, start.Add(w.after))
	if err != nil {
		t.Error(err)
		return
	}
	text := s.Text
	if s.Run != nil {
		text = strings.ReplaceAll(text, string(s.Run.ID), "RUN")
	}
	rest, said := text, !strings.Contains(text, "\n")
	for part := range strings.SplitSeq(w.says, " … ") {
		var found bool
		_, rest, found = strings.Cut(rest, part)
		said = said && found
	}
	if s.Standing != w.standing || !said {
		t.Errorf("%s at %s: %s, %q; want %s, %q", w.schedule, w.after, s.Standing, text, w.standing, w.says)
	}
}

// lasting defines a pipeline whose runs take a length of time, with a schedule every hour of the same name.
func lasting(t *testing.T, h *host.Host, name string, d time.Duration, overlap flow.Overlap) {
	t.Helper()
	define(t, h, flow.Pipeline{Name: name, Timeout: flow.Timeout{Step: flow.Duration(24 * time.Hour), Run: flow.Duration(24 * time.Hour)}}, func(ctx context.Context, _ *host.Call) error {
		select {
		case <-time.After(d):
		case <-ctx.Done():
		}
		return nil
	})
	if _, err := h.AddSchedule(t.Context(), flow.Schedule{Name: name, Pipeline: name, At: "every 1h", Timezone: "Europe/Berlin", Overlap: overlap}); err != nil {
		t.Fatal(err)
	}
}

// Every way in which a slot can stand is told in one sentence, with the runs that it is about.
func TestWhyTellsWhatBecameOfASlot(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		open := func() *host.Host {
			h, err := host.Open(t.Context(), host.Config{Data: data})
			if err != nil {
				t.Fatal(err)
			}
			lasting(t, h, "quick", time.Second, "")
			lasting(t, h, "skipping", 90*time.Minute, flow.OverlapSkip)
			lasting(t, h, "waiting", 200*time.Minute, "")
			if err := h.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			return h
		}
		time.Sleep(30 * time.Minute)
		start := time.Now().Truncate(time.Hour)
		h := open()
		time.Sleep(5 * time.Hour) // 5:30
		switched := func(on bool) {
			if _, err := h.SetEnabled(t.Context(), "quick", on); err != nil {
				t.Fatal(err)
			}
		}
		switched(false)
		time.Sleep(3 * time.Hour) // 8:30
		now := wantStory{"quick", 8*time.Hour + 20*time.Minute, flow.StandingDisabled, "was disabled since 2000-01-01 06:30: … CET; nothing fires until `uniflow schedule enable quick`"}
		now.check(t, h, start)
		switched(true)
		time.Sleep(time.Hour) // 9:30
		for _, w := range []wantStory{
			{"quick", 2 * time.Hour, flow.StandingRun, "the slot of 2000-01-01 03:00:00 CET ran as run RUN, which succeeded after 1s"},
			{"quick", 2*time.Hour + time.Minute, flow.StandingRun, "2000-01-01 03:01:00 CET lies between two slots; the slot of 2000-01-01 03:00:00 CET ran as"},
			{"quick", 7 * time.Hour, flow.StandingSkipped, "was skipped (paused): the schedule was disabled since 2000-01-01 06:30: … CET until 2000-01-01 09:30: … CET, and `on_resume` is none; the next slot is due at 2000-01-01 11:00:00 CET"},
			{"quick", 30 * time.Minute, flow.StandingBefore, "was applied at 2000-01-01 01:30:"},
			{"quick", 10 * time.Hour, flow.StandingFuture, "is not due yet: it is due in "},
			{"skipping", 2 * time.Hour, flow.StandingSkipped, "was skipped (overlap): `overlap = \"skip\"`, and the pipeline had a live run then, run RUN, which succeeded after 1h30m"},
			{"waiting", 3 * time.Hour, flow.StandingCoalesced, "was coalesced into the newer slot of 2000-01-01 05:00:00 CET, run RUN, which succeeded"},
			{"waiting", 9 * time.Hour, flow.StandingDue, "has been due for … and waits for run RUN, which has been running since 2000-01-01 08:40:"},
		} {
			w.check(t, h, start)
		}
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Hour)
		h = open()
		defer h.Close()
		time.Sleep(time.Minute) // 19:31
		missed, caught := wantStory{"quick", 15 * time.Hour, flow.StandingMissed, "no host served when it came due; after the downtime the newer slot of 2000-01-01 20:00:00 CET was made up for by run "}, wantStory{"quick", 19 * time.Hour, flow.StandingRun, "was made up for after a downtime by run RUN"}
		missed.check(t, h, start)
		caught.check(t, h, start)
	})
}

// The stories of slots that not_on, jitter, timeout.start and on_resume have.
func TestWhyTellsOfTheRulesOfSlots(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		h, err := host.Open(t.Context(), host.Config{Data: data})
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		define(t, h, flow.Pipeline{Name: "quick", Jitter: flow.Duration(30 * time.Minute)}, func(context.Context, *host.Call) error { return nil })
		long := flow.Duration(24 * time.Hour)
		define(t, h, flow.Pipeline{Name: "slow", Timeout: flow.Timeout{Step: long, Run: long, Start: flow.Duration(10 * time.Minute)}}, func(ctx context.Context, _ *host.Call) error {
			select {
			case <-time.After(90 * time.Minute):
			case <-ctx.Done():
			}
			return nil
		})
		add := func(s flow.Schedule) flow.ScheduleInfo {
			s.At, s.Timezone = "every 1h", "Europe/Berlin"
			info, err := h.AddSchedule(t.Context(), s)
			if err != nil {
				t.Fatal(err)
			}
			return info
		}
		start := time.Now()
		info := add(flow.Schedule{Name: "jittery", Pipeline: "quick", NotOn: []string{"2000-01-01T03:00..2000-01-01T04:00", "2000-01-02 FREQ=YEARLY # Second"}, OnResume: flow.ResumeLatest})
		if info.Delay == 0 || info.Delay >= flow.Duration(30*time.Minute) || !info.NextRun.Equal(start.Add(time.Hour+info.Delay.Std())) || len(info.NotOn) != 2 {
			t.Errorf("info %+v", info)
		}
		add(flow.Schedule{Name: "slow", Pipeline: "slow"})
		if err := h.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour + time.Second)
		early := wantStory{"jittery", time.Hour, flow.StandingFuture, "the slot of 2000-01-01 02:00:00 CET is not due yet: it is due in … (jitter delays it by " + info.Delay.String() + ")"}
		early.check(t, h, start)
		time.Sleep(5*time.Hour - time.Second) // 6:00
		for _, w := range []wantStory{
			{"jittery", time.Hour, flow.StandingRun, "ran as run RUN, which succeeded"},
			{"jittery", 2 * time.Hour, flow.StandingSkipped, "was skipped (calendar): `not_on` has 2000-01-01T03:00..2000-01-01T04:00"},
			{"jittery", 24 * time.Hour, flow.StandingFuture, "is not due yet: … , and will be skipped (calendar): `not_on` has 2000-01-02 FREQ=YEARLY # Second"},
			{"slow", 2 * time.Hour, flow.StandingMissed, "was missed (start): its run had not begun when `timeout.start` was over, which is 10m"},
		} {
			w.check(t, h, start)
		}
		fires, err := h.Next(t.Context(), "jittery", start, 24)
		if err != nil || !fires[1].Equal(start.Add(3*time.Hour+info.Delay.Std())) || !fires[20].Equal(start.Add(22*time.Hour+info.Delay.Std())) || !fires[21].Equal(start.Add(47*time.Hour+info.Delay.Std())) {
			t.Errorf("fires %v, %v", fires, err)
		}
		report, err := h.Backfill(t.Context(), flow.BackfillRequest{Name: "jittery", From: start, DryRun: true})
		if err != nil || len(report.Slots) != 6 || report.Left != 1 { // midnight to six
			t.Errorf("backfill %+v, %v", report, err)
		}
		for _, on := range []bool{false, true} {
			if _, err := h.SetEnabled(t.Context(), "jittery", on); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Hour)
		}
		resumed := wantStory{"jittery", 8 * time.Hour, flow.StandingRun, "the slot of 2000-01-01 08:00:00 CET was made up for when the schedule was enabled again, by run RUN"}
		resumed.after = 7 * time.Hour
		resumed.check(t, h, start)
		health, err := h.ScheduleHealth(t.Context())
		if err != nil || health[0].Schedule != "jittery" || health[0].Status != flow.HealthOK {
			t.Errorf("health %+v, %v", health, err)
		}
	})
}

// What a schedule cannot be is refused with what it can.
func TestSchedulesThatAreRefused(t *testing.T) {
	t.Parallel()
	h := begin(t, host.Config{Data: t.TempDir()})
	define(t, h, flow.Pipeline{Name: "p"}, func(context.Context, *host.Call) error { return nil })
	for name, c := range map[string]struct {
		s    flow.Schedule
		code flow.Code
	}{
		"never":    {flow.Schedule{At: "cron 0 0 30 2 *"}, flow.CodeScheduleNever},
		"all days": {flow.Schedule{At: "weekly sat 12:00", NotOn: []string{"sat"}}, flow.CodeScheduleNever},
		"jitter":   {flow.Schedule{At: "every 1m", Jitter: flow.Duration(time.Minute)}, flow.CodeJitter},
		"bounds":   {flow.Schedule{At: "every 1m", From: "2027-01-02", To: "2027-01-01"}, flow.CodeScheduleBounds},
		"a file":   {flow.Schedule{At: "every 1m", NotOn: []string{"holidays.ics"}}, flow.CodeNotOn},
		"a word":   {flow.Schedule{At: "every 1m", OnResume: "some"}, flow.CodeRequest},
		"a zone":   {flow.Schedule{At: "daily 12:00", Timezone: "Europe/Berln"}, flow.CodeScheduleZone},
	} {
		c.s.Name, c.s.Pipeline = "s", "p"
		if _, err := h.AddSchedule(t.Context(), c.s); flow.CodeOf(err) != c.code {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
	}
}
