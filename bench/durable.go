package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/uniflow-dev/uniflow/host"
	"github.com/uniflow-dev/uniflow/host/flow"
)

const (
	durablePipelines = 64 // one run of each is live at a time
	durableRounds    = 5
)

// durable measures whole runs with everything that is recorded of them: one
// step in a sandbox, and beside it one that is a Go function of the host.
func (l *lineup) durable(ctx context.Context) (part, error) {
	h, err := l.openHost(ctx)
	if err != nil {
		return part{}, fmt.Errorf("open a host: %w", err)
	}
	defer h.Close()
	kinds := []string{"c", "go", "func"}
	took := make([][]time.Duration, len(kinds))
	for range l.count(durableRounds) {
		for i, kind := range kinds {
			each, err := runAll(ctx, h, kind, l.each)
			if err != nil {
				return part{}, err
			}
			took[i] = append(took[i], each)
		}
	}
	const what = "durable runs, 64 in flight, step "
	p := part{Goals: []figure{share("durable C-step runs to those with a native step", took[0], took[2])}}
	for i, name := range []string{"in C", "in Go", "a function of the host"} {
		p.Details = append(p.Details, rate(what+name, took[i]))
	}
	return p, nil
}

// share compares the speed of runs with that of runs whose step costs nothing.
func share(name string, ours, native []time.Duration) figure {
	return ratios(name, native, ours).least(0.85).unless(unsteady("a native step", native))
}

// rate is how many runs a second took.
func rate(name string, took []time.Duration) figure {
	all := make([]float64, len(took))
	for i, d := range took {
		all[i] = 1 / d.Seconds()
	}
	return summary(name, perSecond, all)
}

// openHost opens a host with pipelines of one step, of each kind as many.
func (l *lineup) openHost(ctx context.Context) (*host.Host, error) {
	var text strings.Builder
	fmt.Fprintf(&text, "version = 1\n[defaults]\nlimits = { memory = \"64MiB\" }\n[plugins.c]\nwasm = %q\n[plugins.go]\nwasm = %q\n", "reactor.wasm", filepath.Base(l.goReactor))
	for i := range durablePipelines {
		for _, plugin := range []string{"c", "go"} {
			fmt.Fprintf(&text, "[pipelines.%s%d.steps.run]\nplugin = %q\nwith = { values = %s }\n", plugin, i, plugin, inputs(0)["values"])
		}
	}
	manifest := filepath.Join(l.dir, "uniflow.toml")
	if err := os.WriteFile(manifest, []byte(text.String()), 0o600); err != nil {
		return nil, err
	}
	h, err := host.Open(ctx, host.Config{Manifest: manifest, Build: true})
	if err != nil {
		return nil, err
	}
	return h, errors.Join(define(ctx, h), h.Start(ctx))
}

// define adds the pipelines whose step is a function.
func define(ctx context.Context, h *host.Host) error {
	err := h.Register("func", func(_ context.Context, c *host.Call) error { return c.Output("result", 1) })
	for i := range durablePipelines {
		err = errors.Join(err, h.Define(ctx, flow.Pipeline{Name: fmt.Sprintf("func%d", i), Steps: map[string]flow.Step{"run": {Plugin: "func"}}}))
	}
	return err
}

// runAll keeps one run of each pipeline of a kind in flight for a while, and
// returns the time by which one more had ended.
func runAll(ctx context.Context, h *host.Host, kind string, budget time.Duration) (time.Duration, error) {
	var done atomic.Int64
	var callers sync.WaitGroup
	failures := make(chan error, durablePipelines)
	begin := time.Now()
	for i := range durablePipelines {
		callers.Go(func() {
			for first := true; first || time.Since(begin) < budget; first = false {
				result, err := h.RunNow(ctx, fmt.Sprintf("%s%d", kind, i), nil)
				if err == nil {
					err = result.Err
				}
				if err != nil {
					failures <- err
					return
				}
				done.Add(1)
			}
		})
	}
	callers.Wait()
	took := time.Since(begin)
	close(failures)
	if err := <-failures; err != nil {
		return 0, err
	}
	return took / time.Duration(done.Load()), nil
}
