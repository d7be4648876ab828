package run

import (
	"context"
	"encoding/json"
	"slices"
	"testing"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// taken is a step that a rerun has taken over.
func taken(name string, outputs string) flow.StepRecord {
	return flow.StepRecord{Name: name, State: flow.StateEnded, Reused: "01OLD", Ending: flow.Ending{Outcome: flow.Succeeded}, Outputs: outputsOf(outputs)}
}

func TestReusedStepsAreNotCalledAndTheirOutputsAreThere(t *testing.T) {
	in(t, func(t *testing.T, r *rig) {
		list := taken("each", `{}`)
		list.Outputs, list.List = nil, []json.RawMessage{json.RawMessage(`{"file": {"$artifact": "sha256:listed"}}`)}
		r.claimed.Steps = []flow.StepRecord{taken("a", `{"n": 7, "file": {"$artifact": "sha256:named"}}`), list}
		var call flow.Call
		r.modules["sum"] = func(ctx context.Context, c flow.Call, h flow.HostCalls) (flow.Result, error) {
			call = c
			for _, name := range []flow.Digest{"sha256:named", "sha256:listed"} {
				if _, err := h.Open(ctx, flow.ArtifactRef{Digest: name}); err != nil {
					t.Errorf("artifact %s of a reused output: %v", name, err)
				}
			}
			return flow.Result{Outputs: c.Context.With}, nil
		}
		r.want(flow.Succeeded, "")
		if got := string(call.Context.With["n"]); got != "7" {
			t.Errorf("n is %s", got)
		}
		for _, name := range []string{"a", "each"} {
			if n := r.ledger.count(flow.AttemptStarted, name) + r.ledger.count(flow.StepEnded, name); n != 0 {
				t.Errorf("%d events of the reused step %s", n, name)
			}
		}
		r.steps(map[string]string{"sum": "succeeded", "hook": "succeeded"})
	}, flow.PlanStep{Name: "a"}, flow.PlanStep{Name: "each", Needs: []string{"a"}, Each: "${steps.a.none}"},
		flow.PlanStep{Name: "sum", Needs: []string{"a", "each"}, With: outputsOf(`{"n": "${steps.a.n}", "files": "${steps.each}", "file": "${steps.a.file}"}`)},
		flow.PlanStep{Name: "hook", On: flow.OnAlways})
}

// A rerun is a run: the pipeline's condition decides about it, whatever it has taken over; and not again when it is
// resumed after a crash.
func TestConditionOfARerun(t *testing.T) {
	t.Parallel()
	now := outputsOf(`{"go": false}`)
	for name, want := range map[string]flow.Outcome{"first start": flow.Skipped, "resumed": flow.Succeeded} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T, r *rig) {
				r.plan.When, r.claimed.Run.Context = "context.go", now
				r.claimed.Steps = []flow.StepRecord{taken("a", `{}`)}
				if want == flow.Succeeded {
					r.claimed.Claim.Epoch = 2
					r.claimed.Steps = append(r.claimed.Steps, flow.StepRecord{Name: "b", State: flow.StateRunning, Attempts: []flow.AttemptRecord{{Attempt: 1}}})
				}
				ending, err := r.run(t.Context())
				if err != nil || ending.Outcome != want {
					t.Errorf("ended %+v, %v; want %s", ending, err, want)
				}
			}, flow.PlanStep{Name: "a"}, flow.PlanStep{Name: "b", Needs: []string{"a"}})
		})
	}
}

func TestStepsThatWereNotAskedForStaySkipped(t *testing.T) {
	in(t, func(t *testing.T, r *rig) {
		left := flow.StepRecord{Name: "c", State: flow.StateEnded, Ending: flow.Ending{Outcome: flow.Skipped, Reason: flow.ReasonRequest}}
		r.claimed.Steps = []flow.StepRecord{taken("a", `{}`), left}
		r.want(flow.Succeeded, "")
		var called []string
		for _, e := range r.ledger.events {
			if e.Kind == flow.AttemptStarted {
				called = append(called, e.Step)
			}
		}
		if !slices.Equal(called, []string{"b"}) {
			t.Errorf("called %v", called)
		}
	}, flow.PlanStep{Name: "a"}, flow.PlanStep{Name: "b", Needs: []string{"a"}}, flow.PlanStep{Name: "c", Needs: []string{"b"}})
}
