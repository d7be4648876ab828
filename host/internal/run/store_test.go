package run

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/store/sqlite"
)

// dying is a ledger whose host dies after some commits: before the next one is written, or after it, unanswered.
type dying struct {
	*sqlite.Store
	mu      sync.Mutex
	commits int
	written bool
	died    bool
}

var errDied = errors.New("the host is dead")

func (d *dying) Commit(ctx context.Context, claim flow.Claim, events ...flow.Event) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.commits--
	switch {
	case d.commits >= 0:
		return d.Store.Commit(ctx, claim, events...)
	case !d.died && d.written:
		d.died = true
		return errors.Join(errDied, d.Store.Commit(ctx, claim, events...))
	}
	d.died = true
	return errDied
}

// The host dies at every place at which it can, and the next one takes the run up: what was recorded is not executed
// again, nothing is recorded twice, and the run ends as if nothing had happened.
func TestResumeAfterACrashAtEachCommit(t *testing.T) {
	dir := t.TempDir()
	in(t, func(t *testing.T, r *rig) {
		r.plan.Digest = flow.Digest("sha256:" + strings.Repeat("0", 64))
		r.claimed.Run.Version = r.plan.Digest
		var mu sync.Mutex
		calls := map[string]int{}
		count := func(c flow.Call) int {
			mu.Lock()
			defer mu.Unlock()
			name := c.Context.Step
			if c.Context.ItemIndex != nil {
				name = fmt.Sprintf("%s[%d]", name, *c.Context.ItemIndex)
			}
			calls[name]++
			return calls[name]
		}
		r.modules["a"] = func(_ context.Context, c flow.Call, _ flow.HostCalls) (flow.Result, error) {
			count(c)
			return flow.Result{Outputs: outputsOf(`{"list": [1, 0, 2, 3], "none": []}`)}, nil
		}
		r.modules["each"] = func(ctx context.Context, c flow.Call, h flow.HostCalls) (flow.Result, error) {
			count(c)
			return doubles(ctx, c, h)
		}
		r.modules["sum"] = func(_ context.Context, c flow.Call, _ flow.HostCalls) (flow.Result, error) {
			count(c)
			if c.Context.Attempt == 1 {
				return flow.Result{Verdict: flow.VerdictFailed, Message: "once"}, nil
			}
			return flow.Result{Outputs: outputsOf(fmt.Sprintf(`{"all": %s, "none": %s}`, c.Context.With["all"], c.Context.With["none"]))}, nil
		}
		r.modules["tidy"] = func(_ context.Context, c flow.Call, _ flow.HostCalls) (flow.Result, error) {
			count(c)
			return flow.Result{}, nil
		}
		for n := 0; ; n++ {
			died := false
			for _, written := range []bool{false, true} {
				clear(calls)
				path := filepath.Join(dir, fmt.Sprint(n, written), "uniflow.db")
				died = r.crash(path, n, written, calls)
			}
			if !died {
				if n < 15 {
					t.Errorf("the run made %d commits only", n)
				}
				return
			}
		}
	}, flow.PlanStep{Name: "a"}, double, flow.PlanStep{Name: "empty", Needs: []string{"a"}, Each: "${steps.a.none}"},
		flow.PlanStep{Name: "sum", Needs: []string{"each", "empty"}, Retry: flow.Retry{Attempts: 2}, With: outputsOf(`{"all": "${steps.each}", "none": "${steps.empty}"}`)},
		flow.PlanStep{Name: "tidy", On: flow.OnAlways})
}

// crash executes the run until its n-th commit, and the rest of it in a second life; false when there was no rest.
func (r *rig) crash(path string, n int, written bool, calls map[string]int) bool {
	t := r.t
	place := fmt.Sprintf("death at commit %d, written %v", n, written)
	first := r.life(path, "one")
	offered, err := first.Offer(t.Context(), flow.Offer{Run: r.claimed.Run})
	if err != nil || offered.Answer != flow.OfferStarted {
		t.Fatalf("%s: %+v, %v", place, offered, err)
	}
	ledger := &dying{Store: first, commits: n, written: written}
	r.config.Ledger = ledger
	r.claimed = flow.Claimed{Run: r.claimed.Run, Claim: offered.Claim, StartedAt: offered.StartedAt}
	if _, err := r.run(t.Context()); (err != nil) != ledger.died || err != nil && !errors.Is(err, errDied) {
		t.Errorf("%s: %v", place, err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if !ledger.died {
		return false
	}
	second := r.life(path, "two")
	claimed, ended, err := second.Recover(t.Context())
	if err != nil || len(claimed) != 1 || len(ended) != 0 {
		t.Fatalf("%s: recovered %+v, %v, %v", place, claimed, ended, err)
	}
	r.config.Ledger, r.claimed = second, claimed[0]
	clear(calls)
	r.want(flow.Succeeded, "")
	if err := second.Finish(t.Context(), r.claimed.Claim, flow.Ending{Outcome: flow.Succeeded}); err != nil {
		t.Errorf("%s: %v", place, err)
	}
	for _, s := range claimed[0].Steps {
		for _, a := range s.Attempts {
			name := s.Name
			if a.Item != nil {
				name = fmt.Sprintf("%s[%d]", name, *a.Item)
			}
			if a.Outcome == flow.Succeeded && calls[name] > 0 {
				t.Errorf("%s: %s was recorded and called again", place, name)
			}
		}
	}
	r.checkRecord(second, place)
	if err := second.Close(); err != nil {
		t.Error(err)
	}
	return true
}

func (r *rig) life(path, boot string) *sqlite.Store {
	r.t.Helper()
	store, err := sqlite.Open(r.t.Context(), sqlite.Config{Path: path, Boot: boot})
	if err != nil {
		r.t.Fatal(err)
	}
	if err := store.SavePlan(r.t.Context(), r.plan); err != nil {
		r.t.Fatal(err)
	}
	return store
}

// checkRecord reads what the store has kept of the run of TestResumeAfterACrashAtEachCommit.
func (r *rig) checkRecord(store *sqlite.Store, place string) {
	t := r.t
	t.Helper()
	record, err := store.Run(t.Context(), r.claimed.Run.ID)
	if err != nil || record.Outcome != flow.Succeeded || record.Epoch != 2 || len(record.Steps) != len(r.plan.Steps) {
		t.Errorf("%s: %+v, %v", place, record, err)
	}
	for _, s := range record.Steps {
		if s.Outcome != flow.Succeeded {
			t.Errorf("%s: step %s: %+v", place, s.Name, s)
		}
		numbers := map[string]bool{}
		for _, a := range s.Attempts {
			number := fmt.Sprint(a.Attempt)
			if a.Item != nil {
				number = fmt.Sprint(*a.Item, " ", a.Attempt)
			}
			if numbers[number] || a.State != flow.StateEnded {
				t.Errorf("%s: step %s has attempt %s twice, or open", place, s.Name, number)
			}
			numbers[number] = true
		}
		if s.Name == "sum" {
			if got, want := string(s.Outputs["all"]), `[{"i":0,"n":2},null,{"i":2,"n":4},{"i":3,"n":6}]`; got != want || string(s.Outputs["none"]) != "[]" {
				t.Errorf("%s: outputs %s", place, s.Outputs)
			}
		}
	}
	events, err := store.Events(t.Context(), flow.EventQuery{Run: r.claimed.Run.ID})
	if err != nil {
		t.Fatal(err)
	}
	ends := map[string]int{}
	for _, e := range events {
		if e.Kind == flow.StepEnded {
			ends[e.Step]++
		}
	}
	for name, n := range ends {
		if n != 1 {
			t.Errorf("%s: step %s ended %d times", place, name, n)
		}
	}
}
