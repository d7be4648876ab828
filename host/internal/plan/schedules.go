package plan

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/calendar"
	"github.com/uniflow-dev/uniflow/host/internal/expr"
)

// schedules freezes the pipelines' own schedules and the tables under [schedules].
func (b *builder) schedules(plans []flow.Plan) {
	b.zone(key{"host", "timezone"}, b.m.Host.Timezone)
	byName := map[string]*flow.Plan{}
	for i := range plans {
		p := &plans[i]
		byName[p.Pipeline] = p
		src := b.m.Pipelines[p.Pipeline]
		at := key{"pipelines", p.Pipeline}
		if b.zone(at.to("timezone"), src.Timezone); src.Schedule == "" {
			continue
		}
		s := flow.Schedule{Name: p.Pipeline, At: src.Schedule, Timezone: src.Timezone, Enabled: src.Enabled}
		b.schedule(p, at, at.to("schedule"), s)
	}
	for _, name := range slices.Sorted(maps.Keys(b.m.Schedules)) {
		s := b.m.Schedules[name]
		s.Name = name
		at := key{"schedules", name}
		if !goodName(name, true) {
			b.fail(flow.CodeBadName, at, nameHelp, "%q is no name for a schedule", name).OnKey = true
		}
		if b.m.Pipelines[name].Schedule != "" {
			b.fail(flow.CodeScheduleName, at, "rename this table", "schedule %q exists already: it stands on the pipeline of that name", name).OnKey = true
		}
		p := byName[s.Pipeline]
		if p == nil {
			b.fail(flow.CodeUnknownPipeline, at.to("pipeline"), expr.DidYouMean(s.Pipeline, slices.Sorted(maps.Keys(byName))), "there is no pipeline %q", s.Pipeline)
			continue
		}
		b.schedule(p, at, at.to("at"), s)
	}
}

// schedule freezes one schedule onto its plan.
func (b *builder) schedule(p *flow.Plan, at, text key, s flow.Schedule) {
	src := b.m.Pipelines[p.Pipeline]
	zone := first(s.Timezone, src.Timezone, b.m.Host.Timezone, "UTC")
	frozen := flow.PlanSchedule{
		Name: s.Name, Pipeline: p.Pipeline, At: s.At, Timezone: zone, Context: s.Context, Enabled: s.Enabled == nil || *s.Enabled,
		Overlap:   last(p.Overlap, s.Overlap),
		Catchup:   catchups(b.m.Defaults.Catchup, src.Catchup, s.Catchup),
		SlotRules: p.Slots, From: s.From, To: s.To,
	}
	frozen.OnResume, frozen.Jitter = last(p.Slots.OnResume, s.OnResume), last(p.Slots.Jitter, s.Jitter)
	b.slots(at, s.Overlap, s.Catchup, s.OnResume)
	b.zone(at.to("timezone"), s.Timezone)
	b.settle(at, text, &frozen, s.NotOn)
	for _, bad := range contextProblems(p.Params, s.Context) {
		b.fail(flow.CodeContext, at.to("context", bad.key), bad.help, "%s", bad.message)
	}
	if lacking := lackingParams(p.Params, laid(p.Context, s.Context)); len(lacking) > 0 {
		b.fail(flow.CodeContext, at, fmt.Sprintf("give %s in the context of the pipeline or of the schedule", lacking[0]),
			"schedule %q starts runs without %s, which the params require", s.Name, joinWords(lacking)).OnKey = true
	}
	p.Schedules = append(p.Schedules, frozen)
}

// zone checks the name of a time zone once.
func (b *builder) zone(at key, name string) {
	id := fmt.Sprint(at)
	if name == "" || b.zones[id] {
		return
	}
	b.zones[id] = true
	if _, err := calendar.Parse("daily 00:00", name); err != nil {
		bad, _ := err.(*calendar.Error) //nolint:errorlint // Parse returns this type and nothing else
		found := b.fail(bad.Code, at, bad.Hint, "%s", bad.Message)
		found.Offset, found.Length = bad.Offset, bad.Length
	}
}

// slotRules merges what the defaults and a pipeline say about slots. Of not_on, the last list counts.
func (b *builder) slotRules(at key, src *flow.Pipeline) flow.SlotRules {
	d := b.m.Defaults
	rules := flow.SlotRules{
		OnResume: last(d.OnResume, src.OnResume), Jitter: last(d.Jitter, src.Jitter), Start: last(d.Timeout.Start, src.Timeout.Start),
	}
	if rules.OnResume == flow.ResumeNone {
		rules.OnResume = ""
	}
	list, layer := b.notOn(d.NotOn, src.NotOn)
	place := []key{{"defaults", "not_on"}, at.to("not_on")}[layer]
	for i, item := range list {
		rules.NotOn = append(rules.NotOn, b.entries(place.to(strconv.Itoa(i)), item)...)
	}
	return rules
}

// notOn returns the list that counts, and which of them that is.
func (b *builder) notOn(layers ...[]string) (list []string, layer int) {
	for i, l := range layers {
		if l != nil {
			list, layer = l, i
		}
	}
	return list, layer
}

// entries are what an item of not_on stands for: itself, or what a calendar file says.
func (b *builder) entries(at key, item string) []string {
	if !IsCalendar(item) {
		return []string{item}
	}
	entries, read := b.in.Calendars[item]
	if id := fmt.Sprint(at); !read && !b.told[id] {
		b.told[id] = true
		b.fail(flow.CodeNotOn, at, "write its days, or name the file in not_on of a manifest", "the calendar file %q is not read here", item)
	}
	return entries
}

// IsCalendar reports whether an item of not_on is the path of a calendar file.
func IsCalendar(item string) bool { return strings.HasSuffix(strings.ToLower(item), ".ics") }

// settle brings a schedule into its canonical form, with the not_on of its own if it has one, and reports what is wrong.
func (b *builder) settle(at, text key, s *flow.PlanSchedule, own []string) {
	src := b.m.Pipelines[s.Pipeline]
	list, layer := b.notOn(b.m.Defaults.NotOn, src.NotOn, own)
	place := []key{{"defaults", "not_on"}, {"pipelines", s.Pipeline, "not_on"}, at.to("not_on")}[layer]
	s.NotOn = nil
	var items []int // of the list, by entry
	for i, item := range list {
		for _, entry := range b.entries(place.to(strconv.Itoa(i)), item) {
			s.NotOn, items = append(s.NotOn, entry), append(items, i)
		}
	}
	whole := *s
	if _, err := calendar.Parse("daily 00:00", s.Timezone); err != nil {
		whole.Timezone = "UTC" // the zone is reported where it is written
	}
	cal, err := calendar.Freeze(b.in.Tenant, &whole)
	bad, ok := err.(*calendar.Error) //nolint:errorlint // Freeze returns this type and nothing else
	switch {
	case !ok:
		zone := s.Timezone
		*s = whole
		s.Timezone = zone
		b.often(text, cal)
		return
	case bad.Key == "not_on" && bad.Item >= 0 && bad.Item < len(items):
		place = place.to(strconv.Itoa(items[bad.Item]))
	case bad.Key == "jitter":
		place = b.jitterPlace(at, &src)
	case bad.Key != "" && bad.Key != "not_on":
		place = at.to(bad.Key)
	case bad.Key == "":
		place = text
	}
	if id := fmt.Sprint(place, bad.Message); !b.told[id] { // schedules may share a list
		b.told[id] = true
		found := b.fail(bad.Code, place, bad.Hint, "%s", bad.Message)
		found.Offset, found.Length = bad.Offset, bad.Length
	}
}

// jitterPlace is the key of the jitter that counts for a schedule.
func (b *builder) jitterPlace(at key, src *flow.Pipeline) key {
	if own := b.m.Schedules[at[1]]; at[0] == "schedules" && own.Jitter == 0 {
		if at = (key{"pipelines", own.Pipeline}); src.Jitter == 0 {
			at = key{"defaults"}
		}
	} else if src.Jitter == 0 && at[0] == "pipelines" {
		at = key{"defaults"}
	}
	return at.to("jitter")
}

// often refuses a schedule that fires more often than the host allows.
func (b *builder) often(text key, cal *calendar.Schedule) {
	if err := cal.Often(b.m.Host.MinInterval.Std()); err != nil {
		b.fail(err.Code, text, err.Hint, "%s", err.Message)
	}
}
