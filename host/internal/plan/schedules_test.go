package plan

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// closed is mended with rules of slots at all three levels, and a calendar file.
func closed(events ...string) (flow.Manifest, Inputs) {
	m, in := mended(), facts()
	m.Defaults.NotOn, m.Defaults.OnResume, m.Defaults.Timeout.Start = []string{"sun"}, flow.ResumeAll, flow.Duration(time.Hour)
	p := m.Pipelines["weather"]
	p.NotOn, p.Jitter, p.Timeout.Start = []string{"holidays.ics", "sat"}, flow.Duration(time.Minute), flow.Duration(time.Minute)
	m.Pipelines["weather"] = p
	s := m.Schedules["weather_evening"]
	s.NotOn, s.OnResume, s.From, s.To = []string{}, flow.ResumeNone, "2026-01-01", "2026-02-01"
	m.Schedules["weather_evening"] = s
	in.Calendars = map[string][]string{"holidays.ics": events}
	return m, in
}

func TestRulesOfSlotsAreMergedAndFrozen(t *testing.T) {
	t.Parallel()
	m, in := closed("2026-12-25 # Christmas Day", "2026-05-01")
	plans, problems := Build(m, in)
	if len(problems.Errors()) > 0 {
		t.Fatal(problems)
	}
	hello, own, evening := plans[0].Schedules[0], plans[1].Schedules[0], plans[1].Schedules[1]
	for _, c := range []struct {
		got   flow.PlanSchedule
		notOn string
		want  flow.SlotRules
		from  string
	}{
		{hello, "sun", flow.SlotRules{OnResume: flow.ResumeAll, Start: flow.Duration(time.Hour)}, ""},
		{own, "2026-05-01,2026-12-25 # Christmas Day,sat", flow.SlotRules{OnResume: flow.ResumeAll, Jitter: flow.Duration(time.Minute), Start: flow.Duration(time.Minute)}, ""},
		{evening, "", flow.SlotRules{OnResume: flow.ResumeNone, Jitter: flow.Duration(time.Minute), Start: flow.Duration(time.Minute)}, "2026-01-01T08:00:00Z"},
	} {
		if got := strings.Join(c.got.NotOn, ","); got != c.notOn || c.got.OnResume != c.want.OnResume || c.got.Jitter != c.want.Jitter || c.got.Start != c.want.Start || c.got.From != c.from {
			t.Errorf("%s: %+v", c.got.Name, c.got)
		}
	}
	bare, _ := Build(mended(), facts())
	if bare[1].Digest != plans[1].Digest {
		t.Error("when a pipeline runs has become a part of what runs")
	}
}

// A calendar file that has changed shows, by the days that came and went.
func TestDaysThatComeAndGo(t *testing.T) {
	t.Parallel()
	m, in := closed("2026-12-25", "2026-05-01")
	before, _ := Build(m, in)
	m, in = closed("2026-05-01", "2027-01-01", "2027-01-02", "2027-01-03", "2027-01-04", "2027-01-05", "2027-01-06")
	p := m.Pipelines["weather"]
	p.Jitter = flow.Duration(2 * time.Minute)
	m.Pipelines["weather"] = p
	after, _ := Build(m, in)
	changes := Diff(before, after)
	want := []string{
		`schedule "weather": jitter "1m" -> "2m"`, `schedule "weather_evening": jitter "1m" -> "2m"`,
		`schedule "weather": not_on gains 2027-01-01; 2027-01-02; 2027-01-03; 2027-01-04; 2027-01-05; 1 more`, `schedule "weather": not_on loses 2026-12-25`,
	}
	if len(changes) != 1 || changes[0].Version || !slices.Equal(changes[0].What, want) {
		t.Errorf("got %+v", changes)
	}
	rules := RuleChanges(before[1].Schedules[0], after[1].Schedules[0])
	if !slices.Equal(rules, []string{`jitter "1m" -> "2m"`, strings.TrimPrefix(want[2], `schedule "weather": `), "not_on loses 2026-12-25"}) {
		t.Errorf("rules %q", rules)
	}
}

// A calendar file that nobody has read is never passed over.
func TestCalendarFileThatWasNotRead(t *testing.T) {
	t.Parallel()
	m, in := closed()
	delete(in.Calendars, "holidays.ics")
	_, problems := Build(m, in)
	if bad := problems.Errors(); len(bad) != 1 || bad[0].Code != flow.CodeNotOn || strings.Join(bad[0].Path, ".") != "pipelines.weather.not_on.0" {
		t.Errorf("got %v", problems)
	}
}
