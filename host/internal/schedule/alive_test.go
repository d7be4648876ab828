package schedule

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// stuck is a queue that, while it is, does not return from Overdue: as a ledger does that hangs.
type stuck struct {
	*world
	held atomic.Pointer[chan struct{}]
}

func (q *stuck) Overdue(ctx context.Context) error {
	select {
	case <-*q.held.Load():
	case <-ctx.Done():
	}
	return nil
}

// Promise: who asks whether the scheduler is alive hears of a loop that stands still, though all else goes on, and of
// none that works.
func TestLoopThatStandsStillIsNotAlive(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		held := make(chan struct{})
		close(held)
		q := &stuck{world: w}
		q.held.Store(&held)
		s, err := New(Config{Queue: q, Ledger: w, NewRun: w.make, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Alive(time.Now()); err != nil {
			t.Errorf("before the start: %v", err)
		}
		s.Start()
		defer w.stop(s)
		<-time.After(time.Hour + time.Second)
		if err := s.Alive(time.Now()); err != nil {
			t.Errorf("after an hour: %v", err)
		}
		again := make(chan struct{})
		q.held.Store(&again)
		<-time.After(time.Minute)
		if err := s.Alive(time.Now()); err == nil {
			t.Error("a loop that stands still passes for alive")
		}
		close(again)
		<-time.After(time.Minute)
		if err := s.Alive(time.Now()); err != nil {
			t.Errorf("after it went on: %v", err)
		}
	})
}
