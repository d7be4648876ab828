// Package access decides who may do what, and what exists for whom: it stands between every door of a host and
// flow.Control, and is the only place that does.
//
// A principal of one tenant sees that tenant alone. What belongs to another one is never looked up and then refused: ids
// are read within the tenant, and queries are bound to it, so that what is foreign answers as what is unknown, with the
// same words and the same work. The package knows neither HTTP nor SQL, and keeps nothing but the tokens that are good.
package access

import (
	"context"
	"fmt"
	"strings"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// Host is what a scoped control stands before: all of it, and the parts that are of one tenant. An empty tenant stands for all.
type Host interface {
	flow.Control
	InfoOf(ctx context.Context, tenant string) (flow.HostInfo, error)
	PipelinesOf(ctx context.Context, tenant string) ([]flow.PipelineInfo, error)
	SchedulesOf(ctx context.Context, tenant string) ([]flow.ScheduleInfo, error)
	ScheduleHealthOf(ctx context.Context, tenant string) ([]flow.ScheduleHealth, error)
	TenantsOf(ctx context.Context, tenant string) ([]flow.TenantInfo, error)
	ClearOf(ctx context.Context, tenant string) (flow.Cleared, error)
	// Schedule returns one schedule by id; the audit tells what it was before.
	Schedule(ctx context.Context, id string) (flow.ScheduleRecord, error)
	// CreateTokenBy makes a token in the name of a principal.
	CreateTokenBy(ctx context.Context, r flow.TokenRequest, by string) (flow.NewToken, error)
	// Record keeps an entry of the audit. What keeps it from being recorded is told to the operator, not to the caller.
	Record(ctx context.Context, e flow.AuditEntry)
	// Folders are those of the host that no tenant is shown, each before those that hold it.
	Folders(tenant string) []string
}

// Scope returns a host as a principal sees it, who comes from an address, the socket or the program itself. Every write
// is recorded in the audit, also one that is refused.
func Scope(h Host, p flow.Principal, from string) flow.Control {
	s := &scoped{host: h, p: p, from: from}
	if p.Tenant != "" {
		s.folders = h.Folders(p.Tenant)
	}
	return s
}

// scoped implements flow.Control.
type scoped struct {
	host Host
	p    flow.Principal
	from string
	// folders are those that a tenant is not shown.
	folders []string
}

var _ flow.Control = (*scoped)(nil)

// may refuses a verb that the principal's role does not allow, before anything is looked up.
func (s *scoped) may(need flow.Role, verb string) error {
	if s.p.Role.Includes(need) {
		return nil
	}
	return &flow.Error{
		Code: flow.CodeForbidden, Op: verb, Message: fmt.Sprintf("it needs the role %s, and %s has the role %s", need, s.p.Name, s.p.Role),
		Hint: "use a token with that role: uniflow token create NAME --role " + string(need),
	}
}

// read does what a viewer may.
func read[T any](s *scoped, verb string, do func() (T, error)) (T, error) {
	if err := s.may(flow.RoleViewer, verb); err != nil {
		var zero T
		return zero, err
	}
	v, err := do()
	return v, s.shown(err)
}

// own reads an id within the principal's tenant. A foreign one becomes the id of nothing: no name has a "/".
func (s *scoped) own(id string) string {
	if s.p.Tenant == "" {
		return id
	}
	return s.p.Tenant + "/" + s.bare(id)
}

// bare is an id of the principal's tenant without the tenant.
func (s *scoped) bare(id string) string {
	if s.p.Tenant == "" {
		return id
	}
	return strings.TrimPrefix(id, s.p.Tenant+"/")
}

// tenantOf binds a query for a tenant to the principal's own; false means that it can have no answer.
func (s *scoped) tenantOf(asked string) (string, bool) {
	if s.p.Tenant == "" {
		return asked, true
	}
	return s.p.Tenant, asked == "" || asked == s.p.Tenant
}

// noTenant is what naming another tenant is answered with, whether there is one of that name or not.
func (s *scoped) noTenant(asked string) error {
	return &flow.Error{Code: flow.CodeNotFound, Message: fmt.Sprintf("no tenant %.80q", asked), Hint: "there is: " + s.p.Tenant, Err: flow.ErrNotFound}
}
