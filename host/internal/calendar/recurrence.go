package calendar

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	maxCounted = 10_000_000 // days that are looked at for rules with a count, of one calendar
	maxCount   = 10_000
	lastDay    = int64(2_932_896) // 9999-12-31
)

// recurrence says on which days an entry begins: a rule of RFC 5545, as far as calendars of holidays use it. Whether a
// day is one of them is arithmetic, however long ago the first was.
type recurrence struct {
	text     string
	freq     string
	interval int64
	first    int64 // always one of the days
	until    int64 // the last that may be one
	count    int64
	weekdays []ordinal
	days     []int // of the month; negative from its end
	months   set
	monday   int // the weekday on which weeks begin
}

// ordinal is a weekday: all of them for n 0, the n-th of its month or year, negative from the end.
type ordinal struct{ n, weekday int }

// readRecurrence reads a rule in upper case.
func readRecurrence(text string, e *entry, budget *int) (*recurrence, error) {
	r := &recurrence{text: text, interval: 1, first: e.day, until: lastDay, monday: 1}
	seen := map[string]bool{}
	for part := range strings.SplitSeq(text, ";") {
		name, value, _ := strings.Cut(part, "=")
		if seen[name] {
			return nil, fmt.Errorf("%s stands twice in the rule", quote(name))
		}
		seen[name] = true
		if err := r.readPart(name, value, e); err != nil {
			return nil, err
		}
	}
	if seen["COUNT"] && seen["UNTIL"] {
		return nil, errors.New("COUNT and UNTIL stand in one rule")
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	if r.count > 0 {
		return r, r.countDown(budget)
	}
	return r, nil
}

func (r *recurrence) readPart(name, value string, e *entry) (err error) {
	switch name {
	case "FREQ":
		if !slices.Contains([]string{"DAILY", "WEEKLY", "MONTHLY", "YEARLY"}, value) {
			return fmt.Errorf("FREQ=%s is not understood: expected DAILY, WEEKLY, MONTHLY or YEARLY", clipped(value))
		}
		r.freq = value
	case "INTERVAL":
		r.interval, err = wholeNumber(name, value, 1, 10_000)
	case "COUNT":
		r.count, err = wholeNumber(name, value, 1, maxCount)
	case "UNTIL":
		r.until, err = readUntil(value, e)
	case "WKST":
		r.monday = weekdayOf(value)
		if r.monday < 0 {
			err = fmt.Errorf("WKST=%s is no weekday", clipped(value))
		}
	case "BYMONTH":
		err = eachNumber(name, value, 1, 12, func(n int) { r.months |= 1 << n })
	case "BYMONTHDAY":
		err = eachNumber(name, value, -31, 31, func(n int) { r.days = append(r.days, n) })
	case "BYDAY":
		err = r.readWeekdays(value)
	default:
		err = fmt.Errorf("%s is not understood in a rule", clipped(name))
	}
	return err
}

func (r *recurrence) readWeekdays(list string) error {
	for text := range strings.SplitSeq(list, ",") {
		cut := max(len(text)-2, 0)
		day := weekdayOf(text[cut:])
		n := int64(0)
		var err error
		if cut > 0 {
			n, err = wholeNumber("BYDAY", strings.TrimPrefix(text[:cut], "+"), -53, 53)
		}
		if day < 0 || err != nil || cut > 0 && n == 0 {
			return fmt.Errorf("BYDAY=%s is no weekday", clipped(text))
		}
		r.weekdays = append(r.weekdays, ordinal{int(n), day})
	}
	return nil
}

// check refuses what parts of a rule do not mean together.
func (r *recurrence) check() error {
	nth := slices.ContainsFunc(r.weekdays, func(o ordinal) bool { return o.n != 0 })
	switch {
	case nth && (r.freq == "DAILY" || r.freq == "WEEKLY"):
		return fmt.Errorf("BYDAY with a number is not understood beside FREQ=%s", r.freq)
	case nth && len(r.days) > 0:
		return errors.New("BYDAY with a number is not understood beside BYMONTHDAY")
	case len(r.days) > 0 && r.freq == "WEEKLY":
		return errors.New("BYMONTHDAY is not understood beside FREQ=WEEKLY")
	}
	return nil
}

// countDown turns a count into the last day.
func (r *recurrence) countDown(budget *int) error {
	left, day := r.count-1, r.first
	for ; left > 0 && day < lastDay; *budget-- {
		if *budget <= 0 {
			return errors.New("the rules with COUNT are too many to be counted; write UNTIL")
		}
		if day++; r.matches(day) {
			left--
		}
	}
	r.until = day
	return nil
}

// holds reports whether the entry begins on a day.
func (r *recurrence) holds(day int64) bool {
	if day <= r.first || day > r.until {
		return day == r.first && day <= r.until
	}
	return r.matches(day)
}

// matches is holds for days after the first, without an end.
func (r *recurrence) matches(day int64) bool {
	m, start := monthOf(day), monthOf(r.first)
	phase := day - r.first
	switch r.freq {
	case "WEEKLY":
		phase = (r.week(day) - r.week(r.first)) / 7
	case "MONTHLY":
		phase = int64(12*(m.year-start.year) + m.month - start.month)
	case "YEARLY":
		phase = int64(m.year - start.year)
	}
	if phase%r.interval != 0 || r.months != 0 && !r.months.has(m.month) {
		return false
	}
	if len(r.days)+len(r.weekdays) == 0 {
		return r.likeFirst(m, start, day)
	}
	return (len(r.days) == 0 || r.hasDate(m, day)) && (len(r.weekdays) == 0 || r.hasWeekday(m, day))
}

// week is the first day of a day's week.
func (r *recurrence) week(day int64) int64 {
	return day - int64((weekday(day)-r.monday+7)%7)
}

// likeFirst is what a rule without days means: the weekday or the date of the first one.
func (r *recurrence) likeFirst(m, start month, day int64) bool {
	same := m.bit(day) == start.bit(r.first)
	switch r.freq {
	case "WEEKLY":
		return weekday(day) == weekday(r.first)
	case "MONTHLY":
		return same
	case "YEARLY":
		return same && (r.months != 0 || m.month == start.month)
	}
	return true
}

func (r *recurrence) hasDate(m month, day int64) bool {
	date := m.bit(day)
	return slices.Contains(r.days, date) || slices.Contains(r.days, date-m.length()-1)
}

func (r *recurrence) hasWeekday(m month, day int64) bool {
	first, length := m.first, int64(m.length())
	if r.freq == "YEARLY" && r.months == 0 {
		first = monthOf(day - int64(time.Unix(day*daySeconds, 0).UTC().YearDay()) + 1).first
		length = 365
		if time.Unix((first+365)*daySeconds, 0).UTC().Year() == m.year {
			length++
		}
	}
	n, back := int(day-first)/7+1, -int(first+length-1-day)/7-1
	return slices.ContainsFunc(r.weekdays, func(o ordinal) bool {
		return o.weekday == weekday(day) && (o.n == 0 || o.n == n || o.n == back)
	})
}

// readUntil returns the last day on which an entry may begin.
func readUntil(value string, e *entry) (int64, error) {
	for _, layout := range []string{"20060102", "20060102T150405", "20060102T150405Z"} {
		at, err := time.Parse(layout, value)
		if err != nil {
			continue
		}
		reading := at.Unix()
		if zone := e.in(time.UTC); !e.whole && strings.HasSuffix(value, "Z") {
			reading += period(zone, min(max(reading, earliest), latest-1)).offset
		}
		day, tod := split(reading)
		if !e.whole && layout != "20060102" && tod < e.tod {
			day--
		}
		if err := inYears(at); err != nil {
			return 0, fmt.Errorf("UNTIL=%s %w", clipped(value), err)
		}
		return day, nil
	}
	return 0, fmt.Errorf("UNTIL=%s is no date", clipped(value))
}

// weekdayOf returns the number of MO, TU and so on; -1 for none.
func weekdayOf(text string) int {
	return slices.Index([]string{"SU", "MO", "TU", "WE", "TH", "FR", "SA"}, text)
}

func wholeNumber(name, text string, least, most int64) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil || n < least || n > most {
		return 0, fmt.Errorf("%s=%s is out of range, expected %d to %d", name, clipped(text), least, most)
	}
	return n, nil
}

func eachNumber(name, list string, least, most int64, take func(int)) error {
	for text := range strings.SplitSeq(list, ",") {
		n, err := wholeNumber(name, text, least, most)
		if err != nil || n == 0 {
			return fmt.Errorf("%s=%s is out of range", name, clipped(text))
		}
		take(int(n))
	}
	return nil
}

// clipped is foreign text for a message, without quotes.
func clipped(text string) string { return strings.Trim(quote(text), `"`) }
