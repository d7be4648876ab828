package calendar

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// years bounds the properties: ten years or, in the usual run, fewer.
func years(usual int) (from, to time.Time) {
	from = time.Date(2018, 1, 1, 0, 0, 0, 0, time.UTC)
	if all() {
		usual = 10
	}
	return from, from.AddDate(usual, 0, 0)
}

// changes returns the instants of the zone's clock changes in a range.
func changes(zone *time.Location, from, to time.Time) []time.Time {
	var found []time.Time
	_, before := from.In(zone).Zone()
	for t := from; t.Before(to); t = t.Add(15 * time.Minute) {
		if _, now := t.In(zone).Zone(); now != before {
			found = append(found, t)
			before = now
		}
	}
	return found
}

// Around every clock change, slots are what somebody sees who watches the clock.
func TestSlotsAroundClockChanges(t *testing.T) {
	t.Parallel()
	at := func(hour, minute int) func(time.Time) bool {
		return func(r time.Time) bool { return r.Hour() == hour && r.Minute() == minute }
	}
	tests := []struct {
		text    string
		rhythm  rhythm
		matches func(time.Time) bool
	}{
		{"daily 00:00", perDay, at(0, 0)},
		{"daily 02:30", perDay, at(2, 30)},
		{"daily 01:45", perDay, at(1, 45)},
		{"daily 23:59", perDay, at(23, 59)},
		{"cron 0,30 0-3,23 * * *", perDay, func(r time.Time) bool { return r.Minute()%30 == 0 && (r.Hour() <= 3 || r.Hour() == 23) }},
		{"weekly sun 00:30", perDay, func(r time.Time) bool { return r.Weekday() == time.Sunday && at(0, 30)(r) }},
		{"monthly last 02:00", perDay, func(r time.Time) bool { return r.AddDate(0, 0, 1).Day() == 1 && at(2, 0)(r) }},
		{"cron 15 1-23 * * *", perDay, func(r time.Time) bool { return r.Hour() > 0 && r.Minute() == 15 }},
		{"hourly :00", perHour, func(r time.Time) bool { return r.Minute() == 0 }},
		{"hourly :15", perHour, func(r time.Time) bool { return r.Minute() == 15 }},
		{"hourly :45", perHour, func(r time.Time) bool { return r.Minute() == 45 }},
		{"cron */20 * * * sun", perHour, func(r time.Time) bool { return r.Minute()%20 == 0 && r.Weekday() == time.Sunday }},
		{"cron */15 * * * *", always, func(r time.Time) bool { return r.Minute()%15 == 0 }},
		{"cron * * * * sat", always, func(r time.Time) bool { return r.Weekday() == time.Saturday }},
	}
	names := peculiar()
	if all() {
		names = everyZone()
	}
	for _, name := range names {
		zone := mustParse(t, "daily 00:00", name).zone
		from, to := years(2)
		if name == "Pacific/Apia" {
			from = time.Date(2011, 1, 1, 0, 0, 0, 0, time.UTC)
		}
		for _, change := range changes(zone, from, to) {
			from, to := change.Add(-26*time.Hour), change.Add(50*time.Hour)
			for _, test := range tests {
				s := mustParse(t, test.text, name)
				got, want := slotsIn(s, from, to), oracle{zone, test.rhythm, test.matches}.slots(from, to)
				if !slices.EqualFunc(got, want, time.Time.Equal) {
					t.Fatalf("%s in %s around %s:\n got %q\nwant %q", test.text, name, change, shownAt(s, got), shownAt(s, want))
				}
				if _, count := s.Due(from.Add(-1), to.Add(-1)); count != int64(len(want)) {
					t.Fatalf("%s in %s around %s: Due counts %d slots, want %d", test.text, name, change, count, len(want))
				}
			}
		}
	}
}

// slotsIn returns the slots in [from, to).
func slotsIn(s *Schedule, from, to time.Time) []time.Time {
	var slots []time.Time
	for slot := s.Next(from.Add(-1)); !slot.IsZero() && slot.Before(to); slot = s.Next(slot) {
		slots = append(slots, slot)
	}
	return slots
}

// texts are schedules of every kind.
func texts() []string {
	return []string{
		"daily 02:30", "daily 00:00", "daily 23:59:59", "hourly :15", "hourly :45:30", "every 7m", "every 1d", "every 90m from 2020-03-08T01:02:03Z",
		"weekly mon,thu 06:00", "weekly sat-sun 01:30", "monthly 1 06:00", "monthly 29,30,31 02:15", "monthly last 23:00",
		"cron 0 12 * * 1-5", "cron */20 * * * *", "cron 0,30 1,2 * * *", "cron 15 1-23 * * *", "cron 0 0 13 * fri", "cron 0 2 29 2 *",
		"cron 30 59 23 * * sun", "cron 7 * 1 jan,jul *", "once 2021-06-01T00:00:00Z",
	}
}

// Due is what walking from slot to slot finds, and each of Next, Prev and Due agrees with the others from any start.
func TestDueEqualsWalking(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	from, to := years(10)
	names := peculiar()
	if all() {
		names = everyZone()
	}
	for _, name := range names {
		for _, text := range texts() {
			s := mustParse(t, text, name)
			for range 4 {
				after := from.Add(time.Duration(random.Int64N(int64(to.Sub(from)))))
				until := after.Add(time.Duration(random.Int64N(int64(min(s.Interval()*50+time.Hour, 3000*24*time.Hour)))))
				slots := slotsIn(s, after.Add(1), until.Add(1))
				last, count := s.Due(after, until)
				if count != int64(len(slots)) || count > 0 && !last.Equal(slots[len(slots)-1]) || count == 0 && !last.IsZero() {
					t.Fatalf("%s in %s: Due(%s, %s) = %s, %d; walking finds %d: %q", text, name, after, until, last, count, len(slots), shownAt(s, slots))
				}
				checkNeighbours(t, s, slots, random)
			}
		}
	}
}

// checkNeighbours checks that slots follow one another from any instant in between.
func checkNeighbours(t *testing.T, s *Schedule, slots []time.Time, random *rand.Rand) {
	t.Helper()
	for i := 1; i < len(slots); i++ {
		last, slot := slots[i-1], slots[i]
		between := last.Add(time.Duration(random.Int64N(int64(slot.Sub(last)))))
		if !slot.After(last) || !s.Next(between).Equal(slot) || !s.Next(slot.Add(-1)).Equal(slot) {
			t.Fatalf("%s in %s: Next(%s) = %s, want %s", s.Text(), s.Zone(), between, s.Next(between), slot)
		}
		if !s.Prev(slot).Equal(last) || !s.Prev(between.Add(1)).Equal(last) {
			t.Fatalf("%s in %s: Prev(%s) = %s, want %s", s.Text(), s.Zone(), between, s.Prev(between), last)
		}
	}
}

// Parts of a range add up to the whole, for ranges too long to walk.
func TestDueOfPartsAddsUp(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	from, to := time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, name := range sampled(40) {
		for _, text := range append(texts(), "every 1s", "cron * * * * * *") {
			s := mustParse(t, text, name)
			middle := time.Unix(from.Unix()+random.Int64N(to.Unix()-from.Unix()), random.Int64N(1e9))
			_, whole := s.Due(from, to)
			_, first := s.Due(from, middle)
			_, second := s.Due(middle, to)
			if first+second != whole {
				t.Errorf("%s in %s: %d slots until %s and %d after, but %d in all", text, name, first, middle, second, whole)
			}
		}
	}
}

// A gap of any length is counted, not walked: these ranges hold up to 3e11 slots.
func TestDueOfLongGaps(t *testing.T) {
	t.Parallel()
	begin, end := time.Time{}, time.Date(12_000, 1, 1, 0, 0, 0, 0, time.UTC)
	tests := []struct {
		text, zone   string
		after, until time.Time
		want         int64
	}{
		{"every 1s", "", at(t, "2025-01-01T00:00:00Z"), at(t, "2026-01-01T00:00:00Z"), 365 * 86400},
		{"cron * * * * * *", "", at(t, "2025-01-01T00:00:00Z"), at(t, "2026-01-01T00:00:00Z"), 365 * 86400},
		{"cron * * * * * *", "Australia/Lord_Howe", at(t, "2025-01-01T00:00:00Z"), at(t, "2026-01-01T00:00:00Z"), 365 * 86400},
		{"hourly :15", "America/New_York", at(t, "2025-01-01T00:00:00Z"), at(t, "2026-01-01T00:00:00Z"), 365 * 24},
		{"daily 02:30", "America/New_York", at(t, "2000-01-01T00:00:00Z"), at(t, "2400-01-01T00:00:00Z"), 146_097},
		{"cron * * * * * *", "America/New_York", begin, end, latest - earliest},
		{"every 1s", "", begin, end, latest},
		{"once 2027-01-01T00:00:00Z", "", begin, end, 1},
		{"daily 02:30", "", end, begin, 0},
	}
	for _, test := range tests {
		if _, count := mustParse(t, test.text, test.zone).Due(test.after, test.until); count != test.want {
			t.Errorf("%s in %s from %s to %s: %d slots, want %d", test.text, test.zone, test.after, test.until, count, test.want)
		}
	}
}

// Schedules end, and do so at the edges of the calendar, whatever instant is asked about.
func TestEdgesOfTheCalendar(t *testing.T) {
	t.Parallel()
	for _, zone := range []string{"", "Pacific/Kiritimati", "America/Los_Angeles"} {
		for _, text := range texts() {
			s := mustParse(t, text, zone)
			for _, end := range []time.Time{time.Unix(latest-1, 0), time.Date(12_000, 1, 1, 0, 0, 0, 0, time.UTC), time.Unix(1<<62, 0)} {
				if next := s.Next(end); !next.IsZero() {
					t.Errorf("%s in %s: Next(%s) = %s, want none", text, zone, end, next)
				}
				if last := s.Prev(end); last.IsZero() || !s.Next(last).IsZero() && s.Next(last).Before(end) {
					t.Errorf("%s in %s: Prev(%s) = %s", text, zone, end, last)
				}
			}
			for _, start := range []time.Time{{}, time.Date(-12_000, 1, 1, 0, 0, 0, 0, time.UTC), time.Unix(-1<<62, 0)} {
				if first := s.Next(start); first.IsZero() || !s.Prev(first).IsZero() {
					t.Errorf("%s in %s: Next(%s) = %s and before that %s", text, zone, start, first, s.Prev(first))
				}
			}
		}
	}
	once := mustParse(t, "once 2027-01-01T00:00:00Z", "")
	if got := once.List(at(t, "2026-01-01T00:00:00Z"), 5); len(got) != 1 {
		t.Errorf("once is listed as %v", got)
	}
	if got := once.List(at(t, "2026-01-01T00:00:00Z"), -1); len(got) != 0 {
		t.Errorf("a list of -1 has %v", got)
	}
	if got := mustParse(t, "every 1s", "").List(time.Time{}, 1<<40); len(got) != maxList {
		t.Errorf("a list has %d slots, want at most %d", len(got), maxList)
	}
}
