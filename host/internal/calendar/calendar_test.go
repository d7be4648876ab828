package calendar

import (
	"slices"
	"testing"
	"time"
)

func mustParse(t testing.TB, text, zone string) *Schedule {
	t.Helper()
	s, err := Parse(text, zone)
	if err != nil {
		t.Fatalf("Parse(%q, %q): %v", text, zone, err)
	}
	return s
}

func at(t testing.TB, text string) time.Time {
	t.Helper()
	instant, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return instant
}

// shownAt writes slots as the zone's clocks show them.
func shownAt(s *Schedule, slots []time.Time) []string {
	var texts []string
	for _, slot := range slots {
		texts = append(texts, slot.In(s.zone).Format("Mon 2006-01-02 15:04:05 -0700"))
	}
	return texts
}

func TestSlotsOfEachKind(t *testing.T) {
	t.Parallel()
	tests := []struct {
		text, zone, after string
		want              []string
	}{
		{"daily 02:30", "", "2026-01-01T02:30:00Z", []string{"Fri 2026-01-02 02:30:00 +0000", "Sat 2026-01-03 02:30:00 +0000"}},
		{"daily 02:30:15", "Asia/Kathmandu", "2026-01-01T00:00:00Z", []string{"Fri 2026-01-02 02:30:15 +0545", "Sat 2026-01-03 02:30:15 +0545"}},
		{"daily 02:30", "", "2026-01-01T02:29:59.999Z", []string{"Thu 2026-01-01 02:30:00 +0000"}},
		{"daily 02:30", "", "2026-01-01T02:30:00.001Z", []string{"Fri 2026-01-02 02:30:00 +0000"}},
		{"hourly :15", "", "2026-01-01T02:15:00Z", []string{"Thu 2026-01-01 03:15:00 +0000", "Thu 2026-01-01 04:15:00 +0000"}},
		{"hourly :15", "Asia/Kolkata", "2026-01-01T00:00:00Z", []string{"Thu 2026-01-01 06:15:00 +0530", "Thu 2026-01-01 07:15:00 +0530"}},
		{"hourly :15:30", "", "2026-01-01T02:15:00Z", []string{"Thu 2026-01-01 02:15:30 +0000"}},
		{"every 30m", "America/New_York", "2026-01-01T00:00:01Z", []string{"Wed 2025-12-31 19:30:00 -0500", "Wed 2025-12-31 20:00:00 -0500"}},
		{"every 1d", "", "2026-01-01T12:00:00Z", []string{"Fri 2026-01-02 00:00:00 +0000"}},
		{"every 90m from 2026-01-01T00:00:00Z", "", "2020-01-01T00:00:00Z", []string{"Thu 2026-01-01 00:00:00 +0000", "Thu 2026-01-01 01:30:00 +0000"}},
		{"every 7s", "", "1970-01-01T00:00:00Z", []string{"Thu 1970-01-01 00:00:07 +0000"}},
		{"weekly mon,thu 06:00", "", "2026-01-01T06:00:00Z", []string{"Mon 2026-01-05 06:00:00 +0000", "Thu 2026-01-08 06:00:00 +0000"}},
		{"weekly sat-mon 06:00", "", "2026-01-01T06:00:00Z", []string{"Sat 2026-01-03 06:00:00 +0000", "Sun 2026-01-04 06:00:00 +0000", "Mon 2026-01-05 06:00:00 +0000", "Sat 2026-01-10 06:00:00 +0000"}},
		{"monthly 31 06:00", "", "2026-01-31T06:00:00Z", []string{"Tue 2026-03-31 06:00:00 +0000", "Sun 2026-05-31 06:00:00 +0000"}},
		{"monthly last 23:00", "", "2028-02-01T06:00:00Z", []string{"Tue 2028-02-29 23:00:00 +0000", "Fri 2028-03-31 23:00:00 +0000"}},
		{"monthly 1,last 23:00", "", "2026-02-01T06:00:00Z", []string{"Sun 2026-02-01 23:00:00 +0000", "Sat 2026-02-28 23:00:00 +0000", "Sun 2026-03-01 23:00:00 +0000"}},
		{"cron 0 12 * * 1-5", "", "2026-01-02T12:00:00Z", []string{"Mon 2026-01-05 12:00:00 +0000", "Tue 2026-01-06 12:00:00 +0000"}},
		{"cron 0 12 * * sun", "", "2026-01-02T12:00:00Z", []string{"Sun 2026-01-04 12:00:00 +0000"}},
		{"cron 0 12 * * 7", "", "2026-01-02T12:00:00Z", []string{"Sun 2026-01-04 12:00:00 +0000"}},
		{"cron 0 12 * * fri-sun", "", "2026-01-02T12:00:00Z", []string{"Sat 2026-01-03 12:00:00 +0000", "Sun 2026-01-04 12:00:00 +0000", "Fri 2026-01-09 12:00:00 +0000"}},
		{"cron 20/20 9-10 * * *", "", "2026-01-02T00:00:00Z", []string{"Fri 2026-01-02 09:20:00 +0000", "Fri 2026-01-02 09:40:00 +0000", "Fri 2026-01-02 10:20:00 +0000"}},
		{"cron 5-59/20 0 * * *", "", "2026-01-02T00:00:00Z", []string{"Fri 2026-01-02 00:05:00 +0000", "Fri 2026-01-02 00:25:00 +0000", "Fri 2026-01-02 00:45:00 +0000", "Sat 2026-01-03 00:05:00 +0000"}},
		{"cron */20 * * * * *", "", "2026-01-02T00:00:00Z", []string{"Fri 2026-01-02 00:00:20 +0000", "Fri 2026-01-02 00:00:40 +0000", "Fri 2026-01-02 00:01:00 +0000"}},
		// Vixie: day and weekday both restricted need one match; a field that starts with * is unrestricted.
		{"cron 0 0 13 * 5", "", "2026-02-01T00:00:00Z", []string{"Fri 2026-02-06 00:00:00 +0000", "Fri 2026-02-13 00:00:00 +0000", "Fri 2026-02-20 00:00:00 +0000", "Fri 2026-02-27 00:00:00 +0000", "Fri 2026-03-06 00:00:00 +0000", "Fri 2026-03-13 00:00:00 +0000", "Fri 2026-03-20 00:00:00 +0000", "Fri 2026-03-27 00:00:00 +0000", "Fri 2026-04-03 00:00:00 +0000", "Fri 2026-04-10 00:00:00 +0000", "Mon 2026-04-13 00:00:00 +0000"}},
		{"cron 0 0 */2 * 1", "", "2026-01-01T00:00:00Z", []string{"Mon 2026-01-05 00:00:00 +0000", "Mon 2026-01-19 00:00:00 +0000", "Mon 2026-02-09 00:00:00 +0000"}},
		{"cron 0 0 29 2 *", "", "2096-03-01T00:00:00Z", []string{"Fri 2104-02-29 00:00:00 +0000", "Wed 2108-02-29 00:00:00 +0000"}},
		{"once 2027-01-01T02:00:00+02:00", "Europe/Berlin", "2026-01-01T00:00:00Z", []string{"Fri 2027-01-01 01:00:00 +0100"}},
	}
	for _, test := range tests {
		s := mustParse(t, test.text, test.zone)
		got := shownAt(s, s.List(at(t, test.after), len(test.want)))
		if !slices.Equal(got, test.want) {
			t.Errorf("%s %s after %s:\n got %q\nwant %q", test.text, test.zone, test.after, got, test.want)
		}
	}
}

func TestClockChanges(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, text, zone, after string
		want                    []string
	}{
		{
			"gap moves a fixed time", "daily 02:30", "America/New_York", "2026-03-07T12:00:00Z",
			[]string{"Sun 2026-03-08 03:00:00 -0400", "Mon 2026-03-09 02:30:00 -0400"},
		},
		{
			"gap keeps the weekday", "weekly sun 02:30", "America/New_York", "2026-03-02T12:00:00Z",
			[]string{"Sun 2026-03-08 03:00:00 -0400", "Sun 2026-03-15 02:30:00 -0400"},
		},
		{
			"gap on a day that is not meant", "cron 30 2 15 * *", "America/New_York", "2026-03-01T12:00:00Z",
			[]string{"Sun 2026-03-15 02:30:00 -0400"},
		},
		{
			"two times in one gap are one slot", "cron 0,30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z",
			[]string{"Sun 2026-03-29 03:00:00 +0200", "Mon 2026-03-30 02:00:00 +0200"},
		},
		{
			"a moved time meets a written one", "cron 0,30 2,3 * * *", "Europe/Berlin", "2026-03-29T00:00:00Z",
			[]string{"Sun 2026-03-29 03:00:00 +0200", "Sun 2026-03-29 03:30:00 +0200", "Mon 2026-03-30 02:00:00 +0200"},
		},
		{
			"fold takes the first", "daily 01:30", "America/New_York", "2026-10-31T12:00:00Z",
			[]string{"Sun 2026-11-01 01:30:00 -0400", "Mon 2026-11-02 01:30:00 -0500"},
		},
		{
			"two times in a fold", "cron 0,30 1 * * *", "America/New_York", "2026-11-01T00:00:00-04:00",
			[]string{"Sun 2026-11-01 01:00:00 -0400", "Sun 2026-11-01 01:30:00 -0400", "Mon 2026-11-02 01:00:00 -0500"},
		},
		{
			"start within the second showing", "daily 01:30", "America/New_York", "2026-11-01T01:10:00-05:00",
			[]string{"Mon 2026-11-02 01:30:00 -0500"},
		},
		{
			"midnight gap, Santiago", "daily 00:00", "America/Santiago", "2026-09-05T12:00:00Z",
			[]string{"Sun 2026-09-06 01:00:00 -0300", "Mon 2026-09-07 00:00:00 -0300"},
		},
		{
			"midnight fold, Santiago", "daily 23:30", "America/Santiago", "2026-04-04T12:00:00Z",
			[]string{"Sat 2026-04-04 23:30:00 -0300", "Sun 2026-04-05 23:30:00 -0400"},
		},
		{
			"midnight gap, Azores", "daily 00:15", "Atlantic/Azores", "2026-03-28T12:00:00Z",
			[]string{"Sun 2026-03-29 01:00:00 +0000", "Mon 2026-03-30 00:15:00 +0000"},
		},
		{
			"midnight gap, Havana", "daily 00:00", "America/Havana", "2026-03-07T12:00:00Z",
			[]string{"Sun 2026-03-08 01:00:00 -0400", "Mon 2026-03-09 00:00:00 -0400"},
		},
		{
			"midnight fold, Havana", "daily 00:30", "America/Havana", "2026-10-31T12:00:00Z",
			[]string{"Sun 2026-11-01 00:30:00 -0400", "Mon 2026-11-02 00:30:00 -0500"},
		},
		{
			"midnight gap, Beirut", "daily 00:00", "Asia/Beirut", "2026-03-28T12:00:00Z",
			[]string{"Sun 2026-03-29 01:00:00 +0300", "Mon 2026-03-30 00:00:00 +0300"},
		},
		{
			"a day that does not exist", "daily 09:00", "Pacific/Apia", "2011-12-28T22:00:00Z",
			[]string{"Thu 2011-12-29 09:00:00 -1000", "Sat 2011-12-31 09:00:00 +1400"},
		},
		{
			"only the day that does not exist", "monthly 30 09:00", "Pacific/Apia", "2011-12-01T00:00:00Z",
			[]string{"Mon 2012-01-30 09:00:00 +1400"},
		},
		{
			"midnight after a day that does not exist", "daily 00:00", "Pacific/Apia", "2011-12-29T12:00:00Z",
			[]string{"Sat 2011-12-31 00:00:00 +1400"},
		},
		{
			"hours go on over a day that does not exist", "hourly :15", "Pacific/Apia", "2011-12-30T09:00:00Z",
			[]string{"Thu 2011-12-29 23:15:00 -1000", "Sat 2011-12-31 00:15:00 +1400"},
		},
		{
			"a day that comes twice", "daily 09:00", "Pacific/Kwajalein", "1969-09-29T12:00:00Z",
			[]string{"Tue 1969-09-30 09:00:00 +1100", "Wed 1969-10-01 09:00:00 -1200"},
		},
		{
			"half-hour fold, fixed", "daily 01:45", "Australia/Lord_Howe", "2026-04-03T16:00:00Z",
			[]string{"Sun 2026-04-05 01:45:00 +1100", "Mon 2026-04-06 01:45:00 +1030"},
		},
		{
			"half-hour gap, fixed", "daily 02:15", "Australia/Lord_Howe", "2026-10-03T12:00:00Z",
			[]string{"Sun 2026-10-04 02:30:00 +1100", "Mon 2026-10-05 02:15:00 +1100"},
		},
		{
			"hourly over a gap", "hourly :15", "America/New_York", "2026-03-08T06:00:00Z",
			[]string{"Sun 2026-03-08 01:15:00 -0500", "Sun 2026-03-08 03:15:00 -0400"},
		},
		{
			"hourly over a fold", "cron 30 * * * *", "America/New_York", "2026-11-01T05:00:00Z",
			[]string{"Sun 2026-11-01 01:30:00 -0400", "Sun 2026-11-01 01:30:00 -0500", "Sun 2026-11-01 02:30:00 -0500"},
		},
		{
			"every second hour is fixed", "cron 0 */2 * * *", "Europe/Berlin", "2026-03-28T23:30:00Z",
			[]string{"Sun 2026-03-29 03:00:00 +0200", "Sun 2026-03-29 04:00:00 +0200"},
		},
		{
			"hourly over a half-hour fold, before it", "hourly :15", "Australia/Lord_Howe", "2026-04-04T14:00:00Z",
			[]string{"Sun 2026-04-05 01:15:00 +1100", "Sun 2026-04-05 02:15:00 +1030"},
		},
		{
			"hourly over a half-hour fold, in it", "hourly :45", "Australia/Lord_Howe", "2026-04-04T14:00:00Z",
			[]string{"Sun 2026-04-05 01:45:00 +1100", "Sun 2026-04-05 02:45:00 +1030"},
		},
		{
			"hourly over a half-hour gap, in it", "hourly :15", "Australia/Lord_Howe", "2026-10-03T14:30:00Z",
			[]string{"Sun 2026-10-04 01:15:00 +1030", "Sun 2026-10-04 02:30:00 +1100", "Sun 2026-10-04 03:15:00 +1100"},
		},
		{
			"hourly over a half-hour gap, after it", "hourly :45", "Australia/Lord_Howe", "2026-10-03T14:30:00Z",
			[]string{"Sun 2026-10-04 01:45:00 +1030", "Sun 2026-10-04 02:45:00 +1100"},
		},
		{
			"quarters do not see a half-hour fold", "cron */15 * * * *", "Australia/Lord_Howe", "2026-04-04T14:40:00Z",
			[]string{"Sun 2026-04-05 01:45:00 +1100", "Sun 2026-04-05 01:30:00 +1030", "Sun 2026-04-05 01:45:00 +1030", "Sun 2026-04-05 02:00:00 +1030"},
		},
		{
			"an interval sees no zone", "every 1h", "America/New_York", "2026-11-01T04:30:00Z",
			[]string{"Sun 2026-11-01 01:00:00 -0400", "Sun 2026-11-01 01:00:00 -0500", "Sun 2026-11-01 02:00:00 -0500"},
		},
	}
	for _, test := range tests {
		s := mustParse(t, test.text, test.zone)
		got := shownAt(s, s.List(at(t, test.after), len(test.want)))
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: %s %s after %s:\n got %q\nwant %q", test.name, test.text, test.zone, test.after, got, test.want)
		}
	}
}
