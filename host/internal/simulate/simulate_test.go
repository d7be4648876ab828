package simulate_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/simulate"
)

func at(t testing.TB, text string) time.Time {
	t.Helper()
	v, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func planned(name, pipeline, text, zone string, o flow.Overlap) simulate.Schedule {
	return simulate.Schedule{Tenant: "default", PlanSchedule: flow.PlanSchedule{Name: name, Pipeline: pipeline, At: text, Timezone: zone, Overlap: o}}
}

// A day with one pipeline that is too slow for its schedules, and one that is not.
func TestReportOfADay(t *testing.T) {
	t.Parallel()
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	r, err := simulate.Run(simulate.Input{
		From: at(t, "2027-03-28T00:00:00Z"), To: at(t, "2027-03-29T00:00:00Z"), Zone: berlin,
		Schedules: []simulate.Schedule{
			planned("slow", "slow", "every 1h", "UTC", flow.OverlapWait),
			planned("also", "slow", "daily 02:30", "Europe/Berlin", flow.OverlapSkip),
			planned("quick", "quick", "hourly :00", "UTC", flow.OverlapWait),
		},
		Durations: map[string]time.Duration{"slow": 90 * time.Minute, "quick": time.Minute},
	})
	if err != nil {
		t.Fatal(err)
	}
	also, quick, slow := r.Schedules[0], r.Schedules[1], r.Schedules[2]
	// 02:30 does not exist: it is 03:00, 01:00 UTC, when the run of 00:00 is live.
	if also.Slots != 1 || also.Skipped != 1 {
		t.Errorf("also: %+v", also)
	}
	if quick.Slots != 24 || quick.Runs != 24 || quick.Late != 0 {
		t.Errorf("quick: %+v", quick)
	}
	// Every third slot is coalesced: 0:00-1:30, 1:30-3:00, 3:00-4:30, ...
	// That of 23:00 has no newer one to stand for it: the range ends.
	if slow.Runs+slow.Coalesced != 24 || slow.Runs != 17 || slow.Late != flow.Duration(time.Hour) || !slow.LateAt.Equal(at(t, "2027-03-28T23:00:00Z")) {
		t.Errorf("slow: %+v", slow)
	}
	if r.Peak.Runs != 2 || !r.Peak.At.Equal(r.From) {
		t.Errorf("peak: %+v", r.Peak)
	}
	if len(r.ClockChanges) != 1 || r.ClockChanges[0].Schedule != "also" || r.ClockChanges[0].Effect != flow.ClockMoved {
		t.Errorf("clock changes: %+v", r.ClockChanges)
	}
	// 02:00 to 03:00 does not exist in Berlin; 01:00 comes at midnight UTC with both pipelines, and again at 23:00 UTC.
	if r.Hours[2].Starts != 0 || r.Hours[1].Starts != 3 || r.Hours[1].Peak != 2 {
		t.Errorf("hours: %+v", r.Hours)
	}
	if o := r.Overlaps; len(o) != 2 || o[1].Schedule != "also" || o[1].With != "slow" || o[1].Slots != 1 || o[0].With != "slow" || !o[0].First.Equal(at(t, "2027-03-28T01:00:00Z")) {
		t.Errorf("overlaps: %+v", o)
	}
}

func TestRangesThatCannotBeRehearsed(t *testing.T) {
	t.Parallel()
	from := at(t, "2027-01-01T00:00:00Z")
	busy := []simulate.Schedule{planned("a", "a", "every 1s", "UTC", "wait"), planned("b", "b", "every 1s", "UTC", "wait")}
	for name, c := range map[string]struct {
		in  simulate.Input
		why string
	}{
		"backward": {simulate.Input{From: from, To: from}, "is not before"},
		"far":      {simulate.Input{From: from, To: from.AddDate(500, 0, 0)}, "years 1970 to 2199"},
		"long":     {simulate.Input{From: from, To: from.AddDate(2, 0, 0), Schedules: busy}, "126316800 slots"},
	} {
		_, err := simulate.Run(c.in)
		if flow.CodeOf(err) != flow.CodeRequest || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s: got %v, want %q", name, err, c.why)
		}
	}
}

// hundred are 100 schedules of all kinds, with 2.6 million slots a year.
func hundred() simulate.Input {
	texts := []string{
		"daily 02:30", "daily 06:00", "hourly :15", "hourly :00", "every 5m", "every 30m", "weekly mon,thu 06:00", "monthly last 23:00",
		"cron */15 * * * *", "cron 0 8-18 * * 1-5",
	}
	zones := []string{"UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"}
	overlaps := []flow.Overlap{flow.OverlapWait, flow.OverlapSkip, flow.OverlapWaitAll, flow.OverlapReplace}
	in := simulate.Input{Durations: map[string]time.Duration{}}
	for i := range 100 {
		pipeline := fmt.Sprint("p", i%80)
		in.Schedules = append(in.Schedules, planned(fmt.Sprint("s", i), pipeline, texts[i%len(texts)], zones[i/10%len(zones)], overlaps[i%4]))
		in.Durations[pipeline] = time.Duration(1+i*7%40) * time.Minute
	}
	return in
}

// BenchmarkYear rehearses a year of 100 schedules; the goal is 5 s.
func BenchmarkYear(b *testing.B) {
	in := hundred()
	in.From, in.To = at(b, "2027-01-01T00:00:00Z"), at(b, "2028-01-01T00:00:00Z")
	var slots int64
	for b.Loop() {
		r, err := simulate.Run(in)
		if err != nil {
			b.Fatal(err)
		}
		slots = 0
		for _, s := range r.Schedules {
			slots += s.Slots
		}
	}
	b.ReportMetric(float64(slots), "slots")
}
