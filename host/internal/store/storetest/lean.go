package storetest

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// testLean holds that what may be large (contexts of runs and of schedules, outputs) is in the record of one run and in no
// list, and that whoever executes a run has all of it, now and after a crash.
func testLean(f *fixture) {
	contexts := map[string]map[string]json.RawMessage{
		"none": nil, "empty": {}, "small": {"k": json.RawMessage(`{ "b":1.50,"a":[null] }`)},
		"large": {"text": json.RawMessage(`"` + strings.Repeat("x", 100_000) + `"`), "n": json.RawMessage("12345678901234567890.10")},
	}
	want := func(where, name string, got map[string]json.RawMessage) {
		f.Helper()
		w, err := json.Marshal(contexts[name])
		f.must(err)
		g, err := json.Marshal(got)
		f.must(err)
		if string(w) != string(g) {
			f.Errorf("%s: the context is %.200s, want %.200s", where, g, w)
		}
	}
	outputs := map[string]json.RawMessage{"text": contexts["large"]["text"]}
	for name, context := range contexts {
		live, waiting := manual(), manual()
		for _, o := range []*flow.Offer{&live, &waiting} {
			o.Run.Pipeline, o.Run.Context = name, context
		}
		claim := f.offer(live, flow.OfferStarted).Claim
		f.offer(waiting, flow.OfferQueued)
		tried, ended := attemptEnded("load", 1, flow.Succeeded), stepEnded("load", flow.Succeeded)
		tried.Outputs, ended.Outputs = outputs, outputs
		ended.List = []json.RawMessage{outputs["text"]}
		f.must(f.Finish(f.ctx, claim, flow.Ending{Outcome: flow.Succeeded}, started("load", 1), tried, ended))
		whole := f.run(live.Run.ID)
		want("the record", name, whole.Context)
		if step := whole.Steps[0]; len(step.Outputs["text"]) < 100_000 || len(step.List) != 1 || len(step.Attempts[0].Outputs["text"]) < 100_000 {
			f.Errorf("the record has not all outputs")
		}
		claimed, ok, err := f.ClaimNext(f.ctx, "default", name)
		if err != nil || !ok {
			f.Fatalf("claimed %t, %v", ok, err)
		}
		want("claimed", name, claimed.Run.Context)
	}
	f.must(f.PutSchedule(f.ctx, flow.ScheduleRecord{
		Tenant: "default", PlanSchedule: flow.PlanSchedule{Name: "hourly", Pipeline: "large", At: "hourly :15", Timezone: "UTC", Context: contexts["large"]}, Since: epoch(),
	}))
	f.wantLean()
	f.reopen("boot-2")
	claimed, _, err := f.Recover(f.ctx)
	f.must(err)
	for i := range claimed {
		want("recovered", claimed[i].Run.Pipeline, claimed[i].Run.Context)
		f.finish(claimed[i].Claim)
	}
	if _, err := f.Prune(f.ctx, "default", "large", flow.Keep{Days: 1}, time.Now().AddDate(0, 0, 2)); err != nil || len(claimed) != len(contexts) {
		f.Fatalf("recovered %d, %v", len(claimed), err)
	}
}

// wantLean checks that lists hold nothing that is large.
func (f *fixture) wantLean() {
	f.Helper()
	runs, err := f.Runs(f.ctx, flow.RunQuery{})
	f.must(err)
	for i := range runs {
		if runs[i].Context != nil || runs[i].Steps != nil || runs[i].Pipeline == "" || runs[i].Trigger.Kind != flow.TriggerManual {
			f.Errorf("a list has run %s of %q with %d values of context and %d steps", runs[i].ID, runs[i].Pipeline, len(runs[i].Context), len(runs[i].Steps))
		}
	}
	events, err := f.Events(f.ctx, flow.EventQuery{})
	f.must(err)
	for i := range events {
		if raw, err := json.Marshal(events[i]); err != nil || len(raw) > 1000 {
			f.Errorf("an event of %d bytes: %.300s, %v", len(raw), raw, err)
		}
	}
	if len(runs) != 8 || len(events) != 4*7+1 {
		f.Errorf("%d runs, %d events", len(runs), len(events))
	}
}
