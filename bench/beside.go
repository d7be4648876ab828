package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/uniflow-dev/uniflow/host"
	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/hosttest"
)

// besideTime is for how many seconds a schedule fires beside runaway guests.
const besideTime = 15

// beside measures whether a schedule of every second stays on time while
// runaway guests keep all cores of its process busy.
func (l *lineup) beside(ctx context.Context) (part, error) {
	h, err := host.Open(ctx, host.Config{Data: filepath.Join(l.dir, "beside")})
	if err != nil {
		return part{}, fmt.Errorf("open a host: %w", err)
	}
	defer h.Close()
	seconds := l.count(besideTime)
	late := make(chan time.Duration, 2*besideTime)
	err = errors.Join(
		h.Register("clock", func(_ context.Context, c *host.Call) error {
			late <- time.Since(c.ScheduledAt)
			return nil
		}),
		h.Define(ctx, flow.Pipeline{Name: "clock", Steps: map[string]flow.Step{"tell": {Plugin: "clock"}}}),
		h.ScheduleInterval(ctx, "clock", "clock", time.Second, nil),
		h.Start(ctx))
	if err != nil {
		return part{}, fmt.Errorf("schedule a pipeline: %w", err)
	}
	guests, closeAll, err := l.loadRunaways(ctx, hosttest.Config{})
	defer closeAll()
	if err != nil {
		return part{}, err
	}
	limited, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	for n := range 2 * runtime.GOMAXPROCS(0) {
		running.Go(func() {
			for i := n; limited.Err() == nil; i++ {
				_, _ = guests[i%len(guests)].late(limited, 10*runawayTime) // that it is stopped is measured elsewhere
			}
		})
	}
	all, err := take(ctx, late, seconds)
	stop()
	running.Wait()
	if err != nil {
		return part{}, err
	}
	const name = "a schedule of every second beside runaway guests on all cores, late by"
	return part{
		Goals:   []figure{lasting(name+", worst", []time.Duration{slices.Max(all)}).most(0.1)},
		Details: []figure{lasting(name, all)},
	}, nil
}

// take waits for so many values, twice as many seconds at most.
func take(ctx context.Context, from <-chan time.Duration, n int) (all []time.Duration, err error) {
	limit := time.After(time.Duration(2*n+5) * time.Second)
	for len(all) < n {
		select {
		case d := <-from:
			all = append(all, d)
		case <-limit:
			return nil, fmt.Errorf("%d of %d slots had a run", len(all), n)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return all, nil
}
