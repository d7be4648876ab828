package storetest

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// rerun returns the offer of a rerun that takes over one step with outputs, one with a list, and one that was skipped.
func rerun(of flow.RunID) flow.Offer {
	o := manual()
	o.Run.Trigger.Kind, o.Run.Trigger.Of = flow.TriggerRerun, of
	digest := flow.DigestOf([]byte("reused"))
	o.Steps = []flow.StepRecord{
		{Name: "load", State: flow.StateEnded, Ending: flow.Ending{Outcome: flow.Succeeded}, Reused: of, Outputs: map[string]json.RawMessage{"file": json.RawMessage(fmt.Sprintf(`{"$artifact": %q}`, digest))}},
		{Name: "each", State: flow.StateEnded, Ending: flow.Ending{Outcome: flow.Succeeded}, Reused: of, List: []json.RawMessage{json.RawMessage("null"), json.RawMessage(`{"n":1}`)}},
		{Name: "late", State: flow.StateEnded, Ending: flow.Ending{Outcome: flow.Skipped, Reason: flow.ReasonRequest, Message: "only"}},
	}
	return o
}

// wantTaken checks the steps that rerun offers, in whatever order they come.
func (f *fixture) wantTaken(where string, steps []flow.StepRecord, of flow.RunID) {
	f.Helper()
	byName := map[string]flow.StepRecord{}
	for _, s := range steps {
		byName[s.Name] = s
		if s.State != flow.StateEnded || s.StartedAt != nil || s.EndedAt == nil || len(s.Attempts) != 0 {
			f.Errorf("%s: step %+v", where, s)
		}
	}
	load, each, late := byName["load"], byName["each"], byName["late"]
	if len(steps) != 3 || load.Reused != of || load.Outcome != flow.Succeeded || len(flow.ArtifactsIn(load.Outputs["file"])) != 1 ||
		each.Reused != of || len(each.List) != 2 || late.Reused != "" || late.Reason != flow.ReasonRequest || late.Message != "only" {
		f.Errorf("%s: got %+v", where, steps)
	}
}

// What a rerun takes over is part of its record from the offer on: while it waits, when it is claimed, after a crash, and
// when the run that it came from is gone.
func testTakeOver(f *fixture) {
	old := f.offer(manual(), flow.OfferStarted).Claim
	first, second := rerun(old.Run), rerun(old.Run)
	f.offer(first, flow.OfferQueued)
	f.wantTaken("waiting", f.run(first.Run.ID).Steps, old.Run)
	f.finish(old)
	claimed, ok, err := f.ClaimNext(f.ctx, "default", "weather")
	if err != nil || !ok {
		f.Fatalf("claimed %t, %v", ok, err)
	}
	f.wantTaken("claimed", claimed.Steps, old.Run)
	f.finish(claimed.Claim)

	f.offer(second, flow.OfferStarted)
	f.offer(second, flow.OfferDuplicate)
	f.wantTaken("started", f.run(second.Run.ID).Steps, old.Run)
	f.reopen("boot-2")
	all, _, err := f.Recover(f.ctx)
	if err != nil || len(all) != 1 {
		f.Fatalf("recovered %v, %v", all, err)
	}
	f.wantTaken("recovered", all[0].Steps, old.Run)
	f.must(f.Finish(f.ctx, all[0].Claim, flow.Ending{Outcome: flow.Succeeded}))
	if _, err := f.Prune(f.ctx, "default", "weather", flow.Keep{Runs: 1}, time.Now()); err != nil {
		f.Fatal(err)
	}
	f.wantTaken("alone", f.run(second.Run.ID).Steps, old.Run)
	if refers, err := f.RunRefers(f.ctx, second.Run.ID, flow.DigestOf([]byte("reused"))); err != nil || !refers {
		f.Errorf("the artifact of a reused output: known %t, %v", refers, err)
	}
	events, err := f.Events(f.ctx, flow.EventQuery{Run: second.Run.ID})
	f.must(err)
	if kinds := f.kinds(second.Run.ID); !slices.Equal(kinds, []flow.EventKind{flow.RunStarted, flow.StepEnded, flow.StepEnded, flow.StepEnded, flow.RunResumed, flow.RunEnded}) {
		f.Fatalf("events %v", kinds)
	}
	if e := events[1]; e.Step != "load" || e.Reused != old.Run || e.Outputs != nil || e.Epoch != 1 {
		f.Errorf("event %+v", e)
	}
}

// A backfill is taken whole, and in its order; it takes no place from what others ask for beyond what it fills.
func testBackfill(f *fixture) {
	live := f.offer(manual(), flow.OfferStarted)
	var want []flow.RunID
	for n := range 1002 {
		o := slot("hourly", n, flow.OverlapWait)
		o.Run.ID, o.Run.Trigger.Kind, o.Watermark = flow.NewRunID(time.Now()), flow.TriggerBackfill, time.Time{}
		f.offer(o, flow.OfferQueued)
		want = append(want, o.Run.ID)
	}
	if got := f.offer(manual(), flow.OfferRefused); got.Reason != flow.ReasonQuota {
		f.Fatalf("reason %s", got.Reason)
	}
	due := slot("hourly", 1, flow.OverlapWait)
	if got := f.offer(due, flow.OfferQueued); len(got.Coalesced) != 0 {
		f.Fatalf("a slot has taken the place of %v", got.Coalesced)
	}
	if all := f.slots("hourly"); len(all) != 1 || all[0].Run != due.Run.ID {
		f.Fatalf("a backfill has changed slots: %+v", all)
	}
	f.finish(live.Claim)
	for _, id := range want[:3] {
		f.finish(f.next(id))
	}
}
