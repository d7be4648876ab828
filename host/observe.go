package host

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/calendar"
	"github.com/uniflow-dev/uniflow/host/internal/process"
	"github.com/uniflow-dev/uniflow/host/internal/wasm"
	"github.com/uniflow-dev/uniflow/host/internal/watch/metrics"
	"github.com/uniflow-dev/uniflow/host/internal/watch/trace"
)

// openObservers makes what counts and what traces; neither looks at anything before the host starts.
func (h *Host) openObservers(ctx context.Context) (err error) {
	h.metrics = metrics.New(metrics.Config{Ledger: h.store, Version: Version, Known: h.knownNames, Now: h.snapshot, Logger: h.log})
	if !h.config.ReadOnly {
		h.tracer, err = trace.New(ctx, trace.Config{Ledger: h.store, Version: Version, Getenv: os.Getenv, Logger: h.log})
	}
	return err
}

// Metrics serves the host's figures in the format of Prometheus: those of one tenant or, for no name, of all tenants and
// of the process.
func (h *Host) Metrics(tenant string) http.Handler { return h.metrics.Handler(tenant) }

// knownNames are the names that figures may have as labels.
func (h *Host) knownNames(ctx context.Context) (metrics.Known, error) {
	known := metrics.Known{}
	tenants := map[string]bool{flow.DefaultTenant: true}
	if p := h.current(); p != nil {
		for i := range p.Tenants {
			tenants[p.Tenants[i].Name] = true
		}
	}
	for _, e := range h.entries() {
		tenants[e.plan.Tenant] = true
		known.Pipelines = append(known.Pipelines, metrics.Name{Tenant: e.plan.Tenant, Name: e.plan.Pipeline})
	}
	records, err := h.store.Schedules(ctx)
	if err != nil {
		return known, fmt.Errorf("list schedules: %w", err)
	}
	for i := range records {
		r := &records[i]
		tenants[r.Tenant] = true
		name := metrics.Name{Tenant: r.Tenant, Name: r.Name}
		if r.Jitter > 0 {
			if cal, err := calendar.Of(r.Tenant, &r.PlanSchedule); err == nil {
				name.Delay = cal.Delay()
			}
		}
		known.Schedules = append(known.Schedules, name)
	}
	for name := range tenants {
		known.Tenants = append(known.Tenants, name)
	}
	return known, nil
}

// snapshot is what the host is like now. What cannot be read of it is left out.
func (h *Host) snapshot(ctx context.Context) (metrics.Snapshot, error) {
	ledger := h.store.Stats()
	s := metrics.Snapshot{
		Live: h.runner.Live(), Rearmed: h.clock.Rearmed(),
		LedgerBytes: ledger.Bytes, LogBytes: ledger.LogBytes, Commits: ledger.Commits, Writes: ledger.Writes, CommitTime: ledger.Took,
	}
	for _, r := range h.loader.runtimes {
		switch r := r.(type) {
		case *wasm.Runtime:
			stats := r.Stats()
			s.Modules, s.Compiled, s.Reopened = stats.Loaded, stats.Compiled, stats.Reopened
		case *process.Runtime:
			stats := r.Stats()
			s.Workers, s.Idle, s.Started = stats.Alive, stats.Idle, stats.Started
		}
	}
	s.SpansSent, s.SpansDropped = h.tracer.Sent()
	var failures [2]error
	s.Incidents, failures[0] = h.store.OpenIncidents(ctx)
	s.Tenants, failures[1] = h.Tenants(ctx)
	return s, errors.Join(failures[:]...)
}
