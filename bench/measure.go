package main

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/uniflow-dev/uniflow/host/hosttest"
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
func (l *lineup) measure(ctx context.Context, each time.Duration) ([]series, error) {
	all := make([]series, len(l.variants))
	for i, v := range l.variants {
		all[i].variant = v
	}
	for range rounds {
		for i := range all {
			p50, err := l.turn(ctx, all[i].variant, each/rounds)
			if err != nil {
				return nil, err
			}
			all[i].p50 = append(all[i].p50, p50)
		}
	}
	return all, nil
}

// turn measures one variant for a while and returns the p50 of one call. Each
// variant starts on a collected heap and pays for its own garbage.
func (l *lineup) turn(ctx context.Context, v variant, budget time.Duration) (time.Duration, error) {
	runtime.GC()
	var took time.Duration
	for range 2 { // the first one finds cold caches
		start := time.Now()
		if err := l.once(ctx, v); err != nil {
			return 0, err
		}
		took = time.Since(start)
	}
	calls := int(min(max(sampleTime/max(took, 1), 1), mostCalls))
	var samples []time.Duration
	for begin := time.Now(); len(samples) < leastSamples || time.Since(begin) < budget; {
		start := time.Now()
		for range calls {
			if err := l.once(ctx, v); err != nil {
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

// loadTimes says how long our engine takes to make a module ready.
type loadTimes struct {
	Cold   time.Duration `json:"cold_ns"`   // checked and compiled
	Cached time.Duration `json:"cached_ns"` // checked, and its code taken from the cache
}

// measureLoad loads a module several times, each with a cache of its own: the
// first load fills it, the second one reads it.
func measureLoad(ctx context.Context, path, dir string) (loadTimes, error) {
	var cold, cached []time.Duration
	for i := range 3 {
		config := hosttest.Config{CacheDir: filepath.Join(dir, fmt.Sprintf("cache-%d", i))}
		for _, into := range []*[]time.Duration{&cold, &cached} {
			runtime.GC()
			start := time.Now()
			m, err := hosttest.Load(ctx, path, config)
			if err != nil {
				return loadTimes{}, fmt.Errorf("load %s: %w", filepath.Base(path), err)
			}
			*into = append(*into, time.Since(start))
			if err := m.Close(); err != nil {
				return loadTimes{}, fmt.Errorf("close %s: %w", filepath.Base(path), err)
			}
		}
	}
	return loadTimes{Cold: median(cold), Cached: median(cached)}, nil
}
