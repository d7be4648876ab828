package host_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host"
	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/plugintest/hostile"
)

// attacks are modules that spin, take memory, recurse, and flood what they can reach.
func attacks(t *testing.T) map[string][]byte {
	t.Helper()
	names := []string{
		"a loop", "memory that grows to the limit page by page and is used up", "memory that is filled again and again", "a recursion without an end",
		"100,000 log lines", "log lines without an end", "standard output without an end", "outputs without an end",
	}
	modules := map[string][]byte{}
	for _, c := range hostile.Cases() {
		for i, name := range names {
			if c.Name == name {
				modules[fmt.Sprintf("m%d.wasm", i)] = c.Modules()[0]
			}
		}
	}
	if len(modules) != len(names) {
		t.Fatalf("found %d modules of %d", len(modules), len(names))
	}
	return modules
}

// A tenant that attacks on all its places, and has thousands of runs that wait, keeps neither another tenant's schedule
// nor the host's health waiting.
func TestScaleOfANoisyNeighbour(t *testing.T) {
	if hostile.Racing {
		t.Skip("the detector makes the start of workers ten times slower")
	}
	queued, watch, least := 200, 4*time.Second, 2
	if long() {
		queued, watch, least = 10_000, time.Minute, 57
	}
	dir := t.TempDir()
	modules := attacks(t)
	const copies = 2
	var text strings.Builder
	var pipelines []string
	for name := range modules {
		for n := range copies {
			p := fmt.Sprintf("%s-%d", strings.TrimSuffix(name, ".wasm"), n)
			fmt.Fprintf(&text, "[pipelines.%s]\nwasm = %q\ntimeout = { step = \"3s\" }\n", p, name)
			pipelines = append(pipelines, "noisy/"+p)
		}
	}
	tenant(t, dir, "noisy", text.String(), modules)
	tenant(t, dir, "quiet", "[pipelines.p]\nwasm = \"quiet.wasm\"\nschedule = \"every 1s\"\n", map[string][]byte{"quiet.wasm": quietModule()})
	h, _ := operate(t, dir, "[tenants.all]\nmanifest = \"tenants/*/uniflow.toml\"\n[tenants.all.quota]\nqueued = 20000\n")
	if long() { // what the machine is like
		_, begun, _, health := observe(t, h, watch/3)
		t.Logf("before: a step has begun: %s; GET /healthz: %s", begun, health)
	}
	flood(t, h, pipelines, queued)
	live, begun, ended, health := observe(t, h, watch)
	usage, err := h.Tenants(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the noisy tenant: %+v", usage[1].Usage)
	t.Logf("after a slot its run is live: %s; its step has begun: %s; it has ended: %s", live, begun, ended)
	t.Logf("GET /healthz: %s; %s", health, resident())
	if len(live) < least || begun.at(1) > latest() {
		t.Errorf("%d slots, the last step began %s late; want %d at least, each within %s", len(live), begun.at(1), least, latest())
	}
	if usage[1].Usage.Running == 0 || usage[1].Usage.Queued < queued/2 {
		t.Errorf("the neighbour made no noise: %+v", usage[1].Usage)
	}
}

// observe watches the quiet tenant and the host's health for a while.
func observe(t *testing.T, h *host.Host, watch time.Duration) (live, begun, ended, health times) {
	t.Helper()
	since := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), watch)
	defer cancel()
	health = <-watchHealth(ctx, t, h)
	live, begun, ended = lateness(t, h, "quiet", since)
	return live, begun, ended, health
}

// flood asks for runs until so many wait.
func flood(t *testing.T, h *host.Host, pipelines []string, queued int) {
	t.Helper()
	var all sync.WaitGroup
	for n := range 16 {
		all.Go(func() {
			for i := n; i < queued; i += 16 {
				if _, err := h.StartRun(t.Context(), flow.RunRequest{Pipeline: pipelines[i%len(pipelines)]}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}
