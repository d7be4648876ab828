package calendar

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// maxJitter bounds the delay of a start.
const maxJitter = 24 * time.Hour

// Of returns the calendar of a tenant's schedule: its text and zone within its bounds, the times on which its slots are
// skipped, and the delay of its starts. The error is an *Error.
func Of(tenant string, p *flow.PlanSchedule) (*Schedule, error) {
	s, err := Parse(p.At, p.Timezone)
	if err != nil {
		return nil, err
	}
	if fault := s.bound(p.From, p.To); fault != nil {
		return nil, fault
	}
	if fault := s.close(p.NotOn); fault != nil {
		return nil, fault
	}
	s.delay = Delay(tenant, p.Name, p.Jitter.Std())
	return s, nil
}

// Freeze is Of for a schedule that is new: it brings text, zone, bounds and not_on into their canonical form, and refuses
// a jitter that is too long and slots that are all skipped. A from of an interval becomes a part of its text.
func Freeze(tenant string, p *flow.PlanSchedule) (*Schedule, error) {
	if s, err := Parse(p.At, p.Timezone); err == nil && s.kind == KindEvery && p.From != "" {
		if fault := s.anchor(p); fault != nil {
			return nil, fault
		}
	}
	s, err := Of(tenant, p)
	if err != nil {
		return nil, err
	}
	p.At, p.Timezone, p.From, p.To = s.Text(), s.Zone(), s.from, s.to
	if s.shut != nil {
		p.NotOn = s.shut.texts
	}
	if fault := s.fits(p.Jitter.Std()); fault != nil {
		return nil, fault
	}
	if since, never := s.allShut(); never {
		return nil, s.neverOpen(p, since)
	}
	return s, nil
}

// allShut reports whether no slot gets a run: none since 1970, or none once all entries that come again have begun. It
// also returns since when.
func (s *Schedule) allShut() (time.Time, bool) {
	begun := time.Unix(-1, 0)
	if s.NextOpen(begun).IsZero() {
		return begun, true
	}
	if s.shut == nil || len(s.shut.repeats) == 0 {
		return begun, false
	}
	for _, e := range s.shut.repeats {
		if at := time.Unix(e.day*daySeconds, 0); e.rule.until == lastDay && at.After(begun) {
			begun = at
		}
	}
	return begun, !s.Next(begun).IsZero() && s.NextOpen(begun).IsZero()
}

// anchor moves the key from into the text of an interval.
func (s *Schedule) anchor(p *flow.PlanSchedule) *Error {
	if strings.Contains(s.Text(), " from ") {
		e := boundFault("from", "the text has an instant to count from already")
		e.Hint = "write it in one place: at = \"" + s.Text() + "\""
		return e
	}
	from, fault := s.instant("from", p.From, false)
	if fault != nil {
		return fault
	}
	if fault := s.bound(p.From, p.To); fault != nil {
		return fault
	}
	p.At, p.From = s.Text()+" from "+from.Format(time.RFC3339), ""
	return nil
}

// Delay returns how long after its slot each run of a schedule starts: a time in [0, jitter), whole milliseconds, that
// depends on tenant and name alone.
func Delay(tenant, name string, jitter time.Duration) time.Duration {
	if jitter < time.Millisecond {
		return 0
	}
	sum := sha256.Sum256([]byte(flow.ID(tenant, name)))
	return time.Duration(binary.BigEndian.Uint64(sum[:8])%uint64(jitter.Milliseconds())) * time.Millisecond
}

// Delay returns how long after its slot a run of the schedule starts.
func (s *Schedule) Delay() time.Duration { return s.delay }

// NextDue returns when the first slot strictly after an instant comes due: its delay later, whether it is skipped or not;
// zero where there is none.
func (s *Schedule) NextDue(after time.Time) time.Time {
	next := s.Next(after)
	if next.IsZero() {
		return next
	}
	return next.Add(s.delay)
}

// Is reports whether Of would return the same calendar again.
func (s *Schedule) Is(tenant string, p *flow.PlanSchedule) bool {
	return s.text == p.At && s.Zone() == p.Timezone && s.from == p.From && s.to == p.To &&
		s.delay == Delay(tenant, p.Name, p.Jitter.Std()) && slices.Equal(s.NotOn(), p.NotOn)
}

// Same reports whether two schedules have the same slots, skip the same ones and start at the same times.
func (s *Schedule) Same(o *Schedule) bool {
	return s.SameSlots(o) && s.delay == o.delay && slices.Equal(s.NotOn(), o.NotOn())
}

// SameSlots reports whether two schedules have the same slots.
func (s *Schedule) SameSlots(o *Schedule) bool {
	return s.Text() == o.Text() && s.Zone() == o.Zone() && s.from == o.from && s.to == o.to
}

// fits refuses a jitter that is not shorter than the shortest time between two slots.
func (s *Schedule) fits(jitter time.Duration) *Error {
	longest := maxJitter
	if gap := s.Gap(); gap > 0 && gap <= longest {
		longest = gap - time.Second
		if gap == time.Second {
			longest = gap - time.Millisecond
		}
	}
	if jitter <= longest {
		return nil
	}
	return &Error{
		Code: flow.CodeJitter, Key: "jitter", Message: fmt.Sprintf("jitter %s is too long: slots of %s are %s apart, and a day is the most", flow.Duration(jitter), s.Text(), flow.Duration(s.Gap())),
		Hint: fmt.Sprintf("write jitter = %q", flow.Duration(longest).String()),
	}
}

// Often refuses a schedule of which two slots are closer to each other than least.
func (s *Schedule) Often(least time.Duration) *Error {
	if least <= time.Second { // no two are
		return nil
	}
	gap := s.Gap()
	if gap == 0 || gap >= least {
		return nil
	}
	near := (least + time.Second - 1) / time.Second
	return &Error{
		Code: flow.CodeScheduleOften, Length: len(s.text),
		Message: fmt.Sprintf("the schedule %s fires too often: slots are %s apart, and min_interval of the host is %s", quote(s.text), flow.Duration(gap), flow.Duration(least)),
		Hint:    fmt.Sprintf("write `every %s`, or let slots be %s apart", intervalText(int64(near)), flow.Duration(least)),
	}
}

// neverOpen tells why no slot gets a run.
func (s *Schedule) neverOpen(p *flow.PlanSchedule, since time.Time) *Error {
	e := &Error{Code: flow.CodeScheduleNever, Message: fmt.Sprintf("the schedule %s never fires", quote(p.At))}
	slot := s.Next(since)
	if slot.IsZero() {
		free := Schedule{kind: s.kind, text: s.text, zone: s.zone, rule: s.clock()}
		e.Key, e.Message = "to", e.Message+fmt.Sprintf(": it has no slot between from and to (%s and %s)", orNone(s.from), orNone(s.to))
		if s.to == "" {
			e.Key = "from"
		}
		e.Hint = "remove from or to"
		if near := free.Next(time.Unix(s.lower()-1, 0)); !near.IsZero() && s.to != "" {
			e.Hint = "its next slot is at " + near.Format(time.RFC3339) + ": write to = \"" + near.Format(time.RFC3339) + "\", or later"
		}
		return e
	}
	held, _ := s.Shut(slot)
	e.Key, e.Item, e.Message = "not_on", -1, e.Message+": all its slots fall on times of not_on, the first one on "+held
	e.Hint = "remove " + held + " from not_on"
	return e
}

func orNone(bound string) string {
	if bound == "" {
		return "none"
	}
	return bound
}

// Bounds.

// window is a rule between two bounds, [lo, hi).
type window struct {
	rule   rule
	lo, hi int64
}

func (w window) next(sec int64) (int64, bool) {
	slot, ok := w.rule.next(max(sec, w.lo))
	return slot, ok && slot < w.hi
}

func (w window) span(lo, hi int64) (last, count int64) {
	if lo, hi = max(lo, w.lo), min(hi, w.hi); lo >= hi {
		return 0, 0
	}
	return w.rule.span(lo, hi)
}

func (w window) spacing() int64 { return w.rule.spacing() }

// clock returns the rule without bounds.
func (s *Schedule) clock() rule {
	if w, ok := s.rule.(window); ok {
		return w.rule
	}
	return s.rule
}

func (s *Schedule) lower() int64 {
	if w, ok := s.rule.(window); ok {
		return w.lo
	}
	return earliest
}

// bound sets the bounds of the slots, both included; empty is none.
func (s *Schedule) bound(from, to string) *Error {
	w := window{s.rule, earliest, latest}
	if from != "" {
		at, fault := s.instant("from", from, false)
		if fault != nil {
			return fault
		}
		w.lo, s.from = at.Unix(), at.Format(time.RFC3339)
	}
	if to != "" {
		at, fault := s.instant("to", to, true)
		if fault != nil {
			return fault
		}
		w.hi, s.to = at.Unix()+1, at.Format(time.RFC3339)
	}
	if w.lo >= w.hi {
		e := boundFault("from", fmt.Sprintf("from, %s, is after to, %s", from, to))
		e.Hint = fmt.Sprintf("write from = %q and to = %q", to, from)
		return e
	}
	if s.from != "" || s.to != "" {
		s.rule = w
	}
	return nil
}

func boundFault(key, message string) *Error {
	return &Error{Code: flow.CodeScheduleBounds, Key: key, Message: message}
}

// instant reads a bound: an instant, or a date of the schedule's zone, which is its first second, or its last.
func (s *Schedule) instant(key, text string, last bool) (time.Time, *Error) {
	if day, err := time.Parse(time.DateOnly, text); err == nil {
		n := day.Unix() / daySeconds
		if last {
			return time.Unix(reach(s.zone, (n+1)*daySeconds)-1, 0).UTC(), nil
		}
		return time.Unix(reach(s.zone, n*daySeconds), 0).UTC(), nil
	}
	at, fault := readInstant(word{text, 0})
	if fault == nil {
		return at, nil
	}
	e := boundFault(key, fmt.Sprintf("%s is %s, neither an instant nor a date", key, quote(text)))
	e.Hint = "write it like 2027-01-01T00:00:00Z or 2027-01-01"
	if near := mendInstant(strings.Fields(strings.ToLower(text))); near != strings.ToLower(text) {
		if at, fault := readInstant(word{near, 0}); fault == nil {
			e.Hint = fmt.Sprintf("did you mean %s?", at.Format(time.RFC3339))
		}
	}
	return at, e
}

// Gap returns the shortest time between two slots, clock changes aside; 0 for a schedule that fires once.
func (s *Schedule) Gap() time.Duration {
	switch r := s.clock().(type) {
	case interval:
		return time.Duration(r.step) * time.Second
	case *wall:
		return time.Duration(r.pattern.gap()) * time.Second
	}
	return 0
}

// gap returns the shortest distance of two readings in seconds.
func (p *pattern) gap() int64 {
	n := p.timesPerDay()
	least := p.apart()*daySeconds - p.pick(n-1) + p.pick(0)
	for i := int64(1); i < n && least > 1; i++ {
		least = min(least, p.pick(i)-p.pick(i-1))
	}
	return least
}

// apart returns the least distance of two matching days, within 40 years: after these, dates have had every weekday,
// leap days too.
func (p *pattern) apart() int64 {
	const days = 40 * 366
	least, last := int64(days), int64(-days)
	for day := int64(0); day < days && least > 1; day++ {
		if p.hasDay(day) {
			least, last = min(least, day-last), day
		}
	}
	return least
}
