package simulate

import (
	"cmp"
	"slices"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// ending is the record of one slot.
func (s *schedule) ending(slot time.Time, ending flow.SlotEnding, reason flow.Reason) flow.SlotRecord {
	r := &s.due.Record
	return flow.SlotRecord{Tenant: r.Tenant, Schedule: r.Name, Pipeline: r.Pipeline, From: slot, To: slot, Count: 1, Ending: ending, Reason: reason}
}

// ended counts endings.
func (w *world) ended(s *schedule, records []flow.SlotRecord) {
	for i := range records {
		r := &records[i]
		switch r.Ending {
		case flow.SlotRun:
			s.counts.Runs += r.Count
		case flow.SlotCoalesced:
			s.counts.Coalesced += r.Count
		case flow.SlotMissed:
			s.counts.Missed += r.Count
		default:
			s.counts.Skipped += r.Count
		}
		switch r.Reason {
		case flow.ReasonQuota:
			s.counts.Quota += r.Count
		case flow.ReasonCalendar:
			s.counts.Calendar += r.Count
		}
		if w.in.Tell != nil {
			w.in.Tell(*r)
		}
	}
}

// delayed counts the slots that came due while the schedule waited for its own run.
func (s *schedule) delayed(now time.Time) {
	from := s.due.Record.Watermark
	if s.seen.After(from) {
		from = s.seen
	}
	if s.next.IsZero() || s.next.After(now) {
		return
	}
	if last, n := s.due.Cal.Due(from, now); n > 0 {
		s.overlapped(s, n, s.due.Cal.Next(from), last)
		s.seen = now
	}
}

// overlapped counts slots that came due while a run of another schedule, or of the same, was in their way.
func (s *schedule) overlapped(with *schedule, n int64, first, last time.Time) {
	o := s.overlaps[with]
	if o == nil {
		o = &flow.SimulatedOverlap{Schedule: s.counts.Schedule, With: with.counts.Schedule, First: first}
		s.overlaps[with] = o
	}
	o.Slots += n
	o.Last = last
}

// load is what is counted over all pipelines.
type load struct {
	pipes []*pipeline
	from  int64 // the first hour since the Unix epoch
	to    time.Time
	hours []hour // of the whole range
	peak  flow.SimulatedPeak
}

type hour struct {
	starts int64
	peak   int
}

func (l *load) begin(from, to time.Time) {
	l.from, l.to = from.Unix()/3600, to
	l.hours = make([]hour, to.Unix()/3600-l.from+1)
}

// started notes that a run has become live, one of so many. What is left over at the end is no load of the range.
func (l *load) started(now time.Time, live int) {
	if !now.Before(l.to) {
		return
	}
	if live > l.peak.Runs {
		l.peak = flow.SimulatedPeak{Runs: live, At: &now}
	}
	h := &l.hours[now.Unix()/3600-l.from]
	h.starts++
	h.peak = max(h.peak, live)
}

// report sums up.
func (w *world) report() flow.SimulateReport {
	r := flow.SimulateReport{
		From: w.in.From, To: w.in.To, Timezone: w.zone.String(), Peak: w.load.peak, Hours: w.ofDay(),
		Schedules: []flow.SimulatedSchedule{}, Overlaps: []flow.SimulatedOverlap{}, ClockChanges: []flow.ClockChange{},
	}
	for _, s := range w.schedules {
		r.Schedules = append(r.Schedules, s.counts)
		for _, o := range s.overlaps {
			r.Overlaps = append(r.Overlaps, *o)
		}
		for _, c := range s.due.Cal.Changes(s.counts.Schedule, w.in.From.Add(-1), maxChanges) {
			if !c.At.Before(w.in.To) {
				break
			}
			r.ClockChanges = append(r.ClockChanges, c)
		}
	}
	slices.SortFunc(r.Overlaps, func(a, b flow.SimulatedOverlap) int {
		return cmp.Or(cmp.Compare(b.Slots, a.Slots), cmp.Compare(a.Schedule, b.Schedule), cmp.Compare(a.With, b.With))
	})
	return r
}

// maxChanges of one schedule are reported: those of centuries.
const maxChanges = 1000

// ofDay sums the hours of the range up by the hour that the zone's clock shows.
func (w *world) ofDay() []flow.SimulatedHour {
	day := make([]flow.SimulatedHour, 24)
	for i := range day {
		day[i].Hour = i
	}
	for i, h := range w.load.hours {
		d := &day[time.Unix((w.load.from+int64(i))*3600, 0).In(w.zone).Hour()]
		d.Starts += h.starts
		d.Peak = max(d.Peak, h.peak)
	}
	return day
}
