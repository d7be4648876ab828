package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// reader implements querier on a pool or one transaction.
type reader struct {
	db interface {
		QueryContext(ctx context.Context, text string, args ...any) (*sql.Rows, error)
	}
}

func (r reader) query(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	return r.db.QueryContext(ctx, text, args...)
}

// filter builds the conditions of a query; only fixed texts become SQL.
type filter struct {
	text strings.Builder
	args []any
}

func (f *filter) where(condition string, apply bool, arg any) {
	if !apply {
		return
	}
	if f.text.Len() == 0 {
		f.text.WriteString(" WHERE ")
	} else {
		f.text.WriteString(" AND ")
	}
	f.text.WriteString(condition)
	f.args = append(f.args, arg)
}

// limited returns n within its bound, or the default.
func limited(n, normal, most int) int {
	if n <= 0 {
		return normal
	}
	return min(n, most)
}

const runColumns = "seq, body, project, label, state, outcome, reason, message, epoch, queued_at, started_at, ended_at, cancelling"

type storedRun struct {
	seq int64
	flow.RunRecord
}

func scanRun(row scanner) (r storedRun, err error) {
	var body string
	var queuedAt, startedAt, endedAt instant
	err = row.Scan(&r.seq, &body, &r.Project, &r.Label, &r.State, &r.Outcome, &r.Reason, &r.Message, &r.Epoch, &queuedAt, &startedAt, &endedAt, &r.Cancelling)
	if err != nil {
		return r, err
	}
	r.QueuedAt, r.StartedAt, r.EndedAt = queuedAt.time(), startedAt.pointer(), endedAt.pointer()
	return r, decode(body, &r.Run)
}

// withContext fills in the context of a run where it stands apart.
func withContext(ctx context.Context, q querier, seq int64, r *flow.Run) error {
	if r.Context != nil {
		return nil
	}
	found, err := collect(ctx, q, func(row scanner) (text string, err error) { return text, row.Scan(&text) }, "SELECT body FROM contexts WHERE run = ?", seq)
	if err != nil || len(found) == 0 {
		return err
	}
	return decode(found[0], &r.Context)
}

// Run returns a run with its context, steps and attempts, in the plan's order where the plan is recorded; flow.ErrNotFound when
// there is none.
func (s *Store) Run(ctx context.Context, id flow.RunID) (flow.RunRecord, error) {
	tx, err := s.readers.BeginTx(ctx, nil) // one look at three tables
	if err != nil {
		return flow.RunRecord{}, fmt.Errorf("read run %s: %w", id, fault(err))
	}
	defer func() { _ = tx.Rollback() }()
	q := reader{tx}
	found, err := collect(ctx, q, scanRun, "SELECT "+runColumns+" FROM runs WHERE id = ?", id)
	if err != nil {
		return flow.RunRecord{}, err
	}
	if len(found) == 0 {
		return flow.RunRecord{}, fmt.Errorf("run %s: %w", id, flow.ErrNotFound)
	}
	record := found[0].RunRecord
	if err := withContext(ctx, q, found[0].seq, &record.Run); err != nil {
		return flow.RunRecord{}, err
	}
	plan, err := readPlan(ctx, q, record.Version)
	if err != nil && !errors.Is(err, flow.ErrNotFound) {
		return flow.RunRecord{}, err
	}
	record.Steps, err = steps(ctx, q, found[0].seq, plan.Steps)
	return record, err
}

// Runs returns runs without their contexts and steps, the last offered first.
func (s *Store) Runs(ctx context.Context, q flow.RunQuery) ([]flow.RunRecord, error) {
	text, args := runsQuery(q)
	found, err := collect(ctx, reader{s.readers}, scanRun, text, args...)
	records := make([]flow.RunRecord, len(found))
	for i := range found {
		records[i] = found[i].RunRecord
		records[i].Context = nil
	}
	return records, err
}

func runsQuery(q flow.RunQuery) (string, []any) {
	var f filter
	f.where("tenant = ?", q.Tenant != "", q.Tenant)
	f.where("pipeline = ?", q.Pipeline != "", q.Pipeline)
	f.where("project = ?", q.Project != "", q.Project)
	f.where("schedule = ?", q.Schedule != "", q.Schedule)
	f.where("state = ?", q.State != "", q.State)
	f.where("outcome = ?", q.Outcome != "", q.Outcome)
	f.where("(kind IN ('schedule', 'catchup')) = ?", q.Due, true)
	f.where("seq < (SELECT seq FROM runs WHERE id = ?)", q.Before != "", q.Before)
	return "SELECT " + runColumns + " FROM runs" + f.text.String() + " ORDER BY seq DESC LIMIT ?", append(f.args, limited(q.Limit, 50, 1000))
}

// FindRuns returns the ids that start with prefix, the newest first, at most limit; an empty tenant stands for all.
func (s *Store) FindRuns(ctx context.Context, tenant, prefix string, limit int) ([]flow.RunID, error) {
	prefix = strings.ToUpper(prefix)
	var f filter
	f.where("id >= ?", true, prefix)
	f.where("id < ?", true, prefix+"~") // behind every character of an id
	f.where("tenant = ?", tenant != "", tenant)
	return collect(ctx, reader{s.readers}, func(row scanner) (id flow.RunID, err error) { return id, row.Scan(&id) },
		"SELECT id FROM runs"+f.text.String()+" ORDER BY id DESC LIMIT ?", append(f.args, limited(limit, 10, 1000))...)
}

// steps reads the steps of a run with their attempts, in the order of plan.
func steps(ctx context.Context, q querier, run int64, plan []flow.PlanStep) ([]flow.StepRecord, error) {
	all, err := collect(ctx, q, scanStep, `SELECT name, state, outcome, reason, message, started_at, ended_at, outputs, list, progress, reused
		FROM steps WHERE run = ? ORDER BY coalesce(started_at, ended_at), name`, run)
	if err != nil {
		return nil, err
	}
	at := map[string]int{}
	for i := range plan {
		at[plan[i].Name] = i + 1
	}
	slices.SortStableFunc(all, func(a, b flow.StepRecord) int { return at[a.Name] - at[b.Name] })
	for i := range all {
		at[all[i].Name] = i
	}
	attempts, err := collect(ctx, q, scanAttempt, `SELECT step, item, attempt, epoch, state, outcome, reason, message, started_at, ended_at, outputs, usage, retry_at
		FROM attempts WHERE run = ? ORDER BY step, item, attempt, epoch`, run)
	if err != nil {
		return nil, err
	}
	for i := range attempts {
		name := attempts[i].step
		if n, ok := at[name]; ok && n < len(all) && all[n].Name == name {
			all[n].Attempts = append(all[n].Attempts, attempts[i].AttemptRecord)
		}
	}
	return all, nil
}

func scanStep(row scanner) (r flow.StepRecord, err error) {
	var startedAt, endedAt instant
	var outputs, list sql.NullString
	if err := row.Scan(&r.Name, &r.State, &r.Outcome, &r.Reason, &r.Message, &startedAt, &endedAt, &outputs, &list, &r.Progress, &r.Reused); err != nil {
		return r, err
	}
	r.StartedAt, r.EndedAt = startedAt.pointer(), endedAt.pointer()
	return r, errors.Join(decodeNull(outputs, &r.Outputs), decodeNull(list, &r.List))
}

type storedAttempt struct {
	step string
	flow.AttemptRecord
}

func scanAttempt(row scanner) (r storedAttempt, err error) {
	var startedAt, endedAt, retryAt instant
	var outputs, usage sql.NullString
	var n int
	err = row.Scan(&r.step, &n, &r.Attempt, &r.Epoch, &r.State, &r.Outcome, &r.Reason, &r.Message, &startedAt, &endedAt, &outputs, &usage, &retryAt)
	if err != nil {
		return r, err
	}
	r.Item, r.StartedAt, r.EndedAt, r.RetryAt = itemOf(n), startedAt.time(), endedAt.pointer(), retryAt.pointer()
	return r, errors.Join(decodeNull(outputs, &r.Outputs), decodeNull(usage, &r.Usage))
}

// eventBytes bounds the events of one answer where the query does not.
const eventBytes = 8 * flow.MiB

// Events returns recorded changes after q.After, oldest first. Any number of callers who follow a ledger take no
// connection from those who execute runs.
func (s *Store) Events(ctx context.Context, q flow.EventQuery) ([]flow.Event, error) {
	text, args := eventsQuery(q)
	most := cmp.Or(q.Bytes, eventBytes)
	var size flow.Size
	return collect(ctx, reader{s.followers}, func(row scanner) (e flow.Event, err error) {
		if size >= most {
			return e, errEnough
		}
		var seq int64
		var body string
		if err := row.Scan(&seq, &body); err != nil {
			return e, err
		}
		size += flow.Size(len(body))
		err = decode(body, &e)
		e.Seq = seq
		return e, err
	}, text, args...)
}

// LastEvent returns the Seq of the newest event; zero where there is none.
func (s *Store) LastEvent(ctx context.Context) (int64, error) {
	last, err := collect(ctx, reader{s.followers}, func(row scanner) (seq int64, err error) { return seq, row.Scan(&seq) }, "SELECT coalesce(max(seq), 0) FROM events")
	if err != nil || len(last) == 0 {
		return 0, err
	}
	return last[0], nil
}

func eventsQuery(q flow.EventQuery) (string, []any) {
	var f filter
	f.where("seq > ?", true, q.After)
	f.where("tenant = ?", q.Tenant != "", q.Tenant)
	f.where("pipeline = ?", q.Pipeline != "", q.Pipeline)
	f.where("run = ?", q.Run != "", q.Run)
	f.where("run = '' AND json_extract(body, '$.schedule') = ?", q.Schedule != "", q.Schedule)
	f.where("json_extract(body, '$.kind') = ?", q.Kind != "", q.Kind)
	return "SELECT seq, body FROM events" + f.text.String() + " ORDER BY seq LIMIT ?", append(f.args, limited(q.Limit, 1000, 10_000))
}

// AppendLogs records lines of guests, all or none. Lines are not fenced: what a guest said, it said.
func (s *Store) AppendLogs(ctx context.Context, lines []flow.LogLine) error {
	if len(lines) == 0 {
		return nil
	}
	return s.do(ctx, func(w *writer) error {
		if err := w.room(); err != nil {
			return err
		}
		for i := range lines {
			l := &lines[i]
			_, err := w.exec("INSERT INTO logs (at, tenant, run, step, item, attempt, level, message, dropped) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
				nanos(l.At), l.Tenant, l.Run, l.Step, item(l.Item), l.Attempt, int(l.Level), l.Message, l.Dropped)
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// Logs returns lines of a run after q.After, oldest first.
func (s *Store) Logs(ctx context.Context, q flow.LogQuery) ([]flow.LogLine, error) {
	text, args := logsQuery(q)
	return collect(ctx, reader{s.readers}, func(row scanner) (l flow.LogLine, err error) {
		var at instant
		var n int
		err = row.Scan(&l.Seq, &at, &l.Tenant, &l.Run, &l.Step, &n, &l.Attempt, &l.Level, &l.Message, &l.Dropped)
		l.At, l.Item = at.time(), itemOf(n)
		return l, err
	}, text, args...)
}

func logsQuery(q flow.LogQuery) (string, []any) {
	var f filter
	f.where("run = ?", true, q.Run)
	f.where("tenant = ?", q.Tenant != "", q.Tenant)
	f.where("seq > ?", true, q.After)
	f.where("step = ?", q.Step != "", q.Step)
	return "SELECT seq, at, tenant, run, step, item, attempt, level, message, dropped FROM logs" + f.text.String() + " ORDER BY seq LIMIT ?",
		append(f.args, limited(q.Limit, 1000, 10_000))
}
