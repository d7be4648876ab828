package calendar

import (
	"os"
	"strings"
	"testing"
	"time"
)

// all asks for the properties over every zone and year; otherwise a fixed sample is taken. `make test-all` sets it.
func all() bool { return os.Getenv("UNIFLOW_TEST_ALL") == "1" }

func zoneTable() []string { return strings.Fields(zoneNames) }

// peculiar are zones whose clock changes are unlike the common ones.
func peculiar() []string {
	return []string{
		"UTC", "America/New_York", "Europe/Berlin", "Europe/Dublin", "America/Santiago", "Atlantic/Azores", "America/Havana",
		"Asia/Beirut", "Africa/Cairo", "Africa/Casablanca", "Africa/El_Aaiun", "Asia/Gaza", "America/Nuuk", "America/Scoresbysund", "Antarctica/Troll",
		"Antarctica/Casey", "Antarctica/Vostok", "Australia/Lord_Howe", "Pacific/Chatham", "Asia/Kathmandu", "Asia/Tehran", "Asia/Pyongyang",
		"America/Caracas", "Pacific/Apia", "Pacific/Kiritimati", "Pacific/Norfolk", "America/Asuncion", "Asia/Amman", "Europe/Volgograd",
	}
}

// sampled returns the zones of a run: all, or the peculiar ones and every n-th.
func sampled(n int) []string {
	if all() {
		return zoneTable()
	}
	names := peculiar()
	for i := 0; i < len(zoneTable()); i += n {
		names = append(names, zoneTable()[i])
	}
	return names
}

// oracle finds the slots in [from, to) the slow way: it looks at the zone's clock every minute and applies the rule of
// the package comment to what it sees. It knows patterns of whole minutes, and clock changes at whole minutes.
type oracle struct {
	zone   *time.Location
	rhythm rhythm
	// matches tells of a reading whether it is written; readings are UTC times of what the clock shows.
	matches func(reading time.Time) bool
}

// rhythm says within what a written time runs once.
type rhythm int

const (
	perDay  rhythm = iota // a fixed hour
	perHour               // any hour, minutes that a part of an hour disturbs
	always                // any hour, minutes that look the same after every change
)

func (o oracle) reading(t time.Time) time.Time {
	_, offset := t.In(o.zone).Zone()
	return t.UTC().Add(time.Duration(offset) * time.Second)
}

func (o oracle) slots(from, to time.Time) []time.Time {
	var slots []time.Time
	// It looks back over a day, so that a fold at the start is recognised.
	start := from.Add(-26 * time.Hour)
	before := o.reading(start).Add(-time.Minute)
	furthest := before
	for t := start; t.Before(to); t = t.Add(time.Minute) {
		now := o.reading(t)
		jump := now.Sub(before) - time.Minute
		if o.rhythm == always || o.rhythm == perHour && jump%time.Hour == 0 {
			furthest = furthest.Add(jump)
		}
		if o.rhythm == always {
			furthest = now.Add(-time.Minute)
		}
		if o.reached(furthest, now) && !t.Before(from) {
			slots = append(slots, t)
		}
		if now.After(furthest) {
			furthest = now
		}
		before = now
	}
	return slots
}

// reached reports whether a written reading lies in (furthest, now], on a day of which the clock shows some part.
func (o oracle) reached(furthest, now time.Time) bool {
	for r := furthest.Add(time.Minute); !r.After(now); r = r.Add(time.Minute) {
		day := r.Truncate(24 * time.Hour)
		shown := !furthest.Before(day) || now.Before(day.Add(24*time.Hour))
		if shown && o.matches(r) {
			return true
		}
	}
	return false
}

func TestEveryZoneOfTheTableLoads(t *testing.T) {
	t.Parallel()
	if len(zoneTable()) < 590 {
		t.Fatalf("the table has %d zones, want the whole tz database", len(zoneTable()))
	}
	for _, name := range zoneTable() {
		if _, err := Parse("daily 02:30", name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPeriodsTileTheTime(t *testing.T) {
	t.Parallel()
	for _, name := range sampled(10) {
		zone, fault := loadZone(name)
		if fault != nil {
			t.Fatal(fault)
		}
		last := period(zone, earliest)
		for last.end < latest && last.end < at(t, "2080-01-01T00:00:00Z").Unix() {
			p := period(zone, last.end)
			if p.end <= last.end || p.start != last.end && (p.start > last.end || p.offset != last.offset) {
				t.Fatalf("%s: period [%d, %d) follows [%d, %d)", name, p.start, p.end, last.start, last.end)
			}
			for _, sec := range []int64{p.start, (p.start + p.end) / 2, p.end - 1} {
				if _, offset := time.Unix(sec, 0).In(zone).Zone(); int64(offset) != p.offset {
					t.Fatalf("%s: offset at %d is %d, its period says %d", name, sec, offset, p.offset)
				}
			}
			last = p
		}
	}
}
