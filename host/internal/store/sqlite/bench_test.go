package sqlite

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// BenchmarkRecord records whole runs of one step, 64 in flight, each transition durable before the next: as the store does
// it, and with a transaction for each transition. The program in the folder bench takes both by turns.
func BenchmarkRecord(b *testing.B) {
	for _, c := range []struct {
		name string
		most int
	}{{"together", queued}, {"alone", 1}} {
		b.Run(c.name, func(b *testing.B) { benchmarkRecord(b, c.most) })
	}
}

func benchmarkRecord(b *testing.B, most int) {
	const inFlight = 64
	s := open(b, b.TempDir(), "bench")
	s.writer.most = most
	plan := flow.Plan{Tenant: flow.DefaultTenant, Pipeline: "p", Digest: flow.Digest("sha256:" + strings.Repeat("0", 64))}
	if err := s.SavePlan(b.Context(), plan); err != nil {
		b.Fatal(err)
	}
	var made atomic.Int64
	var all sync.WaitGroup
	b.ResetTimer()
	begin := time.Now()
	for lane := range inFlight {
		all.Go(func() {
			for n := made.Add(1); n <= int64(b.N); n = made.Add(1) {
				if err := recordRun(b.Context(), s, plan.Digest, fmt.Sprint("p", lane), n); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	b.ReportMetric(float64(b.N)/time.Since(begin).Seconds(), "runs/s")
}

// recordRun makes the transitions of a run that its schedule starts and that succeeds.
func recordRun(ctx context.Context, s *Store, version flow.Digest, pipeline string, n int64) error {
	at := time.Unix(1_800_000_000+n, 0).UTC()
	trigger := flow.Trigger{Kind: flow.TriggerSchedule, Schedule: pipeline, ScheduledAt: at, IntervalEnd: &at}
	r := flow.Run{ID: flow.SlotRunID(flow.DefaultTenant, pipeline, pipeline, at), Tenant: flow.DefaultTenant, Pipeline: pipeline, Version: version, Trigger: trigger}
	offered, err := s.Offer(ctx, flow.Offer{Run: r, Watermark: at})
	if err == nil && offered.Answer != flow.OfferStarted {
		err = fmt.Errorf("offer: %s", offered.Answer)
	}
	if err != nil {
		return err
	}
	event := func(kind flow.EventKind, outcome flow.Outcome) flow.Event {
		e := flow.Event{At: time.Now(), Kind: kind, Step: "run", Ending: flow.Ending{Outcome: outcome}}
		if kind != flow.StepEnded {
			e.Attempt = 1
		}
		if outcome != "" {
			e.Outputs = map[string]json.RawMessage{"result": json.RawMessage(`{"count":40,"sum":820}`)}
		}
		return e
	}
	if err := s.Commit(ctx, offered.Claim, event(flow.AttemptStarted, "")); err != nil {
		return err
	}
	if err := s.Commit(ctx, offered.Claim, event(flow.AttemptEnded, flow.Succeeded), event(flow.StepEnded, flow.Succeeded)); err != nil {
		return err
	}
	return s.Finish(ctx, offered.Claim, flow.Ending{Outcome: flow.Succeeded})
}
