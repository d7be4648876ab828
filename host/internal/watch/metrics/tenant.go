package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

type metricFamily = dto.MetricFamily

func opts(name, help string) prometheus.CounterOpts {
	return prometheus.CounterOpts{Namespace: "uniflow", Name: name, Help: help}
}

// tenant holds what is counted of one tenant.
type tenant struct {
	name     string
	registry *prometheus.Registry

	runs      *prometheus.CounterVec // pipeline, outcome, reason
	runTime   *prometheus.HistogramVec
	late      *prometheus.HistogramVec
	retries   *prometheus.CounterVec
	fuel      *prometheus.CounterVec
	slots     *prometheus.CounterVec // schedule, ending, reason
	attempts  *prometheus.CounterVec
	steps     *prometheus.CounterVec
	stepTime  *prometheus.HistogramVec
	memory    prometheus.Histogram
	calls     prometheus.Counter
	bytes     *prometheus.CounterVec
	emitted   prometheus.Counter
	incidents *prometheus.CounterVec
	alerts    *prometheus.CounterVec

	// named are those that have names of manifests as labels.
	named []interface {
		DeletePartialMatch(labels prometheus.Labels) int
	}
}

func newTenant(m *Metrics, name string) *tenant {
	t := &tenant{name: name, registry: prometheus.NewRegistry()}
	add := prometheus.WrapRegistererWith(prometheus.Labels{"tenant": name}, t.registry)
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(opts(name, help), labels)
		add.MustRegister(v)
		t.named = append(t.named, v)
		return v
	}
	times := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		v := prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "uniflow", Name: name, Help: help, Buckets: buckets}, labels)
		add.MustRegister(v)
		t.named = append(t.named, v)
		return v
	}
	t.runs = counters("runs_ended_total", "Runs that have ended.", "pipeline", "outcome", "reason")
	t.runTime = times("run_duration_seconds", "Time from the start of a run to its end.", []float64{.01, .1, .5, 1, 5, 15, 60, 300, 1800, 7200}, "pipeline")
	t.late = times("start_lateness_seconds", "Time from when a slot came due to the start of its run; counted once the run has ended.", []float64{.01, .05, .1, .25, .5, 1, 5, 15, 60, 300}, "pipeline")
	t.retries = counters("retries_total", "Attempts that ended and are tried again.", "pipeline")
	t.fuel = counters("fuel_total", "Work of guests, in units of fuel.", "pipeline")
	t.slots = counters("slots_ended_total", "Slots by what became of them.", "schedule", "ending", "reason")
	t.steps = counters("steps_ended_total", "Steps that have ended.", "outcome", "reason")
	t.stepTime = times("step_duration_seconds", "Time from the first attempt of a step to its end.", []float64{.001, .01, .1, .5, 1, 5, 15, 60, 300, 1800}, "outcome")
	t.attempts = counters("attempts_ended_total", "Attempts that have ended.", "outcome", "reason")
	t.memory = prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "uniflow", Name: "attempt_memory_bytes", Help: "Peak of a guest's memory in one attempt.", Buckets: prometheus.ExponentialBuckets(1<<20, 4, 6)})
	t.calls = prometheus.NewCounter(opts("host_calls_total", "Calls of guests to the host."))
	t.emitted = prometheus.NewCounter(opts("events_emitted_total", "Events that guests have emitted."))
	add.MustRegister(t.memory, t.calls, t.emitted)
	t.bytes = counters("guest_bytes_total", "Bytes of attempts: what the host kept as outputs, log and artifacts, and egress, which http.request sent and received.", "kind")
	t.incidents = counters("incidents_opened_total", "Incidents that have begun.", "condition")
	t.alerts = counters("alert_attempts_total", "Attempts to deliver messages, by what came of them.", "outcome")
	add.MustRegister(part{m, name})
	return t
}

// drop removes the series of a name that is gone.
func (t *tenant) drop(label, name string) {
	for _, v := range t.named {
		v.DeletePartialMatch(prometheus.Labels{label: name})
	}
}
