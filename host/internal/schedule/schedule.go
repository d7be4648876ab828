// Package schedule makes runs of slots. It keeps one gocron job per schedule as an alarm clock; what is due is derived
// from the schedule's watermark each time, so that a lost, late or doubled alarm costs nothing.
//
// It owns overlap and catch-up as far as they concern the slots of one schedule; that no two runs of a pipeline are
// live at once is the queue's promise, not this package's. It must not know how runs are executed or recorded.
package schedule

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-co-op/gocron/v2"
	"github.com/google/uuid"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/calendar"
)

// Queue takes the runs of slots.
type Queue interface {
	// Offer hands a run over, with the endings of older slots and the new watermark; durable when it returns.
	Offer(ctx context.Context, offer flow.Offer) (flow.Offered, error)
	// Wait returns when the run has ended, or ctx has.
	Wait(ctx context.Context, id flow.RunID) (flow.Ending, error)
	// Next ends the pipeline's waiting runs that could not start in time, and starts the oldest other one if none is live.
	Next(ctx context.Context, tenant, pipeline string) error
	// Overdue is Next for every pipeline that has such a run.
	Overdue(ctx context.Context) error
}

// Ledger records the endings of slots that have no run.
type Ledger interface {
	SaveSlots(ctx context.Context, tenant, schedule string, watermark time.Time, records []flow.SlotRecord) error
}

// Config wires a Scheduler; Sweep may be left out.
type Config struct {
	Queue  Queue
	Ledger Ledger
	// NewRun makes the run of a slot, with an id that depends on the slot alone. An error means that the schedule has
	// no run to make: the slot is skipped. Telling of it is up to NewRun.
	NewRun func(ctx context.Context, s flow.ScheduleRecord, t flow.Trigger) (flow.Run, error)
	// Lock is held from the look at a schedule until what was decided about its slots is durable: whoever holds it for
	// writing changes schedules, and what NewRun goes by, between two decisions. Defaults to none.
	Lock sync.Locker
	// Soon, if not nil, is told of a schedule that has a slot before the next look of the sweeper is over, so that what
	// its run needs can be prepared; one call at a time.
	Soon func(ctx context.Context, s flow.ScheduleRecord)
	// Sweep is the time between looks at all schedules for slots that no alarm fired for. Defaults to 15 s.
	Sweep  time.Duration
	Logger *slog.Logger
}

// Scheduler fires the slots of a set of schedules. It is safe for concurrent use.
type Scheduler struct {
	config Config
	clock  gocron.Scheduler
	ctx    context.Context //nolint:containedctx // the scheduler's own lifetime, not a caller's request
	cancel context.CancelFunc
	tasks  sync.WaitGroup

	mu      sync.Mutex
	entries map[key]*entry
	arming  sync.Mutex  // held while jobs are made, changed and removed; always before mu
	spare   []uuid.UUID // jobs of removed schedules: gocron keeps a goroutine for each id it has ever fired
	started bool

	// seen and down are wall clock times in nanoseconds: when the scheduler last looked at the clock, and the end of
	// the last time in which it did not (the process was down, the machine slept, the clock was set forward).
	seen, down atomic.Int64
	rearmed    atomic.Int64
	swept      atomic.Int64 // when the sweeper ended its last round, or began to work
	preparing  atomic.Bool  // Soon is being told
}

// key names a schedule.
type key struct{ tenant, name string }

// entry is one schedule.
type entry struct {
	// job is in the clock, with a name and a calendar; all three are the scheduler's, under arming.
	job   uuid.UUID
	armed key
	set   *calendar.Schedule
	busy  sync.Mutex // held by the one goroutine that drains it

	mu     sync.Mutex
	record flow.ScheduleRecord
	cal    *calendar.Schedule
	gone   bool // the schedule was removed
	edits  int  // counts the forms of the schedule, and tells a decision about an earlier one
	// idle is when the schedule's last run ended.
	idle time.Time
	// form ends when the schedule is edited or removed: whoever waits under the old form looks again.
	form   context.Context //nolint:containedctx // the life of one form of the schedule, not a request
	reform context.CancelFunc
}

// New returns a scheduler that fires nothing before Start.
func New(c Config) (*Scheduler, error) {
	if c.Sweep == 0 {
		c.Sweep = 15 * time.Second
	}
	if c.Lock == nil {
		c.Lock = noLock{}
	}
	s := &Scheduler{config: c, entries: map[key]*entry{}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	var err error
	s.clock, err = gocron.NewScheduler(
		gocron.WithLocation(time.UTC), // calendars know their own zones
		gocron.WithLogger(gocronLog{c.Logger}),
		gocron.WithStopTimeout(stopTime),
		gocron.WithGlobalJobOptions(
			gocron.WithSingletonMode(gocron.LimitModeReschedule),
			gocron.WithEventListeners(gocron.AfterJobRunsWithPanic(func(_ uuid.UUID, name string, p any) {
				c.Logger.Error("panic in a schedule", slog.String("schedule", name), slog.Any("err", p))
			})),
		),
	)
	if err != nil {
		return nil, fmt.Errorf("create the alarm clock: %w", err)
	}
	return s, nil
}

// stopTime bounds how long gocron waits for its tasks at the end; they end when the scheduler's context does.
const stopTime = 10 * time.Second

// noLock is for schedules that nobody changes together with anything else.
type noLock struct{}

func (noLock) Lock()   {}
func (noLock) Unlock() {}

// Apply makes the given schedules the whole set: new ones are armed, changed ones armed anew, others removed. A
// schedule that is not active is kept, and fires nothing. One that cannot be armed does not keep others from it.
func (s *Scheduler) Apply(records []flow.ScheduleRecord) error {
	given := make(map[key]bool, len(records))
	for i := range records {
		given[key{records[i].Tenant, records[i].Name}] = true
	}
	var gone []flow.ScheduleRecord
	s.mu.Lock()
	for k := range s.entries {
		if !given[k] {
			gone = append(gone, flow.ScheduleRecord{Tenant: k.tenant, PlanSchedule: flow.PlanSchedule{Name: k.name}})
		}
	}
	s.mu.Unlock()
	return s.Swap(records, gone)()
}

// Set adds or replaces one schedule.
func (s *Scheduler) Set(r flow.ScheduleRecord) error {
	return s.Swap([]flow.ScheduleRecord{r}, nil)()
}

// Remove takes one schedule out; one that is not there is fine.
func (s *Scheduler) Remove(tenant, name string) error {
	return s.Swap(nil, []flow.ScheduleRecord{{Tenant: tenant, PlanSchedule: flow.PlanSchedule{Name: name}}})()
}

// Swap adds or replaces schedules and takes others out, all at once and without a look at the clock. What it returns is
// called soon after, outside of Lock, and sets the clock; a slot that comes due in between is fired by that.
func (s *Scheduler) Swap(records, gone []flow.ScheduleRecord) (arm func() error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var failures []error
	var edited, retired []*entry
	for i := range records {
		e, err := s.put(&records[i])
		if err != nil {
			failures = append(failures, err)
			continue
		}
		edited = append(edited, e)
	}
	for i := range gone {
		k := key{gone[i].Tenant, gone[i].Name}
		if e := s.entries[k]; e != nil {
			delete(s.entries, k)
			e.retire()
			retired = append(retired, e)
		}
	}
	return func() error {
		s.arming.Lock()
		defer s.arming.Unlock()
		for _, e := range retired {
			failures = append(failures, s.disarm(e))
		}
		for _, e := range edited {
			failures = append(failures, s.arm(e))
		}
		return errors.Join(failures...)
	}
}

// put takes a record over.
func (s *Scheduler) put(r *flow.ScheduleRecord) (*entry, error) {
	cal, err := calendar.Of(r.Tenant, &r.PlanSchedule)
	if err != nil {
		return nil, fmt.Errorf("schedule %q: %w", r.Name, err)
	}
	k := key{r.Tenant, r.Name}
	e := s.entries[k]
	if e == nil {
		e = &entry{}
		s.entries[k] = e
	}
	e.update(s.ctx, *r, cal)
	return e, nil
}

// disarm removes the job of a schedule that is gone.
func (s *Scheduler) disarm(e *entry) error {
	if e.job == uuid.Nil {
		return nil
	}
	if err := s.clock.RemoveJob(e.job); err != nil && s.ctx.Err() == nil {
		return fmt.Errorf("remove schedule %q: %w", e.armed.name, err)
	}
	s.spare = append(s.spare, e.job)
	e.job = uuid.Nil
	return nil
}

// arm sets the clock to the present form of a schedule, and fires what came due before it was set.
func (s *Scheduler) arm(e *entry) error {
	e.mu.Lock()
	cal, name, gone := e.cal, key{e.record.Tenant, e.record.Name}, e.gone
	e.mu.Unlock()
	if gone { // by a later change, which disarms it
		return nil
	}
	fresh := e.job == uuid.Nil
	if fresh {
		e.job = s.job()
	}
	at := cal.Text()
	options := []gocron.JobOption{gocron.WithName(flow.ID(name.tenant, name.name)), gocron.WithIdentifier(e.job), gocron.WithCronImplementation(alarm{cal})}
	task := gocron.NewTask(func() { s.fire(e) })
	var err error
	switch {
	case fresh:
		_, err = s.clock.NewJob(gocron.CronJob(at, false), task, options...)
	case !e.set.Same(cal):
		_, err = s.clock.Update(e.job, gocron.CronJob(at, false), task, options...)
	}
	if err != nil {
		if fresh {
			e.job = uuid.Nil
		}
		return fmt.Errorf("arm schedule %q: %w", name.name, err)
	}
	e.set, e.armed = cal, name
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.started && (e.settles() || e.overdue(time.Now())) {
		s.tasks.Go(func() { s.drain(e) })
	}
	return nil
}

// overdue reports whether a slot is due of which no alarm that was set lately can tell.
func (e *entry) overdue(now time.Time) bool {
	next := e.next()
	return !next.IsZero() && !next.After(now)
}

// settles reports whether slots are to be settled because the schedule was disabled or enabled: that waits for no alarm.
func (e *entry) settles() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	r := &e.record
	return r.PausedAt.After(r.Watermark) || r.Active() && r.ResumedAt.After(r.Watermark)
}

// job returns an id for a job, one that gocron knows already if there is one. The caller holds arming.
func (s *Scheduler) job() uuid.UUID {
	if n := len(s.spare); n > 0 {
		id := s.spare[n-1]
		s.spare = s.spare[:n-1]
		return id
	}
	return uuid.New()
}

// update takes a record over. A watermark never goes back, unless the schedule was edited so that it has other slots, and
// starts anew.
func (e *entry) update(life context.Context, r flow.ScheduleRecord, cal *calendar.Schedule) {
	e.mu.Lock()
	defer e.mu.Unlock()
	changed := e.cal == nil || !e.cal.Same(cal)
	if e.cal != nil && e.cal.SameSlots(cal) && e.record.Watermark.After(r.Watermark) {
		r.Watermark = e.record.Watermark
	}
	if changed || e.record.Overlap != r.Overlap {
		if e.reform != nil {
			e.reform()
		}
		e.form, e.reform = context.WithCancel(life)
	}
	e.record, e.cal = r, cal
	e.edits++
}

// retire lets a drain that is under way find nothing more to do.
func (e *entry) retire() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.gone = true
	e.reform()
}

// Start arms the clock and looks once for slots that came due while the host was down.
func (s *Scheduler) Start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.started {
		return
	}
	s.started = true
	now := time.Now().UnixNano()
	s.seen.Store(now)
	s.down.Store(now)
	s.swept.Store(now)
	s.clock.Start()
	s.tasks.Go(s.sweep)
}

// Stop fires nothing more and returns when no goroutine of the scheduler is left. Runs that were made go on.
func (s *Scheduler) Stop() error {
	s.cancel()
	err := s.clock.Shutdown()
	s.tasks.Wait()
	if err != nil {
		return fmt.Errorf("stop the alarm clock: %w", err)
	}
	return nil
}

// Rearmed counts the times that a sweep took slots which the alarm had left: it was late, or their run could not be
// made before.
func (s *Scheduler) Rearmed() int64 { return s.rearmed.Load() }

// fire is gocron's task.
func (s *Scheduler) fire(e *entry) {
	s.look(time.Now())
	s.drain(e)
}

// sweep drains, until the scheduler stops, every schedule that has slots which are late. The first look, at the
// start, is for the slots of the downtime and no fault of the clock.
func (s *Scheduler) sweep() {
	ticker := time.NewTicker(s.config.Sweep)
	defer ticker.Stop()
	for first := true; ; first = false {
		now := time.Now()
		s.look(now)
		s.sweepOnce(now, first)
		if err := s.config.Queue.Overdue(s.ctx); err != nil && s.ctx.Err() == nil {
			s.config.Logger.Error("overdue runs not ended", slog.Any("err", err))
		}
		s.swept.Store(time.Now().UnixNano())
		select {
		case <-ticker.C:
		case <-s.ctx.Done():
			return
		}
	}
}

// lateness is what an alarm may take before a sweep does its work.
const lateness = 2 * time.Second

func (s *Scheduler) sweepOnce(now time.Time, first bool) {
	s.mu.Lock()
	var late, soon []*entry
	for _, e := range s.entries {
		switch next := e.next(); {
		case next.IsZero():
		case next.Before(now.Add(-lateness)):
			late = append(late, e)
		case next.After(now) && next.Before(now.Add(s.config.Sweep+lateness)):
			soon = append(soon, e)
		}
	}
	s.mu.Unlock()
	s.prepare(soon)
	for _, e := range late {
		s.tasks.Go(func() {
			if s.drain(e) && !first {
				s.rearmed.Add(1)
			}
		})
	}
}

// next returns when the slot comes due that is decided next, zero if there is none. Of a schedule that is disabled that is
// one which was due before.
func (e *entry) next() time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	due := e.cal.NextDue(e.record.Watermark)
	if !e.record.Active() && due.After(e.record.PausedAt) {
		return time.Time{}
	}
	return due
}

// prepare tells of schedules that have a slot soon, beside all else and unless it is still at those of the look before.
func (s *Scheduler) prepare(soon []*entry) {
	if s.config.Soon == nil || len(soon) == 0 || !s.preparing.CompareAndSwap(false, true) {
		return
	}
	s.tasks.Go(func() {
		defer s.preparing.Store(false)
		for _, e := range soon {
			if s.ctx.Err() != nil {
				return
			}
			e.mu.Lock()
			record := e.record
			e.mu.Unlock()
			s.config.Soon(s.ctx, record)
		}
	})
}

// look notices a time in which nobody looked: the wall clock is much further on than the sweeper's rhythm allows.
func (s *Scheduler) look(now time.Time) {
	before := s.seen.Swap(now.UnixNano())
	if gap := now.UnixNano() - before; before != 0 && gap > int64(4*s.config.Sweep) {
		s.down.Store(now.UnixNano())
		s.config.Logger.Warn("the clock went on without the scheduler", slog.Duration("gap", time.Duration(gap)))
	}
}

// alarm adapts a calendar to gocron, which must never be answered with a time in the past: it would ask again and
// again, in its only goroutine, until the answers reach the present.
type alarm struct{ cal *calendar.Schedule }

// IsValid implements gocron.Cron; the text was checked when the calendar was made.
func (alarm) IsValid(string, *time.Location, time.Time) error { return nil }

// Next implements gocron.Cron.
func (a alarm) Next(last time.Time) time.Time {
	if now := time.Now(); last.Before(now) {
		last = now
	}
	if due := a.cal.NextDue(last.Add(-a.cal.Delay())); !due.IsZero() {
		return due
	}
	return time.Now().Add(never)
}

// never is beyond the life of any process; gocron takes a zero time for a fault.
const never = 100 * 365 * 24 * time.Hour

// gocronLog passes gocron's own words on at debug level: what matters is logged by this package.
type gocronLog struct{ log *slog.Logger }

func (l gocronLog) Debug(string, ...any) {}
func (l gocronLog) Info(msg string, args ...any) {
	l.log.Debug("gocron", slog.String("text", fmt.Sprint(msg, args)))
}

func (l gocronLog) Warn(msg string, args ...any) {
	l.log.Debug("gocron", slog.String("text", fmt.Sprint(msg, args)))
}

func (l gocronLog) Error(msg string, args ...any) {
	l.log.Debug("gocron", slog.String("text", fmt.Sprint(msg, args)))
}
