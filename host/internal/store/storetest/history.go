package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

func testPaging(f *fixture) {
	var want []flow.RunID
	for n := range 7 {
		o := slot("hourly", n, flow.OverlapWait)
		if n%2 == 1 {
			o = manual()
		}
		want = append(want, o.Run.ID)
		f.finish(f.offer(o, flow.OfferStarted).Claim)
	}
	slices.Reverse(want)
	var got []flow.RunID
	q := flow.RunQuery{Tenant: "default", Pipeline: "weather", Limit: 3}
	for {
		page, err := f.Runs(f.ctx, q)
		f.must(err)
		if len(page) == 0 {
			break
		}
		for i := range page {
			got = append(got, page[i].ID)
		}
		q.Before = got[len(got)-1]
	}
	if !slices.Equal(got, want) {
		f.Fatalf("pages %v, want %v", got, want)
	}
	for _, c := range []struct {
		q    flow.RunQuery
		want int
	}{
		{flow.RunQuery{Schedule: "hourly"}, 4},
		{flow.RunQuery{Due: true}, 4},
		{flow.RunQuery{State: flow.StateEnded}, 7},
		{flow.RunQuery{State: flow.StateQueued}, 0},
		{flow.RunQuery{Outcome: flow.Failed}, 0},
		{flow.RunQuery{Outcome: flow.Succeeded}, 7},
		{flow.RunQuery{Tenant: "acme"}, 0},
		{flow.RunQuery{Project: "climate"}, 0},
	} {
		if found, err := f.Runs(f.ctx, c.q); err != nil || len(found) != c.want {
			f.Errorf("%+v: %d runs, %v; want %d", c.q, len(found), err, c.want)
		}
	}
	id := string(want[0])
	if found, err := f.FindRuns(f.ctx, "default", id[:20], 5); err != nil || !slices.Contains(found, want[0]) {
		f.Errorf("found %v, %v", found, err)
	}
	if found, err := f.FindRuns(f.ctx, "acme", id, 5); err != nil || len(found) != 0 {
		f.Errorf("found %v, %v", found, err)
	}
}

func testReadOn(f *fixture) {
	claim := f.offer(manual(), flow.OfferStarted).Claim
	lines := make([]flow.LogLine, 5)
	two := 2
	for i := range lines {
		lines[i] = flow.LogLine{At: epoch().Add(time.Duration(i)), Tenant: "default", Run: claim.Run, Step: fmt.Sprintf("step_%d", i%2), Attempt: 1, Level: flow.LogWarn, Message: fmt.Sprint("line ", i)}
	}
	lines[4].Item, lines[4].Dropped = &two, 9
	f.must(f.AppendLogs(f.ctx, lines))
	f.must(f.AppendLogs(f.ctx, nil))
	first, err := f.Logs(f.ctx, flow.LogQuery{Run: claim.Run, Limit: 2})
	f.must(err)
	rest, err := f.Logs(f.ctx, flow.LogQuery{Run: claim.Run, After: first[1].Seq})
	f.must(err)
	all := slices.Concat(first, rest)
	if len(first) != 2 || len(all) != 5 {
		f.Fatalf("%d and %d lines", len(first), len(rest))
	}
	for i := range all {
		if all[i].Message != lines[i].Message || !all[i].At.Equal(lines[i].At) || all[i].Level != flow.LogWarn {
			f.Errorf("line %d: %+v", i, all[i])
		}
	}
	if last := all[4]; last.Item == nil || *last.Item != 2 || last.Dropped != 9 || all[0].Item != nil {
		f.Errorf("last line %+v", last)
	}
	if one, err := f.Logs(f.ctx, flow.LogQuery{Run: claim.Run, Step: "step_1"}); err != nil || len(one) != 2 {
		f.Errorf("of one step: %v, %v", one, err)
	}
	f.must(f.Commit(f.ctx, claim, started("load", 1)))
	f.finish(claim)
	events, err := f.Events(f.ctx, flow.EventQuery{Tenant: "default", Pipeline: "weather"})
	f.must(err)
	if len(events) != 3 || events[0].Seq >= events[1].Seq || events[1].Step != "load" || events[2].Outcome != flow.Succeeded || events[1].Epoch != 1 {
		f.Fatalf("events %+v", events)
	}
	for size, want := range map[flow.Size]int{1: 1, flow.GiB: len(events)} {
		if some, err := f.Events(f.ctx, flow.EventQuery{Tenant: "default", Pipeline: "weather", Bytes: size}); err != nil || len(some) != want {
			f.Fatalf("events up to %s: %d, %v; want %d", size, len(some), err, want)
		}
	}
	if rest, err := f.Events(f.ctx, flow.EventQuery{After: events[1].Seq}); err != nil || len(rest) != 1 || rest[0].Kind != flow.RunEnded {
		f.Fatalf("read on: %+v, %v", rest, err)
	}
}

func testChanged(f *fixture) {
	changed := f.Changed()
	select {
	case <-changed:
		f.Fatal("a change before any")
	default:
	}
	f.offer(manual(), flow.OfferStarted)
	select {
	case <-changed:
	case <-f.ctx.Done():
		f.Fatal("no word of a change")
	}
	select {
	case <-f.Changed():
		f.Fatal("the next change is announced already")
	default:
	}
}

func testSchedules(f *fixture) {
	since, off := epoch(), false
	record := flow.ScheduleRecord{
		Tenant: "default", PlanSchedule: flow.PlanSchedule{Name: "hourly", Pipeline: "weather", At: "hourly :15", Timezone: "UTC", Enabled: true},
		Origin: flow.OriginManifest, Since: since,
	}
	get := func() flow.ScheduleRecord {
		f.Helper()
		all, err := f.Schedules(f.ctx)
		f.must(err)
		if len(all) != 1 {
			f.Fatalf("schedules %+v", all)
		}
		return all[0]
	}
	f.must(f.PutSchedule(f.ctx, record))
	if r := get(); !r.Since.Equal(since) || !r.Watermark.Equal(since) || !r.Active() {
		f.Fatalf("new: %+v", r)
	}
	o := slot("hourly", 5, flow.OverlapWait)
	f.offer(o, flow.OfferStarted)
	f.must(f.SetOverride(f.ctx, "default", "hourly", &off))
	record.Since, record.Watermark = since.Add(time.Hour), since.Add(time.Hour)
	f.must(f.PutSchedule(f.ctx, record))
	if r := get(); !r.Since.Equal(since) || !r.Watermark.Equal(o.Watermark) || r.Active() {
		f.Fatalf("applied again: %+v", r)
	}
	f.must(f.SaveSlots(f.ctx, "default", "hourly", since, nil)) // older: it never goes back
	if r := get(); !r.Watermark.Equal(o.Watermark) {
		f.Fatalf("watermark %v", r.Watermark)
	}
	record.At = "hourly :30"
	f.must(f.PutSchedule(f.ctx, record))
	if r := get(); !r.Since.Equal(record.Since) || !r.Watermark.Equal(record.Since) || r.Active() {
		f.Fatalf("edited: %+v", r)
	}
	f.must(f.SetOverride(f.ctx, "default", "hourly", nil))
	if r := get(); !r.Active() {
		f.Fatalf("override taken back: %+v", r)
	}
	f.must(f.DeleteSchedule(f.ctx, "default", "hourly"))
	if err := f.DeleteSchedule(f.ctx, "default", "hourly"); !errors.Is(err, flow.ErrNotFound) {
		f.Fatalf("deleted twice: %v", err)
	}
	if err := f.SetOverride(f.ctx, "default", "hourly", &off); !errors.Is(err, flow.ErrNotFound) {
		f.Fatalf("an unknown schedule: %v", err)
	}
}

func testPlans(f *fixture) {
	plan := flow.Plan{Tenant: "default", Pipeline: "weather", Project: "climate", Label: "v1", Digest: flow.DigestOf([]byte("plan"))}
	if _, err := f.Plan(f.ctx, plan.Digest); !errors.Is(err, flow.ErrNotFound) {
		f.Fatalf("an unknown plan: %v", err)
	}
	f.must(f.SavePlan(f.ctx, plan))
	plan.Owner = "team-climate" // no new version
	f.must(f.SavePlan(f.ctx, plan))
	if got, err := f.Plan(f.ctx, plan.Digest); err != nil || got.Owner != plan.Owner {
		f.Fatalf("plan %+v, %v", got, err)
	}
	o := manual()
	o.Run.Version = plan.Digest
	f.offer(o, flow.OfferStarted)
	if found, err := f.Runs(f.ctx, flow.RunQuery{Project: "climate"}); err != nil || len(found) != 1 || found[0].Label != "v1" {
		f.Fatalf("runs of the project: %+v, %v", found, err)
	}
	for n := range 2 {
		f.must(f.SaveVersion(f.ctx, flow.VersionRecord{Tenant: "default", Pipeline: "weather", Digest: plan.Digest, Label: fmt.Sprint("v", n), Metadata: map[string]string{"ticket": "7"}, SavedAt: epoch()}))
	}
	versions, err := f.Versions(f.ctx, "default", "weather")
	f.must(err)
	if len(versions) != 2 || versions[0].Label != "v1" || versions[0].Metadata["ticket"] != "7" || !versions[0].SavedAt.Equal(epoch()) {
		f.Fatalf("versions %+v", versions)
	}
}

func testPrune(f *fixture) {
	var ids []flow.RunID
	for n := range 12 {
		o := slot("hourly", n, flow.OverlapWait)
		ids = append(ids, o.Run.ID)
		claim := f.offer(o, flow.OfferStarted).Claim
		lines := make([]flow.LogLine, 150) // more rows than one transaction drops
		for i := range lines {
			lines[i] = flow.LogLine{At: epoch(), Tenant: "default", Run: o.Run.ID, Step: "load", Attempt: 1, Message: "x"}
		}
		f.must(f.AppendLogs(f.ctx, lines))
		f.finish(claim)
	}
	live := manual()
	f.offer(live, flow.OfferStarted)
	now := time.Now()
	if n, err := f.Prune(f.ctx, "default", "other", flow.Keep{Runs: 1}, now); err != nil || n != 0 {
		f.Fatalf("another pipeline: %d, %v", n, err)
	}
	if n, err := f.Prune(f.ctx, "default", "weather", flow.Keep{}, epoch()); err != nil || n != 0 {
		f.Fatalf("nothing to drop: %d, %v", n, err)
	}
	if n, err := f.Prune(f.ctx, "default", "weather", flow.Keep{Runs: 4, Days: 30_000}, now); err != nil || n != 8 {
		f.Fatalf("dropped %d, %v; want 8", n, err)
	}
	if _, err := f.Run(f.ctx, ids[7]); !errors.Is(err, flow.ErrNotFound) {
		f.Fatalf("a dropped run: %v", err)
	}
	lines, err := f.Logs(f.ctx, flow.LogQuery{Run: ids[7]})
	f.must(err)
	if len(lines) != 0 || len(f.kinds(ids[7])) != 0 || len(f.kinds(ids[8])) != 2 || len(f.slots("hourly")) != 12 {
		f.Fatalf("%d lines, events %v, %v, %d slots", len(lines), f.kinds(ids[7]), f.kinds(ids[8]), len(f.slots("hourly")))
	}
	if n, err := f.Prune(f.ctx, "default", "weather", flow.Keep{Days: 1}, now.AddDate(0, 0, 2)); err != nil || n != 4 {
		f.Fatalf("dropped %d by age, %v; want 4", n, err)
	}
	if r := f.run(live.Run.ID); r.State != flow.StateRunning || len(f.kinds(live.Run.ID)) != 1 || len(f.slots("hourly")) != 0 {
		f.Fatalf("the live run: %+v", r)
	}
}

func testArtifacts(f *fixture) {
	digest := func(name string) flow.Digest { return flow.DigestOf([]byte(name)) }
	value := func(name string) json.RawMessage {
		return json.RawMessage(`[{"deep": {"\u0024artifact": "` + digest(name) + `"}}]`)
	}
	o := manual()
	o.Run.Context = map[string]json.RawMessage{"given": value("given")}
	claim := f.offer(o, flow.OfferStarted).Claim
	tried, ended := attemptEnded("load", 1, flow.Succeeded), flow.Event{Kind: flow.StepEnded, Step: "load", Ending: flow.Ending{Outcome: flow.Succeeded}}
	tried.Outputs = map[string]json.RawMessage{"file": value("tried"), "false": json.RawMessage(`{"$artifact": "sha256:beef"}`)}
	ended.List = []json.RawMessage{value("listed")}
	f.must(f.Commit(f.ctx, claim, started("load", 1), tried, ended))
	known := func(names ...string) {
		f.Helper()
		for _, name := range []string{"given", "tried", "listed", "never"} {
			got, err := f.Refers(f.ctx, "default", digest(name))
			f.must(err)
			if want := slices.Contains(names, name); got != want {
				f.Errorf("%s is known: %t, want %t", name, got, want)
			}
		}
	}
	known("given", "tried", "listed")
	for name, want := range map[string]bool{"given": true, "listed": true, "never": false} {
		if got, err := f.RunRefers(f.ctx, claim.Run, digest(name)); got != want || err != nil {
			f.Errorf("the run refers to %s: %t, %v", name, got, err)
		}
	}
	if other, err := f.Refers(f.ctx, "other", digest("given")); other || err != nil {
		f.Errorf("another tenant: %t, %v", other, err)
	}
	if at, err := f.OldestOpen(f.ctx); err != nil || time.Since(at) > time.Hour {
		f.Errorf("the open run: %v, %v", at, err)
	}
	f.finish(claim)
	if at, err := f.OldestOpen(f.ctx); err != nil || !at.IsZero() {
		f.Errorf("no open run: %v, %v", at, err)
	}
	if _, err := f.Prune(f.ctx, "default", "weather", flow.Keep{Days: 1}, time.Now().AddDate(0, 0, 2)); err != nil {
		f.Fatal(err)
	}
	known()
}

func testSeals(f *fixture) {
	if _, err := f.Seal(f.ctx, "a"); !errors.Is(err, flow.ErrNotFound) {
		f.Fatalf("an unknown seal: %v", err)
	}
	for _, content := range []string{"one", "two"} {
		f.must(f.PutSeal(f.ctx, "a", flow.DigestOf([]byte(content))))
	}
	f.must(f.PutSeal(f.ctx, "b", flow.DigestOf([]byte("three"))))
	f.reopen("boot-2")
	if d, err := f.Seal(f.ctx, "a"); err != nil || d != flow.DigestOf([]byte("two")) {
		f.Fatalf("got %s, %v", d, err)
	}
}

func testTenants(f *fixture) {
	f.offer(manual(), flow.OfferStarted)
	other := manual()
	other.Run.Tenant = "acme"
	f.offer(other, flow.OfferStarted) // the same pipeline name, another owner
	for tenant, want := range map[string]int{"acme": 1, "default": 1, "": 2} {
		if found, err := f.Runs(f.ctx, flow.RunQuery{Tenant: tenant}); err != nil || len(found) != want {
			f.Errorf("runs of %q: %d, %v", tenant, len(found), err)
		}
		if found, err := f.Events(f.ctx, flow.EventQuery{Tenant: tenant}); err != nil || len(found) != want {
			f.Errorf("events of %q: %d, %v", tenant, len(found), err)
		}
	}
}

func testReader(f *fixture) {
	o := manual()
	claim := f.offer(o, flow.OfferStarted).Claim
	reader := f.open(f.test, f.dir, "")
	if r, err := reader.Run(f.ctx, o.Run.ID); err != nil || r.State != flow.StateRunning {
		f.Fatalf("beside the writer: %+v, %v", r, err)
	}
	f.finish(claim)
	if r, err := reader.Run(f.ctx, o.Run.ID); err != nil || r.State != flow.StateEnded {
		f.Fatalf("after a change: %+v, %v", r, err)
	}
	if _, err := reader.Offer(f.ctx, manual()); flow.CodeOf(err) != flow.CodeReadOnly {
		f.Fatalf("a reader wrote: %v", err)
	}
	f.must(reader.Close())
	f.must(f.Close())
	alone := f.open(f.test, f.dir, "")
	if _, err := alone.Run(f.ctx, o.Run.ID); err != nil {
		f.Fatalf("without a writer: %v", err)
	}
	f.must(alone.Close())
}

func testClosed(f *fixture) {
	f.must(f.Close())
	if _, err := f.Offer(f.ctx, manual()); flow.CodeOf(err) != flow.CodeStopping {
		f.Fatalf("an offer to a closed ledger: %v", err)
	}
	f.must(f.Close()) // again does nothing
}
