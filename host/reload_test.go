package host_test

import (
	"context"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// A tenant whose files never stand still holds up no other tenant that changes its own.
func TestATenantThatAlwaysChangesHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	path, put := clockTenants(t)
	h := serving(t, path)
	defer h.Close()
	version := func(id string) flow.Digest {
		t.Helper()
		info, err := h.Pipeline(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		return info.Version
	}
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.Watch(ctx)
	}()
	defer func() { cancel(); <-done }()
	for _, round := range []struct {
		word     string
		restless bool
	}{{"two", false}, {"three", true}} { // the first look of all applies whatever there is
		before := version("beta/hello")
		put("beta/uniflow.toml", ofTenant(round.word))
		for end := time.Now().Add(30 * time.Second); version("beta/hello") == before; <-ticker.C {
			if round.restless {
				put("acme/uniflow.toml", ofTenant("at "+time.Now().String()))
			}
			if time.Now().After(end) {
				t.Fatalf("what beta has changed to %q was not applied in 30 s", round.word)
			}
		}
	}
}
