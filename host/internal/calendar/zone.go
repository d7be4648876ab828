package calendar

import (
	_ "embed"
	"fmt"
	"strings"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// zoneNames are the names of the embedded tz database, one a line. A name is good on every machine or on none, whatever
// database the system has.
//
//go:embed zones.txt
var zoneNames string

const (
	maxZone = 64
	// maxShift is more than any two offsets of any zone differ, in seconds: a clock change further away than this
	// cannot reach into today.
	maxShift = 48 * 3600
)

// steady is a time of one offset, [start, end).
type steady struct{ start, end, offset int64 }

// period returns the time of one offset that holds the instant. Two neighbours may have the same offset: the tz
// database also records changes that no clock shows.
func period(zone *time.Location, sec int64) steady {
	t := time.Unix(sec, 0).In(zone)
	_, offset := t.Zone()
	p := steady{earliest, latest, int64(offset)}
	start, end := t.ZoneBounds()
	if !start.IsZero() {
		p.start = max(start.Unix(), earliest)
	}
	if !end.IsZero() {
		p.end = min(end.Unix(), latest)
	}
	if p.end <= sec {
		// Beyond the changes that the database lists, package time ends each year after 365 days, also a leap year (seen
		// in Go 1.26). The last day has no change.
		p.end = (sec/daySeconds + 1) * daySeconds
	}
	return p
}

// shown returns the reading that the zone's clocks have come to, at their furthest, before an instant.
func shown(zone *time.Location, sec int64) int64 {
	p := period(zone, sec-1)
	furthest := sec + p.offset
	for p.start > max(sec-maxShift, earliest) {
		p = period(zone, p.start-1)
		furthest = max(furthest, p.end+p.offset)
	}
	return furthest
}

// reach returns the first instant at which the zone's clocks show a reading or have gone past it.
func reach(zone *time.Location, reading int64) int64 {
	for p := period(zone, max(reading-maxShift, earliest)); ; p = period(zone, p.end) {
		if reading-p.offset < p.end || p.end == latest {
			return max(p.start, reading-p.offset)
		}
	}
}

// loadZone returns the zone of a name, UTC for none.
func loadZone(name string) (*time.Location, *Error) {
	if name == "" || name == "UTC" {
		return time.UTC, nil
	}
	if !knownZone(name) {
		return nil, unknownZone(name)
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, &Error{
			Code: flow.CodeScheduleZone, Length: len(name), Message: fmt.Sprintf("zone %q cannot be loaded: %v", name, err),
			Hint: "repair the tz database of this machine, or unset ZONEINFO",
		}
	}
	return zone, nil
}

func knownZone(name string) bool {
	for known := range strings.Lines(zoneNames) {
		if strings.TrimSuffix(known, "\n") == name {
			return true
		}
	}
	return false
}

func unknownZone(name string) *Error {
	e := &Error{
		Code: flow.CodeScheduleZone, Length: len(name), Message: fmt.Sprintf("unknown zone %s", quote(name)),
		Hint: "a zone is a name of the tz database, such as `UTC` or `Europe/Berlin`",
	}
	if near := nearestZone(name); near != "" {
		e.Hint = fmt.Sprintf("did you mean `%s`? %s", near, e.Hint)
	}
	return e
}

// nearestZone returns the zone that a mistyped name is likely to mean, or "".
func nearestZone(name string) string {
	if len(name) > maxZone {
		return ""
	}
	wanted := strings.ReplaceAll(strings.ToLower(strings.TrimSpace(name)), " ", "_")
	best, distance := "", min(len(wanted)/4, 3)+1
	for line := range strings.Lines(zoneNames) {
		known := strings.TrimSuffix(line, "\n")
		folded := strings.ToLower(known)
		if folded == wanted {
			return known
		}
		d := flow.EditDistance(wanted, folded)
		if strings.HasSuffix(folded, "/"+wanted) {
			d = 0 // the city alone
		}
		if d < distance {
			best, distance = known, d
		}
	}
	return best
}
