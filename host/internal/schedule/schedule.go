// Package schedule makes runs of slots. It keeps one gocron job per timetable as an alarm clock; what is due is derived
// from each schedule's watermark each time, so that a lost, late or doubled alarm costs nothing.
//
// It owns overlap and catch-up as far as they concern the slots of one schedule; that no two runs of a pipeline are
// live at once is the queue's promise, not this package's. It must not know how runs are executed or recorded.
package schedule

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
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
	bells   map[timetable]*bell
	spare   []uuid.UUID // jobs of dropped bells: gocron keeps a goroutine for each id it has ever fired
	started bool

	// seen and down are wall clock times in nanoseconds: when the scheduler last looked at the clock, and the end of
	// the last time in which it did not (the process was down, the machine slept, the clock was set forward).
	seen, down atomic.Int64
	rearmed    atomic.Int64
}

// key names a schedule.
type key struct{ tenant, name string }

// entry is one schedule.
type entry struct {
	times timetable  // of its bell; guarded by the scheduler's lock
	busy  sync.Mutex // held by the one goroutine that drains it

	mu     sync.Mutex
	record flow.ScheduleRecord
	cal    *calendar.Schedule
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
	s := &Scheduler{config: c, entries: map[key]*entry{}, bells: map[timetable]*bell{}}
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

// Apply makes the given schedules the whole set: new ones are armed, changed ones armed anew, others removed. A
// schedule that is not active is kept, and fires nothing. One that cannot be armed does not keep others from it.
func (s *Scheduler) Apply(records []flow.ScheduleRecord) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	gone := make(map[key]*entry, len(s.entries))
	maps.Copy(gone, s.entries)
	var failures []error
	for _, r := range records {
		delete(gone, key{r.Tenant, r.Name})
		failures = append(failures, s.set(r))
	}
	for k := range gone {
		failures = append(failures, s.remove(k))
	}
	return errors.Join(failures...)
}

// Set adds or replaces one schedule.
func (s *Scheduler) Set(r flow.ScheduleRecord) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.set(r)
}

// Remove takes one schedule out; one that is not there is fine.
func (s *Scheduler) Remove(tenant, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.remove(key{tenant, name})
}

func (s *Scheduler) remove(k key) error {
	e := s.entries[k]
	if e == nil {
		return nil
	}
	delete(s.entries, k)
	e.retire()
	if err := s.part(e); err != nil {
		return fmt.Errorf("remove schedule %q: %w", k.name, err)
	}
	return nil
}

func (s *Scheduler) set(r flow.ScheduleRecord) error {
	times := timetableOf(&r)
	b, err := s.bellOf(times)
	if err != nil {
		return fmt.Errorf("schedule %q: %w", r.Name, err)
	}
	k := key{r.Tenant, r.Name}
	e := s.entries[k]
	if e == nil {
		e = &entry{times: times}
		s.entries[k] = e
	}
	e.update(s.ctx, r, b.cal)
	if e.times != times {
		err = s.part(e)
		e.times = times
	}
	b.join(e)
	if err != nil {
		return fmt.Errorf("schedule %q: %w", r.Name, err)
	}
	return nil
}

// update takes a record over. A watermark never goes back, unless the schedule was edited and starts anew.
func (e *entry) update(life context.Context, r flow.ScheduleRecord, cal *calendar.Schedule) {
	e.mu.Lock()
	defer e.mu.Unlock()
	changed := e.cal == nil || e.cal.Text() != cal.Text() || e.cal.Zone() != cal.Zone()
	if !changed && e.record.Watermark.After(r.Watermark) {
		r.Watermark = e.record.Watermark
	}
	if changed || e.record.Overlap != r.Overlap {
		if e.reform != nil {
			e.reform()
		}
		e.form, e.reform = context.WithCancel(life)
	}
	e.record, e.cal = r, cal
}

// retire lets a drain that is under way find nothing more to do.
func (e *entry) retire() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.record.Enabled, e.record.Override = false, nil
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

// sweep drains, until the scheduler stops, every schedule that has slots which are late. The first look, at the
// start, is for the slots of the downtime and no fault of the clock.
func (s *Scheduler) sweep() {
	ticker := time.NewTicker(s.config.Sweep)
	defer ticker.Stop()
	for first := true; ; first = false {
		now := time.Now()
		s.look(now)
		s.sweepOnce(now, first)
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
	var late []*entry
	for _, e := range s.entries {
		if e.late(now.Add(-lateness)) {
			late = append(late, e)
		}
	}
	s.mu.Unlock()
	for _, e := range late {
		s.tasks.Go(func() {
			if s.drain(e) && !first {
				s.rearmed.Add(1)
			}
		})
	}
}

func (e *entry) late(at time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.record.Active() {
		return false
	}
	next := e.cal.Next(e.record.Watermark)
	return !next.IsZero() && next.Before(at)
}

// look notices a time in which nobody looked: the wall clock is much further on than the sweeper's rhythm allows.
func (s *Scheduler) look(now time.Time) {
	before := s.seen.Swap(now.UnixNano())
	if gap := now.UnixNano() - before; before != 0 && gap > int64(4*s.config.Sweep) {
		s.down.Store(now.UnixNano())
		s.config.Logger.Warn("the clock went on without the scheduler", slog.Duration("gap", time.Duration(gap)))
	}
}
