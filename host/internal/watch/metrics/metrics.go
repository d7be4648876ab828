// Package metrics turns what a ledger records and what a host tells of itself into figures for Prometheus.
//
// It follows the ledger's events after the fact, so that it delays nothing; a counter begins at zero with each life of the
// host. Labels are names that a manifest has now, outcomes, reasons and conditions: never ids of runs, never what a guest
// said, and only so many of them. The figures of each tenant stand in a registry of its own, so that a tenant that asks
// gets its own and nothing else.
package metrics

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// Ledger is what is followed.
type Ledger interface {
	// Changed returns a channel that is closed when something more has been committed.
	Changed() <-chan struct{}
	// LastEvent returns the newest event.
	LastEvent(ctx context.Context) (int64, error)
	Events(ctx context.Context, q flow.EventQuery) ([]flow.Event, error)
	// Ended returns the runs whose last event is among the next limit events after one, and the last of these.
	Ended(ctx context.Context, after int64, limit int) ([]flow.RunBrief, int64, error)
}

// Known are the names that labels may have.
type Known struct {
	Tenants   []string
	Pipelines []Name
	Schedules []Name
}

// Name is a pipeline or a schedule.
type Name struct {
	Tenant, Name string
	// Delay is how long after its slot a schedule's run comes due.
	Delay time.Duration
}

// Config wires Metrics; what has no default is needed.
type Config struct {
	Ledger Ledger
	// Version of the host.
	Version string
	// Known returns the names that there are now.
	Known func(ctx context.Context) (Known, error)
	// Now returns what the host is like now.
	Now func(ctx context.Context) (Snapshot, error)
	// Pipelines and Schedules bound the names that are told apart, of all tenants; of one tenant it is a quarter. What is
	// beyond is "other". Default to 2,000 each.
	Pipelines, Schedules int
	// Soonest is the least time between looks at the ledger. Defaults to 1 s.
	Soonest time.Duration
	Logger  *slog.Logger
}

const (
	page       = 1000             // events that are read at one time
	knownFor   = 15 * time.Second // names are read again after so long
	knownLeast = time.Second      // and for a name that is not among them, after so long
	snapFor    = time.Second
	scrapeTime = 10 * time.Second
	scrapes    = 4 // at one time
)

// Metrics are the figures of one host. They are safe for concurrent use.
type Metrics struct {
	config   Config
	process  *prometheus.Registry
	requests *prometheus.CounterVec

	mu        sync.Mutex
	tenants   map[string]*tenant
	pipelines names
	schedules names
	delays    map[key]time.Duration
	read      time.Time // when names were read
	events    int64     // the last event that was counted
	ended     int64     // the last event whose runs were
	live      map[flow.RunID]*liveRun

	snapping sync.Mutex
	snap     Snapshot
	snapped  time.Time
}

type key struct{ tenant, name string }

// New returns metrics that count nothing before Run.
func New(c Config) *Metrics {
	for _, n := range []*int{&c.Pipelines, &c.Schedules} {
		if *n == 0 {
			*n = 2000
		}
	}
	if c.Soonest == 0 {
		c.Soonest = time.Second
	}
	m := &Metrics{
		config: c, process: prometheus.NewRegistry(), tenants: map[string]*tenant{}, live: map[flow.RunID]*liveRun{},
		pipelines: newNames(c.Pipelines), schedules: newNames(c.Schedules), delays: map[key]time.Duration{},
		requests: prometheus.NewCounterVec(opts("api_requests_total", "Requests to the API, by route and class of the status."), []string{"route", "status"}),
	}
	m.process.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), m.requests, whole{m})
	return m
}

// Begin is called before anything may run: what is in the ledger by then is not counted.
func (m *Metrics) Begin(ctx context.Context) error {
	last, err := m.config.Ledger.LastEvent(ctx)
	if err != nil {
		return fmt.Errorf("begin to count: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.events, m.ended = last, last
	return m.refresh(ctx, 0)
}

// Run follows the ledger until ctx ends.
func (m *Metrics) Run(ctx context.Context) {
	ticker := time.NewTicker(knownFor)
	defer ticker.Stop()
	for {
		changed := m.config.Ledger.Changed()
		if err := m.follow(ctx); err != nil && ctx.Err() == nil {
			m.config.Logger.Error("ledger not counted", slog.Any("err", err))
		}
		select {
		case <-time.After(m.config.Soonest):
		case <-ctx.Done():
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

// Handler serves the figures of one tenant, or, for no name, those of all and of the process.
func (m *Metrics) Handler(tenant string) http.Handler {
	return promhttp.HandlerFor(prometheus.GathererFunc(func() ([]*metricFamily, error) {
		return m.gatherer(tenant).Gather()
	}), promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: scrapes, Timeout: scrapeTime})
}

// gatherer is what one who may see a tenant sees.
func (m *Metrics) gatherer(name string) prometheus.Gatherer {
	m.mu.Lock()
	defer m.mu.Unlock()
	if name != "" {
		if t := m.tenants[name]; t != nil {
			return t.registry
		}
		return prometheus.Gatherers{}
	}
	all := prometheus.Gatherers{m.process}
	for _, t := range m.tenants {
		all = append(all, t.registry)
	}
	return all
}

// Request counts a request to the API. The route is its pattern, and empty for none.
func (m *Metrics) Request(route string, status int) {
	if route == "" {
		route = other
	}
	m.requests.WithLabelValues(route, fmt.Sprintf("%dxx", status/100)).Inc()
}

// refresh reads the names again, if they are older than age, and drops the figures of those that are gone.
func (m *Metrics) refresh(ctx context.Context, age time.Duration) error {
	if !m.read.IsZero() && time.Since(m.read) < age {
		return nil
	}
	known, err := m.config.Known(ctx)
	if err != nil {
		return fmt.Errorf("read the names of pipelines: %w", err)
	}
	m.read = time.Now()
	present := map[string]bool{}
	for _, name := range known.Tenants {
		present[name] = true
		if m.tenants[name] == nil {
			m.tenants[name] = newTenant(m, name)
		}
	}
	for name := range m.tenants {
		if !present[name] {
			delete(m.tenants, name)
		}
	}
	for _, gone := range m.pipelines.keep(known.Pipelines) {
		if t := m.tenants[gone.tenant]; t != nil {
			t.drop("pipeline", gone.name)
		}
	}
	for _, gone := range m.schedules.keep(known.Schedules) {
		if t := m.tenants[gone.tenant]; t != nil {
			t.drop("schedule", gone.name)
		}
	}
	clear(m.delays)
	for _, s := range known.Schedules {
		m.delays[key{s.Tenant, s.Name}] = s.Delay
	}
	return nil
}
