package schedule

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/go-co-op/gocron/v2"
	"github.com/google/uuid"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/calendar"
)

// timetable is all that decides about the instants of a schedule. Those that share it ring together.
type timetable struct{ text, zone string }

func timetableOf(r *flow.ScheduleRecord) timetable { return timetable{r.At, r.Timezone} }

// bell is the gocron job of all schedules of one timetable. A job that has fired costs gocron 25 KB and each alarm
// several passes through its one goroutine: a thousand schedules that are due together would be late by those alone.
type bell struct {
	job uuid.UUID
	cal *calendar.Schedule

	mu      sync.Mutex
	entries map[*entry]struct{}
}

// bellOf returns the bell of a timetable, armed, without any schedule if it is new. The caller holds the lock, and drops
// one that it leaves without.
func (s *Scheduler) bellOf(t timetable) (*bell, error) {
	if b := s.bells[t]; b != nil {
		return b, nil
	}
	cal, err := calendar.Parse(t.text, t.zone)
	if err != nil {
		return nil, err
	}
	b := &bell{job: s.job(), cal: cal, entries: map[*entry]struct{}{}}
	_, err = s.clock.NewJob(gocron.CronJob(t.text, false), gocron.NewTask(func() { s.fire(b) }),
		gocron.WithName(cal.String()), gocron.WithIdentifier(b.job), gocron.WithCronImplementation(alarm{cal}))
	if err != nil {
		return nil, fmt.Errorf("arm the alarm clock: %w", err)
	}
	s.bells[t] = b
	return b, nil
}

// join lets a schedule ring with a bell; whoever rings it now finds the schedule or has been before.
func (b *bell) join(e *entry) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.entries[e] = struct{}{}
}

// part takes a schedule from its bell, and drops the bell with its last one.
func (s *Scheduler) part(e *entry) error {
	b := s.bells[e.times]
	if b == nil {
		return nil
	}
	b.mu.Lock()
	delete(b.entries, e)
	left := len(b.entries)
	b.mu.Unlock()
	if left > 0 {
		return nil
	}
	delete(s.bells, e.times)
	if err := s.clock.RemoveJob(b.job); err != nil && s.ctx.Err() == nil {
		return fmt.Errorf("disarm the alarm clock: %w", err)
	}
	s.spare = append(s.spare, b.job)
	return nil
}

// job returns an id for a job, one that gocron knows already if there is one.
func (s *Scheduler) job() uuid.UUID {
	if n := len(s.spare); n > 0 {
		id := s.spare[n-1]
		s.spare = s.spare[:n-1]
		return id
	}
	return uuid.New()
}

// fire is gocron's task. It waits for no run: gocron must find the bell at rest at the next slot.
func (s *Scheduler) fire(b *bell) {
	s.look(time.Now())
	b.mu.Lock()
	ringing := slices.Collect(maps.Keys(b.entries))
	b.mu.Unlock()
	for _, e := range ringing {
		s.tasks.Go(func() { s.drain(e) })
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
	if next := a.cal.Next(last); !next.IsZero() {
		return next
	}
	return time.Now().Add(never)
}

// never is beyond the life of any process; gocron takes a zero time for a fault.
const never = 100 * 365 * 24 * time.Hour

// gocronLog passes gocron's own words on at debug level: what matters is logged by this package.
type gocronLog struct{ log *slog.Logger }

func (l gocronLog) Debug(string, ...any) {}
func (l gocronLog) Info(msg string, args ...any) {
	l.log.Debug("gocron", "text", fmt.Sprint(msg, args))
}

func (l gocronLog) Warn(msg string, args ...any) {
	l.log.Debug("gocron", "text", fmt.Sprint(msg, args))
}

func (l gocronLog) Error(msg string, args ...any) {
	l.log.Debug("gocron", "text", fmt.Sprint(msg, args))
}
