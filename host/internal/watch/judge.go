package watch

import (
	"fmt"
	"slices"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/calendar"
)

const (
	lateAfter   = 5 * time.Minute // a slot that has been due for so long is late
	waitsLong   = time.Hour       // a run of a slot that waits for its turn for so long is late
	silentAfter = 48 * time.Hour  // a schedule without a run for so long, and two intervals, is silent; one disabled for so long is told
	fewest      = 3               // runs that say something of how long they take
	newest      = 10              // runs of which the median is taken
	recentRuns  = 20              // runs that are looked at to judge a schedule
)

// Finding is a condition that holds.
type Finding struct {
	Condition flow.Condition
	// Since is when it began.
	Since time.Time
	Run   flow.RunID
	// Detail is for everybody; Said is for whoever may see what plugins said and contexts hold, and may be empty.
	Detail, Said string
}

// Subject is what is known of a schedule, to judge it by.
type Subject struct {
	Record *flow.ScheduleRecord
	Cal    *calendar.Schedule
	// Expect is that of its pipeline.
	Expect flow.PlanExpect
	// Broken says why its runs cannot be made.
	Broken error
	// Recent are its last runs, whatever asked for them and whatever their state, newest first.
	Recent []flow.RunBrief
	// Excused tells whether the newest slot at or before an instant was not meant to run. Nil is no.
	Excused func(at time.Time) bool
	// Drifting says that it was found drifting before: what was told is over with a margin only.
	Drifting bool
}

// JudgeSchedule returns the conditions of a schedule that hold, the gravest first.
func JudgeSchedule(s *Subject, now time.Time) []Finding {
	if !s.Record.Active() {
		return disabled(s, now)
	}
	if s.Broken != nil {
		return []Finding{{Condition: flow.ConditionBroken, Since: now, Detail: "its runs cannot be made, and its slots are skipped", Said: s.Broken.Error()}}
	}
	var found []Finding
	for _, judge := range []func(*Subject, time.Time) *Finding{silent, late, failing, drifting} {
		if f := judge(s, now); f != nil {
			found = append(found, *f)
		}
	}
	return found
}

func disabled(s *Subject, now time.Time) []Finding {
	at := s.Record.OverrideAt
	if s.Record.Override == nil || at == nil || now.Sub(*at) <= silentAfter {
		return nil
	}
	return []Finding{{Condition: flow.ConditionDisabled, Since: *at, Detail: "it was disabled by hand at " + stamp(*at) + ", and no slot fires until it is enabled"}}
}

// silent is judged where the pipeline does not say how often it should succeed.
func silent(s *Subject, now time.Time) *Finding {
	if s.Expect.Every > 0 {
		return nil
	}
	seen := s.Record.Begun()
	for i := range s.Recent {
		// What was run by hand says nothing of whether the schedule fires, and a run that was dropped did not run.
		if s.Recent[i].Due() && !s.Recent[i].Missed() && s.Recent[i].QueuedAt.After(seen) {
			seen = s.Recent[i].QueuedAt
			break
		}
	}
	if now.Sub(seen) <= max(silentAfter, 2*s.Cal.Interval()) {
		return nil
	}
	_, due := s.Cal.Owed(seen, now.Add(-s.Cal.Delay()))
	if due == 0 || s.excused(now) {
		return nil
	}
	return &Finding{Condition: flow.ConditionSilent, Since: seen, Detail: fmt.Sprintf("no run since %s, though %d slots came due", stamp(seen), due)}
}

func late(s *Subject, now time.Time) *Finding {
	next := s.Cal.NextDue(s.Record.Watermark)
	if !next.IsZero() && now.Sub(next) > lateAfter && !live(s.Recent) {
		return &Finding{Condition: flow.ConditionLate, Since: next, Detail: "a slot has been due since " + stamp(next) + " and has no ending"}
	}
	for i := range s.Recent {
		if r := &s.Recent[i]; r.State == flow.StateQueued && r.Due() && now.Sub(r.QueuedAt) > waitsLong {
			return &Finding{Condition: flow.ConditionLate, Since: r.QueuedAt, Run: r.ID, Detail: fmt.Sprintf("run %s waits for its turn since %s", r.ID, stamp(r.QueuedAt))}
		}
	}
	return nil
}

// live reports whether the schedule's last run is under way: its slots then wait for it.
func live(recent []flow.RunBrief) bool { return len(recent) > 0 && recent[0].State != flow.StateEnded }

func failing(s *Subject, _ time.Time) *Finding {
	var t tally
	for i := range slices.Backward(s.Recent) {
		t.add(&s.Recent[i])
	}
	if t.streak < max(s.Expect.Failures, 1) {
		return nil
	}
	return t.finding()
}

// tally counts the failed runs since the last success.
type tally struct {
	seen        bool // some run has said something
	streak      int
	first, last flow.RunBrief
}

// add counts a run; the order is that of their ends. It reports whether the run says anything.
func (t *tally) add(r *flow.RunBrief) bool {
	switch {
	case r.State != flow.StateEnded || r.EndedAt == nil:
		return false
	case good(r):
		*t = tally{seen: true}
		return true
	case r.Ending.Outcome == flow.Failed:
		if t.streak == 0 {
			t.first = *r
		}
		t.seen = true
		t.streak++
		t.last = *r
		return true
	}
	return false
}

// good tells a run that went well, or that its own condition made needless.
func good(r *flow.RunBrief) bool {
	return r.Ending.Outcome == flow.Succeeded || r.Ending.Outcome == flow.Skipped && r.Ending.Reason == flow.ReasonCondition
}

func (t *tally) finding() *Finding {
	f := &Finding{Condition: flow.ConditionFailed, Since: *t.first.EndedAt, Run: t.last.ID, Said: t.last.Ending.Message}
	f.Detail = fmt.Sprintf("run %s failed (%s)", t.last.ID, t.last.Ending.Reason)
	if t.streak > 1 {
		f.Detail = fmt.Sprintf("%d runs in a row failed, the last one is %s (%s)", t.streak, t.last.ID, t.last.Ending.Reason)
	}
	return f
}

func drifting(s *Subject, now time.Time) *Finding {
	var times []time.Duration
	for i := range s.Recent {
		if r := &s.Recent[i]; r.Due() && r.StartedAt != nil && r.EndedAt != nil && len(times) < newest {
			times = append(times, r.EndedAt.Sub(*r.StartedAt))
		}
	}
	return driftOf(times, s.Cal.Interval(), s.Drifting, now)
}

// driftOf compares the median of run times with an interval.
func driftOf(times []time.Duration, interval time.Duration, before bool, now time.Time) *Finding {
	if len(times) < fewest || interval == 0 {
		return nil
	}
	slices.Sort(times)
	median := times[len(times)/2]
	if before && median > interval*9/10 || median > interval {
		return &Finding{
			Condition: flow.ConditionDrifting, Since: now,
			Detail: fmt.Sprintf("runs take %s (the median of the last %d), and a slot comes due every %s", round(median), len(times), round(interval)),
		}
	}
	return nil
}

// Pipeline is what is known of a pipeline that says what to expect of it.
type Pipeline struct {
	Expect flow.PlanExpect
	// Success is when it succeeded last, Known since when it is known; zero for never.
	Success, Known time.Time
	// Schedules are those that fire for it.
	Schedules []Subject
}

// JudgePipeline returns the conditions that a pipeline's expect speaks of and that hold.
func JudgePipeline(p *Pipeline, now time.Time) []Finding {
	var found []Finding
	if every := p.Expect.Every.Std(); every > 0 {
		seen := p.Known
		last := "it has never succeeded"
		if !p.Success.IsZero() {
			seen, last = p.Success, "its last success was at "+stamp(p.Success)
		}
		if !seen.IsZero() && now.Sub(seen) > every {
			found = append(found, Finding{Condition: flow.ConditionSilent, Since: seen, Detail: fmt.Sprintf("%s, and one is expected every %s", last, p.Expect.Every)})
		}
	}
	if f := p.lateBy(now); f != nil {
		found = append(found, *f)
	}
	return found
}

// lateBy holds the last deadline against the newest slot before it. A pipeline that nothing fires for should succeed
// once between two deadlines.
func (p *Pipeline) lateBy(now time.Time) *Finding {
	if p.Expect.By == "" {
		return nil
	}
	deadlines, err := calendar.Parse("daily "+p.Expect.By, p.Expect.Timezone)
	if err != nil {
		return nil // the plan has refused it
	}
	by := deadlines.Prev(now)
	from, detail := deadlines.Prev(by), "no run has succeeded in the day"
	if len(p.Schedules) > 0 {
		if from = p.slotBefore(by); from.IsZero() || !p.Success.Before(from) {
			return nil
		}
		if from = p.meantBefore(by); from.IsZero() {
			return nil
		}
		detail = "the slot of " + stamp(from) + " has had no success"
	} else if p.Known.IsZero() || p.Known.After(from) {
		return nil
	}
	if !p.Success.Before(from) {
		return nil
	}
	return &Finding{Condition: flow.ConditionLate, Since: by, Detail: fmt.Sprintf("%s by %s, as expected", detail, stamp(by))}
}

// slotBefore is the newest slot before an instant that is owed; zero where there is none.
func (p *Pipeline) slotBefore(by time.Time) time.Time {
	return p.newest(by, func(*Subject) bool { return true })
}

// meantBefore is slotBefore of the schedules whose slot was meant to run.
func (p *Pipeline) meantBefore(by time.Time) time.Time {
	return p.newest(by, func(s *Subject) bool { return !s.excused(by) })
}

func (p *Pipeline) newest(by time.Time, counts func(*Subject) bool) time.Time {
	var slot time.Time
	for i := range p.Schedules {
		s := &p.Schedules[i]
		if at, _ := s.Cal.Owed(s.Record.Since, by.Add(-s.Cal.Delay()).Add(-1)); at.After(slot) && counts(s) {
			slot = at
		}
	}
	return slot
}

func (s *Subject) excused(at time.Time) bool { return s.Excused != nil && s.Excused(at) }

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }

// round writes a time as a person would say it.
func round(d time.Duration) string {
	unit := time.Second
	if d < 10*time.Second {
		unit = time.Millisecond
	}
	return flow.Duration(d.Round(unit)).String()
}
