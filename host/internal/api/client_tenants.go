package api

import (
	"context"
	"net/http"
	"strconv"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// Apply implements flow.Control.
func (c *Client) Apply(ctx context.Context, r flow.ApplyRequest) (flow.ApplyReport, error) {
	return call[flow.ApplyReport](ctx, c, http.MethodPost, "/v1/deployments", nil, r)
}

// Deployments implements flow.Control.
func (c *Client) Deployments(ctx context.Context, q flow.DeploymentQuery) ([]flow.Deployment, error) {
	query := values("tenant", q.Tenant, "pipeline", q.Pipeline, "before", strconv.FormatInt(q.Before, 10), "limit", strconv.Itoa(q.Limit))
	return call[[]flow.Deployment](ctx, c, http.MethodGet, "/v1/deployments", query, nil)
}

// Rollback implements flow.Control.
func (c *Client) Rollback(ctx context.Context, r flow.RollbackRequest) (flow.PipelineInfo, error) {
	return call[flow.PipelineInfo](ctx, c, http.MethodPost, "/v1/rollbacks", nil, r)
}

// RunVersion implements flow.Control.
func (c *Client) RunVersion(ctx context.Context, name string) (flow.RunVersion, error) {
	return call[flow.RunVersion](ctx, c, http.MethodGet, "/v1/runs/"+seg(name)+"/version", nil, nil)
}

// Tenants implements flow.Control.
func (c *Client) Tenants(ctx context.Context) ([]flow.TenantInfo, error) {
	return call[[]flow.TenantInfo](ctx, c, http.MethodGet, "/v1/tenants", nil, nil)
}

// Tokens implements flow.Control.
func (c *Client) Tokens(ctx context.Context) ([]flow.Token, error) {
	return call[[]flow.Token](ctx, c, http.MethodGet, "/v1/tokens", nil, nil)
}

// CreateToken implements flow.Control.
func (c *Client) CreateToken(ctx context.Context, r flow.TokenRequest) (flow.NewToken, error) {
	return call[flow.NewToken](ctx, c, http.MethodPost, "/v1/tokens", nil, r)
}

// RevokeToken implements flow.Control.
func (c *Client) RevokeToken(ctx context.Context, name string) error {
	return c.do(ctx, http.MethodDelete, "/v1/tokens/"+seg(name), nil, nil, nil)
}

// Audit implements flow.Control.
func (c *Client) Audit(ctx context.Context, q flow.AuditQuery) ([]flow.AuditEntry, error) {
	query := values("tenant", q.Tenant, "by", q.By, "verb", q.Verb, "target", q.Target, "since", instant(q.Since), "before", strconv.FormatInt(q.Before, 10), "limit", strconv.Itoa(q.Limit))
	return call[[]flow.AuditEntry](ctx, c, http.MethodGet, "/v1/audit", query, nil)
}
