package sqlite

import (
	"context"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// pruneRows bounds what one transaction deletes, so that no other call waits long.
const pruneRows = 500

// History that is kept where flow.Keep says nothing.
const (
	keepRuns = 10_000
	keepDays = 90
)

// Prune drops the history of a pipeline beyond keep: ended runs with their events and log lines, and slots and other
// events that are older. It returns how many runs were dropped, also when it was cut short by ctx or an error.
func (s *Store) Prune(ctx context.Context, tenant, pipeline string, keep flow.Keep, now time.Time) (int, error) {
	p := pruning{tenant: tenant, pipeline: pipeline}
	days := limited(keep.Days, keepDays, 36_500)
	p.before = nanos(now.AddDate(0, 0, -days))
	// The newest run that is too many; found beside the writer, since an ended run stays ended.
	last, err := collect(ctx, reader{s.readers}, func(row scanner) (seq int64, err error) { return seq, row.Scan(&seq) },
		"SELECT seq FROM runs WHERE tenant = ? AND pipeline = ? AND state = 'ended' ORDER BY seq DESC LIMIT 1 OFFSET ?",
		tenant, pipeline, limited(keep.Runs, keepRuns, 1_000_000_000))
	if err != nil {
		return 0, err
	}
	if len(last) > 0 {
		p.last = last[0]
	}
	dropped := 0
	for {
		runs, err := collect(ctx, reader{s.readers}, func(row scanner) (r prunedRun, err error) { return r, row.Scan(&r.seq, &r.id) },
			`SELECT seq, id FROM runs WHERE tenant = ? AND pipeline = ? AND state = 'ended' AND (seq <= ? OR ended_at < ?) ORDER BY seq LIMIT ?`,
			tenant, pipeline, p.last, p.before, pruneRows)
		if err != nil {
			return dropped, err
		}
		p.runs = runs
		if old, err := p.old(ctx, s); err != nil || !old {
			return dropped, err
		}
		step, err := write(ctx, s, p.delete)
		dropped += step.runs
		if err != nil || !step.more {
			return dropped, err
		}
	}
}

type prunedRun struct {
	seq int64
	id  flow.RunID
}

// pruning is what one transaction has to do.
type pruning struct {
	tenant, pipeline string
	before, last     int64
	runs             []prunedRun
}

// old reports whether there may be something to drop: most pipelines have nothing most of the time, and what is read
// beside the writer keeps no call waiting.
func (p *pruning) old(ctx context.Context, s *Store) (bool, error) {
	if len(p.runs) > 0 {
		return true, nil
	}
	found, err := collect(ctx, reader{s.readers}, func(row scanner) (old bool, err error) { return old, row.Scan(&old) },
		`SELECT EXISTS (SELECT 1 FROM slots WHERE tenant = ?1 AND pipeline = ?2 AND to_at < ?3)
			OR coalesce((SELECT at FROM events WHERE tenant = ?1 AND pipeline = ?2 ORDER BY seq LIMIT 1) < ?3, 0)`,
		p.tenant, p.pipeline, p.before)
	return err == nil && found[0], err
}

type pruned struct {
	runs int
	more bool
}

// delete drops at most pruneRows rows, and steps and attempts with their runs.
func (p *pruning) delete(w *writer) (pruned, error) {
	left := int64(pruneRows)
	drop := func(text string, args ...any) error {
		if left <= 0 {
			return nil
		}
		n, err := w.exec(text, append(args, left)...)
		left -= n
		return err
	}
	var done pruned
	for _, r := range p.runs {
		if err := drop("DELETE FROM logs WHERE seq IN (SELECT seq FROM logs WHERE run = ? LIMIT ?)", r.id); err != nil {
			return done, err
		}
		if err := drop("DELETE FROM events WHERE seq IN (SELECT seq FROM events WHERE run = ? LIMIT ?)", r.id); err != nil {
			return done, err
		}
		if left <= 0 {
			return pruned{done.runs, true}, nil
		}
		if err := drop("DELETE FROM runs WHERE seq = ? AND ? > 0", r.seq); err != nil {
			return done, err
		}
		done.runs++
	}
	if err := drop(`DELETE FROM slots WHERE (tenant, schedule, from_at) IN (
		SELECT tenant, schedule, from_at FROM slots WHERE tenant = ? AND pipeline = ? AND to_at < ? LIMIT ?)`, p.tenant, p.pipeline, p.before); err != nil {
		return done, err
	}
	// Events of runs that are kept stay whole.
	if err := drop(`DELETE FROM events WHERE seq IN (
		SELECT seq FROM events AS e WHERE tenant = ? AND pipeline = ? AND at < ? AND NOT EXISTS (SELECT 1 FROM runs WHERE id = e.run) LIMIT ?)`,
		p.tenant, p.pipeline, p.before); err != nil {
		return done, err
	}
	done.more = left <= 0 || len(p.runs) == pruneRows
	return done, nil
}
