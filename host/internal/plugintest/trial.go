package plugintest

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/plugintest/guest"
)

// testCase is one promise of the seam.
type testCase struct {
	behaviour Behaviour
	name      string
	run       func(t *testing.T, x *trial)
}

// trial is one case of one subject.
type trial struct {
	Subject

	behaviour Behaviour
}

// NewCall returns a call whose run context is complete; with tells a guest what to do.
func NewCall(tb testing.TB, with guest.With) flow.Call {
	tb.Helper()
	doc, err := json.Marshal(with)
	if err != nil {
		tb.Fatal(err)
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(doc, &members); err != nil {
		tb.Fatal(err)
	}
	slot := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	return flow.Call{
		Context: flow.RunContext{
			ABI: flow.RunContextABI, Tenant: flow.DefaultTenant, Pipeline: "weather", Version: flow.DigestOf([]byte("plan")),
			RunID: flow.SlotRunID(flow.DefaultTenant, "weather", "weather", slot), Step: "summarise", Attempt: 1, MaxAttempts: 3,
			IdempotencyKey: "key", Trigger: flow.TriggerSchedule, Schedule: "weather", ScheduledAt: slot, StartedAt: slot,
			Deadline: slot.Add(time.Minute), Context: map[string]json.RawMessage{"station": json.RawMessage(`"seattle"`)},
			With: members, Features: []string{},
		},
		Limits: flow.Limits{Memory: 64 * flow.MiB, Output: flow.MiB, Log: flow.MiB, Artifacts: flow.MiB},
		Grace:  flow.Duration(2 * time.Second),
	}
}

// load loads the plugin that has the case's behaviour.
func (x *trial) load(t *testing.T) flow.Module {
	t.Helper()
	m, err := x.Runtime.Load(t.Context(), x.Plugin(x.behaviour))
	if err != nil {
		t.Fatalf("load: %v", err)
	}
	return m
}

// call executes one attempt; with.Behaviour is filled in.
func (x *trial) call(t *testing.T, with guest.With) (flow.Result, *Host, error) {
	t.Helper()
	module := x.load(t) // compiling takes no time of the call
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	host := NewHost(ctx)
	result, err := module.Call(ctx, x.newCall(t, with), host)
	return result, host, err
}

func (x *trial) newCall(t *testing.T, with guest.With) flow.Call {
	t.Helper()
	with.Behaviour = string(x.behaviour)
	return NewCall(t, with)
}

// succeed executes an attempt that must succeed.
func (x *trial) succeed(t *testing.T, with guest.With) (flow.Result, *Host) {
	t.Helper()
	result, host, err := x.call(t, with)
	if err != nil {
		t.Fatalf("call: %v\nlog: %v", err, host.Lines())
	}
	if result.Verdict != flow.VerdictOK {
		t.Fatalf("verdict %d %q, want ok\nlog: %v", result.Verdict, result.Message, host.Lines())
	}
	return result, host
}

// cut executes an attempt that is ended by end after the guest has started, and returns its fault. end may be nil when
// ctx ends by itself.
func (x *trial) cut(t *testing.T, ctx context.Context, call flow.Call, host *Host, end func()) *flow.Fault {
	t.Helper()
	module := x.load(t)
	done := make(chan error, 1)
	go func() {
		_, err := module.Call(ctx, call, host)
		done <- err
	}()
	if end != nil {
		end()
	}
	<-ctx.Done()
	slack := x.Slack.Std()
	if slack == 0 {
		slack = 5 * time.Second
	}
	select {
	case err := <-done:
		return wantFault(t, err)
	case <-time.After(call.Grace.Std() + slack):
		t.Fatalf("the call did not return within grace and %s after the end of ctx", slack)
		return nil
	}
}

func wantFault(t *testing.T, err error, reasons ...flow.Reason) *flow.Fault {
	t.Helper()
	fault, ok := errors.AsType[*flow.Fault](err)
	if !ok {
		t.Fatalf("error %v, want a *flow.Fault", err)
	}
	if fault.Message == "" {
		t.Error("the fault has no message")
	}
	if len(reasons) > 0 && !slices.Contains(reasons, fault.Reason) {
		t.Errorf("reason %q (%s), want one of %q", fault.Reason, fault.Message, reasons)
	}
	return fault
}

func wantJSON(t *testing.T, outputs map[string]json.RawMessage, name, want string) {
	t.Helper()
	if got := string(outputs[name]); got != want {
		t.Errorf("output %s = %s, want %s", name, got, want)
	}
}
