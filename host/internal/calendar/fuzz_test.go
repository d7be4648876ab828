package calendar

import (
	"errors"
	"testing"
	"time"
)

// Whatever the text and zone, Parse ends with a schedule whose parts agree or with a short, placed error.
func FuzzParse(f *testing.F) {
	for _, text := range texts() {
		f.Add(text, "America/New_York", int64(1_772_953_200))
	}
	for _, text := range []string{"", "daily 2:30", "daily \xff", "every 99999999999d", "cron */0 * * * *", "cron 0 0 30 2 *", "weekly mon-", "@daily", "cron 1-2-3 * * * *", "monthly ,, 06:00", "cron * * * * 7-7/7", "every 1d1h1m1s from 1969-01-01t00:00:00z"} {
		f.Add(text, "Australia/Lord_Howe", int64(-1<<62))
	}
	f.Add("daily 00:00", "Europe/Berln", int64(1<<62))
	f.Fuzz(func(t *testing.T, text, zone string, sec int64) {
		s, err := Parse(text, zone)
		if err != nil {
			e, ok := errors.AsType[*Error](err)
			if !ok || e.Code == "" || e.Message == "" || len(e.Message) > 600 || len(e.Hint) > 1000 {
				t.Fatalf("Parse(%q, %q): %v", text, zone, err)
			}
			if e.Offset < 0 || e.Length < 0 || e.Offset+e.Length > max(len(text), len(zone)) {
				t.Fatalf("Parse(%q, %q): error at %d+%d", text, zone, e.Offset, e.Length)
			}
			return
		}
		again, err := Parse(s.Text(), s.Zone())
		if err != nil || again.Text() != s.Text() {
			t.Fatalf("%q has text %q, which gives %v", text, s.Text(), err)
		}
		after := time.Unix(sec, 0)
		next := s.Next(after)
		if !next.Equal(again.Next(after)) {
			t.Fatalf("%q and %q differ after %d", text, s.Text(), sec)
		}
		if next.IsZero() {
			return
		}
		if last, count := s.Due(after, next); !next.After(after) || count != 1 || !last.Equal(next) {
			t.Fatalf("%q in %q: Next(%d) = %s, but Due gives %s, %d", text, zone, sec, next, last, count)
		}
	})
}
