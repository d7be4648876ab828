package sqlite

import (
	"context"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// Audit that is kept: so many days, and so many entries of each tenant, so that none can drown what another one did.
const (
	auditDays = 90
	auditRows = 100_000
)

// AddAudit records what somebody did, or was kept from doing. The ledger numbers it.
func (s *Store) AddAudit(ctx context.Context, e flow.AuditEntry) error {
	e.Seq, e.At = 0, e.At.UTC()
	body, err := encode(e)
	if err != nil {
		return err
	}
	return s.do(ctx, func(w *writer) error {
		_, err := w.exec("INSERT INTO audit (at, tenant, actor, verb, target, body) VALUES (?, ?, ?, ?, ?, ?)", nanos(e.At), e.Tenant, e.By, e.Verb, e.Target, body)
		return err
	})
}

// Audit returns entries, the newest first. The limit defaults to 50 and is at most 1,000.
func (s *Store) Audit(ctx context.Context, q flow.AuditQuery) ([]flow.AuditEntry, error) {
	text, args := auditQuery(q)
	return collect(ctx, reader{s.readers}, func(row scanner) (e flow.AuditEntry, err error) {
		var seq int64
		var body string
		if err := row.Scan(&seq, &body); err != nil {
			return e, err
		}
		err = decode(body, &e)
		e.Seq = seq
		return e, err
	}, text, args...)
}

func auditQuery(q flow.AuditQuery) (string, []any) {
	var f filter
	f.where("tenant = ?", q.Tenant != "", q.Tenant)
	f.where("actor = ?", q.By != "", q.By)
	f.where("verb = ?", q.Verb != "", q.Verb)
	f.where("target = ?", q.Target != "", q.Target)
	f.where("at >= ?", !q.Since.IsZero(), nanos(q.Since))
	f.where("seq < ?", q.Before != 0, q.Before)
	return "SELECT seq, body FROM audit" + f.text.String() + " ORDER BY seq DESC LIMIT ?", append(f.args, limited(q.Limit, 50, 1000))
}

// PruneAudit drops entries that are older than 90 days, and of each tenant those beyond 100,000. It returns how many.
func (s *Store) PruneAudit(ctx context.Context, now time.Time) (int64, error) {
	return s.pruneAudit(ctx, nanos(now.AddDate(0, 0, -auditDays)), auditRows)
}

func (s *Store) pruneAudit(ctx context.Context, before, rows int64) (int64, error) {
	tenants, err := collect(ctx, reader{s.readers}, func(row scanner) (tenant string, err error) { return tenant, row.Scan(&tenant) },
		"SELECT DISTINCT tenant FROM audit")
	if err != nil {
		return 0, err
	}
	var dropped int64
	for _, tenant := range tenants {
		// The newest entry that is too many, found beside the writer.
		last, err := collect(ctx, reader{s.readers}, func(row scanner) (seq int64, err error) { return seq, row.Scan(&seq) },
			"SELECT seq FROM audit WHERE tenant = ? ORDER BY seq DESC LIMIT 1 OFFSET ?", tenant, rows)
		if err != nil {
			return dropped, err
		}
		n, err := s.dropAudit(ctx, tenant, append(last, 0)[0], before)
		dropped += n
		if err != nil {
			return dropped, err
		}
	}
	return dropped, nil
}

// dropAudit drops a tenant's entries up to a number or an instant, not many in one transaction.
func (s *Store) dropAudit(ctx context.Context, tenant string, last, before int64) (dropped int64, err error) {
	for {
		n, err := write(ctx, s, func(w *writer) (int64, error) {
			return w.exec("DELETE FROM audit WHERE seq IN (SELECT seq FROM audit WHERE tenant = ? AND (seq <= ? OR at < ?) ORDER BY seq LIMIT ?)", tenant, last, before, pruneRows)
		})
		dropped += n
		if err != nil || n < pruneRows {
			return dropped, err
		}
	}
}
