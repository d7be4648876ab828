package schedule

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/calendar"
)

// world is a queue, a ledger and a runner in memory, by the rules of flow.Offer. Runs last as long as the test says.
type world struct {
	t        *testing.T
	duration func(flow.Run) time.Duration
	newRun   func(flow.Run) error // may refuse or panic; nil is neither
	edits    bool                 // schedules are edited wildly: records cannot be checked

	mu        sync.Mutex
	calendars map[string]*calendar.Schedule
	runs      map[flow.RunID]*task
	live      map[string]*task   // by pipeline
	waiting   map[string][]*task // by pipeline
	started   []*task
	endings   map[string]map[int64]flow.SlotRecord // by schedule and second
	watermark map[string]time.Time
	offers    int
}

// task is a run and what became of it.
type task struct {
	run       flow.Run
	by        time.Time // when it ends if it still waits
	overdue   bool
	at        time.Time // start
	end       time.Time
	cancelled bool
	stop      chan struct{}
	done      chan struct{}
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return &world{
		t: t, duration: func(flow.Run) time.Duration { return time.Second },
		calendars: map[string]*calendar.Schedule{}, runs: map[flow.RunID]*task{}, live: map[string]*task{}, waiting: map[string][]*task{},
		endings: map[string]map[int64]flow.SlotRecord{}, watermark: map[string]time.Time{},
	}
}

// scheduler returns a scheduler on the world that the test stops at its end, and waits for what is live.
func (w *world) scheduler(records ...flow.ScheduleRecord) *Scheduler {
	w.t.Helper()
	s, err := New(Config{Queue: w, Ledger: w, NewRun: w.make, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, r := range records {
		w.know(r)
	}
	if err := s.Apply(records); err != nil {
		w.t.Fatal(err)
	}
	return s
}

// know begins the ledger of a schedule.
func (w *world) know(r flow.ScheduleRecord) {
	w.t.Helper()
	cal, err := calendar.Of(r.Tenant, &r.PlanSchedule)
	if err != nil {
		w.t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calendars[r.Name] = cal
	w.watermark[r.Name] = r.Watermark
	if w.endings[r.Name] == nil {
		w.endings[r.Name] = map[int64]flow.SlotRecord{}
	}
}

// stop ends the scheduler, then every run.
func (w *world) stop(s *Scheduler) {
	w.t.Helper()
	if err := s.Stop(); err != nil {
		w.t.Error(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting = map[string][]*task{}
	for _, x := range w.live {
		x.cancel()
	}
}

// tasks returns a copy of what has started, in order.
func (w *world) tasks() []task {
	w.mu.Lock()
	defer w.mu.Unlock()
	var tasks []task
	for _, x := range w.started {
		tasks = append(tasks, *x)
	}
	return tasks
}

func (x *task) cancel() {
	if !x.cancelled {
		x.cancelled = true
		close(x.stop)
	}
}

func (w *world) make(_ context.Context, r flow.ScheduleRecord, trigger flow.Trigger) (flow.Run, error) {
	run := flow.Run{ID: flow.SlotRunID(r.Tenant, r.Pipeline, r.Name, trigger.ScheduledAt), Tenant: r.Tenant, Pipeline: r.Pipeline, Trigger: trigger}
	if w.newRun != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		if err := w.newRun(run); err != nil {
			return flow.Run{}, err
		}
	}
	return run, nil
}

func (w *world) Offer(ctx context.Context, o flow.Offer) (flow.Offered, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.offers++
	if err := ctx.Err(); err != nil {
		return flow.Offered{}, err
	}
	if w.runs[o.Run.ID] != nil {
		return flow.Offered{Answer: flow.OfferDuplicate}, nil
	}
	name, slot := o.Run.Trigger.Schedule, o.Run.Trigger.ScheduledAt
	offered := flow.Offered{Answer: flow.OfferQueued}
	pipeline := o.Run.Pipeline
	w.drop(pipeline)
	busy := w.live[pipeline] != nil
	ending := flow.SlotRecord{Schedule: name, Pipeline: pipeline, From: slot, To: slot, Count: 1, Ending: flow.SlotRun, Run: o.Run.ID}
	if busy && name != "" && o.Overlap == flow.OverlapSkip {
		offered.Answer, offered.Reason = flow.OfferRefused, flow.ReasonOverlap
		ending.Ending, ending.Reason, ending.Run = flow.SlotSkipped, flow.ReasonOverlap, ""
	}
	if name != "" {
		w.record(name, o.Watermark, append(o.Slots, ending))
	}
	if offered.Answer == flow.OfferRefused {
		return offered, nil
	}
	x := &task{run: o.Run, by: o.StartBy, stop: make(chan struct{}), done: make(chan struct{})}
	w.runs[o.Run.ID] = x
	if busy && (o.Overlap == flow.OverlapWait || o.Overlap == flow.OverlapReplace) {
		offered.Coalesced = w.coalesce(pipeline, name, o.Run.ID)
	}
	if busy && o.Overlap == flow.OverlapReplace {
		offered.Replaces = w.live[pipeline].run.ID
		w.live[pipeline].cancel()
	}
	w.waiting[pipeline] = append(w.waiting[pipeline], x)
	if !busy {
		offered.Answer = flow.OfferStarted
		w.next(pipeline)
	}
	return offered, nil
}

// coalesce lets a newer slot of a schedule stand for those that wait.
func (w *world) coalesce(pipeline, schedule string, into flow.RunID) []flow.RunID {
	var ids []flow.RunID
	var rest []*task
	for _, x := range w.waiting[pipeline] {
		if x.run.Trigger.Schedule != schedule {
			rest = append(rest, x)
			continue
		}
		ids = append(ids, x.run.ID)
		at := x.run.Trigger.ScheduledAt
		w.endings[schedule][at.Unix()] = flow.SlotRecord{From: at, To: at, Count: 1, Ending: flow.SlotCoalesced, Run: into}
		delete(w.runs, x.run.ID)
		close(x.done)
	}
	w.waiting[pipeline] = rest
	return ids
}

// drop ends the waiting runs that could not start in time.
func (w *world) drop(pipeline string) {
	var rest []*task
	for _, x := range w.waiting[pipeline] {
		if x.by.IsZero() || x.by.After(time.Now()) {
			rest = append(rest, x)
			continue
		}
		at := x.run.Trigger.ScheduledAt
		w.endings[x.run.Trigger.Schedule][at.Unix()] = flow.SlotRecord{From: at, To: at, Count: 1, Ending: flow.SlotMissed, Reason: flow.ReasonStart, Run: x.run.ID}
		x.overdue = true
		close(x.done)
	}
	w.waiting[pipeline] = rest
}

// Next implements Queue.
func (w *world) Next(_ context.Context, _, pipeline string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.drop(pipeline)
	if w.live[pipeline] == nil {
		w.next(pipeline)
	}
	return nil
}

// Overdue implements Queue.
func (w *world) Overdue(context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for pipeline := range w.waiting {
		w.drop(pipeline)
	}
	return nil
}

// next starts the pipeline's oldest waiting run.
func (w *world) next(pipeline string) {
	w.drop(pipeline)
	queue := w.waiting[pipeline]
	if len(queue) == 0 {
		delete(w.live, pipeline)
		return
	}
	x := queue[0]
	w.waiting[pipeline] = queue[1:]
	w.live[pipeline] = x
	x.at = time.Now()
	w.started = append(w.started, x)
	timer := time.NewTimer(w.duration(x.run))
	go func() {
		select {
		case <-timer.C:
		case <-x.stop:
			timer.Stop()
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		x.end = time.Now()
		close(x.done)
		w.next(pipeline)
	}()
}

// manual starts or queues a run that is no slot's, as the host would.
func (w *world) manual(pipeline string) {
	w.t.Helper()
	run := flow.Run{ID: flow.NewRunID(time.Now()), Tenant: "default", Pipeline: pipeline, Trigger: flow.Trigger{Kind: flow.TriggerManual, ScheduledAt: time.Now()}}
	if _, err := w.Offer(w.t.Context(), flow.Offer{Run: run}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) Wait(ctx context.Context, id flow.RunID) (flow.Ending, error) {
	w.mu.Lock()
	x := w.runs[id]
	w.mu.Unlock()
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

func (w *world) SaveSlots(ctx context.Context, _, schedule string, watermark time.Time, records []flow.SlotRecord) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	w.record(schedule, watermark, records)
	return nil
}

// record keeps endings and checks that they are those of exactly the slots between the watermarks.
func (w *world) record(schedule string, watermark time.Time, records []flow.SlotRecord) {
	if w.edits {
		return
	}
	cal, before := w.calendars[schedule], w.watermark[schedule]
	count := int64(0)
	for _, r := range records {
		slots := cal.List(r.From.Add(-time.Second), int(r.Count))
		if len(slots) != int(r.Count) || !slots[0].Equal(r.From) || !slots[len(slots)-1].Equal(r.To) {
			w.t.Errorf("%s: a record of %d slots from %s to %s does not hold these", schedule, r.Count, r.From, r.To)
		}
		for _, slot := range slots {
			if old, ok := w.endings[schedule][slot.Unix()]; ok {
				w.t.Errorf("%s: slot %s ended twice: %s, then %s", schedule, slot, old.Ending, r.Ending)
			}
			w.endings[schedule][slot.Unix()] = r
		}
		count += r.Count
	}
	if _, due := cal.Due(before, watermark); due != count {
		w.t.Errorf("%s: %d endings recorded between %s and %s, where %d slots are", schedule, count, before, watermark, due)
	}
	w.watermark[schedule] = watermark
}

// tally counts a schedule's endings.
func (w *world) tally(schedule string) map[flow.SlotEnding]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	counts := map[flow.SlotEnding]int{}
	for _, r := range w.endings[schedule] {
		counts[r.Ending]++
	}
	return counts
}

// starts returns which slots ran, and when, as offsets from a time.
func (w *world) starts(from time.Time) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	texts := []string{}
	for _, x := range w.started {
		text := fmt.Sprintf("%s+%s@%s", x.run.Trigger.Schedule, x.run.Trigger.ScheduledAt.Sub(from), x.at.Sub(from))
		texts = append(texts, strings.ReplaceAll(text, "+-", "-"))
	}
	return texts
}

// every is an enabled schedule, due from now on, of the pipeline of its name.
func every(name, at string, overlap flow.Overlap) flow.ScheduleRecord {
	now := time.Now().UTC()
	return flow.ScheduleRecord{
		Tenant: "default", Since: now, Watermark: now,
		PlanSchedule: flow.PlanSchedule{
			Name: name, Pipeline: name, At: at, Timezone: "UTC", Enabled: true, Overlap: overlap,
			Catchup: flow.Catchup{Runs: "latest", Within: flow.Duration(24 * time.Hour)},
		},
	}
}
