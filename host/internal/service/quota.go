package service

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/sdk/abi"
)

// Quotas bounds what a tenant uses, over all of its attempts.
type Quotas interface {
	// Egress counts bytes that a tenant sends or receives. What it returns names the quota if that was used up before, and is
	// empty otherwise: the bytes of one message may go beyond it.
	Egress(tenant string, bytes int64) (refusal string, err error)
	// State returns the quota of a tenant, 0 where it has none, and what its pipelines keep beside the given one.
	State(ctx context.Context, tenant, pipeline string) (quota, others flow.Size, err error)
}

const raiseQuota = "ask the operator to raise the quota"

// meter counts the bytes of an attempt that go over the wire.
type meter struct {
	quotas Quotas
	tenant string
	told   func(bytes int64)
}

// pass counts bytes, and refuses them where the quota of the tenant was used up.
func (m *meter) pass(bytes int64) error {
	if m.told != nil {
		m.told(bytes)
	}
	if m.quotas == nil {
		return nil
	}
	refusal, err := m.quotas.Egress(m.tenant, bytes)
	if err != nil {
		return fmt.Errorf("count the traffic: %w", err)
	}
	if refusal != "" {
		return refuse(abi.Quota, refusal, raiseQuota)
	}
	return nil
}

// metered is the body of a response as it comes over the wire.
type metered struct {
	io.ReadCloser

	meter *meter
}

// Read implements io.Reader.
func (r *metered) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if n > 0 {
		if refusal := r.meter.pass(int64(n)); refusal != nil {
			return 0, refusal
		}
	}
	return n, err
}

// headerSize is about what a header takes on the wire.
func headerSize(h http.Header) int64 {
	n := int64(0)
	for name, values := range h {
		for _, value := range values {
			n += int64(len(name) + len(value) + len(": \r\n"))
		}
	}
	return n
}

// stateRoom is what a tenant may keep, and what its other pipelines do.
type stateRoom struct{ quota, others flow.Size }

// stateFits refuses a change by which the state of the tenant would grow beyond its quota.
func (h *host) stateFits(ctx context.Context, key string, value json.RawMessage) error {
	if h.config.Quotas == nil {
		return nil
	}
	tenant := h.attempt.Call.Context.Tenant
	if h.state.room == nil {
		quota, others, err := h.config.Quotas.State(ctx, tenant, h.attempt.Call.Context.Pipeline)
		if err != nil {
			return fmt.Errorf("count the state of the tenant: %w", err)
		}
		h.state.room = &stateRoom{quota, others}
	}
	grows := len(value) - len(h.state.values[key])
	if _, exists := h.state.values[key]; !exists {
		grows += len(key)
	}
	if r := h.state.room; r.quota > 0 && grows > 0 && r.others+flow.Size(h.state.bytes+grows) > r.quota {
		return refuse(abi.Quota, fmt.Sprintf("quota.state of tenant %q is %s, and %s is used", tenant, r.quota, r.others+flow.Size(h.state.bytes)), "delete what is no longer needed, or "+raiseQuota)
	}
	return nil
}
