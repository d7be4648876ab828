package wasm

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/plugintest"
	"github.com/uniflow-dev/uniflow/host/internal/plugintest/guest"
)

// What is kept is counted, and nothing is when the runtime has closed.
func TestKeptMemoryIsCounted(t *testing.T) {
	t.Parallel()
	r, err := New(t.Context(), Config{})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("..", "..", "..", "plugins", "echo", "echo.wasm")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	p := flow.PlanPlugin{Name: "echo", Kind: flow.KindWasm, Path: path, Digest: flow.DigestOf(b)}
	m, err := r.Load(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if _, err := m.Call(t.Context(), plugintest.NewCall(t, guest.With{}), plugintest.NewHost(t.Context())); err != nil {
			t.Fatal(err)
		}
	}
	e, release, err := r.acquire(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	for key, pool := range maps.Clone(e.pools) {
		pool.trimIdle() // nothing is old enough
		if other := e.pool(poolKey{tenant: "other", plugin: key.plugin}, &p); other == pool {
			t.Error("two tenants share instances")
		}
	}
	release()
	if r.kept.used.Load() == 0 {
		t.Error("nothing is kept between attempts")
	}
	if err := r.Close(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
	if n := r.kept.used.Load(); n != 0 {
		t.Errorf("%d bytes are still kept", n)
	}
}
