package simulate_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/overlap"
	"github.com/uniflow-dev/uniflow/host/internal/schedule"
	"github.com/uniflow-dev/uniflow/host/internal/simulate"
)

// queue is a queue and a ledger in memory by the rules of package overlap; a run is a length of time.
type queue struct {
	durations map[string]time.Duration

	mu      sync.Mutex
	live    map[string]*task
	waiting map[string][]*task
	tasks   map[flow.RunID]*task
	endings map[string]map[int64]flow.SlotRecord // by schedule and second, of the slots of a range its first
}

type task struct {
	run  flow.Run
	by   time.Time
	stop context.CancelFunc
	done chan struct{}
}

func (q *queue) Offer(_ context.Context, o flow.Offer) (flow.Offered, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	p, name := o.Run.Pipeline, o.Run.Trigger.Schedule
	mine := func(x *task) bool { return x.run.Trigger.Schedule == name }
	q.drop(p)
	line := overlap.Line{Live: q.live[p] != nil, Waiting: len(q.waiting[p])}
	for _, x := range q.waiting[p] {
		if mine(x) {
			line.Slots++
		}
	}
	verdict := line.Judge(o.Run.Trigger.Kind, o.Overlap)
	q.record(verdict.Older(o.Slots))
	slot := flow.SlotRecord{Schedule: name, From: o.Run.Trigger.ScheduledAt, To: o.Run.Trigger.ScheduledAt, Count: 1, Ending: flow.SlotRun}
	if verdict.Refuse != "" {
		slot.Ending, slot.Reason = flow.SlotSkipped, verdict.Refuse
		q.record([]flow.SlotRecord{slot})
		return flow.Offered{Answer: flow.OfferRefused, Reason: verdict.Refuse}, nil
	}
	q.record([]flow.SlotRecord{slot})
	x := &task{run: o.Run, by: o.StartBy, done: make(chan struct{})}
	q.tasks[o.Run.ID] = x
	place := len(q.waiting[p])
	if verdict.Coalesce {
		place = slices.IndexFunc(q.waiting[p], mine)
		for _, gone := range q.waiting[p] {
			if mine(gone) {
				slot.From, slot.To, slot.Ending = gone.run.Trigger.ScheduledAt, gone.run.Trigger.ScheduledAt, flow.SlotCoalesced
				q.record([]flow.SlotRecord{slot})
				delete(q.tasks, gone.run.ID)
				close(gone.done)
			}
		}
		q.waiting[p] = slices.DeleteFunc(q.waiting[p], mine)
	}
	q.waiting[p] = slices.Insert(q.waiting[p], place, x)
	if verdict.Start {
		q.next(p)
		return flow.Offered{Answer: flow.OfferStarted}, nil
	}
	if verdict.Replace {
		q.live[p].stop()
	}
	return flow.Offered{Answer: flow.OfferQueued}, nil
}

// drop ends the waiting runs that could not start in time.
func (q *queue) drop(p string) {
	q.waiting[p] = slices.DeleteFunc(q.waiting[p], func(x *task) bool {
		if x.by.IsZero() || x.by.After(time.Now()) {
			return false
		}
		at := x.run.Trigger.ScheduledAt
		q.record([]flow.SlotRecord{{Schedule: x.run.Trigger.Schedule, From: at, To: at, Count: 1, Ending: flow.SlotMissed, Reason: flow.ReasonStart}})
		close(x.done)
		return true
	})
}

// Next implements schedule.Queue.
func (q *queue) Next(_ context.Context, _, p string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.drop(p)
	if q.live[p] == nil {
		q.next(p)
	}
	return nil
}

// Overdue implements schedule.Queue; the test is about those that are told in time.
func (q *queue) Overdue(context.Context) error { return nil }

// next starts the first run of a line.
func (q *queue) next(p string) {
	delete(q.live, p)
	q.drop(p)
	if len(q.waiting[p]) == 0 {
		return
	}
	x := q.waiting[p][0]
	q.waiting[p] = q.waiting[p][1:]
	q.live[p] = x
	var ctx context.Context
	ctx, x.stop = context.WithTimeout(context.Background(), q.durations[p])
	go func() {
		<-ctx.Done()
		q.mu.Lock()
		defer q.mu.Unlock()
		close(x.done)
		q.next(p)
	}()
}

func (q *queue) Wait(ctx context.Context, id flow.RunID) (flow.Ending, error) {
	q.mu.Lock()
	x := q.tasks[id]
	q.mu.Unlock()
	if x == nil {
		return flow.Ending{}, fmt.Errorf("run %s: %w", id, flow.ErrNotFound)
	}
	select {
	case <-x.done:
		return flow.Ending{Outcome: flow.Succeeded}, nil
	case <-ctx.Done():
		return flow.Ending{}, context.Cause(ctx)
	}
}

func (q *queue) SaveSlots(_ context.Context, _, _ string, _ time.Time, records []flow.SlotRecord) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.record(records)
	return nil
}

func (q *queue) record(records []flow.SlotRecord) { keep(q.endings, records) }

func keep(endings map[string]map[int64]flow.SlotRecord, records []flow.SlotRecord) {
	for _, r := range records {
		if endings[r.Schedule] == nil {
			endings[r.Schedule] = map[int64]flow.SlotRecord{}
		}
		endings[r.Schedule][r.From.Unix()] = r
	}
}

// random makes a pipeline or two with up to three schedules each. No two slots are at the same second, and runs end
// at odd milliseconds, so that nothing happens at the same instant but what follows from one another.
func random(r *rand.Rand) simulate.Input {
	in := simulate.Input{Durations: map[string]time.Duration{}}
	overlaps := []flow.Overlap{flow.OverlapWait, flow.OverlapWaitAll, flow.OverlapSkip, flow.OverlapReplace}
	for p := range 1 + r.IntN(2) {
		pipeline := fmt.Sprint("p", p)
		in.Durations[pipeline] = time.Duration(20+r.IntN(1500))*time.Second + time.Duration(1+r.IntN(998))*time.Millisecond
		for s := range 1 + r.IntN(3) {
			in.Schedules = append(in.Schedules, simulate.Schedule{Tenant: "default", PlanSchedule: flow.PlanSchedule{
				Name: fmt.Sprintf("%s-%d", pipeline, s), Pipeline: pipeline, Timezone: "UTC", Enabled: true, Overlap: overlaps[r.IntN(len(overlaps))],
				At: fmt.Sprintf("every %dm from 2000-01-01T00:00:%02dZ", 1+r.IntN(20), 1+10*p+3*s), SlotRules: randomRules(r),
			}})
		}
	}
	return in
}

// randomRules skip slots of a time in most worlds, delay starts in some, and drop slots that wait in others.
func randomRules(r *rand.Rand) flow.SlotRules {
	var rules flow.SlotRules
	for range r.IntN(3) {
		from := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(r.IntN(8*3600)) * time.Second)
		to := from.Add(time.Duration(1+r.IntN(7200)) * time.Second)
		rules.NotOn = append(rules.NotOn, from.Format("2006-01-02T15:04:05Z")+".."+to.Format("2006-01-02T15:04:05Z"))
	}
	if r.IntN(2) == 0 {
		rules.Jitter = flow.Duration(1+r.IntN(50)) * flow.Duration(time.Second)
	}
	if r.IntN(2) == 0 {
		rules.Start = flow.Duration(1+r.IntN(900_000)) * flow.Duration(time.Millisecond)
	}
	return rules
}

// realEndings runs the schedules on the real scheduler, in simulated time, until a time.
func realEndings(t *testing.T, in simulate.Input, until time.Duration) map[string]map[int64]flow.SlotRecord {
	t.Helper()
	q := &queue{
		durations: in.Durations, live: map[string]*task{}, waiting: map[string][]*task{}, tasks: map[flow.RunID]*task{},
		endings: map[string]map[int64]flow.SlotRecord{},
	}
	clock, err := schedule.New(schedule.Config{Queue: q, Ledger: q, Logger: slog.New(slog.DiscardHandler), NewRun: func(_ context.Context, s flow.ScheduleRecord, trigger flow.Trigger) (flow.Run, error) {
		return flow.Run{ID: flow.SlotRunID(s.Tenant, s.Pipeline, s.Name, trigger.ScheduledAt), Tenant: s.Tenant, Pipeline: s.Pipeline, Trigger: trigger}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	var records []flow.ScheduleRecord
	for _, s := range in.Schedules {
		records = append(records, flow.ScheduleRecord{Tenant: s.Tenant, PlanSchedule: s.PlanSchedule, Since: time.Now(), Watermark: time.Now()})
	}
	if err := clock.Apply(records); err != nil {
		t.Fatal(err)
	}
	clock.Start()
	time.Sleep(until)
	if err := clock.Stop(); err != nil {
		t.Error(err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for p, waiting := range q.waiting {
		for _, x := range waiting { // what waits may still be coalesced
			delete(q.endings[x.run.Trigger.Schedule], x.run.Trigger.ScheduledAt.Unix())
		}
		q.waiting[p] = nil
		if q.live[p] != nil {
			q.live[p].stop()
		}
	}
	return q.endings
}

// What the rehearsal says is what the real scheduler does, slot by slot.
func TestRehearsalIsTheRealThing(t *testing.T) {
	t.Parallel()
	const worlds, hours = 60, 8
	tally := map[string]int{}
	for seed := range uint64(worlds) {
		synctest.Test(t, func(t *testing.T) {
			in := random(rand.New(rand.NewPCG(seed, 1)))
			in.From, in.To = time.Now().Add(1), time.Now().Add(2*hours*time.Hour)
			said := map[string]map[int64]flow.SlotRecord{}
			in.Tell = func(r flow.SlotRecord) { keep(said, []flow.SlotRecord{r}) }
			report, err := simulate.Run(in)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range report.Schedules {
				if s.Slots != s.Runs+s.Coalesced+s.Skipped+s.Missed {
					t.Errorf("seed %d: %+v does not add up", seed, s)
				}
			}
			for name, slots := range realEndings(t, in, hours*time.Hour) {
				for at, got := range slots {
					want := said[name][at]
					if got.Ending != want.Ending || got.Reason != want.Reason || got.Count != want.Count || !got.To.Equal(want.To) {
						t.Errorf("seed %d: %s at %s: really %s(%s) of %d, rehearsed %s(%s) of %d", seed, name, time.Unix(at, 0).UTC(), got.Ending, got.Reason, got.Count, want.Ending, want.Reason, want.Count)
					}
					tally[string(got.Ending)+string(got.Reason)]++
				}
			}
		})
	}
	for _, kind := range []string{"run", "coalesced", "skippedoverlap", "skippedcalendar", "missedstart", "skippedquota"} {
		if tally[kind] < 100 && kind != "skippedquota" || tally[kind] == 0 {
			t.Errorf("%d slots ended as %s: the test shows little", tally[kind], kind)
		}
	}
}
