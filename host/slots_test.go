package host_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host"
	"github.com/uniflow-dev/uniflow/host/flow"
)

// journal is a log that a test reads.
type journal struct {
	mu   sync.Mutex
	text strings.Builder
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) count(word string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Count(j.text.String(), word)
}

// A schedule whose runs cannot be made is told at the start, by its health and in the list, and each of its slots ends
// as skipped; after its repair nothing of that time is owed.
func TestBrokenScheduleSkipsItsSlotsAndSaysSo(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	open := func(j *journal, pipelines ...flow.Pipeline) *host.Host {
		h, err := host.Open(t.Context(), host.Config{Data: data, Logger: slog.New(slog.NewTextHandler(j, nil))})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range pipelines {
			define(t, h, p, func(context.Context, *host.Call) error { return nil })
		}
		return h
	}
	year := flow.Pipeline{Name: "p", Params: map[string]flow.Param{"year": {Type: "integer"}}}
	h := open(&journal{}, year, flow.Pipeline{Name: "q"})
	for name, values := range map[string]map[string]any{"p": {"year": 2013}, "q": nil} {
		if err := h.ScheduleInterval(t.Context(), "often-"+name, name, time.Second, values); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}

	var told journal
	h = open(&told, flow.Pipeline{Name: "p", Params: map[string]flow.Param{"year": {Type: "integer", Max: new(2012.0)}}})
	defer func() { _ = h.Close() }()
	if err := h.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if told.count("schedule broken") != 2 {
		t.Errorf("at the start the log says: %s", told.text.String())
	}
	for name, why := range map[string]string{"often-p": "2012", "often-q": `"q" is gone`} {
		slots := awaitSlots(t, h, name, func(s []flow.SlotRecord) bool { return len(s) >= 2 })
		for _, s := range slots {
			if s.Ending != flow.SlotSkipped || s.Reason != flow.ReasonInvalid {
				t.Errorf("%s: slot ended as %+v", name, s)
			}
		}
		wantBroken(t, h, name, why)
	}
	if n := told.count("schedule broken"); n != 2 {
		t.Errorf("told %d times of 2 schedules: %s", n, told.text.String())
	}
	if err := h.Define(t.Context(), flow.Pipeline{Name: "p", Params: year.Params, Steps: map[string]flow.Step{"do": {Plugin: "p"}}}); err != nil {
		t.Fatal(err)
	}
	awaitSlots(t, h, "often-p", func(s []flow.SlotRecord) bool { return s[0].Ending == flow.SlotRun })
	if told.count("schedule mended") != 1 {
		t.Errorf("the repair is not told: %s", told.text.String())
	}
}

// awaitSlots waits until the records of a schedule, newest first, are as wanted.
func awaitSlots(t *testing.T, h *host.Host, name string, wanted func([]flow.SlotRecord) bool) []flow.SlotRecord {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var slots []flow.SlotRecord
	err := h.Follow(ctx, flow.EventQuery{}, func(e flow.Event) bool {
		var err error
		if slots, err = h.Slots(ctx, flow.SlotQuery{Schedule: name}); err != nil {
			t.Fatal(err)
		}
		return len(slots) == 0 || !wanted(slots)
	})
	if err != nil {
		t.Fatal(err)
	}
	return slots
}

func wantBroken(t *testing.T, h *host.Host, name, why string) {
	t.Helper()
	health, err := h.ScheduleHealth(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range health {
		if s.Schedule == name && (s.Status != flow.HealthBroken || !strings.Contains(s.Detail, why)) {
			t.Errorf("health %+v", s)
		}
	}
	list, err := h.Schedules(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := range list {
		if s := &list[i]; s.Name == name && (!strings.Contains(s.Broken, why) || s.NextRun != nil) {
			raw, _ := json.Marshal(s)
			t.Errorf("list %s", raw)
		}
	}
}
