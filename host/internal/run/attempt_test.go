package run

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

func TestWhatIsRetried(t *testing.T) {
	t.Parallel()
	five := 5
	fault := func(reason flow.Reason) module {
		return func(context.Context, flow.Call, flow.HostCalls) (flow.Result, error) {
			return flow.Result{}, &flow.Fault{Reason: reason, Message: "broken", Hint: "mend it", Usage: flow.Usage{Fuel: 7}}
		}
	}
	broken := func(err error) module {
		return func(context.Context, flow.Call, flow.HostCalls) (flow.Result, error) { return flow.Result{}, err }
	}
	tests := []struct {
		name     string
		module   module
		attempts int
		reason   flow.Reason
	}{
		{"failed", says(flow.Result{Verdict: flow.VerdictFailed, Message: "no"}), 3, flow.ReasonPlugin},
		{"exit", says(flow.Result{Verdict: flow.VerdictFailed, ExitCode: &five}), 3, flow.ReasonExit},
		{"retry", says(flow.Result{Verdict: flow.VerdictRetry}), 3, flow.ReasonPlugin},
		{"unknown verdict", says(flow.Result{Verdict: 77}), 3, flow.ReasonPlugin},
		{"permanent", says(flow.Result{Verdict: flow.VerdictPermanent}), 1, flow.ReasonPermanent},
		{"trap", fault(flow.ReasonTrap), 3, flow.ReasonTrap},
		{"crashed", fault(flow.ReasonCrashed), 3, flow.ReasonCrashed},
		{"panic", fault(flow.ReasonPanic), 3, flow.ReasonPanic},
		{"stack", fault(flow.ReasonStack), 3, flow.ReasonStack},
		{"memory", fault(flow.ReasonMemory), 1, flow.ReasonMemory},
		{"fuel", fault(flow.ReasonFuel), 1, flow.ReasonFuel},
		{"output limit", fault(flow.ReasonOutputLimit), 1, flow.ReasonOutputLimit},
		{"denied", fault(flow.ReasonDenied), 1, flow.ReasonDenied},
		{"timeout", lasts(time.Hour), 3, flow.ReasonTimeout},
		{"no module", nil, 1, flow.ReasonInvalid},
		{"host", broken(errors.New("out of file descriptors")), 3, flow.ReasonInternal},
		{"foreign artifact", says(flow.Result{Outputs: outputsOf(`{"f": {"$artifact": "sha256:theirs", "size": 1}}`)}), 1, flow.ReasonOutput},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			in(t, func(t *testing.T, r *rig) {
				r.modules["a"] = test.module
				ending := r.want(flow.Failed, flow.ReasonStep)
				r.steps(map[string]string{"a": "failed " + string(test.reason)})
				if n := r.ledger.count(flow.AttemptEnded, "a"); n != test.attempts || r.ledger.count(flow.AttemptStarted, "a") != n {
					t.Errorf("%d attempts, want %d: %s", n, test.attempts, ending.Message)
				}
				last := r.ledger.events[len(r.ledger.events)-2]
				if last.Kind != flow.AttemptEnded || last.Attempt != test.attempts || last.RetryAt != nil || last.Usage == nil {
					t.Errorf("the last attempt is recorded as %+v", last)
				}
			}, flow.PlanStep{Name: "a", Retry: flow.Retry{Attempts: 3}})
		})
	}
}

func TestSecondAttemptSucceeds(t *testing.T) {
	in(t, func(t *testing.T, r *rig) {
		var calls []flow.RunContext
		r.modules["a"] = func(_ context.Context, c flow.Call, _ flow.HostCalls) (flow.Result, error) {
			if calls = append(calls, c.Context); len(calls) == 1 {
				return flow.Result{Verdict: flow.VerdictFailed}, nil
			}
			return flow.Result{Outputs: outputsOf(`{"n": 2}`)}, nil
		}
		r.want(flow.Succeeded, "")
		if len(calls) != 2 || calls[0].Attempt != 1 || calls[1].Attempt != 2 || calls[1].MaxAttempts != 5 {
			t.Errorf("calls %+v", calls)
		}
		if calls[0].IdempotencyKey != calls[1].IdempotencyKey {
			t.Error("the second attempt has another idempotency key")
		}
	}, flow.PlanStep{Name: "a", Retry: flow.Retry{Attempts: 5}})
}

// The wait after the n-th failure lies between the smallest and its n-th doubling, at most the largest.
func TestBackoff(t *testing.T) {
	in(t, func(t *testing.T, r *rig) {
		var at []time.Time
		r.modules["a"] = func(context.Context, flow.Call, flow.HostCalls) (flow.Result, error) {
			at = append(at, time.Now())
			return flow.Result{Verdict: flow.VerdictFailed, RetryAfter: flow.Duration(10 * time.Minute)}, nil // not asked for by VerdictRetry
		}
		r.want(flow.Failed, flow.ReasonStep)
		top := []time.Duration{2 * time.Second, 4 * time.Second, 8 * time.Second, 10 * time.Second, 10 * time.Second, 10 * time.Second}
		for i := 1; i < len(at); i++ {
			if wait := at[i].Sub(at[i-1]); wait < time.Second || wait > top[i-1] {
				t.Errorf("waited %s after failure %d, want 1s to %s", wait, i, top[i-1])
			}
		}
		if len(at) != 7 {
			t.Errorf("%d attempts", len(at))
		}
		for i, e := range r.ledger.events {
			if e.Kind == flow.AttemptEnded && e.RetryAt != nil && !e.RetryAt.Equal(r.ledger.events[i+1].At) {
				t.Errorf("attempt %d: the next one was announced for %s and came at %s", e.Attempt, e.RetryAt, r.ledger.events[i+1].At)
			}
		}
	}, flow.PlanStep{Name: "a", Retry: flow.Retry{Attempts: 7, Backoff: flow.Backoff{Min: time.Second, Max: 10 * time.Second}}})
}

func TestRetryAfterIsHonoured(t *testing.T) {
	in(t, func(t *testing.T, r *rig) {
		r.modules["a"] = says(flow.Result{Verdict: flow.VerdictRetry, RetryAfter: flow.Duration(10 * time.Minute)})
		began := time.Now()
		r.want(flow.Failed, flow.ReasonStep)
		if took := time.Since(began); took != 20*time.Minute {
			t.Errorf("took %s, want two waits of 10m", took)
		}
	}, flow.PlanStep{Name: "a", Retry: flow.Retry{Attempts: 3}})
}

func TestTimeoutOfAStep(t *testing.T) {
	in(t, func(t *testing.T, r *rig) {
		r.modules["a"] = lasts(time.Hour)
		began := time.Now()
		r.want(flow.Failed, flow.ReasonStep)
		if took := time.Since(began); took != 2*5*time.Minute+time.Second {
			t.Errorf("took %s, want two attempts of 5m and a wait of 1s", took)
		}
		if m := r.ledger.ended("a").Message; !strings.Contains(m, "5m") || !strings.Contains(m, "timeout.step") {
			t.Errorf("message %q", m)
		}
	}, flow.PlanStep{Name: "a", Timeout: flow.Duration(5 * time.Minute), Retry: flow.Retry{Attempts: 2}})
}

// double is a step that yields twice its item; items of 0 are skipped by its condition.
var double = flow.PlanStep{
	Name: "each", Needs: []string{"a"}, Each: "${steps.a.list}", Parallel: 3, When: "item != 0.0",
	With: outputsOf(`{"n": "${item}"}`),
}

func doubles(_ context.Context, c flow.Call, _ flow.HostCalls) (flow.Result, error) {
	var n int
	if err := json.Unmarshal(c.Context.With["n"], &n); err != nil {
		return flow.Result{}, err
	}
	<-time.After(time.Duration(10-n) * time.Second) // the first ends last
	return flow.Result{Outputs: outputsOf(fmt.Sprintf(`{"n": %d, "i": %d}`, 2*n, *c.Context.ItemIndex))}, nil
}

func TestEachKeepsTheOrder(t *testing.T) {
	in(t, func(t *testing.T, r *rig) {
		r.modules["a"] = says(flow.Result{Outputs: outputsOf(`{"list": [1, 2, 0, 3, 4, 5, 6]}`)})
		var mu sync.Mutex
		live, most := 0, 0
		r.modules["each"] = func(ctx context.Context, c flow.Call, h flow.HostCalls) (flow.Result, error) {
			mu.Lock()
			live++
			most = max(most, live)
			mu.Unlock()
			defer func() {
				mu.Lock()
				defer mu.Unlock()
				live--
			}()
			return doubles(ctx, c, h)
		}
		var got string
		r.modules["sum"] = func(_ context.Context, c flow.Call, _ flow.HostCalls) (flow.Result, error) {
			got = string(c.Context.With["all"])
			return flow.Result{}, nil
		}
		r.want(flow.Succeeded, "")
		var all []struct{ N, I int }
		if err := json.Unmarshal([]byte(got), &all); err != nil {
			t.Fatal(err)
		}
		if want := "[{2 0} {4 1} {0 0} {6 3} {8 4} {10 5} {12 6}]"; fmt.Sprint(all) != want || !strings.Contains(got, "null") {
			t.Errorf("the list is %s", got)
		}
		if most != 3 {
			t.Errorf("%d calls at one time, want 3", most)
		}
		if n := r.ledger.count(flow.AttemptEnded, "each"); n != 6 {
			t.Errorf("%d attempts", n)
		}
	}, flow.PlanStep{Name: "a"}, double, flow.PlanStep{Name: "sum", Needs: []string{"each"}, With: outputsOf(`{"all": "${steps.each}"}`)})
}

func TestEachOfNothing(t *testing.T) {
	in(t, func(t *testing.T, r *rig) {
		r.modules["a"] = says(flow.Result{Outputs: outputsOf(`{"list": []}`)})
		r.modules["sum"] = func(_ context.Context, c flow.Call, _ flow.HostCalls) (flow.Result, error) {
			if got := string(c.Context.With["all"]); got != "[]" {
				t.Errorf("the list is %s", got)
			}
			return flow.Result{}, nil
		}
		r.want(flow.Succeeded, "")
		r.steps(map[string]string{"each": "succeeded", "sum": "succeeded"})
	}, flow.PlanStep{Name: "a"}, double, flow.PlanStep{Name: "sum", Needs: []string{"each"}, With: outputsOf(`{"all": "${steps.each}"}`)})
}

func TestEachIsCapped(t *testing.T) {
	in(t, func(t *testing.T, r *rig) {
		list := "[" + strings.Repeat("1,", maxElements) + "1]"
		r.modules["a"] = says(flow.Result{Outputs: outputsOf(`{"list": ` + list + `}`)})
		r.want(flow.Failed, flow.ReasonStep)
		r.steps(map[string]string{"each": "failed expression"})
		if m := r.ledger.ended("each").Message; !strings.Contains(m, "10001") || !strings.Contains(m, "10000") {
			t.Errorf("message %q", m)
		}
	}, flow.PlanStep{Name: "a"}, double)
}

// One element that fails keeps what has not begun from being called; what has begun goes on.
func TestEachWithAFailure(t *testing.T) {
	in(t, func(t *testing.T, r *rig) {
		r.modules["a"] = says(flow.Result{Outputs: outputsOf(`{"list": [1, 2, 3, 4, 5, 6]}`)})
		var called []int
		var mu sync.Mutex
		r.modules["each"] = func(ctx context.Context, c flow.Call, h flow.HostCalls) (flow.Result, error) {
			mu.Lock()
			called = append(called, *c.Context.ItemIndex)
			mu.Unlock()
			if *c.Context.ItemIndex == 1 {
				return flow.Result{Verdict: flow.VerdictPermanent, Message: "no such month"}, nil
			}
			return doubles(ctx, c, h)
		}
		r.want(flow.Failed, flow.ReasonStep)
		slices.Sort(called)
		if !slices.Equal(called, []int{0, 1, 2}) {
			t.Errorf("called elements %v", called)
		}
		end := r.ledger.ended("each")
		if end.Reason != flow.ReasonPermanent || end.Message != "element 1: no such month" || end.List != nil {
			t.Errorf("ended %+v", end)
		}
		if n := r.ledger.count(flow.AttemptEnded, "each"); n != 3 {
			t.Errorf("%d attempts have an end", n)
		}
	}, flow.PlanStep{Name: "a"}, double)
}

// A run that ends between two elements leaves no list that looks complete.
func TestEachOfACancelledRun(t *testing.T) {
	in(t, func(t *testing.T, r *rig) {
		r.claimed.Run.Context = outputsOf(`{"list": [1, 2, 3]}`)
		ctx, cancel := context.WithCancelCause(t.Context())
		r.modules["each"] = func(context.Context, flow.Call, flow.HostCalls) (flow.Result, error) {
			cancel(&flow.Fault{Reason: flow.ReasonRequest, Message: "asked"}) // and succeeds all the same
			return flow.Result{}, nil
		}
		r.wantOf(ctx, flow.Cancelled, flow.ReasonRequest)
		r.steps(map[string]string{"each": "cancelled request"})
		if n := r.ledger.count(flow.AttemptStarted, "each"); n != 1 {
			t.Errorf("%d elements were called", n)
		}
	}, flow.PlanStep{Name: "each", Each: "${context.list}", Parallel: 1})
}

func TestResume(t *testing.T) {
	zero, one, two, three := 0, 1, 2, 3
	in(t, func(t *testing.T, r *rig) {
		r.plan.When = "false" // was true when the run began
		r.claimed.Claim.Epoch = 2
		past, retryAt := time.Now().Add(-time.Second), time.Now().Add(20*time.Second)
		failed := flow.Ending{Outcome: flow.Failed, Reason: flow.ReasonPlugin}
		lost := flow.Ending{Outcome: flow.Failed, Reason: flow.ReasonLost}
		done := flow.Ending{Outcome: flow.Succeeded}
		steps := []flow.StepRecord{
			{Name: "a", State: flow.StateEnded, Ending: done, Outputs: outputsOf(`{"list": [0, 1, 2, 3, 4]}`)},
			{Name: "empty", State: flow.StateEnded, Ending: done, List: []json.RawMessage{}},
			{Name: "b", State: flow.StateRunning, Attempts: []flow.AttemptRecord{
				{Attempt: 1, Epoch: 1, State: flow.StateEnded, Ending: failed, RetryAt: &past},
				{Attempt: 2, Epoch: 1, State: flow.StateEnded, Ending: lost},
				{Attempt: 3, Epoch: 2, State: flow.StateRunning},
			}},
			{Name: "each", State: flow.StateRunning, Attempts: []flow.AttemptRecord{
				{Item: &zero, Attempt: 1, State: flow.StateEnded, Ending: done, Outputs: outputsOf(`{"n": "old"}`)},
				{Item: &one, Attempt: 1, State: flow.StateEnded, Ending: flow.Ending{Outcome: flow.Skipped, Reason: flow.ReasonPlugin}},
				{Item: &two, Attempt: 1, State: flow.StateEnded, Ending: lost},
				{Item: &three, Attempt: 1, State: flow.StateEnded, Ending: failed, RetryAt: &retryAt},
			}},
			{Name: "gone", State: flow.StateEnded, Ending: done},
		}
		raw, err := json.Marshal(steps) // as a store hands them over
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(raw, &r.claimed.Steps); err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var calls []string
		began := time.Now()
		called := func(_ context.Context, c flow.Call, _ flow.HostCalls) (flow.Result, error) {
			mu.Lock()
			defer mu.Unlock()
			text := fmt.Sprintf("%s#%d", c.Context.Step, c.Context.Attempt)
			if c.Context.ItemIndex != nil {
				text = fmt.Sprintf("%s[%d]#%d@%s", c.Context.Step, *c.Context.ItemIndex, c.Context.Attempt, time.Since(began))
			}
			calls = append(calls, text)
			if c.Context.Step == "b" {
				return flow.Result{Verdict: flow.VerdictFailed}, nil
			}
			return flow.Result{Outputs: outputsOf(`{"n": "new"}`)}, nil
		}
		for name := range r.modules {
			r.modules[name] = called
		}
		r.want(flow.Failed, flow.ReasonStep)
		slices.Sort(calls)
		want := []string{"b#4", "b#5", "each[2]#2@0s", "each[3]#2@20s", "each[4]#1@0s", "sum#1"}
		if !slices.Equal(calls, want) {
			t.Errorf("calls %v\nwant  %v: b had one failure of three, two do not count", calls, want)
		}
		if list := r.ledger.ended("each").List; len(list) != 5 || string(list[0]) != `{"n":"old"}` || string(list[1]) != "null" || string(list[3]) != `{"n":"new"}` {
			t.Errorf("list %s", list)
		}
		if r.ledger.ended("a").Step != "" {
			t.Error("a finished step was recorded again")
		}
		for _, e := range r.ledger.events {
			if e.Epoch != 2 {
				t.Errorf("event %s of epoch %d", e.Kind, e.Epoch)
			}
		}
	}, flow.PlanStep{Name: "a"}, flow.PlanStep{Name: "empty", Each: "${[]}"}, flow.PlanStep{Name: "b", Needs: []string{"a"}, Retry: flow.Retry{Attempts: 3}},
		flow.PlanStep{Name: "each", Needs: []string{"a"}, Each: "${steps.a.list}", Parallel: 5, Retry: flow.Retry{Attempts: 3}},
		flow.PlanStep{Name: "sum", Needs: []string{"each", "empty"}, With: outputsOf(`{"none": "${steps.empty}"}`)})
}

// An element whose failure is recorded as final has failed, also after a crash.
func TestResumeAfterAFailedElement(t *testing.T) {
	zero := 0
	in(t, func(t *testing.T, r *rig) {
		r.claimed.Run.Context = outputsOf(`{"list": [1, 2]}`)
		r.claimed.Steps = []flow.StepRecord{{Name: "each", State: flow.StateRunning, Attempts: []flow.AttemptRecord{
			{Item: &zero, Attempt: 1, State: flow.StateEnded, Ending: flow.Ending{Outcome: flow.Failed, Reason: flow.ReasonPermanent, Message: "no"}},
		}}}
		r.want(flow.Failed, flow.ReasonStep)
		if n := r.ledger.count(flow.AttemptStarted, "each"); n != 0 {
			t.Errorf("%d calls", n)
		}
	}, flow.PlanStep{Name: "each", Each: "${context.list}", Parallel: 1})
}

// A reference to an artifact is good if the run received or put it, and in later steps then.
func TestArtifacts(t *testing.T) {
	in(t, func(t *testing.T, r *rig) {
		r.claimed.Run.Context = outputsOf(`{"given": {"$artifact": "sha256:given", "size": 1}}`)
		r.claimed.Steps = []flow.StepRecord{{
			Name: "before", State: flow.StateEnded, Ending: flow.Ending{Outcome: flow.Succeeded},
			Outputs: outputsOf(`{"f": [{"deep": {"$artifact": "sha256:before", "size": 1}}]}`),
		}}
		r.modules["put"] = func(ctx context.Context, _ flow.Call, h flow.HostCalls) (flow.Result, error) {
			ref, err := h.Artifact(ctx, "mine", "text/csv", strings.NewReader("x"))
			if err != nil {
				return flow.Result{}, err
			}
			return flow.Result{Outputs: outputsOf(fmt.Sprintf(`{"f": {"$artifact": %q}, "g": [{"$artifact": "sha256:given"}, {"x": {"$artifact": "sha256:before"}}]}`, ref.Digest))}, nil
		}
		r.modules["open"] = func(ctx context.Context, _ flow.Call, h flow.HostCalls) (flow.Result, error) {
			for _, d := range []flow.Digest{"sha256:mine", "sha256:given", "sha256:before"} {
				if _, err := h.Open(ctx, flow.ArtifactRef{Digest: d}); err != nil {
					return flow.Result{}, fmt.Errorf("open %s: %w", d, err)
				}
			}
			if _, err := h.Open(ctx, flow.ArtifactRef{Digest: "sha256:theirs"}); !errors.Is(err, flow.ErrNotFound) {
				t.Errorf("open a foreign artifact: %v", err)
			}
			return flow.Result{Outputs: outputsOf(`{"ok": 1, "theirs": [[{"\u0024artifact": "sha256:theirs"}]]}`)}, nil
		}
		ending := r.want(flow.Failed, flow.ReasonStep)
		r.steps(map[string]string{"put": "succeeded", "open": "failed output"})
		if !strings.Contains(ending.Message, `"theirs"`) || r.ledger.ended("open").Outputs != nil {
			t.Errorf("ended %q with outputs %v", ending.Message, r.ledger.ended("open").Outputs)
		}
	}, flow.PlanStep{Name: "before"}, flow.PlanStep{Name: "put"}, flow.PlanStep{Name: "open", Needs: []string{"put", "before"}})
}

// Lines are recorded in batches, in order, and all of an attempt's before its end.
func TestLogs(t *testing.T) {
	in(t, func(t *testing.T, r *rig) {
		r.modules["a"] = func(_ context.Context, _ flow.Call, h flow.HostCalls) (flow.Result, error) {
			h.Log(flow.LogInfo, "0")
			<-time.After(time.Second) // recorded meanwhile
			for i := range 1000 {
				h.Log(flow.LogWarn, fmt.Sprint(i+1))
			}
			h.Progress(500, "half")
			return flow.Result{}, nil
		}
		r.want(flow.Succeeded, "")
		if len(r.ledger.logs) != 1001 {
			t.Fatalf("%d lines", len(r.ledger.logs))
		}
		for i, l := range r.ledger.logs {
			if l.Message != fmt.Sprint(i) || l.Run != "01RUN" || l.Step != "a" || l.Attempt != 1 || l.Tenant != "default" || l.At.IsZero() {
				t.Fatalf("line %d is %+v", i, l)
			}
		}
		texts := r.ledger.texts
		if texts[1] != "logs 1" || len(texts) > 9 {
			t.Errorf("order %q", texts)
		}
		ended := slices.Index(texts, "attempt.ended a #1 succeeded")
		for _, text := range texts[ended:] {
			if strings.HasPrefix(text, "logs") {
				t.Errorf("lines after the attempt's end: %q", texts)
			}
		}
		if i := slices.IndexFunc(r.ledger.events, func(e flow.Event) bool { return e.Kind == flow.StepProgress }); i < 0 || string(r.ledger.events[i].Detail) != `{"permille":500}` {
			t.Error("no progress")
		}
	}, flow.PlanStep{Name: "a"})
}

// A function that outlives its attempt may still talk; nobody listens.
func TestLogsAfterTheEnd(t *testing.T) {
	in(t, func(t *testing.T, r *rig) {
		var host flow.HostCalls
		r.modules["a"] = func(_ context.Context, _ flow.Call, h flow.HostCalls) (flow.Result, error) {
			host = h
			return flow.Result{}, nil
		}
		r.want(flow.Succeeded, "")
		host.Log(flow.LogInfo, "late")
		<-time.After(time.Second)
		if len(r.ledger.logs) != 0 {
			t.Errorf("recorded %+v", r.ledger.logs)
		}
	}, flow.PlanStep{Name: "a"})
}
