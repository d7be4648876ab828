package sqlite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/overlap"
)

// Offer takes a run, or says why not. It is idempotent by run id, and by slot: what has an ending keeps it, and is
// answered with OfferDuplicate. The run, its slot, the older slots and the watermark are one transaction. A run whose
// pipeline has no other live or waiting run starts at once (run.started, with the run as detail); else it waits
// (run.queued, with the run as detail, and run.started when its turn comes). A slot that stands for a waiting one takes
// over its place in the line. Before all that, waiting runs of the pipeline that could not start in time end.
func (s *Store) Offer(ctx context.Context, offer flow.Offer) (flow.Offered, error) {
	if offer.Run.ID == "" || offer.Run.Tenant == "" || offer.Run.Pipeline == "" {
		return flow.Offered{}, errors.New("offer a run: id, tenant or pipeline is empty")
	}
	return write(ctx, s, func(w *writer) (flow.Offered, error) { return w.offer(&offer) })
}

func (w *writer) offer(o *flow.Offer) (flow.Offered, error) {
	if err := w.room(); err != nil {
		return flow.Offered{}, err
	}
	known, err := w.known(&o.Run)
	if err != nil {
		return flow.Offered{}, err
	}
	if known {
		return flow.Offered{Answer: flow.OfferDuplicate}, w.duplicate(o)
	}
	now := time.Now()
	overdue, err := w.overdue(o.Run.Tenant, o.Run.Pipeline, now)
	if err != nil {
		return flow.Offered{}, err
	}
	live, line, err := w.line(&o.Run)
	if err != nil {
		return flow.Offered{}, err
	}
	verdict := line.Judge(o.Run.Trigger.Kind, o.Overlap)
	if err := w.saveSlots(o.Run.Tenant, o.Run.Trigger.Schedule, o.Watermark, verdict.Older(o.Slots)); err != nil {
		return flow.Offered{}, err
	}
	if verdict.Refuse != "" {
		ending := flow.SlotRecord{Ending: flow.SlotSkipped, Reason: verdict.Refuse}
		return flow.Offered{Answer: flow.OfferRefused, Reason: verdict.Refuse, Overdue: overdue}, w.endSlot(&o.Run, ending)
	}
	answer := flow.Offered{Answer: flow.OfferQueued, Overdue: overdue}
	place := int64(0)
	if verdict.Coalesce {
		if answer.Coalesced, place, err = w.coalesce(&o.Run); err != nil {
			return flow.Offered{}, err
		}
	}
	seq, err := w.insert(o, place, now)
	if err != nil {
		return flow.Offered{}, err
	}
	if err := w.endSlot(&o.Run, flow.SlotRecord{Ending: flow.SlotRun, Run: o.Run.ID}); err != nil {
		return flow.Offered{}, err
	}
	if verdict.Start {
		answer, err = w.startOffered(&o.Run, now, answer)
	} else {
		if verdict.Replace {
			answer.Replaces = live
		}
		err = w.recordRun(flow.RunQueued, &o.Run, 0, now, true)
	}
	if err != nil {
		return flow.Offered{}, err
	}
	return answer, w.takeOver(seq, o, answer.Claim.Epoch, now)
}

// duplicate records the older slots of an offer that is known. If its slot has an ending without the run, they share it.
func (w *writer) duplicate(o *flow.Offer) error {
	if isSlot(&o.Run) && len(o.Slots) > 0 {
		var own flow.SlotRecord
		found, err := w.one("SELECT ending, reason, run FROM slots WHERE tenant = ? AND schedule = ? AND from_at <= ? ORDER BY from_at DESC LIMIT 1",
			[]any{o.Run.Tenant, o.Run.Trigger.Schedule, nanos(o.Run.Trigger.ScheduledAt)}, &own.Ending, &own.Reason, &own.Run)
		if err != nil {
			return err
		}
		if found && own.Run != o.Run.ID {
			o.Slots = overlap.Instead(o.Slots, own)
		}
	}
	return w.saveSlots(o.Run.Tenant, o.Run.Trigger.Schedule, o.Watermark, o.Slots)
}

// takeOver records the steps of an offer that have ended before its run begins.
func (w *writer) takeOver(run int64, o *flow.Offer, epoch int, now time.Time) error {
	for i := range o.Steps {
		s := &o.Steps[i]
		event := flow.Event{
			At: now, Kind: flow.StepEnded, Tenant: o.Run.Tenant, Pipeline: o.Run.Pipeline, Schedule: o.Run.Trigger.Schedule, Run: o.Run.ID, Epoch: epoch,
			Step: s.Name, Ending: s.Ending, Reused: s.Reused, Outputs: s.Outputs, List: s.List,
		}
		if _, err := w.stepEnded(run, &event); err != nil {
			return err
		}
		if err := w.record(event); err != nil {
			return err
		}
	}
	return nil
}

// startOffered makes a run live that has just been taken.
func (w *writer) startOffered(r *flow.Run, now time.Time, answer flow.Offered) (flow.Offered, error) {
	if err := w.start(r.ID, now); err != nil {
		return flow.Offered{}, err
	}
	last, err := w.lastSuccess(r.Tenant, r.Pipeline)
	if err != nil {
		return flow.Offered{}, err
	}
	answer.Answer, answer.Claim = flow.OfferStarted, flow.Claim{Run: r.ID, Epoch: 1}
	answer.StartedAt, answer.LastSuccessAt = now.UTC(), last
	return answer, w.recordRun(flow.RunStarted, r, 1, now, true)
}

// isSlot reports whether a run is the run of a slot.
func isSlot(r *flow.Run) bool { return overlap.IsSlot(r.Trigger.Kind) }

// known reports whether the run exists or its slot has an ending.
func (w *writer) known(r *flow.Run) (bool, error) {
	var one int
	found, err := w.one("SELECT 1 FROM runs WHERE id = ?", []any{r.ID}, &one)
	if err != nil || found || !isSlot(r) {
		return found, err
	}
	at := nanos(r.Trigger.ScheduledAt)
	return w.overlaps(r.Tenant, r.Trigger.Schedule, at, at)
}

// line returns what a run would have to wait for, and the live run among it.
func (w *writer) line(r *flow.Run) (live flow.RunID, l overlap.Line, err error) {
	l.Live, err = w.one("SELECT id FROM runs WHERE tenant = ? AND pipeline = ? AND state = 'running'", []any{r.Tenant, r.Pipeline}, &live)
	if err != nil {
		return live, l, err
	}
	// A long backfill may wait: it is not to be counted for each of its runs. Left to itself, SQLite reads the whole
	// history of the pipeline.
	_, err = w.one("SELECT count(*) FROM (SELECT 1 FROM runs INDEXED BY runs_waiting WHERE tenant = ? AND pipeline = ? AND state = 'queued' LIMIT ?)",
		[]any{r.Tenant, r.Pipeline, overlap.MaxWaitingRuns}, &l.Waiting)
	if err != nil || l.Waiting == 0 || !overlap.IsSlot(r.Trigger.Kind) {
		return live, l, err
	}
	_, err = w.one(`SELECT count(*) FROM runs INDEXED BY runs_waiting
		WHERE tenant = ? AND pipeline = ? AND state = 'queued' AND schedule = ? AND kind IN ('schedule', 'catchup')`,
		[]any{r.Tenant, r.Pipeline, r.Trigger.Schedule}, &l.Slots)
	return live, l, err
}

// coalesce removes the waiting slots of r's schedule, which r stands for from now on, and returns the first one's place
// in the line. They never started, so no run of theirs stays; their slots say where they went.
func (w *writer) coalesce(r *flow.Run) ([]flow.RunID, int64, error) {
	type waiting struct {
		id    flow.RunID
		place int64
	}
	gone, err := collect(context.Background(), w, func(row scanner) (g waiting, err error) {
		return g, row.Scan(&g.id, &g.place)
	}, `SELECT id, place FROM runs WHERE tenant = ? AND pipeline = ? AND state = 'queued' AND schedule = ?
		AND kind IN ('schedule', 'catchup') ORDER BY place`, r.Tenant, r.Pipeline, r.Trigger.Schedule)
	if err != nil {
		return nil, 0, err
	}
	ids := make([]flow.RunID, 0, len(gone))
	for _, g := range gone {
		ids = append(ids, g.id)
		if _, err := w.exec("DELETE FROM runs WHERE id = ?", g.id); err != nil {
			return nil, 0, err
		}
		// Slots that the removed run stood for go along.
		if _, err := w.exec("UPDATE slots SET ending = 'coalesced', run = ? WHERE run = ?", r.ID, g.id); err != nil {
			return nil, 0, err
		}
		detail, err := encode(map[string]flow.RunID{"into": r.ID})
		if err != nil {
			return nil, 0, err
		}
		event := flow.Event{At: time.Now(), Kind: flow.RunCoalesced, Tenant: r.Tenant, Pipeline: r.Pipeline, Schedule: r.Trigger.Schedule, Run: g.id, Detail: json.RawMessage(detail)}
		if err := w.record(event); err != nil {
			return nil, 0, err
		}
	}
	if len(gone) == 0 {
		return nil, 0, nil
	}
	return ids, gone[0].place, nil
}

// insert adds a waiting run and returns its place in the order of offers; place 0 is the end of the line.
func (w *writer) insert(o *flow.Offer, place int64, now time.Time) (seq int64, err error) {
	r := &o.Run
	body, apart, err := parted(r)
	if err != nil {
		return 0, err
	}
	var project, label string
	if _, err := w.one("SELECT project, label FROM plans WHERE digest = ?", []any{r.Version}, &project, &label); err != nil {
		return 0, err
	}
	if place == 0 {
		if _, err := w.one("SELECT coalesce(max(place), 0) + 1 FROM runs WHERE tenant = ? AND pipeline = ? AND state = 'queued'", []any{r.Tenant, r.Pipeline}, &place); err != nil {
			return 0, err
		}
	}
	var startBy any
	if !o.StartBy.IsZero() {
		startBy, w.hasty = nanos(o.StartBy), new(true)
	}
	_, err = w.exec(`INSERT INTO runs (id, tenant, pipeline, schedule, kind, project, label, body, place, state, queued_at, start_by)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'queued', ?, ?)`,
		r.ID, r.Tenant, r.Pipeline, r.Trigger.Schedule, r.Trigger.Kind, project, label, body, place, nanos(now), startBy)
	if err != nil {
		return 0, err
	}
	if _, err := w.one("SELECT last_insert_rowid()", nil, &seq); err != nil {
		return 0, err
	}
	if apart != "" {
		if _, err := w.exec("INSERT INTO contexts (run, body) VALUES (?, ?)", seq, apart); err != nil {
			return 0, err
		}
	}
	return seq, w.refer(seq, r.Tenant, maps.Values(r.Context))
}

// wholeRun is how many bytes a run has at most with its context in its row: a row of SQLite is read from its beginning, and
// whoever lists runs must not read pages and pages of context on the way to their outcomes.
const wholeRun = 2 << 10

// parted returns a run as its row holds it, and its context where that stands apart.
func parted(r *flow.Run) (body, apart string, err error) {
	if body, err = encode(r); err != nil || len(body) <= wholeRun || len(r.Context) == 0 {
		return body, "", err
	}
	if apart, err = encode(r.Context); err != nil {
		return "", "", err
	}
	body, err = encode(withoutContext(r))
	return body, apart, err
}

func withoutContext(r *flow.Run) flow.Run {
	bare := *r
	bare.Context = nil
	return bare
}

// start makes a waiting run live.
func (w *writer) start(id flow.RunID, now time.Time) error {
	n, err := w.exec("UPDATE runs SET state = 'running', epoch = 1, boot = ?, started_at = ? WHERE id = ? AND state = 'queued'",
		w.store.boot, nanos(now), id)
	if err == nil && n == 0 {
		return flow.ErrStale
	}
	return err
}

func (w *writer) lastSuccess(tenant, pipeline string) (*time.Time, error) {
	var at instant
	_, err := w.one("SELECT max(ended_at) FROM runs WHERE tenant = ? AND pipeline = ? AND outcome = 'succeeded'", []any{tenant, pipeline}, &at)
	return at.pointer(), err
}

// ClaimNext ends the pipeline's waiting runs that could not start in time, makes the first other one live and claims it;
// false when none waits, or one is live. Those that ended are told either way.
func (s *Store) ClaimNext(ctx context.Context, tenant, pipeline string) (flow.Claimed, bool, error) {
	type answer struct {
		claimed *flow.Claimed
		overdue []flow.RunID
	}
	a, err := write(ctx, s, func(w *writer) (a answer, err error) {
		if a.overdue, err = w.overdue(tenant, pipeline, time.Now()); err != nil {
			return a, err
		}
		a.claimed, err = w.claim(`SELECT seq, body FROM runs WHERE tenant = ? AND pipeline = ? AND state = 'queued' ORDER BY place, seq LIMIT 1`, tenant, pipeline)
		return a, err
	})
	if err != nil || a.claimed == nil {
		return flow.Claimed{Overdue: a.overdue}, false, err
	}
	a.claimed.Overdue = a.overdue
	return *a.claimed, true, nil
}

// Claim makes one waiting run live and claims it; false when it does not wait, could not start in time, or another one is
// live.
func (s *Store) Claim(ctx context.Context, id flow.RunID) (flow.Claimed, bool, error) {
	claimed, err := write(ctx, s, func(w *writer) (*flow.Claimed, error) {
		return w.claim("SELECT seq, body FROM runs WHERE id = ? AND state = 'queued' AND (start_by IS NULL OR start_by > ?)", id, nanos(time.Now()))
	})
	if err != nil || claimed == nil {
		return flow.Claimed{}, false, err
	}
	return *claimed, true, nil
}

func (w *writer) claim(candidate string, args ...any) (*flow.Claimed, error) {
	var seq int64
	var body string
	found, err := w.one(candidate, args, &seq, &body)
	if err == nil && found {
		err = w.room()
	}
	if err != nil || !found {
		return nil, err
	}
	now := time.Now()
	claimed := &flow.Claimed{StartedAt: now.UTC()}
	r := &claimed.Run
	if err := decode(body, r); err != nil {
		return nil, err
	}
	var live int
	if busy, err := w.one("SELECT 1 FROM runs WHERE tenant = ? AND pipeline = ? AND state = 'running'", []any{r.Tenant, r.Pipeline}, &live); err != nil || busy {
		return nil, err
	}
	if err := w.start(r.ID, now); err != nil {
		return nil, err
	}
	claimed.Claim = flow.Claim{Run: r.ID, Epoch: 1}
	if err := withContext(context.Background(), w, seq, r); err != nil {
		return nil, err
	}
	if r.Trigger.Kind == flow.TriggerRerun {
		if claimed.Steps, err = steps(context.Background(), w, seq, nil); err != nil {
			return nil, err
		}
	}
	if claimed.LastSuccessAt, err = w.lastSuccess(r.Tenant, r.Pipeline); err != nil {
		return nil, err
	}
	return claimed, w.recordRun(flow.RunStarted, r, 1, now, false)
}

// Cancel ends a waiting run at once and marks a live one; it returns the state that it found, and changes nothing of a
// run that has ended. A live run of another boot ends at once too: that host is dead, since this one holds the lock. An
// unknown run is flow.ErrNotFound.
func (s *Store) Cancel(ctx context.Context, id flow.RunID, ending flow.Ending) (flow.State, error) {
	return write(ctx, s, func(w *writer) (flow.State, error) {
		live, err := w.find("SELECT seq, tenant, pipeline, schedule, state, epoch, cancelling, boot FROM runs WHERE id = ?", id)
		if err != nil {
			return "", err
		}
		if live == nil {
			return "", fmt.Errorf("run %s: %w", id, flow.ErrNotFound)
		}
		switch {
		case live.state == flow.StateQueued:
			err = w.end(live, ending, time.Now())
		case live.state == flow.StateRunning && live.boot != s.boot:
			now := time.Now()
			if err = w.loseAttempts(ctx, live, now); err == nil {
				err = w.end(live, ending, now)
			}
		case live.state == flow.StateRunning && !live.cancelling:
			if _, err = w.exec("UPDATE runs SET cancelling = 1 WHERE seq = ?", live.seq); err == nil {
				event := live.event(flow.RunCancelling, time.Now())
				event.Ending = ending
				err = w.record(event)
			}
		}
		return live.state, err
	})
}

// recordRun records what happened to a run; with detail, what was asked for too, but for the context.
func (w *writer) recordRun(kind flow.EventKind, r *flow.Run, epoch int, at time.Time, detail bool) error {
	event := flow.Event{At: at, Kind: kind, Tenant: r.Tenant, Pipeline: r.Pipeline, Schedule: r.Trigger.Schedule, Run: r.ID, Epoch: epoch}
	if detail {
		body, err := encode(withoutContext(r))
		if err != nil {
			return err
		}
		event.Detail = json.RawMessage(body)
	}
	return w.record(event)
}
