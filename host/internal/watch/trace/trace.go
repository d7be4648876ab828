// Package trace makes OpenTelemetry traces of runs: a span for the run, its steps, their attempts, and what guests ask of the
// host. The ids of spans follow from those of runs, so that a guest knows its own before anything is sent.
//
// Runs, steps and attempts are read from the ledger once a run has ended, so that nothing waits for a trace; what does
// not fit into the queue, or what nobody takes, is dropped and counted. It must never send what guests said or were
// given: names, outcomes, reasons, times and sizes are all.
package trace

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// Ledger is what is followed.
type Ledger interface {
	// Changed returns a channel that is closed when something more has been committed.
	Changed() <-chan struct{}
	// LastEvent returns the newest event.
	LastEvent(ctx context.Context) (int64, error)
	// Ended returns the runs whose last event is among the next limit events after one, and the last of these.
	Ended(ctx context.Context, after int64, limit int) ([]flow.RunBrief, int64, error)
	// Run returns a run with its steps and attempts.
	Run(ctx context.Context, id flow.RunID) (flow.RunRecord, error)
}

// Config wires a Tracer.
type Config struct {
	Ledger Ledger
	// Version of the host.
	Version string
	// Getenv reads the environment: OTEL_* variables say where traces go.
	Getenv func(string) string
	Logger *slog.Logger
}

const (
	mostQueued = 8192 // spans
	batch      = 512
	linger     = time.Second // for a batch to become whole
	page       = 1000        // events that are read at one time
	sendTime   = 30 * time.Second
	endTime    = 2 * time.Second // for what is left when the host stops
	quiet      = time.Minute     // between two words in the log about a collector that takes nothing
)

// Tracer sends the traces of one host. A nil Tracer sends nothing.
type Tracer struct {
	config   Config
	sampler  sdk.Sampler
	resource *resource.Resource
	exporter sdk.SpanExporter
	begun    atomic.Bool
	last     int64 // the last event whose runs were read
	warned   time.Time

	mu    sync.Mutex
	queue tracetest.SpanStubs
	full  chan struct{} // a batch is whole

	sent, dropped atomic.Uint64
}

// New returns a tracer that sends where the environment says, or nil where it says nothing. Nobody is dialled yet.
func New(ctx context.Context, c Config) (*Tracer, error) {
	on, err := wanted(c.Getenv)
	if !on || err != nil {
		return nil, err
	}
	t := &Tracer{config: c, full: make(chan struct{}, 1)}
	if t.sampler, err = samplerOf(c.Getenv); err != nil {
		return nil, err
	}
	if t.resource, err = resourceOf(ctx, c.Version); err != nil {
		return nil, err
	}
	if t.exporter, err = otlptracehttp.New(ctx); err != nil {
		return nil, fmt.Errorf("open the exporter of traces: %w", err)
	}
	return t, nil
}

// Begin is called before anything may run: what has ended by then is not told.
func (t *Tracer) Begin(ctx context.Context) error {
	if t == nil {
		return nil
	}
	last, err := t.config.Ledger.LastEvent(ctx)
	if err != nil {
		return fmt.Errorf("begin to trace: %w", err)
	}
	t.last = last
	t.begun.Store(true)
	return nil
}

// Run sends until ctx ends, and then what is left, for a short while.
func (t *Tracer) Run(ctx context.Context) {
	if t == nil {
		return
	}
	var sending sync.WaitGroup
	sending.Go(func() { t.send(ctx) })
	t.read(ctx)
	sending.Wait()
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTime)
	defer cancel()
	_ = t.collect(limited)
	for t.export(limited, 0) && limited.Err() == nil {
	}
	_ = t.exporter.Shutdown(limited)
}

// Sampled says whether the trace of a run is sent.
func (t *Tracer) Sampled(run flow.RunID) bool {
	if t == nil || !t.begun.Load() {
		return false
	}
	decision := t.sampler.ShouldSample(sdk.SamplingParameters{ParentContext: context.Background(), TraceID: flow.TraceID(run)})
	return decision.Decision == sdk.RecordAndSample
}

// Call tells of a call of a guest. It never blocks.
func (t *Tracer) Call(c *flow.HostCall) {
	if t.Sampled(c.Run) {
		t.put(t.callSpan(c))
	}
}

// Sent and dropped spans so far.
func (t *Tracer) Sent() (sent, dropped uint64) {
	if t == nil {
		return 0, 0
	}
	return t.sent.Load(), t.dropped.Load()
}

// read makes spans of runs as they end.
func (t *Tracer) read(ctx context.Context) {
	for {
		changed := t.config.Ledger.Changed()
		if err := t.collect(ctx); err != nil && ctx.Err() == nil {
			t.warn("runs not read for traces", err)
		}
		select {
		case <-time.After(linger):
		case <-ctx.Done():
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// collect reads the runs that have ended since it was called last.
func (t *Tracer) collect(ctx context.Context) error {
	for {
		runs, last, err := t.config.Ledger.Ended(ctx, t.last, page)
		if err != nil {
			return err
		}
		for i := range runs {
			if !t.Sampled(runs[i].ID) {
				continue
			}
			record, err := t.config.Ledger.Run(ctx, runs[i].ID)
			switch {
			case errors.Is(err, flow.ErrNotFound): // it was kept for a shorter time than this took
				t.dropped.Add(1)
				continue
			case err != nil:
				return err
			}
			t.put(t.runSpans(&record)...)
		}
		if last == t.last {
			return nil
		}
		t.last = last
	}
}

// put queues spans, as far as there is room.
func (t *Tracer) put(spans ...tracetest.SpanStub) {
	t.mu.Lock()
	defer t.mu.Unlock()
	room := max(0, min(len(spans), mostQueued-len(t.queue)))
	t.dropped.Add(uint64(len(spans) - room))
	t.queue = append(t.queue, spans[:room]...)
	if len(t.queue) >= batch {
		select {
		case t.full <- struct{}{}:
		default:
		}
	}
}

// send exports batches until ctx ends.
func (t *Tracer) send(ctx context.Context) {
	for {
		select {
		case <-t.full:
		case <-time.After(linger):
		case <-ctx.Done():
			return
		}
		for t.export(ctx, endTime) && ctx.Err() == nil {
		}
	}
}

// export sends one batch, and reports whether there was a whole one. What is under way when ctx ends has a grace to arrive.
func (t *Tracer) export(ctx context.Context, grace time.Duration) bool {
	t.mu.Lock()
	n := min(len(t.queue), batch)
	spans := t.queue[:n:n]
	t.queue = t.queue[n:]
	t.mu.Unlock()
	if n == 0 {
		return false
	}
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), sendTime)
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(grace, cancel) })()
	if err := t.exporter.ExportSpans(limited, spans.Snapshots()); err != nil {
		t.dropped.Add(uint64(n))
		t.warn("spans not taken", err)
		return n == batch
	}
	t.sent.Add(uint64(n))
	return n == batch
}

// warn says once a minute that something is wrong.
func (t *Tracer) warn(what string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if time.Since(t.warned) < quiet {
		return
	}
	t.warned = time.Now()
	t.config.Logger.Warn(what, slog.Any("err", err)) //nolint:sloglint // one of two constants
}
