// Package simulate rehearses schedules on a virtual clock: it goes from slot to slot and from run to run, and counts
// what becomes of them. What is decided is decided by package overlap, as in production; runs are lengths of time.
//
// It is pure: the same input gives the same report. It must know nothing of manifests, ledgers or the time of day.
// Where a run ends at the very instant of a slot, the run ends first; slots of one instant come in the order of the
// schedules' ids.
package simulate

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/calendar"
	"github.com/uniflow-dev/uniflow/host/internal/overlap"
)

// Input is what is rehearsed.
type Input struct {
	// From and To bound the slots: [From, To).
	From, To time.Time
	// Schedules that are enabled.
	Schedules []Schedule
	// Durations of runs, by the id of the pipeline; one that is not there takes no time.
	Durations map[string]time.Duration
	// Zone is that of the hours of the day. Defaults to UTC.
	Zone *time.Location
	// Tell, if it is not nil, is called when the fate of slots is decided; a coalesced slot may have had a run before.
	Tell func(flow.SlotRecord)
}

// Schedule is a schedule with its tenant.
type Schedule struct {
	Tenant string
	flow.PlanSchedule
}

// MaxSlots bounds how many slots are rehearsed at once: about half a minute's work.
const MaxSlots = 50_000_000

// Run rehearses. The report has everything but the manifest, the pipelines and the disabled schedules. An input without
// an end, or with too many slots, is an error of CodeRequest with the nearest input that is good.
func Run(in Input) (flow.SimulateReport, error) {
	w := &world{in: in, horizon: in.To.Add(-1).UnixNano(), zone: cmp.Or(in.Zone, time.UTC)}
	if err := w.prepare(); err != nil {
		return flow.SimulateReport{}, err
	}
	for _, s := range w.schedules {
		w.arm(s)
	}
	for len(w.events) > 0 {
		w.step(w.events.pop())
	}
	return w.report(), nil
}

// world is the state of a rehearsal.
type world struct {
	in        Input
	horizon   int64 // the last instant of a slot, nanoseconds since the Unix epoch, as all times here
	zone      *time.Location
	schedules []*schedule
	events    events
	live      int
	load      load
}

// schedule is one schedule under way.
type schedule struct {
	due         overlap.Due
	index       int32
	pipe        *pipeline
	next, after time.Time // the first slot behind the watermark, and the one behind it where it is known
	wait        *run      // whose end it waits for
	alarm       uint32    // the number of the alarm that is armed
	seen        time.Time // up to which overlaps with its own runs are counted
	counts      flow.SimulatedSchedule
	overlaps    map[*schedule]*flow.SimulatedOverlap
}

// pipeline is the line of one pipeline.
type pipeline struct {
	index    int32
	duration time.Duration
	live     *run
	stopped  bool   // the live run was cancelled
	end      uint32 // the number of the end that counts
	line     []*run
}

// run is a slot that was taken.
type run struct {
	s    *schedule
	slot time.Time
	by   time.Time // when it ends if it still waits; zero is never
}

// prepare checks the input and builds the world.
func (w *world) prepare() error {
	if !w.in.From.Before(w.in.To) {
		return bad("--from %s is not before --to %s", w.in.From, w.in.To, w.in.From.AddDate(1, 0, 0))
	}
	if last := time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC); w.in.From.Year() < 1970 || w.in.To.After(last) {
		return bad("from %s to %s is not within the years 1970 to 2199", w.in.From, w.in.To, last)
	}
	schedules := slices.Clone(w.in.Schedules)
	slices.SortFunc(schedules, func(a, b Schedule) int {
		return cmp.Compare(flow.ID(a.Tenant, a.Name), flow.ID(b.Tenant, b.Name))
	})
	pipelines := map[string]*pipeline{}
	total := int64(0)
	for _, given := range schedules {
		s, err := w.schedule(&given)
		if err != nil {
			return err
		}
		id := s.counts.Pipeline
		if pipelines[id] == nil {
			pipelines[id] = &pipeline{index: int32(len(w.load.pipes)), duration: w.in.Durations[id]}
			w.load.pipes = append(w.load.pipes, pipelines[id])
		}
		s.pipe = pipelines[id]
		total += s.counts.Slots
	}
	if total > MaxSlots {
		span := float64(w.in.To.Sub(w.in.From)) * MaxSlots / float64(total)
		return bad("from %s to %s there are "+fmt.Sprint(total)+" slots, and at most "+fmt.Sprint(MaxSlots)+" are rehearsed at once", w.in.From, w.in.To, w.in.From.Add(time.Duration(span)).Truncate(time.Second))
	}
	w.load.begin(w.in.From, w.in.To)
	return nil
}

func (w *world) schedule(given *Schedule) (*schedule, error) {
	cal, err := calendar.Of(given.Tenant, &given.PlanSchedule)
	if err != nil {
		return nil, fmt.Errorf("schedule %q: %w", given.Name, err)
	}
	s := &schedule{index: int32(len(w.schedules)), overlaps: map[*schedule]*flow.SimulatedOverlap{}}
	s.due.Cal = cal
	s.due.Record = flow.ScheduleRecord{Tenant: given.Tenant, PlanSchedule: given.PlanSchedule, Watermark: w.in.From.Add(-1)}
	s.due.Record.Enabled = true // as all that are given
	s.next = cal.Next(s.due.Record.Watermark)
	s.counts = flow.SimulatedSchedule{Schedule: flow.ID(given.Tenant, given.Name), Pipeline: flow.ID(given.Tenant, given.Pipeline), Overlap: given.Overlap}
	_, s.counts.Slots = cal.Due(s.due.Record.Watermark, w.in.To.Add(-1))
	w.schedules = append(w.schedules, s)
	return s, nil
}

// bad is a range that cannot be rehearsed; near is an end that can.
func bad(format string, from, to, near time.Time) error {
	return &flow.Error{
		Code: flow.CodeRequest, Message: fmt.Sprintf(format, from.Format(time.RFC3339), to.Format(time.RFC3339)),
		Hint: "--to " + near.Format(time.RFC3339),
	}
}

// step lets one thing happen.
func (w *world) step(e event) {
	now := time.Unix(0, e.at).UTC()
	switch e.kind {
	case kindEnd:
		if p := w.load.pipes[e.index]; p.end == e.number {
			w.end(p, now)
		}
	case kindOverdue:
		w.drop(w.load.pipes[e.index], now)
	default:
		if s := w.schedules[e.index]; s.alarm == e.number {
			w.drain(s, now)
		}
	}
}

// drain takes every due slot of a schedule, as the scheduler does, until it has to wait for a run or nothing is due.
func (w *world) drain(s *schedule, now time.Time) {
	s.wait = nil
	for s.find(w.capped(now.Add(-s.due.Cal.Delay()))) {
		d := s.due.Decide()
		s.advance(d.Watermark)
		if d.Slot.IsZero() {
			w.ended(s, d.Slots)
			continue
		}
		r, answer := w.offer(s, &d, now)
		if answer == flow.OfferRefused {
			continue
		}
		s.wait = r
		if overlap.Looks(d.Overlap, answer) {
			w.arm(s)
		}
		return
	}
	w.arm(s)
}

// capped keeps slots at or after the end out.
func (w *world) capped(now time.Time) time.Time {
	if now.UnixNano() > w.horizon {
		return time.Unix(0, w.horizon)
	}
	return now
}

// find is overlap.Due.Find; it need not ask the calendar to count where one slot is due and that is known.
func (s *schedule) find(now time.Time) bool {
	if s.next.IsZero() || s.next.After(now) {
		return false
	}
	if s.after.IsZero() {
		s.after = s.due.Cal.Next(s.next)
	}
	if s.after.IsZero() || s.after.After(now) {
		s.due.Now, s.due.Last, s.due.Count = now, s.next, 1
		if _, shut := s.due.Cal.Shut(s.next); shut {
			s.due.Shut, s.due.Count = s.next, 0
		}
		return true
	}
	return s.due.Find(time.Time{}, now.Add(s.due.Cal.Delay()))
}

// advance moves the watermark on.
func (s *schedule) advance(to time.Time) {
	s.due.Record.Watermark = to
	if to.Equal(s.next) && !s.after.IsZero() {
		s.next = s.after
	} else {
		s.next = s.due.Cal.Next(to)
	}
	s.after = time.Time{}
}

// arm sets the alarm to the schedule's next slot.
func (w *world) arm(s *schedule) {
	s.alarm++
	if at := s.next.UnixNano(); !s.next.IsZero() && at <= w.horizon {
		w.events.push(event{at: at + int64(s.due.Cal.Delay()), kind: kindAlarm, index: s.index, number: s.alarm})
	}
}

// offer is what a queue does with the run of a slot.
func (w *world) offer(s *schedule, d *overlap.Decision, now time.Time) (*run, flow.OfferAnswer) {
	p := s.pipe
	w.drop(p, now)
	line := overlap.Line{Live: p.live != nil, Waiting: len(p.line)}
	for _, waiting := range p.line {
		if waiting.s == s {
			line.Slots++
		}
	}
	if line.Live && d.Slot.After(s.seen) {
		s.overlapped(p.live.s, 1, d.Slot, d.Slot)
	}
	verdict := line.Judge(d.Kind, d.Overlap)
	w.ended(s, verdict.Older(d.Slots))
	if verdict.Refuse != "" {
		w.ended(s, []flow.SlotRecord{s.ending(d.Slot, flow.SlotSkipped, verdict.Refuse)})
		return nil, flow.OfferRefused
	}
	r := &run{s, d.Slot, d.StartBy}
	w.ended(s, []flow.SlotRecord{s.ending(d.Slot, flow.SlotRun, "")})
	switch {
	case verdict.Coalesce:
		w.coalesce(p, r)
	case !verdict.Start:
		p.line = append(p.line, r)
	}
	if verdict.Start {
		w.start(p, r, now)
		return r, flow.OfferStarted
	}
	if verdict.Replace {
		p.stopped = true
		w.endAt(p, now)
	}
	if !r.by.IsZero() {
		w.events.push(event{at: r.by.UnixNano(), kind: kindOverdue, index: p.index})
	}
	return r, flow.OfferQueued
}

// drop ends the waiting runs of a pipeline that could not start in time, and wakes who waited.
func (w *world) drop(p *pipeline, now time.Time) {
	var gone []*run
	p.line = slices.DeleteFunc(p.line, func(r *run) bool {
		late := !r.by.IsZero() && !r.by.After(now)
		if late {
			gone = append(gone, r)
		}
		return late
	})
	for _, r := range gone {
		r.s.counts.Runs--
		w.ended(r.s, []flow.SlotRecord{r.s.ending(r.slot, flow.SlotMissed, flow.ReasonStart)})
	}
	for _, r := range gone {
		if r.s.wait == r {
			w.rest(r.s, now)
		}
	}
}

// rest lets a schedule go on whose run has ended.
func (w *world) rest(s *schedule, now time.Time) {
	s.due.Idle = w.capped(now)
	s.delayed(s.due.Idle.Add(-s.due.Cal.Delay()))
	w.drain(s, now)
}

// coalesce lets a run stand for the waiting slots of its schedule, in the place of the first.
func (w *world) coalesce(p *pipeline, r *run) {
	line := p.line[:0]
	placed := false
	for _, waiting := range p.line {
		if waiting.s != r.s {
			line = append(line, waiting)
			continue
		}
		r.s.counts.Runs--
		w.ended(r.s, []flow.SlotRecord{r.s.ending(waiting.slot, flow.SlotCoalesced, "")})
		if !placed {
			line, placed = append(line, r), true
		}
	}
	clear(p.line[len(line):])
	p.line = line
}

// start makes a run live.
func (w *world) start(p *pipeline, r *run, now time.Time) {
	p.live, p.stopped = r, false
	w.endAt(p, now.Add(p.duration))
	w.live++
	w.load.started(now, w.live)
	if late := flow.Duration(now.Sub(r.slot) - r.s.due.Cal.Delay()); late > r.s.counts.Late {
		r.s.counts.Late, r.s.counts.LateAt = late, &r.slot
	}
}

func (w *world) endAt(p *pipeline, at time.Time) {
	p.end++
	w.events.push(event{at: at.UnixNano(), kind: kindEnd, index: p.index, number: p.end})
}

// end ends the live run of a pipeline, starts the next one, and wakes who waited.
func (w *world) end(p *pipeline, now time.Time) {
	r := p.live
	p.live = nil
	w.live--
	if p.stopped {
		r.s.counts.Replaced++
	}
	woken := r.s.wait == r
	w.drop(p, now)
	if p.live == nil && len(p.line) > 0 {
		next := p.line[0]
		p.line = slices.Delete(p.line, 0, 1)
		w.start(p, next, now)
	}
	if woken {
		w.rest(r.s, now)
	}
}
