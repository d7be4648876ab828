package main

import (
	"context"
	"runtime"
	"slices"
	"time"
)

const (
	rounds = 10 // in each, every variant has one turn
	// leastSamples is how many samples a turn takes, however long they are.
	leastSamples = 5
	// sampleTime is what one sample takes at least: several calls where one is
	// too short to be timed by itself.
	sampleTime = 20 * time.Microsecond
	mostCalls  = 1000 // in one sample
)

// series is what was measured of one variant: its p50 in each round.
type series struct {
	variant
	p50 []time.Duration
}

// measure gives every variant one turn in each round, so that a noisy stretch
// of the machine meets all of them.
func (l *lineup) measure(ctx context.Context) ([]series, error) {
	all := make([]series, len(l.variants))
	calls := make([]func() error, len(l.variants))
	for i, v := range l.variants {
		all[i].variant = v
		calls[i] = func() error { return l.once(ctx, v) }
	}
	p50, err := byTurns(rounds, l.each/rounds, calls...)
	for i := range all {
		all[i].p50 = p50[i]
	}
	return all, err
}

// byTurns gives every call one turn in each round and returns the p50 of each
// in each round.
func byTurns(rounds int, budget time.Duration, calls ...func() error) ([][]time.Duration, error) {
	all := make([][]time.Duration, len(calls))
	for range rounds {
		for i, call := range calls {
			p50, err := turn(call, budget)
			if err != nil {
				return all, err
			}
			all[i] = append(all[i], p50)
		}
	}
	return all, nil
}

// turn makes a call for a while and returns the p50 of one. Each turn starts on
// a collected heap and pays for its own garbage.
func turn(call func() error, budget time.Duration) (time.Duration, error) {
	runtime.GC()
	var took time.Duration
	for range 2 { // the first one finds cold caches
		start := time.Now()
		if err := call(); err != nil {
			return 0, err
		}
		took = time.Since(start)
	}
	calls := int(min(max(sampleTime/max(took, 1), 1), mostCalls))
	var samples []time.Duration
	for begin := time.Now(); len(samples) < leastSamples || time.Since(begin) < budget; {
		start := time.Now()
		for range calls {
			if err := call(); err != nil {
				return 0, err
			}
		}
		samples = append(samples, time.Since(start)/time.Duration(calls))
	}
	return median(samples), nil
}

// median returns the middle value, the lower one of two.
func median[T time.Duration | float64](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[(len(sorted)-1)/2]
}

// second returns the error of a call whose answer does not matter.
func second(_ []byte, err error) error { return err }
