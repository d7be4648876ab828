package sqlite

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// SavePlan records a plan under its digest. A known digest gets the plan's present description (owner, label,
// schedules), which are no part of the version.
func (s *Store) SavePlan(ctx context.Context, p flow.Plan) error {
	return s.SavePlans(ctx, []flow.Plan{p})
}

// SavePlans is SavePlan for many, all or none.
func (s *Store) SavePlans(ctx context.Context, plans []flow.Plan) error {
	bodies, err := encodePlans(plans)
	if err != nil {
		return err
	}
	err = s.do(ctx, func(w *writer) error { return w.savePlans(plans, bodies) })
	if err == nil {
		s.keepPlans(plans...)
	}
	return err
}

func encodePlans(plans []flow.Plan) ([]string, error) {
	bodies := make([]string, len(plans))
	for i := range plans {
		if !plans[i].Digest.Valid() {
			return nil, errors.New("save plan of " + plans[i].ID() + ": it has no digest")
		}
		var err error
		if bodies[i], err = encode(&plans[i]); err != nil {
			return nil, err
		}
	}
	return bodies, nil
}

func (w *writer) savePlans(plans []flow.Plan, bodies []string) error {
	for i := range plans {
		if err := w.savePlan(&plans[i], bodies[i]); err != nil {
			return err
		}
	}
	w.filled = w.filled || len(plans) >= muchBehind
	return nil
}

func (w *writer) savePlan(p *flow.Plan, body string) error {
	var same bool
	known, err := w.one("SELECT body = ? FROM plans WHERE digest = ?", []any{body, p.Digest}, &same)
	if err != nil || same {
		return err
	}
	delete(w.facts, p.Digest)
	if _, err := w.exec(`INSERT INTO plans (digest, project, label, body) VALUES (?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET project = excluded.project, label = excluded.label, body = excluded.body`,
		p.Digest, p.Project, p.Label, body); err != nil || known {
		return err
	}
	detail, err := encode(map[string]flow.Digest{"digest": p.Digest})
	if err != nil {
		return err
	}
	return w.recordDetail(flow.Event{At: time.Now(), Kind: flow.PlanSaved, Tenant: p.Tenant, Pipeline: p.Pipeline}, detail)
}

// Plan returns the plan of a digest, which nobody may change, or flow.ErrNotFound.
func (s *Store) Plan(ctx context.Context, digest flow.Digest) (flow.Plan, error) {
	s.plans.Lock()
	p, kept := s.kept[digest]
	s.plans.Unlock()
	if kept {
		return p, nil
	}
	p, err := readPlan(ctx, reader{s.readers}, digest)
	if err == nil {
		s.keepPlans(p)
	}
	return p, err
}

// mostPlans bounds the plans that are kept ready. Every run asks for its own.
const mostPlans = 1 << 14

// keepPlans keeps plans ready for Plan. Only a writer can: nobody else changes what it has read.
func (s *Store) keepPlans(plans ...flow.Plan) {
	if s.writer == nil {
		return
	}
	s.plans.Lock()
	defer s.plans.Unlock()
	for i := range plans {
		if len(s.kept) >= mostPlans {
			clear(s.kept)
		}
		s.kept[plans[i].Digest] = plans[i]
	}
}

func readPlan(ctx context.Context, q querier, digest flow.Digest) (flow.Plan, error) {
	found, err := collect(ctx, q, func(row scanner) (p flow.Plan, err error) {
		var body string
		if err := row.Scan(&body); err != nil {
			return p, err
		}
		return p, decode(body, &p)
	}, "SELECT body FROM plans WHERE digest = ?", digest)
	if err != nil {
		return flow.Plan{}, err
	}
	if len(found) == 0 {
		return flow.Plan{}, fmt.Errorf("plan %s: %w", digest.Short(), flow.ErrNotFound)
	}
	return found[0], nil
}
