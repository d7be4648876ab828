package calendar

import (
	"fmt"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// maxOutlook bounds how far Transitions looks, in seconds: about 50 years.
const maxOutlook = 50 * 366 * daySeconds

// Transition is a local day on which clocks change and the schedule fires, or would have.
type Transition struct {
	// Day is the local date: 2026-03-08.
	Day string
	// At is the instant of the change, in the schedule's zone.
	At time.Time
	// Shift is how far clocks are set: positive for a gap, negative for a fold.
	Shift time.Duration
	// Effect is what the change does to the day's slots.
	Effect flow.ClockEffect
	// Wall is the first written time that is touched, such as 02:30:00; "" where none is.
	Wall string
	// Slot is when that time runs, in the schedule's zone; where none is touched, the first slot of the day; zero where
	// the day does not exist.
	Slot time.Time
}

// String says in one sentence what happens.
func (t Transition) String() string {
	head := fmt.Sprintf("%s: clocks go %s by %s at %s", t.Day, t.direction(), flow.Duration(t.Shift.Abs()), t.At.Format("15:04:05 MST"))
	run := t.Slot.Format("15:04:05 MST")
	switch t.Effect {
	case flow.ClockMoved:
		return fmt.Sprintf("%s; %s does not exist and runs at %s", head, t.Wall, run)
	case flow.ClockFirst:
		return fmt.Sprintf("%s; %s comes twice and runs the first time, %s", head, t.Wall, run)
	case flow.ClockNoDay:
		return fmt.Sprintf("%s; the day does not exist and has no slot", head)
	case flow.ClockElapsed:
		return fmt.Sprintf("%s; slots follow elapsed time, the first is at %s", head, run)
	}
	return fmt.Sprintf("%s; no slot is touched, the first is at %s", head, run)
}

func (t Transition) direction() string {
	if t.Shift < 0 {
		return "back"
	}
	return "forward"
}

// Transitions returns the next n local days after an instant on which clocks change and the schedule has a slot still
// to come, or has none because the day does not exist. It looks 50 years ahead and returns at most 10,000 days.
func (s *Schedule) Transitions(after time.Time, n int) []Transition {
	var found []Transition
	sec := secondsAfter(after)
	horizon := min(sec+maxOutlook, latest)
	// A change of yesterday may lie on a local day that still has slots.
	p := period(s.zone, max(sec-maxShift, earliest))
	for len(found) < min(n, maxList) && p.end < horizon {
		following := period(s.zone, p.end)
		if following.offset != p.offset {
			if t, ok := s.transition(p, following, sec); ok {
				found = append(found, t)
			}
		}
		p = following
	}
	return found
}

// Changes returns Transitions as a host answers them, for the schedule of the given id.
func (s *Schedule) Changes(id string, after time.Time, n int) []flow.ClockChange {
	var all []flow.ClockChange
	for _, t := range s.Transitions(after, n) {
		c := flow.ClockChange{
			Schedule: id, Timezone: s.Zone(), Day: t.Day, At: t.At, Shift: flow.ClockGap, By: flow.Duration(t.Shift.Abs()),
			Effect: t.Effect, Wall: t.Wall, Text: t.String(),
		}
		if t.Shift < 0 {
			c.Shift = flow.ClockFold
		}
		if !t.Slot.IsZero() {
			c.Slot = &t.Slot
			if entry, shut := s.Shut(t.Slot); shut {
				c.Text += "; that slot is skipped: not_on has " + entry
			}
		}
		all = append(all, c)
	}
	return all
}

// transition describes the change between two periods; false if its day has no slot at or after sec.
func (s *Schedule) transition(before, following steady, sec int64) (Transition, bool) {
	change := following.start
	day, _ := split(max(change+following.offset, change-1+before.offset))
	t := Transition{
		Day:    wallFormat(day*daySeconds, time.DateOnly),
		At:     time.Unix(change, 0).In(s.zone),
		Shift:  time.Duration(following.offset-before.offset) * time.Second,
		Effect: flow.ClockElapsed,
	}
	if w, ok := s.clock().(*wall); ok && !w.pattern.anyHour() {
		var reading int64
		t.Effect, reading = w.effect(change, change+following.offset)
		if t.Effect != flow.ClockNone {
			t.Day = wallFormat(reading, time.DateOnly)
		}
		switch t.Effect {
		case flow.ClockNoDay:
			return t, change >= sec && s.within(change)
		case flow.ClockMoved, flow.ClockFirst:
			slot := reach(s.zone, reading)
			t.Wall, t.Slot = wallFormat(reading, time.TimeOnly), time.Unix(slot, 0).In(s.zone)
			return t, slot >= sec && s.within(slot)
		}
	}
	slot, ok := s.rule.next(max(sec, reach(s.zone, day*daySeconds)))
	t.Slot = time.Unix(slot, 0).In(s.zone)
	return t, ok && slot < reach(s.zone, (day+1)*daySeconds)
}

// within reports whether an instant lies between the schedule's bounds.
func (s *Schedule) within(sec int64) bool {
	w, ok := s.rule.(window)
	return !ok || w.lo <= sec && sec < w.hi
}

// effect says what a change, after which clocks show a reading, does to a pattern of fixed hours, and to which of its
// readings first.
func (w *wall) effect(change, reading int64) (flow.ClockEffect, int64) {
	shown := shown(w.zone, change)
	touched, ok := w.pattern.next(min(shown, reading))
	switch {
	case !ok || touched >= max(shown, reading):
		return flow.ClockNone, 0
	case reading < shown:
		return flow.ClockFirst, touched
	case w.pattern.skipped(shown, reading):
		return flow.ClockMoved, touched
	}
	return flow.ClockNoDay, touched
}

// wallFormat writes a reading.
func wallFormat(reading int64, layout string) string {
	return time.Unix(reading, 0).UTC().Format(layout)
}
