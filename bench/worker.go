package main

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/hosttest"
)

const (
	nameWorker = "Uniflow, reset sandbox in a worker"
	// hostilePerCore is how many workers execute runaway guests at one time, per
	// processor.
	hostilePerCore = 4
)

// inWorkers is how modules are loaded that workers execute.
func inWorkers() hosttest.Config { return hosttest.Config{Isolation: flow.IsolationWorker} }

// addWorker adds the step as Uniflow runs it in a confined process of its own.
func (l *lineup) addWorker(ctx context.Context, lang, path string) error {
	m, err := hosttest.Load(ctx, path, inWorkers())
	if err != nil {
		return fmt.Errorf("load in a worker: %w", err)
	}
	l.closers = append(l.closers, func(context.Context) error { return m.Close() })
	l.add(lang, nameWorker, peer, func(ctx context.Context) ([]byte, error) { return l.ours(ctx, m) })
	return nil
}

// workerGoals compares the step in a worker with what the transport costs.
func workerGoals(all []series) []figure {
	const name = "C step in a worker to a bare go-plugin call"
	worker, ok := named(all, langC, nameWorker)
	bare, started := named(all, langGo, nameGoPlugin)
	if !ok || !started {
		return nil
	}
	return []figure{ratios(name, worker.p50, bare.p50).most(1.3).unless(unsteady(bare.Name, bare.p50))}
}

// workerStops measures how fast runaway guests are stopped that keep several
// workers a processor busy. In a first round, which does not count, workers
// start and load the guests.
func (l *lineup) workerStops(ctx context.Context) (part, error) {
	guests, closeAll, err := l.loadRunaways(ctx, inWorkers())
	defer closeAll()
	if err != nil {
		return part{}, err
	}
	var all []time.Duration
	for round := range 1 + l.count(rounds/2) {
		for _, g := range guests {
			late, err := crowd(ctx, g, hostilePerCore*runtime.NumCPU())
			if err != nil {
				return part{}, err
			}
			if round > 0 {
				all = append(all, late...)
			}
		}
	}
	name := fmt.Sprintf("runaway guests in %d workers a core", hostilePerCore)
	return part{Goals: stopGoals(name, all, 250*time.Millisecond, 250*time.Millisecond)}, nil
}

// crowd runs a guest in so many workers at one time until its deadline.
func crowd(ctx context.Context, g runaway, workers int) ([]time.Duration, error) {
	late, errs := make([]time.Duration, workers), make([]error, workers)
	var all sync.WaitGroup
	for i := range workers {
		all.Go(func() { late[i], errs[i] = g.late(ctx) })
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return late, nil
}
