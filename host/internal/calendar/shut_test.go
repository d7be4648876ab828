package calendar_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/calendar"
)

// scheduleOf returns the calendar of a schedule that is named s.
func scheduleOf(t testing.TB, p flow.PlanSchedule) *calendar.Schedule {
	t.Helper()
	p.Name = "s"
	s, err := calendar.Freeze("default", &p)
	if err != nil {
		t.Fatalf("%+v: %v", p, err)
	}
	return s
}

func notOn(entries ...string) flow.SlotRules { return flow.SlotRules{NotOn: entries} }

func instantOf(t testing.TB, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestSlotsThatAreSkipped(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		at, zone string
		rules    flow.SlotRules
		after    string
		open     []string // the next slots that are not skipped
	}{
		"weekend":            {"daily 12:00", "UTC", notOn("sat", "sun"), "2026-01-01T13:00:00Z", []string{"2026-01-02T12:00:00Z", "2026-01-05T12:00:00Z"}},
		"range of weekdays":  {"daily 12:00", "UTC", notOn("fri-sun"), "2026-01-01T11:00:00Z", []string{"2026-01-01T12:00:00Z", "2026-01-05T12:00:00Z"}},
		"dates":              {"daily 12:00", "UTC", notOn("2026-12-25", "2026-12-26..2026-12-31"), "2026-12-23T13:00:00Z", []string{"2026-12-24T12:00:00Z", "2027-01-01T12:00:00Z"}},
		"the zone's days":    {"every 6h", "Asia/Tokyo", notOn("2026-12-25"), "2026-12-24T10:00:00Z", []string{"2026-12-24T12:00:00Z", "2026-12-25T18:00:00Z"}},
		"each year":          {"monthly 25 12:00", "UTC", notOn("2000-12-25 FREQ=YEARLY"), "2026-11-25T13:00:00Z", []string{"2027-01-25T12:00:00Z", "2027-02-25T12:00:00Z"}},
		"a part of a day":    {"hourly :00", "Europe/Berlin", notOn("2026-12-24T12:00..2026-12-24T22:00"), "2026-12-24T10:30:00Z", []string{"2026-12-24T21:00:00Z", "2026-12-24T22:00:00Z"}},
		"each week, UTC":     {"hourly :00", "Europe/Berlin", notOn("2026-01-05T08:00:00Z..2026-01-05T10:00:00Z FREQ=WEEKLY"), "2026-06-08T07:30:00Z", []string{"2026-06-08T10:00:00Z"}},
		"each week, local":   {"hourly :00", "UTC", notOn("2026-01-05T08:00..2026-01-05T10:00 Europe/Berlin FREQ=WEEKLY"), "2026-06-08T05:30:00Z", []string{"2026-06-08T08:00:00Z"}}, // summer time
		"over midnight":      {"every 6h", "UTC", notOn("2026-01-01T18:00..2026-01-02T06:00 FREQ=DAILY"), "2026-03-01T05:00:00Z", []string{"2026-03-01T06:00:00Z", "2026-03-01T12:00:00Z", "2026-03-02T06:00:00Z"}},
		"but for some":       {"daily 12:00", "UTC", notOn("2026-01-05 FREQ=WEEKLY EXCEPT=2026-01-12"), "2026-01-04T13:00:00Z", []string{"2026-01-06T12:00:00Z", "2026-01-07T12:00:00Z", "2026-01-08T12:00:00Z", "2026-01-09T12:00:00Z", "2026-01-10T12:00:00Z", "2026-01-11T12:00:00Z", "2026-01-12T12:00:00Z"}},
		"days of an event":   {"daily 12:00", "UTC", notOn("2026-12-24..2026-12-26 FREQ=YEARLY"), "2030-12-23T13:00:00Z", []string{"2030-12-27T12:00:00Z"}},
		"the fold of Havana": {"every 30m", "America/Havana", notOn("sun"), "2026-11-02T03:30:00Z", []string{"2026-11-02T05:00:00Z"}}, // Sunday 23:00 comes, then Monday
	} {
		s := scheduleOf(t, flow.PlanSchedule{At: c.at, Timezone: c.zone, SlotRules: c.rules})
		var got []string
		for at := instantOf(t, c.after); len(got) < len(c.open); {
			at = s.NextOpen(at)
			got = append(got, at.Format(time.RFC3339))
		}
		if !slices.Equal(got, c.open) {
			t.Errorf("%s: got %v, want %v", name, got, c.open)
		}
		if fires := s.Fires(instantOf(t, c.after), len(c.open)); fires[len(fires)-1].Format(time.RFC3339) != c.open[len(c.open)-1] {
			t.Errorf("%s: fires %v", name, fires)
		}
	}
}

// Whether a day is skipped is asked of package time, slot by slot, for random lists over clock changes of many zones.
func TestStretchesHoldEverySlot(t *testing.T) {
	t.Parallel()
	zones := []string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Havana", "Pacific/Apia", "Asia/Kolkata", "Africa/Casablanca"}
	texts := []string{"every 7h", "every 25m", "daily 02:30", "hourly :15", "cron */20 * * * *", "weekly mon,sat 23:30", "monthly 1,15 00:00"}
	names := []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}
	checked := 0
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 3))
		zone, err := time.LoadLocation(zones[r.IntN(len(zones))])
		if err != nil {
			t.Fatal(err)
		}
		from := time.Date(2009+r.IntN(8), time.Month(1+r.IntN(12)), 1+r.IntN(28), r.IntN(24), 0, 0, 0, time.UTC)
		until := from.AddDate(0, 0, 1+r.IntN(60))
		closed := map[string]bool{}
		var entries []string
		for range 1 + r.IntN(4) {
			day := from.AddDate(0, 0, r.IntN(60)).Format(time.DateOnly)
			if r.IntN(3) == 0 {
				day = names[r.IntN(7)]
			}
			entries, closed[day] = append(entries, day), true
		}
		s := scheduleOf(t, flow.PlanSchedule{At: texts[r.IntN(len(texts))], Timezone: zone.String(), SlotRules: notOn(entries...)})
		var want []calendar.Stretch
		for _, slot := range s.List(from, 10_000) {
			if slot.After(until) {
				break
			}
			local := slot.In(zone)
			shut := closed[local.Format(time.DateOnly)] || closed[names[local.Weekday()]]
			if entry, got := s.Shut(slot); got != shut || got != (entry != "") {
				t.Errorf("seed %d: %s of %v: skipped %v by %q, want %v", seed, local, entries, got, entry, shut)
			}
			if n := len(want); n > 0 && want[n-1].Shut == shut {
				want[n-1].To, want[n-1].Count = slot, want[n-1].Count+1
			} else {
				want = append(want, calendar.Stretch{From: slot, To: slot, Count: 1, Shut: shut})
			}
			checked++
		}
		got := s.Stretches(from, until)
		if !slices.Equal(got, want) {
			t.Errorf("seed %d, %s %s %v:\ngot  %v\nwant %v", seed, s.Text(), s.Zone(), entries, got, want)
		}
		last, count := s.Owed(from, until)
		for _, w := range slices.DeleteFunc(want, func(w calendar.Stretch) bool { return w.Shut }) {
			count -= w.Count
			if w.To.Equal(last) {
				last = time.Time{}
			}
		}
		if count != 0 || !last.IsZero() {
			t.Errorf("seed %d: owed is off by %d, last %s", seed, count, last)
		}
	}
	if checked < 50_000 {
		t.Errorf("only %d slots were checked", checked)
	}
}

// The days of 255 random rules over twelve years are those that another implementation (rrule-go 1.8.2) finds.
func TestRulesAreThoseOfOthers(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("testdata/rules.txt")
	if err != nil {
		t.Fatal(err)
	}
	rules := 0
	for l := range strings.Lines(string(raw)) {
		var start, rule, digest string
		var count int
		if _, err := fmt.Sscan(l, &start, &rule, &count, &digest); err != nil {
			t.Fatal(err)
		}
		rules++
		first, err := time.Parse("20060102", start)
		if err != nil {
			t.Fatal(err)
		}
		s, err := calendar.Of("default", &flow.PlanSchedule{At: "every 1d", SlotRules: notOn(first.Format(time.DateOnly) + " " + rule)})
		if err != nil {
			t.Fatal(err)
		}
		var days []string
		for _, r := range s.Stretches(first.Add(-time.Second), first.AddDate(0, 0, 366*12-1)) {
			for day := r.From; r.Shut && !day.After(r.To); day = day.AddDate(0, 0, 1) {
				days = append(days, day.Format("20060102"))
			}
		}
		sum := sha256.Sum256([]byte(strings.Join(days, " ")))
		if len(days) != count || hex.EncodeToString(sum[:])[:12] != digest {
			t.Errorf("%s %s: %d days, want %d", start, rule, len(days), count)
		}
	}
	if rules < 250 {
		t.Errorf("%d rules", rules)
	}
}

// What is not understood is refused, with what is.
func TestEntriesThatAreRefused(t *testing.T) {
	t.Parallel()
	for entry, want := range map[string][2]string{
		"":                             {"is empty", "a weekday (sat)"},
		"satt":                         {`"satt" is neither`, `did you mean "sat"?`},
		"Saturdays":                    {`"Saturdays" is neither`, `did you mean "sat"?`},
		"25.12.2026":                   {"is neither a weekday nor a date", `did you mean "2026-12-25"?`},
		"2026-12-24 to 2026-12-26":     {`"to" cannot follow`, `did you mean "2026-12-24..2026-12-26"?`},
		"2026-13-01":                   {"is neither", "a date (2026-12-25)"},
		"2026-12-26..2026-12-24":       {"ends before it begins", ""},
		"2026-12-24T12:00":             {"is one moment", ""},
		"2026-12-24..2026-12-24T12:00": {"in different forms", ""},
		"2026-12-24T12:00..2026-12-24T13:00 Europe/Berln": {"unknown zone", ""},
		"1066-10-14":                                    {"the year is 1066", ""},
		"2026-12-25 FREQ=HOURLY":                        {"FREQ=HOURLY is not understood", ""},
		"2026-12-25 FREQ=YEARLY;BYSETPOS=1":             {"BYSETPOS is not understood", ""},
		"2026-12-25 FREQ=WEEKLY;BYDAY=2MO":              {"BYDAY with a number", ""},
		"2026-12-25 FREQ=YEARLY;COUNT=2;UNTIL=20300101": {"COUNT and UNTIL", ""},
		"2026-12-25 FREQ=YEARLY;COUNT=0":                {"COUNT=0 is out of range", ""},
		"2026-12-25 EXCEPT=2026-12-25":                  {"cannot follow", ""},
	} {
		p := flow.PlanSchedule{Name: "s", At: "daily 12:00", Timezone: "UTC", SlotRules: notOn("sun", entry)}
		_, err := calendar.Freeze("default", &p)
		bad, ok := errors.AsType[*calendar.Error](err)
		if !ok || bad.Code != flow.CodeNotOn || bad.Item != 1 || !strings.Contains(bad.Message, want[0]) || !strings.Contains(bad.Hint, want[1]) {
			t.Errorf("%q: %+v", entry, err)
		}
	}
}

func TestBoundsAndJitter(t *testing.T) {
	t.Parallel()
	p := flow.PlanSchedule{Name: "s", At: "daily 12:00", Timezone: "Europe/Berlin", From: "2026-03-01", To: "2026-03-29"}
	s, err := calendar.Freeze("default", &p)
	if err != nil || p.From != "2026-02-28T23:00:00Z" || p.To != "2026-03-29T21:59:59Z" { // the clock is set forward that day
		t.Fatalf("%+v, %v", p, err)
	}
	slots := s.List(instantOf(t, "2026-01-01T00:00:00Z"), 100)
	if len(slots) != 29 || !s.Next(slots[28]).IsZero() || !s.Prev(slots[0]).IsZero() || s.Gap() != 24*time.Hour {
		t.Errorf("%d slots, the last at %s", len(slots), slots[len(slots)-1])
	}
	again := p
	if _, err := calendar.Freeze("default", &again); err != nil || again.From != p.From || again.To != p.To {
		t.Errorf("frozen again: %+v, %v", again, err)
	}
	p = flow.PlanSchedule{Name: "s", At: "every 90m", Timezone: "UTC", From: "2026-01-01T00:10:00Z"}
	if s, err := calendar.Freeze("default", &p); err != nil || p.From != "" || s.Text() != "every 90m from 2026-01-01T00:10:00Z" {
		t.Errorf("an interval from an instant: %+v, %v", p, err)
	}
	for jitter, most := range map[time.Duration]time.Duration{0: 0, time.Millisecond: 0, time.Minute: time.Minute, 12 * time.Hour: 12 * time.Hour} {
		seen := map[time.Duration]bool{}
		for i := range 200 {
			d := calendar.Delay("default", fmt.Sprint("s", i), jitter)
			if d < 0 || d >= max(most, 1) || d%time.Millisecond != 0 || d != calendar.Delay("default", fmt.Sprint("s", i), jitter) {
				t.Errorf("jitter %s: delay %s", jitter, d)
			}
			seen[d] = true
		}
		if jitter > time.Second && len(seen) < 190 {
			t.Errorf("jitter %s: only %d delays", jitter, len(seen))
		}
	}
	if got := calendar.Delay("default", "weather", 5*time.Minute); got != 249734*time.Millisecond { // on every machine, in every version
		t.Errorf("delay %s", got)
	}
	s = scheduleOf(t, flow.PlanSchedule{At: "daily 12:00", Timezone: "UTC", SlotRules: flow.SlotRules{NotOn: []string{"sun"}, Jitter: flow.Duration(time.Hour)}})
	noon := instantOf(t, "2026-01-03T12:00:00Z") // a Saturday
	p = flow.PlanSchedule{Name: "s", At: "daily 12:00", Timezone: "UTC", SlotRules: flow.SlotRules{NotOn: []string{"sun"}, Jitter: flow.Duration(time.Hour)}}
	other := p
	other.NotOn = []string{"mon"}
	if !s.Is("default", &p) || s.Is("acme", &p) || s.Is("default", &other) || !s.NextDue(noon).Equal(noon.Add(24*time.Hour+s.Delay())) {
		t.Errorf("it is not itself, or due at %s", s.NextDue(noon))
	}
	if got := s.Fires(noon, 2); !got[0].Equal(noon.Add(s.Delay())) || !got[1].Equal(noon.Add(48*time.Hour+s.Delay())) || s.Delay() == 0 {
		t.Errorf("fires %v", got)
	}
}

func TestSchedulesThatAreRefused(t *testing.T) {
	t.Parallel()
	hour := flow.Duration(time.Hour)
	for name, c := range map[string]struct {
		p             flow.PlanSchedule
		code          flow.Code
		key, says, do string
	}{
		"a date that is none":    {flow.PlanSchedule{At: "cron 0 0 30 2 *"}, flow.CodeScheduleNever, "", "no date matches", "monthly last"},
		"every weekday":          {flow.PlanSchedule{At: "daily 12:00", SlotRules: notOn("mon-fri", "sat", "sun")}, flow.CodeScheduleNever, "not_on", "all its slots fall on times of not_on, the first one on mon-fri", "remove mon-fri"},
		"each of its dates":      {flow.PlanSchedule{At: "cron 0 0 25 12 *", SlotRules: notOn("1970-12-25 FREQ=YEARLY")}, flow.CodeScheduleNever, "not_on", "1970-12-25", ""},
		"its only day":           {flow.PlanSchedule{At: "once 2027-01-01T00:00:00Z", SlotRules: notOn("2027-01-01")}, flow.CodeScheduleNever, "not_on", "2027-01-01", "remove"},
		"from after to":          {flow.PlanSchedule{At: "daily 12:00", From: "2027-02-01", To: "2027-01-01"}, flow.CodeScheduleBounds, "from", "is after to", `from = "2027-01-01" and to = "2027-02-01"`},
		"nothing between":        {flow.PlanSchedule{At: "weekly mon 12:00", From: "2026-01-06", To: "2026-01-10"}, flow.CodeScheduleNever, "to", "no slot between", "2026-01-12T12:00:00Z"},
		"from beside from":       {flow.PlanSchedule{At: "every 1h from 2026-01-01T00:00:00Z", From: "2026-01-02"}, flow.CodeScheduleBounds, "from", "already", "in one place"},
		"from is no instant":     {flow.PlanSchedule{At: "daily 12:00", From: "2026-01-02 10:00"}, flow.CodeScheduleBounds, "from", "neither an instant nor a date", "2026-01-02T10:00:00Z"},
		"jitter of an interval":  {flow.PlanSchedule{At: "every 5m", SlotRules: flow.SlotRules{Jitter: hour}}, flow.CodeJitter, "jitter", "5m apart", `jitter = "4m59s"`},
		"jitter of minutes":      {flow.PlanSchedule{At: "cron 0,1 2 * * *", SlotRules: flow.SlotRules{Jitter: hour}}, flow.CodeJitter, "jitter", "1m apart", `jitter = "59s"`},
		"jitter of seconds":      {flow.PlanSchedule{At: "every 1s", SlotRules: flow.SlotRules{Jitter: hour}}, flow.CodeJitter, "jitter", "1s apart", `jitter = "999ms"`},
		"jitter over midnight":   {flow.PlanSchedule{At: "cron 59 23 * * *", SlotRules: flow.SlotRules{Jitter: 25 * hour}}, flow.CodeJitter, "jitter", "24h apart", `jitter = "23h59m59s"`},
		"jitter of several days": {flow.PlanSchedule{At: "weekly mon 12:00", SlotRules: flow.SlotRules{Jitter: 25 * hour}}, flow.CodeJitter, "jitter", "168h apart", `jitter = "24h"`},
		"an unknown zone":        {flow.PlanSchedule{At: "daily 12:00", Timezone: "Europe/Berln"}, flow.CodeScheduleZone, "", "unknown zone", "Europe/Berlin"},
	} {
		c.p.Name = "s"
		_, err := calendar.Freeze("default", &c.p)
		bad, ok := errors.AsType[*calendar.Error](err)
		if !ok || bad.Code != c.code || bad.Key != c.key || !strings.Contains(bad.Message, c.says) || !strings.Contains(bad.Hint, c.do) {
			t.Errorf("%s: %+v", name, bad)
		}
	}
	for _, c := range []struct {
		at    string
		least time.Duration
		near  string
	}{
		{"every 30s", time.Minute, "every 1m"},
		{"cron 0,1 2 * * *", 90 * time.Second, "every 90s"},
		{"daily 12:00", 25 * time.Hour, "every 25h"},
		{"weekly mon,tue 12:00", 25 * time.Hour, "every 25h"},
	} {
		if bad := scheduleOf(t, flow.PlanSchedule{At: c.at}).Often(c.least); bad == nil || bad.Code != flow.CodeScheduleOften || !strings.Contains(bad.Hint, c.near) {
			t.Errorf("%s beside %s: %+v", c.at, c.least, bad)
		}
	}
	for at, least := range map[string]time.Duration{"every 1s": time.Second, "every 1m": time.Minute, "weekly mon,wed 12:00": 48 * time.Hour, "once 2027-01-01T00:00:00Z": time.Hour, "monthly last 12:00": 28 * 24 * time.Hour} {
		if bad := scheduleOf(t, flow.PlanSchedule{At: at}).Often(least); bad != nil {
			t.Errorf("%s beside %s: %v", at, least, bad)
		}
	}
}

// A clock change on a day that is left out is told with that.
func TestClockChangesOfSlotsThatAreSkipped(t *testing.T) {
	t.Parallel()
	s := scheduleOf(t, flow.PlanSchedule{At: "daily 02:30", Timezone: "Europe/Berlin", SlotRules: notOn("sun"), To: "2026-06-01"})
	changes := s.Changes("s", instantOf(t, "2026-01-01T00:00:00Z"), 5)
	if len(changes) != 1 || !strings.HasSuffix(changes[0].Text, "02:30:00 does not exist and runs at 03:00:00 CEST; that slot is skipped: not_on has sun") {
		t.Errorf("got %+v", changes)
	}
}

// BenchmarkStretches looks at a year of a schedule of seconds without weekends and 400 holidays.
func BenchmarkStretches(b *testing.B) {
	entries := []string{"sat", "sun"}
	for i := range 400 {
		entries = append(entries, time.Date(2026, 1, 1+9*i, 0, 0, 0, 0, time.UTC).Format(time.DateOnly))
	}
	for i := range 10 {
		entries = append(entries, fmt.Sprintf("2000-%02d-20 FREQ=YEARLY", i+1))
	}
	s := scheduleOf(b, flow.PlanSchedule{At: "every 1s", Timezone: "Europe/Berlin", SlotRules: notOn(entries...)})
	from := instantOf(b, "2027-01-01T00:00:00Z")
	for b.Loop() {
		if got := s.Stretches(from, from.AddDate(1, 0, 0)); len(got) < 100 {
			b.Fatal(len(got))
		}
	}
}
