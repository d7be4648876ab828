package host

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/calendar"
	"github.com/uniflow-dev/uniflow/host/internal/watch"
)

// openWatch makes the watcher, which looks at nothing before the host starts.
func (h *Host) openWatch() {
	h.watcher = watch.New(watch.Config{
		Ledger: h.store, Alerts: h.alerts, Ceiling: h.ceilingOf, Secret: h.secretOf, Logger: h.log,
		Plans: func() []*flow.Plan {
			h.mu.Lock()
			defer h.mu.Unlock()
			plans := make([]*flow.Plan, 0, len(h.plans))
			for _, e := range h.plans {
				plans = append(plans, &e.plan)
			}
			return plans
		},
		Broken: func(r *flow.ScheduleRecord) error {
			_, err := h.slotContext(r)
			return err
		},
	})
}

// givenUpFor is how long a message that never arrived keeps a host from being well.
const givenUpFor = 48 * time.Hour

// Health judges the host as a whole: the incidents that are open, and whether messages about them arrive.
func (h *Host) Health(ctx context.Context) (flow.HostHealth, error) {
	health := flow.HostHealth{Version: Version, StartedAt: h.opened.UTC()}
	var err error
	if health.Incidents, err = h.store.OpenIncidents(ctx); err != nil {
		return health, fmt.Errorf("list open incidents: %w", err)
	}
	if health.Alerts, err = h.store.Undelivered(ctx, time.Now().Add(-givenUpFor)); err != nil {
		return health, fmt.Errorf("list messages that have not arrived: %w", err)
	}
	health.OK = len(health.Incidents)+len(health.Alerts) == 0
	if health.Incidents == nil {
		health.Incidents = []flow.Incident{}
	}
	if health.Alerts == nil {
		health.Alerts = []flow.AlertHealth{}
	}
	return health, nil
}

// ScheduleHealth judges every schedule, as alerts do.
func (h *Host) ScheduleHealth(ctx context.Context) ([]flow.ScheduleHealth, error) {
	return h.scheduleHealthOf(ctx, "")
}

// scheduleHealthOf judges the schedules of a tenant; empty stands for all.
func (h *Host) scheduleHealthOf(ctx context.Context, tenant string) ([]flow.ScheduleHealth, error) {
	h.view.RLock()
	defer h.view.RUnlock()
	records, err := h.store.Schedules(ctx)
	if err != nil {
		return nil, fmt.Errorf("list schedules: %w", err)
	}
	records = slices.DeleteFunc(records, func(r flow.ScheduleRecord) bool { return tenant != "" && r.Tenant != tenant })
	subjects := make([]watch.Subject, len(records))
	byPipeline := map[string][]watch.Subject{}
	for i := range records {
		if subjects[i], err = h.subject(ctx, &records[i]); err != nil {
			return nil, err
		}
		if records[i].Active() {
			id := flow.ID(records[i].Tenant, records[i].Pipeline)
			byPipeline[id] = append(byPipeline[id], subjects[i])
		}
	}
	all := []flow.ScheduleHealth{}
	now := time.Now()
	for i := range subjects {
		found := watch.JudgeSchedule(&subjects[i], now)
		id := flow.ID(records[i].Tenant, records[i].Pipeline)
		if e := h.entry(id); e != nil && records[i].Active() && subjects[i].Broken == nil {
			more, err := h.judgePipeline(ctx, &e.plan, byPipeline[id], now)
			if err != nil {
				return nil, err
			}
			found = append(found, more...)
		}
		all = append(all, healthOf(&records[i], found))
	}
	return all, nil
}

// subject reads what a schedule is judged by.
func (h *Host) subject(ctx context.Context, r *flow.ScheduleRecord) (watch.Subject, error) {
	cal, err := calendar.Of(r.Tenant, &r.PlanSchedule)
	if err != nil {
		return watch.Subject{}, fmt.Errorf("schedule %q: %w", r.Name, err)
	}
	s := watch.Subject{Record: r, Cal: cal}
	_, s.Broken = h.slotContext(r)
	if e := h.entry(flow.ID(r.Tenant, r.Pipeline)); e != nil {
		s.Expect = e.plan.Expect
	}
	return s, watch.Witness(ctx, h.store, &s)
}

func (h *Host) judgePipeline(ctx context.Context, p *flow.Plan, schedules []watch.Subject, now time.Time) ([]watch.Finding, error) {
	if p.Expect.Every == 0 && p.Expect.By == "" {
		return nil, nil
	}
	success, known, err := h.store.LastSuccess(ctx, p.Tenant, p.Pipeline)
	if err != nil {
		return nil, fmt.Errorf("read the last success of pipeline %q: %w", p.ID(), err)
	}
	return watch.JudgePipeline(&watch.Pipeline{Expect: p.Expect, Success: success, Known: known, Schedules: schedules}, now), nil
}

// healthOf makes one word of what was found, the gravest.
func healthOf(r *flow.ScheduleRecord, found []watch.Finding) flow.ScheduleHealth {
	health := flow.ScheduleHealth{Schedule: flow.ID(r.Tenant, r.Name), Pipeline: flow.ID(r.Tenant, r.Pipeline), Status: flow.HealthOK}
	if !r.Active() {
		health.Status, health.Detail = flow.HealthDisabled, "no slot fires until it is enabled"
	}
	slices.SortStableFunc(found, func(a, b watch.Finding) int {
		return slices.Index(flow.Conditions(), a.Condition) - slices.Index(flow.Conditions(), b.Condition)
	})
	if len(found) == 0 {
		return health
	}
	f := &found[0]
	health.Status, health.Detail = flow.HealthStatus(f.Condition), f.Detail
	switch {
	case f.Condition == flow.ConditionFailed:
		health.Status, health.Detail = flow.HealthFailing, f.Detail+": "+f.Said
	case f.Said != "":
		health.Detail = f.Said
	}
	return health
}
