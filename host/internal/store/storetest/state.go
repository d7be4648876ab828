package storetest

import (
	"encoding/json"
	"maps"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// wrote is the end of an attempt that has written to the state; "" deletes.
func wrote(step string, values map[string]string) flow.Event {
	e := attemptEnded(step, 1, flow.Succeeded)
	e.State = map[string]json.RawMessage{}
	for key, value := range values {
		e.State[key] = nil
		if value != "" {
			e.State[key] = json.RawMessage(value)
		}
	}
	return e
}

// wantState compares the state of the pipeline weather, as a run sees it or, without one, as it is.
func (f *fixture) wantState(where string, run flow.RunID, want map[string]string) {
	f.Helper()
	found, err := f.State(f.ctx, "default", "weather", run)
	f.must(err)
	got := map[string]string{}
	for key, value := range found {
		got[key] = string(value)
	}
	if !maps.Equal(got, want) {
		f.Errorf("%s: state %v, want %v", where, got, want)
	}
}

func testState(f *fixture) {
	claim := f.offer(manual(), flow.OfferStarted).Claim
	f.must(f.Commit(f.ctx, claim, wrote("load", map[string]string{"n": "1", "old": "true"})))
	f.must(f.Commit(f.ctx, claim, wrote("sum", map[string]string{"n": " 2", "old": "", "never": ""})))
	f.wantState("in the run", claim.Run, map[string]string{"n": " 2"})
	f.wantState("outside of it", "", map[string]string{})
	f.finish(claim)
	f.wantState("after it", "", map[string]string{"n": " 2"})

	failed := f.offer(manual(), flow.OfferStarted).Claim
	f.wantState("in the next run", failed.Run, map[string]string{"n": " 2"})
	f.must(f.Commit(f.ctx, failed, wrote("load", map[string]string{"n": "", "m": "[]"})))
	f.wantState("with its own writes", failed.Run, map[string]string{"m": "[]"})
	f.must(f.Finish(f.ctx, failed, flow.Ending{Outcome: flow.Failed, Reason: flow.ReasonStep}))
	f.wantState("after it has failed", "", map[string]string{"n": " 2"})

	last := f.offer(manual(), flow.OfferStarted).Claim
	f.must(f.Finish(f.ctx, last, flow.Ending{Outcome: flow.Succeeded}, wrote("load", map[string]string{"n": "3"})))
	f.wantState("written with the end", "", map[string]string{"n": "3"})
	for _, e := range f.events(last.Run) {
		if e.State != nil {
			f.Errorf("event %s holds state", e.Kind)
		}
	}
	f.must(f.SetState(f.ctx, "default", "weather", map[string]json.RawMessage{"n": nil, "x": json.RawMessage("1")}))
	f.wantState("changed by hand", "", map[string]string{"x": "1"})
}

func (f *fixture) events(id flow.RunID) []flow.Event {
	f.Helper()
	events, err := f.Events(f.ctx, flow.EventQuery{Run: id})
	f.must(err)
	return events
}

func testStateOfACrash(f *fixture) {
	claim := f.offer(manual(), flow.OfferStarted).Claim
	f.must(f.Commit(f.ctx, claim, wrote("load", map[string]string{"n": "1"})))
	f.reopen("boot-2")
	all, _, err := f.Recover(f.ctx)
	if err != nil || len(all) != 1 {
		f.Fatalf("recovered %v, %v", all, err)
	}
	f.wantState("resumed", claim.Run, map[string]string{"n": "1"})
	f.must(f.Finish(f.ctx, all[0].Claim, flow.Ending{Outcome: flow.Succeeded}))
	f.wantState("after it", "", map[string]string{"n": "1"})
}

func testStateOfARerun(f *fixture) {
	old := f.offer(manual(), flow.OfferStarted).Claim
	f.must(f.Commit(f.ctx, old, wrote("load", map[string]string{"n": "1"}), wrote("late", map[string]string{"late": "1"})))
	f.must(f.Finish(f.ctx, old, flow.Ending{Outcome: flow.Failed, Reason: flow.ReasonStep}))
	again := f.offer(rerun(old.Run), flow.OfferStarted).Claim
	f.wantState("in the rerun", again.Run, map[string]string{"n": "1"})
	f.finish(again)
	f.wantState("after it", "", map[string]string{"n": "1"})
	if _, err := f.Prune(f.ctx, "default", "weather", flow.Keep{Runs: 1}, time.Now()); err != nil {
		f.Fatal(err)
	}
	f.wantState("without its runs", "", map[string]string{"n": "1"})
}

func testStateApart(f *fixture) {
	f.must(f.SetState(f.ctx, "default", "weather", map[string]json.RawMessage{"n": json.RawMessage("1")}))
	f.must(f.SetState(f.ctx, "acme", "weather", map[string]json.RawMessage{"n": json.RawMessage("2")}))
	f.must(f.SetState(f.ctx, "default", "other", map[string]json.RawMessage{"n": json.RawMessage("3")}))
	f.wantState("of one", "", map[string]string{"n": "1"})
}
