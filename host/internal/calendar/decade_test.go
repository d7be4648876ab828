package calendar

import (
	"testing"
	"time"
)

// fixed is a schedule of fixed times of day, with what it says in other words.
type fixed struct {
	text  string
	times []int64 // seconds since midnight
	day   func(date time.Time) bool
}

func fixedTimes() []fixed {
	always := func(time.Time) bool { return true }
	return []fixed{
		{"daily 00:00", []int64{0}, always},
		{"daily 02:30", []int64{9000}, always},
		{"daily 23:59:59", []int64{86399}, always},
		{"weekly sun,mon 00:30", []int64{1800}, func(d time.Time) bool { return d.Weekday() <= time.Monday }},
		{"monthly 1,31 02:00", []int64{7200}, func(d time.Time) bool { return d.Day() == 1 || d.Day() == 31 }},
		{"monthly last 23:30", []int64{84600}, func(d time.Time) bool { return d.AddDate(0, 0, 1).Day() == 1 }},
		{"cron 0,30 1,2 * * *", []int64{3600, 5400, 7200, 9000}, always},
		{"cron 15 0,12,23 * mar,sep-nov fri-sun", []int64{900, 44100, 83700}, func(d time.Time) bool {
			return (d.Month() == time.March || d.Month() >= time.September && d.Month() <= time.November) && (d.Weekday() >= time.Friday || d.Weekday() == time.Sunday)
		}},
	}
}

// Each written time of each local day that exists is served by exactly one slot, whatever clocks do: at the time
// itself, or where the clock skips it, at the end of the gap.
func TestFixedTimesRunOncePerLocalDay(t *testing.T) {
	t.Parallel()
	from, to := years(2)
	for _, name := range sampled(60) {
		for _, f := range fixedTimes() {
			s := mustParse(t, f.text, name)
			served := map[int64]int{}
			last := from.Add(-1)
			for _, slot := range slotsIn(s, from, to) {
				if !slot.After(last) {
					t.Fatalf("%s in %s: %s follows %s", f.text, name, slot, last)
				}
				last = slot
				readings := f.servedBy(s.zone, slot)
				if len(readings) == 0 {
					t.Fatalf("%s in %s runs at %s for no reason", f.text, name, slot.In(s.zone))
				}
				for _, r := range readings {
					served[r]++
				}
			}
			f.check(t, s, served, from.AddDate(0, 0, 2), to.AddDate(0, 0, -2))
		}
	}
}

// wallAt is what the zone's clocks show at an instant, in seconds.
func wallAt(zone *time.Location, at time.Time) int64 {
	_, offset := at.In(zone).Zone()
	return at.Unix() + int64(offset)
}

// servedBy returns the written readings that the clock shows at an instant, or has skipped just before it.
func (f *fixed) servedBy(zone *time.Location, slot time.Time) []int64 {
	now := wallAt(zone, slot)
	first := min(wallAt(zone, slot.Add(-time.Second))+1, now) // after a fold, the time itself
	var found []int64
	for day := first - first%daySeconds; day <= now; day += daySeconds {
		if !f.day(time.Unix(day, 0).UTC()) {
			continue
		}
		for _, tod := range f.times {
			if r := day + tod; first <= r && r <= now && (r == now || now-first < daySeconds) {
				found = append(found, r)
			}
		}
	}
	return found
}

// check looks at every local day in a range.
func (f *fixed) check(t *testing.T, s *Schedule, served map[int64]int, from, to time.Time) {
	t.Helper()
	for day := from; day.Before(to); day = day.AddDate(0, 0, 1) {
		for _, tod := range f.times {
			want := 0
			if f.day(day) && exists(s.zone, day) {
				want = 1
			}
			if got := served[day.Unix()+tod]; got != want {
				t.Fatalf("%s in %s on %s: %d slots for %s, want %d", f.text, s.Zone(), day.Format(time.DateOnly), got, time.Unix(tod, 0).UTC().Format(time.TimeOnly), want)
			}
		}
	}
}

// exists reports whether the zone's clocks show any of a local day.
func exists(zone *time.Location, day time.Time) bool {
	for hour := range 56 {
		if day.Add(time.Duration(hour-16)*time.Hour).In(zone).Format(time.DateOnly) == day.Format(time.DateOnly) {
			return true
		}
	}
	return false
}

// Whatever clocks do, schedules of any hour fire in elapsed time; only a shift by a part of an hour may make one gap
// between slots longer or shorter, by that part, and intervals see none.
func TestAnyHourLosesAndDoublesNone(t *testing.T) {
	t.Parallel()
	from, to := years(2)
	for _, name := range sampled(30) {
		for text, step := range map[string]time.Duration{
			"hourly :00": time.Hour, "hourly :15": time.Hour, "cron 30 * * * *": time.Hour, "cron 5,25,45 * * * *": 20 * time.Minute,
			"every 45m": 45 * time.Minute, "every 1d": 24 * time.Hour, "every 90m from 2017-06-01T00:00:07Z": 90 * time.Minute,
		} {
			s := mustParse(t, text, name)
			since := from
			for _, change := range append(changes(s.zone, from, to), to) {
				checkSteady(t, s, since, change.Add(-26*time.Hour), step)
				checkSteps(t, s, change.Add(-28*time.Hour), change.Add(28*time.Hour), step)
				since = change.Add(26 * time.Hour)
			}
		}
	}
}

// checkSteps walks from slot to slot around a clock change.
func checkSteps(t *testing.T, s *Schedule, from, to time.Time, step time.Duration) {
	t.Helper()
	last := s.Next(from)
	for slot := s.Next(last); slot.Before(to); slot = s.Next(slot) {
		odd := (slot.Sub(last) - step).Abs()
		if odd != 0 && (s.Kind() == KindEvery || odd > partOfHour(s.zone, last, slot)) || !slot.After(last) {
			t.Fatalf("%s in %s: %s follows %s", s.Text(), s.Zone(), slot.In(s.zone), last.In(s.zone))
		}
		last = slot
	}
}

// checkSteady counts the slots of a time without a clock change.
func checkSteady(t *testing.T, s *Schedule, from, to time.Time, step time.Duration) {
	t.Helper()
	first, last := s.Next(from), s.Prev(to)
	if _, n := s.Due(first, last); last.After(first) && last.Sub(first) != time.Duration(n)*step {
		t.Fatalf("%s in %s: %d slots between %s and %s", s.Text(), s.Zone(), n, first, last)
	}
}

// partOfHour returns the part of an hour by which the clock is set from just before one slot to the next.
func partOfHour(zone *time.Location, last, slot time.Time) time.Duration {
	_, before := last.Add(-1).In(zone).Zone()
	_, after := slot.In(zone).Zone()
	return (time.Duration(after-before) * time.Second % time.Hour).Abs()
}
