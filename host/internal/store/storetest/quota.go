package storetest

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// QuotaLedger is what a store with quotas does beside Ledger.
type QuotaLedger interface {
	Ledger
	ClaimOldest(ctx context.Context, tenant string) (flow.Claimed, bool, error)
	Usage(ctx context.Context, tenant string) (flow.TenantUsage, error)
	EgressUsed(ctx context.Context, tenant string) (map[int64]flow.Size, error)
}

// OpenQuotas is Open with the quotas of tenants.
type OpenQuotas func(t *testing.T, dir, boot string, quotas func(tenant string) *flow.Quota) QuotaLedger

// RunQuotas runs the suite of what a store promises about the quotas of tenants.
func RunQuotas(t *testing.T, open OpenQuotas) {
	t.Helper()
	for name, test := range map[string]func(*tenants){
		"ATenantHasSoManyLiveRuns":               testRunning,
		"RunsOfATenantThatWaitAreBounded":        testQueued,
		"ASlotOverTheQuotaIsSkippedWithItsBound": testSlotOverQuota,
		"WhatATenantUsesIsBounded":               testSpent,
		"ARestartKeepsTheBounds":                 testQuotaRestart,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			f := &tenants{fixture: fixture{TB: t, test: t, ctx: ctx, dir: t.TempDir()}, openQuotas: open}
			f.boot("boot-1")
			defer func() { f.must(f.Close()) }()
			test(f)
		})
	}
}

// tenants is a ledger in which the tenant acme has a quota, and others have none.
type tenants struct {
	fixture
	openQuotas OpenQuotas
	quotas     QuotaLedger
	quota      atomic.Pointer[flow.Quota]
}

func (f *tenants) boot(name string) {
	f.quotas = f.openQuotas(f.test, f.dir, name, func(tenant string) *flow.Quota {
		if tenant != "acme" {
			return nil
		}
		return f.quota.Load()
	})
	f.Ledger = f.quotas
}

func (f *tenants) set(q flow.Quota) {
	q = q.Filled()
	f.quota.Store(&q)
}

// ask makes an offer by hand.
func (f *tenants) ask(tenant, pipeline string, want flow.OfferAnswer) (flow.RunID, flow.Offered) {
	f.Helper()
	o := manual()
	o.Run.Tenant, o.Run.Pipeline = tenant, pipeline
	return o.Run.ID, f.offer(o, want)
}

// oldest claims the tenant's oldest run and checks which one it is.
func (f *tenants) oldest(want flow.RunID) flow.Claimed {
	f.Helper()
	claimed, ok, err := f.quotas.ClaimOldest(f.ctx, "acme")
	f.must(err)
	if claimed.Run.ID != want || ok != (want != "") {
		f.Fatalf("claimed %q, want %q", claimed.Run.ID, want)
	}
	return claimed
}

func (f *tenants) usage() flow.TenantUsage {
	f.Helper()
	u, err := f.quotas.Usage(f.ctx, "acme")
	f.must(err)
	return u
}

func testRunning(f *tenants) {
	f.set(flow.Quota{Running: 2})
	_, a := f.ask("acme", "a", flow.OfferStarted)
	_, b := f.ask("acme", "b", flow.OfferStarted)
	c1, o := f.ask("acme", "c", flow.OfferQueued)
	if !o.Crowded {
		f.Error("a run that waits for room of its tenant is not said to")
	}
	d1, _ := f.ask("acme", "d", flow.OfferQueued)
	a2, o := f.ask("acme", "a", flow.OfferQueued)
	if o.Crowded {
		f.Error("a run that waits for its pipeline is said to wait for its tenant")
	}
	c2, _ := f.ask("acme", "c", flow.OfferQueued)
	f.ask("default", "c", flow.OfferStarted)
	if got := f.oldest(""); !got.Crowded {
		f.Error("a full tenant is not said to be")
	}
	if got, ok, err := f.Claim(f.ctx, d1); ok || err != nil || !got.Crowded {
		f.Errorf("a full tenant's run was claimed by its id: %v %v", got, err)
	}
	if got, ok, err := f.ClaimNext(f.ctx, "acme", "c"); ok || err != nil || !got.Crowded {
		f.Errorf("a full tenant's run was claimed for its pipeline: %v %v", got, err)
	}
	f.finish(a.Claim)
	c := f.oldest(c1)
	f.oldest("")
	f.finish(b.Claim)
	d := f.oldest(d1)
	f.finish(c.Claim)
	f.oldest(a2)
	f.finish(d.Claim)
	last := f.oldest(c2)
	if got := f.usage(); got.Running != 2 || got.Queued != 0 || got.RunsPerHour != 6 {
		f.Errorf("usage %+v, want 2 running, none queued, 6 in the hour", got)
	}
	f.finish(last.Claim)
	if got := f.oldest(""); got.Crowded {
		f.Error("a tenant with room is said to be full")
	}
}

func testQueued(f *tenants) {
	f.set(flow.Quota{Running: 1, Queued: 3})
	f.ask("acme", "a", flow.OfferStarted)
	first, _ := f.ask("acme", "a", flow.OfferQueued)
	for n := range 2 {
		o := slot("hourly", n, flow.OverlapWait)
		o.Run.Tenant = "acme"
		f.offer(o, flow.OfferQueued)
	}
	f.ask("acme", "b", flow.OfferQueued)
	_, o := f.ask("acme", "c", flow.OfferRefused)
	if o.Reason != flow.ReasonQuota || !strings.Contains(o.Message, "quota.queued") || !strings.Contains(o.Message, "3 of 3") {
		f.Errorf("refused by %s: %q", o.Reason, o.Message)
	}
	newest := slot("hourly", 2, flow.OverlapWait)
	newest.Run.Tenant = "acme"
	f.offer(newest, flow.OfferQueued) // it takes the place of the one that waits
	if _, err := f.Cancel(f.ctx, first, flow.Ending{Outcome: flow.Cancelled, Reason: flow.ReasonRequest}); err != nil {
		f.Fatal(err)
	}
	f.ask("acme", "c", flow.OfferQueued)
	f.ask("acme", "c", flow.OfferRefused)
	f.set(flow.Quota{Running: 1, Queued: 4})
	f.ask("acme", "c", flow.OfferQueued)
}

func testSlotOverQuota(f *tenants) {
	f.set(flow.Quota{RunsPerHour: 1})
	f.ask("acme", "a", flow.OfferStarted)
	o := slot("hourly", 2, flow.OverlapWait)
	o.Run.Tenant = "acme"
	o.Slots = []flow.SlotRecord{{Pipeline: "weather", From: epoch(), To: epoch().Add(time.Minute), Count: 2, Ending: flow.SlotCoalesced, Run: o.Run.ID}}
	refused := f.offer(o, flow.OfferRefused)
	slots, err := f.Slots(f.ctx, flow.SlotQuery{Tenant: "acme", Schedule: "hourly"})
	f.must(err)
	for _, s := range slots {
		if s.Ending != flow.SlotSkipped || s.Reason != flow.ReasonQuota || s.Run != "" {
			f.Errorf("slot %+v, want skipped (quota)", s)
		}
	}
	events, err := f.Events(f.ctx, flow.EventQuery{Tenant: "acme", Schedule: "hourly", Kind: flow.SlotEnded})
	f.must(err)
	if len(slots) != 2 || len(events) != 2 || events[1].Message != refused.Message || !strings.Contains(refused.Message, `quota.runs_per_hour of tenant "acme" is used up: 1 of 1`) {
		f.Errorf("slots %v, events %v, message %q", slots, events, refused.Message)
	}
	f.offer(o, flow.OfferDuplicate)
}

func testSpent(f *tenants) {
	f.set(flow.Quota{FuelPerDay: 100, EgressPerDay: 1000})
	spend := func(fuel int64, egress flow.Size) {
		f.Helper()
		_, o := f.ask("acme", "a", flow.OfferStarted)
		ended := flow.Event{Kind: flow.AttemptEnded, Step: "s", Attempt: 1, Ending: flow.Ending{Outcome: flow.Failed, Reason: flow.ReasonTrap}, Usage: &flow.Usage{Fuel: fuel, Egress: egress}}
		f.must(f.Finish(f.ctx, o.Claim, flow.Ending{Outcome: flow.Failed}, ended))
	}
	refused := func(want string) {
		f.Helper()
		if _, o := f.ask("acme", "a", flow.OfferRefused); !strings.Contains(o.Message, want) {
			f.Errorf("refused by %q, want %q", o.Message, want)
		}
	}
	spend(60, 400)
	spend(60, 600)
	refused("quota.fuel_per_day of tenant \"acme\" is used up: 120 of 100")
	f.set(flow.Quota{EgressPerDay: 1000})
	refused("quota.egress_per_day of tenant \"acme\" is used up: 1000B of 1000B")
	f.set(flow.Quota{})
	spend(1<<62, 1<<62) // what cannot be is bounded all the same
	spend(1<<62, 1<<62)
	spend(1<<62, 1<<62)
	f.set(flow.Quota{FuelPerDay: 1 << 40})
	refused("fuel_per_day")
	if by, err := f.quotas.EgressUsed(f.ctx, "acme"); err != nil || len(by) == 0 {
		f.Errorf("egress by minute: %v %v", by, err)
	}
	f.ask("default", "a", flow.OfferStarted)
	if u, err := f.quotas.Usage(f.ctx, "default"); err != nil || u.RunsPerHour != 0 || u.Running != 1 {
		f.Errorf("the default tenant's usage was recorded: %+v %v", u, err)
	}
}

func testQuotaRestart(f *tenants) {
	f.set(flow.Quota{Running: 1, Queued: 2, RunsPerHour: 4})
	_, live := f.ask("acme", "a", flow.OfferStarted)
	waits, _ := f.ask("acme", "b", flow.OfferQueued)
	f.ask("acme", "c", flow.OfferQueued)
	f.must(f.Close())
	f.boot("boot-2")
	claimed, _, err := f.Recover(f.ctx)
	f.must(err)
	if len(claimed) != 1 || claimed[0].Run.ID != live.Claim.Run {
		f.Fatalf("recovered %v", claimed)
	}
	f.oldest("")
	if _, o := f.ask("acme", "d", flow.OfferRefused); !strings.Contains(o.Message, "queued") {
		f.Errorf("refused by %q", o.Message)
	}
	f.finish(claimed[0].Claim)
	f.oldest(waits)
	f.ask("acme", "d", flow.OfferQueued)
	f.must(f.Close())
	f.boot("boot-3")
	if _, o := f.ask("acme", "e", flow.OfferRefused); o.Message == "" {
		f.Error("no bound is named")
	}
	f.set(flow.Quota{Running: 1, RunsPerHour: 4})
	if _, o := f.ask("acme", "e", flow.OfferRefused); !strings.Contains(o.Message, fmt.Sprintf("%d of %d", 4, 4)) {
		f.Errorf("refused by %q", o.Message)
	}
}
