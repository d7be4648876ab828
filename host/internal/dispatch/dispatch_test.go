package dispatch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// minute is a runner whose runs last a minute, or until their end is asked for.
type minute struct {
	mu      sync.Mutex
	order   []flow.RunID
	live    map[string]int
	overlap bool
	// instead, if it is not nil, is what a run does.
	instead func(ctx context.Context, id flow.RunID) (flow.Ending, error)
	// last are the events that go with the ending.
	last []flow.Event
}

func (r *minute) Run(ctx context.Context, _ *flow.Plan, claimed flow.Claimed) (flow.Ending, []flow.Event, error) {
	ending, err := r.run(ctx, claimed)
	return ending, r.last, err
}

func (r *minute) run(ctx context.Context, claimed flow.Claimed) (flow.Ending, error) {
	pipeline := claimed.Run.Pipeline
	r.mu.Lock()
	r.order = append(r.order, claimed.Run.ID)
	if r.live == nil {
		r.live = map[string]int{}
	}
	r.live[pipeline]++
	r.overlap = r.overlap || r.live[pipeline] > 1
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.live[pipeline]--
	}()
	if r.instead != nil {
		return r.instead(ctx, claimed.Run.ID)
	}
	select {
	case <-time.After(time.Minute):
		return flow.Ending{Outcome: flow.Succeeded}, nil
	case <-ctx.Done():
		fault, ok := errors.AsType[*flow.Fault](context.Cause(ctx))
		if !ok {
			return flow.Ending{}, context.Cause(ctx)
		}
		return flow.Ending{Outcome: flow.Cancelled, Reason: fault.Reason, Message: fault.Message}, nil
	}
}

func run(pipeline string, id flow.RunID) flow.Run {
	return flow.Run{ID: id, Tenant: "default", Pipeline: pipeline, Version: "sha256:0", Trigger: flow.Trigger{Kind: flow.TriggerManual}}
}

// bubble runs a test in simulated time, and checks at its end that nothing is left behind.
func bubble(t *testing.T, test func(t *testing.T, d *Dispatcher, q *memory, r *minute)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q, r := newMemory(), &minute{}
		d := New(Config{Queue: q, Runner: r, Logger: slog.New(slog.DiscardHandler)})
		test(t, d, q, r)
		d.Stop(t.Context())
		if len(d.live)+len(d.asked)+len(d.waiters) != 0 {
			t.Errorf("left behind: %d live, %d asked, %d waiters", len(d.live), len(d.asked), len(d.waiters))
		}
		if r.overlap {
			t.Error("two runs of a pipeline were live at one time")
		}
	})
}

func offer(t *testing.T, d *Dispatcher, o flow.Offer, want flow.OfferAnswer) {
	t.Helper()
	offered, err := d.Offer(t.Context(), o)
	if err != nil || offered.Answer != want {
		t.Fatalf("offer %s: %s, %v; want %s", o.Run.ID, offered.Answer, err, want)
	}
}

func wait(t *testing.T, d *Dispatcher, id flow.RunID, outcome flow.Outcome, reason flow.Reason) {
	t.Helper()
	ending, err := d.Wait(t.Context(), id)
	if err != nil || ending.Outcome != outcome || ending.Reason != reason {
		t.Errorf("run %s ended %+v, %v; want %s %s", id, ending, err, outcome, reason)
	}
}

func TestRunsOfAPipelineGoOneByOne(t *testing.T) {
	bubble(t, func(t *testing.T, d *Dispatcher, _ *memory, r *minute) {
		began := time.Now()
		offer(t, d, flow.Offer{Run: run("a", "1")}, flow.OfferStarted)
		offer(t, d, flow.Offer{Run: run("a", "2")}, flow.OfferQueued)
		offer(t, d, flow.Offer{Run: run("b", "4")}, flow.OfferStarted)
		offer(t, d, flow.Offer{Run: run("a", "3")}, flow.OfferQueued)
		offer(t, d, flow.Offer{Run: run("a", "3")}, flow.OfferDuplicate)
		synctest.Wait()
		if d.Live() != 2 {
			t.Errorf("%d live, want one of each pipeline", d.Live())
		}
		for _, id := range []flow.RunID{"3", "1", "4", "2"} {
			wait(t, d, id, flow.Succeeded, "")
		}
		if took := time.Since(began); took != 3*time.Minute {
			t.Errorf("took %s, want three minutes", took)
		}
		r.order = slices.DeleteFunc(r.order, func(id flow.RunID) bool { return id == "4" })
		if !slices.Equal(r.order, []flow.RunID{"1", "2", "3"}) {
			t.Errorf("order %v", r.order)
		}
	})
}

func TestWait(t *testing.T) {
	bubble(t, func(t *testing.T, d *Dispatcher, _ *memory, _ *minute) {
		if _, err := d.Wait(t.Context(), "0"); !errors.Is(err, flow.ErrNotFound) {
			t.Errorf("an unknown run: %v", err)
		}
		offer(t, d, flow.Offer{Run: run("a", "1")}, flow.OfferStarted)
		gone := errors.New("gone away")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, gone)
		defer cancel()
		if _, err := d.Wait(ctx, "1"); !errors.Is(err, gone) {
			t.Errorf("a waiter that goes away: %v", err)
		}
		offer(t, d, flow.Offer{Run: run("a", "2"), Overlap: flow.OverlapWait}, flow.OfferQueued)
		coalesced := make(chan struct{})
		go func() {
			defer close(coalesced)
			wait(t, d, "2", flow.Skipped, flow.ReasonReplaced)
		}()
		synctest.Wait()
		offer(t, d, flow.Offer{Run: run("a", "3"), Overlap: flow.OverlapWait}, flow.OfferQueued)
		<-coalesced
		if _, err := d.Wait(t.Context(), "2"); !errors.Is(err, flow.ErrNotFound) {
			t.Errorf("a coalesced run, later: %v", err)
		}
		wait(t, d, "1", flow.Succeeded, "")
		wait(t, d, "1", flow.Succeeded, "") // from the record
	})
}

func TestCancel(t *testing.T) {
	bubble(t, func(t *testing.T, d *Dispatcher, q *memory, r *minute) {
		offer(t, d, flow.Offer{Run: run("a", "1")}, flow.OfferStarted)
		offer(t, d, flow.Offer{Run: run("a", "2")}, flow.OfferQueued)
		told := make(chan struct{})
		go func() {
			defer close(told)
			wait(t, d, "2", flow.Cancelled, flow.ReasonRequest)
		}()
		synctest.Wait()
		for _, id := range []flow.RunID{"2", "1"} {
			if err := d.Cancel(t.Context(), id, flow.ReasonRequest, "enough"); err != nil {
				t.Fatal(err)
			}
		}
		<-told
		wait(t, d, "1", flow.Cancelled, flow.ReasonRequest)
		if err := d.Cancel(t.Context(), "1", flow.ReasonStop, "again"); err != nil {
			t.Errorf("a run that has ended: %v", err)
		}
		wait(t, d, "1", flow.Cancelled, flow.ReasonRequest)
		if err := d.Cancel(t.Context(), "9", flow.ReasonRequest, ""); !errors.Is(err, flow.ErrNotFound) {
			t.Errorf("an unknown run: %v", err)
		}
		if len(r.order) != 1 {
			t.Errorf("started %v, want the first only", r.order)
		}
		if row := q.rows["1"]; row.Message != "enough" {
			t.Errorf("recorded %+v", row.Ending)
		}
	})
}

// A request to end may find the run live in the queue before the dispatcher has it.
func TestCancelBetweenOfferAndStart(t *testing.T) {
	bubble(t, func(t *testing.T, d *Dispatcher, q *memory, _ *minute) {
		q.offered = func(id flow.RunID) {
			if err := d.Cancel(t.Context(), id, flow.ReasonRequest, "too early"); err != nil {
				t.Error(err)
			}
		}
		began := time.Now()
		offer(t, d, flow.Offer{Run: run("a", "1")}, flow.OfferStarted)
		wait(t, d, "1", flow.Cancelled, flow.ReasonRequest)
		if time.Since(began) != 0 {
			t.Error("the run went on")
		}
	})
}

// A request may also come when the run has just ended: it leaves nothing behind, as bubble checks.
func TestCancelAfterTheEnd(t *testing.T) {
	bubble(t, func(t *testing.T, d *Dispatcher, q *memory, _ *minute) {
		offer(t, d, flow.Offer{Run: run("a", "1")}, flow.OfferStarted)
		q.cancelled = func(id flow.RunID) { wait(t, d, id, flow.Succeeded, "") } // the queue said "live"; then it ends
		if err := d.Cancel(t.Context(), "1", flow.ReasonRequest, "too late"); err != nil {
			t.Error(err)
		}
	})
}

func TestReplace(t *testing.T) {
	bubble(t, func(t *testing.T, d *Dispatcher, _ *memory, _ *minute) {
		began := time.Now()
		offer(t, d, flow.Offer{Run: run("a", "1")}, flow.OfferStarted)
		offer(t, d, flow.Offer{Run: run("a", "2"), Overlap: flow.OverlapReplace}, flow.OfferQueued)
		wait(t, d, "1", flow.Cancelled, flow.ReasonReplaced)
		wait(t, d, "2", flow.Succeeded, "")
		if took := time.Since(began); took != time.Minute {
			t.Errorf("took %s, want that of one run", took)
		}
	})
}

// What the queue has made live is started, also for a caller that has gone.
func TestOfferOfACallerThatGoesAway(t *testing.T) {
	bubble(t, func(t *testing.T, d *Dispatcher, q *memory, _ *minute) {
		ctx, cancel := context.WithCancel(t.Context())
		q.offered = func(flow.RunID) { cancel() }
		if _, err := d.Offer(ctx, flow.Offer{Run: run("a", "1")}); err != nil {
			t.Error(err)
		}
		wait(t, d, "1", flow.Succeeded, "")
	})
}

func TestStopLetsLiveRunsEnd(t *testing.T) {
	bubble(t, func(t *testing.T, d *Dispatcher, q *memory, r *minute) {
		offer(t, d, flow.Offer{Run: run("a", "1")}, flow.OfferStarted)
		offer(t, d, flow.Offer{Run: run("a", "2")}, flow.OfferQueued)
		waiter := make(chan error)
		go func() {
			_, err := d.Wait(t.Context(), "2")
			waiter <- err
		}()
		synctest.Wait()
		go d.Stop(t.Context())
		synctest.Wait()
		if _, err := d.Offer(t.Context(), flow.Offer{Run: run("b", "3")}); !errors.Is(err, ErrStopped) {
			t.Errorf("an offer while stopping: %v", err)
		}
		if err := d.Next(t.Context(), "default", "a"); !errors.Is(err, ErrStopped) {
			t.Errorf("next while stopping: %v", err)
		}
		if err := <-waiter; !errors.Is(err, ErrStopped) {
			t.Errorf("a waiter of a run that did not come to start: %v", err)
		}
		wait(t, d, "1", flow.Succeeded, "")
		if q.rows["2"].State != flow.StateQueued || len(r.order) != 1 {
			t.Error("a waiting run was started by a dispatcher that stops")
		}
	})
}

func TestStopInterrupts(t *testing.T) {
	bubble(t, func(t *testing.T, d *Dispatcher, _ *memory, _ *minute) {
		offer(t, d, flow.Offer{Run: run("a", "1")}, flow.OfferStarted)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		began := time.Now()
		d.Stop(ctx)
		if took := time.Since(began); took != 10*time.Second {
			t.Errorf("the stop took %s", took)
		}
		wait(t, d, "1", flow.Cancelled, flow.ReasonStop)
	})
}

func TestStopGivesUpOnALedgerThatFails(t *testing.T) {
	bubble(t, func(t *testing.T, d *Dispatcher, q *memory, _ *minute) {
		q.fail = func(op string, _ flow.RunID) error {
			if op == "finish" {
				return errors.New("disk full")
			}
			return nil
		}
		offer(t, d, flow.Offer{Run: run("a", "1")}, flow.OfferStarted)
		waiter := make(chan error)
		go func() {
			_, err := d.Wait(t.Context(), "1")
			waiter <- err
		}()
		time.Sleep(time.Hour) // over, and not recorded
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		began := time.Now()
		go d.Stop(ctx)
		if err := <-waiter; err == nil {
			t.Error("the waiter heard of an ending that is not recorded")
		}
		if took := time.Since(began); took > finishPatience+time.Second {
			t.Errorf("the stop took %s", took)
		}
		if q.rows["1"].State != flow.StateRunning {
			t.Error("the run ended without a record")
		}
	})
}

// An ending is recorded, and the next run started, as soon as the ledger answers again.
func TestLedgerThatFailsForATime(t *testing.T) {
	bubble(t, func(t *testing.T, d *Dispatcher, q *memory, _ *minute) {
		began := time.Now()
		q.fail = func(op string, _ flow.RunID) error {
			switch since := time.Since(began); {
			case op == "finish" && since > 30*time.Second && since < 5*time.Minute, op == "claim" && since < 10*time.Minute:
				return errors.New("busy")
			}
			return nil
		}
		offer(t, d, flow.Offer{Run: run("a", "1")}, flow.OfferStarted)
		offer(t, d, flow.Offer{Run: run("a", "2")}, flow.OfferQueued)
		wait(t, d, "1", flow.Succeeded, "")
		if since := time.Since(began); since < 5*time.Minute || since > 5*time.Minute+10*time.Second {
			t.Errorf("the ending was recorded after %s", since)
		}
		wait(t, d, "2", flow.Succeeded, "")
		if since := time.Since(began); since < 11*time.Minute || since > 11*time.Minute+10*time.Second {
			t.Errorf("the next run ended after %s", since)
		}
	})
}

func TestOfferThatFails(t *testing.T) {
	bubble(t, func(t *testing.T, d *Dispatcher, q *memory, r *minute) {
		full := errors.New("disk full")
		q.fail = func(string, flow.RunID) error { return full }
		if _, err := d.Offer(t.Context(), flow.Offer{Run: run("a", "1")}); !errors.Is(err, full) {
			t.Errorf("offer: %v", err)
		}
		if err := d.Next(t.Context(), "default", "a"); !errors.Is(err, full) {
			t.Errorf("next: %v", err)
		}
		if len(r.order) != 0 {
			t.Error("a run started that is not recorded")
		}
	})
}

// A run whose claim was lost is nobody's here any more: nothing is recorded, and its waiters do not wait for ever.
func TestLostClaim(t *testing.T) {
	t.Parallel()
	for _, where := range []string{"in the run", "at the end"} {
		t.Run(where, func(t *testing.T) {
			bubble(t, func(t *testing.T, d *Dispatcher, q *memory, r *minute) {
				r.instead = func(_ context.Context, id flow.RunID) (flow.Ending, error) {
					time.Sleep(time.Second)
					q.mu.Lock()
					defer q.mu.Unlock()
					q.rows[id].Epoch++
					if where == "in the run" {
						return flow.Ending{}, fmt.Errorf("record step.ended: %w", flow.ErrStale)
					}
					return flow.Ending{Outcome: flow.Succeeded}, nil
				}
				offer(t, d, flow.Offer{Run: run("a", "1")}, flow.OfferStarted)
				if _, err := d.Wait(t.Context(), "1"); !errors.Is(err, flow.ErrStale) {
					t.Errorf("the waiter heard %v", err)
				}
				if row := q.rows["1"]; row.State != flow.StateRunning || row.Outcome != "" {
					t.Errorf("recorded %+v", row)
				}
			})
		})
	}
}

func TestRunnerFaults(t *testing.T) {
	t.Parallel()
	tests := map[string]func(context.Context, flow.RunID) (flow.Ending, error){
		"panic": func(context.Context, flow.RunID) (flow.Ending, error) { panic("no such step") },
		"error": func(context.Context, flow.RunID) (flow.Ending, error) {
			return flow.Ending{}, errors.New("disk full")
		},
	}
	for name, fault := range tests {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, d *Dispatcher, _ *memory, r *minute) {
				r.instead = fault
				offer(t, d, flow.Offer{Run: run("a", "1")}, flow.OfferStarted)
				wait(t, d, "1", flow.Failed, flow.ReasonInternal)
				r.instead = nil
				offer(t, d, flow.Offer{Run: run("a", "2")}, flow.OfferStarted)
				wait(t, d, "2", flow.Succeeded, "")
			})
		})
	}
}

// The events of the last step go with the ending; a ledger that refuses them gets the ending alone, which says so.
func TestLastEventsGoWithTheEnding(t *testing.T) {
	bubble(t, func(t *testing.T, d *Dispatcher, q *memory, r *minute) {
		r.last = []flow.Event{{Kind: flow.StepEnded}}
		offer(t, d, flow.Offer{Run: run("a", "1")}, flow.OfferStarted)
		wait(t, d, "1", flow.Succeeded, "")
		if q.finished["1"] != 1 {
			t.Errorf("%d events were recorded with the ending", q.finished["1"])
		}
		refused := false
		q.fail = func(op string, _ flow.RunID) error {
			if op != "finish" || refused {
				return nil
			}
			refused = true
			return errors.New("too long")
		}
		offer(t, d, flow.Offer{Run: run("a", "2")}, flow.OfferStarted)
		wait(t, d, "2", flow.Failed, flow.ReasonInternal)
		if n, ended := q.finished["2"]; n != 0 || !ended {
			t.Errorf("%d events, ended %v", n, ended)
		}
	})
}

// A pipeline's queue is asked for the next run only when one may wait.
func TestNextIsAskedForWhereOneMayWait(t *testing.T) {
	bubble(t, func(t *testing.T, d *Dispatcher, q *memory, _ *minute) {
		asked := 0
		q.fail = func(op string, _ flow.RunID) error {
			if op == "claim" {
				asked++
			}
			return nil
		}
		offer(t, d, flow.Offer{Run: run("a", "1")}, flow.OfferStarted)
		wait(t, d, "1", flow.Succeeded, "")
		synctest.Wait()
		if asked != 0 || len(d.lines) != 0 {
			t.Errorf("asked %d times, %d lines, where nothing can wait", asked, len(d.lines))
		}
		offer(t, d, flow.Offer{Run: run("a", "2")}, flow.OfferStarted)
		offer(t, d, flow.Offer{Run: run("a", "3")}, flow.OfferQueued)
		wait(t, d, "3", flow.Succeeded, "")
		synctest.Wait()
		if asked != 2 || len(d.lines) != 0 { // for run 3, and for one behind it
			t.Errorf("asked %d times, %d lines left; want 2 and none", asked, len(d.lines))
		}
	})
}

func TestRunWithoutAPlan(t *testing.T) {
	bubble(t, func(t *testing.T, d *Dispatcher, _ *memory, r *minute) {
		lost := run("a", "1")
		lost.Version = ""
		offer(t, d, flow.Offer{Run: lost}, flow.OfferStarted)
		wait(t, d, "1", flow.Failed, flow.ReasonInternal)
		if len(r.order) != 0 {
			t.Error("it ran")
		}
	})
}

// At a start, what another life of the host left live goes on, and what waited comes after it.
func TestResume(t *testing.T) {
	bubble(t, func(t *testing.T, d *Dispatcher, q *memory, r *minute) {
		if _, err := q.offer(flow.Offer{Run: run("a", "1")}); err != nil {
			t.Fatal(err)
		}
		for _, id := range []flow.RunID{"2", "3"} {
			if _, err := q.offer(flow.Offer{Run: run("a", id)}); err != nil {
				t.Fatal(err)
			}
		}
		q.rows["1"].Epoch = 2
		d.Resume([]flow.Claimed{{Run: run("a", "1"), Claim: flow.Claim{Run: "1", Epoch: 2}}})
		if err := d.Next(t.Context(), "default", "a"); err != nil {
			t.Fatal(err)
		}
		wait(t, d, "3", flow.Succeeded, "")
		if !slices.Equal(r.order, []flow.RunID{"1", "2", "3"}) {
			t.Errorf("order %v", r.order)
		}
	})
}

// Offers, cancels and waits from many sides at once; for the race detector, and for the checks of bubble.
func TestHammer(t *testing.T) {
	bubble(t, func(t *testing.T, d *Dispatcher, q *memory, _ *minute) {
		var group sync.WaitGroup
		for side := range 8 {
			group.Go(func() {
				for i := range 50 {
					id := flow.RunID(fmt.Sprint(side, "-", i))
					if _, err := d.Offer(t.Context(), flow.Offer{Run: run(fmt.Sprint(i%5), id)}); err != nil {
						t.Error(err)
					}
					if i%3 == 0 {
						if err := d.Cancel(t.Context(), id, flow.ReasonRequest, ""); err != nil {
							t.Error(err)
						}
					}
					if i%7 == 0 {
						if _, err := d.Wait(t.Context(), id); err != nil {
							t.Error(err)
						}
					}
				}
			})
		}
		group.Wait()
		for id := range q.rows {
			if _, err := d.Wait(t.Context(), id); err != nil {
				t.Error(err)
			}
		}
	})
}
