//go:build linux

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

const (
	settleTime = 2 * time.Second // after which nothing may be open that is not live
	longest    = 3 * time.Second // that a run takes by itself
	onTime     = 2 * time.Second // from a slot to the start of its run
	faultTime  = 8 * time.Second // for what must come about by itself
	leastLooks = 3               // however long each takes
)

// check holds the world against what is promised, once its host serves again.
func (w *world) check(before []proc) {
	h := w.host
	h.exited(time.Until(h.ready.Add(settleTime)))
	link, err := w.connect()
	if err != nil {
		w.violation("no host answers: %v\n%s", err, h.stderr.String())
		return
	}
	defer link.Close()
	w.nextSlot(link)
	for _, p := range before {
		if startOf(p.pid) == p.start {
			w.violation("process %d of an earlier life is there", p.pid)
		}
	}
	// What is read in several looks may change between them: only what stays wrong is wrong.
	var wrong []string
	deadline := time.Now().Add(faultTime)
	for looks := 0; (looks < leastLooks || time.Now().Before(deadline)) && !h.exited(200*time.Millisecond); looks++ {
		s, err := look(w.ctx, link)
		if err != nil {
			wrong = []string{err.Error()}
			continue
		}
		w.mu.Lock()
		wrong = slices.Concat(s.slotsWrong(), s.runsWrong(), w.lost(s))
		w.mu.Unlock()
		if len(wrong) == 0 {
			return
		}
	}
	if h.exited(0) {
		w.violation("the host ended: %s", h.stderr.String())
	}
	for _, v := range wrong {
		w.violation("%s", v)
	}
}

// nextSlot waits for the first slot after the start, which must have run on time.
func (w *world) nextSlot(link flow.Control) {
	for deadline := w.host.ready.Add(settleTime + faultTime); time.Now().Before(deadline); w.host.exited(50 * time.Millisecond) {
		runs, err := link.Runs(w.ctx, flow.RunQuery{Pipeline: "tick", Limit: 1000})
		if err != nil {
			continue
		}
		slices.Reverse(runs)
		for i := range runs {
			r := &runs[i]
			if r.StartedAt == nil || !r.Trigger.ScheduledAt.After(w.host.ready) {
				continue
			}
			if w.timed {
				w.first = r.StartedAt.Sub(w.host.begun)
			}
			if late := r.StartedAt.Sub(r.Trigger.ScheduledAt); late > onTime {
				w.violation("the first slot, %s, started %s late", r.Trigger.ScheduledAt, late)
			}
			return
		}
	}
	w.violation("no slot fires after %s: %s", w.host.ready, w.host.stderr.String())
}

// sight is one look at everything.
type sight struct {
	at     time.Time
	live   int                          // runs that the host executes
	open   map[string]int               // those that are recorded as live, by pipeline, at the same time
	slots  map[string][]flow.SlotRecord // oldest first
	moved  map[flow.RunID]bool          // runs of slots that had another ending before all was read
	runs   map[flow.RunID]flow.RunRecord
	events []flow.Event
}

func look(ctx context.Context, link flow.Control) (*sight, error) {
	s := &sight{at: time.Now(), moved: map[flow.RunID]bool{}, runs: map[flow.RunID]flow.RunRecord{}}
	var err error
	if s.slots, err = slotsOf(ctx, link); err != nil {
		return nil, err
	}
	if err := s.lookAtLive(ctx, link); err != nil {
		return nil, err
	}
	runs, err := link.Runs(ctx, flow.RunQuery{Limit: 1000})
	if err != nil {
		return nil, err
	}
	later, err := slotsOf(ctx, link)
	if err != nil {
		return nil, err
	}
	for name, slots := range s.slots {
		for i := range min(len(slots), len(later[name])) {
			if slots[i] != later[name][i] {
				s.moved[slots[i].Run] = true
			}
		}
	}
	for i := range runs {
		r, err := link.Run(ctx, string(runs[i].ID))
		switch {
		case errors.Is(err, flow.ErrNotFound) && runs[i].State == flow.StateQueued:
			s.moved[runs[i].ID] = true // a newer slot took its place meanwhile
		case err != nil:
			return nil, err
		default:
			s.runs[r.ID] = r
		}
	}
	s.events, err = link.Events(ctx, flow.EventQuery{Limit: 10_000})
	return s, err
}

// slotsOf reads the slots of all schedules, oldest first.
func slotsOf(ctx context.Context, link flow.Control) (map[string][]flow.SlotRecord, error) {
	all := map[string][]flow.SlotRecord{}
	for _, name := range []string{"tick", "slow", "long"} {
		slots, err := link.Slots(ctx, flow.SlotQuery{Schedule: name, Limit: 1000})
		if err != nil {
			return nil, err
		}
		slices.Reverse(slots)
		all[name] = slots
	}
	return all, nil
}

// lookAtLive counts what is live in the host and in the record, between two changes of the host's number.
func (s *sight) lookAtLive(ctx context.Context, link flow.Control) error {
	for range 100 {
		before, err := link.Info(ctx)
		if err != nil {
			return err
		}
		runs, err := link.Runs(ctx, flow.RunQuery{State: flow.StateRunning, Limit: 1000})
		if err != nil {
			return err
		}
		after, err := link.Info(ctx)
		if err != nil {
			return err
		}
		if s.live = before.LiveRuns; s.live == after.LiveRuns {
			s.open = map[string]int{}
			for i := range runs {
				s.open[runs[i].Pipeline]++
			}
			return nil
		}
	}
	return errors.New("the number of live runs changes with each look")
}

// slotsWrong: slots due are the sum of the records, each once, up to now.
func (s *sight) slotsWrong() (wrong []string) {
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	for name, slots := range s.slots {
		next := s.since(name).Truncate(time.Second).Add(time.Second)
		used := map[flow.RunID]bool{}
		for i := range slots {
			r := &slots[i]
			if !r.From.Equal(next) {
				say("schedule %s: after the slot before %s comes %s", name, next, r.From)
			}
			if due := int64(r.To.Sub(r.From)/time.Second) + 1; due != r.Count {
				say("schedule %s: %d slots were due from %s to %s, %d are recorded", name, due, r.From, r.To, r.Count)
			}
			run, kept := s.runs[r.Run]
			switch {
			case r.Ending != flow.SlotRun && r.Ending != flow.SlotCoalesced, s.moved[r.Run]: // which the next look sees
			case !kept:
				say("schedule %s: the run %s of slot %s is gone", name, r.Run, r.From)
			case r.Ending == flow.SlotRun && (used[r.Run] || !run.Trigger.ScheduledAt.Equal(r.From)):
				say("schedule %s: slot %s has the run %s of %s", name, r.From, r.Run, run.Trigger.ScheduledAt)
			}
			used[r.Run] = used[r.Run] || r.Ending == flow.SlotRun
			next = r.To.Add(time.Second)
		}
		if late := s.at.Sub(next); late > onTime+longest { // a slot that waits for its schedule's own run is recorded after it
			say("schedule %s: slot %s is due and has no record %s later", name, next, late)
		}
	}
	return wrong
}

// since is when a schedule was first applied.
func (s *sight) since(name string) time.Time {
	for i := range s.events {
		var record flow.ScheduleRecord
		if e := &s.events[i]; e.Kind == flow.ScheduleSet && e.Schedule == name && json.Unmarshal(e.Detail, &record) == nil {
			return record.Since
		}
	}
	return time.Time{}
}

// runsWrong: one live run of a pipeline, nothing open that is not live, whole records.
func (s *sight) runsWrong() (wrong []string) {
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	running := map[string]int{}
	lanes := map[string][]flow.RunRecord{}
	slot := map[string]flow.RunID{}
	for id, r := range s.runs {
		if r.State == flow.StateRunning {
			running[r.Pipeline]++
		}
		if r.StartedAt != nil {
			lanes[r.Pipeline] = append(lanes[r.Pipeline], r)
		}
		if key := fmt.Sprint(r.Trigger.Schedule, r.Trigger.ScheduledAt); r.Trigger.Schedule != "" {
			if slot[key] != "" {
				say("runs %s and %s have one slot", slot[key], id)
			}
			slot[key] = id
		}
		wrong = append(wrong, openWrong(&r)...)
	}
	sum := 0
	for pipeline, n := range running {
		if n = max(n, s.open[pipeline]); n > 1 {
			say("%d runs of %s are live", n, pipeline)
		}
	}
	for _, n := range s.open {
		sum += n
	}
	if sum != s.live {
		say("%d runs are recorded as live, the host executes %d", sum, s.live)
	}
	for _, r := range s.runs {
		if r.State == flow.StateQueued && running[r.Pipeline]+s.open[r.Pipeline] == 0 {
			say("run %s waits for nothing", r.ID)
		}
	}
	for pipeline, lane := range lanes {
		slices.SortFunc(lane, func(a, b flow.RunRecord) int { return a.StartedAt.Compare(*b.StartedAt) })
		for i := 1; i < len(lane); i++ {
			if end := lane[i-1].EndedAt; end == nil || end.After(*lane[i].StartedAt) {
				say("runs %s and %s of %s overlap", lane[i-1].ID, lane[i].ID, pipeline)
			}
		}
	}
	return wrong
}

// openWrong: an ended run has nothing open, a live one nothing of an earlier life, a success all that it promises.
func openWrong(r *flow.RunRecord) (wrong []string) {
	for i := range r.Steps {
		step := &r.Steps[i]
		if r.State == flow.StateEnded && step.State != flow.StateEnded {
			wrong = append(wrong, fmt.Sprintf("run %s has ended, its step %s has not", r.ID, step.Name))
		}
		for _, a := range step.Attempts {
			if a.State != flow.StateEnded && (r.State == flow.StateEnded || a.Epoch != r.Epoch) {
				wrong = append(wrong, fmt.Sprintf("attempt %d of run %s, step %s, epoch %d is open", a.Attempt, r.ID, step.Name, a.Epoch))
			}
		}
	}
	if r.Outcome != flow.Succeeded {
		return wrong
	}
	for i := range r.Steps {
		if got := string(r.Steps[i].Outputs["answer"]); got != "42" {
			wrong = append(wrong, fmt.Sprintf("run %s succeeded, its step %s has the answer %q", r.ID, r.Steps[i].Name, cmp.Or(got, "none")))
		}
	}
	if want := map[string]int{"slow": 2}[r.Pipeline]; len(r.Steps) != max(want, 1) {
		wrong = append(wrong, fmt.Sprintf("run %s succeeded with %d steps", r.ID, len(r.Steps)))
	}
	return wrong
}

// lost: what was heard is there, word for word. The caller holds the lock.
func (w *world) lost(s *sight) (wrong []string) {
	if w.unsure {
		return nil
	}
	kept := map[int64]string{}
	for i := range s.events {
		if text, err := json.Marshal(&s.events[i]); err == nil {
			kept[s.events[i].Seq] = string(text)
		}
	}
	last := int64(0)
	if len(s.events) > 0 {
		last = s.events[len(s.events)-1].Seq
	}
	for seq, text := range w.heard {
		if seq <= last && kept[seq] != text {
			wrong = append(wrong, fmt.Sprintf("event %d was heard as %s and is %q", seq, text, kept[seq]))
		}
	}
	for id := range w.asked {
		if _, ok := s.runs[id]; !ok {
			wrong = append(wrong, fmt.Sprintf("run %s was acknowledged and is gone", id))
		}
	}
	return wrong
}
