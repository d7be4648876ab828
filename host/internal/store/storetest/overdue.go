package storetest

import (
	"slices"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// by gives an offer so long to start.
func by(o flow.Offer, d time.Duration) flow.Offer {
	o.StartBy = time.Now().Add(d)
	return o
}

// wantMissed checks that a run ended because it could not start in time, and its slot with it.
func (f *fixture) wantMissed(schedule string, id flow.RunID) {
	f.Helper()
	r := f.run(id)
	if r.State != flow.StateEnded || r.Ending != flow.Overdue() || r.StartedAt != nil || r.EndedAt == nil || r.Epoch != 0 {
		f.Fatalf("the overdue run: %+v", r)
	}
	all := f.slots(schedule)
	i := slices.IndexFunc(all, func(s flow.SlotRecord) bool { return s.Run == id })
	if i < 0 || all[i].Ending != flow.SlotMissed || all[i].Reason != flow.ReasonStart {
		f.Fatalf("its slot: %+v", all)
	}
}

func testOverdue(f *fixture) {
	live := f.offer(by(slot("hourly", 0, flow.OverlapWaitAll), time.Nanosecond), flow.OfferStarted) // it did not wait
	late, patient, asked := by(slot("hourly", 1, flow.OverlapWaitAll), -time.Second), by(slot("hourly", 2, flow.OverlapWaitAll), time.Hour), manual()
	f.offer(late, flow.OfferQueued)
	f.offer(asked, flow.OfferQueued) // the offer has ended the one before
	f.wantMissed("hourly", late.Run.ID)
	f.offer(patient, flow.OfferQueued)

	gone := by(slot("hourly", 3, flow.OverlapWaitAll), -time.Second)
	f.offer(gone, flow.OfferQueued)
	lines, err := f.OverdueLines(f.ctx)
	f.must(err)
	if !slices.Equal(lines, []flow.Line{{Tenant: "default", Pipeline: "weather"}}) {
		f.Fatalf("overdue lines %v", lines)
	}
	if _, ok, err := f.Claim(f.ctx, gone.Run.ID); ok || err != nil {
		f.Fatalf("an overdue run was claimed by name: %v, %v", ok, err)
	}
	claimed, ok, err := f.ClaimNext(f.ctx, "default", "weather") // one is live
	f.must(err)
	if ok || !slices.Equal(claimed.Overdue, []flow.RunID{gone.Run.ID}) {
		f.Fatalf("claimed %v, overdue %v", ok, claimed.Overdue)
	}
	f.wantMissed("hourly", gone.Run.ID)
	if kinds := f.kinds(gone.Run.ID); !slices.Equal(kinds, []flow.EventKind{flow.RunQueued, flow.RunEnded}) {
		f.Fatalf("events %v", kinds)
	}
	f.offer(gone, flow.OfferDuplicate)
	if lines, err := f.OverdueLines(f.ctx); err != nil || len(lines) != 0 {
		f.Fatalf("overdue lines %v, %v", lines, err)
	}
	f.finish(live.Claim)
	f.finish(f.next(asked.Run.ID))
	f.finish(f.next(patient.Run.ID))
	f.next("")
}

func testOverdueOffer(f *fixture) {
	live := f.offer(manual(), flow.OfferStarted)
	late := by(slot("hourly", 1, flow.OverlapWait), -time.Second)
	f.offer(late, flow.OfferQueued)
	f.finish(live.Claim)
	// Nobody has claimed meanwhile: the newer slot finds the line empty, and does not stand for the one that is gone.
	newer := by(slot("hourly", 2, flow.OverlapWait), time.Hour)
	got := f.offer(newer, flow.OfferStarted)
	if !slices.Equal(got.Overdue, []flow.RunID{late.Run.ID}) || len(got.Coalesced) > 0 {
		f.Fatalf("overdue %v, coalesced %v", got.Overdue, got.Coalesced)
	}
	f.wantMissed("hourly", late.Run.ID)
	if refused := f.offer(slot("hourly", 3, flow.OverlapSkip), flow.OfferRefused); len(refused.Overdue) != 0 {
		f.Fatalf("overdue twice: %v", refused.Overdue)
	}
}

func testPause(f *fixture) {
	off := false
	record := flow.ScheduleRecord{
		Tenant: "default", PlanSchedule: flow.PlanSchedule{Name: "hourly", Pipeline: "weather", At: "hourly :15", Timezone: "UTC", Enabled: true},
		Origin: flow.OriginManifest, Since: epoch(), PausedAt: epoch(), ResumedAt: epoch(), // not for the caller to say
	}
	get := func() flow.ScheduleRecord {
		f.Helper()
		all, err := f.Schedules(f.ctx)
		f.must(err)
		return all[0]
	}
	f.must(f.PutSchedule(f.ctx, record))
	if r := get(); !r.PausedAt.IsZero() || !r.ResumedAt.IsZero() {
		f.Fatalf("new: %+v", r)
	}
	before := time.Now()
	f.must(f.SetOverride(f.ctx, "default", "hourly", &off))
	paused := get()
	if paused.PausedAt.Before(before) || !paused.ResumedAt.IsZero() {
		f.Fatalf("disabled by hand: %+v", paused)
	}
	record.Jitter = 1
	f.must(f.PutSchedule(f.ctx, record)) // applied again: it stays disabled
	if r := get(); !r.PausedAt.Equal(paused.PausedAt) || !r.ResumedAt.IsZero() {
		f.Fatalf("applied again: %+v", r)
	}
	f.must(f.SetOverride(f.ctx, "default", "hourly", nil))
	if r := get(); !r.PausedAt.Equal(paused.PausedAt) || r.ResumedAt.Before(paused.PausedAt) {
		f.Fatalf("enabled by hand: %+v", r)
	}
	record.Enabled = false
	f.must(f.PutSchedule(f.ctx, record))
	again := get()
	if again.PausedAt.Before(again.ResumedAt) || !again.Watermark.Equal(epoch()) {
		f.Fatalf("disabled in the manifest: %+v", again)
	}
	record.Enabled = true
	f.must(f.PutSchedule(f.ctx, record))
	if r := get(); r.ResumedAt.Before(again.PausedAt) || !r.Watermark.Equal(epoch()) {
		f.Fatalf("enabled in the manifest: %+v", r)
	}
	f.must(f.DeleteSchedule(f.ctx, "default", "hourly"))
	record.Enabled = false
	f.must(f.PutSchedule(f.ctx, record))
	if r := get(); !r.PausedAt.Equal(epoch()) {
		f.Fatalf("new and disabled: %+v", r)
	}
}
