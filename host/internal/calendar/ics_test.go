package calendar_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/calendar"
)

// ics makes a calendar of events.
func ics(events ...string) string {
	lines := []string{"BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Example//Holidays//EN", "X-WR-CALNAME:Holidays"}
	for _, e := range events {
		lines = append(lines, "BEGIN:VEVENT", "UID:1@example.com", "DTSTAMP:20260101T000000Z", e, "END:VEVENT")
	}
	return strings.Join(append(lines, "END:VCALENDAR", ""), "\n")
}

// What calendars of holidays say, in the ways in which the usual programs write it.
func TestCalendarFiles(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"one day":           {ics("DTSTART;VALUE=DATE:20261225\nDTEND;VALUE=DATE:20261226\nSUMMARY:Christmas Day\nTRANSP:TRANSPARENT"), []string{"2026-12-25 # Christmas Day"}},
		"without an end":    {ics("DTSTART;VALUE=DATE:20261225"), []string{"2026-12-25"}},
		"end is start":      {ics("DTSTART;VALUE=DATE:20261225\nDTEND;VALUE=DATE:20261225"), []string{"2026-12-25"}},
		"several days":      {ics("DTSTART;VALUE=DATE:20261224\nDTEND;VALUE=DATE:20261227"), []string{"2026-12-24..2026-12-26"}},
		"a length":          {ics("DTSTART;VALUE=DATE:20261224\nDURATION:P3D"), []string{"2026-12-24..2026-12-26"}},
		"weeks":             {ics("DTSTART;VALUE=DATE:20260701\nDURATION:P2W"), []string{"2026-07-01..2026-07-14"}},
		"each year":         {ics("DTSTART;VALUE=DATE:19701225\nRRULE:FREQ=YEARLY"), []string{"1970-12-25 FREQ=YEARLY"}},
		"the rule's order":  {ics("DTSTART;VALUE=DATE:20261126\nRRULE:BYDAY=4TH;FREQ=YEARLY;BYMONTH=11\nSUMMARY:Thanksgiving"), []string{"2026-11-26 FREQ=YEARLY;BYDAY=4TH;BYMONTH=11 # Thanksgiving"}},
		"but for one":       {ics("DTSTART;VALUE=DATE:20260105\nRRULE:FREQ=WEEKLY;UNTIL=20260301T225959Z\nEXDATE;VALUE=DATE:20260112,20260119\nEXDATE;VALUE=DATE:20260202"), []string{"2026-01-05 FREQ=WEEKLY;UNTIL=20260301T225959Z EXCEPT=2026-01-12,2026-01-19,2026-02-02"}},
		"UTC":               {ics("DTSTART:20261224T120000Z\nDTEND:20261224T180000Z"), []string{"2026-12-24T12:00:00Z..2026-12-24T18:00:00Z"}},
		"a zone":            {ics("DTSTART;TZID=Europe/Berlin:20261224T120000\nDTEND;TZID=\"Europe/Berlin\":20261224T180000"), []string{"2026-12-24T12:00:00..2026-12-24T18:00:00 Europe/Berlin"}},
		"two zones":         {ics("DTSTART;TZID=Europe/Berlin:20261224T120000\nDTEND;TZID=America/New_York:20261224T120000"), []string{"2026-12-24T12:00:00..2026-12-24T18:00:00 Europe/Berlin"}},
		"no zone":           {ics("DTSTART:20261224T120000\nDURATION:PT6H30M"), []string{"2026-12-24T12:00:00..2026-12-24T18:30:00"}},
		"cancelled":         {ics("DTSTART;VALUE=DATE:20261225\nSTATUS:CANCELLED", "DTSTART;VALUE=DATE:20261226"), []string{"2026-12-26"}},
		"excepted itself":   {ics("DTSTART;VALUE=DATE:20261225\nEXDATE;VALUE=DATE:20261225", "DTSTART;VALUE=DATE:20261226"), []string{"2026-12-26"}},
		"an alarm":          {ics("DTSTART;VALUE=DATE:20261225\nBEGIN:VALARM\nTRIGGER:-PT15M\nX-Y:1\nEND:VALARM"), []string{"2026-12-25"}},
		"twice":             {ics("DTSTART;VALUE=DATE:20261225", "DTSTART;VALUE=DATE:20261225"), []string{"2026-12-25"}},
		"folds and escapes": {strings.ReplaceAll(ics("DTSTART;VALUE=DA\n TE:20261225\nSUMMARY:Saints Peter\\, Paul\n\t and # others\\nof a long list of names that nobody will read to its end"), "\n", "\r\n"), []string{"2026-12-25 # Saints Peter, Paul and others of a long list of names that …"}},
		"zones and a mark":  {"\xef\xbb\xbf" + strings.Replace(ics("DTSTART;VALUE=DATE:20261225"), "BEGIN:VEVENT", "BEGIN:VTIMEZONE\nTZID:Europe/Berlin\nBEGIN:STANDARD\nDTSTART:19701025T030000\nRRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=10;BYSETPOS=1\nEND:STANDARD\nEND:VTIMEZONE\nBEGIN:VEVENT", 1), []string{"2026-12-25"}},
		"two calendars":     {ics("DTSTART;VALUE=DATE:20261226") + ics("DTSTART;VALUE=DATE:20261225"), []string{"2026-12-25", "2026-12-26"}},
	} {
		got, err := calendar.ReadFile("holidays.ics", []byte(c.text))
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, %v, want %q", name, got, err, c.want)
		}
		p := flow.PlanSchedule{Name: "s", At: "daily 12:00", SlotRules: flow.SlotRules{NotOn: got}}
		if _, err := calendar.Freeze("default", &p); err != nil || !slices.Equal(p.NotOn, got) {
			t.Errorf("%s: frozen as %q, %v", name, p.NotOn, err)
		}
	}
}

// What could make an event mean another time is refused by its name and line.
func TestCalendarFilesThatAreRefused(t *testing.T) {
	t.Parallel()
	day := "DTSTART;VALUE=DATE:20261225\n"
	for name, c := range map[string]struct{ text, want string }{
		"more dates":       {ics(day + "RDATE;VALUE=DATE:20261226"), `h.ics:9: the property "RDATE" of an event is not understood`},
		"an exception":     {ics(day + "RECURRENCE-ID;VALUE=DATE:20261225"), `h.ics:9: the property "RECURRENCE-ID"`},
		"an unknown one":   {ics(day + "AVAILABILITY:BUSY"), `h.ics:9: the property "AVAILABILITY"`},
		"positions":        {ics(day + "RRULE:FREQ=YEARLY;BYSETPOS=1;BYDAY=MO"), "h.ics:9: BYSETPOS is not understood in a rule"},
		"hours":            {ics(day + "RRULE:FREQ=HOURLY"), "h.ics:9: FREQ=HOURLY is not understood"},
		"no frequency":     {ics(day + "RRULE:COUNT=2"), "h.ics:9: RRULE:COUNT=2 is no rule"},
		"a mark in a rule": {ics(day + "RRULE:FREQ=YEARLY#;BYSETPOS=1"), "h.ics:9: RRULE:"},
		"a task":           {strings.NewReplacer("VEVENT", "VTODO").Replace(ics(day)), `h.ics:5: the component "VTODO" is not understood`},
		"no start":         {ics("SUMMARY:x"), "h.ics:5: the event has no DTSTART"},
		"two starts":       {ics(day + day), "h.ics:9: DTSTART stands twice"},
		"backward":         {ics(day + "DTEND;VALUE=DATE:20261224"), "h.ics:9: DTEND is not after DTSTART"},
		"no length":        {ics("DTSTART:20261225T120000Z"), "h.ics:8: the event lasts no time"},
		"two ends":         {ics(day + "DTEND;VALUE=DATE:20261226\nDURATION:P1D"), "h.ics:10: DURATION and DTEND"},
		"mixed forms":      {ics(day + "DTEND:20261226T120000Z"), "h.ics:9: DTEND is written in another form"},
		"half a day":       {ics(day + "DURATION:PT12H"), "h.ics:9: DURATION:PT12H"},
		"a zone of theirs": {ics("DTSTART;TZID=W. Europe Standard Time:20261225T120000\nDURATION:PT1H"), "h.ics:8: TZID=W. Europe Standard Time is no zone"},
		"no date":          {ics("DTSTART;VALUE=DATE:20261325"), "h.ics:8: DTSTART:20261325 is neither a date nor a time"},
		"a date as time":   {ics("DTSTART;VALUE=DATE:20261225T120000"), "h.ics:8: DTSTART"},
		"another calendar": {strings.Replace(ics(day), "VERSION:2.0", "VERSION:2.0\nCALSCALE:HEBREW", 1), "h.ics:3: CALSCALE:HEBREW"},
		"an old form":      {strings.Replace(ics(day), "VERSION:2.0", "VERSION:1.0", 1), "h.ics:2: VERSION:1.0"},
		"cut off":          {strings.TrimSuffix(ics(day), "END:VCALENDAR\n"), "h.ics: ends within VCALENDAR"},
		"crossed":          {strings.Replace(ics(day), "END:VEVENT", "END:VCALENDAR", 1), "h.ics:10: END:VCALENDAR ends nothing"},
		"a web page":       {"<!DOCTYPE html>\n<html>\n", `h.ics:1: "<!DOCTYPE html>" is no line of a calendar`},
		"empty":            {"", "h.ics: is no calendar"},
		"without events":   {ics(), "h.ics: has no events"},
		"no UTF-8":         {ics(day + "SUMMARY:\xff"), "h.ics: is no UTF-8"},
		"too large":        {strings.Repeat(" ", calendar.MaxFile+1), "h.ics: has more than 512KiB"},
		"too many":         {ics(slices.Repeat([]string{day}, 2001)...), "there are more than 2000 events"},
		"a slow count":     {ics(slices.Repeat([]string{"DTSTART;VALUE=DATE:20000229\nRRULE:FREQ=YEARLY;INTERVAL=1000;BYMONTH=2;COUNT=10000"}, 100)...), "are too many to be counted"},
	} {
		began := time.Now()
		_, err := calendar.ReadFile("h.ics", []byte(c.text))
		bad, ok := errors.AsType[*calendar.Error](err)
		if !ok || bad.Code != flow.CodeNotOn || !strings.Contains(bad.Message, c.want) || bad.Hint == "" {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%s: took %s", name, took)
		}
	}
}

// Whatever stands in a file: what is read from it is canonical, and a schedule can be made of it in bounded time.
func FuzzReadFile(f *testing.F) {
	for _, text := range []string{
		ics("DTSTART;VALUE=DATE:20261225\nRRULE:FREQ=YEARLY;BYDAY=-1MO;BYMONTH=5;COUNT=7\nEXDATE;VALUE=DATE:20271225\nSUMMARY:a # b"),
		ics("DTSTART;TZID=Europe/Berlin:20261224T120000\nDTEND:20261225T180000Z\nRRULE:FREQ=MONTHLY;BYMONTHDAY=-1;UNTIL=20300101T000000Z"),
		ics("DTSTART:99981231T235959\nDURATION:P999999W"), ics("DTSTART:16000101T000000Z\nDURATION:PT1S\nRRULE:FREQ=DAILY;INTERVAL=7;WKST=SU"),
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		entries, err := calendar.ReadFile("h.ics", text)
		if err != nil {
			return
		}
		p := flow.PlanSchedule{Name: "s", At: "every 1h", Timezone: "America/Havana", SlotRules: flow.SlotRules{NotOn: entries}}
		s, err := calendar.Of("default", &p)
		if err != nil {
			t.Fatalf("%q: %v", entries, err)
		}
		if !slices.Equal(s.NotOn(), entries) {
			t.Fatalf("%q becomes %q", entries, s.NotOn())
		}
		from := time.Date(2026, 10, 25, 0, 0, 0, 0, time.UTC)
		var sum int64
		for _, r := range s.Stretches(from, from.AddDate(0, 0, 14)) {
			sum += r.Count
		}
		if _, want := s.Due(from, from.AddDate(0, 0, 14)); sum != want {
			t.Fatalf("%q: %d slots in stretches, want %d", entries, sum, want)
		}
	})
}
