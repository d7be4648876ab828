package service_test

import (
	"context"
	"encoding/json"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/sdk/abi"
)

// quotas bounds the one tenant of a test.
type quotas struct {
	egress, most  atomic.Int64
	state, others flow.Size
}

func (q *quotas) Egress(_ string, bytes int64) (string, error) {
	if used := q.egress.Add(bytes) - bytes; used >= q.most.Load() {
		return "quota.egress_per_day is used up", nil
	}
	return "", nil
}

func (q *quotas) State(context.Context, string, string) (quota, others flow.Size, err error) {
	return q.state, q.others, nil
}

// What goes over the wire is counted, headers and all and before it is unzipped; once the quota is used up, what comes is
// cut short, and no request leaves the host.
func TestTrafficOfATenantIsBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	q := &quotas{}
	q.most.Store(64 << 10)
	w.quotas = q
	a := w.guestOf(t, granted("* http://api.example.com/*"), flow.Limits{Artifacts: 64 * flow.MiB})
	if _, err := a.get(t, `{"method":"POST","url":"http://api.example.com/sink"}`, make([]byte, 10_000)...); err != nil {
		t.Fatal(err)
	}
	if n := w.passed.Load(); n < 10_000 || n > 11_000 || q.egress.Load() != n {
		t.Errorf("counted %d and %d bytes of a request of 10,000", n, q.egress.Load())
	}
	seen := len(w.seen)
	for _, path := range []string{"/size?n=1000000", "/bomb"} {
		q.egress.Store(0)
		if _, err := a.get(t, `{"url":"http://api.example.com`+path+`","artifact":"x"}`); errnoOf(t, err) != abi.Quota || !strings.Contains(err.Error(), "quota.egress_per_day") {
			t.Errorf("%s: %v", path, err)
		}
		if n := q.egress.Load(); n < 64<<10 || n > 128<<10 {
			t.Errorf("%s: %d bytes came in, want little more than 64KiB", path, n)
		}
	}
	if _, err := a.get(t, `{"url":"http://api.example.com/status"}`); errnoOf(t, err) != abi.Quota || len(w.seen) != seen+2 {
		t.Errorf("after it was used up: %v, %d requests", err, len(w.seen)-seen)
	}
}

// The state of all pipelines of a tenant is bounded together; what shrinks it is taken.
func TestStateOfATenantIsBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.quotas = &quotas{state: 100, others: 60}
	a := w.guestOf(t, flow.PlanPlugin{Name: "p", Grant: flow.Grant{State: true}}, flow.Limits{})
	set := func(key string, size int) error {
		doc, err := json.Marshal(map[string]string{"key": key, "value": strings.Repeat("x", size-2)})
		if err != nil {
			t.Fatal(err)
		}
		_, err = a.Call(t.Context(), abi.OpStateSet, doc, nil)
		return err
	}
	if err := set("a", 39); err != nil {
		t.Errorf("40 bytes of 40: %v", err)
	}
	for _, key := range []string{"a", "b"} {
		if err := set(key, 40); errnoOf(t, err) != abi.Quota || !strings.Contains(err.Error(), "is 100B, and 100B is used") {
			t.Errorf("beyond the quota at %s: %v", key, err)
		}
	}
	if err := set("a", 20); err != nil {
		t.Errorf("less than before: %v", err)
	}
	if err := set("b", 10); err != nil {
		t.Errorf("what there is room for: %v", err)
	}
}

// A store that is full for the tenant says so to the guest.
func TestArtifactsOfATenantAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.store.full = &flow.Error{Code: flow.CodeQuota, Op: "put artifact", Message: "quota.artifacts is used up", Hint: "wait"}
	a := w.guestOf(t, flow.PlanPlugin{}, flow.Limits{})
	if _, err := a.Call(t.Context(), abi.OpArtifactPut, []byte(`{"name":"x"}`), []byte("x")); errnoOf(t, err) != abi.Quota || !strings.Contains(err.Error(), "quota.artifacts") {
		t.Errorf("got %v", err)
	}
}
