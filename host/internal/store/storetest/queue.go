package storetest

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

func testStart(f *fixture) {
	o := slot("hourly", 1, flow.OverlapWait)
	got := f.offer(o, flow.OfferStarted)
	if got.Claim != (flow.Claim{Run: o.Run.ID, Epoch: 1}) || got.StartedAt.IsZero() || got.LastSuccessAt != nil {
		f.Fatalf("started: %+v", got)
	}
	r := f.run(o.Run.ID)
	if r.State != flow.StateRunning || r.Epoch != 1 || r.StartedAt == nil || !r.Trigger.ScheduledAt.Equal(o.Run.Trigger.ScheduledAt) {
		f.Fatalf("recorded: %+v", r)
	}
	f.finish(got.Claim)
	ended := f.run(o.Run.ID)
	if again := f.offer(manual(), flow.OfferStarted); again.LastSuccessAt == nil || !again.LastSuccessAt.Equal(*ended.EndedAt) {
		f.Fatalf("last success %v, want %v", again.LastSuccessAt, ended.EndedAt)
	}
	if kinds := f.kinds(o.Run.ID); !slices.Equal(kinds, []flow.EventKind{flow.RunStarted, flow.RunEnded}) {
		f.Fatalf("events %v", kinds)
	}
}

func testIdempotent(f *fixture) {
	first, second := slot("hourly", 1, flow.OverlapWait), slot("hourly", 2, flow.OverlapWait)
	got := f.offer(first, flow.OfferStarted)
	f.offer(first, flow.OfferDuplicate)
	f.offer(second, flow.OfferQueued)
	f.offer(second, flow.OfferDuplicate)
	f.finish(got.Claim)
	f.offer(first, flow.OfferDuplicate)
	if all := f.slots("hourly"); len(all) != 2 {
		f.Fatalf("slots %+v", all)
	}
}

func testCoalesce(f *fixture) {
	live := f.offer(slot("hourly", 0, flow.OverlapWait), flow.OfferStarted)
	f.offer(slot("hourly", 1, flow.OverlapWait), flow.OfferQueued)
	asked := manual()
	f.offer(asked, flow.OfferQueued)
	f.offer(slot("other", 1, flow.OverlapWait), flow.OfferQueued)
	second := slot("hourly", 2, flow.OverlapWait)
	if got := f.offer(second, flow.OfferQueued); !slices.Equal(got.Coalesced, []flow.RunID{slot("hourly", 1, "").Run.ID}) {
		f.Fatalf("coalesced %v", got.Coalesced)
	}
	third := slot("hourly", 3, flow.OverlapWait)
	if got := f.offer(third, flow.OfferQueued); !slices.Equal(got.Coalesced, []flow.RunID{second.Run.ID}) {
		f.Fatalf("coalesced %v", got.Coalesced)
	}
	for i, r := range f.slots("hourly")[1:3] {
		if r.Ending != flow.SlotCoalesced || r.Run != third.Run.ID {
			f.Fatalf("slot %d: %+v", i, r)
		}
	}
	if _, err := f.Run(f.ctx, second.Run.ID); !errors.Is(err, flow.ErrNotFound) {
		f.Fatalf("a coalesced run: %v, want not found", err)
	}
	if kinds := f.kinds(second.Run.ID); !slices.Contains(kinds, flow.RunCoalesced) {
		f.Fatalf("events %v", kinds)
	}
	f.offer(second, flow.OfferDuplicate)
	f.finish(live.Claim)
	f.finish(f.next(third.Run.ID)) // in the place of the first
	f.finish(f.next(asked.Run.ID))
	f.finish(f.next(slot("other", 1, "").Run.ID))
	f.next("")
}

func testWaitAll(f *fixture) {
	f.offer(slot("hourly", 0, flow.OverlapWaitAll), flow.OfferStarted)
	for n := range 100 {
		f.offer(slot("hourly", n+1, flow.OverlapWaitAll), flow.OfferQueued)
	}
	if got := f.offer(slot("hourly", 101, flow.OverlapWaitAll), flow.OfferRefused); got.Reason != flow.ReasonQuota {
		f.Fatalf("reason %s", got.Reason)
	}
	f.offer(slot("other", 1, flow.OverlapWaitAll), flow.OfferQueued)
	if last := f.slots("hourly")[0]; last.Ending != flow.SlotSkipped || last.Reason != flow.ReasonQuota {
		f.Fatalf("slot %+v", last)
	}
}

func testSkip(f *fixture) {
	live := f.offer(manual(), flow.OfferStarted)
	refused := slot("hourly", 1, flow.OverlapSkip)
	if got := f.offer(refused, flow.OfferRefused); got.Reason != flow.ReasonOverlap {
		f.Fatalf("reason %s", got.Reason)
	}
	f.finish(live.Claim)
	f.offer(refused, flow.OfferDuplicate) // it has its ending
	if all := f.slots("hourly"); len(all) != 1 || all[0].Ending != flow.SlotSkipped || all[0].Reason != flow.ReasonOverlap {
		f.Fatalf("slots %+v", all)
	}
	f.offer(slot("hourly", 2, flow.OverlapSkip), flow.OfferStarted)

	// Slots that a refused run was to stand for do not name a run that never came to be.
	late := slot("hourly", 5, flow.OverlapSkip)
	at := func(n int) time.Time { return epoch().Add(time.Duration(n) * time.Minute) }
	late.Slots = []flow.SlotRecord{{Pipeline: "weather", From: at(3), To: at(4), Count: 2, Ending: flow.SlotCoalesced, Run: late.Run.ID}}
	f.offer(late, flow.OfferRefused)
	if older := f.slots("hourly")[1]; older.Count != 2 || older.Ending != flow.SlotSkipped || older.Reason != flow.ReasonOverlap || older.Run != "" {
		f.Fatalf("older slots of a refused offer: %+v", older)
	}
}

func testSlotsOfADuplicate(f *fixture) {
	at := func(n int) time.Time { return epoch().Add(time.Duration(n) * time.Minute) }
	older := func(o flow.Offer, n int) flow.Offer {
		o.Slots = []flow.SlotRecord{{Pipeline: "weather", From: at(n), To: at(n), Count: 1, Ending: flow.SlotCoalesced, Run: o.Run.ID}}
		return o
	}
	f.offer(manual(), flow.OfferStarted)
	first, second := slot("hourly", 2, flow.OverlapWait), slot("hourly", 4, flow.OverlapWait)
	f.offer(first, flow.OfferQueued)
	f.offer(second, flow.OfferQueued)              // first is coalesced into it
	f.offer(older(first, 1), flow.OfferDuplicate)  // first has no run any more
	f.offer(older(second, 3), flow.OfferDuplicate) // second has
	for _, s := range f.slots("hourly") {
		if s.Run != second.Run.ID || (s.Ending == flow.SlotCoalesced) != s.From.Before(at(4)) {
			f.Fatalf("slots %+v", f.slots("hourly"))
		}
	}
}

func testReplace(f *fixture) {
	live := f.offer(slot("hourly", 0, flow.OverlapReplace), flow.OfferStarted)
	first, second := slot("hourly", 1, flow.OverlapReplace), slot("hourly", 2, flow.OverlapReplace)
	if got := f.offer(first, flow.OfferQueued); got.Replaces != live.Claim.Run {
		f.Fatalf("replaces %q", got.Replaces)
	}
	if got := f.offer(second, flow.OfferQueued); got.Replaces != live.Claim.Run || !slices.Equal(got.Coalesced, []flow.RunID{first.Run.ID}) {
		f.Fatalf("answer %+v", got)
	}
	f.must(f.Finish(f.ctx, live.Claim, flow.Ending{Outcome: flow.Cancelled, Reason: flow.ReasonReplaced}))
	f.next(second.Run.ID)
}

func testManual(f *fixture) {
	f.offer(slot("hourly", 0, flow.OverlapWait), flow.OfferStarted)
	rerun := manual()
	rerun.Run.Trigger.Kind, rerun.Run.Trigger.Schedule = flow.TriggerRerun, "hourly"
	f.offer(rerun, flow.OfferQueued)
	skipping := manual()
	skipping.Overlap = flow.OverlapSkip
	f.offer(skipping, flow.OfferQueued)
	if got := f.offer(slot("hourly", 1, flow.OverlapWait), flow.OfferQueued); len(got.Coalesced) > 0 {
		f.Fatalf("coalesced %v", got.Coalesced)
	}
}

func testQuota(f *fixture) {
	f.offer(manual(), flow.OfferStarted)
	var wait sync.WaitGroup
	for range 10 { // together they share commits
		wait.Go(func() {
			for range 100 {
				if got, err := f.Offer(f.ctx, manual()); err != nil || got.Answer != flow.OfferQueued {
					f.Errorf("offer: %+v, %v", got, err)
					return
				}
			}
		})
	}
	wait.Wait()
	if got := f.offer(manual(), flow.OfferRefused); got.Reason != flow.ReasonQuota {
		f.Fatalf("reason %s", got.Reason)
	}
}

func testOrder(f *fixture) {
	live := f.offer(manual(), flow.OfferStarted).Claim
	var ids []flow.RunID
	for range 5 {
		o := manual()
		ids = append(ids, o.Run.ID)
		f.offer(o, flow.OfferQueued)
	}
	f.next("") // one is live
	if _, ok, err := f.Claim(f.ctx, ids[0]); ok || err != nil {
		f.Fatalf("claimed beside a live run: %v, %v", ok, err)
	}
	f.finish(live)
	claimed, ok, err := f.Claim(f.ctx, ids[3]) // by name, out of turn
	f.must(err)
	if !ok || claimed.Run.ID != ids[3] || claimed.Claim.Epoch != 1 || claimed.LastSuccessAt == nil {
		f.Fatalf("claimed %+v", claimed)
	}
	f.finish(claimed.Claim)
	for _, id := range []flow.RunID{ids[0], ids[1], ids[2], ids[4]} {
		f.finish(f.next(id))
	}
	f.next("")
}

func testHammer(f *fixture) {
	const workers, each = 8, 25
	var live, ended atomic.Int64
	execute := func(c flow.Claim) {
		if n := live.Add(1); n != 1 {
			f.Errorf("%d runs are live", n)
		}
		live.Add(-1) // before the ledger lets the next one in
		if err := f.Finish(f.ctx, c, flow.Ending{Outcome: flow.Succeeded}); err != nil {
			f.Error(err)
		}
		ended.Add(1)
	}
	var wait sync.WaitGroup
	for range workers {
		wait.Go(func() {
			for range each {
				got, err := f.Offer(f.ctx, manual())
				if err != nil {
					f.Error(err)
					return
				}
				if got.Answer == flow.OfferStarted {
					execute(got.Claim)
				}
				if claimed, ok, err := f.ClaimNext(f.ctx, "default", "weather"); err != nil {
					f.Error(err)
				} else if ok {
					execute(claimed.Claim)
				}
			}
		})
	}
	wait.Wait()
	for {
		claimed, ok, err := f.ClaimNext(f.ctx, "default", "weather")
		f.must(err)
		if !ok {
			break
		}
		execute(claimed.Claim)
	}
	if ended.Load() != workers*each {
		f.Fatalf("%d runs ended, want %d", ended.Load(), workers*each)
	}
}

func testCancel(f *fixture) {
	ending := flow.Ending{Outcome: flow.Cancelled, Reason: flow.ReasonRequest, Message: "asked"}
	live := f.offer(manual(), flow.OfferStarted)
	waiting := manual()
	f.offer(waiting, flow.OfferQueued)
	for _, want := range []struct {
		id    flow.RunID
		state flow.State
	}{
		{waiting.Run.ID, flow.StateQueued},
		{waiting.Run.ID, flow.StateEnded},
		{live.Claim.Run, flow.StateRunning},
		{live.Claim.Run, flow.StateRunning},
	} {
		if state, err := f.Cancel(f.ctx, want.id, ending); err != nil || state != want.state {
			f.Fatalf("cancel: %s, %v; want %s", state, err, want.state)
		}
	}
	if r := f.run(waiting.Run.ID); r.State != flow.StateEnded || r.Ending != ending || r.StartedAt != nil || r.EndedAt == nil {
		f.Fatalf("the waiting run: %+v", r)
	}
	if r := f.run(live.Claim.Run); r.State != flow.StateRunning || !r.Cancelling {
		f.Fatalf("the live run: %+v", r)
	}
	if kinds := f.kinds(live.Claim.Run); !slices.Equal(kinds, []flow.EventKind{flow.RunStarted, flow.RunCancelling}) {
		f.Fatalf("events %v", kinds)
	}
	if _, err := f.Cancel(f.ctx, flow.NewRunID(time.Now()), ending); !errors.Is(err, flow.ErrNotFound) {
		f.Fatalf("an unknown run: %v", err)
	}
	f.must(f.Finish(f.ctx, live.Claim, ending))
	f.next("")
}

func testCondition(f *fixture) {
	o := slot("hourly", 1, flow.OverlapWait)
	got := f.offer(o, flow.OfferStarted)
	f.must(f.Finish(f.ctx, got.Claim, flow.Ending{Outcome: flow.Skipped, Reason: flow.ReasonCondition}))
	if all := f.slots("hourly"); len(all) != 1 || all[0].Ending != flow.SlotSkipped || all[0].Reason != flow.ReasonCondition || all[0].Run != o.Run.ID {
		f.Fatalf("slots %+v", all)
	}
}

func testSlotSum(f *fixture) {
	at := func(n int) time.Time { return epoch().Add(time.Duration(n) * time.Minute) }
	missed := flow.SlotRecord{Pipeline: "weather", From: at(1), To: at(50), Count: 50, Ending: flow.SlotMissed, Reason: flow.ReasonDowntime}
	caught := slot("hourly", 51, flow.OverlapWait)
	caught.Run.Trigger.Kind, caught.Slots = flow.TriggerCatchup, []flow.SlotRecord{missed}
	f.offer(caught, flow.OfferStarted)
	f.offer(caught, flow.OfferDuplicate)
	overlaps := []flow.Overlap{flow.OverlapWait, flow.OverlapSkip, flow.OverlapReplace}
	answers := []flow.OfferAnswer{flow.OfferQueued, flow.OfferRefused, flow.OfferQueued}
	for n := 52; n <= 60; n++ {
		f.offer(slot("hourly", n, overlaps[n%3]), answers[n%3])
	}
	f.must(f.SaveSlots(f.ctx, "default", "hourly", at(70), []flow.SlotRecord{
		missed, // again
		{Pipeline: "weather", From: at(60), To: at(60), Count: 1, Ending: flow.SlotMissed, Reason: flow.ReasonStart}, // has an ending
		{Pipeline: "weather", From: at(61), To: at(70), Count: 10, Ending: flow.SlotSkipped, Reason: flow.ReasonPaused},
	}))
	f.offer(slot("hourly", 65, flow.OverlapWait), flow.OfferDuplicate) // inside a range
	sum, runs := int64(0), 0
	for _, r := range f.slots("hourly") {
		sum += r.Count
		if r.Ending == flow.SlotRun {
			runs++
		}
	}
	if sum != 70 || runs != 2 {
		f.Fatalf("%d slots with an ending, %d of them runs; want 70 and 2", sum, runs)
	}
	if late, err := f.Slots(f.ctx, flow.SlotQuery{Schedule: "hourly", Since: at(60), Limit: 1}); err != nil || len(late) != 1 || !late[0].From.Equal(at(61)) {
		f.Fatalf("the newest: %+v, %v", late, err)
	}
	if early, err := f.Slots(f.ctx, flow.SlotQuery{Schedule: "hourly", Until: at(60), Limit: 1}); err != nil || len(early) != 1 || !early[0].From.Equal(at(60)) {
		f.Fatalf("the newest by the hour: %+v, %v", early, err)
	}
	ended, err := f.Events(f.ctx, flow.EventQuery{Schedule: "hourly", Kind: flow.SlotEnded})
	if err != nil || len(ended) != 5 {
		f.Fatalf("%d slots without a run were told of, want 5: %v", len(ended), err)
	}
	if other, err := f.Events(f.ctx, flow.EventQuery{Schedule: "daily", Kind: flow.SlotEnded}); err != nil || len(other) != 0 {
		f.Fatalf("events of another schedule: %+v, %v", other, err)
	}
	all := len(f.slots("hourly"))
	for year, want := range map[int]int{1: all, 9999: 0} { // beyond any number of nanoseconds
		far := time.Date(year, 6, 1, 0, 0, 0, 0, time.UTC)
		if got, err := f.Slots(f.ctx, flow.SlotQuery{Schedule: "hourly", Since: far}); err != nil || len(got) != want {
			f.Fatalf("since the year %d: %d records, %v; want %d", year, len(got), err, want)
		}
	}
}
