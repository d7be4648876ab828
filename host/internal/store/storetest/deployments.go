package storetest

import (
	"errors"
	"slices"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// version is a plan of the pipeline "weather" that differs by its word.
func version(word string) flow.Plan {
	return flow.Plan{Tenant: "default", Pipeline: "weather", Label: word, Digest: flow.DigestOf([]byte(word))}
}

// deployment is the state in which weather has a version, and acme's pipeline "etl" another.
func deployment(weather, etl flow.Digest, at time.Time) flow.Deployment {
	d := flow.Deployment{At: at, Cause: "apply", Manifests: map[string]flow.Digest{"default": weather, "acme": etl}, Plans: map[string]flow.Digest{"weather": weather}}
	if etl != "" {
		d.Plans["acme/etl"] = etl
	}
	d.Digest = flow.DigestOf([]byte(weather + etl))
	return d
}

func testDeploy(f *fixture) {
	one, two := version("one"), version("two")
	etl := flow.Plan{Tenant: "acme", Pipeline: "etl", Digest: flow.DigestOf([]byte("etl"))}
	record := flow.ScheduleRecord{Tenant: "default", Origin: flow.OriginManifest, Since: epoch(), PlanSchedule: flow.PlanSchedule{Name: "weather", Pipeline: "weather", At: "every 10s", Timezone: "UTC", Enabled: true}}
	deploy := func(d flow.Deploying) flow.Deployed {
		done, err := f.Deploy(f.ctx, d)
		f.must(err)
		return done
	}
	first := deploy(flow.Deploying{Deployment: deployment(one.Digest, etl.Digest, epoch()), Plans: []flow.Plan{one, etl}, Schedules: []flow.ScheduleRecord{record}})
	if len(first.Schedules) != 1 || !first.Schedules[0].Watermark.Equal(epoch()) {
		f.Fatalf("schedules as kept: %+v", first.Schedules)
	}
	if same := deploy(flow.Deploying{Deployment: deployment(one.Digest, etl.Digest, epoch().Add(time.Hour))}); same.Deployment.Seq != first.Deployment.Seq {
		f.Fatalf("the same state again is deployment %d, want %d", same.Deployment.Seq, first.Deployment.Seq)
	}
	rollback := flow.Rollback{Tenant: "default", Pipeline: "weather", Digest: one.Digest, Over: two.Digest, At: epoch()}
	bad := flow.Deploying{Deployment: deployment(two.Digest, "", epoch()), Plans: []flow.Plan{two}, Gone: []flow.ScheduleRecord{record}, Rollbacks: []flow.Rollback{rollback, rollback}}
	if _, err := f.Deploy(f.ctx, bad); err == nil {
		f.Fatal("two rollbacks of one pipeline were taken")
	}
	schedules, err := f.Schedules(f.ctx)
	f.must(err)
	if _, err := f.Plan(f.ctx, two.Digest); !errors.Is(err, flow.ErrNotFound) || len(schedules) != 1 {
		f.Fatalf("a deployment that failed has left a plan (%v) or taken a schedule (%d left)", err, len(schedules))
	}
	bad.Rollbacks, bad.Deployment.Metadata = bad.Rollbacks[:1], map[string]string{"ticket": "7"}
	bad.Slots = []flow.SlotRecord{{Tenant: "default", Schedule: "weather", Pipeline: "weather", From: epoch(), To: epoch(), Count: 1, Ending: flow.SlotSkipped, Reason: flow.ReasonRequest}}
	second := deploy(bad)
	deployedHistory(f, first.Deployment, second.Deployment, one, two)
	kept, err := f.Rollbacks(f.ctx)
	f.must(err)
	if len(kept) != 1 || kept[0] != rollback || len(f.slots("weather")) != 1 {
		f.Fatalf("rollbacks %+v, slots %+v", kept, f.slots("weather"))
	}
	deploy(flow.Deploying{Deployment: deployment(two.Digest, "", epoch())})
	if kept, err := f.Rollbacks(f.ctx); err != nil || len(kept) != 0 {
		f.Fatalf("rollbacks that no longer hold: %+v, %v", kept, err)
	}
	wanted, err := f.Versioned(f.ctx, 1)
	f.must(err)
	if wanted[one.Digest] || !wanted[two.Digest] {
		f.Fatalf("versions of the last deployment: %v", wanted)
	}
}

// deployedHistory checks what is told of two deployments: the second changed weather, and ended etl.
func deployedHistory(f *fixture, first, second flow.Deployment, one, two flow.Plan) {
	list := func(q flow.DeploymentQuery) (seqs []int64) {
		found, err := f.Deployments(f.ctx, q)
		f.must(err)
		for _, d := range found {
			seqs = append(seqs, d.Seq)
			if q.Tenant != "" && len(d.Manifests) > 1 {
				f.Fatalf("tenant %s is told of %v", q.Tenant, d.Manifests)
			}
		}
		return seqs
	}
	for _, ask := range []struct {
		q    flow.DeploymentQuery
		want []int64
	}{
		{flow.DeploymentQuery{}, []int64{second.Seq, first.Seq}},
		{flow.DeploymentQuery{Limit: 1}, []int64{second.Seq}},
		{flow.DeploymentQuery{Before: second.Seq}, []int64{first.Seq}},
		{flow.DeploymentQuery{Pipeline: "acme/etl"}, []int64{second.Seq, first.Seq}},
		{flow.DeploymentQuery{Tenant: "other"}, nil},
		{flow.DeploymentQuery{Tenant: "acme", Before: second.Seq}, []int64{first.Seq}},
	} {
		if got := list(ask.q); !slices.Equal(got, ask.want) {
			f.Fatalf("deployments of %+v: %v, want %v", ask.q, got, ask.want)
		}
	}
	versions, err := f.Applied(f.ctx, "default", "weather")
	f.must(err)
	if len(versions) != 2 || versions[0].Digest != two.Digest || versions[0].Deployment != second.Seq || versions[0].Metadata["ticket"] != "7" || versions[1].Label != "one" {
		f.Fatalf("versions that were applied: %+v", versions)
	}
	if ended, err := f.Applied(f.ctx, "acme", "etl"); err != nil || len(ended) != 1 {
		f.Fatalf("versions of a pipeline that is gone: %+v, %v", ended, err)
	}
	if d, err := f.DeploymentOf(f.ctx, "default", "weather", one.Digest, epoch()); err != nil || d.Seq != first.Seq {
		f.Fatalf("deployment of the first version: %+v, %v", d, err)
	}
	if _, err := f.DeploymentOf(f.ctx, "default", "weather", one.Digest, epoch().Add(-1)); !errors.Is(err, flow.ErrNotFound) {
		f.Fatalf("deployment of a version before it was applied: %v", err)
	}
}
