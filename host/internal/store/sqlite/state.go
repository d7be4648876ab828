package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// State returns what a pipeline keeps, by key. With a run it is what the steps of that run see: their own writes lie over
// it, although they become the pipeline's only when the run succeeds.
func (s *Store) State(ctx context.Context, tenant, pipeline string, run flow.RunID) (map[string]json.RawMessage, error) {
	type entry struct {
		key   string
		value sql.NullString
	}
	entries, err := collect(ctx, reader{s.readers}, func(row scanner) (e entry, err error) { return e, row.Scan(&e.key, &e.value) },
		`SELECT key, value FROM (
			SELECT 0 AS seq, key, value FROM state WHERE tenant = ?1 AND pipeline = ?2
			UNION ALL
			SELECT seq, key, value FROM state_writes WHERE run = (SELECT seq FROM runs WHERE id = ?3)
		) ORDER BY seq`, tenant, pipeline, run)
	if err != nil {
		return nil, err
	}
	found := make(map[string]json.RawMessage, len(entries))
	for _, e := range entries {
		if e.value.Valid {
			found[e.key] = json.RawMessage(e.value.String)
		} else {
			delete(found, e.key)
		}
	}
	return found, nil
}

// SetState changes what a pipeline keeps by hand: nil deletes.
func (s *Store) SetState(ctx context.Context, tenant, pipeline string, values map[string]json.RawMessage) error {
	return s.do(ctx, func(w *writer) error {
		for _, key := range slices.Sorted(maps.Keys(values)) {
			if err := w.setState(tenant, pipeline, key, values[key], ""); err != nil {
				return err
			}
		}
		return nil
	})
}

func (w *writer) setState(tenant, pipeline, key string, value json.RawMessage, run flow.RunID) error {
	if value == nil {
		_, err := w.exec("DELETE FROM state WHERE tenant = ? AND pipeline = ? AND key = ?", tenant, pipeline, key)
		return err
	}
	_, err := w.exec(`INSERT INTO state (tenant, pipeline, key, value, run, at) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET value = excluded.value, run = excluded.run, at = excluded.at`,
		tenant, pipeline, key, string(value), run, nanos(time.Now()))
	return err
}

// writeState keeps what an attempt has written for the rest of its run.
func (w *writer) writeState(run int64, e *flow.Event) error {
	for _, key := range slices.Sorted(maps.Keys(e.State)) {
		var value any
		if v := e.State[key]; v != nil {
			value = string(v)
		}
		if _, err := w.exec("INSERT INTO state_writes (run, step, key, value) VALUES (?, ?, ?, ?)", run, e.Step, key, value); err != nil {
			return err
		}
	}
	return nil
}

// takeState copies what a step has written in another run, which this one takes over.
func (w *writer) takeState(run int64, step string, from flow.RunID) error {
	_, err := w.exec(`INSERT INTO state_writes (run, step, key, value)
		SELECT ?, step, key, value FROM state_writes WHERE run = (SELECT seq FROM runs WHERE id = ?) AND step = ? ORDER BY seq`, run, from, step)
	return err
}

// applyState makes what a run has written the pipeline's.
func (w *writer) applyState(r *liveRun) error {
	type change struct {
		key   string
		value sql.NullString
	}
	changes, err := collect(context.Background(), w, func(row scanner) (c change, err error) { return c, row.Scan(&c.key, &c.value) },
		"SELECT key, value FROM state_writes WHERE run = ? ORDER BY seq", r.seq)
	if err != nil || len(changes) == 0 {
		return err
	}
	for _, c := range changes {
		var value json.RawMessage
		if c.value.Valid {
			value = json.RawMessage(c.value.String)
		}
		if err := w.setState(r.tenant, r.pipeline, c.key, value, r.id); err != nil {
			return err
		}
	}
	_, err = w.exec("DELETE FROM state_writes WHERE run = ?", r.seq)
	return err
}
