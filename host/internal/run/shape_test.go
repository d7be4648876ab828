package run

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// Promise: inputs that a plugin does not take never reach it, and outputs that are not what it says are not kept; neither
// is tried again.
func TestShapesOfAPluginHold(t *testing.T) {
	in(t, func(t *testing.T, r *rig) {
		r.config.Misfit = func(schema json.RawMessage, values map[string]json.RawMessage) string {
			if string(values["n"]) == string(schema) {
				return ""
			}
			return "n: it is " + string(values["n"])
		}
		called := 0
		give := func(_ context.Context, call flow.Call, _ flow.HostCalls) (flow.Result, error) {
			called++
			return flow.Result{Outputs: map[string]json.RawMessage{"n": call.Context.With["give"]}}, nil
		}
		r.modules["good"], r.modules["refused"], r.modules["wrong"] = give, give, give
		if _, err := r.run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if called != 2 {
			t.Errorf("%d calls, want 2", called)
		}
		if e := r.ledger.ended("good"); e.Outcome != flow.Succeeded {
			t.Errorf("good: %+v", e.Ending)
		}
		if e := r.ledger.ended("refused"); e.Reason != flow.ReasonInput || e.Message != `with of step "refused": plugin "refused" does not take that: n: it is 1` {
			t.Errorf("refused: %+v", e.Ending)
		}
		if e := r.ledger.ended("wrong"); e.Reason != flow.ReasonOutput || len(e.Outputs) != 0 || r.ledger.count(flow.AttemptStarted, "wrong") != 1 {
			t.Errorf("wrong: %+v", e)
		}
	}, shaped("good", "1", "2"), shaped("refused", "2", "2"), shaped("wrong", "1", "3"))
}

// shaped is a step whose plugin takes and gives n as the two say; it gets 1 and gives 2.
func shaped(name, with, outputs string) flow.PlanStep {
	return flow.PlanStep{
		Name: name, Retry: flow.Retry{Attempts: 3},
		With:  map[string]json.RawMessage{"n": json.RawMessage("1"), "give": json.RawMessage("2")},
		Shape: flow.Shape{With: json.RawMessage(with), Outputs: json.RawMessage(outputs)},
	}
}
