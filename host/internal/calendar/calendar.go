// Package calendar turns a schedule text such as `daily 02:30` and a time zone into instants.
//
// It owns the texts, their canonical form, the time zone names, and the rule for days on which clocks change. It is
// pure: it reads no clock, does no I/O but for loading a zone, and must know nothing of timers, runs or stores. A slot is
// a function of the text, the zone and the tz database alone (the system's where it has one, else the embedded copy), so
// that every host that looks at a schedule sees the same slots.
//
// # Days on which clocks change
//
// There are three cases, by what the text leaves open:
//
//   - A fixed hour (daily, weekly, monthly, and a cron whose hour field does not allow all 24 hours): each written time
//     runs once per local day. A time that the clock skips runs at the first instant after the gap; a time that the
//     clock shows twice runs at the first showing. Several times in one gap are one slot. A local day that does not
//     exist at all (Pacific/Apia has no 30 December 2011) has no slot.
//   - Any hour (hourly, and a cron whose hour field allows all 24): slots follow elapsed time, as the clock shows it. A
//     shift by whole hours does not move the minutes, so an hour that is skipped has no slot and none is missing, and
//     an hour that is shown twice has its slots twice. A shift by part of an hour (Australia/Lord_Howe shifts by half an
//     hour) moves the minutes: where the pattern of minutes looks the same after the shift, as */15 does after half an
//     hour, slots go on in elapsed time; where it does not, as for :15, each written minute runs once per local hour,
//     a skipped one at the first instant after the gap, a repeated one at its first showing.
//   - An interval (every) is elapsed time and sees no zone.
package calendar

import (
	"time"
	_ "time/tzdata" // Zones must load on machines and in images that have no tz database.
)

// Kind is the kind of a schedule: the first word of its text.
type Kind string

// The kinds of schedule.
const (
	KindDaily   Kind = "daily"
	KindHourly  Kind = "hourly"
	KindEvery   Kind = "every"
	KindWeekly  Kind = "weekly"
	KindMonthly Kind = "monthly"
	KindCron    Kind = "cron"
	KindOnce    Kind = "once"
)

// maxList bounds what List and Transitions return.
const maxList = 10_000

// Slots lie in [earliest, latest), seconds since the Unix epoch: instants that every zone shows within the years 1 to
// 9999, which is what RFC 3339 can write. It also bounds every loop.
var (
	earliest = time.Date(1, 1, 2, 0, 0, 0, 0, time.UTC).Unix()
	latest   = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC).Unix()
)

// Schedule says when. It is immutable and safe for use by many goroutines; Parse makes it.
type Schedule struct {
	kind  Kind
	text  string
	words string
	zone  *time.Location
	rule  rule
	// from and to are the bounds in rule, both included, as RFC 3339; empty is none.
	from, to string
	shut     *shut // nil when no slot is skipped
	delay    time.Duration
}

// rule finds slots in whole seconds since the Unix epoch.
type rule interface {
	// next returns the first slot at or after sec.
	next(sec int64) (int64, bool)
	// span returns the newest slot in [lo, hi) and how many there are; last means nothing where count is 0.
	span(lo, hi int64) (last, count int64)
	// spacing returns the mean time between slots in seconds, 0 where there is one slot only.
	spacing() int64
}

// Kind returns the kind of the schedule.
func (s *Schedule) Kind() Kind { return s.kind }

// Text returns the canonical text: parsing it gives the same schedule and the same text again.
func (s *Schedule) Text() string { return s.text }

// Zone returns the IANA name of the schedule's zone, "UTC" where none was given.
func (s *Schedule) Zone() string { return s.zone.String() }

// Location returns the schedule's zone.
func (s *Schedule) Location() *time.Location { return s.zone }

// String returns the schedule in plain words: "every day at 02:30, America/Los_Angeles".
func (s *Schedule) String() string { return s.words }

// Interval returns the mean time between slots over the 400-year cycle of the calendar, clock changes aside: 24h for a
// daily schedule, 3.5 days for one on Mondays and Thursdays. It is 0 for a schedule that fires once.
func (s *Schedule) Interval() time.Duration {
	return time.Duration(s.rule.spacing()) * time.Second
}

// Next returns the first slot strictly after an instant, in UTC; zero where there is none.
func (s *Schedule) Next(after time.Time) time.Time {
	sec, ok := s.rule.next(secondsAfter(after))
	if !ok {
		return time.Time{}
	}
	return time.Unix(sec, 0).UTC()
}

// Prev returns the newest slot strictly before an instant, in UTC; zero where there is none.
func (s *Schedule) Prev(before time.Time) time.Time {
	end := secondsAfter(before.Add(-1))
	// Most schedules have a slot close by; the window widens until it holds one or all of time.
	for width := int64(3600); ; width *= 8 {
		start := max(end-width, earliest)
		if last, count := s.rule.span(start, end); count > 0 {
			return time.Unix(last, 0).UTC()
		}
		if start == earliest {
			return time.Time{}
		}
	}
}

// Due returns the newest slot in (after, until], in UTC, and how many slots that range holds; zero and 0 where it holds
// none. Its cost grows with the months in the range and the clock changes, not with the slots.
func (s *Schedule) Due(after, until time.Time) (last time.Time, count int64) {
	sec, n := s.rule.span(secondsAfter(after), secondsAfter(until))
	if n == 0 {
		return time.Time{}, 0
	}
	return time.Unix(sec, 0).UTC(), n
}

// List returns the first n slots strictly after an instant, oldest first; fewer where the schedule ends. At most 10,000
// are returned.
func (s *Schedule) List(after time.Time, n int) []time.Time {
	var slots []time.Time
	for len(slots) < min(n, maxList) {
		after = s.Next(after)
		if after.IsZero() {
			break
		}
		slots = append(slots, after)
	}
	return slots
}

// secondsAfter returns the first whole second strictly after t, held within [earliest, latest].
func secondsAfter(t time.Time) int64 {
	return min(max(t.Unix(), earliest-1)+1, latest)
}

// interval is a slot every step seconds, the first at from.
type interval struct{ from, step int64 }

func (r interval) next(sec int64) (int64, bool) {
	slot := r.from
	if sec > r.from {
		slot += (sec - r.from + r.step - 1) / r.step * r.step
	}
	return slot, slot < latest
}

func (r interval) span(lo, hi int64) (last, count int64) {
	first, ok := r.next(lo)
	if !ok || first >= hi {
		return 0, 0
	}
	steps := (hi - 1 - first) / r.step
	return first + steps*r.step, steps + 1
}

func (r interval) spacing() int64 { return r.step }

// instant is a single slot.
type instant int64

func (r instant) next(sec int64) (int64, bool) { return int64(r), sec <= int64(r) }

func (r instant) span(lo, hi int64) (last, count int64) {
	if lo <= int64(r) && int64(r) < hi {
		return int64(r), 1
	}
	return 0, 0
}

func (r instant) spacing() int64 { return 0 }
