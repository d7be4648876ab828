package access

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// change is what one write tells the audit.
type change struct {
	// looks is set where nothing was to be changed, such as by a dry run: the audit hears of it only if it is refused.
	looks         bool
	before, after any
}

// told says what was there and what is there now. Neither holds contexts, outputs, values of state or secrets.
func (c *change) told(before, after any) { c.before, c.after = before, after }

// write does what a role may, and records it, or that it was refused. Who goes away does not keep it from being recorded.
func write[T any](ctx context.Context, s *scoped, need flow.Role, verb, target string, do func(*change) (T, error)) (T, error) {
	var c change
	var v T
	err := s.may(need, verb)
	if err == nil {
		v, err = do(&c)
	}
	if err != nil || !c.looks {
		s.record(ctx, verb, target, &c, err)
	}
	return v, s.shown(err)
}

// auditTime bounds the wait for an entry to be kept.
const auditTime = 5 * time.Second

func (s *scoped) record(ctx context.Context, verb, target string, c *change, err error) {
	e := flow.AuditEntry{At: time.Now(), By: s.p.Name, From: s.from, Tenant: s.p.Tenant, Verb: verb, Target: bounded(strings.TrimPrefix(target, flow.DefaultTenant+"/"))}
	if err != nil {
		if e.Error = flow.CodeOf(err); e.Error == "" {
			e.Error = "internal"
		}
	} else {
		e.Before, e.After = facts(c.before), facts(c.after)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), auditTime)
	defer cancel()
	s.host.Record(ctx, e)
}

func facts(v any) json.RawMessage {
	if v == nil {
		return nil
	}
	raw, err := json.Marshal(v)
	if err != nil { // cannot be: facts are maps of texts, numbers and instants
		return nil
	}
	return raw
}

// bounded keeps what a caller has written from filling the audit.
func bounded(text string) string {
	const most = 200
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}

// some are the first of many names.
func some(names []string) []string {
	const most = 50
	short := make([]string, 0, min(len(names), most))
	for _, name := range names[:min(len(names), most)] {
		short = append(short, bounded(name))
	}
	return short
}

// Audit lists writes of the principal's tenant.
func (s *scoped) Audit(ctx context.Context, q flow.AuditQuery) ([]flow.AuditEntry, error) {
	if err := s.may(flow.RoleAdmin, "list the audit"); err != nil {
		return nil, err
	}
	tenant, ok := s.tenantOf(q.Tenant)
	if !ok {
		return []flow.AuditEntry{}, nil
	}
	q.Tenant = tenant
	found, err := s.host.Audit(ctx, q)
	return found, s.shown(err)
}

const (
	refusals     = 100 // of one principal that are recorded in a window
	refusalsTime = time.Minute
)

// Refusals bounds what one principal can have recorded by asking for what it may not do. It is safe for concurrent use.
type Refusals struct {
	mu    sync.Mutex
	since time.Time
	count map[string]int
}

// Take reports whether one more refusal of a principal is to be recorded.
func (r *Refusals) Take(by string, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.count == nil || now.Sub(r.since) >= refusalsTime {
		r.since, r.count = now, map[string]int{}
	}
	r.count[by]++
	return r.count[by] <= refusals
}
