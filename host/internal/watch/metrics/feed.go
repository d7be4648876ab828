package metrics

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// mostLive bounds the runs whose steps are timed.
const mostLive = 10_000

// liveRun is what is remembered of a run until it ends: when its steps began.
type liveRun struct{ steps map[string]time.Time }

// follow counts what is new in the ledger.
func (m *Metrics) follow(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.refresh(ctx, knownFor); err != nil {
		return err
	}
	for {
		events, err := m.config.Ledger.Events(ctx, flow.EventQuery{After: m.events, Limit: page})
		if err != nil {
			return fmt.Errorf("read events: %w", err)
		}
		for i := range events {
			m.event(ctx, &events[i])
			m.events = events[i].Seq
		}
		if len(events) == 0 {
			break
		}
		m.mu.Unlock() // so that nobody who scrapes waits for a long past
		m.mu.Lock()
	}
	for {
		runs, last, err := m.config.Ledger.Ended(ctx, m.ended, page)
		if err != nil {
			return fmt.Errorf("read runs that have ended: %w", err)
		}
		for i := range runs {
			m.run(ctx, &runs[i])
		}
		if last == m.ended {
			return nil
		}
		m.ended = last
	}
}

// label is what stands for a name; one that is not known has the names read again.
func (m *Metrics) label(ctx context.Context, in *names, tenant, name string) string {
	k := key{tenant, name}
	if !in.present[k] {
		_ = m.refresh(ctx, knownLeast) // told of by the next look
	}
	return in.label(k)
}

// run counts a run that has ended.
func (m *Metrics) run(ctx context.Context, r *flow.RunBrief) {
	delete(m.live, r.ID)
	pipeline := m.label(ctx, &m.pipelines, r.Tenant, r.Pipeline)
	t := m.tenants[r.Tenant]
	if t == nil {
		return
	}
	t.runs.WithLabelValues(pipeline, string(r.Ending.Outcome), string(r.Ending.Reason)).Inc()
	if r.StartedAt != nil && r.EndedAt != nil {
		t.runTime.WithLabelValues(pipeline).Observe(r.EndedAt.Sub(*r.StartedAt).Seconds())
	}
	if !r.Due() {
		return
	}
	ending, reason := flow.SlotRun, flow.Reason("")
	if r.Missed() {
		ending, reason = flow.SlotMissed, r.Ending.Reason
	}
	t.slots.WithLabelValues(m.label(ctx, &m.schedules, r.Tenant, r.Schedule), string(ending), string(reason)).Inc()
	if r.Kind == flow.TriggerSchedule && r.StartedAt != nil {
		due := r.ID.Time().Add(m.delays[key{r.Tenant, r.Schedule}])
		t.late.WithLabelValues(pipeline).Observe(max(0, r.StartedAt.Sub(due).Seconds()))
	}
}

// event counts an event.
func (m *Metrics) event(ctx context.Context, e *flow.Event) {
	t := m.tenants[e.Tenant]
	if t == nil {
		_ = m.refresh(ctx, knownLeast)
		if t = m.tenants[e.Tenant]; t == nil {
			return
		}
	}
	switch e.Kind {
	case flow.AttemptStarted:
		m.began(e)
	case flow.AttemptEnded:
		m.attempt(ctx, t, e)
	case flow.StepEnded:
		m.step(t, e)
	case flow.RunEnded:
		delete(m.live, e.Run)
	case flow.EventEmitted:
		t.emitted.Inc()
	case flow.RunCoalesced:
		if e.Schedule != "" {
			t.slots.WithLabelValues(m.label(ctx, &m.schedules, e.Tenant, e.Schedule), string(flow.SlotCoalesced), "").Inc()
		}
	case flow.SlotEnded:
		m.slot(ctx, t, e)
	case flow.IncidentOpened:
		t.incidents.WithLabelValues(condition(e)).Inc()
	case flow.AlertSent:
		t.alerts.WithLabelValues("sent").Inc()
	case flow.AlertFailed:
		t.alerts.WithLabelValues("failed").Inc()
	default:
	}
}

// began remembers when a step began.
func (m *Metrics) began(e *flow.Event) {
	r := m.live[e.Run]
	if r == nil {
		if len(m.live) >= mostLive {
			return
		}
		r = &liveRun{steps: map[string]time.Time{}}
		m.live[e.Run] = r
	}
	if _, known := r.steps[e.Step]; !known {
		r.steps[e.Step] = e.At
	}
}

func (m *Metrics) step(t *tenant, e *flow.Event) {
	t.steps.WithLabelValues(string(e.Outcome), string(e.Reason)).Inc()
	if r := m.live[e.Run]; r != nil {
		if begun, ok := r.steps[e.Step]; ok {
			t.stepTime.WithLabelValues(string(e.Outcome)).Observe(e.At.Sub(begun).Seconds())
			delete(r.steps, e.Step)
		}
	}
}

func (m *Metrics) attempt(ctx context.Context, t *tenant, e *flow.Event) {
	t.attempts.WithLabelValues(string(e.Outcome), string(e.Reason)).Inc()
	if e.RetryAt != nil {
		t.retries.WithLabelValues(m.label(ctx, &m.pipelines, e.Tenant, e.Pipeline)).Inc()
	}
	u := e.Usage
	if u == nil {
		return
	}
	if u.Memory > 0 {
		t.memory.Observe(float64(u.Memory))
	}
	if u.Fuel > 0 {
		t.fuel.WithLabelValues(m.label(ctx, &m.pipelines, e.Tenant, e.Pipeline)).Add(float64(u.Fuel))
	}
	t.calls.Add(float64(max(0, u.HostCalls)))
	for kind, n := range map[string]flow.Size{"output": u.Output, "log": u.Log, "artifacts": u.Artifacts, "egress": u.Egress} {
		if n > 0 {
			t.bytes.WithLabelValues(kind).Add(float64(n))
		}
	}
}

// slot counts slots that have no run.
func (m *Metrics) slot(ctx context.Context, t *tenant, e *flow.Event) {
	var r flow.SlotRecord
	if json.Unmarshal(e.Detail, &r) != nil || r.Count < 1 {
		return
	}
	t.slots.WithLabelValues(m.label(ctx, &m.schedules, e.Tenant, e.Schedule), string(r.Ending), string(r.Reason)).Add(float64(r.Count))
}

// condition is that of an incident's event.
func condition(e *flow.Event) string {
	var i flow.Incident
	if json.Unmarshal(e.Detail, &i) != nil || i.Condition == "" {
		return other
	}
	return string(i.Condition)
}
