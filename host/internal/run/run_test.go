package run

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

func TestStepsGoByNeeds(t *testing.T) {
	in(t, func(t *testing.T, r *rig) {
		began := time.Now()
		r.want(flow.Succeeded, "")
		if took := time.Since(began); took != 3*time.Minute {
			t.Errorf("took %s; want 3m: a and b side by side, c, then d", took)
		}
		order := []string{}
		for _, e := range r.ledger.events {
			if e.Kind == flow.StepEnded {
				order = append(order, e.Step)
			}
		}
		slices.Sort(order[:2])
		if !slices.Equal(order, []string{"a", "b", "c", "d"}) {
			t.Errorf("order %v", order)
		}
	}, flow.PlanStep{Name: "a"}, flow.PlanStep{Name: "b"}, flow.PlanStep{Name: "c", Needs: []string{"a", "b"}}, flow.PlanStep{Name: "d", Needs: []string{"c"}})
}

func TestParallelStepsAreBoundedOverAllRuns(t *testing.T) {
	in(t, func(t *testing.T, r *rig) {
		r.config.Turns = NewTurns(2, nil)
		began := time.Now()
		r.want(flow.Succeeded, "")
		if took := time.Since(began); took != 2*time.Minute || r.config.Turns.executing+r.config.Turns.ahead != 0 {
			t.Errorf("took %s, %d places held; want 2m and none", took, r.config.Turns.executing+r.config.Turns.ahead)
		}
	}, flow.PlanStep{Name: "a"}, flow.PlanStep{Name: "b"}, flow.PlanStep{Name: "c"})
}

func TestOutputsReachLaterSteps(t *testing.T) {
	in(t, func(t *testing.T, r *rig) {
		r.claimed.Run.Context = outputsOf(`{"station": "seattle"}`)
		r.modules["a"] = says(flow.Result{Outputs: outputsOf(`{"n": 12345678901234567890, "rows": [1, 2]}`)})
		var call flow.Call
		r.modules["b"] = func(_ context.Context, c flow.Call, _ flow.HostCalls) (flow.Result, error) {
			call = c
			return flow.Result{}, nil
		}
		r.want(flow.Succeeded, "")
		with, err := json.Marshal(call.Context.With)
		if err != nil {
			t.Fatal(err)
		}
		if want := `{"last":2,"n":12345678901234567890,"text":"at seattle"}`; string(with) != want {
			t.Errorf("with %s, want %s", with, want)
		}
		c := call.Context
		if c.Step != "b" || c.Attempt != 1 || c.MaxAttempts != 1 || c.RunID != "01RUN" || len(c.IdempotencyKey) != 32 || c.ABI != flow.RunContextABI {
			t.Errorf("context %+v", c)
		}
		if got := time.Until(c.Deadline); got != 10*time.Minute {
			t.Errorf("deadline in %s", got)
		}
		if !slices.Equal(call.Args, []string{"--n=12345678901234567890"}) || string(call.Stdin) != "[1, 2]" && string(call.Stdin) != "[1,2]" {
			t.Errorf("args %q, stdin %s", call.Args, call.Stdin)
		}
		if got := string(r.ledger.ended("a").Outputs["n"]); got != "12345678901234567890" {
			t.Errorf("recorded n = %s", got)
		}
	}, flow.PlanStep{Name: "a"}, flow.PlanStep{
		Name: "b", Needs: []string{"a"}, Args: []string{"--n=${steps.a.n}"}, Stdin: "${steps.a.rows}",
		With: outputsOf(`{"n": "${steps.a.n}", "last": "${steps.a.rows[1]}", "text": "at ${context.station}"}`),
	})
}

func TestInputOfAStep(t *testing.T) {
	in(t, func(t *testing.T, r *rig) {
		r.modules["a"] = says(flow.Result{Outputs: outputsOf(`{"text": "grüße", "n": 12345678901234567890}`)})
		given := map[string]string{}
		var mu sync.Mutex
		for _, name := range []string{"b", "c", "d"} {
			r.modules[name] = func(_ context.Context, c flow.Call, _ flow.HostCalls) (flow.Result, error) {
				mu.Lock()
				defer mu.Unlock()
				given[name] = string(c.Stdin)
				return flow.Result{}, nil
			}
		}
		r.want(flow.Succeeded, "")
		want := map[string]string{"b": `"grüße"`, "c": `"it is 12345678901234567890"`, "d": `{"n":12345678901234567890}`}
		if !maps.Equal(given, want) {
			t.Errorf("given %q, want %q", given, want)
		}
	}, flow.PlanStep{Name: "a"},
		flow.PlanStep{Name: "b", Needs: []string{"a"}, Input: "${steps.a.text}"},
		flow.PlanStep{Name: "c", Needs: []string{"a"}, Input: "it is ${steps.a.n}"},
		flow.PlanStep{Name: "d", Needs: []string{"a"}, Input: flow.InputWith, With: outputsOf(`{"n": "${steps.a.n}"}`)})
}

func TestConditionOfTheRun(t *testing.T) {
	t.Parallel()
	tests := []struct {
		when    string
		outcome flow.Outcome
		reason  flow.Reason
	}{
		{"context.year > 2000.0", flow.Succeeded, ""},
		{"context.year > 2020.0", flow.Skipped, flow.ReasonCondition},
		{"context.month > 1.0", flow.Failed, flow.ReasonExpression},
		{"context.year +", flow.Failed, flow.ReasonExpression},
	}
	for _, test := range tests {
		t.Run(test.when, func(t *testing.T) {
			in(t, func(t *testing.T, r *rig) {
				r.plan.When = test.when
				r.claimed.Run.Context = outputsOf(`{"year": 2015}`)
				r.want(test.outcome, test.reason)
				if ran := len(r.ledger.events) > 0; ran != (test.outcome == flow.Succeeded) {
					t.Errorf("events %v", r.ledger.texts)
				}
			}, flow.PlanStep{Name: "a"})
		})
	}
}

func TestConditionOfAStep(t *testing.T) {
	in(t, func(t *testing.T, r *rig) {
		r.modules["a"] = says(flow.Result{Outputs: outputsOf(`{"rows": 0}`)})
		r.want(flow.Succeeded, "")
		r.steps(map[string]string{"a": "succeeded", "b": "skipped condition", "c": "skipped upstream", "d": "succeeded", "e": "succeeded"})
		if n := r.ledger.count(flow.AttemptStarted, "b"); n != 0 {
			t.Errorf("the skipped step was called %d times", n)
		}
	}, flow.PlanStep{Name: "a"}, flow.PlanStep{Name: "b", Needs: []string{"a"}, When: "steps.a.rows > 0"}, flow.PlanStep{Name: "c", Needs: []string{"b"}},
		flow.PlanStep{Name: "d", Needs: []string{"a"}}, flow.PlanStep{Name: "e", Needs: []string{"c"}, On: flow.OnAlways})
}

func TestExpressionsThatFail(t *testing.T) {
	t.Parallel()
	steps := map[string]flow.PlanStep{
		"when": {When: "steps.a.missing > 0"},
		"with": {With: outputsOf(`{"n": "${steps.a.missing}"}`)},
		"each": {Each: "${steps.a.missing}"},
		"list": {Each: "${steps.a.n}"},
		"args": {Args: []string{"${steps.a.n / 0.0 == 1.0 ? context.x : context.y}"}},
	}
	for name, step := range steps {
		t.Run(name, func(t *testing.T) {
			step.Name, step.Needs, step.Retry.Attempts = "b", []string{"a"}, 3
			in(t, func(t *testing.T, r *rig) {
				r.modules["a"] = says(flow.Result{Outputs: outputsOf(`{"n": 1}`)})
				ending := r.want(flow.Failed, flow.ReasonStep)
				r.steps(map[string]string{"b": "failed expression"})
				if !strings.Contains(ending.Message, `step "b"`) {
					t.Errorf("message %q", ending.Message)
				}
				if n := r.ledger.count(flow.AttemptStarted, "b"); n != 0 {
					t.Errorf("called %d times", n)
				}
			}, flow.PlanStep{Name: "a"}, step)
		})
	}
}

func TestPluginThatSkips(t *testing.T) {
	in(t, func(t *testing.T, r *rig) {
		r.modules["a"] = says(flow.Result{Verdict: flow.VerdictSkip, Message: "nothing new"})
		r.want(flow.Succeeded, "")
		r.steps(map[string]string{"a": "skipped plugin", "b": "skipped upstream", "tidy": "succeeded", "alarm": "skipped condition"})
	}, flow.PlanStep{Name: "a", Retry: flow.Retry{Attempts: 3}}, flow.PlanStep{Name: "b", Needs: []string{"a"}},
		flow.PlanStep{Name: "tidy", On: flow.OnAlways}, flow.PlanStep{Name: "alarm", On: flow.OnFailure})
}

func TestFailureEndsWhatNeedsIt(t *testing.T) {
	in(t, func(t *testing.T, r *rig) {
		r.modules["a"] = says(flow.Result{Verdict: flow.VerdictFailed, Code: "E_EMPTY", Message: "no rows"})
		ending := r.want(flow.Failed, flow.ReasonStep)
		if want := `step "a" failed: E_EMPTY: no rows`; ending.Message != want {
			t.Errorf("message %q, want %q", ending.Message, want)
		}
		r.steps(map[string]string{"a": "failed plugin", "b": "skipped upstream", "beside": "succeeded"})
	}, flow.PlanStep{Name: "a"}, flow.PlanStep{Name: "b", Needs: []string{"a"}}, flow.PlanStep{Name: "beside"})
}

func TestHooks(t *testing.T) {
	t.Parallel()
	steps := []flow.PlanStep{
		{Name: "a"},
		{Name: "b", Needs: []string{"a"}},
		{Name: "always", On: flow.OnAlways, With: outputsOf(`{"failed": "${failed}"}`)},
		{Name: "alarm", On: flow.OnFailure, With: outputsOf(`{"failed": "${failed}"}`)},
		{Name: "alarm_a", On: flow.OnFailure, Needs: []string{"a"}},
		{Name: "alarm_b", On: flow.OnFailure, Needs: []string{"b"}},
	}
	tests := []struct {
		name, fails, failed string
		want                map[string]string
	}{
		{"success", "", `[]`, map[string]string{"always": "succeeded", "alarm": "skipped condition", "alarm_a": "skipped condition", "alarm_b": "skipped condition"}},
		{"the first fails", "a", `["a"]`, map[string]string{"b": "skipped upstream", "always": "succeeded", "alarm": "succeeded", "alarm_a": "succeeded", "alarm_b": "skipped condition"}},
		{"the last fails", "b", `["b"]`, map[string]string{"a": "succeeded", "always": "succeeded", "alarm": "succeeded", "alarm_a": "skipped condition", "alarm_b": "succeeded"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			in(t, func(t *testing.T, r *rig) {
				outcome, reason := flow.Succeeded, flow.Reason("")
				if test.fails != "" {
					r.modules[test.fails] = says(flow.Result{Verdict: flow.VerdictPermanent, Message: "no"})
					outcome, reason = flow.Failed, flow.ReasonStep
				}
				r.modules["always"] = func(_ context.Context, c flow.Call, _ flow.HostCalls) (flow.Result, error) {
					if got := string(c.Context.With["failed"]); got != test.failed {
						t.Errorf("the hook sees failed = %s, want %s", got, test.failed)
					}
					return flow.Result{}, nil
				}
				r.want(outcome, reason)
				r.steps(test.want)
			}, steps...)
		})
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	tests := []struct {
		reason  flow.Reason
		outcome flow.Outcome
		steps   map[string]string
	}{
		{flow.ReasonRequest, flow.Cancelled, map[string]string{"a": "cancelled request", "b": "skipped upstream", "tidy": "succeeded", "alarm": "skipped condition"}},
		{flow.ReasonReplaced, flow.Cancelled, map[string]string{"a": "cancelled replaced", "b": "skipped upstream", "tidy": "succeeded", "alarm": "skipped condition"}},
		{flow.ReasonStop, flow.Cancelled, map[string]string{"a": "cancelled stop", "b": "skipped stop", "tidy": "skipped stop", "alarm": "skipped stop"}},
	}
	for _, test := range tests {
		t.Run(string(test.reason), func(t *testing.T) {
			in(t, func(t *testing.T, r *rig) {
				began := time.Now()
				ending := r.wantOf(asks(t, 30*time.Second, test.reason), test.outcome, test.reason)
				if ending.Message != "asked" {
					t.Errorf("message %q", ending.Message)
				}
				r.steps(test.steps)
				if took := time.Since(began); took > 2*time.Minute {
					t.Errorf("took %s", took)
				}
			}, flow.PlanStep{Name: "a", Retry: flow.Retry{Attempts: 5}}, flow.PlanStep{Name: "b", Needs: []string{"a"}},
				flow.PlanStep{Name: "tidy", On: flow.OnAlways}, flow.PlanStep{Name: "alarm", On: flow.OnFailure})
		})
	}
}

// A run may also be asked to end while a step waits for its next attempt, or for its turn: it then has no attempt.
func TestCancelOfAStepThatWaits(t *testing.T) {
	t.Parallel()
	t.Run("for its next attempt", func(t *testing.T) {
		in(t, func(t *testing.T, r *rig) {
			r.modules["a"] = says(flow.Result{Verdict: flow.VerdictFailed})
			began := time.Now()
			r.wantOf(asks(t, 30*time.Second, flow.ReasonRequest), flow.Cancelled, flow.ReasonRequest)
			if took := time.Since(began); took != 30*time.Second {
				t.Errorf("took %s", took)
			}
			if got := r.ledger.texts; !slices.Equal(got, []string{"attempt.started a #1", "attempt.ended a #1 failed plugin", "step.ended a cancelled request"}) {
				t.Errorf("events %q", got)
			}
		}, flow.PlanStep{Name: "a", Retry: flow.Retry{Attempts: 5, Backoff: flow.Backoff{Min: time.Hour, Max: time.Hour}}})
	})
	t.Run("for its turn", func(t *testing.T) {
		in(t, func(t *testing.T, r *rig) {
			r.config.Turns = NewTurns(1, nil)
			held := r.config.Turns.take(t.Context(), r.plan.Tenant, 0)
			defer held.end()
			r.wantOf(asks(t, 30*time.Second, flow.ReasonRequest), flow.Cancelled, flow.ReasonRequest)
			if got := r.ledger.texts; !slices.Equal(got, []string{"step.ended a cancelled request"}) {
				t.Errorf("events %q", got)
			}
		}, flow.PlanStep{Name: "a"})
	})
}

// A run may be asked to end before it began, or between the start of a step and its expressions.
func TestCancelBeforeTheFirstStep(t *testing.T) {
	t.Parallel()
	for _, when := range []string{"", "context.year > 2000.0"} {
		t.Run(when, func(t *testing.T) {
			in(t, func(t *testing.T, r *rig) {
				r.plan.When = when
				r.claimed.Run.Context = outputsOf(`{"year": 2015, "list": [1]}`)
				ctx := asks(t, 0, flow.ReasonRequest)
				<-ctx.Done()
				r.wantOf(ctx, flow.Cancelled, flow.ReasonRequest)
				if when == "" {
					r.steps(map[string]string{"a": "skipped request", "alarm": "skipped condition", "tidy": "succeeded"})
				}
			}, flow.PlanStep{Name: "a", When: "context.year > 2000.0"}, flow.PlanStep{Name: "alarm", On: flow.OnFailure}, flow.PlanStep{Name: "tidy", On: flow.OnAlways})
		})
	}
	t.Run("in a step", func(t *testing.T) {
		in(t, func(t *testing.T, r *rig) {
			r.claimed.Run.Context = outputsOf(`{"year": 2015, "list": [1]}`)
			ctx := asks(t, 0, flow.ReasonRequest)
			<-ctx.Done()
			program, err := compile(&r.plan)
			if err != nil {
				t.Fatal(err)
			}
			x := newExecution(New(r.config), &r.plan, program, r.claimed)
			for name, s := range x.states {
				if e := x.step(ctx, s); e.err != nil || e.ending.Reason != flow.ReasonRequest {
					t.Errorf("step %s ended %+v, %v", name, e.ending, e.err)
				}
			}
		}, flow.PlanStep{Name: "when", When: "context.year > 2000.0"}, flow.PlanStep{Name: "with", With: outputsOf(`{"n": "${context.year + 1.0}"}`)},
			flow.PlanStep{Name: "each", Each: "${context.list.filter(x, x > 0.0)}"})
	})
}

// Hooks of a run that was asked to end have cleanupTime, and no more.
func TestHooksOfACancelledRunAreBounded(t *testing.T) {
	in(t, func(t *testing.T, r *rig) {
		r.modules["tidy"] = lasts(24 * time.Hour)
		began := time.Now()
		r.wantOf(asks(t, 30*time.Second, flow.ReasonRequest), flow.Cancelled, flow.ReasonRequest)
		if took := time.Since(began); took != 30*time.Second+cleanupTime {
			t.Errorf("took %s", took)
		}
	}, flow.PlanStep{Name: "a"}, flow.PlanStep{Name: "tidy", On: flow.OnAlways, Timeout: flow.Duration(48 * time.Hour)})
}

func TestTimeoutOfTheRun(t *testing.T) {
	in(t, func(t *testing.T, r *rig) {
		r.plan.Timeout = flow.Duration(5 * time.Minute)
		r.modules["a"] = lasts(time.Hour)
		began := time.Now()
		ending := r.want(flow.Failed, flow.ReasonTimeout)
		if !strings.Contains(ending.Message, "5m") || !strings.Contains(ending.Message, "timeout.run") {
			t.Errorf("message %q", ending.Message)
		}
		if took := time.Since(began); took != 6*time.Minute {
			t.Errorf("took %s, want five minutes and the hook's one", took)
		}
		r.steps(map[string]string{"a": "failed timeout", "b": "skipped upstream", "alarm": "succeeded"})
		if n := r.ledger.count(flow.AttemptStarted, "a"); n != 1 {
			t.Errorf("%d attempts", n)
		}
	}, flow.PlanStep{Name: "a", Retry: flow.Retry{Attempts: 5}}, flow.PlanStep{Name: "b", Needs: []string{"a"}}, flow.PlanStep{Name: "alarm", On: flow.OnFailure})
}

func TestLedgerThatRefuses(t *testing.T) {
	t.Parallel()
	for _, kind := range []flow.EventKind{flow.AttemptStarted, flow.AttemptEnded, flow.StepEnded} {
		for _, step := range []string{"a", "list", "skipped"} {
			t.Run(string(kind)+" of "+step, func(t *testing.T) {
				in(t, func(t *testing.T, r *rig) {
					r.claimed.Run.Context = outputsOf(`{"items": [1, 2, 3]}`)
					r.modules["beside"] = lasts(50 * time.Minute)
					refused := false
					r.ledger.refuse = func(e flow.Event) error {
						refused = refused || e.Kind == kind && e.Step == step
						if refused {
							return flow.ErrStale
						}
						return nil
					}
					began := time.Now()
					ending, err := r.run(t.Context())
					if skips := step == "skipped" && kind != flow.StepEnded; skips {
						if err != nil {
							t.Errorf("%v, though nothing was refused", err)
						}
						return
					}
					if !errors.Is(err, flow.ErrStale) || ending.Outcome != "" {
						t.Errorf("ended %+v, %v", ending, err)
					}
					if took := time.Since(began); took > 3*time.Minute {
						t.Errorf("went on for %s", took)
					}
				}, flow.PlanStep{Name: "a"}, flow.PlanStep{Name: "beside", Timeout: flow.Duration(time.Hour)}, flow.PlanStep{Name: "list", Each: "${context.items}", Parallel: 2},
					flow.PlanStep{Name: "skipped", Needs: []string{"a"}, When: "false"}, flow.PlanStep{Name: "tidy", On: flow.OnAlways})
			})
		}
	}
}

func TestModuleThatPanics(t *testing.T) {
	in(t, func(t *testing.T, r *rig) {
		r.modules["a"] = func(_ context.Context, _ flow.Call, host flow.HostCalls) (flow.Result, error) {
			host.Log(flow.LogInfo, "last words")
			panic("index out of range")
		}
		r.want(flow.Failed, flow.ReasonStep)
		r.steps(map[string]string{"a": "failed internal", "tidy": "succeeded"})
		if got := r.ledger.texts[:3]; !slices.Equal(got, []string{"attempt.started a #1", "logs 1", "attempt.ended a #1 failed internal"}) {
			t.Errorf("events %q", got)
		}
	}, flow.PlanStep{Name: "a", Retry: flow.Retry{Attempts: 3}}, flow.PlanStep{Name: "tidy", On: flow.OnAlways})
}
