package watch

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// attempts lists when messages were tried and what came of it.
func (r *rig) attempts() []flow.Event {
	r.Helper()
	events, err := r.Events(r.Context(), flow.EventQuery{Limit: 10_000})
	r.must(err)
	var all []flow.Event
	for i := range events {
		if events[i].Kind == flow.AlertSent || events[i].Kind == flow.AlertFailed {
			all = append(all, events[i])
		}
	}
	return all
}

// Promise: a message is tried again, later and later, across restarts, until it is taken; every attempt is recorded, and
// the target's secret in none.
func TestAMessageIsTriedUntilItIsTaken(t *testing.T) {
	t.Parallel()
	inBubble(t, func(r *rig) {
		r.anew(func() { r.alerts["ops"] = flow.Alert{URL: flow.SecretText{Secret: "URL"}} })
		r.sink.set(func(_ context.Context, t Target, _ *Message) error { return errors.New("cannot reach " + t.URL) })
		r.schedule("p", "every 24h")
		r.ran("p", 0, failed())
		r.wants(10 * time.Minute)
		r.stop()
		r.start()
		r.sink.set(nil)
		r.wants(time.Hour, "ops p: failed")
		all := r.attempts()
		if len(all) < 6 {
			r.Fatalf("%d attempts: %+v", len(all), all)
		}
		for i, e := range all {
			var detail struct {
				Attempt int
				Target  string
			}
			r.must(json.Unmarshal(e.Detail, &detail))
			last := i == len(all)-1
			if detail.Attempt != i+1 || detail.Target != "ops" || last != (e.Kind == flow.AlertSent) || last != (e.Message == "") || strings.Contains(e.Message, "secret of") {
				r.Errorf("attempt %d: %+v", i+1, e)
			}
			if i == 0 {
				continue
			}
			if got, want := all[i].At.Sub(all[i-1].At), firstWait<<(i-1); got < want {
				r.Errorf("attempt %d comes %s after the one before, want %s", i+1, got, want)
			}
		}
	})
}

// What never arrives is given up after a day, and its end is not told; the host's health says so meanwhile and after.
func TestAMessageIsGivenUpAfterADay(t *testing.T) {
	t.Parallel()
	inBubble(t, func(r *rig) {
		r.sink.set(func(context.Context, Target, *Message) error { return errors.New("no") })
		r.slowly(10 * time.Minute)
		r.schedule("p", "every 24h")
		r.ran("p", 0, failed())
		time.Sleep(time.Minute)
		unsent, err := r.Undelivered(r.Context(), time.Now())
		r.must(err)
		if len(unsent) != 1 || unsent[0].Pending != 1 || unsent[0].Error != "no" {
			r.Errorf("undelivered %+v", unsent)
		}
		off := false
		r.must(r.SetOverride(r.Context(), "default", "p", &off)) // so that nothing else is told
		time.Sleep(26 * time.Hour)
		// The end of it was asked for while its beginning was tried.
		if unsent, err = r.Undelivered(r.Context(), time.Now().Add(-48*time.Hour)); err != nil || len(unsent) != 1 || unsent[0].Pending != 0 || unsent[0].GivenUp != 2 {
			r.Errorf("undelivered %+v, %v", unsent, err)
		}
	})
}

// A target that refuses for ever is asked once.
func TestAMessageThatIsRefusedForEverIsGivenUp(t *testing.T) {
	t.Parallel()
	inBubble(t, func(r *rig) {
		r.sink.set(func(context.Context, Target, *Message) error { return &refusal{message: "gone", forever: true} })
		r.schedule("p", "every 24h")
		r.ran("p", 0, failed())
		r.wants(30 * time.Minute)
		if all := r.attempts(); len(all) != 1 {
			r.Errorf("attempts %+v", all)
		}
		r.sink.set(nil)
		r.ran("p", 0, succeeded())
		r.wants(30 * time.Minute) // nobody was told of the beginning
	})
}

// A target that asks for time gets it.
func TestATargetThatAsksForTimeGetsIt(t *testing.T) {
	t.Parallel()
	inBubble(t, func(r *rig) {
		r.sink.set(func(context.Context, Target, *Message) error {
			r.sink.set(nil)
			return &refusal{message: "busy", after: 7 * time.Minute}
		})
		r.schedule("p", "every 24h")
		r.ran("p", 0, failed())
		r.wants(7 * time.Minute)
		r.wants(time.Minute, "ops p: failed")
	})
}

// Promise: a target that hangs for ten minutes, or panics, disturbs nothing: not other targets, not the watching, not the
// end of the host.
func TestATargetThatHangsOrPanicsDisturbsNothing(t *testing.T) {
	t.Parallel()
	inBubble(t, func(r *rig) {
		r.anew(func() {
			r.plans[0].Alerts = []string{"hangs", "panics", "ops"}
			r.alerts["hangs"], r.alerts["panics"] = flow.Alert{}, flow.Alert{}
		})
		var hung atomic.Int64
		r.sink.set(func(_ context.Context, t Target, _ *Message) error {
			switch t.Name {
			case "hangs":
				hung.Add(1)
				time.Sleep(10 * time.Minute) // and does not look at its context
				return nil
			case "panics":
				panic("a nil map, perhaps")
			}
			return nil
		})
		r.schedule("p", "every 24h")
		r.ran("p", 0, failed())
		r.wants(5*time.Second, "ops p: failed")
		r.ran("p", 0, succeeded())
		r.wants(5*time.Second, "ops p: failed, over")
		time.Sleep(5 * time.Minute)
		if got := hung.Load(); got != mostHanging {
			r.Errorf("%d attempts hang, want %d", got, mostHanging)
		}
		begun := time.Now()
		r.stop()
		if took := time.Since(begun); took > endTime {
			r.Errorf("the end took %s", took)
		}
		time.Sleep(20 * time.Minute) // what hangs is over
		synctest.Wait()
		r.sink.set(nil)
		r.start()
		time.Sleep(2 * time.Hour)
		r.sink.mu.Lock()
		defer r.sink.mu.Unlock()
		told := map[string]int{}
		for _, m := range r.sink.told {
			told[m]++
		}
		for _, m := range []string{"panics p: failed", "panics p: failed, over", "hangs p: failed, over"} {
			if told[m] != 1 {
				r.Errorf("told %v", told)
			}
		}
	})
}

// An attempt that the end of the host cuts off is none, and is made by the next life.
func TestTheEndOfTheHostCutsAnAttemptOff(t *testing.T) {
	t.Parallel()
	inBubble(t, func(r *rig) {
		r.sink.set(func(ctx context.Context, _ Target, _ *Message) error {
			<-ctx.Done()
			return context.Cause(ctx)
		})
		r.schedule("p", "every 24h")
		r.ran("p", 0, failed())
		r.wants(5 * time.Second)
		begun := time.Now()
		r.stop()
		if took := time.Since(begun); took != 0 {
			r.Errorf("the end took %s", took)
		}
		r.sink.set(nil)
		r.start()
		r.wants(5*time.Second, "ops p: failed")
		if all := r.attempts(); len(all) != 1 || all[0].Kind != flow.AlertSent {
			r.Errorf("attempts %+v", all)
		}
	})
}

// The end of an incident is not told before its beginning.
func TestTheEndComesAfterTheBeginning(t *testing.T) {
	t.Parallel()
	inBubble(t, func(r *rig) {
		r.sink.set(func(context.Context, Target, *Message) error { return errors.New("no") })
		r.schedule("p", "every 24h")
		r.ran("p", 0, failed())
		r.wants(time.Minute)
		r.ran("p", 0, succeeded())
		r.wants(time.Minute)
		r.sink.set(nil)
		r.wants(5*time.Minute, "ops p: failed", "ops p: failed, over")
	})
}

// A target that takes a message again gets at once what has waited for it.
func TestATargetThatIsBackGetsWhatHasWaited(t *testing.T) {
	t.Parallel()
	inBubble(t, func(r *rig) {
		r.slowly(10 * time.Minute)
		r.sink.set(func(context.Context, Target, *Message) error { return errors.New("no") })
		for _, name := range []string{"p", "q"} {
			r.schedule(name, "every 24h")
			r.ran(name, 0, failed())
		}
		r.wants(10 * time.Hour)
		r.sink.set(nil)
		r.schedule("s", "every 24h")
		r.ran("s", 0, failed())
		r.wants(10*time.Second, "ops s: failed", "ops p: failed", "ops q: failed")
	})
}

// The alert that a message was for may be gone when its time comes.
func TestAMessageForATargetThatIsGoneIsGivenUp(t *testing.T) {
	t.Parallel()
	inBubble(t, func(r *rig) {
		r.sink.set(func(context.Context, Target, *Message) error { return errors.New("no") })
		r.schedule("p", "every 24h")
		r.ran("p", 0, failed())
		r.wants(5 * time.Second)
		r.stop()
		r.alerts = map[string]flow.Alert{}
		r.start()
		r.wants(time.Hour)
		unsent, err := r.Undelivered(r.Context(), time.Time{})
		r.must(err)
		if len(unsent) != 1 || unsent[0].GivenUp != 1 || !strings.Contains(unsent[0].Error, `no alert "ops" any more`) {
			r.Errorf("undelivered %+v", unsent)
		}
	})
}

// faulty is a ledger whose records of attempts fail for a while.
type faulty struct {
	Ledger
	failures int
	asked    int
}

func (f *faulty) SaveAttempt(ctx context.Context, d flow.Delivery, at time.Time) error {
	f.asked++
	if f.asked <= f.failures {
		return errors.New("disk full")
	}
	return f.Ledger.SaveAttempt(ctx, d, at)
}

// What was taken and could not be recorded is not sent again by the same host.
func TestWhatWasTakenIsNotSentAgain(t *testing.T) {
	t.Parallel()
	inBubble(t, func(r *rig) {
		r.faulty = &faulty{failures: 5}
		r.stop()
		r.start()
		r.schedule("p", "every 24h")
		r.ran("p", 0, failed())
		r.wants(time.Hour, "ops p: failed")
		if r.faulty.asked != 6 {
			r.Errorf("recorded %d times", r.faulty.asked)
		}
	})
}

// Promise: a host that dies between sending and recording has the next one send again, once.
func TestWhatWasNotRecordedIsSentOnceMore(t *testing.T) {
	t.Parallel()
	inBubble(t, func(r *rig) {
		r.stop()
		r.faulty = &faulty{failures: 1 << 30}
		r.start()
		r.schedule("p", "every 24h")
		r.ran("p", 0, failed())
		r.wants(time.Minute, "ops p: failed")
		r.stop()
		r.faulty = nil
		r.start()
		r.wants(time.Minute, "ops p: failed")
		r.stop()
		r.start()
		r.wants(time.Minute)
	})
}
