package sqlite

import (
	"context"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// overdue ends the waiting runs of a pipeline that could not start in time, and returns their ids.
func (w *writer) overdue(tenant, pipeline string, now time.Time) ([]flow.RunID, error) {
	if w.hasty == nil {
		var one int
		found, err := w.one("SELECT 1 FROM runs INDEXED BY runs_start WHERE state = 'queued' AND start_by IS NOT NULL LIMIT 1", nil, &one)
		if err != nil {
			return nil, err
		}
		w.hasty = &found
	}
	if !*w.hasty { // most ledgers never have such a run, and every offer comes by here
		return nil, nil
	}
	gone, err := collect(context.Background(), w, func(row scanner) (r liveRun, err error) {
		return r, row.Scan(&r.seq, &r.id, &r.tenant, &r.pipeline, &r.schedule, &r.state)
	}, `SELECT seq, id, tenant, pipeline, schedule, state FROM runs INDEXED BY runs_start
		WHERE tenant = ? AND pipeline = ? AND state = 'queued' AND start_by IS NOT NULL AND start_by <= ? ORDER BY start_by`,
		tenant, pipeline, nanos(now))
	if err != nil {
		return nil, err
	}
	var ids []flow.RunID
	for i := range gone {
		if err := w.end(&gone[i], flow.Overdue(), now); err != nil {
			return nil, err
		}
		ids = append(ids, gone[i].id)
	}
	return ids, nil
}

// OverdueLines returns the pipelines of which a run waits that could not start in time.
func (s *Store) OverdueLines(ctx context.Context) ([]flow.Line, error) {
	return collect(ctx, reader{s.readers}, func(row scanner) (l flow.Line, err error) {
		return l, row.Scan(&l.Tenant, &l.Pipeline)
	}, `SELECT DISTINCT tenant, pipeline FROM runs INDEXED BY runs_start WHERE state = 'queued' AND start_by IS NOT NULL AND start_by <= ?`, nanos(time.Now()))
}
