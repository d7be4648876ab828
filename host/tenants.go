package host

import (
	"context"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// Tenants lists the tenants by name, the default one first, with what they use.
func (h *Host) Tenants(context.Context) ([]flow.TenantInfo, error) {
	return nil, unfinished("list tenants")
}
