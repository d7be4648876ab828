package sqlite

import (
	"context"
	"fmt"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/overlap"
)

// Usage counts by whole minutes. A bound of an hour or a day looks back over the minute in which that began as well, so
// that no hour and no day has more.
const (
	hourly = int64(60)
	daily  = 24 * hourly
)

// load is what a tenant with a quota has in the ledger. It is read once and counted along.
type load struct {
	live, queued int
	pruned       int64 // the minute in which usage that is of no more use was last dropped
}

// quota returns the quota of a tenant, nil for one that has none.
func (w *writer) quota(tenant string) *flow.Quota {
	if w.store.quotas == nil {
		return nil
	}
	return w.store.quotas(tenant)
}

// load returns what a tenant has in the ledger.
func (w *writer) load(tenant string) (*load, error) {
	if l := w.loads[tenant]; l != nil {
		return l, nil
	}
	l := &load{}
	_, err := w.one(`SELECT (SELECT count(*) FROM runs INDEXED BY runs_live WHERE tenant = ?1 AND state = 'running'),
		(SELECT count(*) FROM runs INDEXED BY runs_waiting WHERE tenant = ?1 AND state = 'queued')`, []any{tenant}, &l.live, &l.queued)
	if err == nil {
		w.loads[tenant] = l
	}
	return l, err
}

// count is told of each run that has changed its state.
func (w *writer) count(tenant string, state flow.State, by int) {
	switch l := w.loads[tenant]; {
	case l == nil:
	case state == flow.StateRunning:
		l.live += by
	case state == flow.StateQueued:
		l.queued += by
	}
}

// taken counts a run that the ledger has taken.
func (w *writer) taken(t *taking) error {
	state := flow.StateQueued
	if t.starts {
		state = flow.StateRunning
	}
	w.count(t.run.Tenant, state, 1)
	return w.use(t.run.Tenant, t.at, 1, 0, 0)
}

// use adds to what a tenant has used, if it has a quota.
func (w *writer) use(tenant string, at time.Time, runs int, fuel int64, egress flow.Size) error {
	if runs == 0 && fuel == 0 && egress == 0 || w.quota(tenant) == nil {
		return nil
	}
	minute := minuteOf(at)
	if _, err := w.exec(`INSERT INTO usage (tenant, minute, runs, fuel, egress) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET runs = runs + excluded.runs, fuel = min(fuel, 1 << 62) + excluded.fuel, egress = min(egress, 1 << 62) + excluded.egress`,
		tenant, minute, runs, min(max(fuel, 0), 1<<61), min(max(int64(egress), 0), 1<<61)); err != nil {
		return err
	}
	l, err := w.load(tenant)
	if err != nil || minute < l.pruned+hourly {
		return err
	}
	l.pruned = minute
	_, err = w.exec("DELETE FROM usage WHERE tenant = ? AND minute < ?", tenant, minute-daily)
	return err
}

func minuteOf(t time.Time) int64 { return t.Unix() / 60 }

// admission is what the quota of a tenant makes of an offer.
type admission struct {
	refusal string // names the bound that is used up
	crowded bool   // the run could start if fewer runs of the tenant were live
}

// admit changes a verdict where the quota of the tenant says so.
func (w *writer) admit(tenant string, v *overlap.Verdict) (a admission, err error) {
	q := w.quota(tenant)
	if q == nil || v.Refuse != "" {
		return a, nil
	}
	l, err := w.load(tenant)
	if err != nil {
		return a, err
	}
	if v.Start && l.live >= q.Running {
		v.Start, a.crowded = false, true
	}
	// A slot that stands for waiting ones takes their place.
	if !v.Start && !v.Coalesce && l.queued >= q.Queued {
		a.refusal = usedUp(tenant, "queued", q.Queued, l.queued)
	}
	if a.refusal == "" {
		a.refusal, err = w.spent(tenant, q)
	}
	if a.refusal != "" {
		v.Refuse, a.crowded = flow.ReasonQuota, false
	}
	return a, err
}

// spent names the bound on what a tenant uses over time that is used up.
func (w *writer) spent(tenant string, q *flow.Quota) (string, error) {
	if q.RunsPerHour == 0 && q.FuelPerDay == 0 && q.EgressPerDay == 0 {
		return "", nil
	}
	now := minuteOf(time.Now())
	var runs int
	var fuel, egress int64
	if _, err := w.one(usedText, []any{tenant, now - hourly, now - daily}, &runs, &fuel, &egress); err != nil {
		return "", err
	}
	switch {
	case q.RunsPerHour > 0 && runs >= q.RunsPerHour:
		return usedUp(tenant, "runs_per_hour", q.RunsPerHour, runs), nil
	case q.FuelPerDay > 0 && fuel >= q.FuelPerDay:
		return usedUp(tenant, "fuel_per_day", q.FuelPerDay, fuel), nil
	case q.EgressPerDay > 0 && egress >= int64(q.EgressPerDay):
		return usedUp(tenant, "egress_per_day", q.EgressPerDay, flow.Size(egress)), nil
	}
	return "", nil
}

const usedText = `SELECT coalesce(sum(runs) FILTER (WHERE minute >= ?2), 0), coalesce(sum(fuel), 0), coalesce(sum(egress), 0)
	FROM usage WHERE tenant = ?1 AND minute >= ?3`

// usedUp says which bound of a tenant is used up.
func usedUp(tenant, bound string, limit, used any) string {
	return fmt.Sprintf("quota.%s of tenant %q is used up: %v of %v", bound, tenant, used, limit)
}

// crowded reports whether a tenant has as many live runs as its quota allows.
func (w *writer) crowded(tenant string) (bool, error) {
	q := w.quota(tenant)
	if q == nil {
		return false, nil
	}
	l, err := w.load(tenant)
	return err == nil && l.live >= q.Running, err
}

// ClaimOldest claims the oldest waiting run of a tenant that could start now: its pipeline has no live run, it is the first
// in its line, and it has not waited too long. It is false when there is none, or the tenant has as many live runs as its
// quota allows; Crowded then says that.
func (s *Store) ClaimOldest(ctx context.Context, tenant string) (flow.Claimed, bool, error) {
	return s.claim(ctx, func(w *writer) (flow.Claimed, error) {
		if crowded, err := w.crowded(tenant); err != nil || crowded {
			return flow.Claimed{Crowded: crowded}, err
		}
		return w.claim(oldestText, tenant, nanos(time.Now()))
	})
}

// oldestText finds the pipelines of which a run waits by leaps over the index, however many runs wait.
const oldestText = `WITH RECURSIVE lines (pipeline) AS (
		SELECT min(pipeline) FROM runs INDEXED BY runs_waiting WHERE tenant = ?1 AND state = 'queued'
		UNION ALL
		SELECT (SELECT min(pipeline) FROM runs INDEXED BY runs_waiting WHERE tenant = ?1 AND state = 'queued' AND pipeline > lines.pipeline)
		FROM lines WHERE lines.pipeline IS NOT NULL)
	SELECT seq, body FROM runs WHERE seq = (
		SELECT min((SELECT seq FROM runs INDEXED BY runs_waiting WHERE tenant = ?1 AND pipeline = lines.pipeline AND state = 'queued'
			AND (start_by IS NULL OR start_by > ?2) ORDER BY place, seq LIMIT 1))
		FROM lines WHERE lines.pipeline IS NOT NULL
			AND NOT EXISTS (SELECT 1 FROM runs INDEXED BY runs_live WHERE tenant = ?1 AND pipeline = lines.pipeline AND state = 'running'))`

// Usage returns what a tenant has in the ledger, and what it has used within the time that its quota looks back.
func (s *Store) Usage(ctx context.Context, tenant string) (flow.TenantUsage, error) {
	now := minuteOf(time.Now())
	found, err := collect(ctx, reader{s.readers}, func(row scanner) (u flow.TenantUsage, err error) {
		return u, row.Scan(&u.RunsPerHour, &u.FuelPerDay, &u.Egress, &u.Running, &u.Queued, &u.State)
	}, `SELECT used.*, (SELECT count(*) FROM runs INDEXED BY runs_live WHERE tenant = ?1 AND state = 'running'),
		(SELECT count(*) FROM runs INDEXED BY runs_waiting WHERE tenant = ?1 AND state = 'queued'),
		(SELECT coalesce(sum(`+stateSize+`), 0) FROM state WHERE tenant = ?1)
		FROM (`+usedText+`) AS used`, tenant, now-hourly, now-daily)
	if err != nil {
		return flow.TenantUsage{}, err
	}
	return found[0], nil
}

// AppliedAt returns when a version of a pipeline was last applied, by tenant.
func (s *Store) AppliedAt(ctx context.Context) (map[string]time.Time, error) {
	type row struct {
		tenant string
		at     instant
	}
	rows, err := collect(ctx, reader{s.readers}, func(from scanner) (r row, err error) { return r, from.Scan(&r.tenant, &r.at) },
		"SELECT tenant, max(at) FROM deployed JOIN deployments ON seq = deployment GROUP BY tenant")
	by := make(map[string]time.Time, len(rows))
	for _, r := range rows {
		by[r.tenant] = r.at.time()
	}
	return by, err
}

// SlotMessage returns what the event of a slot's ending says beside the reason; empty where it says nothing, or is no longer
// kept.
func (s *Store) SlotMessage(ctx context.Context, r *flow.SlotRecord) (string, error) {
	found, err := collect(ctx, reader{s.readers}, func(row scanner) (text string, err error) { return text, row.Scan(&text) },
		`SELECT coalesce(json_extract(body, '$.message'), '') FROM events WHERE tenant = ? AND pipeline = ? AND run = '' AND at >= ?
			AND json_extract(body, '$.kind') = 'slot.ended' AND json_extract(body, '$.schedule') = ? AND json_extract(body, '$.detail.from') = ? LIMIT 1`,
		r.Tenant, r.Pipeline, nanos(r.From), r.Schedule, r.From.UTC().Format(time.RFC3339Nano))
	if err != nil || len(found) == 0 {
		return "", err
	}
	return found[0], nil
}

// stateSize is what one key of the state takes, as a guest counts it.
const stateSize = "length(CAST(key AS BLOB)) + length(CAST(value AS BLOB))"

// StateSize returns what the pipelines of a tenant keep beside the given one.
func (s *Store) StateSize(ctx context.Context, tenant, pipeline string) (flow.Size, error) {
	found, err := collect(ctx, reader{s.readers}, func(row scanner) (n flow.Size, err error) { return n, row.Scan(&n) },
		"SELECT coalesce(sum("+stateSize+"), 0) FROM state WHERE tenant = ? AND pipeline <> ?", tenant, pipeline)
	if err != nil {
		return 0, err
	}
	return found[0], nil
}

// EgressUsed returns the bytes that a tenant has sent and received by the minute since the Unix epoch, within the time that
// its quota looks back.
func (s *Store) EgressUsed(ctx context.Context, tenant string) (map[int64]flow.Size, error) {
	type row struct {
		minute int64
		bytes  flow.Size
	}
	rows, err := collect(ctx, reader{s.readers}, func(from scanner) (r row, err error) { return r, from.Scan(&r.minute, &r.bytes) },
		"SELECT minute, egress FROM usage WHERE tenant = ? AND minute >= ? AND egress > 0", tenant, minuteOf(time.Now())-daily)
	by := make(map[int64]flow.Size, len(rows))
	for _, r := range rows {
		by[r.minute] = r.bytes
	}
	return by, err
}
