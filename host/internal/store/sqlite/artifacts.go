package sqlite

import (
	"context"
	"encoding/json"
	"iter"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// refer records the artifacts that values of a run refer to.
func (w *writer) refer(run int64, tenant string, values iter.Seq[json.RawMessage]) error {
	for v := range values {
		for _, d := range flow.ArtifactsIn(v) {
			if !d.Valid() {
				continue
			}
			if _, err := w.exec("INSERT INTO artifacts (tenant, digest, run) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", tenant, d, run); err != nil {
				return err
			}
		}
	}
	return nil
}

// Refers reports whether the context or an output of a recorded run of the tenant refers to an artifact.
func (s *Store) Refers(ctx context.Context, tenant string, d flow.Digest) (bool, error) {
	found, err := collect(ctx, reader{s.readers}, func(row scanner) (n int, err error) { return n, row.Scan(&n) },
		"SELECT 1 FROM artifacts WHERE tenant = ? AND digest = ? LIMIT 1", tenant, d)
	return len(found) > 0, err
}

// RunRefers reports the same of one run.
func (s *Store) RunRefers(ctx context.Context, run flow.RunID, d flow.Digest) (bool, error) {
	found, err := collect(ctx, reader{s.readers}, func(row scanner) (n int, err error) { return n, row.Scan(&n) },
		"SELECT 1 FROM runs JOIN artifacts ON run = seq AND digest = ? AND artifacts.tenant = runs.tenant WHERE id = ?", d, run)
	return len(found) > 0, err
}

// OldestOpen returns when the first of the runs that have not ended was offered; the zero instant when all have.
func (s *Store) OldestOpen(ctx context.Context) (time.Time, error) {
	found, err := collect(ctx, reader{s.readers}, func(row scanner) (at instant, err error) { return at, row.Scan(&at) },
		"SELECT min(queued_at) FROM runs WHERE state IN ('queued', 'running')")
	if err != nil {
		return time.Time{}, err
	}
	return found[0].time(), nil
}
