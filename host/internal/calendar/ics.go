package calendar

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// MaxFile is the number of bytes that a calendar file may have.
const MaxFile = 512 << 10

// ReadFile returns the entries of not_on that a calendar file stands for, sorted: the times of its events (iCalendar, RFC
// 5545). What could make an event mean another time and is not understood is an *Error that names it and its line.
// Events that are cancelled are left out; whether an event is busy or free does not matter, since holidays are free.
func ReadFile(name string, text []byte) ([]string, error) {
	r := &icsReader{name: name, budget: maxCounted}
	if len(text) > MaxFile {
		return nil, r.fault(0, "has more than %s", flow.Size(MaxFile))
	}
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	if !utf8.Valid(text) {
		return nil, r.fault(0, "is no UTF-8")
	}
	for _, l := range unfolded(string(text)) {
		if err := r.take(l); err != nil {
			return nil, err
		}
	}
	switch {
	case len(r.open) > 0:
		return nil, r.fault(0, "ends within %s", clipped(r.open[len(r.open)-1]))
	case !r.any:
		return nil, r.fault(0, "is no calendar: it has no BEGIN:VCALENDAR")
	case len(r.entries) == 0:
		return nil, r.fault(0, "has no events")
	}
	slices.Sort(r.entries)
	return slices.Compact(r.entries), nil
}

// icsLine is a line of the file without its folds: a property, its parameters and its value.
type icsLine struct {
	number int
	name   string
	params map[string]string
	value  string
}

// unfolded joins lines that are folded.
func unfolded(text string) []icsLine {
	var all []icsLine
	number := 0
	for raw := range strings.Lines(text) {
		number++
		raw = strings.TrimRight(raw, "\r\n")
		if n := len(all); n > 0 && raw != "" && (raw[0] == ' ' || raw[0] == '\t') {
			all[n-1].value += raw[1:]
		} else if raw != "" {
			all = append(all, icsLine{number: number, value: raw})
		}
	}
	return all
}

// parse parts a line at its colon and semicolons, those in quotes aside.
func (l *icsLine) parse() bool {
	var parts []string
	from, quoted := 0, false
	for i := range len(l.value) {
		switch c := l.value[i]; {
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == ';':
			parts, from = append(parts, l.value[from:i]), i+1
		case c == ':':
			parts = append(parts, l.value[from:i])
			l.value = l.value[i+1:]
			l.name, l.params = strings.ToUpper(parts[0]), map[string]string{}
			for _, p := range parts[1:] {
				name, value, _ := strings.Cut(p, "=")
				l.params[strings.ToUpper(name)] = strings.Trim(value, `"`)
			}
			return l.name != ""
		}
	}
	return false
}

// icsReader reads one file.
type icsReader struct {
	name    string
	budget  int
	any     bool
	open    []string // components that have begun and not ended
	skip    int      // how many of them are inside one that says nothing about when
	event   *icsEvent
	entries []string
}

// icsEvent is an event while its lines are read.
type icsEvent struct {
	line                           int
	start, end, length, rule, dead *icsLine
	except                         []icsLine
	title                          string
}

// fault is an error at a line; 0 is the file.
func (r *icsReader) fault(line int, format string, args ...any) error {
	place := r.name
	if line > 0 {
		place += ":" + strconv.Itoa(line)
	}
	return &Error{
		Code: flow.CodeNotOn, Key: "not_on", Item: -1, Message: place + ": " + fmt.Sprintf(format, args...),
		Hint: "mend the file, or write its days in not_on: not_on = [\"2026-12-25\"]",
	}
}

func (r *icsReader) take(l icsLine) error {
	if !l.parse() {
		return r.fault(l.number, "%s is no line of a calendar: NAME:VALUE", quote(l.value))
	}
	switch l.name {
	case "BEGIN":
		return r.begin(&l)
	case "END":
		return r.end(&l)
	}
	switch {
	case len(r.open) == 0:
		return r.fault(l.number, "%s stands outside of BEGIN:VCALENDAR", quote(l.name))
	case r.skip > 0 || strings.HasPrefix(l.name, "X-"):
		return nil
	case r.event != nil:
		return r.ofEvent(&l)
	}
	return r.ofCalendar(&l)
}

func (r *icsReader) begin(l *icsLine) error {
	name := strings.ToUpper(strings.TrimSpace(l.value))
	switch {
	case len(r.open) > 8:
		return r.fault(l.number, "components are nested too deep")
	case r.skip > 0, len(r.open) > 0 && (name == "VTIMEZONE" && r.event == nil || name == "VALARM" && r.event != nil || strings.HasPrefix(name, "X-")):
		r.skip++ // zones are those of the tz database, and an alarm is no time of the event
	case len(r.open) == 0 && name == "VCALENDAR":
		r.any = true
	case len(r.open) == 1 && name == "VEVENT":
		r.event = &icsEvent{line: l.number}
	default:
		return r.fault(l.number, "the component %s is not understood", quote(name))
	}
	r.open = append(r.open, name)
	return nil
}

func (r *icsReader) end(l *icsLine) error {
	name, last := strings.ToUpper(strings.TrimSpace(l.value)), len(r.open)-1
	if last < 0 || r.open[last] != name {
		return r.fault(l.number, "END:%s ends nothing that has begun", clipped(name))
	}
	r.open = r.open[:last]
	if r.skip > 0 {
		r.skip--
		return nil
	}
	if e := r.event; e != nil {
		r.event = nil
		return r.finish(e)
	}
	return nil
}

// ofCalendar takes a property of the calendar itself.
func (r *icsReader) ofCalendar(l *icsLine) error {
	value := strings.ToUpper(strings.TrimSpace(l.value))
	switch l.name {
	case "VERSION":
		if value != "2.0" {
			return r.fault(l.number, "VERSION:%s is not understood, expected 2.0", clipped(value))
		}
	case "CALSCALE":
		if value != "GREGORIAN" {
			return r.fault(l.number, "CALSCALE:%s is not understood, expected GREGORIAN", clipped(value))
		}
	case "PRODID", "METHOD", "NAME", "DESCRIPTION", "UID", "LAST-MODIFIED", "URL", "CATEGORIES", "REFRESH-INTERVAL", "SOURCE", "COLOR", "IMAGE":
	default:
		return r.fault(l.number, "the property %s of a calendar is not understood", quote(l.name))
	}
	return nil
}

// ofEvent takes a property of an event.
func (r *icsReader) ofEvent(l *icsLine) error {
	e := r.event
	place := map[string]**icsLine{"DTSTART": &e.start, "DTEND": &e.end, "DURATION": &e.length, "RRULE": &e.rule}[l.name]
	switch l.name {
	case "EXDATE":
		e.except = append(e.except, *l)
	case "STATUS":
		if strings.EqualFold(strings.TrimSpace(l.value), "CANCELLED") {
			e.dead = l
		}
	case "SUMMARY":
		e.title = strings.NewReplacer(`\,`, ",", `\;`, ";", `\n`, " ", `\N`, " ", `\\`, `\`).Replace(l.value)
	case "UID", "DTSTAMP", "DESCRIPTION", "CLASS", "TRANSP", "CATEGORIES", "LAST-MODIFIED", "CREATED", "SEQUENCE", "LOCATION", "URL", "GEO", "PRIORITY",
		"ORGANIZER", "ATTENDEE", "CONTACT", "COMMENT", "ATTACH", "RELATED-TO", "RESOURCES", "REQUEST-STATUS", "COLOR", "IMAGE", "CONFERENCE":
	default:
		if place == nil {
			return r.fault(l.number, "the property %s of an event is not understood", quote(l.name))
		}
		if *place != nil {
			return r.fault(l.number, "%s stands twice in an event", l.name)
		}
		*place = l
	}
	return nil
}

// finish turns an event into an entry.
func (r *icsReader) finish(e *icsEvent) error {
	switch {
	case e.dead != nil:
		return nil
	case e.start == nil:
		return r.fault(e.line, "the event has no DTSTART")
	case e.end != nil && e.length != nil:
		return r.fault(e.length.number, "DURATION and DTEND stand in one event")
	case len(r.entries) >= maxShut:
		return r.fault(e.line, "there are more than %d events", maxShut)
	}
	from, err := r.moment(e.start, e.start.value)
	if err != nil {
		return err
	}
	to, err := r.until(e, from)
	if err != nil {
		return err
	}
	text := from.span(to)
	if e.rule != nil {
		rule, ok := icsRule(e.rule.value)
		if !ok {
			return r.fault(e.rule.number, "RRULE:%s is no rule", clipped(e.rule.value))
		}
		text += " " + rule
	}
	text, err = r.excepted(text, e, from)
	if err != nil || text == "" {
		return err
	}
	entry, err := readEntry(text+" # "+e.title, &r.budget)
	if err != nil {
		line := e.start
		if e.rule != nil {
			line = e.rule
		}
		return r.fault(line.number, "%v", err)
	}
	r.entries = append(r.entries, entry.text)
	return nil
}

// icsRule brings a rule into the form of an entry, FREQ first.
func icsRule(value string) (string, bool) {
	parts := strings.Split(strings.ToUpper(strings.TrimSpace(value)), ";")
	freq := slices.IndexFunc(parts, func(p string) bool { return strings.HasPrefix(p, "FREQ=") })
	if freq < 0 || strings.ContainsAny(value, "# \t") {
		return "", false
	}
	first := parts[freq]
	return strings.Join(append([]string{first}, slices.Delete(parts, freq, freq+1)...), ";"), true
}

// icsMoment is a date, or a time with its zone; nil is the schedule's.
type icsMoment struct {
	reading int64
	whole   bool
	zone    *time.Location
}

// moment reads a date or a time.
func (r *icsReader) moment(l *icsLine, text string) (icsMoment, error) {
	text = strings.ToUpper(strings.TrimSpace(text))
	if day, err := time.Parse("20060102", text); err == nil {
		return icsMoment{reading: day.Unix(), whole: true}, nil
	}
	bare := strings.TrimSuffix(text, "Z")
	at, err := time.Parse("20060102T150405", bare)
	if err != nil || l.params["VALUE"] == "DATE" {
		return icsMoment{}, r.fault(l.number, "%s:%s is neither a date nor a time", l.name, clipped(text))
	}
	m := icsMoment{reading: at.Unix()}
	if id := l.params["TZID"]; bare != text {
		m.zone = time.UTC
	} else if id != "" {
		zone, fault := loadZone(strings.TrimPrefix(id, "/"))
		if fault != nil {
			return m, r.fault(l.number, "TZID=%s is no zone of the tz database", clipped(id))
		}
		m.zone = zone
	}
	return m, nil
}

// until returns the end of an event, the first moment that is not part of it.
func (r *icsReader) until(e *icsEvent, from icsMoment) (icsMoment, error) {
	to := from
	switch {
	case e.end != nil:
		var err error
		if to, err = r.moment(e.end, e.end.value); err != nil {
			return to, err
		}
		if to.whole != from.whole || (to.zone == nil) != (from.zone == nil) {
			return to, r.fault(e.end.number, "DTEND is written in another form than DTSTART")
		}
		if to.zone != nil && to.zone != from.zone {
			at := reach(to.zone, to.reading)
			to.reading, to.zone = at+period(from.zone, at).offset, from.zone
		}
		if to.whole && to.reading == from.reading {
			to.reading += daySeconds // as some calendars write a single day
		}
		if to.reading <= from.reading {
			return to, r.fault(e.end.number, "DTEND is not after DTSTART")
		}
	case e.length != nil:
		seconds, ok := icsDuration(strings.ToUpper(strings.TrimSpace(e.length.value)))
		if !ok || from.whole && seconds%daySeconds != 0 {
			return to, r.fault(e.length.number, "DURATION:%s is no length of time of the event", clipped(e.length.value))
		}
		to.reading += seconds
	case from.whole:
		to.reading += daySeconds
	default:
		return to, r.fault(e.start.number, "the event lasts no time: it has neither DTEND nor DURATION")
	}
	return to, nil
}

// span is the text of an entry from one moment to another.
func (m icsMoment) span(to icsMoment) string {
	if m.whole {
		first, last := wallFormat(m.reading, time.DateOnly), wallFormat(to.reading-1, time.DateOnly)
		if first == last {
			return first
		}
		return first + ".." + last
	}
	end := ""
	if m.zone == time.UTC {
		end = "Z"
	}
	text := wallFormat(m.reading, wallLayout) + end + ".." + wallFormat(to.reading, wallLayout) + end
	if m.zone != nil && m.zone != time.UTC {
		text += " " + m.zone.String()
	}
	return text
}

// excepted adds the days of EXDATE to the text of an entry; of an event that comes once, none is left.
func (r *icsReader) excepted(text string, e *icsEvent, from icsMoment) (string, error) {
	var days []string
	for i := range e.except {
		l := &e.except[i]
		for value := range strings.SplitSeq(l.value, ",") {
			at, err := r.moment(l, value)
			if err != nil {
				return "", err
			}
			if at.zone != nil && from.zone != nil && at.zone != from.zone {
				sec := reach(at.zone, at.reading)
				at.reading, at.zone = sec+period(from.zone, sec).offset, from.zone
			}
			if !at.whole && (at.zone == nil) != (from.zone == nil) {
				return "", r.fault(l.number, "EXDATE is written in another form than DTSTART")
			}
			days = append(days, wallFormat(at.reading, time.DateOnly))
		}
	}
	switch {
	case len(days) == 0:
		return text, nil
	case e.rule != nil:
		return text + " EXCEPT=" + strings.Join(days, ","), nil
	case slices.Contains(days, wallFormat(from.reading, time.DateOnly)):
		return "", nil
	}
	return text, nil
}

// icsDuration reads P1D, P2W or PT1H30M in seconds.
func icsDuration(text string) (int64, bool) {
	rest, ok := strings.CutPrefix(strings.TrimPrefix(text, "+"), "P")
	total, units := int64(0), "WD"
	for ok && rest != "" {
		if after, timed := strings.CutPrefix(rest, "T"); timed {
			rest, units = after, "HMS"
			if rest == "" {
				return 0, false
			}
			continue
		}
		digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
		if digits == 0 || digits > 6 || digits == len(rest) {
			return 0, false
		}
		unit := strings.IndexByte(units, rest[digits])
		if unit < 0 {
			return 0, false
		}
		n, _ := strconv.ParseInt(rest[:digits], 10, 64)
		total += n * map[byte]int64{'W': 7 * daySeconds, 'D': daySeconds, 'H': 3600, 'M': 60, 'S': 1}[rest[digits]]
		rest = rest[digits+1:]
	}
	return total, ok && total > 0
}
