package watch

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/store/sqlite"
)

// rig is a watcher on a real ledger, in the time of a bubble, with a target that a test plays.
type rig struct {
	*testing.T
	*sqlite.Store
	dir    string
	boots  int
	every  time.Duration // between looks, where many would take long
	alerts map[string]flow.Alert
	bounds map[string]flow.Ceiling
	sink   *sink
	faulty *faulty // stands before the ledger, where it is set
	cancel context.CancelFunc
	done   chan struct{}

	mu     sync.Mutex // the watcher asks for these as it goes
	plans  []*flow.Plan
	broken map[string]error
}

// sink is a target: it notes what it is told, and does with it what a test says.
type sink struct {
	mu     sync.Mutex
	told   []string
	answer func(ctx context.Context, t Target, m *Message) error
}

func (s *sink) Send(ctx context.Context, t Target, m *Message) error {
	s.mu.Lock()
	answer := s.answer
	s.mu.Unlock()
	if answer != nil {
		if err := answer(ctx, t, m); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told = append(s.told, t.Name+" "+m.Title)
	return nil
}

func (s *sink) set(answer func(ctx context.Context, t Target, m *Message) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

// inBubble runs a test with a rig whose pipeline "p" is told to alert "ops".
func inBubble(t *testing.T, test func(*rig)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{
			T: t, dir: dir, sink: &sink{}, broken: map[string]error{},
			plans:  []*flow.Plan{{Tenant: "default", Pipeline: "p", Owner: "team", Alerts: []string{"ops"}}},
			alerts: map[string]flow.Alert{"ops": {URL: flow.SecretText{Text: "https://ops.example.com"}}},
		}
		r.start()
		defer r.stop()
		test(r)
	})
}

// change changes what the watcher asks for as it goes.
func (r *rig) change(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
}

// anew begins another life with something changed that the watcher is given once.
func (r *rig) anew(f func()) {
	r.Helper()
	r.stop()
	f()
	r.start()
}

func (r *rig) copies() []*flow.Plan {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []*flow.Plan
	for _, p := range r.plans {
		if p != nil {
			own := *p
			p = &own
		}
		all = append(all, p)
	}
	return all
}

func (r *rig) brokenOf(s *flow.ScheduleRecord) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.broken[s.Name]
}

// declared are the alerts that there are now.
func (r *rig) declared() map[string]flow.Alert {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.alerts)
}

func (r *rig) ceilingOf(tenant string) flow.Ceiling {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bounds[tenant]
}

// slowly has the watcher look less often.
func (r *rig) slowly(every time.Duration) {
	r.Helper()
	r.anew(func() { r.every = every })
}

// start begins a life of the host.
func (r *rig) start() {
	r.Helper()
	r.boots++
	store, err := sqlite.Open(r.Context(), sqlite.Config{Path: filepath.Join(r.dir, "uniflow.db"), Boot: fmt.Sprint("boot-", r.boots)})
	if err != nil {
		r.Fatal(err)
	}
	r.Store = store
	var ledger Ledger = store
	if r.faulty != nil {
		r.faulty.Ledger = store
		ledger = r.faulty
	}
	w := New(Config{
		Ledger: ledger, Alerts: r.declared, Send: r.sink, Every: r.every, Logger: slog.New(slog.DiscardHandler),
		Plans:   r.copies,
		Broken:  r.brokenOf,
		Ceiling: r.ceilingOf,
		Secret:  func(_, name string) (string, error) { return "secret of " + name, nil },
	})
	r.must(w.Begin(r.Context()))
	var ctx context.Context
	ctx, r.cancel = context.WithCancel(r.Context())
	r.done = make(chan struct{})
	done := r.done
	go func() {
		defer close(done)
		w.Run(ctx)
	}()
}

// stop ends a life of the host.
func (r *rig) stop() {
	r.Helper()
	r.cancel()
	<-r.done
	r.must(r.Close())
}

func (r *rig) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

// schedule applies a schedule of pipeline "p" from now on.
func (r *rig) schedule(name, at string) {
	r.Helper()
	now := time.Now()
	r.must(r.PutSchedule(r.Context(), flow.ScheduleRecord{
		Tenant: "default", PlanSchedule: flow.PlanSchedule{Name: name, Pipeline: "p", At: at, Timezone: "UTC", Enabled: true}, Since: now, Watermark: now,
	}))
}

// ran records a run of a schedule, or one by hand, that takes a time and ends with an outcome.
func (r *rig) ran(schedule string, takes time.Duration, ending flow.Ending) flow.RunID {
	r.Helper()
	c := r.begins(schedule)
	time.Sleep(takes)
	r.must(r.Finish(r.Context(), c, ending))
	return c.Run
}

func (r *rig) begins(schedule string) flow.Claim {
	r.Helper()
	time.Sleep(time.Millisecond) // a slot is one instant
	now := time.Now()
	o := flow.Offer{Run: flow.Run{ID: flow.NewRunID(now), Tenant: "default", Pipeline: "p", Trigger: flow.Trigger{Kind: flow.TriggerManual, ScheduledAt: now}}}
	if schedule != "" {
		o.Run.Trigger.Kind, o.Run.Trigger.Schedule, o.Watermark = flow.TriggerSchedule, schedule, now
	}
	offered, err := r.Offer(r.Context(), o)
	r.must(err)
	if offered.Answer != flow.OfferStarted {
		r.Fatalf("offered: %+v", offered)
	}
	return offered.Claim
}

func failed() flow.Ending {
	return flow.Ending{Outcome: flow.Failed, Reason: flow.ReasonTrap, Message: "what the plugin said"}
}

func succeeded() flow.Ending { return flow.Ending{Outcome: flow.Succeeded} }

// wants compares what the target was told since the last call, after a time.
func (r *rig) wants(within time.Duration, told ...string) {
	r.Helper()
	time.Sleep(within)
	synctest.Wait()
	r.sink.mu.Lock()
	defer r.sink.mu.Unlock()
	if !slices.Equal(r.sink.told, told) {
		r.Errorf("told %q, want %q", r.sink.told, told)
	}
	r.sink.told = nil
}

// open lists the conditions of the open incidents.
func (r *rig) open() []flow.Condition {
	r.Helper()
	all, err := r.OpenIncidents(r.Context())
	r.must(err)
	var conditions []flow.Condition
	for i := range all {
		conditions = append(conditions, all[i].Condition)
	}
	return conditions
}
