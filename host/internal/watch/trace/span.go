package trace

import (
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	api "go.opentelemetry.io/otel/trace"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// resourceOf says who sends; OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win.
func resourceOf(ctx context.Context, version string) (*resource.Resource, error) {
	r, err := resource.New(ctx,
		resource.WithAttributes(attribute.String("service.name", "uniflow"), attribute.String("service.version", version)),
		resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("read OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	return r, nil
}

// at is a span's place in a trace.
func at(run flow.RunID, step string, item *int, attempt int) api.SpanContext {
	return api.NewSpanContext(api.SpanContextConfig{TraceID: flow.TraceID(run), SpanID: flow.SpanID(run, step, item, attempt), TraceFlags: api.FlagsSampled})
}

// span is what all spans share.
func (t *Tracer) span(name string, place, parent api.SpanContext, begun, ended time.Time, attributes ...attribute.KeyValue) tracetest.SpanStub {
	if ended.Before(begun) {
		ended = begun
	}
	return tracetest.SpanStub{
		Name: name, SpanContext: place, Parent: parent, SpanKind: api.SpanKindInternal, StartTime: begun, EndTime: ended,
		Attributes: attributes, Resource: t.resource, InstrumentationScope: instrumentation.Scope{Name: "uniflow", Version: t.config.Version},
	}
}

// ending says how something ended. What a plugin said of it stays in the ledger.
func ending(s *tracetest.SpanStub, e flow.Ending) {
	s.Attributes = append(s.Attributes, attribute.String("uniflow.outcome", string(e.Outcome)))
	if e.Reason != "" {
		s.Attributes = append(s.Attributes, attribute.String("uniflow.reason", string(e.Reason)))
	}
	if e.Outcome == flow.Failed {
		s.Status = sdk.Status{Code: codes.Error, Description: string(e.Reason)}
	}
}

// runSpans are the spans of a run that has ended, its own first.
func (t *Tracer) runSpans(r *flow.RunRecord) []tracetest.SpanStub {
	begun, ended := r.QueuedAt, r.QueuedAt
	if r.StartedAt != nil {
		begun = *r.StartedAt
	}
	if r.EndedAt != nil {
		ended = *r.EndedAt
	}
	root := t.span("run "+r.Pipeline, at(r.ID, "", nil, 0), api.SpanContext{}, begun, ended,
		attribute.String("uniflow.tenant", r.Tenant), attribute.String("uniflow.pipeline", r.Pipeline), attribute.String("uniflow.run", string(r.ID)),
		attribute.String("uniflow.version", string(r.Version)), attribute.String("uniflow.trigger", string(r.Trigger.Kind)),
		attribute.Float64("uniflow.queued_seconds", max(0, begun.Sub(r.QueuedAt).Seconds())))
	if r.Trigger.Schedule != "" {
		root.Attributes = append(root.Attributes, attribute.String("uniflow.schedule", r.Trigger.Schedule),
			attribute.String("uniflow.scheduled_at", r.Trigger.ScheduledAt.UTC().Format(time.RFC3339Nano)))
	}
	if of := r.Trigger.Of; of != "" {
		root.Links = append(root.Links, sdk.Link{SpanContext: at(of, "", nil, 0)})
	}
	ending(&root, r.Ending)
	spans := []tracetest.SpanStub{root}
	for i := range r.Steps {
		spans = append(spans, t.stepSpans(r, &r.Steps[i], ended)...)
	}
	return spans
}

// stepSpans are the spans of a step and its attempts. One that was never tried has a span of no length.
func (t *Tracer) stepSpans(r *flow.RunRecord, s *flow.StepRecord, over time.Time) []tracetest.SpanStub {
	ended := over
	if s.EndedAt != nil {
		ended = *s.EndedAt
	}
	begun := ended
	if s.StartedAt != nil {
		begun = *s.StartedAt
	}
	step := t.span("step "+s.Name, at(r.ID, s.Name, nil, 0), at(r.ID, "", nil, 0), begun, ended,
		attribute.String("uniflow.tenant", r.Tenant), attribute.String("uniflow.step", s.Name))
	if s.Reused != "" {
		step.Attributes = append(step.Attributes, attribute.String("uniflow.reused", string(s.Reused)))
		step.Links = append(step.Links, sdk.Link{SpanContext: at(s.Reused, s.Name, nil, 0)})
	}
	ending(&step, s.Ending)
	spans := []tracetest.SpanStub{step}
	for i := range s.Attempts {
		spans = append(spans, t.attemptSpan(r, s.Name, &s.Attempts[i], ended))
	}
	return spans
}

func (t *Tracer) attemptSpan(r *flow.RunRecord, step string, a *flow.AttemptRecord, over time.Time) tracetest.SpanStub {
	if a.EndedAt != nil {
		over = *a.EndedAt
	}
	span := t.span(fmt.Sprintf("attempt %s #%d", step, a.Attempt), at(r.ID, step, a.Item, a.Attempt), at(r.ID, step, nil, 0), a.StartedAt, over,
		attribute.String("uniflow.tenant", r.Tenant), attribute.String("uniflow.step", step), attribute.Int("uniflow.attempt", a.Attempt))
	if a.Item != nil {
		span.Attributes = append(span.Attributes, attribute.Int("uniflow.item", *a.Item))
	}
	for name, n := range map[string]int64{"fuel": a.Usage.Fuel, "memory": int64(a.Usage.Memory), "host_calls": a.Usage.HostCalls} {
		if n > 0 {
			span.Attributes = append(span.Attributes, attribute.Int64("uniflow."+name, n))
		}
	}
	ending(&span, a.Ending)
	return span
}

// callSpan is the span of a call to the host. It has an id of its own by when it began.
func (t *Tracer) callSpan(c *flow.HostCall) tracetest.SpanStub {
	place := api.NewSpanContext(api.SpanContextConfig{
		TraceID: flow.TraceID(c.Run), TraceFlags: api.FlagsSampled,
		SpanID: flow.SpanID(c.Run, fmt.Sprint(c.Step, "\x00", c.Op, c.Begun.UnixNano(), "\x00", c.Number), c.Item, c.Attempt),
	})
	span := t.span(c.Op, place, at(c.Run, c.Step, c.Item, c.Attempt), c.Begun, c.Begun.Add(c.Took),
		attribute.String("uniflow.tenant", c.Tenant), attribute.Int("uniflow.sent_bytes", c.Sent), attribute.Int("uniflow.received_bytes", c.Received))
	if c.Server != "" {
		span.SpanKind = api.SpanKindClient
		span.Attributes = append(span.Attributes, attribute.String("server.address", c.Server), attribute.String("http.request.method", c.Method))
	}
	if c.Status != 0 {
		span.Attributes = append(span.Attributes, attribute.Int("http.response.status_code", c.Status))
	}
	if c.Code != "" {
		span.Attributes = append(span.Attributes, attribute.String("error.type", c.Code))
		span.Status = sdk.Status{Code: codes.Error, Description: c.Code}
	}
	return span
}
