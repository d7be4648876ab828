package sqlite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// maxResumes bounds how often a run is taken up again after a crash: a run that kills its host would kill it for ever.
const maxResumes = 3

// liveRun is the part of a run's row that decides what may happen to it.
type liveRun struct {
	seq                        int64
	id                         flow.RunID
	tenant, pipeline, schedule string
	state                      flow.State
	epoch                      int
	cancelling                 bool
	boot                       string
	stateless                  bool // nothing is written to the state of its pipeline
}

func (r *liveRun) event(kind flow.EventKind, at time.Time) flow.Event {
	return flow.Event{At: at, Kind: kind, Tenant: r.tenant, Pipeline: r.pipeline, Schedule: r.schedule, Run: r.id, Epoch: r.epoch}
}

// find reads a run's row by a query for its columns, the id last among the arguments; nil when there is none.
func (w *writer) find(query string, id flow.RunID, more ...any) (*liveRun, error) {
	r := &liveRun{id: id}
	found, err := w.one(query, append([]any{id}, more...), &r.seq, &r.tenant, &r.pipeline, &r.schedule, &r.state, &r.epoch, &r.cancelling, &r.boot)
	if err != nil || !found {
		return nil, err
	}
	return r, nil
}

// held returns the run of a claim that is still good, else flow.ErrStale.
func (w *writer) held(claim flow.Claim) (*liveRun, error) {
	if r, known := w.live[claim.Run]; known && r.epoch == claim.Epoch {
		return &r, nil
	}
	r, err := w.find(`SELECT seq, tenant, pipeline, schedule, state, epoch, cancelling, boot FROM runs
		WHERE id = ? AND epoch = ? AND state = 'running'`, claim.Run, claim.Epoch)
	if err != nil {
		return nil, err
	}
	if r == nil {
		return nil, fmt.Errorf("run %s, epoch %d: %w", claim.Run, claim.Epoch, flow.ErrStale)
	}
	w.live[claim.Run] = *r
	return r, nil
}

// Commit records events of a claimed run, and what they say about its steps and attempts, all or none. It takes
// attempt.started, attempt.ended, step.ended, step.progress and event.emitted; whose they are and their epoch is filled in from the
// claim. Progress is an event at most once a second for a step; the step's record always has the last one. A claim that
// is no longer good is flow.ErrStale.
func (s *Store) Commit(ctx context.Context, claim flow.Claim, events ...flow.Event) error {
	in := rest
	if len(events) == 1 && events[0].Kind == flow.AttemptStarted {
		in = attempts
	}
	_, err := writeIn(ctx, s, in, func(w *writer) (none struct{}, err error) {
		r, err := w.held(claim)
		if err != nil {
			return none, err
		}
		return none, w.project(r, events)
	})
	return err
}

// Finish records the last events of a claimed run and ends it. Attempts and steps that are open still end with it. A run
// that was skipped by its condition makes its slot skipped. A claim that is no longer good is flow.ErrStale.
func (s *Store) Finish(ctx context.Context, claim flow.Claim, ending flow.Ending, events ...flow.Event) error {
	return s.do(ctx, func(w *writer) error {
		r, err := w.held(claim)
		if err != nil {
			return err
		}
		if err := w.project(r, events); err != nil {
			return err
		}
		return w.end(r, ending, time.Now())
	})
}

// end is the one place where a run ends.
func (w *writer) end(r *liveRun, ending flow.Ending, now time.Time) error {
	at := nanos(now)
	delete(w.live, r.id)
	if _, err := w.exec(`UPDATE runs SET state = 'ended', outcome = ?, reason = ?, message = ?, ended_at = ? WHERE seq = ?`,
		ending.Outcome, ending.Reason, ending.Message, at, r.seq); err != nil {
		return err
	}
	w.count(r.tenant, r.state, -1)
	if r.state == flow.StateRunning {
		open := flow.Cancelled
		if ending.Outcome == flow.Failed {
			open = flow.Failed
		}
		for _, text := range []string{
			"UPDATE attempts SET state = 'ended', outcome = ?, reason = ?, ended_at = ? WHERE run = ? AND state = 'running'",
			"UPDATE steps SET state = 'ended', outcome = ?, reason = ?, ended_at = ? WHERE run = ? AND state = 'running'",
		} {
			if _, err := w.exec(text, open, ending.Reason, at, r.seq); err != nil {
				return err
			}
		}
	}
	if ending.Outcome == flow.Succeeded && !r.stateless {
		if err := w.applyState(r); err != nil {
			return err
		}
	}
	if slot := slotEnding(ending); slot != flow.SlotRun {
		if _, err := w.exec("UPDATE slots SET ending = ?, reason = ? WHERE run = ? AND ending = 'run'", slot, ending.Reason, r.id); err != nil {
			return err
		}
	}
	event := r.event(flow.RunEnded, now)
	event.Ending = ending
	return w.record(event)
}

// slotEnding is what the ending of its run makes of a slot.
func slotEnding(e flow.Ending) flow.SlotEnding {
	switch {
	case e.Outcome != flow.Skipped:
	case e.Reason == flow.ReasonCondition:
		return flow.SlotSkipped
	case e.Reason == flow.ReasonStart:
		return flow.SlotMissed
	}
	return flow.SlotRun
}

// project applies events to steps and attempts and records them.
func (w *writer) project(r *liveRun, events []flow.Event) error {
	for i := range events {
		e := events[i]
		if e.At.IsZero() {
			e.At = time.Now()
		}
		own := r.event(e.Kind, e.At)
		e.Tenant, e.Pipeline, e.Schedule, e.Run, e.Epoch = own.Tenant, own.Pipeline, own.Schedule, own.Run, own.Epoch
		apply, ok := map[flow.EventKind]func(int64, *flow.Event) (bool, error){
			flow.AttemptStarted: w.attemptStarted, flow.AttemptEnded: w.attemptEnded, flow.StepEnded: w.stepEnded, flow.StepProgress: w.progress,
			flow.EventEmitted: func(int64, *flow.Event) (bool, error) { return true, nil },
		}[e.Kind]
		if !ok {
			return fmt.Errorf("commit to run %s: %q is no event of a runner", r.id, e.Kind)
		}
		if len(e.State) > 0 {
			r.stateless = false
			w.live[r.id] = *r
		}
		keep, err := apply(r.seq, &e)
		if err != nil {
			return err
		}
		if !keep {
			continue
		}
		if err := w.record(e); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) attemptStarted(run int64, e *flow.Event) (bool, error) {
	if _, err := w.exec(`INSERT INTO steps (run, name, state, started_at) VALUES (?, ?, 'running', ?) ON CONFLICT DO NOTHING`, run, e.Step, nanos(e.At)); err != nil {
		return false, err
	}
	_, err := w.exec(`INSERT INTO attempts (run, step, item, attempt, epoch, state, started_at) VALUES (?, ?, ?, ?, ?, 'running', ?)`,
		run, e.Step, item(e.Item), e.Attempt, e.Epoch, nanos(e.At))
	return true, err
}

// attemptEnded also takes an attempt that ended before it could start.
func (w *writer) attemptEnded(run int64, e *flow.Event) (bool, error) {
	outputs, err := encodeMap(e.Outputs)
	if err != nil {
		return false, err
	}
	if err := errors.Join(w.refer(run, e.Tenant, maps.Values(e.Outputs)), w.writeState(run, e)); err != nil {
		return false, err
	}
	var usage any
	if e.Usage != nil {
		if usage, err = encode(e.Usage); err != nil {
			return false, err
		}
		if err := w.use(e.Tenant, e.At, 0, e.Usage.Fuel, e.Usage.Egress); err != nil {
			return false, err
		}
	}
	_, err = w.exec(`INSERT INTO attempts (run, step, item, attempt, epoch, state, outcome, reason, message, started_at, ended_at, outputs, usage, retry_at)
		VALUES (?, ?, ?, ?, ?, 'ended', ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET state = 'ended', outcome = excluded.outcome, reason = excluded.reason, message = excluded.message,
			ended_at = excluded.ended_at, outputs = excluded.outputs, usage = excluded.usage, retry_at = excluded.retry_at
		WHERE state = 'running'`,
		run, e.Step, item(e.Item), e.Attempt, e.Epoch, e.Outcome, e.Reason, e.Message, nanos(e.At), nanos(e.At), outputs, usage, nanosOf(e.RetryAt))
	return true, err
}

func (w *writer) stepEnded(run int64, e *flow.Event) (bool, error) {
	outputs, err := encodeMap(e.Outputs)
	if err != nil {
		return false, err
	}
	if err := w.refer(run, e.Tenant, maps.Values(e.Outputs)); err != nil {
		return false, err
	}
	var list any
	if e.List != nil {
		if err := w.refer(run, e.Tenant, slices.Values(e.List)); err != nil {
			return false, err
		}
		if list, err = encode(e.List); err != nil {
			return false, err
		}
	}
	_, err = w.exec(`INSERT INTO steps (run, name, state, outcome, reason, message, ended_at, outputs, list, reused) VALUES (?, ?, 'ended', ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET state = 'ended', outcome = excluded.outcome, reason = excluded.reason, message = excluded.message,
			ended_at = excluded.ended_at, outputs = excluded.outputs, list = excluded.list
		WHERE state = 'running'`,
		run, e.Step, e.Outcome, e.Reason, e.Message, nanos(e.At), outputs, list, e.Reused)
	return true, err
}

func (w *writer) progress(run int64, e *flow.Event) (bool, error) {
	var detail struct {
		Permille int `json:"permille"`
	}
	if len(e.Detail) > 0 {
		if err := json.Unmarshal(e.Detail, &detail); err != nil {
			return false, fmt.Errorf("detail of %s: %w", e.Kind, err)
		}
	}
	var last int64
	if _, err := w.one("SELECT progress_at FROM steps WHERE run = ? AND name = ?", []any{run, e.Step}, &last); err != nil {
		return false, err
	}
	at := nanos(e.At)
	keep := at-last >= int64(time.Second)
	if keep {
		last = at
	}
	_, err := w.exec("UPDATE steps SET progress = ?, progress_at = ? WHERE run = ? AND name = ? AND state = 'running'", detail.Permille, last, run, e.Step)
	return keep, err
}

// Recover takes over what another boot left live: open attempts end as lost, the run gets a new epoch and is returned
// with its recorded steps, or without any where its plan says restart. A run whose plan says fail, or that was taken up
// maxResumes times already, ends as lost; one whose end was asked for ends as cancelled; both are returned by id.
func (s *Store) Recover(ctx context.Context) ([]flow.Claimed, []flow.RunID, error) {
	type recovered struct {
		claimed []flow.Claimed
		ended   []flow.RunID
	}
	all, err := write(ctx, s, func(w *writer) (all recovered, err error) {
		left, err := collect(ctx, w, func(row scanner) (l leftRun, err error) {
			return l, row.Scan(&l.seq, &l.id, &l.tenant, &l.pipeline, &l.schedule, &l.state, &l.epoch, &l.cancelling, &l.resumes, &l.body, &l.startedAt)
		}, `SELECT seq, id, tenant, pipeline, schedule, state, epoch, cancelling, resumes, body, started_at FROM runs
			WHERE state = 'running' AND boot <> ? ORDER BY seq`, s.boot)
		if err != nil {
			return all, err
		}
		for i := range left {
			claimed, err := w.recover(ctx, &left[i])
			switch {
			case err != nil:
				return all, err
			case claimed == nil:
				all.ended = append(all.ended, left[i].id)
			default:
				all.claimed = append(all.claimed, *claimed)
			}
		}
		return all, nil
	})
	return all.claimed, all.ended, err
}

// leftRun is a run of another boot.
type leftRun struct {
	liveRun
	resumes   int
	body      string
	startedAt instant
}

// recover resumes one run, or ends it and returns nil.
func (w *writer) recover(ctx context.Context, l *leftRun) (*flow.Claimed, error) {
	now := time.Now()
	if err := w.loseAttempts(ctx, &l.liveRun, now); err != nil {
		return nil, err
	}
	claimed := &flow.Claimed{StartedAt: l.startedAt.time()}
	if err := errors.Join(decode(l.body, &claimed.Run), withContext(ctx, w, l.seq, &claimed.Run)); err != nil {
		return nil, err
	}
	plan, err := readPlan(ctx, w, claimed.Run.Version)
	if err != nil && !errors.Is(err, flow.ErrNotFound) {
		return nil, err
	}
	switch {
	case l.cancelling:
		return nil, w.end(&l.liveRun, flow.Ending{Outcome: flow.Cancelled, Reason: flow.ReasonRequest, Message: "the end was asked for, and the host died before"}, now)
	case plan.OnCrash == flow.CrashFail:
		return nil, w.end(&l.liveRun, flow.Ending{Outcome: flow.Failed, Reason: flow.ReasonLost, Message: "the host died during this run, and its pipeline says on_crash = \"fail\""}, now)
	case l.resumes >= maxResumes:
		return nil, w.end(&l.liveRun, flow.Ending{Outcome: flow.Failed, Reason: flow.ReasonLost, Message: fmt.Sprintf("the host died %d times during this run; it is not resumed again", l.resumes+1)}, now)
	}
	l.epoch++
	delete(w.live, l.id)
	if _, err := w.exec("UPDATE runs SET epoch = ?, resumes = resumes + 1, boot = ? WHERE seq = ?", l.epoch, w.store.boot, l.seq); err != nil {
		return nil, err
	}
	claimed.Claim = flow.Claim{Run: l.id, Epoch: l.epoch}
	resumed := l.event(flow.RunResumed, now)
	if plan.OnCrash == flow.CrashRestart {
		resumed.Message = "from its first step: on_crash = \"restart\""
		if err := w.forgetSteps(l.seq); err != nil {
			return nil, err
		}
	} else if claimed.Steps, err = steps(ctx, w, l.seq, nil); err != nil {
		return nil, err
	}
	if claimed.LastSuccessAt, err = w.lastSuccess(l.tenant, l.pipeline); err != nil {
		return nil, err
	}
	return claimed, w.record(resumed)
}

// forgetSteps drops the record of a run's steps, so that none of it is taken for the new one. Events keep what happened.
func (w *writer) forgetSteps(run int64) error {
	for _, text := range []string{"DELETE FROM attempts WHERE run = ?", "DELETE FROM steps WHERE run = ?", "DELETE FROM state_writes WHERE run = ?"} {
		if _, err := w.exec(text, run); err != nil {
			return err
		}
	}
	return nil
}

// loseAttempts ends the attempts that the dead host had open.
func (w *writer) loseAttempts(ctx context.Context, r *liveRun, now time.Time) error {
	open, err := collect(ctx, w, func(row scanner) (e flow.Event, err error) {
		e = r.event(flow.AttemptEnded, now)
		var n int
		err = row.Scan(&e.Step, &n, &e.Attempt, &e.Epoch)
		e.Item = itemOf(n)
		return e, err
	}, "SELECT step, item, attempt, epoch FROM attempts WHERE run = ? AND state = 'running'", r.seq)
	if err != nil {
		return err
	}
	for i := range open {
		open[i].Ending = flow.Ending{Outcome: flow.Failed, Reason: flow.ReasonLost, Message: "the host died during this attempt"}
		if _, err := w.attemptEnded(r.seq, &open[i]); err != nil {
			return err
		}
		if err := w.record(open[i]); err != nil {
			return err
		}
	}
	return nil
}
