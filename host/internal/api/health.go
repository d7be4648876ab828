package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// registerHealth offers judgements on the host and its schedules, and the targets that hear of them.
func (r routes) registerHealth(a huma.API) {
	get(a, "health", "/v1/health", "Judge the host: open incidents, and messages that do not arrive", func(ctx context.Context, _ *struct{}) (*body[flow.HostHealth], error) {
		return answer(r, ctx, r.of(ctx).Health)
	})
	get(a, "schedule-health", "/v1/health/schedules", "Judge every schedule", func(ctx context.Context, _ *struct{}) (*body[[]flow.ScheduleHealth], error) {
		return answer(r, ctx, r.of(ctx).ScheduleHealth)
	})
	get(a, "list-alerts", "/v1/alerts", "List the targets of messages", func(ctx context.Context, _ *struct{}) (*body[[]flow.AlertInfo], error) {
		return answer(r, ctx, r.of(ctx).Alerts)
	})
	post(a, "test-alert", "/v1/alerts/{id}/test", "Send a test message to a target", func(ctx context.Context, in *ByName) (*body[flow.AlertTest], error) {
		return answerOne(r, ctx, r.of(ctx).TestAlert, in.ID)
	})
}

// Health implements flow.Control.
func (c *Client) Health(ctx context.Context) (flow.HostHealth, error) {
	return call[flow.HostHealth](ctx, c, http.MethodGet, "/v1/health", nil, nil)
}

// ScheduleHealth implements flow.Control.
func (c *Client) ScheduleHealth(ctx context.Context) ([]flow.ScheduleHealth, error) {
	return call[[]flow.ScheduleHealth](ctx, c, http.MethodGet, "/v1/health/schedules", nil, nil)
}

// Alerts implements flow.Control.
func (c *Client) Alerts(ctx context.Context) ([]flow.AlertInfo, error) {
	return call[[]flow.AlertInfo](ctx, c, http.MethodGet, "/v1/alerts", nil, nil)
}

// TestAlert implements flow.Control.
func (c *Client) TestAlert(ctx context.Context, name string) (flow.AlertTest, error) {
	return call[flow.AlertTest](ctx, c, http.MethodPost, "/v1/alerts/"+seg(name)+"/test", nil, nil)
}
