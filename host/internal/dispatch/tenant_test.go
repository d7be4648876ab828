package dispatch

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/store/sqlite"
)

// crowd is a runner whose runs last at random, and that sees how many are live.
type crowd struct {
	mu         sync.Mutex
	live, most int
	order      []flow.RunID
}

func (c *crowd) Run(_ context.Context, _ *flow.Plan, claimed flow.Claimed) (flow.Ending, []flow.Event, error) {
	c.mu.Lock()
	c.live++
	c.most = max(c.most, c.live)
	c.order = append(c.order, claimed.Run.ID)
	c.mu.Unlock()
	time.Sleep(time.Duration(1+rand.IntN(20)) * time.Second)
	c.mu.Lock()
	c.live--
	c.mu.Unlock()
	return flow.Ending{Outcome: flow.Succeeded}, nil, nil
}

// A tenant that may have three live runs asks for many, of five pipelines: all of them end without anybody's help, never
// more than three are live, each pipeline keeps its order, and the time is that of three at a time. Then there is room for
// all at once.
func TestTheLiveRunsOfATenantAreBounded(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "uniflow.db")
	synctest.Test(t, func(t *testing.T) {
		var running atomic.Int64
		running.Store(3)
		quotas := func(tenant string) *flow.Quota {
			q := flow.Quota{Running: int(running.Load())}.Filled()
			return &q
		}
		store, err := sqlite.Open(t.Context(), sqlite.Config{Path: path, Boot: "one", Quotas: quotas})
		if err != nil {
			t.Fatal(err)
		}
		if err := store.SavePlan(t.Context(), stored); err != nil {
			t.Fatal(err)
		}
		r := &crowd{}
		d := New(Config{Queue: store, Runner: r, Logger: slog.New(slog.DiscardHandler), Bounded: func(string) bool { return true }})
		asked := map[string][]flow.RunID{}
		ask := func(n int) flow.RunID {
			run := storedRun(fmt.Sprintf("%03d", n))
			run.Pipeline = string(rune('a' + n%5))
			asked[run.Pipeline] = append(asked[run.Pipeline], run.ID)
			if _, err := d.Offer(t.Context(), flow.Offer{Run: run}); err != nil {
				t.Fatal(err)
			}
			return run.ID
		}
		for n := range 60 {
			ask(n)
			time.Sleep(time.Duration(rand.IntN(3)) * time.Second) // sometimes there is room, sometimes not
		}
		for _, ids := range asked {
			wait(t, d, ids[len(ids)-1], flow.Succeeded, "")
		}
		if r.most != 3 || len(r.order) != 60 {
			t.Errorf("%d live at one time, %d runs; want 3 and 60", r.most, len(r.order))
		}
		for p, ids := range asked {
			var got []flow.RunID
			for _, id := range r.order {
				if slices.Contains(ids, id) {
					got = append(got, id)
				}
			}
			if !slices.Equal(got, ids) {
				t.Errorf("pipeline %s ran %v, asked %v", p, got, ids)
			}
		}
		synctest.Wait()
		for n := range 5 {
			ask(100 + n)
		}
		running.Store(5)
		if err := d.Oldest(t.Context(), "default"); err != nil {
			t.Fatal(err)
		}
		if got := d.Live(); got != 5 {
			t.Errorf("%d live after the quota was raised, want 5", got)
		}
		d.Stop(t.Context())
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
}
