package watch

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/calendar"
)

const (
	behindAfter = time.Minute      // slots that are late by so much, all over, mean that the host is behind
	behindSpan  = 10 * time.Minute // schedules that had a slot in so long are asked
	fewestLate  = 3
	asked       = 100 // schedules that are asked in one look whether they wait for their own run
)

// judgeAll judges the host, every schedule, and every pipeline that says what to expect, and opens and closes incidents
// by what it finds.
func (e *eyes) judgeAll(ctx context.Context, now time.Time) error {
	plans := e.plans()
	if err := e.refresh(ctx); err != nil {
		return err
	}
	s := &sweep{eyes: e, ctx: ctx, now: now, plans: plans, holds: map[subject]bool{}, alive: map[laneKey]bool{}, left: loads}
	waiting, err := e.config.Ledger.WaitingSince(ctx, now.Add(-waitsLong))
	if err != nil {
		return fmt.Errorf("read waiting runs: %w", err)
	}
	s.waiting = map[laneKey]bool{}
	for i := range waiting {
		s.waiting[laneKey{waiting[i].Tenant, waiting[i].Pipeline, waiting[i].Schedule}] = true
	}
	for _, step := range []func() error{s.host, s.schedules, s.pipelines} {
		if err := step(); err != nil {
			return err
		}
	}
	s.close()
	return nil
}

// refresh reads the schedules again, if anything was written since they were read.
func (e *eyes) refresh(ctx context.Context) error {
	if e.changed != nil {
		select {
		case <-e.changed:
		default:
			return nil
		}
	}
	changed := e.config.Ledger.Changed()
	records, err := e.config.Ledger.Schedules(ctx)
	if err != nil {
		return fmt.Errorf("list schedules: %w", err)
	}
	before := map[laneKey]*calendar.Schedule{}
	for i := range e.records {
		before[e.records[i].lane()] = e.records[i].cal
	}
	e.records = e.records[:0:0]
	known := map[laneKey]bool{}
	for i := range records {
		w := watched{ScheduleRecord: records[i], cal: before[laneKey{records[i].Tenant, records[i].Pipeline, records[i].Name}]}
		if w.cal == nil || !w.cal.Is(w.Tenant, &w.PlanSchedule) {
			if w.cal, err = calendar.Of(w.Tenant, &w.PlanSchedule); err != nil {
				continue // the host has told of it when it could not arm the schedule
			}
		}
		w.broken = e.config.Broken(&w.ScheduleRecord)
		known[w.lane()] = true
		e.records = append(e.records, w)
	}
	for key := range e.lanes {
		if key.schedule != "" && !known[key] {
			delete(e.lanes, key)
		}
	}
	e.changed = changed
	return nil
}

func (w *watched) lane() laneKey { return laneKey{w.Tenant, w.Pipeline, w.Name} }

// sweep is one judgement of everything.
type sweep struct {
	*eyes
	ctx     context.Context //nolint:containedctx // it lives for one look
	now     time.Time
	plans   map[[2]string]*flow.Plan
	waiting map[laneKey]bool
	holds   map[subject]bool // conditions that were found
	alive   map[laneKey]bool // schedules that fire
	behind  bool
	left    int // lanes that may yet be loaded
}

// found opens an incident for a finding, and keeps one that is open.
func (s *sweep) found(p *flow.Plan, schedule string, f *Finding) {
	key := subject{condition: f.Condition, tenant: flow.DefaultTenant, schedule: schedule}
	if p != nil {
		key.tenant, key.pipeline = p.Tenant, p.Pipeline
	}
	s.holds[key] = true
	if f.Condition == flow.ConditionLate && s.behind {
		return // the host is told of once, and not each schedule
	}
	s.begins(p, schedule, f, s.now)
}

// host tells one schedule that is late from a host that does not keep up: several are, and half of all that had a slot.
func (s *sweep) host() error {
	var late []*watched
	due := 0
	for i := range s.records {
		r := &s.records[i]
		if !r.Active() || r.broken != nil {
			continue
		}
		next := r.cal.NextDue(r.Watermark)
		switch {
		case !next.IsZero() && s.now.Sub(next) > behindAfter:
			late = append(late, r)
			due++
		case s.now.Sub(r.Watermark) < behindSpan && r.Watermark.After(r.Since):
			due++
		}
	}
	if len(late) < fewestLate || 2*len(late) < due {
		return nil
	}
	n, oldest := 0, s.now
	for _, r := range late[:min(len(late), asked)] {
		recent, _, err := s.config.Ledger.Recent(s.ctx, r.Tenant, r.Pipeline, r.Name, 1)
		if err != nil {
			return fmt.Errorf("read the last run of schedule %q: %w", r.Name, err)
		}
		if !live(recent) {
			n++
			if next := r.cal.NextDue(r.Watermark); next.Before(oldest) {
				oldest = next
			}
		}
	}
	n = n * len(late) / min(len(late), asked)
	if n < fewestLate || 2*n < due {
		return nil
	}
	s.behind = true
	s.found(nil, "", &Finding{
		Condition: flow.ConditionBehind, Since: oldest,
		Detail: fmt.Sprintf("%d of %d schedules have slots that are due for more than %s and have no ending", n, due, flow.Duration(behindAfter)),
	})
	return nil
}

// schedules judges every schedule: from memory, and from the ledger where memory gives a reason.
func (s *sweep) schedules() error {
	for i := range s.records {
		r := &s.records[i]
		p := s.plans[[2]string{r.Tenant, r.Pipeline}]
		s.alive[r.lane()] = r.Active()
		if p == nil {
			p = &flow.Plan{Tenant: r.Tenant, Pipeline: r.Pipeline}
		}
		subject := &Subject{Record: &r.ScheduleRecord, Cal: r.cal, Broken: r.broken, Expect: p.Expect}
		if r.Active() && r.broken == nil {
			l, err := s.lane(r.lane())
			if err != nil {
				return err
			}
			s.failures(p, r.Name, l)
			if !s.suspicious(r, p, l) {
				continue
			}
			if err := s.eyes.witness(s.ctx, subject); err != nil {
				return err
			}
		}
		for _, f := range JudgeSchedule(subject, s.now) {
			if f.Condition != flow.ConditionFailed { // it follows the runs, one by one
				s.found(p, r.Name, &f)
			}
		}
	}
	return nil
}

// lane returns what is remembered of a schedule; nil where its past is to be read by a later look.
func (s *sweep) lane(key laneKey) (*lane, error) {
	if l := s.lanes[key]; l != nil {
		return l, nil
	}
	if s.left == 0 {
		return nil, nil
	}
	s.left--
	return s.load(s.ctx, key, nil)
}

// failures opens and closes what a schedule's past says when it is first read: the host was down, or nobody watched.
func (s *sweep) failures(p *flow.Plan, schedule string, l *lane) {
	if l == nil {
		return
	}
	key := subject{flow.ConditionFailed, p.Tenant, p.Pipeline, schedule}
	_, open := s.open[key]
	switch {
	case l.tally.streak >= max(p.Expect.Failures, 1) && !open:
		s.begins(p, schedule, l.tally.finding(), s.now)
	case l.tally.seen && l.tally.streak == 0 && open:
		s.ends(key, "a run succeeded", s.now)
	}
}

// suspicious tells whether there is a reason to read the ledger: something may have begun, or be over.
func (s *sweep) suspicious(r *watched, p *flow.Plan, l *lane) bool {
	for _, c := range []flow.Condition{flow.ConditionLate, flow.ConditionSilent, flow.ConditionDrifting} {
		if _, open := s.open[subject{c, r.Tenant, r.Pipeline, r.Name}]; open {
			return true
		}
	}
	if next := r.cal.NextDue(r.Watermark); !next.IsZero() && s.now.Sub(next) > lateAfter || s.waiting[r.lane()] {
		return true
	}
	if l == nil {
		return false
	}
	seen := l.lastDue
	if begun := r.Begun(); seen.Before(begun) {
		seen = begun
	}
	return p.Expect.Every == 0 && s.now.Sub(seen) > silentAfter || driftOf(slices.Clone(l.times), r.cal.Interval(), false, s.now) != nil
}

// witness reads what a schedule is judged by.
func (e *eyes) witness(ctx context.Context, s *Subject) error {
	_, s.Drifting = e.open[subject{flow.ConditionDrifting, s.Record.Tenant, s.Record.Pipeline, s.Record.Name}]
	return Witness(ctx, e.config.Ledger, s)
}

// Past is what is read of a schedule to judge it.
type Past interface {
	Recent(ctx context.Context, tenant, pipeline, schedule string, limit int) ([]flow.RunBrief, int64, error)
	Slots(ctx context.Context, q flow.SlotQuery) ([]flow.SlotRecord, error)
}

// Witness fills in what a schedule is judged by: its runs, and whether its slots were meant to run.
func Witness(ctx context.Context, past Past, s *Subject) error {
	var err error
	if s.Recent, _, err = past.Recent(ctx, s.Record.Tenant, s.Record.Pipeline, s.Record.Name, recentRuns); err != nil {
		return fmt.Errorf("read the runs of schedule %q: %w", s.Record.Name, err)
	}
	s.Excused = excuse(ctx, past, s)
	return nil
}

func excuse(ctx context.Context, past Past, s *Subject) func(time.Time) bool {
	return func(at time.Time) bool {
		slots, err := past.Slots(ctx, flow.SlotQuery{Tenant: s.Record.Tenant, Schedule: s.Record.Name, Until: at, Limit: 1})
		return err == nil && len(slots) > 0 && slots[0].Ending == flow.SlotSkipped && (slots[0].Reason == flow.ReasonCondition || slots[0].Reason == flow.ReasonCalendar)
	}
}

// pipelines judges those that say what to expect.
func (s *sweep) pipelines() error {
	schedules := map[[2]string][]*watched{}
	for i := range s.records {
		if r := &s.records[i]; r.Active() {
			key := [2]string{r.Tenant, r.Pipeline}
			schedules[key] = append(schedules[key], r)
		}
	}
	for key, p := range s.plans {
		if p.Expect.Every == 0 && p.Expect.By == "" {
			continue
		}
		known, err := s.pipe(key)
		if err != nil {
			return err
		}
		if known == nil {
			continue
		}
		judged := &Pipeline{Expect: p.Expect, Success: known.success, Known: known.known}
		for _, r := range schedules[key] {
			subject := Subject{Record: &r.ScheduleRecord, Cal: r.cal}
			subject.Excused = excuse(s.ctx, s.config.Ledger, &subject)
			judged.Schedules = append(judged.Schedules, subject)
		}
		for _, f := range JudgePipeline(judged, s.now) {
			s.found(p, "", &f)
		}
	}
	return nil
}

// pipe returns what is remembered of a pipeline; nil where its past is to be read by a later look.
func (s *sweep) pipe(key [2]string) (*pipe, error) {
	if known := s.pipes[key]; known != nil {
		return known, nil
	}
	if s.left == 0 {
		return nil, nil
	}
	s.left--
	success, known, err := s.config.Ledger.LastSuccess(s.ctx, key[0], key[1])
	if err != nil {
		return nil, fmt.Errorf("read the last success of pipeline %q: %w", flow.ID(key[0], key[1]), err)
	}
	s.pipes[key] = &pipe{success, known}
	return s.pipes[key], nil
}

// close ends the incidents whose condition was not found any more, or whose subject is gone.
func (s *sweep) close() {
	var over []flow.Incident
	for key, i := range s.open {
		if !s.holds[key] {
			over = append(over, i)
		}
	}
	slices.SortFunc(over, func(a, b flow.Incident) int {
		return cmp.Or(a.OpenedAt.Compare(b.OpenedAt), strings.Compare(a.Pipeline, b.Pipeline), strings.Compare(a.Schedule, b.Schedule))
	})
	for i := range over {
		if ending := s.ending(&over[i]); ending != "" {
			s.ends(subjectOf(&over[i]), ending, s.now)
		}
	}
}

// ending says why an incident is over; "" when it is not.
func (s *sweep) ending(i *flow.Incident) string {
	p := s.plans[[2]string{i.Tenant, i.Pipeline}]
	fires, known := s.alive[laneKey{i.Tenant, i.Pipeline, i.Schedule}]
	switch {
	case i.Schedule != "" && !known:
		return "the schedule is gone"
	case i.Schedule != "" && !fires && i.Condition != flow.ConditionDisabled:
		return "the schedule was disabled"
	case i.Schedule == "" && i.Pipeline != "" && p == nil:
		return "the pipeline is gone"
	case i.Condition == flow.ConditionFailed:
		return "" // a success ends it
	case i.Condition == flow.ConditionSilent && s.pipes[[2]string{i.Tenant, i.Pipeline}] == nil && i.Schedule == "" && p.Expect.Every > 0:
		return "" // its past is not read yet
	}
	return endings[i.Condition]
}

// endings say how a condition that holds no more is told.
var endings = map[flow.Condition]string{
	flow.ConditionBehind:   "slots are on time again",
	flow.ConditionBroken:   "its runs can be made again",
	flow.ConditionDisabled: "it was enabled again",
	flow.ConditionDrifting: "its runs fit into the interval again",
	flow.ConditionLate:     "it is on time again",
	flow.ConditionSilent:   "it runs again",
}
