package metrics

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// Snapshot is what a host is like at one moment.
type Snapshot struct {
	Tenants []flow.TenantInfo
	// Incidents are those that are open.
	Incidents []flow.Incident
	// Live are the runs that execute; Rearmed are slots that a sweep found and no alarm had fired for.
	Live    int
	Rearmed int64

	// LedgerBytes and LogBytes are the sizes of the ledger's file and of its write-ahead log.
	LedgerBytes, LogBytes int64
	// Commits are transactions, Writes the calls that shared them, CommitTime the time that they took.
	Commits, Writes uint64
	CommitTime      time.Duration

	// Modules are loaded now; Compiled were compiled, Reopened were taken from the cache.
	Modules            int
	Compiled, Reopened uint64
	// Workers are processes of plugins that are alive, Idle those of them that wait; Started counts all so far.
	Workers, Idle int
	Started       uint64

	// SpansSent were taken by whoever collects traces, SpansDropped were not.
	SpansSent, SpansDropped uint64
}

// at returns a snapshot that is at most a second old.
func (m *Metrics) at() Snapshot {
	m.snapping.Lock()
	defer m.snapping.Unlock()
	if time.Since(m.snapped) < snapFor {
		return m.snap
	}
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTime/2)
	defer cancel()
	snap, err := m.config.Now(ctx)
	if err != nil {
		m.config.Logger.Warn("state of the host not read for metrics", slog.Any("err", err))
	}
	m.snap, m.snapped = snap, time.Now()
	return snap
}

// fact is a figure that is read when somebody asks.
type fact struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	of   func(*Snapshot) float64
}

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("uniflow_"+name, help, labels, nil)
}

// facts are those of the process.
func facts() []fact {
	gauge := func(name, help string, of func(*Snapshot) float64) fact {
		return fact{describe(name, help), prometheus.GaugeValue, of}
	}
	counter := func(name, help string, of func(*Snapshot) float64) fact {
		return fact{describe(name, help), prometheus.CounterValue, of}
	}
	return []fact{
		gauge("runs_executing", "Runs that execute in this process.", func(s *Snapshot) float64 { return float64(s.Live) }),
		counter("slots_rearmed_total", "Slots that a sweep found and no alarm had fired for.", func(s *Snapshot) float64 { return float64(s.Rearmed) }),
		gauge("ledger_bytes", "Size of the ledger's file.", func(s *Snapshot) float64 { return float64(s.LedgerBytes) }),
		gauge("ledger_log_bytes", "Size of the ledger's write-ahead log.", func(s *Snapshot) float64 { return float64(s.LogBytes) }),
		counter("ledger_commits_total", "Transactions of the ledger.", func(s *Snapshot) float64 { return float64(s.Commits) }),
		counter("ledger_writes_total", "Calls that shared the transactions of the ledger.", func(s *Snapshot) float64 { return float64(s.Writes) }),
		counter("ledger_commit_seconds_total", "Time that the transactions of the ledger took.", func(s *Snapshot) float64 { return s.CommitTime.Seconds() }),
		gauge("modules_loaded", "WebAssembly modules that are loaded in this process.", func(s *Snapshot) float64 { return float64(s.Modules) }),
		counter("modules_compiled_total", "Modules that were compiled.", func(s *Snapshot) float64 { return float64(s.Compiled) }),
		counter("modules_cached_total", "Modules that were taken from the cache.", func(s *Snapshot) float64 { return float64(s.Reopened) }),
		gauge("workers", "Processes of plugins that are alive.", func(s *Snapshot) float64 { return float64(s.Workers) }),
		gauge("workers_idle", "Processes of plugins that wait for an attempt.", func(s *Snapshot) float64 { return float64(s.Idle) }),
		counter("workers_started_total", "Processes of plugins that were started.", func(s *Snapshot) float64 { return float64(s.Started) }),
		counter("spans_sent_total", "Spans that were taken by whoever collects traces.", func(s *Snapshot) float64 { return float64(s.SpansSent) }),
		counter("spans_dropped_total", "Spans that were dropped: too many at one time, or nobody took them.", func(s *Snapshot) float64 { return float64(s.SpansDropped) }),
	}
}

// whole collects what is read of the process.
type whole struct{ *Metrics }

func build() *prometheus.Desc { return describe("build_info", "The version of the host.", "version") }

// Describe implements prometheus.Collector.
func (w whole) Describe(to chan<- *prometheus.Desc) {
	to <- build()
	for _, f := range facts() {
		to <- f.desc
	}
}

// Collect implements prometheus.Collector.
func (w whole) Collect(to chan<- prometheus.Metric) {
	snap := w.at()
	to <- prometheus.MustNewConstMetric(build(), prometheus.GaugeValue, 1, w.config.Version)
	for _, f := range facts() {
		to <- prometheus.MustNewConstMetric(f.desc, f.kind, f.of(&snap))
	}
}

// part collects what is read of one tenant.
type part struct {
	*Metrics
	tenant string
}

// partDescs are what part has: counts, open incidents by condition, and quotas by resource.
type partDescs struct{ running, queued, pipelines, schedules, refused, incidents, used, limit *prometheus.Desc }

func descsOfPart() partDescs {
	return partDescs{
		running:   describe("runs_running", "Runs that are live."),
		queued:    describe("runs_queued", "Runs that wait."),
		pipelines: describe("pipelines", "Pipelines."),
		schedules: describe("schedules", "Schedules."),
		refused:   describe("manifest_refused", "1 while the tenant's manifest is refused, and what ran before goes on."),
		incidents: describe("incidents", "Incidents that are open.", "condition"),
		used:      describe("quota_used", "What is used of a quota.", "resource"),
		limit:     describe("quota_limit", "What a quota allows; none for a resource without a bound.", "resource"),
	}
}

// Describe implements prometheus.Collector.
func (p part) Describe(to chan<- *prometheus.Desc) {
	d := descsOfPart()
	for _, desc := range []*prometheus.Desc{d.running, d.queued, d.pipelines, d.schedules, d.refused, d.incidents, d.used, d.limit} {
		to <- desc
	}
}

// Collect implements prometheus.Collector.
func (p part) Collect(to chan<- prometheus.Metric) {
	snap, d := p.at(), descsOfPart()
	gauge := func(desc *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, v, labels...)
	}
	open := map[flow.Condition]int{}
	for i := range snap.Incidents {
		if snap.Incidents[i].Tenant == p.tenant {
			open[snap.Incidents[i].Condition]++
		}
	}
	for _, c := range flow.Conditions() {
		gauge(d.incidents, float64(open[c]), string(c))
	}
	for i := range snap.Tenants {
		t := &snap.Tenants[i]
		if t.Name != p.tenant {
			continue
		}
		refused := 0.
		if len(t.Refused) > 0 {
			refused = 1
		}
		gauge(d.running, float64(t.Usage.Running))
		gauge(d.queued, float64(t.Usage.Queued))
		gauge(d.pipelines, float64(t.Pipelines))
		gauge(d.schedules, float64(t.Schedules))
		gauge(d.refused, refused)
		for _, q := range quotasOf(t) {
			gauge(d.used, q.used, q.resource)
			if q.limit > 0 {
				gauge(d.limit, q.limit, q.resource)
			}
		}
	}
}

type quota struct {
	resource    string
	used, limit float64
}

// quotasOf names resources as a manifest does.
func quotasOf(t *flow.TenantInfo) []quota {
	u, q := &t.Usage, flow.Quota{}
	if t.Quota != nil {
		q = *t.Quota
	}
	return []quota{
		{"running", float64(u.Running), float64(q.Running)},
		{"queued", float64(u.Queued), float64(q.Queued)},
		{"runs_per_hour", float64(u.RunsPerHour), float64(q.RunsPerHour)},
		{"fuel_per_day", float64(u.FuelPerDay), float64(q.FuelPerDay)},
		{"memory", float64(u.Memory), float64(q.Memory)},
		{"artifacts", float64(u.Artifacts), float64(q.Artifacts)},
		{"state", float64(u.State), float64(q.State)},
		{"egress_per_day", float64(u.Egress), float64(q.EgressPerDay)},
	}
}
