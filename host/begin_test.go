package host_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host"
	"github.com/uniflow-dev/uniflow/host/flow"
)

// A schedule that is added while a host starts fires, whatever moment of the start that is.
func TestSchedulesAddedDuringTheStart(t *testing.T) {
	t.Parallel()
	h, err := host.Open(t.Context(), host.Config{Data: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if err := h.Register("nothing", func(context.Context, *host.Call) error { return nil }); err != nil {
		t.Fatal(err)
	}
	const pipelines = 100
	for i := range pipelines {
		if err := h.Define(t.Context(), flow.Pipeline{Name: fmt.Sprintf("p%d", i), Steps: map[string]flow.Step{"do": {Plugin: "nothing"}}}); err != nil {
			t.Fatal(err)
		}
	}
	var wait sync.WaitGroup
	for i := range pipelines {
		wait.Go(func() {
			name := fmt.Sprintf("p%d", i)
			if _, err := h.AddSchedule(t.Context(), flow.Schedule{Name: name, Pipeline: name, At: "every 1s"}); err != nil {
				t.Error(err)
			}
		})
	}
	if err := h.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	wait.Wait()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		silent := 0
		all, err := h.Schedules(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for i := range all {
			if all[i].LastRun == nil {
				silent++
			}
		}
		if silent == 0 && len(all) == pipelines {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d of %d schedules never fired", silent, len(all))
		}
	}
}
