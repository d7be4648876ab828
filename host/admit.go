package host

import (
	"fmt"
	"slices"
	"strings"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/plan"
)

// admit says why a run of a tenant that has waited may not be executed any more: its version is beyond what the operator
// allows by now.
func (h *Host) admit(p *flow.Plan) string {
	current := h.current()
	if p.Tenant == "" || p.Tenant == flow.DefaultTenant || current == nil {
		return ""
	}
	t := current.Tenant(p.Tenant)
	if t == nil {
		return fmt.Sprintf("the operator's manifest has no tenant %q any more", p.Tenant)
	}
	if e := h.entry(p.ID()); e != nil && e.plan.Digest == p.Digest {
		return "" // it was looked at when it was applied
	}
	beyond := slices.Concat(plan.Exceeds(p, &t.Settings.Ceiling, t.Dir), plan.Distrusted(p, t.Settings.Keys, false))
	if len(beyond) == 0 {
		return ""
	}
	return "its version is beyond what the operator allows: " + strings.Join(beyond, "; ")
}
