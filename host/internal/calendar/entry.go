package calendar

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

const (
	maxEntry   = 4096 // bytes of an entry's text
	maxLength  = 366  // days that an entry lasts, where it has a rule
	maxExcepts = 200
	maxTitle   = 60 // characters
	wallLayout = "2006-01-02T15:04:05"
)

// entry is an item of not_on: weekdays, or an event of whole days or of a part of a day, once or by a rule. Its text is
//
//	sat
//	2026-12-25
//	2026-12-24..2026-12-26
//	2026-12-24T12:00:00..2026-12-24T18:00:00 Europe/Berlin
//	2026-12-25 FREQ=YEARLY EXCEPT=2030-12-25 # Christmas Day
//
// Times without a zone are those of the schedule's; times with a Z are UTC. What follows # is a title.
type entry struct {
	text     string
	weekdays set
	whole    bool
	day      int64 // on which it begins
	length   int64 // days; seconds on the wall, where it is not of whole days
	tod      int64 // when it begins, seconds of the day
	zone     *time.Location
	rule     *recurrence
	except   []int64 // days on which it does not begin, sorted
}

// readEntry reads an entry. The budget bounds the days that may be looked at for counted rules.
func readEntry(text string, budget *int) (*entry, error) {
	if len(text) > maxEntry {
		return nil, fmt.Errorf("%s has %d bytes, at most %d are allowed", quote(text), len(text), maxEntry)
	}
	body, title, _ := strings.Cut(text, "#")
	words := strings.Fields(body)
	if len(words) == 0 {
		return nil, errors.New("an entry of not_on is empty")
	}
	e := &entry{}
	if days, fault := readWeekdays(word{strings.ToLower(words[0]), 0}); fault == nil && len(words) == 1 {
		e.weekdays, e.text = days, weekdayList(days)
		return e.titled(title), nil
	}
	if err := e.readSpan(words[0]); err != nil {
		return nil, err
	}
	for _, w := range words[1:] {
		if err := e.readMore(w, budget); err != nil {
			return nil, err
		}
	}
	if e.rule != nil && !e.whole && e.length > maxLength*daySeconds || e.rule != nil && e.whole && e.length > maxLength {
		return nil, fmt.Errorf("%s comes again and lasts longer than %d days", quote(words[0]), maxLength)
	}
	e.write(words[0])
	return e.titled(title), nil
}

// titled adds a title to the text, as far as it can be shown.
func (e *entry) titled(title string) *entry {
	title = strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == '#' {
			return ' '
		}
		return r
	}, title)), " ")
	if runes := []rune(title); len(runes) > maxTitle {
		title = string(runes[:maxTitle-1]) + "…"
	}
	if title != "" {
		e.text += " # " + title
	}
	return e
}

// write sets the canonical text.
func (e *entry) write(span string) {
	e.text = strings.ToUpper(span)
	if from, to, ranged := strings.Cut(e.text, ".."); ranged && from == to && e.whole {
		e.text = from
	}
	if e.zone != nil && e.zone != time.UTC {
		e.text += " " + e.zone.String()
	}
	if e.rule != nil {
		e.text += " " + e.rule.text
	}
	var days []string
	for _, day := range e.except {
		days = append(days, wallFormat(day*daySeconds, time.DateOnly))
	}
	if days != nil {
		e.text += " EXCEPT=" + strings.Join(days, ",")
	}
}

// readSpan reads a date or a moment, and what it lasts until.
func (e *entry) readSpan(text string) error {
	from, to, ranged := strings.Cut(strings.ToUpper(text), "..")
	if !ranged {
		to = from
	}
	first, wholeFirst, utcFirst, err := readMoment(from)
	last, whole, utc, bad := readMoment(to)
	if err = cmp.Or(err, bad); err != nil {
		return fmt.Errorf("%s %w", quote(text), err)
	}
	e.day, e.tod = split(first)
	e.whole, e.length = whole, last-first
	switch {
	case whole != wholeFirst || utc != utcFirst:
		return fmt.Errorf("%s begins and ends in different forms", quote(text))
	case whole:
		e.length = e.length/daySeconds + 1
	case !ranged:
		return fmt.Errorf("%s is one moment and lasts no time", quote(text))
	}
	if e.length < 1 {
		return fmt.Errorf("%s ends before it begins", quote(text))
	}
	if utc {
		e.zone = time.UTC
	}
	return nil
}

// readMoment reads a date or a time of day on a date as a reading, of UTC if it ends with a Z.
func readMoment(text string) (reading int64, whole, utc bool, err error) {
	if day, err := time.Parse(time.DateOnly, text); err == nil {
		return day.Unix(), true, false, inYears(day)
	}
	bare := strings.TrimSuffix(text, "Z")
	for _, layout := range []string{wallLayout, "2006-01-02T15:04"} {
		if at, err := time.Parse(layout, bare); err == nil && at.Nanosecond() == 0 {
			return at.Unix(), false, bare != text, inYears(at)
		}
	}
	return 0, false, false, errors.New("is neither a weekday nor a date")
}

// inYears keeps dates within what calendars are for, and sums of them small.
func inYears(t time.Time) error {
	if t.Year() < 1600 || t.Year() > 9998 {
		return fmt.Errorf("is out of range: the year is %d, expected 1600 to 9998", t.Year())
	}
	return nil
}

// readMore reads a word after the span: a zone, a rule or exceptions.
func (e *entry) readMore(w string, budget *int) error {
	upper := strings.ToUpper(w)
	list, excepts := strings.CutPrefix(upper, "EXCEPT=")
	var err error
	switch {
	case excepts && e.except == nil && e.rule != nil:
		e.except, err = readExcepts(list)
	case strings.HasPrefix(upper, "FREQ=") && e.rule == nil:
		e.rule, err = readRecurrence(upper, e, budget)
	case e.zone == nil && !e.whole && e.rule == nil:
		zone, fault := loadZone(w)
		if fault != nil {
			return fault
		}
		e.zone = zone
	default:
		err = fmt.Errorf("%s cannot follow in an entry of not_on", quote(w))
	}
	return err
}

func readExcepts(list string) ([]int64, error) {
	var days []int64
	for text := range strings.SplitSeq(list, ",") {
		reading, whole, _, err := readMoment(text)
		if err != nil || !whole {
			return nil, fmt.Errorf("%s is no date", quote(text))
		}
		days = append(days, reading/daySeconds)
	}
	if len(days) > maxExcepts {
		return nil, errors.New("there are " + strconv.Itoa(len(days)) + " exceptions, at most " + strconv.Itoa(maxExcepts) + " are allowed")
	}
	slices.Sort(days)
	return slices.Compact(days), nil
}

// begins reports whether an entry with a rule begins on a day.
func (e *entry) begins(day int64) bool {
	if !e.rule.holds(day) {
		return false
	}
	_, except := slices.BinarySearch(e.except, day)
	return !except
}

// holds reports whether an entry of whole days with a rule lasts on a day.
func (e *entry) holds(day int64) bool {
	for n := range e.length {
		if e.begins(day - n) {
			return true
		}
	}
	return false
}

// at is the instant at which the entry begins, if it begins on a day; end, at which it then ends.
func (e *entry) at(home *time.Location, day int64) int64 {
	return reach(e.in(home), day*daySeconds+e.tod)
}

func (e *entry) end(home *time.Location, day int64) int64 {
	return reach(e.in(home), day*daySeconds+e.tod+e.length)
}

// in is the zone of the entry's times.
func (e *entry) in(home *time.Location) *time.Location {
	if e.zone != nil {
		return e.zone
	}
	return home
}

// around reports whether an entry with a rule lasts at an instant, and the next bound of it that is near.
func (e *entry) around(home *time.Location, sec int64) (held bool, bound int64) {
	bound = latest
	zone := e.in(home)
	day, _ := split(sec + period(zone, sec).offset)
	for n := day - e.length/daySeconds - 2; n <= day+2; n++ {
		if !e.begins(n) {
			continue
		}
		from, to := e.at(home, n), e.end(home, n)
		switch {
		case from > sec:
			bound = min(bound, from)
		case to > sec:
			held, bound = true, min(bound, to)
		}
	}
	return held, bound
}
