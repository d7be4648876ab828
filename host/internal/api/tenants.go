package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/uniflow-dev/uniflow/host/flow"
)

func (r routes) registerDeployments(a huma.API) {
	post(a, "apply", "/v1/deployments", "Make what the manifest says now the state that runs, or say what would change", func(ctx context.Context, in *struct{ Body flow.ApplyRequest }) (*body[flow.ApplyReport], error) {
		return answerOne(r, ctx, r.of(ctx).Apply, in.Body)
	})
	type list struct {
		Tenant   string `query:"tenant"`
		Pipeline string `query:"pipeline" doc:"Deployments that changed the version of this pipeline"`
		Before   int64  `query:"before" minimum:"0" doc:"The seq of the last deployment of the page before"`
		Limit    int    `query:"limit" default:"50" minimum:"1" maximum:"1000"`
	}
	get(a, "list-deployments", "/v1/deployments", "List what was applied, newest first", func(ctx context.Context, in *list) (*body[[]flow.Deployment], error) {
		return answerAll(r, ctx, r.of(ctx).Deployments, flow.DeploymentQuery{Tenant: in.Tenant, Pipeline: in.Pipeline, Before: in.Before, Limit: in.Limit})
	})
	post(a, "rollback", "/v1/rollbacks", "Make an earlier version of a pipeline the one that runs", func(ctx context.Context, in *struct{ Body flow.RollbackRequest }) (*body[flow.PipelineInfo], error) {
		return answerOne(r, ctx, r.of(ctx).Rollback, in.Body)
	})
	get(a, "show-run-version", "/v1/runs/{id}/version", "What a run executes, and what has changed since the last success", func(ctx context.Context, in *ByName) (*body[flow.RunVersion], error) {
		return answerOne(r, ctx, r.of(ctx).RunVersion, in.ID)
	})
}

func (r routes) registerTenants(a huma.API) {
	get(a, "list-tenants", "/v1/tenants", "List tenants with their ceilings, quotas and what they use", func(ctx context.Context, _ *struct{}) (*body[[]flow.TenantInfo], error) {
		return answer(r, ctx, r.of(ctx).Tenants)
	})
	get(a, "list-tokens", "/v1/tokens", "List tokens", func(ctx context.Context, _ *struct{}) (*body[[]flow.Token], error) {
		return answer(r, ctx, r.of(ctx).Tokens)
	})
	post(a, "create-token", "/v1/tokens", "Make a token; its secret is in this answer and nowhere else", func(ctx context.Context, in *struct{ Body flow.TokenRequest }) (*body[flow.NewToken], error) {
		return answerOne(r, ctx, r.of(ctx).CreateToken, in.Body)
	})
	register(a, http.MethodDelete, "revoke-token", "/v1/tokens/{id}", "End a token, and all that it has under way", func(ctx context.Context, in *ByName) (*struct{}, error) {
		return nil, r.problem(r.of(ctx).RevokeToken(ctx, in.ID))
	})
	type audit struct {
		Tenant string    `query:"tenant"`
		By     string    `query:"by"`
		Verb   string    `query:"verb"`
		Target string    `query:"target"`
		Since  time.Time `query:"since"`
		Before int64     `query:"before" minimum:"0" doc:"The seq of the last entry of the page before"`
		Limit  int       `query:"limit" default:"50" minimum:"1" maximum:"1000"`
	}
	get(a, "list-audit", "/v1/audit", "List writes, newest first", func(ctx context.Context, in *audit) (*body[[]flow.AuditEntry], error) {
		return answerAll(r, ctx, r.of(ctx).Audit, flow.AuditQuery{Tenant: in.Tenant, By: in.By, Verb: in.Verb, Target: in.Target, Since: in.Since, Before: in.Before, Limit: in.Limit})
	})
}
