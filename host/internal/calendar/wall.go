package calendar

import "time"

// wall is the rule of the kinds that a clock on the wall tells: a pattern of readings in a zone.
//
// Between two clock changes of the zone, instants and readings differ by a constant, so everything is arithmetic on
// readings there; stretch holds what a clock change means for the readings after it.
type wall struct {
	pattern pattern
	zone    *time.Location
}

// stretch is the time between two clock changes, [start, end).
type stretch struct {
	start, end, offset int64
	// first is the reading from which matches are slots: later than the first one shown, where the clock was set back
	// and shows readings again that have had their slot.
	first int64
	// moved says that a matching reading was skipped by the clock change at start, so that start is a slot.
	moved bool
}

func (w *wall) next(sec int64) (int64, bool) {
	for sec < latest {
		s := w.stretchAt(sec)
		if s.moved && sec == s.start {
			return sec, true
		}
		reading, ok := w.pattern.next(max(s.first, sec+s.offset))
		if !ok {
			return 0, false
		}
		if slot := reading - s.offset; slot < s.end {
			return slot, slot < latest
		}
		sec = s.end
	}
	return 0, false
}

func (w *wall) span(lo, hi int64) (last, count int64) {
	for lo < hi {
		s := w.stretchAt(lo)
		end := min(hi, s.end)
		n := w.pattern.count(max(s.first, lo+s.offset), end+s.offset)
		if n > 0 {
			last = w.pattern.last(end+s.offset) - s.offset
		}
		// A moved slot may fall on a matching reading; then it has been counted.
		if s.moved && lo == s.start && w.pattern.count(lo+s.offset, lo+s.offset+1) == 0 {
			if n == 0 {
				last = lo
			}
			n++
		}
		count += n
		lo = end
	}
	return last, count
}

func (w *wall) spacing() int64 { return w.pattern.spacing() }

// stretchAt returns the stretch that holds the instant.
func (w *wall) stretchAt(sec int64) stretch {
	now := period(w.zone, sec)
	s := stretch{start: now.start, end: now.end, offset: now.offset, first: now.start + now.offset}
	if now.start <= earliest {
		return s
	}
	if w.pattern.anyHour() {
		w.carryMinutes(&s, period(w.zone, now.start-1).offset)
	} else {
		w.carryDays(&s, shown(w.zone, now.start))
	}
	return s
}

// carryDays applies the rule of fixed hours: once per local day. Readings before shown have been on the wall.
func (w *wall) carryDays(s *stretch, shown int64) {
	if shown >= s.first {
		s.first = shown
		return
	}
	s.moved = w.pattern.skipped(shown, s.first)
}

// skipped reports whether a gap from reading lo to reading hi holds a match, on a date that exists: one of which the
// clock shows at least some part. Dates between those of lo and hi are never shown.
func (p *pattern) skipped(lo, hi int64) bool {
	morning, _ := split(hi)
	evening, tod := split(lo)
	if tod > 0 {
		evening++
	}
	return p.count(lo, min(hi, evening*daySeconds)) > 0 || p.count(max(lo, morning*daySeconds), hi) > 0
}

// carryMinutes applies the rule of open hours: elapsed time, and once per local hour where a part of an hour that the
// clock was set by disturbs the minutes.
func (w *wall) carryMinutes(s *stretch, before int64) {
	part := (s.offset - before) % 3600
	switch {
	case w.pattern.sameAfter(part):
	case part > 0:
		s.moved = w.pattern.count(s.first-part, s.first) > 0
	default:
		s.first -= part
	}
}
