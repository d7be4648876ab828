package run

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// logWriter takes lines of guests without ever waiting for the ledger, and records them in batches. What it holds is
// bounded by the log limits of the attempts under way.
type logWriter struct {
	ledger Ledger
	log    *slog.Logger

	mu      sync.Mutex
	lines   []flow.LogLine
	closed  bool
	writing sync.Mutex // held while a batch is recorded, so that batches keep their order
	wake    chan struct{}
	done    chan struct{}
}

const (
	logDelay = 100 * time.Millisecond // how long a line may wait for company
	logBatch = 512                    // lines that end the wait
)

func newLogWriter(ledger Ledger, log *slog.Logger) *logWriter {
	return &logWriter{ledger: ledger, log: log}
}

// add takes a line.
func (w *logWriter) add(l flow.LogLine) {
	if l.At.IsZero() {
		l.At = time.Now()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed { // a function that outlived its attempt
		return
	}
	w.lines = append(w.lines, l)
	if w.wake == nil {
		w.wake, w.done = make(chan struct{}, 1), make(chan struct{})
		go w.run(w.wake, w.done)
	}
	if len(w.lines) == 1 || len(w.lines) == logBatch {
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

// run records what has gathered, logDelay after the first line or when a batch is full.
func (w *logWriter) run(wake <-chan struct{}, done chan<- struct{}) {
	defer close(done)
	for range wake {
		select {
		case <-time.After(logDelay):
		case _, open := <-wake:
			if !open {
				return
			}
		}
		w.flush()
	}
}

// flush records all lines taken so far.
func (w *logWriter) flush() {
	w.writing.Lock()
	defer w.writing.Unlock()
	w.mu.Lock()
	lines := w.lines
	w.lines = nil
	w.mu.Unlock()
	if len(lines) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), recordTime)
	defer cancel()
	if err := w.ledger.AppendLogs(ctx, lines); err != nil {
		w.log.Error("log lines not recorded", slog.String("run", string(lines[0].Run)), slog.Int("lines", len(lines)), slog.Any("err", err))
	}
}

// close records what is left and ends the goroutine.
func (w *logWriter) close() {
	w.mu.Lock()
	w.closed = true
	wake, done := w.wake, w.done
	w.mu.Unlock()
	w.flush()
	if wake != nil {
		close(wake)
		<-done
	}
}
