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
			{"quick", 7 * time.Hour, flow.StandingDisabled, "was disabled since 2000-01-01 06:30: … CET until 2000-01-01 09:30: … CET; the next slot is due at 2000-01-01 11:00:00 CET"},
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
