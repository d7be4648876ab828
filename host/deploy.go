package host

import (
	"context"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// Deployments lists what was applied, newest first.
func (h *Host) Deployments(ctx context.Context, q flow.DeploymentQuery) ([]flow.Deployment, error) {
	found, err := h.store.Deployments(ctx, q)
	if found == nil {
		found = []flow.Deployment{}
	}
	return found, err
}
