package host_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host"
	"github.com/uniflow-dev/uniflow/host/flow"
)

// The errors that a Go function can return mean what those of every other kind of plugin mean.
func TestErrorsOfAFunc(t *testing.T) {
	t.Parallel()
	h := begin(t, host.Config{Data: t.TempDir()})
	retry := flow.Retry{Attempts: 2, Backoff: flow.Backoff{Min: time.Millisecond, Max: time.Millisecond}}
	const wait = 30 * time.Millisecond
	define(t, h, flow.Pipeline{Name: "nothing", Retry: retry}, func(context.Context, *host.Call) error { return host.Skip("nothing new") })
	define(t, h, flow.Pipeline{Name: "busy", Retry: retry}, func(context.Context, *host.Call) error { return host.Retry(errors.New("busy"), wait) })

	result, err := h.RunNow(t.Context(), "nothing", nil)
	if err != nil || !result.Success {
		t.Fatalf("got %+v, %v", result, err)
	}
	if s := result.Steps[0]; s.Outcome != flow.Skipped || s.Message != "nothing new" || len(s.Attempts) != 1 {
		t.Errorf("a step that skips itself: %+v", s)
	}
	result, err = h.RunNow(t.Context(), "busy", nil)
	if err != nil || result.Success {
		t.Fatalf("got %+v, %v", result, err)
	}
	tried := result.Steps[0].Attempts
	if len(tried) != 2 || tried[1].StartedAt.Sub(*tried[0].EndedAt) < wait {
		t.Errorf("a step that asks for %s: %+v", wait, tried)
	}
}
