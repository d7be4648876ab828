package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
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
	t, err := textsOf(&offer.Run) // here, not in the one goroutine that writes
	if err != nil {
		return flow.Offered{}, err
	}
	return writeIn(ctx, s, runs, func(w *writer) (flow.Offered, error) { return w.offer(&offer, t) })
}

func (w *writer) offer(o *flow.Offer, t texts) (flow.Offered, error) {
	if err := w.room(); err != nil {
		return flow.Offered{}, err
	}
	at, err := w.look(&o.Run)
	if err != nil {
		return flow.Offered{}, err
	}
	if at.known {
		return flow.Offered{Answer: flow.OfferDuplicate}, w.duplicate(o)
	}
	overdue, err := w.overdue(o.Run.Tenant, o.Run.Pipeline, time.Now())
	if err == nil && len(overdue) > 0 { // the line is another
		at, err = w.look(&o.Run)
	}
	if err != nil {
		return flow.Offered{}, err
	}
	verdict := at.line.Judge(o.Run.Trigger.Kind, o.Overlap)
	admitted, err := w.admit(o.Run.Tenant, &verdict)
	if err != nil {
		return flow.Offered{}, err
	}
	if err := w.saveSlots(o.Run.Tenant, o.Run.Trigger.Schedule, o.Watermark, verdict.Older(o.Slots)); err != nil {
		return flow.Offered{}, err
	}
	if verdict.Refuse != "" {
		ending := flow.SlotRecord{Ending: flow.SlotSkipped, Reason: verdict.Refuse, Message: admitted.refusal}
		return flow.Offered{Answer: flow.OfferRefused, Reason: verdict.Refuse, Message: admitted.refusal, Overdue: overdue}, w.endSlot(&o.Run, ending)
	}
	taken := taking{run: &o.Run, texts: t, startBy: o.StartBy, at: time.Now(), starts: verdict.Start}
	answer := flow.Offered{Answer: flow.OfferQueued, Overdue: overdue, Crowded: admitted.crowded}
	if verdict.Coalesce {
		if answer.Coalesced, taken.place, err = w.coalesce(&o.Run); err != nil {
			return flow.Offered{}, err
		}
	}
	switch {
	case verdict.Start:
		answer.Answer, answer.Claim = flow.OfferStarted, flow.Claim{Run: o.Run.ID, Epoch: 1}
		answer.StartedAt, answer.LastSuccessAt = taken.at.UTC(), at.lastSuccess.pointer()
	case verdict.Replace:
		answer.Replaces = at.live
	}
	seq, err := w.takeRun(&taken)
	if err != nil {
		return flow.Offered{}, err
	}
	return answer, w.takeOver(seq, o, answer.Claim.Epoch, taken.at)
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
		if err := errors.Join(w.record(event), w.takeState(run, s.Name, s.Reused)); err != nil {
			return err
		}
	}
	return nil
}

// isSlot reports whether a run is the run of a slot.
func isSlot(r *flow.Run) bool { return overlap.IsSlot(r.Trigger.Kind) }

// place is what a run finds in the ledger when it is offered.
type place struct {
	known       bool       // the run exists, or its slot has an ending
	live        flow.RunID // of its pipeline
	line        overlap.Line
	lastSuccess instant // of its pipeline
}

// look reads in one statement what decides about most offers; only a line of waiting runs needs more.
func (w *writer) look(r *flow.Run) (p place, err error) {
	var exists, waiting bool
	var live sql.NullString
	var covered instant
	first, last := int64(math.MaxInt64), int64(math.MinInt64) // no slot lies there
	if isSlot(r) {
		first = nanos(r.Trigger.ScheduledAt)
		last = first
	}
	_, err = w.one(`SELECT EXISTS (SELECT 1 FROM runs WHERE id = ?1),
		(SELECT id FROM runs WHERE tenant = ?2 AND pipeline = ?3 AND state = 'running'),
		EXISTS (SELECT 1 FROM runs INDEXED BY runs_waiting WHERE tenant = ?2 AND pipeline = ?3 AND state = 'queued'),
		(SELECT max(ended_at) FROM runs WHERE tenant = ?2 AND pipeline = ?3 AND outcome = 'succeeded'),
		(SELECT to_at FROM slots WHERE tenant = ?2 AND schedule = ?4 AND from_at <= ?5 ORDER BY from_at DESC LIMIT 1)`,
		[]any{r.ID, r.Tenant, r.Pipeline, r.Trigger.Schedule, last}, &exists, &live, &waiting, &p.lastSuccess, &covered)
	if err != nil {
		return p, err
	}
	p.known = exists || (covered.Valid && covered.Int64 >= first)
	p.live, p.line.Live = flow.RunID(live.String), live.Valid
	if waiting && !p.known {
		err = w.countLine(r, &p.line)
	}
	return p, err
}

// countLine counts the waiting runs of a pipeline. A long backfill may wait: it is not to be counted to its end for each
// of its runs. Left to itself, SQLite reads the whole history of the pipeline.
func (w *writer) countLine(r *flow.Run, l *overlap.Line) error {
	_, err := w.one("SELECT count(*) FROM (SELECT 1 FROM runs INDEXED BY runs_waiting WHERE tenant = ? AND pipeline = ? AND state = 'queued' LIMIT ?)",
		[]any{r.Tenant, r.Pipeline, overlap.MaxWaitingRuns}, &l.Waiting)
	if err != nil || !isSlot(r) {
		return err
	}
	_, err = w.one(`SELECT count(*) FROM runs INDEXED BY runs_waiting
		WHERE tenant = ? AND pipeline = ? AND state = 'queued' AND schedule = ? AND kind IN ('schedule', 'catchup')`,
		[]any{r.Tenant, r.Pipeline, r.Trigger.Schedule}, &l.Slots)
	return err
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
	w.count(r.Tenant, flow.StateQueued, -len(gone))
	return ids, gone[0].place, nil
}

// taking is a run that the ledger takes.
type taking struct {
	run *flow.Run
	texts
	place  int64 // in the line of waiting runs; 0 is its end
	starts bool  // at once, else it waits
	at     time.Time
	// startBy is when it ends if it still waits, if not zero.
	startBy time.Time
}

// takeRun adds a run with the ending of its slot and its first event, and returns its number in the order of offers.
func (w *writer) takeRun(t *taking) (seq int64, err error) {
	kind, epoch := flow.RunQueued, 0
	if t.starts {
		kind, epoch = flow.RunStarted, 1
	}
	if seq, err = w.insert(t, epoch); err != nil {
		return 0, err
	}
	if err := w.taken(t); err != nil {
		return 0, err
	}
	if r := t.run; t.starts {
		w.live[r.ID] = liveRun{seq: seq, id: r.ID, tenant: r.Tenant, pipeline: r.Pipeline, schedule: r.Trigger.Schedule, state: flow.StateRunning, epoch: epoch, boot: w.store.boot, stateless: r.Trigger.Kind != flow.TriggerRerun}
	}
	if t.apart != "" {
		if _, err := w.exec("INSERT INTO contexts (run, body) VALUES (?, ?)", seq, t.apart); err != nil {
			return 0, err
		}
	}
	if err := w.refer(seq, t.run.Tenant, maps.Values(t.run.Context)); err != nil {
		return 0, err
	}
	if isSlot(t.run) { // no ending covers it, as was seen
		if err := w.insertSlot(slotOf(t.run, flow.SlotRecord{Ending: flow.SlotRun, Run: t.run.ID})); err != nil {
			return 0, err
		}
	}
	return seq, w.recordRun(kind, t.run, epoch, t.at, t.detail)
}

func (w *writer) insert(t *taking, epoch int) (seq int64, err error) {
	facts, err := w.factsOf(t.run.Version)
	if err != nil {
		return 0, err
	}
	r := t.run
	if t.starts {
		return w.add(`INSERT INTO runs (id, tenant, pipeline, schedule, kind, project, label, body, place, state, queued_at, epoch, boot, started_at)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1, 'running', ?, ?, ?, ?)`,
			r.ID, r.Tenant, r.Pipeline, r.Trigger.Schedule, r.Trigger.Kind, facts.project, facts.label, t.body, nanos(t.at), epoch, w.store.boot, nanos(t.at))
	}
	if t.place == 0 {
		if _, err := w.one("SELECT coalesce(max(place), 0) + 1 FROM runs WHERE tenant = ? AND pipeline = ? AND state = 'queued'", []any{r.Tenant, r.Pipeline}, &t.place); err != nil {
			return 0, err
		}
	}
	var startBy any
	if !t.startBy.IsZero() {
		startBy, w.hasty = nanos(t.startBy), new(true)
	}
	return w.add(`INSERT INTO runs (id, tenant, pipeline, schedule, kind, project, label, body, place, state, queued_at, start_by)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'queued', ?, ?)`,
		r.ID, r.Tenant, r.Pipeline, r.Trigger.Schedule, r.Trigger.Kind, facts.project, facts.label, t.body, t.place, nanos(t.at), startBy)
}

// planFacts is what each run's row repeats of its plan.
type planFacts struct{ project, label string }

// factsOf reads them once per plan; they are empty where the plan is not recorded.
func (w *writer) factsOf(digest flow.Digest) (planFacts, error) {
	f, known := w.facts[digest]
	if known {
		return f, nil
	}
	found, err := w.one("SELECT project, label FROM plans WHERE digest = ?", []any{digest}, &f.project, &f.label)
	if err == nil && found {
		w.facts[digest] = f
	}
	return f, err
}

// wholeRun is how many bytes a run has at most with its context in its row: a row of SQLite is read from its beginning, and
// whoever lists runs must not read pages and pages of context on the way to their outcomes.
const wholeRun = 2 << 10

// texts are a run as JSON.
type texts struct {
	body   string // for its row
	apart  string // its context, where that stands apart
	detail string // for its first event, without its context
}

func textsOf(r *flow.Run) (t texts, err error) {
	if t.detail, err = encode(withoutContext(r)); err != nil {
		return t, err
	}
	if t.body, err = encode(r); err != nil || len(t.body) <= wholeRun || len(r.Context) == 0 {
		return t, err
	}
	t.body = t.detail
	t.apart, err = encode(r.Context)
	return t, err
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
// false when none waits, one is live, or the tenant has as many as its quota allows. Those that ended are told either way.
func (s *Store) ClaimNext(ctx context.Context, tenant, pipeline string) (flow.Claimed, bool, error) {
	return s.claim(ctx, func(w *writer) (claimed flow.Claimed, err error) {
		overdue, err := w.overdue(tenant, pipeline, time.Now())
		if err == nil {
			claimed, err = w.claim(`SELECT seq, body FROM runs WHERE tenant = ? AND pipeline = ? AND state = 'queued' ORDER BY place, seq LIMIT 1`, tenant, pipeline)
		}
		claimed.Overdue = overdue
		return claimed, err
	})
}

// Claim makes one waiting run live and claims it; false when it does not wait, could not start in time, another one is
// live, or the tenant has as many as its quota allows.
func (s *Store) Claim(ctx context.Context, id flow.RunID) (flow.Claimed, bool, error) {
	return s.claim(ctx, func(w *writer) (flow.Claimed, error) {
		return w.claim("SELECT seq, body FROM runs WHERE id = ? AND state = 'queued' AND (start_by IS NULL OR start_by > ?)", id, nanos(time.Now()))
	})
}

func (s *Store) claim(ctx context.Context, fn func(*writer) (flow.Claimed, error)) (flow.Claimed, bool, error) {
	claimed, err := writeIn(ctx, s, runs, fn)
	if err != nil {
		claimed = flow.Claimed{Overdue: claimed.Overdue}
	}
	return claimed, claimed.Run.ID != "", err
}

// claim makes the run that a query finds live, if it may be; else the claimed run has no id.
func (w *writer) claim(candidate string, args ...any) (none flow.Claimed, err error) {
	var seq int64
	var body string
	found, err := w.one(candidate, args, &seq, &body)
	if err == nil && found {
		err = w.room()
	}
	if err != nil || !found {
		return none, err
	}
	now := time.Now()
	claimed := flow.Claimed{StartedAt: now.UTC()}
	r := &claimed.Run
	if err := decode(body, r); err != nil {
		return none, err
	}
	var live int
	if busy, err := w.one("SELECT 1 FROM runs WHERE tenant = ? AND pipeline = ? AND state = 'running'", []any{r.Tenant, r.Pipeline}, &live); err != nil || busy {
		return none, err
	}
	if crowded, err := w.crowded(r.Tenant); err != nil || crowded {
		return flow.Claimed{Crowded: crowded}, err
	}
	return w.begin(seq, claimed)
}

// begin makes a waiting run live.
func (w *writer) begin(seq int64, claimed flow.Claimed) (none flow.Claimed, err error) {
	r, now := &claimed.Run, claimed.StartedAt
	if err := w.start(r.ID, now); err != nil {
		return none, err
	}
	w.count(r.Tenant, flow.StateQueued, -1)
	w.count(r.Tenant, flow.StateRunning, 1)
	claimed.Claim = flow.Claim{Run: r.ID, Epoch: 1}
	if err := withContext(context.Background(), w, seq, r); err != nil {
		return none, err
	}
	if r.Trigger.Kind == flow.TriggerRerun {
		if claimed.Steps, err = steps(context.Background(), w, seq, nil); err != nil {
			return none, err
		}
	}
	if claimed.LastSuccessAt, err = w.lastSuccess(r.Tenant, r.Pipeline); err != nil {
		return none, err
	}
	return claimed, w.recordRun(flow.RunStarted, r, 1, now, "")
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
			delete(w.live, id)
			if _, err = w.exec("UPDATE runs SET cancelling = 1 WHERE seq = ?", live.seq); err == nil {
				event := live.event(flow.RunCancelling, time.Now())
				event.Ending = ending
				err = w.record(event)
			}
		}
		return live.state, err
	})
}

// recordRun records what happened to a run; with a detail, what was asked for too.
func (w *writer) recordRun(kind flow.EventKind, r *flow.Run, epoch int, at time.Time, detail string) error {
	event := flow.Event{At: at, Kind: kind, Tenant: r.Tenant, Pipeline: r.Pipeline, Schedule: r.Trigger.Schedule, Run: r.ID, Epoch: epoch}
	return w.recordDetail(event, detail)
}
