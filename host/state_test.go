package host_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/uniflow-dev/uniflow/host"
	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/sdk/abi"
)

// count is a step that counts its runs in the state of its pipeline, fails where it is told to, and tells of it.
func count(ctx context.Context, c *host.Call) error {
	n := 0
	if _, err := c.Services(ctx).GetState("n", &n); err != nil {
		return err
	}
	if err := c.Services(ctx).SetState("n", n+1); err != nil {
		return err
	}
	id, err := c.Services(ctx).Emit(abi.Event{Type: "com.example.counted", Subject: "n", Data: n + 1})
	if err != nil {
		return err
	}
	if string(c.Context["fail"]) == "true" {
		return errors.New("as told")
	}
	return errors.Join(c.Output("n", n+1), c.Output("event", id))
}

// Promise: what a step keeps is there for the next run when its run succeeds, and gone when it does not; what it emits is
// in the ledger either way.
func TestStateAndEventsOfAPipeline(t *testing.T) {
	t.Parallel()
	h := begin(t, host.Config{Data: t.TempDir()})
	h.Allow("count", flow.Grant{State: true, Event: true}, nil)
	define(t, h, flow.Pipeline{Name: "count"}, count)
	for i, c := range []struct {
		fail bool
		want string
	}{{false, "1"}, {true, ""}, {false, "2"}} {
		result, err := h.RunNow(t.Context(), "count", map[string]any{"fail": c.fail})
		if err != nil || result.Success == c.fail || string(result.Outputs["do"]["n"]) != c.want {
			t.Fatalf("run %d: %+v, %v, want n = %q", i, result, err, c.want)
		}
	}
	events, err := h.Events(t.Context(), flow.EventQuery{Kind: flow.EventEmitted})
	if err != nil || len(events) != 3 {
		t.Fatalf("%d events, %v, want 3", len(events), err)
	}
	var e flow.EmittedEvent
	if err := json.Unmarshal(events[2].Detail, &e); err != nil || e.Type != "com.example.counted" || string(e.Data) != "2" || e.Source != "uniflow:count/do" || e.ID == "" {
		t.Errorf("event %s, %v", events[2].Detail, err)
	}
}

// Promise: without a grant both are denied, with the line that would grant them.
func TestStateAndEventsNeedGrants(t *testing.T) {
	t.Parallel()
	h := begin(t, host.Config{Data: t.TempDir()})
	define(t, h, flow.Pipeline{Name: "count"}, func(ctx context.Context, c *host.Call) error {
		s := c.Services(ctx)
		_, emitted := s.Emit(abi.Event{Type: "x"})
		_, listed := s.ListState("")
		for line, err := range map[string]error{"state = true": listed, "event = true": emitted} {
			refusal, ok := errors.AsType[*abi.Refusal](err)
			if !ok || refusal.Errno != abi.Denied || !strings.Contains(refusal.Hint, line) {
				return fmt.Errorf("%s: %w", line, err)
			}
		}
		return nil
	})
	if result, err := h.RunNow(t.Context(), "count", nil); err != nil || !result.Success {
		t.Errorf("%+v, %v", result, err)
	}
}

// Promise: what a pipeline keeps is bounded, and a refusal changes nothing.
func TestStateIsBounded(t *testing.T) {
	t.Parallel()
	h := begin(t, host.Config{Data: t.TempDir()})
	h.Allow("keep", flow.Grant{State: true}, nil)
	define(t, h, flow.Pipeline{Name: "keep"}, func(ctx context.Context, c *host.Call) error {
		s := c.Services(ctx)
		large := strings.Repeat("x", 250<<10)
		for key, want := range map[string]abi.Errno{"": abi.Invalid, strings.Repeat("k", 257): abi.Invalid, "a\nb": abi.Invalid} {
			if err := s.SetState(key, 1); !errors.Is(err, want) {
				return fmt.Errorf("key %q: %w", key, err)
			}
		}
		if err := s.SetState("large", large+large); !errors.Is(err, abi.TooLarge) {
			return fmt.Errorf("500 KiB: %w", err)
		}
		for i := range 4 {
			if err := s.SetState(fmt.Sprint(i), large); err != nil {
				return err
			}
		}
		if err := s.SetState("more", large); !errors.Is(err, abi.Quota) {
			return fmt.Errorf("more than 1 MiB: %w", err)
		}
		for i := range 996 {
			if err := s.SetState(fmt.Sprint("small", i), 1); err != nil {
				return err
			}
		}
		if err := s.SetState("last", 1); !errors.Is(err, abi.Quota) {
			return fmt.Errorf("more than 1,000 keys: %w", err)
		}
		return s.DeleteState("0")
	})
	if result, err := h.RunNow(t.Context(), "keep", nil); err != nil || !result.Success {
		t.Errorf("%+v, %v", result, err)
	}
}
