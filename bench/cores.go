package main

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/uniflow-dev/uniflow/host/hosttest"
)

// cores measures how much more two processors do than one.
func (l *lineup) cores(ctx context.Context) (part, error) {
	const name = "two cores to one, isolated Go runs"
	if runtime.NumCPU() < 2 {
		return part{Goals: []figure{{Name: name, Unit: times, Skipped: "this machine has one core"}}}, nil
	}
	m, err := hosttest.Load(ctx, l.goReactor, hosttest.Config{})
	if err != nil {
		return part{}, fmt.Errorf("load under Uniflow: %w", err)
	}
	defer m.Close()
	call := func() error { return second(l.ours(ctx, m)) }
	if err := call(); err != nil {
		return part{}, err
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	var one, two []time.Duration
	for range l.count(rounds) {
		for n, into := range map[int]*[]time.Duration{1: &one, 2: &two} {
			each, err := throughput(n, l.each/rounds, call)
			if err != nil {
				return part{}, err
			}
			*into = append(*into, each)
		}
	}
	return part{
		Goals:   []figure{ratios(name, one, two).least(1.7).unless(unsteady("one core", one))},
		Details: []figure{lasting("isolated Go run, one core busy with them", one), lasting("isolated Go run, two cores busy with them", two)},
	}, nil
}

// throughput keeps so many cores busy with calls, each with one caller, and
// returns the time by which it got one more done.
func throughput(cores int, budget time.Duration, call func() error) (time.Duration, error) {
	runtime.GOMAXPROCS(cores)
	runtime.GC()
	var done atomic.Int64
	var callers sync.WaitGroup
	failures := make(chan error, cores)
	begin := time.Now()
	for range cores {
		callers.Go(func() {
			var err error
			for err == nil && (time.Since(begin) < budget || done.Load() == 0) {
				err = call()
				done.Add(1)
			}
			failures <- err
		})
	}
	callers.Wait()
	took := time.Since(begin) / time.Duration(done.Load())
	for range cores {
		if err := <-failures; err != nil {
			return 0, err
		}
	}
	return took, nil
}
