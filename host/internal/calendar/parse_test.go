package calendar

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

func TestCanonicalTextAndWords(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	tests := []struct {
		text, zone  string
		kind        Kind
		want, words string
		interval    time.Duration
	}{
		{" Daily\t02:30 ", "America/Los_Angeles", KindDaily, "daily 02:30", "every day at 02:30, America/Los_Angeles", day},
		{"daily 02:30:00", "", KindDaily, "daily 02:30", "every day at 02:30, UTC", day},
		{"daily 02:30:15", "", KindDaily, "daily 02:30:15", "every day at 02:30:15, UTC", day},
		{"daily 00:00", "UTC", KindDaily, "daily 00:00", "every day at 00:00, UTC", day},
		{"hourly :15", "", KindHourly, "hourly :15", "every hour at :15, UTC", time.Hour},
		{"hourly :00:00", "", KindHourly, "hourly :00", "every hour at :00, UTC", time.Hour},
		{"hourly :00:05", "", KindHourly, "hourly :00:05", "every hour at :00:05, UTC", time.Hour},
		{"every 30m", "Europe/Berlin", KindEvery, "every 30m", "every 30 minutes", 30 * time.Minute},
		{"EVERY 1H30M", "", KindEvery, "every 90m", "every 90 minutes", 90 * time.Minute},
		{"every 60s", "", KindEvery, "every 1m", "every minute", time.Minute},
		{"every 1d", "", KindEvery, "every 1d", "every 24 hours", day},
		{"every 366d", "", KindEvery, "every 366d", "every 366 days", 366 * day},
		{"every 36h", "", KindEvery, "every 36h", "every 36 hours", 36 * time.Hour},
		{"every 1s", "", KindEvery, "every 1s", "every second", time.Second},
		{"every 90m from 2026-01-01t02:00:00+02:00", "", KindEvery, "every 90m from 2026-01-01T00:00:00Z", "every 90 minutes, counted from 2026-01-01T00:00:00Z", 90 * time.Minute},
		{"weekly thu,mon 06:00", "", KindWeekly, "weekly mon,thu 06:00", "every Monday and Thursday at 06:00, UTC", 84 * time.Hour},
		{"weekly Friday,monday-Wednesday 06:00", "", KindWeekly, "weekly mon-wed,fri 06:00", "every Monday, Tuesday, Wednesday and Friday at 06:00, UTC", 42 * time.Hour},
		{"weekly sat-mon 06:00", "", KindWeekly, "weekly mon,sat,sun 06:00", "every Monday, Saturday and Sunday at 06:00, UTC", 56 * time.Hour},
		{"weekly sun-sat 06:00", "", KindWeekly, "weekly mon-sun 06:00", "every Monday, Tuesday, Wednesday, Thursday, Friday, Saturday and Sunday at 06:00, UTC", day},
		{"monthly 15,1 06:00", "", KindMonthly, "monthly 1,15 06:00", "on day 1 and 15 of every month at 06:00, UTC", 1_314_873 * time.Second},
		{"monthly LAST 23:00", "", KindMonthly, "monthly last 23:00", "on the last day of every month at 23:00, UTC", 2_629_746 * time.Second},
		{"monthly last,01 23:00", "", KindMonthly, "monthly 1,last 23:00", "on day 1 and the last day of every month at 23:00, UTC", 1_314_873 * time.Second},
		{"cron  0 12 * * MON-FRI", "Asia/Tokyo", KindCron, "cron 0 12 * * mon-fri", "at the times of cron 0 12 * * mon-fri, Asia/Tokyo", 33*time.Hour + 36*time.Minute},
		{"cron */10 * * * * *", "", KindCron, "cron */10 * * * * *", "at the times of cron */10 * * * * *, UTC", 10 * time.Second},
		{"once 2027-01-01T02:00:00+02:00", "", KindOnce, "once 2027-01-01T00:00:00Z", "once at 2027-01-01T00:00:00Z", 0},
	}
	for _, test := range tests {
		s := mustParse(t, test.text, test.zone)
		if s.Kind() != test.kind || s.Text() != test.want || s.String() != test.words || s.Interval() != test.interval {
			t.Errorf("%q: got %s, %q, %q, %v; want %s, %q, %q, %v", test.text, s.Kind(), s.Text(), s, s.Interval(), test.kind, test.want, test.words, test.interval)
		}
		if again := mustParse(t, s.Text(), s.Zone()); again.Text() != s.Text() || again.String() != s.String() {
			t.Errorf("%q: text %q does not stay as it is", test.text, s.Text())
		}
	}
}

func TestMistakesAreNamedAndPlaced(t *testing.T) {
	t.Parallel()
	tests := []struct {
		text, marked string // marked is the part that the error points to
		code         flow.Code
		message      string
	}{
		{"", "", flow.CodeScheduleText, "the schedule is empty"},
		{" \t", " \t", flow.CodeScheduleText, "the schedule is empty"},
		{"dayly 02:30", "dayly", flow.CodeScheduleText, `unknown kind of schedule "dayly"`},
		{"daily", "", flow.CodeScheduleText, "the time of day is missing"},
		{"daily 2:30", "2:30", flow.CodeScheduleText, `"2:30" is no time of day HH:MM`},
		{"daily 02-30", "02-30", flow.CodeScheduleText, `"02-30" is no time of day HH:MM`},
		{"daily 02:30 UTC", "UTC", flow.CodeScheduleText, `"UTC" is one word too many`},
		{"daily 25:30", "25", flow.CodeScheduleRange, "hour 25 is out of range, expected 00 to 23"},
		{"daily 02:60", "60", flow.CodeScheduleRange, "minute 60 is out of range, expected 00 to 59"},
		{"daily 02:30:99", "99", flow.CodeScheduleRange, "second 99 is out of range, expected 00 to 59"},
		{"daily 24:00", "24", flow.CodeScheduleRange, "hour 24 is out of range, expected 00 to 23"},
		{"hourly 15", "15", flow.CodeScheduleText, `"15" is no minute :MM`},
		{"hourly :75", "75", flow.CodeScheduleRange, "minute 75 is out of range, expected 00 to 59"},
		{"every 0s", "0s", flow.CodeScheduleRange, `interval "0s" is shorter than 1 second`},
		{"every 500ms", "500ms", flow.CodeScheduleText, `"500ms" is no interval`},
		{"every -5m", "-5m", flow.CodeScheduleText, `"-5m" is no interval`},
		{"every 30", "30", flow.CodeScheduleText, `"30" is no interval`},
		{"every 5m1h", "5m1h", flow.CodeScheduleText, `"5m1h" is no interval`},
		{"every 367d", "367d", flow.CodeScheduleRange, `interval "367d" is longer than 366 days`},
		{"every 99999999999999999999d", "99999999999999999999d", flow.CodeScheduleRange, `interval "99999999999999999999d" is longer than 366 days`},
		{"every 366d1s", "366d1s", flow.CodeScheduleRange, `interval "366d1s" is longer than 366 days`},
		{"every 5m from", "", flow.CodeScheduleText, "the instant after `from` is missing"},
		{"every 5m since 2026-01-01T00:00:00Z", "since", flow.CodeScheduleText, "\"since\" is not the word `from`"},
		{"every 5m from 2026-13-01T00:00:00Z", "2026-13-01T00:00:00Z", flow.CodeScheduleText, `"2026-13-01T00:00:00Z" is no instant as in 2027-01-01T00:00:00Z`},
		{"weekly mon,tus 06:00", "tus", flow.CodeScheduleText, `"tus" is no weekday`},
		{"weekly mon,,thu 06:00", "", flow.CodeScheduleText, `"" is no weekday`},
		{"weekly mon", "", flow.CodeScheduleText, "the time of day is missing"},
		{"monthly 32 06:00", "32", flow.CodeScheduleRange, "day of the month 32 is out of range, expected 1 to 31"},
		{"monthly 1,0 06:00", "0", flow.CodeScheduleRange, "day of the month 0 is out of range, expected 1 to 31"},
		{"monthly first 06:00", "first", flow.CodeScheduleText, `"first" is no day of the month`},
		{"cron 0 12 * *", "", flow.CodeScheduleText, "cron has 4 fields, expected 5, or 6 with seconds"},
		{"cron 0 0 12 * * * 2026", "2026", flow.CodeScheduleText, "cron has 7 fields, expected 5, or 6 with seconds"},
		{"cron 60 12 * * *", "60", flow.CodeScheduleRange, "minute 60 is out of range, expected 0 to 59"},
		{"cron 0 12 * 13 *", "13", flow.CodeScheduleRange, "month 13 is out of range, expected 1 to 12"},
		{"cron 0 12 * * 8", "8", flow.CodeScheduleRange, "weekday 8 is out of range, expected 0 to 7"},
		{"cron 0 12 * * 1-", "", flow.CodeScheduleText, `"" is no weekday`},
		{"cron 0 x-9 * * *", "x", flow.CodeScheduleText, `"x" is no hour`},
		{"weekly mon-thx 06:00", "thx", flow.CodeScheduleText, `"thx" is no weekday`},
		{"weekly mon 06:0", "06:0", flow.CodeScheduleText, `"06:0" is no time of day HH:MM`},
		{"monthly 1", "", flow.CodeScheduleText, "the time of day is missing"},
		{"at the", "at", flow.CodeScheduleText, `unknown kind of schedule "at"`},
		{"cron 0 12 L * *", "L", flow.CodeScheduleText, `"L" is no day of the month`},
		{"cron 0 17-9 * * *", "17-9", flow.CodeScheduleRange, `range "17-9" of the hour runs backwards`},
		{"cron */0 * * * *", "0", flow.CodeScheduleRange, "step of the minute 0 is out of range, expected 1 to 59"},
		{"cron */5/2 * * * *", "5/2", flow.CodeScheduleText, `"5/2" is no step of the minute`},
		{"cron 0 0 30 2 *", "cron 0 0 30 2 *", flow.CodeScheduleNever, `the schedule "cron 0 0 30 2 *" never fires: no date matches it`},
		{"cron 0 0 31 2,4,6 *", "cron 0 0 31 2,4,6 *", flow.CodeScheduleNever, `the schedule "cron 0 0 31 2,4,6 *" never fires: no date matches it`},
		{"once tomorrow", "tomorrow", flow.CodeScheduleText, `"tomorrow" is no instant as in 2027-01-01T00:00:00Z`},
		{"once 2027-01-01T00:00:00.5Z", "2027-01-01T00:00:00.5Z", flow.CodeScheduleRange, `instant "2027-01-01T00:00:00.5Z" is not a whole second`},
		{"once 9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z", flow.CodeScheduleRange, `instant "9999-12-31T23:59:59Z" is out of range, expected 0001-01-02 to 9999-12-30`},
		{"daily \xff\x00", "\xff\x00", flow.CodeScheduleText, `"\xff\x00" is no time of day HH:MM`},
		{strings.Repeat("a", 201), strings.Repeat("a", 201), flow.CodeScheduleRange, "the schedule has 201 bytes, at most 200 are allowed"},
	}
	for _, test := range tests {
		_, err := Parse(test.text, "")
		e, ok := errors.AsType[*Error](err)
		if !ok {
			t.Errorf("%q: got error %v, want an *Error", test.text, err)
			continue
		}
		if e.Code != test.code || e.Message != test.message {
			t.Errorf("%q: got %s %q, want %s %q", test.text, e.Code, e.Message, test.code, test.message)
		}
		if marked := test.text[e.Offset : e.Offset+e.Length]; marked != test.marked {
			t.Errorf("%q: error marks %q, want %q", test.text, marked, test.marked)
		}
		if e.Hint == "" || err.Error() != e.Message {
			t.Errorf("%q: hint %q, text %q", test.text, e.Hint, err)
		}
		if flow.CodeOf(err) != test.code {
			t.Errorf("%q: flow.CodeOf gives %q, want %q", test.text, flow.CodeOf(err), test.code)
		}
	}
}

func TestNearestTextIsSuggested(t *testing.T) {
	t.Parallel()
	tests := []struct{ text, want string }{
		{"daily 2:30", "daily 02:30"},
		{"dayly 02:30", "daily 02:30"},
		{"daily at 2:30pm", "daily 14:30"},
		{"daily 12am", "daily 00:00"},
		{"daily 0230", "daily 02:30"},
		{"daily 24:00", "daily 00:00"},
		{"daily", "daily 00:00"},
		{"02:30", "daily 02:30"},
		{"every day at 02:30", "daily 02:30"},
		{"every monday at 6:00", "weekly mon 06:00"},
		{"every 30 minutes", "every 30m"},
		{"every 2 weeks", "every 14d"},
		{"every hour", "every 1h"},
		{"10m", "every 10m"},
		{"hourly 15", "hourly :15"},
		{"hourly at 5", "hourly :05"},
		{"hourly *:05", "hourly :05"},
		{"hourly", "hourly :00"},
		{"weekly mondays,tues 06:00", "weekly mon,tue 06:00"},
		{"weekly mon, thu 6:00", "weekly mon,thu 06:00"},
		{"montly 1 6:00", "monthly 1 06:00"},
		{"0 12 * * 1-5", "cron 0 12 * * 1-5"},
		{"cron 0 12 ? * mon", "cron 0 12 * * mon"},
		{"cron @daily", "daily 00:00"},
		{"@weekly", "weekly sun 00:00"},
		{"once 2027-01-01", "once 2027-01-01T00:00:00Z"},
		{"once 2027-01-01 09:00", "once 2027-01-01T09:00:00Z"},
		{"2027-01-01T09:00:00", "once 2027-01-01T09:00:00Z"},
	}
	for _, test := range tests {
		_, err := Parse(test.text, "")
		e, ok := errors.AsType[*Error](err)
		if !ok {
			t.Errorf("%q: got error %v, want an *Error", test.text, err)
			continue
		}
		if want := "did you mean `" + test.want + "`? "; !strings.HasPrefix(e.Hint, want) {
			t.Errorf("%q: hint %q, want prefix %q", test.text, e.Hint, want)
		}
	}
}

func TestUnknownZonesAreRefused(t *testing.T) {
	t.Parallel()
	tests := []struct{ zone, near string }{
		{"Europe/Berln", "Europe/Berlin"},
		{"europe/berlin", "Europe/Berlin"},
		{"America/Los Angeles", "America/Los_Angeles"},
		{"berlin", "Europe/Berlin"},
		{"utc", "UTC"},
		{"Local", ""},
		{"PST", ""},
		{"+02:00", ""},
		{"../../etc/passwd", ""},
		{"posix/Europe/Berlin", ""},
		{strings.Repeat("Europe/", 100_000), ""},
	}
	for _, test := range tests {
		_, err := Parse("daily 02:30", test.zone)
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Code != flow.CodeScheduleZone {
			t.Errorf("zone %.40q: got error %v, want code %s", test.zone, err, flow.CodeScheduleZone)
			continue
		}
		if len(e.Message) > 200 || e.Length != len(test.zone) {
			t.Errorf("zone %.40q: message of %d bytes, place of %d", test.zone, len(e.Message), e.Length)
		}
		suggested := strings.HasPrefix(e.Hint, "did you mean `"+test.near+"`?")
		if suggested != (test.near != "") || strings.Contains(e.Hint, "did you mean") != suggested {
			t.Errorf("zone %.40q: hint %q, want %q suggested", test.zone, e.Hint, test.near)
		}
	}
}
