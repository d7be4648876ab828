// Package watch looks at the ledger after the fact: it tells which conditions hold that somebody should look at, keeps
// each as one incident from its beginning to its end, and carries messages about them to their targets.
//
// It owns the judgement of schedules, which health verbs and alerts share, and the delivery of messages. It must never
// be waited for by what it watches: it reads, it records incidents and attempts, and whatever a target does, a run or a
// slot is not touched by it.
package watch

import (
	"context"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/failpoint"
)

// Ledger is what is read of runs and schedules, and where incidents and messages are kept.
type Ledger interface {
	// Changed returns a channel that is closed when something more has been committed.
	Changed() <-chan struct{}
	Schedules(ctx context.Context) ([]flow.ScheduleRecord, error)
	Slots(ctx context.Context, q flow.SlotQuery) ([]flow.SlotRecord, error)

	// Watched returns the last event that was looked at.
	Watched(ctx context.Context) (int64, error)
	// Ended returns the runs whose last event is among the next limit events after one, in order, and the last of these.
	Ended(ctx context.Context, after int64, limit int) ([]flow.RunBrief, int64, error)
	// Recent returns the last runs of a schedule, or of a pipeline that no schedule has made, newest first, and the last
	// event of the ledger then.
	Recent(ctx context.Context, tenant, pipeline, schedule string, limit int) ([]flow.RunBrief, int64, error)
	// WaitingSince returns runs of slots that have waited since before an instant.
	WaitingSince(ctx context.Context, before time.Time) ([]flow.RunBrief, error)
	// LastSuccess returns when a pipeline succeeded last, and since when it is known.
	LastSuccess(ctx context.Context, tenant, pipeline string) (success, known time.Time, err error)

	OpenIncidents(ctx context.Context) ([]flow.Incident, error)
	SaveIncidents(ctx context.Context, c flow.IncidentChange) error
	PruneIncidents(ctx context.Context, before time.Time) (int, error)

	DueDeliveries(ctx context.Context, now time.Time) ([]flow.Delivery, error)
	NextDelivery(ctx context.Context, after time.Time) (time.Time, error)
	SaveAttempt(ctx context.Context, d flow.Delivery, at time.Time) error
}

// Config wires a Watcher; Send, Every, Soonest and Settle may be left out.
type Config struct {
	Ledger Ledger
	// Plans returns the pipelines that the host knows.
	Plans func() []*flow.Plan
	// Broken says why the runs of a schedule cannot be made; nil if they can.
	Broken func(*flow.ScheduleRecord) error
	// Alerts returns the targets of messages, by id.
	Alerts func() map[string]flow.Alert
	// Ceiling returns what a tenant other than the default one is allowed; one that is not known is allowed nothing.
	Ceiling func(tenant string) flow.Ceiling
	// Secret reads a secret of a tenant by name.
	Secret func(tenant, name string) (string, error)
	// Send hands messages to targets. Defaults to webhooks and the services of the notification library.
	Send Sender
	// Every is the time between looks at all schedules. Defaults to 15 s.
	Every time.Duration
	// Soonest is the least time between looks at the runs that have ended. Defaults to 1 s.
	Soonest time.Duration
	// Settle is how long schedules may catch up, after the start and after a time in which nobody looked, before they
	// are judged. Defaults to 30 s.
	Settle time.Duration
	Logger *slog.Logger
}

// Watcher watches one ledger. Begin and then Run are called once.
type Watcher struct {
	config  Config
	courier *courier
	eyes    *eyes
}

// New returns a watcher that does nothing before Run.
func New(c Config) *Watcher {
	if c.Send == nil {
		c.Send = newServices()
	}
	if c.Every == 0 {
		c.Every = 15 * time.Second
	}
	if c.Soonest == 0 {
		c.Soonest = time.Second
	}
	if c.Settle == 0 {
		c.Settle = 30 * time.Second
	}
	return &Watcher{config: c, courier: newCourier(&c), eyes: newEyes(&c)}
}

// Begin takes up where an earlier life has ended. It comes before anything may run: what ended before the first Begin of a
// ledger is no news, and what ends after it is.
func (w *Watcher) Begin(ctx context.Context) error { return w.eyes.begin(ctx) }

// Run watches until ctx ends, and returns when nothing of it is left but services of the library that do not answer.
func (w *Watcher) Run(ctx context.Context) {
	var parts sync.WaitGroup
	parts.Go(func() { w.courier.run(ctx) })
	parts.Go(func() { w.look(ctx) })
	parts.Wait()
}

// look looks at runs when some have ended, and at all schedules now and then.
func (w *Watcher) look(ctx context.Context) {
	ticker := time.NewTicker(w.config.Every)
	defer ticker.Stop()
	looked := time.Now()
	settled := looked.Add(w.config.Settle)
	judged := time.Time{}
	for {
		changed := w.config.Ledger.Changed()
		now := time.Now()
		if now.Round(0).Sub(looked.Round(0)) > 4*w.config.Every { // by the wall clock: the machine slept, or its clock was set
			settled = now.Add(w.config.Settle)
		}
		all := !now.Before(settled) && now.Sub(judged) >= w.config.Every
		if all {
			judged = now
		}
		w.lookOnce(ctx, now, all)
		looked = now
		if !wait(ctx, time.After(w.config.Soonest)) {
			return
		}
		select {
		case <-changed:
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// survive keeps a fault of ours from ending the host: what is watched goes on, watched or not.
func survive(log *slog.Logger) {
	if p := recover(); p != nil {
		log.Error("panic of the watcher", slog.Any("err", p), slog.String("stack", string(debug.Stack())))
	}
}

// wait reports whether a timer came before the end of ctx.
func wait(ctx context.Context, timer <-chan time.Time) bool {
	select {
	case <-timer:
		return true
	case <-ctx.Done():
		return false
	}
}

// lookOnce records what one look has brought, and has messages sent.
func (w *Watcher) lookOnce(ctx context.Context, now time.Time, all bool) {
	defer survive(w.config.Logger)
	told, err := w.eyes.look(ctx, now, all)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		w.config.Logger.Error("ledger not watched", slog.Any("err", err))
	case told:
		failpoint.Here(failpoint.Alert)
		w.courier.kick()
	}
}
