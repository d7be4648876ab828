package run

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

func TestStopNamesTheLimitItsValueAndWhereItWasSet(t *testing.T) {
	t.Parallel()
	limits := flow.Limits{Memory: 64 * flow.MiB, Output: flow.MiB, Artifacts: 5 * flow.MiB, Fuel: 1000}
	for name, test := range map[string]struct {
		fault flow.Fault
		want  string
	}{
		"memory":    {flow.Fault{Reason: flow.ReasonMemory, Message: "full", Hint: "raise limits.memory of the step"}, "full; limits.memory is 64MiB, the default; raise limits.memory of the step"},
		"fuel":      {flow.Fault{Reason: flow.ReasonFuel, Message: "limits.fuel is used up"}, "limits.fuel is used up; limits.fuel is 1000, set by [defaults]"},
		"artifacts": {flow.Fault{Reason: flow.ReasonOutputLimit, Message: "over limits.artifacts"}, "over limits.artifacts; limits.artifacts is 5MiB, set by [pipelines.p.steps.a]"},
		"output":    {flow.Fault{Reason: flow.ReasonOutputLimit, Message: "over limits.output"}, "over limits.output; limits.output is 1MiB, the default"},
		"no limit":  {flow.Fault{Reason: flow.ReasonOutputLimit, Message: "a message of 20 MiB"}, "a message of 20 MiB"},
		"a trap":    {flow.Fault{Reason: flow.ReasonTrap, Message: "the guest said: limits.memory"}, "the guest said: limits.memory"},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T, r *rig) {
				r.modules["a"] = func(context.Context, flow.Call, flow.HostCalls) (flow.Result, error) {
					return flow.Result{}, &test.fault
				}
				r.want(flow.Failed, flow.ReasonStep)
				if got := r.ledger.ended("a").Message; got != test.want {
					t.Errorf("message %q, want %q", got, test.want)
				}
			}, flow.PlanStep{Name: "a", Limits: limits, SetBy: map[string]string{"fuel": "[defaults]", "artifacts": "[pipelines.p.steps.a]"}})
		})
	}
}

func TestTimeoutsSayWhereTheyWereSet(t *testing.T) {
	in(t, func(t *testing.T, r *rig) {
		r.modules["a"] = lasts(time.Hour)
		r.want(flow.Failed, flow.ReasonStep)
		if got := r.ledger.ended("a").Message; !strings.Contains(got, "10m, its timeout.step, set by [pipelines.p]") {
			t.Errorf("message %q", got)
		}
	}, flow.PlanStep{Name: "a", SetBy: map[string]string{"timeout": "[pipelines.p]"}})
}

func TestUsageHoldsWhatWasKept(t *testing.T) {
	in(t, func(t *testing.T, r *rig) {
		r.modules["a"] = func(ctx context.Context, _ flow.Call, host flow.HostCalls) (flow.Result, error) {
			host.Log(flow.LogInfo, "twelve bytes")
			_, err := host.Artifact(ctx, "seven", "", strings.NewReader("seven b"))
			return flow.Result{Outputs: outputsOf(`{"n": 2, "text": "four"}`), Usage: flow.Usage{Fuel: 7}}, err
		}
		r.want(flow.Succeeded, "")
		for _, e := range r.ledger.events {
			if e.Kind == flow.AttemptEnded {
				if want := (flow.Usage{Fuel: 7, Log: 12, Artifacts: 7, Output: 7}); *e.Usage != want {
					t.Errorf("usage %+v, want %+v", *e.Usage, want)
				}
			}
		}
	}, flow.PlanStep{Name: "a"})
}
