package storetest

import (
	"slices"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

func incident(condition flow.Condition, schedule string, at time.Time) flow.Incident {
	return flow.Incident{
		ID: string(flow.NewRunID(at)), Condition: condition, Tenant: "default", Pipeline: "weather", Schedule: schedule,
		Since: at.UTC(), OpenedAt: at.UTC(), Detail: "something is wrong", Owner: "team",
	}
}

// begin opens an incident, with targets that are told.
func (f *fixture) begin(i flow.Incident, targets ...string) {
	f.Helper()
	f.must(f.SaveIncidents(f.ctx, flow.IncidentChange{Steps: []flow.IncidentStep{{Incident: i, Targets: targets}}}))
}

// over closes an incident, with targets that want to hear of it.
func (f *fixture) over(i flow.Incident, at time.Time, targets ...string) flow.Incident {
	f.Helper()
	at = at.UTC()
	i.ClosedAt, i.Ending = &at, "it is over"
	f.must(f.SaveIncidents(f.ctx, flow.IncidentChange{Steps: []flow.IncidentStep{{Incident: i, Targets: targets}}}))
	return i
}

func (f *fixture) openIncidents() []flow.Incident {
	f.Helper()
	all, err := f.OpenIncidents(f.ctx)
	f.must(err)
	return all
}

// due lists the messages that are due, as target and phase.
func (f *fixture) due(at time.Time) []flow.Delivery {
	f.Helper()
	all, err := f.DueDeliveries(f.ctx, at)
	f.must(err)
	return all
}

// took records that a message was taken.
func (f *fixture) took(d flow.Delivery, at time.Time) {
	f.Helper()
	d.State, d.Attempts, d.SentAt = flow.DeliverySent, d.Attempts+1, &at
	f.must(f.SaveAttempt(f.ctx, d, at))
}

// refused records that a message was not taken, and when it is tried again.
func (f *fixture) refused(d flow.Delivery, again time.Time) {
	f.Helper()
	d.Attempts, d.NextAt, d.Error = d.Attempts+1, again, "no"
	f.must(f.SaveAttempt(f.ctx, d, time.Now()))
}

// At most one incident is open for a condition of a subject, and what a look has brought is recorded with how far it saw.
func testIncidents(f *fixture) {
	now := time.Now().Truncate(time.Millisecond)
	if cursor, err := f.Watched(f.ctx); err != nil || cursor != 0 {
		f.Fatalf("looked at %d, %v", cursor, err)
	}
	f.offer(manual(), flow.OfferStarted)
	if cursor, err := f.Watched(f.ctx); err != nil || cursor == 0 {
		f.Fatalf("history is news: %d, %v", cursor, err)
	}
	first := incident(flow.ConditionFailed, "hourly", now)
	second := incident(flow.ConditionFailed, "hourly", now.Add(time.Second))
	other := incident(flow.ConditionLate, "hourly", now.Add(2*time.Second))
	f.must(f.SaveIncidents(f.ctx, flow.IncidentChange{Cursor: 1000, Steps: []flow.IncidentStep{{Incident: first}, {Incident: second}, {Incident: other}}}))
	f.must(f.SaveIncidents(f.ctx, flow.IncidentChange{Cursor: 900}))
	f.reopen("boot-2")
	if cursor, err := f.Watched(f.ctx); err != nil || cursor != 1000 {
		f.Fatalf("looked at %d, %v", cursor, err)
	}
	if got := f.openIncidents(); !slices.Equal(got, []flow.Incident{first, other}) {
		f.Fatalf("open %+v", got)
	}
	closed := f.over(first, now.Add(time.Minute))
	f.over(first, now.Add(time.Hour))
	f.begin(second)
	if got := f.openIncidents(); !slices.Equal(got, []flow.Incident{second, other}) {
		f.Fatalf("open %+v", got)
	}
	events, err := f.Events(f.ctx, flow.EventQuery{Schedule: "hourly"})
	f.must(err)
	var kinds []flow.EventKind
	for i := range events {
		kinds = append(kinds, events[i].Kind)
	}
	if want := []flow.EventKind{flow.IncidentOpened, flow.IncidentOpened, flow.IncidentClosed, flow.IncidentOpened}; !slices.Equal(kinds, want) {
		f.Fatalf("events %v", kinds)
	}
	if n, err := f.PruneIncidents(f.ctx, closed.ClosedAt.Add(time.Nanosecond)); err != nil || n != 1 {
		f.Fatalf("pruned %d, %v", n, err)
	}
	if got := f.openIncidents(); len(got) != 2 {
		f.Fatalf("open %+v", got)
	}
}

// There is one message for an incident, a target and a phase; one at a time for a target; and each attempt is recorded.
func testDeliveries(f *fixture) {
	now := time.Now().Truncate(time.Millisecond)
	first, second := incident(flow.ConditionFailed, "hourly", now), incident(flow.ConditionFailed, "daily", now)
	f.begin(first, "ops", "pager")
	f.begin(first, "ops", "late")
	f.begin(second, "ops")
	due := f.due(now)
	if len(due) != 2 || due[0].Target != "ops" || due[1].Target != "pager" || due[0].Incident != first || due[0].Phase != flow.PhaseOpened || !due[0].AskedAt.Equal(now) {
		f.Fatalf("due %+v", due)
	}
	again := now.Add(time.Hour)
	f.refused(due[0], again)
	f.refused(due[1], again)
	if due = f.due(now); len(due) != 1 || due[0].Incident != second {
		f.Fatalf("due %+v", due)
	}
	if next, err := f.NextDelivery(f.ctx, now); err != nil || !next.Equal(again) {
		f.Fatalf("next %s, %v", next, err)
	}
	unsent, err := f.Undelivered(f.ctx, now)
	f.must(err)
	if len(unsent) != 2 || unsent[0].Name != "ops" || unsent[0].Pending != 1 || unsent[0].GivenUp != 0 || unsent[0].Error != "no" || !unsent[0].Since.Equal(now) {
		f.Fatalf("undelivered %+v", unsent)
	}
	f.reopen("boot-2")
	f.took(f.due(now)[0], now.Add(time.Second))
	if due = f.due(now.Add(time.Second)); len(due) != 1 || due[0].Target != "ops" || due[0].Incident != first || due[0].Attempts != 1 {
		f.Fatalf("what has waited for the target: %+v", due)
	}
	f.took(due[0], now.Add(2*time.Second))
	f.refused(due[0], again) // a late answer
	gone := f.due(again)[0]
	gone.State, gone.Attempts, gone.Error = flow.DeliveryGivenUp, 2, "gone"
	f.must(f.SaveAttempt(f.ctx, gone, again))
	if unsent, err = f.Undelivered(f.ctx, now); err != nil || len(unsent) != 1 || unsent[0].Name != "pager" || unsent[0].GivenUp != 1 {
		f.Fatalf("undelivered %+v, %v", unsent, err)
	}
	if unsent, err = f.Undelivered(f.ctx, again); err != nil || len(unsent) != 0 {
		f.Fatalf("undelivered %+v, %v", unsent, err)
	}
	if next, err := f.NextDelivery(f.ctx, time.Time{}); err != nil || !next.IsZero() || len(f.due(again.Add(time.Hour))) != 0 {
		f.Fatalf("something is left: %s, %v", next, err)
	}
	third := incident(flow.ConditionLate, "daily", now)
	f.begin(third, "ops")
	f.refused(f.due(now)[0], now.AddDate(1, 0, 0)) // by a clock that was wrong
	if due = f.due(now); len(due) != 1 {
		f.Fatalf("nothing is due for a year: %+v", due)
	}
	f.must(f.SaveAlertTest(f.ctx, flow.AlertTest{Name: "ops", Delivered: true}, now))
	counts := map[flow.EventKind]int{}
	events, err := f.Events(f.ctx, flow.EventQuery{})
	f.must(err)
	for i := range events {
		counts[events[i].Kind]++
	}
	if counts[flow.AlertSent] != 3 || counts[flow.AlertFailed] != 4 {
		f.Fatalf("events %v", counts)
	}
}

func testDeliveryOrder(f *fixture) {
	now := time.Now().Truncate(time.Millisecond)
	i := incident(flow.ConditionFailed, "hourly", now)
	f.begin(i, "ops", "quiet", "broken")
	for _, d := range f.due(now) {
		switch d.Target {
		case "ops":
			f.refused(d, now.Add(time.Hour))
		case "quiet":
			f.took(d, now)
		default:
			d.State = flow.DeliveryGivenUp
			f.must(f.SaveAttempt(f.ctx, d, now))
		}
	}
	f.over(i, now.Add(time.Minute), "ops", "broken", "stranger")
	if due := f.due(now.Add(time.Minute)); len(due) != 0 {
		f.Fatalf("the end is told before the beginning, or to whom it does not concern: %+v", due)
	}
	due := f.due(now.Add(time.Hour))
	if len(due) != 1 || due[0].Phase != flow.PhaseOpened || due[0].Incident.Ending != "it is over" {
		f.Fatalf("due %+v", due)
	}
	f.took(due[0], now.Add(time.Hour))
	due = f.due(now.Add(time.Hour))
	if len(due) != 1 || due[0].Phase != flow.PhaseRecovered || due[0].Target != "ops" {
		f.Fatalf("due %+v", due)
	}
}

// Following the ends of runs from event to event tells each once, in order, however many events are looked at together.
func testEnded(f *fixture) {
	var want []flow.RunID
	for n := range 7 {
		claim := f.offer(manual(), flow.OfferStarted).Claim
		f.must(f.Commit(f.ctx, claim, started("load", 1)))
		ending := flow.Ending{Outcome: flow.Succeeded}
		if n%2 == 1 {
			ending = flow.Ending{Outcome: flow.Failed, Reason: flow.ReasonTrap, Message: "no"}
		}
		f.must(f.Finish(f.ctx, claim, ending))
		want = append(want, claim.Run)
	}
	f.offer(manual(), flow.OfferStarted)
	for _, together := range []int{1, 2, 5, 1000} {
		var got []flow.RunID
		for cursor := int64(0); ; {
			runs, next, err := f.Ended(f.ctx, cursor, together)
			f.must(err)
			if next == cursor {
				break
			}
			for i := range runs {
				got = append(got, runs[i].ID)
				if r := &runs[i]; r.Event <= cursor || r.Event > next || r.State != flow.StateEnded || r.EndedAt == nil || r.Pipeline != "weather" || r.Kind != flow.TriggerManual {
					f.Fatalf("run %+v", r)
				}
			}
			cursor = next
		}
		if !slices.Equal(got, want) {
			f.Fatalf("%d together: got %v, want %v", together, got, want)
		}
	}
}

func testRecent(f *fixture) {
	if success, known, err := f.LastSuccess(f.ctx, "default", "weather"); err != nil || !success.IsZero() || !known.IsZero() {
		f.Fatalf("success %s, known %s, %v", success, known, err)
	}
	var hourly []flow.RunID
	for n := range 3 {
		o := slot("hourly", n, flow.OverlapWait)
		f.finish(f.offer(o, flow.OfferStarted).Claim)
		hourly = append([]flow.RunID{o.Run.ID}, hourly...)
	}
	skipped := f.offer(manual(), flow.OfferStarted).Claim
	f.must(f.Finish(f.ctx, skipped, flow.Ending{Outcome: flow.Skipped, Reason: flow.ReasonCondition}))
	live := f.offer(slot("daily", 0, flow.OverlapWait), flow.OfferStarted)
	waiting := slot("hourly", 3, flow.OverlapWait)
	f.offer(waiting, flow.OfferQueued)
	hourly = append([]flow.RunID{waiting.Run.ID}, hourly...)

	runs, last, err := f.Recent(f.ctx, "default", "weather", "hourly", 3)
	f.must(err)
	var got []flow.RunID
	for i := range runs {
		got = append(got, runs[i].ID)
	}
	if !slices.Equal(got, hourly[:3]) || runs[0].State != flow.StateQueued || !runs[1].Due() || last == 0 {
		f.Fatalf("recent %+v at %d", runs, last)
	}
	if runs, _, err = f.Recent(f.ctx, "default", "weather", "", 10); err != nil || len(runs) != 1 || runs[0].ID != skipped.Run || runs[0].Due() {
		f.Fatalf("by hand %+v, %v", runs, err)
	}
	if runs, err = f.WaitingSince(f.ctx, time.Now().Add(time.Second)); err != nil || len(runs) != 1 || runs[0].ID != waiting.Run.ID {
		f.Fatalf("waiting %+v, %v", runs, err)
	}
	if runs, err = f.WaitingSince(f.ctx, time.Now().Add(-time.Hour)); err != nil || len(runs) != 0 {
		f.Fatalf("waiting for long %+v, %v", runs, err)
	}
	success, known, err := f.LastSuccess(f.ctx, "default", "weather")
	f.must(err)
	if ended := f.run(skipped.Run).EndedAt; !success.Equal(*ended) || known.IsZero() || known.After(success) {
		f.Fatalf("success %s, want %s; known %s", success, ended, known)
	}
	f.finish(live.Claim)
	if success, _, err = f.LastSuccess(f.ctx, "default", "weather"); err != nil || !success.Equal(*f.run(live.Claim.Run).EndedAt) {
		f.Fatalf("success %s, %v", success, err)
	}
}

// When a schedule was enabled or disabled last survives its being written again, and being asked for the same again.
func testOverrideAt(f *fixture) {
	at := epoch()
	r := flow.ScheduleRecord{Tenant: "default", PlanSchedule: flow.PlanSchedule{Name: "hourly", Pipeline: "weather", At: "hourly :00", Timezone: "UTC", Enabled: true}, Since: at, Watermark: at}
	read := func() flow.ScheduleRecord {
		f.Helper()
		all, err := f.Schedules(f.ctx)
		f.must(err)
		return all[0]
	}
	f.must(f.PutSchedule(f.ctx, r))
	if got := read(); got.OverrideAt != nil || !got.Begun().Equal(at) {
		f.Fatalf("untouched: %+v", got)
	}
	off := false
	f.must(f.SetOverride(f.ctx, "default", "hourly", &off))
	first := read().OverrideAt
	if first == nil {
		f.Fatal("nobody has disabled it")
	}
	f.must(f.SetOverride(f.ctx, "default", "hourly", &off))
	f.must(f.PutSchedule(f.ctx, r))
	f.reopen("boot-2")
	if got := read(); got.Active() || got.OverrideAt == nil || !got.OverrideAt.Equal(*first) {
		f.Fatalf("disabled: %+v", got)
	}
	f.must(f.SetOverride(f.ctx, "default", "hourly", nil))
	if got := read(); !got.Active() || !got.OverrideAt.After(*first) || !got.Begun().Equal(*got.OverrideAt) {
		f.Fatalf("enabled: %+v", got)
	}
}
