package host

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/project"
	"github.com/uniflow-dev/uniflow/host/internal/store/sqlite"
)

// quotas are what the operator's manifest says of its tenants. They are read at each offer, claim, turn and host call, so
// that an apply has its effect at once. The default tenant has none.
type quotas struct {
	by     atomic.Pointer[map[string]*flow.Quota]
	ledger *sqlite.Store

	mu      sync.Mutex
	traffic map[string]*traffic
}

// of returns the quota of a tenant, filled; nil for the default one. What a tenant has left behind that is declared no more
// is bounded as if no quota were written.
func (q *quotas) of(tenant string) *flow.Quota {
	if tenant == "" || tenant == flow.DefaultTenant {
		return nil
	}
	if by := q.by.Load(); by != nil {
		if quota := (*by)[tenant]; quota != nil {
			return quota
		}
	}
	unwritten := flow.Quota{}.Filled()
	return &unwritten
}

// set replaces all quotas, and returns the tenants that had one or have one.
func (q *quotas) set(tenants []project.Tenant) []string {
	by, names := map[string]*flow.Quota{}, []string{}
	for i := range tenants {
		filled := tenants[i].Settings.Quota.Filled()
		by[tenants[i].Name] = &filled
		names = append(names, tenants[i].Name)
	}
	if before := q.by.Swap(&by); before != nil {
		for name := range *before {
			if by[name] == nil {
				names = append(names, name)
			}
		}
	}
	return names
}

func (q *quotas) memory(tenant string) flow.Size {
	if quota := q.of(tenant); quota != nil {
		return quota.Memory
	}
	return 0
}

func (q *quotas) artifacts(tenant string) flow.Size {
	if quota := q.of(tenant); quota != nil {
		return quota.Artifacts
	}
	return 0
}

// State implements service.Quotas.
func (q *quotas) State(ctx context.Context, tenant, pipeline string) (quota, others flow.Size, err error) {
	own := q.of(tenant)
	if own == nil {
		return 0, 0, nil
	}
	others, err = q.ledger.StateSize(ctx, tenant, pipeline)
	return own.State, others, err
}

// Egress implements service.Quotas. What the ledger holds of the last day is read once, and counted along from then on:
// the ledger learns of an attempt's bytes when it ends, and a quota must hold before.
func (q *quotas) Egress(tenant string, bytes int64) (string, error) {
	quota := q.of(tenant)
	if quota == nil || quota.EgressPerDay == 0 {
		return "", nil
	}
	q.mu.Lock()
	t := q.traffic[tenant]
	if t == nil {
		if q.traffic == nil {
			q.traffic = map[string]*traffic{}
		}
		t = &traffic{}
		q.traffic[tenant] = t
	}
	q.mu.Unlock()
	used, err := t.add(q.ledger, tenant, bytes, time.Now())
	if err != nil || used < quota.EgressPerDay {
		return "", err
	}
	return fmt.Sprintf("quota.egress_per_day of tenant %q is used up: %s of %s", tenant, used, quota.EgressPerDay), nil
}

// traffic is what a tenant has sent and received in the last day, by the minute.
type traffic struct {
	mu    sync.Mutex
	by    map[int64]flow.Size // nil until it was read
	sum   flow.Size
	swept int64 // the minute before which nothing is counted
}

// day is how far quotas for a day look back, in minutes.
const day = 24 * 60

// readTime bounds one look into the ledger for a quota.
const readTime = 10 * time.Second

// add counts bytes, and returns what was used before them.
func (t *traffic) add(ledger *sqlite.Store, tenant string, bytes int64, now time.Time) (flow.Size, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.by == nil {
		ctx, cancel := context.WithTimeout(context.Background(), readTime)
		defer cancel()
		by, err := ledger.EgressUsed(ctx, tenant)
		if err != nil {
			return 0, err
		}
		t.by = by
		for _, n := range by {
			t.sum += n
		}
	}
	minute := now.Unix() / 60
	if from := minute - day; from > t.swept {
		t.swept = from
		for m, n := range t.by {
			if m < from {
				delete(t.by, m)
				t.sum -= n
			}
		}
	}
	used := t.sum
	t.by[minute] += flow.Size(bytes)
	t.sum += flow.Size(bytes)
	return used, nil
}

// requota takes over the quotas of tenants that were applied, and starts what they now leave room for.
func (h *Host) requota(ctx context.Context, tenants []project.Tenant) error {
	for _, name := range h.quotas.set(tenants) {
		if err := h.runner.Oldest(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

func overQuota(op, message string) error {
	return &flow.Error{Code: flow.CodeQuota, Op: op, Message: message, Hint: "wait until there is room, or ask the operator to raise the quota; `uniflow top` shows what is used"}
}

// scheduleFits refuses one schedule more than the quota of a tenant allows.
func (h *Host) scheduleFits(records []flow.ScheduleRecord, tenant, name, op string) error {
	quota := h.quotas.of(tenant)
	if quota == nil {
		return nil
	}
	n := 0
	for i := range records {
		if records[i].Tenant == tenant && records[i].Name != name {
			n++
		}
	}
	if n < quota.Schedules {
		return nil
	}
	return overQuota(op, fmt.Sprintf("quota.schedules of tenant %q is used up: %d of %d", tenant, n, quota.Schedules))
}

// leastInterval is the least time between two slots of a schedule of a tenant.
func (h *Host) leastInterval(tenant string) time.Duration {
	least := time.Duration(0)
	if h.current() != nil {
		least = h.current().Manifest().Host.MinInterval.Std()
	}
	if quota := h.quotas.of(tenant); quota != nil {
		least = max(least, quota.MinInterval.Std())
	}
	return least
}

// stateFits refuses a change by hand by which the state of a tenant would grow beyond its quota.
func (h *Host) stateFits(ctx context.Context, p *flow.Plan, before, after flow.Size, op string) error {
	quota, others, err := h.quotas.State(ctx, p.Tenant, p.Pipeline)
	if err != nil || quota == 0 || after <= before || others+after <= quota {
		return err
	}
	return overQuota(op, fmt.Sprintf("quota.state of tenant %q is %s, and %s is used", p.Tenant, quota, others+before))
}
