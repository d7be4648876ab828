package watch

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/calendar"
)

const (
	window  = 20_000    // events that are read at one time
	fresh   = time.Hour // what ended longer ago is no news: nobody was watching
	loads   = 500       // schedules whose past is read in one look, so that a host that starts is not kept from its work
	keepFor = 90 * 24 * time.Hour
)

// subject is what an incident is about; at most one is open for it.
type subject struct {
	condition                  flow.Condition
	tenant, pipeline, schedule string
}

func subjectOf(i *flow.Incident) subject {
	return subject{i.Condition, i.Tenant, i.Pipeline, i.Schedule}
}

// laneKey names a schedule, or what is asked for of a pipeline by hand.
type laneKey struct{ tenant, pipeline, schedule string }

// lane is what is remembered of the runs of a schedule, so that the ledger is read again on suspicion only.
type lane struct {
	tally   tally
	lastDue time.Time
	times   []time.Duration // of the newest runs, oldest first
	// from is the event in which it was read, and round the batch of ended runs.
	from  int64
	round int64
}

// pipe is what is remembered of a pipeline.
type pipe struct {
	success, known time.Time
}

// eyes turn what the ledger shows into incidents.
type eyes struct {
	config *Config
	cursor int64 // the last event that was looked at
	saved  int64 // the same, as recorded
	round  int64
	lanes  map[laneKey]*lane
	pipes  map[[2]string]*pipe
	open   map[subject]flow.Incident
	steps  []flow.IncidentStep // what is to be recorded

	// records are all schedules, as of the time before changed was closed.
	records []watched
	changed <-chan struct{}
	pruned  time.Time
}

// watched is a schedule with what does not change while its record stays.
type watched struct {
	flow.ScheduleRecord
	cal    *calendar.Schedule
	broken error
}

func newEyes(c *Config) *eyes {
	return &eyes{config: c, lanes: map[laneKey]*lane{}, pipes: map[[2]string]*pipe{}, open: map[subject]flow.Incident{}}
}

// look follows the runs that have ended and, if all is asked for, judges every schedule and pipeline. It reports whether
// there is somebody to tell.
func (e *eyes) look(ctx context.Context, now time.Time, all bool) (bool, error) {
	if err := e.follow(ctx, now); err != nil {
		return false, err
	}
	if all {
		if err := e.judgeAll(ctx, now); err != nil {
			return false, err
		}
		e.prune(ctx, now)
	}
	return e.save(ctx, all)
}

// begin reads how far was looked, and what is open. In a ledger in which nobody has looked yet it says so at once, so
// that a crash before the first look changes nothing.
func (e *eyes) begin(ctx context.Context) error {
	cursor, err := e.config.Ledger.Watched(ctx)
	if err != nil {
		return fmt.Errorf("find where to look on: %w", err)
	}
	cursor = max(cursor, 1) // the first event of a ledger is no end of a run
	if err := e.config.Ledger.SaveIncidents(ctx, flow.IncidentChange{Cursor: cursor}); err != nil {
		return fmt.Errorf("record where to look on: %w", err)
	}
	open, err := e.config.Ledger.OpenIncidents(ctx)
	if err != nil {
		return fmt.Errorf("list open incidents: %w", err)
	}
	for i := range open {
		e.open[subjectOf(&open[i])] = open[i]
	}
	e.cursor, e.saved = cursor, cursor
	return nil
}

// save records what was found. What cannot be recorded now is kept for the next look.
func (e *eyes) save(ctx context.Context, all bool) (bool, error) {
	if len(e.steps) == 0 && (!all || e.cursor == e.saved) {
		return false, nil
	}
	if err := e.config.Ledger.SaveIncidents(ctx, flow.IncidentChange{Cursor: e.cursor, Steps: e.steps}); err != nil {
		return false, fmt.Errorf("record incidents: %w", err)
	}
	tell := false
	for i := range e.steps {
		tell = tell || len(e.steps[i].Targets) > 0
	}
	e.saved, e.steps = e.cursor, nil
	return tell, nil
}

// prune drops what is over for long.
func (e *eyes) prune(ctx context.Context, now time.Time) {
	if now.Sub(e.pruned) < time.Hour {
		return
	}
	e.pruned = now
	if _, err := e.config.Ledger.PruneIncidents(ctx, now.Add(-keepFor)); err != nil && ctx.Err() == nil {
		e.config.Logger.Error("incidents not pruned", slog.Any("err", err))
	}
}

// follow takes the runs that have ended since the last look, in the order of their ends, so that no failure goes
// unnoticed because a success came after it.
func (e *eyes) follow(ctx context.Context, now time.Time) error {
	for {
		ended, last, err := e.config.Ledger.Ended(ctx, e.cursor, window)
		if err != nil {
			return fmt.Errorf("read ended runs: %w", err)
		}
		if last == e.cursor {
			return nil
		}
		e.round++
		ahead := map[flow.RunID]bool{}
		for i := range ended {
			ahead[ended[i].ID] = true
		}
		plans := e.plans()
		for i := range ended {
			p := plans[[2]string{ended[i].Tenant, ended[i].Pipeline}]
			if p == nil {
				continue
			}
			if err := e.ended(ctx, p, &ended[i], ahead, now); err != nil {
				return err
			}
			delete(ahead, ended[i].ID)
		}
		e.cursor = last
	}
}

func (e *eyes) plans() map[[2]string]*flow.Plan {
	all := map[[2]string]*flow.Plan{}
	for _, p := range e.config.Plans() {
		all[[2]string{p.Tenant, p.Pipeline}] = p
	}
	return all
}

// ended takes one run that has ended. Those in ahead come after it.
func (e *eyes) ended(ctx context.Context, p *flow.Plan, r *flow.RunBrief, ahead map[flow.RunID]bool, now time.Time) error {
	key := laneKey{r.Tenant, r.Pipeline, r.Schedule}
	l := e.lanes[key]
	if l == nil {
		var err error
		if l, err = e.load(ctx, key, ahead); err != nil {
			return err
		}
	}
	if l.round != e.round && r.Event <= l.from || !l.add(r) {
		return nil
	}
	if good(r) {
		e.succeeded(r)
		return nil
	}
	if l.tally.streak >= max(p.Expect.Failures, 1) && now.Sub(*r.EndedAt) < fresh {
		e.begins(p, r.Schedule, l.tally.finding(), now)
	}
	return nil
}

// succeeded ends what a success ends: the failures of its schedule, and those of runs that were asked for by hand.
func (e *eyes) succeeded(r *flow.RunBrief) {
	if known := e.pipes[[2]string{r.Tenant, r.Pipeline}]; known != nil && r.EndedAt.After(known.success) {
		known.success = *r.EndedAt
	}
	for _, schedule := range []string{r.Schedule, ""} {
		e.ends(subject{flow.ConditionFailed, r.Tenant, r.Pipeline, schedule}, fmt.Sprintf("run %s succeeded", r.ID), *r.EndedAt)
	}
}

// load reads the past of a schedule, without the runs that are still to be taken.
func (e *eyes) load(ctx context.Context, key laneKey, ahead map[flow.RunID]bool) (*lane, error) {
	recent, last, err := e.config.Ledger.Recent(ctx, key.tenant, key.pipeline, key.schedule, recentRuns)
	if err != nil {
		return nil, fmt.Errorf("read the runs of %q: %w", flow.ID(key.tenant, key.schedule), err)
	}
	l := &lane{from: last, round: e.round}
	for i := len(recent) - 1; i >= 0; i-- {
		if r := &recent[i]; !ahead[r.ID] {
			l.add(r)
		}
	}
	e.lanes[key] = l
	return l, nil
}

// add takes a run over, and reports whether it says anything of failure or success.
func (l *lane) add(r *flow.RunBrief) bool {
	if r.Due() {
		if !r.Missed() && r.QueuedAt.After(l.lastDue) {
			l.lastDue = r.QueuedAt
		}
		if r.StartedAt != nil && r.EndedAt != nil {
			if len(l.times) == newest {
				l.times = l.times[1:]
			}
			l.times = append(l.times, r.EndedAt.Sub(*r.StartedAt))
		}
	}
	return l.tally.add(r)
}

// begins opens an incident, unless one is open for its subject. The plan is nil for the host's own.
func (e *eyes) begins(p *flow.Plan, schedule string, f *Finding, now time.Time) {
	i := flow.Incident{
		ID: string(flow.NewRunID(now)), Condition: f.Condition, Tenant: flow.DefaultTenant, Schedule: schedule, Run: f.Run,
		Since: f.Since.UTC(), OpenedAt: now.UTC(), Detail: f.Detail,
	}
	if p != nil {
		i.Tenant, i.Pipeline, i.Owner, i.Runbook = p.Tenant, p.Pipeline, p.Owner, p.Runbook
	}
	i.Next = nextCommand(&i)
	if _, known := e.open[subjectOf(&i)]; known {
		return
	}
	e.open[subjectOf(&i)] = i
	e.steps = append(e.steps, flow.IncidentStep{Incident: i, Targets: e.willing(e.targets(p), string(f.Condition))})
	e.log(&i).Warn("incident opened", slog.String("detail", i.Detail))
}

// ends closes the incident of a subject, if one is open.
func (e *eyes) ends(s subject, ending string, at time.Time) {
	i, known := e.open[s]
	if !known {
		return
	}
	delete(e.open, s)
	at = at.UTC()
	i.ClosedAt, i.Ending = &at, ending
	e.steps = append(e.steps, flow.IncidentStep{Incident: i, Targets: e.willing(e.alertsOf(i.Tenant), flow.AlertRecovered)})
	e.log(&i).Info("incident closed", slog.String("detail", i.Ending))
}

func (e *eyes) log(i *flow.Incident) *slog.Logger {
	return e.config.Logger.With(slog.String("condition", string(i.Condition)), slog.String("tenant", i.Tenant), slog.String("pipeline", i.Pipeline), slog.String("schedule", i.Schedule))
}

// targets are the alerts of a pipeline or, for the host's own incidents, those of the host.
func (e *eyes) targets(p *flow.Plan) []string {
	if p == nil {
		return e.alertsOf(flow.DefaultTenant)
	}
	ids := make([]string, len(p.Alerts))
	for i, name := range p.Alerts {
		ids[i] = flow.ID(p.Tenant, name)
	}
	return ids
}

// alertsOf are all alerts of a tenant.
func (e *eyes) alertsOf(tenant string) []string {
	var ids []string
	for id := range e.config.Alerts() {
		if tenantOf(id) == tenant {
			ids = append(ids, id)
		}
	}
	return ids
}

// willing are those of some alerts that want to hear of a word.
func (e *eyes) willing(ids []string, word string) []string {
	alerts := e.config.Alerts()
	return slices.DeleteFunc(ids, func(id string) bool {
		a, ok := alerts[id]
		return !ok || !a.Wants(word)
	})
}
