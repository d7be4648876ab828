package dispatch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/store/sqlite"
)

var stored = flow.Plan{Tenant: "default", Pipeline: "a", Digest: flow.Digest("sha256:" + strings.Repeat("0", 64))}

func storedRun(id string) flow.Run {
	r := run("a", flow.RunID(id))
	r.Version = stored.Digest
	return r
}

func storedSlot(t time.Time) flow.Run {
	r := storedRun(string(flow.SlotRunID("default", "a", "s", t)))
	r.Trigger = flow.Trigger{Kind: flow.TriggerSchedule, Schedule: "s", ScheduledAt: t}
	return r
}

// open opens the ledger as another life of the host.
func open(t *testing.T, path, boot string) *sqlite.Store {
	t.Helper()
	store, err := sqlite.Open(t.Context(), sqlite.Config{Path: path, Boot: boot})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.SavePlan(t.Context(), stored); err != nil {
		t.Fatal(err)
	}
	return store
}

func TestOnTheRealStore(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "uniflow.db")
	synctest.Test(t, func(t *testing.T) {
		store := open(t, path, "one")
		r := &minute{}
		d := New(Config{Queue: store, Runner: r, Logger: slog.New(slog.DiscardHandler)})
		slot := func(n int) flow.Run {
			return storedSlot(time.Now().Truncate(time.Hour).Add(time.Duration(n) * time.Second))
		}
		one, two, three := slot(1), slot(2), slot(3)

		offer(t, d, flow.Offer{Run: storedRun("live")}, flow.OfferStarted)
		offer(t, d, flow.Offer{Run: storedRun("manual")}, flow.OfferQueued)
		offer(t, d, flow.Offer{Run: one, Overlap: flow.OverlapWait}, flow.OfferQueued)
		offer(t, d, flow.Offer{Run: one, Overlap: flow.OverlapWait}, flow.OfferDuplicate)
		offer(t, d, flow.Offer{Run: slot(9), Overlap: flow.OverlapSkip}, flow.OfferRefused)
		offer(t, d, flow.Offer{Run: storedRun("never")}, flow.OfferQueued)
		coalesced := make(chan struct{})
		go func() {
			defer close(coalesced)
			wait(t, d, one.ID, flow.Skipped, flow.ReasonReplaced)
		}()
		synctest.Wait()
		offer(t, d, flow.Offer{Run: two, Overlap: flow.OverlapWait}, flow.OfferQueued)
		<-coalesced
		if err := d.Cancel(t.Context(), "never", flow.ReasonRequest, "no"); err != nil {
			t.Error(err)
		}
		wait(t, d, "never", flow.Cancelled, flow.ReasonRequest)
		wait(t, d, "manual", flow.Succeeded, "")
		time.Sleep(time.Second) // the slot is live
		offer(t, d, flow.Offer{Run: three, Overlap: flow.OverlapReplace}, flow.OfferQueued)
		wait(t, d, two.ID, flow.Cancelled, flow.ReasonReplaced)
		wait(t, d, three.ID, flow.Succeeded, "")
		if want := []flow.RunID{"live", "manual", two.ID, three.ID}; !slices.Equal(r.order, want) || r.overlap {
			t.Errorf("order %v, want %v; overlap %v", r.order, want, r.overlap)
		}
		if err := d.Cancel(t.Context(), three.ID, flow.ReasonRequest, ""); err != nil {
			t.Errorf("cancel after the end: %v", err)
		}
		if err := d.Cancel(t.Context(), "unknown", flow.ReasonRequest, ""); !errors.Is(err, flow.ErrNotFound) {
			t.Errorf("cancel of an unknown run: %v", err)
		}
		d.Stop(t.Context())
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
}

// A host dies with one run live and two waiting; the next one takes all of them up, in order. What the dead one may
// still say is not recorded.
func TestResumeOnTheRealStore(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "uniflow.db")
	synctest.Test(t, func(t *testing.T) {
		dead := open(t, path, "one")
		for _, id := range []string{"1", "2", "3"} {
			if _, err := dead.Offer(t.Context(), flow.Offer{Run: storedRun(id)}); err != nil {
				t.Fatal(err)
			}
		}
		if err := dead.Close(); err != nil {
			t.Fatal(err)
		}
		store, r := open(t, path, "two"), &minute{}
		d := New(Config{Queue: store, Runner: r, Logger: slog.New(slog.DiscardHandler)})
		claimed, ended, err := store.Recover(t.Context())
		if err != nil || len(claimed) != 1 || len(ended) != 0 {
			t.Fatalf("recovered %+v, %v, %v", claimed, ended, err)
		}
		d.Resume(claimed)
		if err := d.Next(t.Context(), "default", "a"); err != nil {
			t.Fatal(err)
		}
		if err := store.Finish(t.Context(), flow.Claim{Run: "1", Epoch: 1}, flow.Ending{Outcome: flow.Failed}); !errors.Is(err, flow.ErrStale) {
			t.Errorf("the dead host's claim: %v", err)
		}
		wait(t, d, "3", flow.Succeeded, "")
		if !slices.Equal(r.order, []flow.RunID{"1", "2", "3"}) {
			t.Errorf("order %v", r.order)
		}
		if record, err := store.Run(t.Context(), "1"); err != nil || record.Epoch != 2 || record.Outcome != flow.Succeeded {
			t.Errorf("run 1: %+v, %v", record, err)
		}
		d.Stop(t.Context())
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
}

// The store says of a call whose caller went away that it may come about all the same. Whenever that is, no run may be
// live that nobody executes.
func TestCallersThatGoAwayOnTheRealStore(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "uniflow.db")
	store := open(t, path, "one")
	r := &minute{instead: func(context.Context, flow.RunID) (flow.Ending, error) {
		return flow.Ending{Outcome: flow.Succeeded}, nil
	}}
	d := New(Config{Queue: store, Runner: r, Logger: slog.New(slog.DiscardHandler)})
	for i := range 200 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*10*time.Microsecond)
		_, err := d.Offer(ctx, flow.Offer{Run: storedRun(fmt.Sprint(i))})
		cancel()
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	}
	d.Stop(t.Context())
	live, err := store.Runs(t.Context(), flow.RunQuery{State: flow.StateRunning})
	if err != nil || len(live) != 0 {
		t.Errorf("%d runs are live and nobody executes them, %v", len(live), err)
	}
	if err := store.Close(); err != nil {
		t.Error(err)
	}
}
