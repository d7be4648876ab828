package main

import (
	"context"
	"errors"
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
	// startTime is what workers are given to start, all at once.
	startTime = 2 * time.Second
	// workerStop is how late a guest in a worker may be stopped.
	workerStop = 250 * time.Millisecond
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
// workers a processor busy.
func (l *lineup) workerStops(ctx context.Context) (part, error) {
	if priority() != "" { // which workers inherit
		return part{Goals: workerStopGoals([]time.Duration{0}, "in the real-time class each of many workers has the machine for 100 ms at a time")}, nil
	}
	guests, closeAll, err := l.loadRunaways(ctx, inWorkers())
	defer closeAll()
	if err != nil {
		return part{}, err
	}
	all, err := l.crowds(ctx, guests)
	busy := ""
	if errors.Is(err, errNoWorker) {
		all, busy, err = []time.Duration{0}, err.Error(), nil
	}
	if err != nil {
		return part{}, err
	}
	return part{Goals: workerStopGoals(all, busy)}, nil
}

func workerStopGoals(late []time.Duration, skipped string) []figure {
	goals := stopGoals(fmt.Sprintf("runaway guests in %d workers a core", hostilePerCore), late, workerStop, workerStop)
	for i := range goals {
		goals[i] = goals[i].unless(skipped)
	}
	return goals
}

// crowds runs all guests, each in many workers at one time. The first crowd of
// a module does not count: it has the time to start its workers.
func (l *lineup) crowds(ctx context.Context, guests []runaway) ([]time.Duration, error) {
	var all []time.Duration
	ready := map[*hosttest.Module]bool{}
	for _, g := range guests {
		if !ready[g.module] {
			if _, err := g.crowd(ctx, startTime); err != nil {
				return nil, err
			}
			ready[g.module] = true
		}
		for range l.count(rounds / 2) {
			late, err := g.crowd(ctx, runawayTime)
			if err != nil {
				return nil, err
			}
			all = append(all, late...)
		}
	}
	return all, nil
}

// crowd runs the guest in several workers a processor at one time until its
// deadline.
func (r runaway) crowd(ctx context.Context, after time.Duration) ([]time.Duration, error) {
	workers := hostilePerCore * runtime.NumCPU()
	late, errs := make([]time.Duration, workers), make([]error, workers)
	var all sync.WaitGroup
	for i := range workers {
		all.Go(func() { late[i], errs[i] = r.late(ctx, after) })
	}
	all.Wait()
	return late, errors.Join(errs...)
}
