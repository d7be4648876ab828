package calendar

import (
	"slices"
	"testing"

	"github.com/uniflow-dev/uniflow/host/flow"
)

func TestTransitionsSayWhatHappens(t *testing.T) {
	t.Parallel()
	tests := []struct {
		text, zone, after string
		n                 int
		want              []string
	}{
		{"daily 02:30", "America/New_York", "2026-01-01T00:00:00Z", 2, []string{
			"moved 2026-03-08: clocks go forward by 1h at 03:00:00 EDT; 02:30:00 does not exist and runs at 03:00:00 EDT",
			"none 2026-11-01: clocks go back by 1h at 01:00:00 EST; no slot is touched, the first is at 02:30:00 EST",
		}},
		{"daily 01:30", "America/New_York", "2026-06-01T00:00:00Z", 1, []string{
			"first 2026-11-01: clocks go back by 1h at 01:00:00 EST; 01:30:00 comes twice and runs the first time, 01:30:00 EDT",
		}},
		{"cron 0,30 2 * * *", "Europe/Berlin", "2026-01-01T00:00:00Z", 1, []string{
			"moved 2026-03-29: clocks go forward by 1h at 03:00:00 CEST; 02:00:00 does not exist and runs at 03:00:00 CEST",
		}},
		{"daily 00:00", "America/Santiago", "2026-01-01T00:00:00Z", 2, []string{
			"none 2026-04-04: clocks go back by 1h at 23:00:00 -04; no slot is touched, the first is at 00:00:00 -03",
			"moved 2026-09-06: clocks go forward by 1h at 01:00:00 -03; 00:00:00 does not exist and runs at 01:00:00 -03",
		}},
		{"daily 09:00", "Pacific/Apia", "2011-12-01T00:00:00Z", 1, []string{
			"no_day 2011-12-30: clocks go forward by 24h at 00:00:00 +14; the day does not exist and has no slot",
		}},
		{"daily 23:30", "America/Nuuk", "2026-01-01T00:00:00Z", 1, []string{
			"moved 2026-03-28: clocks go forward by 1h at 00:00:00 -01; 23:30:00 does not exist and runs at 00:00:00 -01",
		}},
		{"hourly :15", "Australia/Lord_Howe", "2026-01-01T00:00:00Z", 2, []string{
			"elapsed 2026-04-05: clocks go back by 30m at 01:30:00 +1030; slots follow elapsed time, the first is at 00:15:00 +11",
			"elapsed 2026-10-04: clocks go forward by 30m at 02:30:00 +11; slots follow elapsed time, the first is at 00:15:00 +1030",
		}},
		{"every 6h", "Europe/Berlin", "2026-01-01T00:00:00Z", 1, []string{
			"elapsed 2026-03-29: clocks go forward by 1h at 03:00:00 CEST; slots follow elapsed time, the first is at 01:00:00 CET",
		}},
		{"weekly sun 02:30", "Europe/Berlin", "2026-03-29T00:00:00Z", 1, []string{
			"moved 2026-03-29: clocks go forward by 1h at 03:00:00 CEST; 02:30:00 does not exist and runs at 03:00:00 CEST",
		}},
		{"daily 09:00", "Europe/Berlin", "2026-03-29T05:00:00Z", 1, []string{
			"none 2026-03-29: clocks go forward by 1h at 03:00:00 CEST; no slot is touched, the first is at 09:00:00 CEST",
		}},
		{"daily 02:30", "Europe/Berlin", "2026-03-29T12:00:00Z", 1, []string{
			"first 2026-10-25: clocks go back by 1h at 02:00:00 CET; 02:30:00 comes twice and runs the first time, 02:30:00 CEST",
		}},
		{"weekly mon 02:30", "America/New_York", "2026-01-01T00:00:00Z", 5, nil},
		{"once 2026-03-29T12:00:00Z", "Europe/Berlin", "2026-01-01T00:00:00Z", 5, []string{
			"elapsed 2026-03-29: clocks go forward by 1h at 03:00:00 CEST; slots follow elapsed time, the first is at 14:00:00 CEST",
		}},
		{"daily 02:30", "UTC", "2026-01-01T00:00:00Z", 5, nil},
		{"daily 02:30", "Asia/Kolkata", "2026-01-01T00:00:00Z", 5, nil},
		{"daily 02:30", "Europe/Berlin", "2026-01-01T00:00:00Z", 0, nil},
	}
	for _, test := range tests {
		var got []string
		for _, transition := range mustParse(t, test.text, test.zone).Transitions(at(t, test.after), test.n) {
			got = append(got, string(transition.Effect)+" "+transition.String())
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s in %s after %s:\n got %q\nwant %q", test.text, test.zone, test.after, got, test.want)
		}
	}
}

// A fire that a preview calls moved or first is a slot, and a day it calls missing has none.
func TestTransitionsAgreeWithSlots(t *testing.T) {
	t.Parallel()
	after := at(t, "2005-01-01T00:00:00Z")
	for _, name := range sampled(20) {
		for _, text := range texts() {
			s := mustParse(t, text, name)
			for _, transition := range s.Transitions(after, 20) {
				if transition.Effect == flow.ClockNoDay {
					continue
				}
				if slot := transition.Slot; !s.Next(slot.Add(-1)).Equal(slot) {
					t.Errorf("%s in %s: %s, but the next slot is %s", text, name, transition, s.Next(slot.Add(-1)))
				}
			}
		}
	}
}
