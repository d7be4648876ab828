package host

import (
	"context"

	"github.com/uniflow-dev/uniflow/host/flow"
)

func unfinished(op string) error {
	return &flow.Error{Code: flow.CodeUnsupported, Op: op, Message: "this version does not have it"}
}

// Apply makes what the manifest says now the state that runs, all at once.
func (h *Host) Apply(context.Context, flow.ApplyRequest) (flow.ApplyReport, error) {
	return flow.ApplyReport{}, unfinished("apply")
}

// Deployments lists what was applied, newest first.
func (h *Host) Deployments(context.Context, flow.DeploymentQuery) ([]flow.Deployment, error) {
	return nil, unfinished("list deployments")
}

// Rollback makes an earlier version of a pipeline the one that runs.
func (h *Host) Rollback(context.Context, flow.RollbackRequest) (flow.PipelineInfo, error) {
	return flow.PipelineInfo{}, unfinished("roll back")
}

// RunVersion tells what a run executes, and what has changed since the pipeline's last success before it.
func (h *Host) RunVersion(context.Context, string) (flow.RunVersion, error) {
	return flow.RunVersion{}, unfinished("show the version of a run")
}
