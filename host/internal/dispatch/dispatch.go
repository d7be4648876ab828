// Package dispatch carries runs to a runner on this machine and keeps their order: one live run per pipeline, waiting
// runs in the order of the queue, one goroutine per live run.
//
// It owns no state that a crash could lose: the queue (a ledger) decides what starts, and holds what waits. It must
// not know how a run is executed, what triggers it, or where the queue keeps its rows.
package dispatch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/failpoint"
)

// Queue is what the dispatcher needs of a ledger. All methods are durable when they return.
type Queue interface {
	// Offer takes a run, or answers why not; it is idempotent by run id.
	Offer(ctx context.Context, offer flow.Offer) (flow.Offered, error)
	// ClaimNext ends the pipeline's waiting runs that could not start in time, makes the oldest other one live and claims
	// it; false when there is none, or one is live. Overdue is filled in either way.
	ClaimNext(ctx context.Context, tenant, pipeline string) (flow.Claimed, bool, error)
	// ClaimOldest makes the oldest waiting run of a tenant live that could start now, of whatever pipeline, and claims it;
	// false when there is none, or the tenant has as many live runs as it may have: Crowded then says that.
	ClaimOldest(ctx context.Context, tenant string) (flow.Claimed, bool, error)
	// OverdueLines returns the pipelines of which a run waits that could not start in time.
	OverdueLines(ctx context.Context) ([]flow.Line, error)
	// Finish ends a claimed run; flow.ErrStale when the claim is no longer good.
	Finish(ctx context.Context, claim flow.Claim, ending flow.Ending, events ...flow.Event) error
	// Cancel ends a waiting run at once and marks a live one; it returns the state that it found.
	Cancel(ctx context.Context, id flow.RunID, ending flow.Ending) (flow.State, error)
	// Run returns a run as recorded, or flow.ErrNotFound.
	Run(ctx context.Context, id flow.RunID) (flow.RunRecord, error)
	// Plan returns a recorded plan, or flow.ErrNotFound.
	Plan(ctx context.Context, digest flow.Digest) (flow.Plan, error)
}

// Runner executes one claimed run and returns how it ended, and events that are to be recorded together with that. It
// returns within a bounded time after ctx ends. The error is flow.ErrStale when the claim was lost; then nothing more may
// be recorded.
type Runner interface {
	Run(ctx context.Context, plan *flow.Plan, claimed flow.Claimed) (flow.Ending, []flow.Event, error)
}

// Config wires a Dispatcher; all fields but Bounded and Admit are needed.
type Config struct {
	Queue  Queue
	Runner Runner
	Logger *slog.Logger
	// Bounded reports whether the queue bounds the live runs of a tenant. Defaults to no.
	Bounded func(tenant string) bool
	// Admit says why the version of a run that begins may not be executed any more, or nothing. Defaults to nothing.
	Admit func(plan *flow.Plan) string
}

// Dispatcher carries runs. It is safe for concurrent use.
type Dispatcher struct {
	queue  Queue
	runner Runner
	log    *slog.Logger
	bound  func(tenant string) bool
	admit  func(plan *flow.Plan) string

	mu          sync.Mutex
	interrupted *flow.Fault // the cause for runs that start after the interrupt; nil before
	live        map[flow.RunID]context.CancelCauseFunc
	asked       map[flow.RunID]*flow.Fault // requests to end that came before the run was in live
	waiters     map[flow.RunID]*waiter
	lines       map[lane]*line
	running     sync.WaitGroup
	// open is done when the dispatcher takes no more runs; ends, when it gives up retrying to record endings. Changes of
	// the queue go by ends, not by their caller: what the queue has made live must be started, whoever goes away.
	open, ends   context.Context //nolint:containedctx // the dispatcher's own lifetime, not a caller's request
	shut, giveUp context.CancelFunc
}

// waiter tells callers of Wait how a run ended.
type waiter struct {
	done   chan struct{}
	ending flow.Ending
	err    error
	users  int
}

// New returns a dispatcher that takes runs at once.
func New(c Config) *Dispatcher {
	d := &Dispatcher{
		queue: c.Queue, runner: c.Runner, log: c.Logger, bound: c.Bounded, admit: c.Admit,
		live: map[flow.RunID]context.CancelCauseFunc{}, asked: map[flow.RunID]*flow.Fault{}, waiters: map[flow.RunID]*waiter{}, lines: map[lane]*line{},
	}
	if d.bound == nil {
		d.bound = func(string) bool { return false }
	}
	if d.admit == nil {
		d.admit = func(*flow.Plan) string { return "" }
	}
	d.open, d.shut = context.WithCancel(context.Background())
	d.ends, d.giveUp = context.WithCancel(context.Background())
	return d
}

// ErrStopped says that the dispatcher takes no more runs.
var ErrStopped = &flow.Error{Code: flow.CodeStopping, Message: "the host is stopping and takes no more runs", Hint: "ask again once it is back"}

// Offer hands a run to the queue and starts it when its turn is now. A run that must give way to it (overlap
// "replace") is asked to end. A caller that goes away does not undo an offer that has begun.
func (d *Dispatcher) Offer(ctx context.Context, offer flow.Offer) (flow.Offered, error) {
	if err := d.enter(ctx); err != nil {
		return flow.Offered{}, err
	}
	defer d.running.Done()
	lanes := d.lineUp(lane{offer.Run.Tenant, offer.Run.Pipeline})
	offered, err := d.queue.Offer(d.ends, offer)
	d.linedUp(lanes, err != nil || offered.Answer == flow.OfferQueued, err != nil || offered.Crowded)
	if err != nil {
		return flow.Offered{}, fmt.Errorf("offer run %s: %w", offer.Run.ID, err)
	}
	failpoint.Here(failpoint.Slot)
	d.tellOverdue(offered.Overdue)
	for _, id := range offered.Coalesced {
		d.tell(id, flow.Ending{Outcome: flow.Skipped, Reason: flow.ReasonReplaced, Message: "a newer slot took its place: run " + string(offer.Run.ID)}, nil)
	}
	if offered.Replaces != "" {
		message := "run " + string(offer.Run.ID) + " took its place"
		if err := d.Cancel(d.ends, offered.Replaces, flow.ReasonReplaced, message); err != nil && !errors.Is(err, flow.ErrNotFound) {
			return offered, fmt.Errorf("replace run %s: %w", offered.Replaces, err)
		}
	}
	if offered.Answer == flow.OfferStarted {
		d.start(flow.Claimed{Run: offer.Run, Claim: offered.Claim, Steps: offer.Steps, StartedAt: offered.StartedAt, LastSuccessAt: offered.LastSuccessAt})
	}
	return offered, nil
}

// Wait returns how the run ended, or the cause of ctx. It knows runs that end here, and runs that have ended. The error
// is ErrStopped when the dispatcher stops first, and flow.ErrStale when the run was taken from here.
func (d *Dispatcher) Wait(ctx context.Context, id flow.RunID) (flow.Ending, error) {
	w, live := d.join(id)
	defer d.leave(id, w)
	if !live {
		if ending, ended, err := d.ended(ctx, id, w); ended || err != nil {
			return ending, err
		}
	}
	select {
	case <-w.done:
		return w.ending, w.err
	case <-ctx.Done():
		return flow.Ending{}, context.Cause(ctx)
	case <-d.ends.Done():
	}
	select {
	case <-w.done:
		return w.ending, w.err
	default:
		return flow.Ending{}, ErrStopped
	}
}

// ended asks the queue for a run's ending; false when it has none yet.
func (d *Dispatcher) ended(ctx context.Context, id flow.RunID, w *waiter) (flow.Ending, bool, error) {
	record, err := d.queue.Run(ctx, id)
	switch {
	case errors.Is(err, flow.ErrNotFound):
		// A coalesced run leaves no row; whoever coalesced it has told the waiter.
		select {
		case <-w.done:
			return w.ending, true, w.err
		default:
			return flow.Ending{}, false, fmt.Errorf("run %s: %w", id, err)
		}
	case err != nil:
		return flow.Ending{}, false, fmt.Errorf("look up run %s: %w", id, err)
	}
	return record.Ending, record.State == flow.StateEnded, nil
}

// Cancel asks a run to end: a waiting one has ended when Cancel returns, a live one gets the request as the cause of
// its context. A run that has ended is left as it is.
func (d *Dispatcher) Cancel(ctx context.Context, id flow.RunID, reason flow.Reason, message string) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	ending := flow.Ending{Outcome: flow.Cancelled, Reason: reason, Message: message}
	state, err := d.queue.Cancel(d.ends, id, ending)
	if err != nil {
		return fmt.Errorf("cancel run %s: %w", id, err)
	}
	switch state {
	case flow.StateQueued:
		d.tell(id, ending, nil)
	case flow.StateRunning:
		if !d.ask(id, &flow.Fault{Reason: reason, Message: message}) {
			d.forgetEnded(id)
		}
	case flow.StateEnded:
	}
	return nil
}

// Resume executes runs that another life of the host left live, under the claims that recovery gave.
func (d *Dispatcher) Resume(claimed []flow.Claimed) {
	if d.enter(d.ends) != nil {
		return
	}
	defer d.running.Done()
	for _, c := range claimed {
		d.start(c)
	}
}

// Overdue is Next for every pipeline of which a run waits that could not start in time.
func (d *Dispatcher) Overdue(ctx context.Context) error {
	lines, err := d.queue.OverdueLines(ctx)
	if err != nil {
		return fmt.Errorf("look for overdue runs: %w", err)
	}
	for _, l := range lines {
		if err := d.Next(ctx, l.Tenant, l.Pipeline); err != nil {
			return err
		}
	}
	return nil
}

// tellOverdue tells whoever waits for runs that could not start in time.
func (d *Dispatcher) tellOverdue(ids []flow.RunID) {
	for _, id := range ids {
		d.log.Warn("run dropped, it could not start in time", slog.String("run", string(id)))
		d.tell(id, flow.Overdue(), nil)
	}
}

// Live returns the number of runs that are executing.
func (d *Dispatcher) Live() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.live)
}

// Stop takes no more runs, lets live ones go on until ctx ends, asks the rest to end (reason stop), and returns when
// all have ended. Waiting runs stay in the queue.
func (d *Dispatcher) Stop(ctx context.Context) {
	d.mu.Lock()
	d.shut()
	d.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		d.running.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
		d.interrupt()
		<-ended
	}
	d.giveUp()
}

// finishPatience bounds how long an ending that cannot be recorded delays a stop.
const finishPatience = 10 * time.Second

func (d *Dispatcher) interrupt() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.interrupted = &flow.Fault{Reason: flow.ReasonStop, Message: "the host stopped before the run had ended"}
	for _, cancel := range d.live {
		cancel(d.interrupted)
	}
	time.AfterFunc(finishPatience, d.giveUp)
}

// ask gives a live run the cause of its end. A run that the queue holds as live may not be in the map yet: it finds
// the request when it starts; false then.
func (d *Dispatcher) ask(id flow.RunID, cause *flow.Fault) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if cancel := d.live[id]; cancel != nil {
		cancel(cause)
		return true
	}
	d.asked[id] = cause
	return false
}

// forgetEnded drops a request that came too late, to a run that had left the map because its ending was recorded.
func (d *Dispatcher) forgetEnded(id flow.RunID) {
	record, err := d.queue.Run(d.ends, id)
	if errors.Is(err, flow.ErrNotFound) || (err == nil && record.State == flow.StateEnded) {
		d.mu.Lock()
		delete(d.asked, id)
		d.mu.Unlock()
	}
}

// enter counts a caller that may start runs, unless the dispatcher has stopped or the caller is gone.
func (d *Dispatcher) enter(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open.Err() != nil {
		return ErrStopped
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	d.running.Add(1)
	return nil
}

// start executes a claimed run, and after it whatever waits for the pipeline. The caller is counted in running.
func (d *Dispatcher) start(claimed flow.Claimed) {
	ctx, cancel := context.WithCancelCause(context.Background())
	d.mu.Lock()
	d.live[claimed.Run.ID] = cancel
	if cause := d.asked[claimed.Run.ID]; cause != nil {
		cancel(cause)
	}
	if d.interrupted != nil {
		cancel(d.interrupted)
	}
	d.mu.Unlock()
	d.running.Go(func() {
		defer cancel(nil)
		log := d.log.With(slog.String("tenant", claimed.Run.Tenant), slog.String("pipeline", claimed.Run.Pipeline), slog.String("run", string(claimed.Run.ID)))
		ending, err := d.execute(ctx, claimed, log)
		d.mu.Lock()
		delete(d.live, claimed.Run.ID)
		delete(d.asked, claimed.Run.ID)
		d.mu.Unlock()
		d.tell(claimed.Run.ID, ending, err)
		d.goOn(lane{claimed.Run.Tenant, claimed.Run.Pipeline}, log)
	})
}

// execute runs and records the ending; flow.ErrStale when the claim was lost.
func (d *Dispatcher) execute(ctx context.Context, claimed flow.Claimed, log *slog.Logger) (flow.Ending, error) {
	plan, err := d.queue.Plan(d.ends, claimed.Run.Version)
	var ending flow.Ending
	var last []flow.Event
	if err != nil {
		ending, err = internalFault(fmt.Sprintf("the plan %s of this run could not be read: %v", claimed.Run.Version.Short(), err)), nil
	} else if why := d.admit(&plan); why != "" {
		ending = flow.Ending{Outcome: flow.Failed, Reason: flow.ReasonDenied, Message: why}
	} else {
		ending, last, err = d.run(ctx, &plan, claimed, log)
	}
	if err == nil && len(last) > 0 {
		if err = d.queue.Finish(d.ends, claimed.Claim, ending, last...); err == nil {
			return d.told(ending, nil, log)
		}
	}
	if err != nil && !errors.Is(err, flow.ErrStale) {
		ending, err = internalFault("the record of the run could not be written: "+err.Error()), nil
	}
	if err == nil {
		err = insist(d.ends, log, "ending not recorded", func() error { return d.queue.Finish(d.ends, claimed.Claim, ending) })
	}
	return d.told(ending, err, log)
}

// told logs how a run ended, and passes that on.
func (*Dispatcher) told(ending flow.Ending, err error, log *slog.Logger) (flow.Ending, error) {
	switch {
	case err == nil:
		log.Info("run ended", slog.String("outcome", string(ending.Outcome)), slog.String("reason", string(ending.Reason)))
	case errors.Is(err, flow.ErrStale):
		log.Warn("run lost its claim")
	}
	return ending, err
}

// run calls the runner. A panic ends the run, not the host.
func (d *Dispatcher) run(ctx context.Context, plan *flow.Plan, claimed flow.Claimed, log *slog.Logger) (ending flow.Ending, last []flow.Event, err error) {
	defer func() {
		if p := recover(); p != nil {
			log.Error("panic in a run", slog.Any("err", p), slog.String("stack", string(debug.Stack())))
			ending, last, err = internalFault("a fault of the host ended the run; the host's log holds the details"), nil, nil
		}
	}()
	return d.runner.Run(ctx, plan, claimed)
}

func internalFault(message string) flow.Ending {
	return flow.Ending{Outcome: flow.Failed, Reason: flow.ReasonInternal, Message: message}
}

// insist repeats a change of the queue until it is made, is refused for good, or ctx ends: an ending that is not
// recorded, or a next run that is not started, would block the pipeline.
func insist(ctx context.Context, log *slog.Logger, failure string, change func() error) error {
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 10*time.Second) {
		err := change()
		if err == nil || errors.Is(err, flow.ErrStale) || errors.Is(err, ErrStopped) {
			return err
		}
		log.Error(failure, slog.Any("err", err)) //nolint:sloglint // one of two constants
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return err
		}
	}
}

// join returns the waiter of a run, which the end of a live one tells, and whether the run is live here.
func (d *Dispatcher) join(id flow.RunID) (w *waiter, live bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	w = d.waiters[id]
	if w == nil {
		w = &waiter{done: make(chan struct{})}
		d.waiters[id] = w
	}
	w.users++
	return w, d.live[id] != nil
}

func (d *Dispatcher) leave(id flow.RunID, w *waiter) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if w.users--; w.users == 0 && d.waiters[id] == w {
		delete(d.waiters, id)
	}
}

func (d *Dispatcher) tell(id flow.RunID, ending flow.Ending, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if w := d.waiters[id]; w != nil {
		w.ending, w.err = ending, err
		close(w.done)
		delete(d.waiters, id)
	}
}
