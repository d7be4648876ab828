package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

func started(step string, attempt int) flow.Event {
	return flow.Event{At: time.Now(), Kind: flow.AttemptStarted, Step: step, Attempt: attempt}
}

func attemptEnded(step string, attempt int, outcome flow.Outcome) flow.Event {
	e := flow.Event{At: time.Now(), Kind: flow.AttemptEnded, Step: step, Attempt: attempt, Ending: flow.Ending{Outcome: outcome}}
	e.Usage = &flow.Usage{Memory: flow.MiB, Fuel: 7, HostCalls: 2}
	if outcome == flow.Succeeded {
		e.Outputs = map[string]json.RawMessage{"rows": json.RawMessage("3")}
	}
	return e
}

func stepEnded(step string, outcome flow.Outcome) flow.Event {
	e := flow.Event{At: time.Now(), Kind: flow.StepEnded, Step: step, Ending: flow.Ending{Outcome: outcome}}
	if outcome == flow.Succeeded {
		e.Outputs = map[string]json.RawMessage{"rows": json.RawMessage("3")}
	}
	return e
}

func testFencing(f *fixture) {
	claim := f.offer(manual(), flow.OfferStarted).Claim
	before := len(f.kinds(claim.Run))
	for _, stale := range []flow.Claim{{Run: claim.Run, Epoch: 2}, {Run: claim.Run}, {Run: flow.NewRunID(time.Now()), Epoch: 1}} {
		if err := f.Commit(f.ctx, stale, started("load", 1)); !errors.Is(err, flow.ErrStale) {
			f.Fatalf("commit with %+v: %v", stale, err)
		}
		if err := f.Finish(f.ctx, stale, flow.Ending{Outcome: flow.Succeeded}); !errors.Is(err, flow.ErrStale) {
			f.Fatalf("finish with %+v: %v", stale, err)
		}
	}
	if r := f.run(claim.Run); r.State != flow.StateRunning || len(r.Steps) != 0 || len(f.kinds(claim.Run)) != before {
		f.Fatalf("a stale claim wrote: %+v", r)
	}
}

func testTerminal(f *fixture) {
	claim := f.offer(manual(), flow.OfferStarted).Claim
	f.must(f.Commit(f.ctx, claim, started("load", 1)))
	f.must(f.Finish(f.ctx, claim, flow.Ending{Outcome: flow.Failed, Reason: flow.ReasonStep, Message: "load failed"}))
	was := f.run(claim.Run)
	if err := f.Finish(f.ctx, claim, flow.Ending{Outcome: flow.Succeeded}); !errors.Is(err, flow.ErrStale) {
		f.Fatalf("a second end: %v", err)
	}
	if err := f.Commit(f.ctx, claim, stepEnded("load", flow.Succeeded)); !errors.Is(err, flow.ErrStale) {
		f.Fatalf("a late commit: %v", err)
	}
	if _, err := f.Cancel(f.ctx, claim.Run, flow.Ending{Outcome: flow.Cancelled}); err != nil {
		f.Fatal(err)
	}
	now := f.run(claim.Run)
	if now.Outcome != flow.Failed || now.Message != was.Message || !now.EndedAt.Equal(*was.EndedAt) {
		f.Fatalf("was %+v, is %+v", was, now)
	}
	if s := now.Steps[0]; s.State != flow.StateEnded || s.Attempts[0].State != flow.StateEnded {
		f.Fatalf("something is open in an ended run: %+v", s)
	}
}

func testProjection(f *fixture) {
	claim := f.offer(manual(), flow.OfferStarted).Claim
	retry := time.Now().Add(time.Second).UTC()
	failed := attemptEnded("load", 1, flow.Failed)
	failed.RetryAt, failed.Reason = &retry, flow.ReasonTimeout
	f.must(f.Commit(f.ctx, claim, started("load", 1)))
	f.must(f.Commit(f.ctx, claim, failed, started("load", 2)))
	for _, n := range []int{100, 200, 300} {
		f.must(f.Commit(f.ctx, claim, flow.Event{At: retry, Kind: flow.StepProgress, Step: "load", Detail: json.RawMessage(fmt.Sprintf(`{"permille":%d}`, n))}))
	}
	f.must(f.Commit(f.ctx, claim, attemptEnded("load", 2, flow.Succeeded), stepEnded("load", flow.Succeeded)))
	one := 1
	each := started("sum", 1)
	each.Item = &one
	list := stepEnded("sum", flow.Succeeded)
	list.Outputs, list.List = nil, []json.RawMessage{json.RawMessage("null"), json.RawMessage(`{"n":1}`)}
	f.must(f.Finish(f.ctx, claim, flow.Ending{Outcome: flow.Succeeded}, each, list))

	r := f.run(claim.Run)
	if len(r.Steps) != 2 || r.Steps[0].Name != "load" || len(r.Steps[0].Attempts) != 2 {
		f.Fatalf("steps %+v", r.Steps)
	}
	load, first, second := r.Steps[0], r.Steps[0].Attempts[0], r.Steps[0].Attempts[1]
	if load.Outcome != flow.Succeeded || load.Progress != 300 || string(load.Outputs["rows"]) != "3" || load.StartedAt == nil || load.EndedAt == nil {
		f.Errorf("step %+v", load)
	}
	if first.Reason != flow.ReasonTimeout || first.RetryAt == nil || !first.RetryAt.Equal(retry) || first.Usage.Fuel != 7 || first.Item != nil {
		f.Errorf("first attempt %+v", first)
	}
	if second.Outcome != flow.Succeeded || string(second.Outputs["rows"]) != "3" || second.Epoch != 1 {
		f.Errorf("second attempt %+v", second)
	}
	if sum := r.Steps[1]; len(sum.List) != 2 || string(sum.List[1]) != `{"n":1}` || *sum.Attempts[0].Item != 1 {
		f.Errorf("step with each %+v", sum)
	}
	progress := slices.DeleteFunc(f.kinds(claim.Run), func(k flow.EventKind) bool { return k != flow.StepProgress })
	if len(progress) != 1 {
		f.Errorf("%d events for progress within a second, want 1", len(progress))
	}
}

// testAtomic has one call of many fail, in the middle of what it writes, while others share its commit.
func testAtomic(f *fixture) {
	claim := f.offer(manual(), flow.OfferStarted).Claim
	var wait sync.WaitGroup
	for n := range 40 {
		wait.Go(func() {
			name := fmt.Sprintf("step_%d", n)
			events := []flow.Event{started(name, 1), attemptEnded(name, 1, flow.Succeeded), stepEnded(name, flow.Succeeded)}
			if n%4 == 0 {
				events = append(events, flow.Event{Kind: flow.RunEnded}) // not a runner's to say
			}
			if err := f.Commit(f.ctx, claim, events...); (err != nil) != (n%4 == 0) {
				f.Errorf("commit %d: %v", n, err)
			}
		})
	}
	wait.Wait()
	r := f.run(claim.Run)
	if len(r.Steps) != 30 || len(f.kinds(claim.Run)) != 1+30*3 {
		f.Fatalf("%d steps and %d events, want 30 and 91", len(r.Steps), len(f.kinds(claim.Run)))
	}
	for _, s := range r.Steps {
		if s.State != flow.StateEnded || len(s.Attempts) != 1 || s.Attempts[0].State != flow.StateEnded {
			f.Fatalf("half a commit: %+v", s)
		}
	}
}

// reopen closes the ledger and opens it as another life of the host.
func (f *fixture) reopen(boot string) {
	f.Helper()
	f.must(f.Close())
	f.Ledger = f.open(f.test, f.dir, boot)
}

func testRecover(f *fixture) {
	plan := flow.Plan{Tenant: "default", Pipeline: "weather", Digest: flow.DigestOf([]byte("v1")), Steps: []flow.PlanStep{{Name: "load"}, {Name: "clean"}}}
	f.must(f.SavePlan(f.ctx, plan))
	o, waiting := slot("hourly", 1, flow.OverlapWait), manual()
	o.Run.Version = plan.Digest
	claim := f.offer(o, flow.OfferStarted).Claim
	f.offer(waiting, flow.OfferQueued)
	f.must(f.Commit(f.ctx, claim, started("load", 1), attemptEnded("load", 1, flow.Succeeded), stepEnded("load", flow.Succeeded), started("clean", 1)))
	if claimed, ended, err := f.Recover(f.ctx); err != nil || len(claimed)+len(ended) != 0 {
		f.Fatalf("a run of this boot was recovered: %v, %v, %v", claimed, ended, err)
	}
	f.reopen("boot-2")
	claimed, ended, err := f.Recover(f.ctx)
	f.must(err)
	if len(claimed) != 1 || len(ended) != 0 || claimed[0].Claim != (flow.Claim{Run: o.Run.ID, Epoch: 2}) || claimed[0].StartedAt.IsZero() || claimed[0].Run.Version != plan.Digest {
		f.Fatalf("recovered %+v, ended %v", claimed, ended)
	}
	steps := claimed[0].Steps
	slices.SortFunc(steps, func(a, b flow.StepRecord) int { return -(len(a.Outputs) - len(b.Outputs)) })
	if len(steps) != 2 || steps[0].Outcome != flow.Succeeded || string(steps[0].Outputs["rows"]) != "3" {
		f.Fatalf("the finished step: %+v", steps)
	}
	if clean := steps[1]; clean.State != flow.StateRunning || clean.Attempts[0].Outcome != flow.Failed || clean.Attempts[0].Reason != flow.ReasonLost {
		f.Fatalf("the step in flight: %+v", clean)
	}
	if err := f.Commit(f.ctx, claim, stepEnded("clean", flow.Succeeded)); !errors.Is(err, flow.ErrStale) {
		f.Fatalf("the dead host's claim: %v", err)
	}
	f.must(f.Finish(f.ctx, claimed[0].Claim, flow.Ending{Outcome: flow.Succeeded}, started("clean", 2), attemptEnded("clean", 2, flow.Succeeded), stepEnded("clean", flow.Succeeded)))
	if r := f.run(o.Run.ID); r.Epoch != 2 || r.Steps[0].Name != "load" || r.Steps[1].Attempts[1].Epoch != 2 {
		f.Fatalf("the run: %+v", r)
	}
	f.next(waiting.Run.ID)
}

func testOnCrash(f *fixture) {
	runs := map[flow.OnCrash]flow.RunID{}
	for _, word := range []flow.OnCrash{flow.CrashRestart, flow.CrashFail} {
		plan := flow.Plan{Tenant: "default", Pipeline: string(word), Digest: flow.DigestOf([]byte(word)), Steps: []flow.PlanStep{{Name: "load"}, {Name: "clean"}}}
		f.must(f.SavePlan(f.ctx, plan))
		o := manual()
		o.Run.Pipeline, o.Run.Version = plan.Pipeline, plan.Digest
		claim := f.offer(o, flow.OfferStarted).Claim
		f.must(f.Commit(f.ctx, claim, started("load", 1), attemptEnded("load", 1, flow.Succeeded), stepEnded("load", flow.Succeeded), started("clean", 1)))
		runs[word] = o.Run.ID
		plan.OnCrash = word // what the manifest says when the host is back
		f.must(f.SavePlan(f.ctx, plan))
	}
	f.reopen("boot-2")
	claimed, ended, err := f.Recover(f.ctx)
	f.must(err)
	restart, fail := runs[flow.CrashRestart], runs[flow.CrashFail]
	if len(claimed) != 1 || claimed[0].Claim != (flow.Claim{Run: restart, Epoch: 2}) || len(claimed[0].Steps) != 0 {
		f.Fatalf("restart: %+v", claimed)
	}
	if r := f.run(restart); r.State != flow.StateRunning || len(r.Steps) != 0 {
		f.Fatalf("restart: the record is %+v", r)
	}
	f.must(f.Finish(f.ctx, claimed[0].Claim, flow.Ending{Outcome: flow.Succeeded}, started("load", 1), attemptEnded("load", 1, flow.Succeeded), stepEnded("load", flow.Succeeded)))
	if r := f.run(restart); len(r.Steps) != 1 || len(r.Steps[0].Attempts) != 1 || r.Steps[0].Attempts[0].Epoch != 2 {
		f.Fatalf("restarted: %+v", r)
	}
	if r := f.run(fail); !slices.Equal(ended, []flow.RunID{fail}) || r.Outcome != flow.Failed || r.Reason != flow.ReasonLost || r.Steps[1].Attempts[0].Reason != flow.ReasonLost {
		f.Fatalf("fail: ended %v, %+v", ended, r)
	}
}

func testResumeCap(f *fixture) {
	o := manual()
	f.offer(o, flow.OfferStarted)
	for n := range 3 {
		f.reopen(fmt.Sprintf("boot-%d", n+2))
		if claimed, ended, err := f.Recover(f.ctx); err != nil || len(claimed) != 1 || len(ended) != 0 {
			f.Fatalf("resume %d: %v, %v, %v", n+1, claimed, ended, err)
		}
	}
	f.reopen("boot-5")
	claimed, ended, err := f.Recover(f.ctx)
	f.must(err)
	if len(claimed) != 0 || !slices.Equal(ended, []flow.RunID{o.Run.ID}) {
		f.Fatalf("recovered %v, ended %v", claimed, ended)
	}
	if r := f.run(o.Run.ID); r.Outcome != flow.Failed || r.Reason != flow.ReasonLost || r.Epoch != 4 {
		f.Fatalf("the run: %+v", r)
	}
}

func testRecoverCancelled(f *fixture) {
	claim := f.offer(manual(), flow.OfferStarted).Claim
	_, err := f.Cancel(f.ctx, claim.Run, flow.Ending{Outcome: flow.Cancelled, Reason: flow.ReasonRequest})
	f.must(err)
	f.reopen("boot-2")
	claimed, ended, err := f.Recover(f.ctx)
	f.must(err)
	if len(claimed) != 0 || len(ended) != 1 || f.run(claim.Run).Outcome != flow.Cancelled {
		f.Fatalf("recovered %v, ended %v", claimed, ended)
	}
}

func testCancelOrphan(f *fixture) {
	claim := f.offer(manual(), flow.OfferStarted).Claim
	f.must(f.Commit(f.ctx, claim, started("load", 1)))
	f.reopen("boot-2")
	ending := flow.Ending{Outcome: flow.Cancelled, Reason: flow.ReasonRequest, Message: "asked"}
	state, err := f.Cancel(f.ctx, claim.Run, ending)
	f.must(err)
	r := f.run(claim.Run)
	if state != flow.StateRunning || r.State != flow.StateEnded || r.Ending != ending {
		f.Fatalf("found %s, the run: %+v", state, r)
	}
	if a := r.Steps[0].Attempts[0]; a.State != flow.StateEnded || a.Reason != flow.ReasonLost {
		f.Fatalf("the attempt: %+v", a)
	}
	if err := f.Finish(f.ctx, claim, ending); !errors.Is(err, flow.ErrStale) {
		f.Fatalf("a dead claim finishes: %v", err)
	}
	f.offer(manual(), flow.OfferStarted)
}
