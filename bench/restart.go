package main

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"time"

	"github.com/uniflow-dev/uniflow/host/hosttest"
)

// restart measures how long our engine takes to make the Go module ready, with
// a cache that is empty and then with one that holds it.
func (l *lineup) restart(ctx context.Context) (part, error) {
	var cold, known []time.Duration
	for i := range l.count(5) {
		c := hosttest.Config{CacheDir: filepath.Join(l.dir, fmt.Sprintf("cache-%d", i))}
		for _, into := range []*[]time.Duration{&cold, &known} {
			took, err := loading(ctx, l.goReactor, c)
			if err != nil {
				return part{}, err
			}
			*into = append(*into, took)
		}
	}
	return part{
		Goals:   []figure{ratios("cold compilation to the load of a known module", cold, known).least(20).unless(unsteady("cold compilation", cold))},
		Details: []figure{lasting("load of the Go module, cold", cold), lasting("load of the Go module, known", known)},
	}, nil
}

// loading loads a module once.
func loading(ctx context.Context, path string, c hosttest.Config) (time.Duration, error) {
	runtime.GC()
	start := time.Now()
	m, err := hosttest.Load(ctx, path, c)
	took := time.Since(start)
	if err == nil {
		err = m.Close()
	}
	if err != nil {
		return 0, fmt.Errorf("load %s: %w", filepath.Base(path), err)
	}
	return took, nil
}
