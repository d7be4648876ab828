package sqlite

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// SaveIncidents records what one look at the ledger has brought, all or nothing: incidents that have begun with the
// messages about them, those that are over with theirs, in order, and how far was looked. A condition that is open for its subject
// already does not begin again, and what is over does not end again.
func (s *Store) SaveIncidents(ctx context.Context, c flow.IncidentChange) error {
	return s.do(ctx, func(w *writer) error {
		for i := range c.Steps {
			step := w.openIncident
			if c.Steps[i].ClosedAt != nil {
				step = w.closeIncident
			}
			if err := step(&c.Steps[i]); err != nil {
				return err
			}
		}
		if c.Cursor == 0 {
			return nil
		}
		_, err := w.exec("INSERT INTO watched (one, event) VALUES (1, ?) ON CONFLICT DO UPDATE SET event = excluded.event WHERE excluded.event > event", c.Cursor)
		return err
	})
}

func (w *writer) openIncident(o *flow.IncidentStep) error {
	o.Since, o.OpenedAt = o.Since.UTC(), o.OpenedAt.UTC()
	body, err := encode(o.Incident)
	if err != nil {
		return err
	}
	at := nanos(o.OpenedAt)
	n, err := w.exec("INSERT INTO incidents (id, condition, tenant, pipeline, schedule, opened_at, body) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
		o.ID, o.Condition, o.Tenant, o.Pipeline, o.Schedule, at, body)
	if err != nil || n == 0 {
		return err
	}
	for _, target := range o.Targets {
		if _, err := w.exec("INSERT INTO deliveries (incident, target, phase, state, asked_at, next_at) VALUES (?, ?, 'opened', 'pending', ?, ?) ON CONFLICT DO NOTHING",
			o.ID, target, at, at); err != nil {
			return err
		}
	}
	return w.recordIncident(flow.IncidentOpened, &o.Incident, o.OpenedAt, o.Detail, body)
}

func (w *writer) closeIncident(i *flow.IncidentStep) error {
	body, err := encode(i.Incident)
	if err != nil {
		return err
	}
	at := nanos(*i.ClosedAt)
	n, err := w.exec("UPDATE incidents SET closed_at = ?, body = ? WHERE id = ? AND closed_at IS NULL", at, body, i.ID)
	if err != nil || n == 0 {
		return err
	}
	for _, target := range i.Targets {
		if _, err := w.exec(`INSERT INTO deliveries (incident, target, phase, state, asked_at, next_at)
			SELECT incident, target, 'recovered', 'pending', ?, ? FROM deliveries WHERE incident = ? AND target = ? AND phase = 'opened' AND state <> 'given_up'
			ON CONFLICT DO NOTHING`, at, at, i.ID, target); err != nil {
			return err
		}
	}
	return w.recordIncident(flow.IncidentClosed, &i.Incident, *i.ClosedAt, i.Ending, body)
}

func (w *writer) recordIncident(kind flow.EventKind, i *flow.Incident, at time.Time, message, body string) error {
	return w.record(flow.Event{
		At: at, Kind: kind, Tenant: i.Tenant, Pipeline: i.Pipeline, Schedule: i.Schedule, Ending: flow.Ending{Message: message}, Detail: json.RawMessage(body),
	})
}

// OpenIncidents returns the incidents that are not over, the oldest first.
func (s *Store) OpenIncidents(ctx context.Context) ([]flow.Incident, error) {
	return collect(ctx, reader{s.readers}, scanIncident, "SELECT body FROM incidents WHERE closed_at IS NULL ORDER BY opened_at, id")
}

func scanIncident(row scanner) (i flow.Incident, err error) {
	var body string
	if err := row.Scan(&body); err != nil {
		return i, err
	}
	return i, decode(body, &i)
}

// farOff is beyond every wait between two attempts: who is to wait longer was told so by a clock that was wrong.
const farOff = 24 * time.Hour

// DueDeliveries returns, for each target, the message that is to be sent next, if it is due. What tells the end of an
// incident waits until its beginning was told.
func (s *Store) DueDeliveries(ctx context.Context, now time.Time) ([]flow.Delivery, error) {
	at := nanos(now)
	return collect(ctx, reader{s.readers}, scanDelivery, `SELECT min(d.seq), d.target, d.phase, d.state, d.attempts, d.asked_at, d.next_at, d.sent_at, d.error, i.body
		FROM deliveries d JOIN incidents i ON i.id = d.incident
		WHERE d.state = 'pending' AND (d.next_at <= ? OR d.next_at > ?) AND NOT EXISTS (
			SELECT 1 FROM deliveries o WHERE d.phase = 'recovered' AND o.incident = d.incident AND o.target = d.target AND o.phase = 'opened' AND o.state = 'pending')
		GROUP BY d.target ORDER BY 1`, at, at+int64(farOff))
}

func scanDelivery(row scanner) (d flow.Delivery, err error) {
	var askedAt, nextAt, sentAt instant
	var body string
	if err := row.Scan(&d.Seq, &d.Target, &d.Phase, &d.State, &d.Attempts, &askedAt, &nextAt, &sentAt, &d.Error, &body); err != nil {
		return d, err
	}
	d.AskedAt, d.NextAt, d.SentAt = askedAt.time(), nextAt.time(), sentAt.pointer()
	return d, decode(body, &d.Incident)
}

// NextDelivery returns when, after an instant, the next message is due; zero when none is.
func (s *Store) NextDelivery(ctx context.Context, after time.Time) (time.Time, error) {
	found, err := collect(ctx, reader{s.readers}, func(row scanner) (at instant, err error) { return at, row.Scan(&at) },
		"SELECT min(next_at) FROM deliveries WHERE state = 'pending' AND next_at > ?", nanos(after))
	if err != nil || len(found) == 0 {
		return time.Time{}, err
	}
	return found[0].time(), nil
}

// SaveAttempt records what became of an attempt to send a message: state, attempts, error and times of the delivery. Once
// a target has taken one, what waits for it is due at once. What has an ending is left as it is.
func (s *Store) SaveAttempt(ctx context.Context, d flow.Delivery, at time.Time) error {
	return s.do(ctx, func(w *writer) error {
		n, err := w.exec("UPDATE deliveries SET state = ?, attempts = ?, next_at = ?, sent_at = ?, error = ? WHERE seq = ? AND state = 'pending'",
			d.State, d.Attempts, nanos(d.NextAt), nanosOf(d.SentAt), d.Error, d.Seq)
		if err != nil || n == 0 {
			return err
		}
		kind := flow.AlertFailed
		if d.State == flow.DeliverySent {
			kind = flow.AlertSent
			if _, err := w.exec("UPDATE deliveries SET next_at = ? WHERE target = ? AND state = 'pending' AND next_at > ?", nanos(at), d.Target, nanos(at)); err != nil {
				return err
			}
		}
		return w.recordAttempt(kind, &d, at)
	})
}

// SaveAlertTest records what became of a test message.
func (s *Store) SaveAlertTest(ctx context.Context, t flow.AlertTest, at time.Time) error {
	return s.do(ctx, func(w *writer) error {
		detail, err := encode(t)
		if err != nil {
			return err
		}
		kind := flow.AlertFailed
		if t.Delivered {
			kind = flow.AlertSent
		}
		tenant, _, ok := strings.Cut(t.Name, "/")
		if !ok {
			tenant = flow.DefaultTenant
		}
		return w.record(flow.Event{At: at, Kind: kind, Tenant: tenant, Ending: flow.Ending{Message: t.Error}, Detail: json.RawMessage(detail)})
	})
}

func (w *writer) recordAttempt(kind flow.EventKind, d *flow.Delivery, at time.Time) error {
	detail, err := encode(struct {
		Incident string             `json:"incident"`
		Target   string             `json:"target"`
		Phase    flow.Phase         `json:"phase"`
		State    flow.DeliveryState `json:"state"`
		Attempt  int                `json:"attempt"`
	}{d.Incident.ID, d.Target, d.Phase, d.State, d.Attempts})
	if err != nil {
		return err
	}
	i := &d.Incident
	return w.record(flow.Event{
		At: at, Kind: kind, Tenant: i.Tenant, Pipeline: i.Pipeline, Schedule: i.Schedule, Ending: flow.Ending{Message: d.Error}, Detail: json.RawMessage(detail),
	})
}

// Undelivered returns, by target, the messages that were tried and not taken: those that are tried again, and those
// that were given up and asked for since an instant.
func (s *Store) Undelivered(ctx context.Context, since time.Time) ([]flow.AlertHealth, error) {
	type row struct {
		flow.AlertHealth
		state flow.DeliveryState
		asked instant
	}
	rows, err := collect(ctx, reader{s.readers}, func(r scanner) (d row, err error) {
		return d, r.Scan(&d.Name, &d.state, &d.asked, &d.Error)
	}, `SELECT target, state, asked_at, error FROM deliveries
		WHERE state = 'pending' AND attempts > 0 OR state = 'given_up' AND asked_at >= ? ORDER BY target, seq`, nanos(since))
	if err != nil {
		return nil, err
	}
	var all []flow.AlertHealth
	for i := range rows {
		if len(all) == 0 || all[len(all)-1].Name != rows[i].Name {
			asked := rows[i].asked.time()
			all = append(all, flow.AlertHealth{Name: rows[i].Name, Since: &asked})
		}
		a := &all[len(all)-1]
		a.Error = rows[i].Error
		if rows[i].state == flow.DeliveryPending {
			a.Pending++
		} else {
			a.GivenUp++
		}
	}
	return all, nil
}

// PruneIncidents drops what was over before an instant, with its messages, and events of the same age that belong to no
// pipeline. It returns how many incidents it dropped, at most pruneRows.
func (s *Store) PruneIncidents(ctx context.Context, before time.Time) (int, error) {
	return write(ctx, s, func(w *writer) (int, error) {
		n, err := w.exec("DELETE FROM incidents WHERE id IN (SELECT id FROM incidents WHERE closed_at < ? LIMIT ?)", nanos(before), pruneRows)
		if err != nil {
			return 0, err
		}
		_, err = w.exec("DELETE FROM events WHERE seq IN (SELECT seq FROM events WHERE tenant = ? AND pipeline = '' AND at < ? LIMIT ?)",
			flow.DefaultTenant, nanos(before), pruneRows)
		return int(n), err
	})
}

// Watched returns the last event that was looked at for incidents. In a ledger in which nobody has looked yet it is the
// last one that there is: what happened before is nobody's news.
func (s *Store) Watched(ctx context.Context) (int64, error) {
	found, err := collect(ctx, reader{s.readers}, func(row scanner) (seq int64, err error) { return seq, row.Scan(&seq) },
		"SELECT coalesce((SELECT event FROM watched), (SELECT max(seq) FROM events), 0)")
	if err != nil || len(found) == 0 {
		return 0, err
	}
	return found[0], nil
}

const briefColumns = "r.id, r.tenant, r.pipeline, r.schedule, r.kind, r.state, r.outcome, r.reason, r.message, r.queued_at, r.started_at, r.ended_at"

func scanBrief(row scanner) (b flow.RunBrief, err error) {
	var queuedAt, startedAt, endedAt instant
	err = row.Scan(&b.Event, &b.ID, &b.Tenant, &b.Pipeline, &b.Schedule, &b.Kind, &b.State, &b.Ending.Outcome, &b.Ending.Reason, &b.Ending.Message, &queuedAt, &startedAt, &endedAt)
	b.QueuedAt, b.StartedAt, b.EndedAt = queuedAt.time(), startedAt.pointer(), endedAt.pointer()
	return b, err
}

// The new events are read first, in their own order, whatever else an index would offer.
const endedText = "SELECT e.last, " + briefColumns + ` FROM (
		SELECT run, max(seq) AS last FROM events NOT INDEXED WHERE seq > ?1 AND seq <= ?2 AND run <> '' GROUP BY +run
	) e CROSS JOIN runs r ON r.id = e.run
	WHERE r.state = 'ended' AND NOT EXISTS (SELECT 1 FROM events x WHERE x.run = e.run AND x.seq > ?2) ORDER BY e.last`

// Ended returns the runs whose last event is among the next events after one, in the order of their ends, and the last
// of these events; at most limit events are looked at. Following it from event to event tells each end once.
func (s *Store) Ended(ctx context.Context, after int64, limit int) ([]flow.RunBrief, int64, error) {
	tx, err := s.followers.BeginTx(ctx, nil) // one look at two tables
	if err != nil {
		return nil, after, fmt.Errorf("read ledger: %w", fault(err))
	}
	defer func() { _ = tx.Rollback() }()
	q := reader{tx}
	last, err := collect(ctx, q, func(row scanner) (seq int64, err error) { return seq, row.Scan(&seq) },
		"SELECT coalesce(max(seq), ?) FROM (SELECT seq FROM events WHERE seq > ? ORDER BY seq LIMIT ?)", after, after, limit)
	if err != nil || len(last) == 0 || last[0] == after {
		return nil, after, err
	}
	runs, err := collect(ctx, q, scanBrief, endedText, after, last[0])
	return runs, last[0], err
}

func recentText(schedule string) string {
	index := "runs_schedule"
	if schedule == "" {
		index = "runs_pipeline"
	}
	return "SELECT 0, " + briefColumns + " FROM runs r INDEXED BY " + index + " WHERE tenant = ? AND pipeline = ? AND schedule = ? ORDER BY seq DESC LIMIT ?"
}

// Recent returns the last runs of a schedule, or of a pipeline that no schedule has made, in whatever state, the newest
// first; and the last event of the ledger that they were read in.
func (s *Store) Recent(ctx context.Context, tenant, pipeline, schedule string, limit int) ([]flow.RunBrief, int64, error) {
	tx, err := s.readers.BeginTx(ctx, nil) // one look at two tables
	if err != nil {
		return nil, 0, fmt.Errorf("read ledger: %w", fault(err))
	}
	defer func() { _ = tx.Rollback() }()
	runs, err := collect(ctx, reader{tx}, scanBrief, recentText(schedule), tenant, pipeline, schedule, limit)
	if err != nil {
		return nil, 0, err
	}
	last, err := collect(ctx, reader{tx}, func(row scanner) (seq int64, err error) { return seq, row.Scan(&seq) }, "SELECT coalesce(max(seq), 0) FROM events")
	if err != nil || len(last) == 0 {
		return nil, 0, err
	}
	return runs, last[0], nil
}

const waitingText = "SELECT 0, " + briefColumns + " FROM runs r WHERE state = 'queued' AND kind IN ('schedule', 'catchup') AND queued_at < ? ORDER BY seq LIMIT 1000"

// WaitingSince returns the runs of slots that have waited for their turn since before an instant, at most 1,000.
func (s *Store) WaitingSince(ctx context.Context, before time.Time) ([]flow.RunBrief, error) {
	return collect(ctx, reader{s.readers}, scanBrief, waitingText, nanos(before))
}

// LastSuccess returns when a run of a pipeline ended last with success, or skipped because its condition was false; and
// the instant of the first event that is kept of the pipeline. Both are zero where there is none.
func (s *Store) LastSuccess(ctx context.Context, tenant, pipeline string) (success, known time.Time, err error) {
	type row struct{ succeeded, skipped, known instant }
	found, err := collect(ctx, reader{s.readers}, func(r scanner) (t row, err error) { return t, r.Scan(&t.succeeded, &t.skipped, &t.known) },
		`SELECT (SELECT max(ended_at) FROM runs WHERE tenant = ?1 AND pipeline = ?2 AND outcome = 'succeeded'),
			(SELECT max(ended_at) FROM (SELECT outcome, reason, ended_at FROM runs INDEXED BY runs_pipeline WHERE tenant = ?1 AND pipeline = ?2 ORDER BY seq DESC LIMIT 100)
				WHERE outcome = 'skipped' AND reason = 'condition'),
			(SELECT at FROM events WHERE tenant = ?1 AND pipeline = ?2 ORDER BY seq LIMIT 1)`, tenant, pipeline)
	if err != nil || len(found) == 0 {
		return success, known, err
	}
	success = found[0].succeeded.time()
	if skipped := found[0].skipped.time(); skipped.After(success) {
		success = skipped
	}
	return success, found[0].known.time(), nil
}
