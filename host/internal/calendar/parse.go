package calendar

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

const (
	maxText     = 200
	maxInterval = 366 * daySeconds
)

// Parse reads a schedule text, in letters of either case, and the IANA name of the zone in which it is meant; no name
// means UTC. The package comment says what days on which clocks change do. The texts are:
//
//	daily 02:30                 also 02:30:15
//	hourly :15                  also :15:30
//	every 30m                   s, m, h, d (24 hours) or 1h30m; 1 second to 366 days; slots are counted from the Unix epoch
//	every 90m from 2026-01-01T00:00:00Z   counted from an instant, which is the first slot
//	weekly mon,thu 06:00        weekdays by name, ranges such as mon-fri
//	monthly 1,15 06:00          a month that lacks the day is passed over
//	monthly last 23:00          the last day of each month; may stand in a list: 15,last
//	cron 0 12 * * 1-5           minute, hour, day of month, month, weekday; a sixth field in front is the second
//	once 2027-01-01T00:00:00Z   one instant, RFC 3339 in whole seconds
//
// Cron fields hold *, numbers, ranges, lists and steps, and names of months and weekdays; Sunday is 0 or 7. When both
// the day of the month and the weekday are restricted, a date needs to match one of them; a field that starts with *
// counts as unrestricted, as in Vixie's cron, so */2 and a weekday must both match.
//
// The error is an *Error: the code, what is wrong and where, and the nearest valid text. A schedule that would never
// fire is refused.
func Parse(text, zone string) (*Schedule, error) {
	d, fault := parse(text)
	if fault != nil {
		fault.Hint = suggest(text) + fault.Hint
		return nil, fault
	}
	location, fault := loadZone(zone)
	if fault != nil {
		return nil, fault
	}
	s := &Schedule{kind: d.kind, text: d.text, words: d.words, zone: location, rule: d.rule}
	if s.rule == nil {
		s.rule = &wall{d.pattern, location}
		s.words += ", " + s.Zone()
	}
	return s, nil
}

// draft is a schedule whose zone is not known yet: a rule that needs none, or a pattern.
type draft struct {
	kind        Kind
	text, words string
	pattern     pattern
	rule        rule
}

// form is one kind of text.
type form struct {
	kind  Kind
	usage string
	// read reads the words after the kind into the draft.
	read func(*draft, []word) *Error
}

func forms() []form {
	return []form{
		{KindDaily, "a daily schedule is `daily HH:MM`", readDaily},
		{KindHourly, "an hourly schedule is `hourly :MM`", readHourly},
		{KindEvery, "an interval is `every 30m` (units s, m, h, d), optionally with `from 2026-01-01T00:00:00Z`", readEvery},
		{KindWeekly, "a weekly schedule is `weekly mon,thu HH:MM`, with days mon, tue, wed, thu, fri, sat, sun or ranges", readWeekly},
		{KindMonthly, "a monthly schedule is `monthly 1,15 HH:MM` or `monthly last HH:MM`", readMonthly},
		{KindCron, "a cron schedule is `cron MINUTE HOUR DAY MONTH WEEKDAY`, with a field for the second before them if there are six", readCron},
		{KindOnce, "a single slot is `once 2027-01-01T00:00:00Z`", readOnce},
	}
}

// parse reads a text; the hint of its error is the expected form.
func parse(text string) (*draft, *Error) {
	if len(text) > maxText {
		e := word{text, 0}.outside("the schedule has %d bytes, at most %d are allowed", len(text), maxText)
		e.Hint = kindsHint()
		return nil, e
	}
	words := fields(text)
	if len(words) == 0 {
		e := word{text, 0}.malformed("the schedule is empty")
		e.Hint = kindsHint()
		return nil, e
	}
	kind := Kind(strings.ToLower(words[0].text))
	for _, f := range forms() {
		if f.kind != kind {
			continue
		}
		d := &draft{kind: kind}
		e := f.read(d, words[1:])
		if e == nil {
			return d, d.mustFire(word{text, 0})
		}
		// What is missing is missing after the last word.
		if e.Length == 0 && e.Offset == 0 {
			e.Offset = words[len(words)-1].at + len(words[len(words)-1].text)
		}
		e.Hint = f.usage
		return nil, e
	}
	e := words[0].malformed("unknown kind of schedule %s", quote(words[0].text))
	e.Hint = kindsHint()
	return nil, e
}

// mustFire refuses a pattern that no date matches.
func (d *draft) mustFire(whole word) *Error {
	if d.rule != nil {
		return nil
	}
	if _, ok := d.pattern.next(0); ok {
		return nil
	}
	return &Error{
		Code: flow.CodeScheduleNever, Length: len(whole.text), Message: fmt.Sprintf("the schedule %s never fires: no date matches it", quote(whole.text)),
		Hint: "mend the day or the month; the last day of each month is `monthly last HH:MM`",
	}
}

func kindsHint() string {
	return "a schedule is daily, hourly, every, weekly, monthly, cron or once, as in `daily 02:30`, `every 30m`, `cron 0 12 * * 1-5`"
}

func fields(text string) []word {
	var words []word
	for at := 0; at < len(text); {
		n := strings.IndexAny(text[at:], " \t\r\n")
		if n < 0 {
			n = len(text) - at
		}
		if n > 0 {
			words = append(words, word{text[at : at+n], at})
		}
		at += n + 1
	}
	return words
}

// arguments checks the number of words after the kind; the names are what they stand for.
func arguments(words []word, names ...string) *Error {
	if len(words) < len(names) {
		return word{}.malformed("%s is missing", names[len(words)])
	}
	if len(words) > len(names) {
		extra := words[len(names)]
		return extra.malformed("%s is one word too many", quote(extra.text))
	}
	return nil
}

func readDaily(d *draft, words []word) *Error {
	if e := arguments(words, "the time of day"); e != nil {
		return e
	}
	return d.readTimeOfDay(words[0], "daily", "every day")
}

func readWeekly(d *draft, words []word) *Error {
	if e := arguments(words, "the list of weekdays", "the time of day"); e != nil {
		return e
	}
	days, e := readWeekdays(words[0])
	if e != nil {
		return e
	}
	e = d.readTimeOfDay(words[1], "weekly "+weekdayList(days), "every "+weekdayWords(days))
	d.pattern.weekdays = days
	return e
}

func readMonthly(d *draft, words []word) *Error {
	if e := arguments(words, "the day of the month", "the time of day"); e != nil {
		return e
	}
	var days set
	last := false
	for _, item := range list(words[0]) {
		if strings.EqualFold(item.text, "last") {
			last = true
			continue
		}
		n, e := number(item, "day of the month", 1, 31)
		if e != nil {
			return e
		}
		days |= 1 << n
	}
	e := d.readTimeOfDay(words[1], "monthly "+monthDayList(days, last), "on "+monthDayWords(days, last)+" of every month")
	d.pattern.days, d.pattern.lastDay = days, last
	return e
}

// readTimeOfDay reads a wall time and completes the draft of a kind that has one: every date matches until the caller
// says otherwise.
func (d *draft) readTimeOfDay(w word, text, words string) *Error {
	hour, e := d.readClock(w, "00:00", "time of day HH:MM")
	if e != nil {
		return e
	}
	d.pattern.hours = 1 << hour
	d.text = text + " " + d.text
	d.words = words + " at " + d.words
	return nil
}

func readHourly(d *draft, words []word) *Error {
	if e := arguments(words, "the minute"); e != nil {
		return e
	}
	if _, e := d.readClock(words[0], ":00", "minute :MM"); e != nil {
		return e
	}
	d.pattern.hours = allHours
	d.text = "hourly " + d.text
	d.words = "every hour at " + d.words
	return nil
}

// readClock reads pairs of digits in the given shape, to which seconds may be added. It sets the draft's text to what it
// read, and its pattern but for the hour, which it returns.
func (d *draft) readClock(w word, shape, name string) (hour int, e *Error) {
	if len(w.text) > len(shape) {
		shape += ":00"
	}
	if len(w.text) != len(shape) || !sameShape(w.text, shape) {
		return 0, w.malformed("%s is no %s", quote(w.text), name)
	}
	var values [3]int
	for at := strings.IndexByte(shape, '0'); at < len(shape); at += 3 {
		pair, unit := w.part(at, at+2), (at+2)/3
		values[unit], _ = strconv.Atoi(pair.text)
		most := [3]int{23, 59, 59}[unit]
		if values[unit] > most {
			return 0, pair.outside("%s %s is out of range, expected 00 to %d", [3]string{"hour", "minute", "second"}[unit], pair.text, most)
		}
	}
	text := w.text
	if values[2] == 0 && len(shape) >= len(":00:00") {
		text = strings.TrimSuffix(text, ":00")
	}
	d.text, d.words = text, text
	d.pattern = pattern{minutes: 1 << values[1], seconds: 1 << values[2], days: allDays, months: allMonths, weekdays: allWeekdays}
	return values[0], nil
}

// sameShape reports whether text has digits where shape has 0, and is the same elsewhere.
func sameShape(text, shape string) bool {
	return shape == strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return '0'
		}
		return r
	}, text)
}

func readEvery(d *draft, words []word) *Error {
	if len(words) != 1 {
		if e := arguments(words, "the length of the interval", "the word `from`", "the instant after `from`"); e != nil {
			return e
		}
		if !strings.EqualFold(words[1].text, "from") {
			return words[1].malformed("%s is not the word `from`", quote(words[1].text))
		}
	}
	step, e := readInterval(words[0])
	if e != nil {
		return e
	}
	r := interval{step: step}
	d.text, d.words = "every "+intervalText(step), "every "+intervalWords(step)
	if len(words) == 3 {
		at, e := readInstant(words[2])
		if e != nil {
			return e
		}
		r.from = at.Unix()
		d.text += " from " + at.Format(time.RFC3339)
		d.words += ", counted from " + at.Format(time.RFC3339)
	}
	d.rule = r
	return nil
}

// readInterval reads a number and a unit, or several with falling units, in seconds.
func readInterval(w word) (int64, *Error) {
	total, rest, units := int64(0), strings.ToLower(w.text), "dhms"
	for rest != "" {
		digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
		if digits == 0 || digits == len(rest) {
			return 0, w.malformed("%s is no interval", quote(w.text))
		}
		unit := strings.IndexByte(units, rest[digits])
		if unit < 0 {
			return 0, w.malformed("%s is no interval", quote(w.text))
		}
		n, err := strconv.ParseInt(rest[:digits], 10, 32)
		if err != nil || n > maxInterval {
			return 0, w.outside("interval %s is longer than 366 days", quote(w.text))
		}
		total += n * unitSeconds(units[unit])
		units, rest = units[unit+1:], rest[digits+1:]
	}
	if total < 1 {
		return 0, w.outside("interval %s is shorter than 1 second", quote(w.text))
	}
	if total > maxInterval {
		return 0, w.outside("interval %s is longer than 366 days", quote(w.text))
	}
	return total, nil
}

func unitSeconds(unit byte) int64 {
	switch unit {
	case 'd':
		return daySeconds
	case 'h':
		return 3600
	case 'm':
		return 60
	}
	return 1
}

func readOnce(d *draft, words []word) *Error {
	if e := arguments(words, "the instant"); e != nil {
		return e
	}
	at, e := readInstant(words[0])
	if e != nil {
		return e
	}
	d.text, d.words = "once "+at.Format(time.RFC3339), "once at "+at.Format(time.RFC3339)
	d.rule = instant(at.Unix())
	return nil
}

func readInstant(w word) (time.Time, *Error) {
	at, err := time.Parse(time.RFC3339, strings.ToUpper(w.text))
	if err != nil {
		return at, w.malformed("%s is no instant as in 2027-01-01T00:00:00Z", quote(w.text))
	}
	if at.Nanosecond() != 0 {
		return at, w.outside("instant %s is not a whole second", quote(w.text))
	}
	if at.Unix() < earliest || at.Unix() >= latest {
		return at, w.outside("instant %s is out of range, expected 0001-01-02 to 9999-12-30", quote(w.text))
	}
	return at.UTC(), nil
}

// number reads digits between two bounds.
func number(w word, name string, least, most int) (int, *Error) {
	if w.text == "" || strings.Trim(w.text, "0123456789") != "" {
		return 0, w.malformed("%s is no %s", quote(w.text), name)
	}
	n, err := strconv.Atoi(w.text)
	if err != nil || n < least || n > most {
		return 0, w.outside("%s %s is out of range, expected %d to %d", name, w.text, least, most)
	}
	return n, nil
}

// list parts a word at its commas.
func list(w word) []word {
	var items []word
	for at := 0; ; {
		n := strings.IndexByte(w.text[at:], ',')
		if n < 0 {
			return append(items, w.part(at, len(w.text)))
		}
		items = append(items, w.part(at, at+n))
		at += n + 1
	}
}
