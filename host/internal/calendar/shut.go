package calendar

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// maxShut bounds the entries of not_on, calendar files included.
const maxShut = 2000

// shut are the times on which the slots of a schedule are skipped. Days are those of the schedule's zone.
type shut struct {
	zone     *time.Location
	weekdays set
	// days and instants are sorted ranges that do not touch, of day numbers and of seconds.
	days, instants []stay
	// repeats are the entries with a rule.
	repeats []*entry
	texts   []string
}

// stay is a range, [from, to).
type stay struct{ from, to int64 }

// close sets the times on which slots are skipped.
func (s *Schedule) close(notOn []string) *Error {
	if len(notOn) == 0 {
		return nil
	}
	if len(notOn) > maxShut {
		return &Error{
			Code: flow.CodeNotOn, Key: "not_on", Item: -1, Message: fmt.Sprintf("not_on has %d entries, at most %d are allowed", len(notOn), maxShut),
			Hint: "leave out events of the past",
		}
	}
	c := &shut{zone: s.zone}
	budget := maxCounted
	for i, text := range notOn {
		e, err := readEntry(text, &budget)
		if err != nil {
			return entryFault(text, i, err)
		}
		c.add(e)
	}
	c.days, c.instants = joined(c.days), joined(c.instants)
	slices.Sort(c.texts)
	c.texts = slices.Compact(c.texts)
	s.shut = c
	return nil
}

// entryFault names an entry that is not understood, and one that is and may be meant.
func entryFault(text string, item int, err error) *Error {
	e := &Error{Code: flow.CodeNotOn, Key: "not_on", Item: item, Message: err.Error(), Hint: "an entry is a weekday (sat), a date (2026-12-25), a range of dates (2026-12-24..2026-12-26) or the path of an .ics file"}
	if near := mendEntry(text); near != "" {
		e.Hint = fmt.Sprintf("did you mean %q? %s", near, e.Hint)
	}
	return e
}

// mendEntry returns a valid entry that is close to a mistaken one, or "".
func mendEntry(text string) string {
	folded := strings.ToLower(strings.TrimSpace(text))
	candidates := []string{folded, strings.NewReplacer("/", "-", " to ", "..", " - ", "..", " ", "").Replace(folded)}
	for _, layout := range []string{"02.01.2006", "2.1.2006", "2006/1/2", "2006-1-2", "2 January 2006", "January 2, 2006", "2 Jan 2006"} {
		if day, err := time.Parse(layout, strings.TrimSpace(text)); err == nil {
			candidates = append(candidates, day.Format(time.DateOnly))
		}
	}
	if looseWeekday.FindString(folded) == folded && folded != "" {
		candidates = append(candidates, mendWeekdays(folded))
	}
	for _, near := range candidates {
		budget := maxCounted
		if e, err := readEntry(near, &budget); err == nil {
			return e.text
		}
	}
	return ""
}

func (c *shut) add(e *entry) {
	c.texts = append(c.texts, e.text)
	switch {
	case e.weekdays != 0:
		c.weekdays |= e.weekdays
	case e.rule != nil:
		c.repeats = append(c.repeats, e)
	case e.whole:
		c.days = append(c.days, stay{e.day, e.day + e.length})
	default:
		from := e.at(c.zone, e.day)
		c.instants = append(c.instants, stay{from, max(e.end(c.zone, e.day), from+1)})
	}
}

// joined sorts ranges and joins those that touch.
func joined(all []stay) []stay {
	slices.SortFunc(all, func(a, b stay) int { return cmp.Compare(a.from, b.from) })
	kept := all[:0]
	for _, r := range all {
		if n := len(kept); n > 0 && r.from <= kept[n-1].to {
			kept[n-1].to = max(kept[n-1].to, r.to)
			continue
		}
		kept = append(kept, r)
	}
	return kept
}

// around reports whether a range holds n, and the next bound of a range after it.
func around(all []stay, n int64) (held bool, bound int64) {
	i, _ := slices.BinarySearchFunc(all, n, func(r stay, n int64) int {
		if r.to <= n {
			return -1
		}
		return 1
	})
	switch {
	case i == len(all):
		return false, latest
	case all[i].from <= n:
		return true, all[i].to
	}
	return false, all[i].from
}

// at reports whether slots are skipped at an instant, and until when that does not change; it may not change then
// either.
func (c *shut) at(sec int64) (held bool, until int64) {
	p := period(c.zone, sec)
	day, _ := split(sec + p.offset)
	until = min(p.end, (day+1)*daySeconds-p.offset)
	if c.day(day) {
		return true, until
	}
	held, bound := around(c.instants, sec)
	until = min(until, bound)
	for _, e := range c.repeats {
		if !e.whole {
			in, bound := e.around(c.zone, sec)
			held, until = held || in, min(until, bound)
		}
	}
	return held, until
}

// day reports whether slots are skipped on all of a day.
func (c *shut) day(day int64) bool {
	if c.weekdays.has(weekday(day)) {
		return true
	}
	if held, _ := around(c.days, day); held {
		return true
	}
	return slices.ContainsFunc(c.repeats, func(e *entry) bool { return e.whole && e.holds(day) })
}

// NotOn returns the times on which slots are skipped, in canonical form and order.
func (s *Schedule) NotOn() []string {
	if s.shut == nil {
		return nil
	}
	return s.shut.texts
}

// Shut reports whether the slot of an instant is skipped, and by which entry of not_on.
func (s *Schedule) Shut(at time.Time) (entry string, held bool) {
	if s.shut == nil {
		return "", false
	}
	if held, _ := s.shut.at(at.Unix()); !held {
		return "", false
	}
	for _, text := range s.shut.texts {
		one := Schedule{zone: s.zone}
		if fault := one.close([]string{text}); fault != nil {
			continue
		}
		if held, _ := one.shut.at(at.Unix()); held {
			return text, true
		}
	}
	return "", true
}

// Stretch is a range of slots that are all skipped by not_on, or all not.
type Stretch struct {
	From, To time.Time // the first and the last slot
	Count    int64
	Shut     bool
}

// Stretches returns the slots in (after, until], oldest first; neighbours differ. Its cost grows with the days in the
// range where a schedule has a not_on, not with the slots.
func (s *Schedule) Stretches(after, until time.Time) []Stretch {
	lo, hi := secondsAfter(after), secondsAfter(until)
	var all []Stretch
	for lo < hi {
		first, ok := s.rule.next(lo)
		if !ok || first >= hi {
			break
		}
		held, end := false, hi
		if s.shut != nil {
			held, end = s.shut.stretch(first, hi)
		}
		last, count := s.rule.span(first, end)
		n := len(all)
		if n > 0 && all[n-1].Shut == held {
			all[n-1].To, all[n-1].Count = time.Unix(last, 0).UTC(), all[n-1].Count+count
		} else {
			all = append(all, Stretch{time.Unix(first, 0).UTC(), time.Unix(last, 0).UTC(), count, held})
		}
		lo = end
	}
	return all
}

// stretch returns whether slots are skipped at an instant, and up to when, at most hi, that goes on.
func (c *shut) stretch(sec, hi int64) (held bool, end int64) {
	held, end = c.at(sec)
	for end < hi {
		next, until := c.at(end)
		if next != held {
			return held, end
		}
		end = until
	}
	return held, min(end, hi)
}

// Owed returns the newest slot in (after, until] that is not skipped, and how many of them there are; zero and 0 where
// there is none.
func (s *Schedule) Owed(after, until time.Time) (last time.Time, count int64) {
	if s.shut == nil {
		return s.Due(after, until)
	}
	for _, r := range s.Stretches(after, until) {
		if !r.Shut {
			last, count = r.To, count+r.Count
		}
	}
	return last, count
}

// NextOpen returns the first slot strictly after an instant that is not skipped; zero where there is none within the
// 400 years after which the calendar repeats itself.
func (s *Schedule) NextOpen(after time.Time) time.Time {
	if s.shut == nil {
		return s.Next(after)
	}
	sec, horizon := secondsAfter(after), latest
	for first := true; sec < horizon; first = false {
		slot, ok := s.rule.next(sec)
		if !ok {
			break
		}
		if first {
			horizon = min(latest, slot+cycleDays*daySeconds)
		}
		held, until := s.shut.at(slot)
		if !held {
			return time.Unix(slot, 0).UTC()
		}
		sec = until
	}
	return time.Time{}
}

// FiresOf is Fires of a schedule that was applied at since: what lies before that is not owed, even if it would come due
// now.
func (s *Schedule) FiresOf(since, after time.Time, n int) []time.Time {
	if first := since.Add(s.delay); !after.Before(since) && after.Before(first) {
		after = first
	}
	return s.Fires(after, n)
}

// Fires returns when the first n runs of the schedule start after an instant, oldest first; at most 10,000. Each is a
// slot that is not skipped, and the delay.
func (s *Schedule) Fires(after time.Time, n int) []time.Time {
	var all []time.Time
	slot := after.Add(-s.delay)
	for len(all) < min(n, maxList) {
		if slot = s.NextOpen(slot); slot.IsZero() {
			break
		}
		all = append(all, slot.Add(s.delay))
	}
	return all
}
