package calendar

import (
	"archive/zip"
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// all asks for the properties over every zone and year; otherwise a fixed sample is taken. `make test-all` sets it.
func all() bool { return os.Getenv("UNIFLOW_TEST_ALL") == "1" }

func zoneTable() []string { return strings.Fields(zoneNames) }

// everyZone returns all zones but those whose clocks show, from 2010 to 2040, what those of another one before them
// do: slots depend on that alone.
var everyZone = sync.OnceValue(func() []string {
	var names []string
	known := map[string]bool{}
	begin, end := time.Date(2010, 1, 1, 0, 0, 0, 0, time.UTC).Unix(), time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	for _, name := range append(peculiar(), zoneTable()...) {
		zone, fault := loadZone(name)
		if fault != nil {
			continue // TestEveryZoneOfTheTableLoads tells
		}
		var clocks strings.Builder
		for sec := begin; sec < end; {
			p := period(zone, sec)
			fmt.Fprint(&clocks, sec, p.offset, " ")
			sec = p.end
		}
		clock := clocks.String()
		if !known[clock] {
			known[clock] = true
			names = append(names, name)
		}
	}
	return names
})

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
		return everyZone()
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

// The table is the database of the Go release. After an upgrade that brings new zones, add their names to zones.txt.
func TestTableHoldsTheEmbeddedDatabase(t *testing.T) {
	t.Parallel()
	release, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT").Output() // a test that was built with -trimpath does not know
	if err != nil {
		t.Fatal(err)
	}
	database, err := zip.OpenReader(filepath.Join(strings.TrimSpace(string(release)), "lib", "time", "zoneinfo.zip"))
	if err != nil {
		t.Fatalf("the Go release has no tz database: %v", err)
	}
	defer database.Close()
	var names []string
	for _, file := range database.File {
		if !strings.HasSuffix(file.Name, "/") && file.Name != "Factory" { // Factory stands for "not set"
			names = append(names, file.Name)
		}
	}
	slices.Sort(names)
	if !slices.Equal(names, zoneTable()) {
		t.Errorf("zones.txt has %d names, the database %d; they must be the same", len(zoneTable()), len(names))
	}
}

// crafted returns a zone of offsets from given instants on, in seconds; the first one holds before them too.
func crafted(t *testing.T, offsets map[int64]int32) *time.Location {
	t.Helper()
	instants := slices.Sorted(maps.Keys(offsets))
	n := uint32(len(instants))
	data := append([]byte("TZif"), make([]byte, 16)...)
	for _, count := range []uint32{0, 0, 0, n, n, 4} {
		data = binary.BigEndian.AppendUint32(data, count)
	}
	for _, instant := range instants {
		data = binary.BigEndian.AppendUint32(data, uint32(instant))
	}
	for i := range instants {
		data = append(data, byte(i))
	}
	for _, instant := range instants {
		data = binary.BigEndian.AppendUint32(data, uint32(offsets[instant]))
		data = append(data, 0, 0)
	}
	zone, err := time.LoadLocationFromTZData("Crafted", append(data, "ZZZ\x00"...))
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

// Clock changes that follow one another within a day, which no zone has had yet, keep to the rule.
func TestCloseClockChanges(t *testing.T) {
	t.Parallel()
	day := at(t, "2026-06-10T12:00:00Z")
	after := func(d time.Duration) int64 { return day.Add(d).Unix() }
	zones := map[string]map[int64]int32{
		"back twice":          {0: 7200, after(0): 3600, after(30 * time.Minute): 0},
		"back, then forward":  {0: 3600, after(0): 0, after(30 * time.Minute): 3600},
		"forward, then back":  {0: 0, after(0): 7200, after(3 * time.Hour): 0},
		"back, then no shift": {0: 3600, after(0): 0, after(10 * time.Minute): 0},
		"forward twice":       {0: 0, after(0): 3600, after(30 * time.Minute): 7200},
	}
	for name, offsets := range zones {
		zone := crafted(t, offsets)
		matches := func(r time.Time) bool { return r.Minute()%15 == 0 && r.Hour() > 0 }
		s := mustParse(t, "cron */15 1-23 * * *", "")
		s.zone, s.rule = zone, &wall{s.rule.(*wall).pattern, zone}
		from, to := day.Add(-24*time.Hour), day.Add(24*time.Hour)
		got, want := slotsIn(s, from, to), oracle{zone, perDay, matches}.slots(from, to)
		if !slices.EqualFunc(got, want, time.Time.Equal) {
			t.Errorf("%s:\n got %q\nwant %q", name, shownAt(s, got), shownAt(s, want))
		}
		last, count := s.Due(from.Add(-1), to.Add(-1))
		if count != int64(len(want)) || !last.Equal(want[len(want)-1]) {
			t.Errorf("%s: Due gives %s and %d, want %s and %d", name, last, count, want[len(want)-1], len(want))
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
