package watch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"sync"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/secret"
)

const (
	sendTime    = 30 * time.Second // one attempt
	endTime     = 2 * time.Second  // for an attempt that was told to end
	firstWait   = 10 * time.Second // before the second attempt; doubles
	longestWait = time.Hour
	giveUpAfter = 24 * time.Hour
	mostHanging = 3                // attempts of one target that a service did not end in time
	recordTime  = 10 * time.Second // one record of the ledger
)

// Target is where a message goes, with its secrets read.
type Target struct {
	Name, URL, Sign string
	// Guarded says that the message may go to the public internet alone.
	Guarded bool
}

// Sender hands one message to one target and returns once it was taken. The text of its error may hold secrets. It may
// hang, and it may panic.
type Sender interface {
	Send(ctx context.Context, t Target, m *Message) error
}

// refusal is an error that says when, or that no further attempt makes sense.
type refusal struct {
	message string
	after   time.Duration
	forever bool
}

func (r *refusal) Error() string { return r.message }

// courier carries messages from the ledger to targets: one at a time for a target, and none waits for another target.
type courier struct {
	config *Config
	host   string
	wake   chan struct{}
	work   sync.WaitGroup

	mu      sync.Mutex
	busy    map[string]bool         // targets with an attempt under way
	hanging map[string]int          // attempts that a service has not ended
	unsaved map[int64]flow.Delivery // attempts that could not be recorded
}

func newCourier(c *Config) *courier {
	name, err := os.Hostname()
	if err != nil {
		name = "unknown"
	}
	return &courier{config: c, host: name, wake: make(chan struct{}, 1), busy: map[string]bool{}, hanging: map[string]int{}, unsaved: map[int64]flow.Delivery{}}
}

// kick has the courier look for messages now.
func (c *courier) kick() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// run carries messages until ctx ends.
func (c *courier) run(ctx context.Context) {
	defer c.work.Wait()
	for {
		next, err := c.carry(ctx)
		if err != nil && ctx.Err() == nil {
			c.config.Logger.Error("messages not read", slog.Any("err", err))
			next = time.Now().Add(firstWait)
		}
		pause := longestWait
		if !next.IsZero() {
			pause = min(pause, time.Until(next))
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-c.wake:
			timer.Stop()
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

// carry begins an attempt for each target that has a message due, and returns when the next one is. A target that is
// busy has the courier look again once it is not.
func (c *courier) carry(ctx context.Context) (time.Time, error) {
	now := time.Now()
	c.mu.Lock()
	busy := maps.Clone(c.busy) // what is read of their messages may be old by then
	c.mu.Unlock()
	due, err := c.config.Ledger.DueDeliveries(ctx, now)
	if err != nil {
		return time.Time{}, fmt.Errorf("find due messages: %w", err)
	}
	for i := range due {
		if d := due[i]; !busy[d.Target] && c.begin(d.Target) {
			c.work.Go(func() {
				defer c.end(d.Target)
				defer survive(c.config.Logger)
				c.attempt(ctx, d)
			})
		}
	}
	return c.config.Ledger.NextDelivery(ctx, now)
}

func (c *courier) begin(target string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.busy[target] || c.hanging[target] >= mostHanging {
		return false
	}
	c.busy[target] = true
	return true
}

func (c *courier) end(target string) {
	c.mu.Lock()
	delete(c.busy, target)
	c.mu.Unlock()
	c.kick()
}

// attempt sends one message and records what came of it. An attempt that the host's stop has cut off is none.
func (c *courier) attempt(ctx context.Context, d flow.Delivery) {
	c.mu.Lock()
	done, tried := c.unsaved[d.Seq]
	c.mu.Unlock()
	if !tried {
		err := c.send(ctx, d.Target, incidentMessage(&d, c.host))
		if err != nil && ctx.Err() != nil {
			return
		}
		done = after(d, err, time.Now().UTC())
	}
	if !c.record(ctx, done) {
		wait(ctx, time.After(firstWait)) // and then again, by the next attempt
	}
}

// after is a delivery after one more attempt.
func after(d flow.Delivery, err error, now time.Time) flow.Delivery {
	d.Attempts++
	d.NextAt = now
	if err == nil {
		d.State, d.SentAt, d.Error = flow.DeliverySent, &now, ""
		return d
	}
	d.Error = err.Error()
	wait := longestWait
	if n := d.Attempts - 1; n < 16 {
		wait = min(firstWait<<n, longestWait)
	}
	refused, ok := errors.AsType[*refusal](err)
	if ok {
		wait = max(wait, min(refused.after, longestWait))
	}
	d.NextAt = now.Add(wait)
	if ok && refused.forever || now.Sub(d.AskedAt) > giveUpAfter {
		d.State = flow.DeliveryGivenUp
	}
	return d
}

// record keeps what could not be recorded, so that what was sent is not sent again, and reports whether it could.
func (c *courier) record(ctx context.Context, d flow.Delivery) bool {
	log := c.config.Logger.With(slog.String("alert", d.Target), slog.String("incident", d.Incident.ID), slog.Int("attempt", d.Attempts))
	switch d.State {
	case flow.DeliverySent:
		log.Info("alert sent")
	case flow.DeliveryGivenUp:
		log.Error("alert given up", slog.String("reason", d.Error))
	default:
		log.Warn("alert not taken", slog.String("reason", d.Error), slog.Time("next", d.NextAt))
	}
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTime)
	defer cancel()
	err := c.config.Ledger.SaveAttempt(limited, d, time.Now().UTC())
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.unsaved, d.Seq)
	if err != nil {
		c.unsaved[d.Seq] = d
		log.Error("attempt not recorded", slog.Any("err", err))
	}
	return err == nil
}

// answer is what came of an attempt.
type answer struct{ err error }

// send hands a message to a target. The error has no secrets in it.
func (c *courier) send(ctx context.Context, name string, m *Message) error {
	t, err := c.target(name)
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, sendTime)
	defer cancel()
	answered := make(chan answer, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				answered <- answer{fmt.Errorf("the notification library panics: %v", p)}
			}
		}()
		answered <- answer{c.config.Send.Send(limited, t, m)}
	}()
	select {
	case a := <-answered:
		err = a.err
	case <-limited.Done():
		err = c.leave(name, answered)
	}
	return clean(err, t)
}

// leave gives an attempt that is over time a moment to end, and goes on without it: the services of the library know
// no deadline. How many are left so is bounded.
func (c *courier) leave(name string, answered <-chan answer) error {
	select {
	case a := <-answered:
		if a.err == nil {
			return nil
		}
	case <-time.After(endTime):
		c.mu.Lock()
		c.hanging[name]++
		c.mu.Unlock()
		go func() {
			<-answered
			c.mu.Lock()
			c.hanging[name]--
			c.mu.Unlock()
			c.kick()
		}()
	}
	return fmt.Errorf("no answer within %s", sendTime)
}

// clean takes secrets out of an error.
func clean(err error, t Target) error {
	if err == nil {
		return nil
	}
	text := secret.Redact(err.Error(), t.URL, t.Sign)
	if r, ok := errors.AsType[*refusal](err); ok {
		return &refusal{text, r.after, r.forever}
	}
	return errors.New(text)
}

// stuck is an error while too many attempts of a target hang.
func (c *courier) stuck(name string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := c.hanging[name]; n >= mostHanging {
		return fmt.Errorf("%d earlier messages still wait for its answer", n)
	}
	return nil
}

// target reads what is needed to reach a target, now: a secret that was changed holds at once.
func (c *courier) target(name string) (Target, error) {
	a, ok := c.config.Alerts()[name]
	if !ok {
		return Target{}, &refusal{message: fmt.Sprintf("the manifest has no alert %q any more", name), forever: true}
	}
	t := Target{Name: name}
	for _, part := range []struct {
		from flow.SecretText
		to   *string
	}{{a.URL, &t.URL}, {a.Sign, &t.Sign}} {
		*part.to = part.from.Text
		if part.from.Secret != "" {
			value, err := c.config.Secret(tenantOf(name), part.from.Secret)
			if err != nil {
				return t, err
			}
			*part.to = value
		}
	}
	return t, c.bind(&t)
}

// Test sends a test message to a target and waits for the answer.
func (w *Watcher) Test(ctx context.Context, name string) flow.AlertTest {
	begun := time.Now()
	err := w.courier.stuck(name)
	if err == nil {
		err = w.courier.send(ctx, name, testMessage(name, w.courier.host, begun.UTC()))
	}
	t := flow.AlertTest{Name: name, Delivered: err == nil, Took: flow.Duration(time.Since(begun).Round(time.Millisecond))}
	if err != nil {
		t.Error = cmp.Or(err.Error(), "it was not taken")
	}
	return t
}
