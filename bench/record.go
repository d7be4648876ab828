package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Packages whose benchmarks say what no embedder can see.
const (
	project         = "github.com/uniflow-dev/uniflow"
	storePackage    = project + "/host/internal/store/sqlite"
	schedulePackage = project + "/host/internal/schedule"
)

// inside is the test program of a package of the host.
type inside struct{ path string }

// buildInside builds it where its module is.
func buildInside(ctx context.Context, dir, of string) (inside, error) {
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", project).Output()
	if err != nil {
		return inside{}, fmt.Errorf("find the module of the host: %w", err)
	}
	i := inside{filepath.Join(dir, program(filepath.Base(of)+"-test"))}
	cmd := exec.CommandContext(ctx, "go", "test", "-c", "-o", i.path, of)
	cmd.Dir = string(bytes.TrimSpace(root))
	if said, err := cmd.CombinedOutput(); err != nil {
		return inside{}, fmt.Errorf("build the benchmarks of %s: %w\n%s", of, err, said)
	}
	return i, nil
}

// bench runs one benchmark so many times and returns one of the numbers that it
// reports.
func (i inside) bench(ctx context.Context, name, times, unit string) (float64, error) {
	cmd := exec.CommandContext(ctx, i.path, "-test.run=^$", "-test.bench="+name, "-test.benchtime="+times)
	cmd.Dir, cmd.Stderr = filepath.Dir(i.path), os.Stderr
	said, err := cmd.Output()
	if err != nil {
		return 0, fmt.Errorf("benchmark %s: %w\n%s", name, err, said)
	}
	for lines := bufio.NewScanner(bytes.NewReader(said)); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		for n := 1; n < len(fields); n++ {
			if fields[n] == unit && strings.HasPrefix(fields[0], "Benchmark") {
				return strconv.ParseFloat(fields[n-1], 64)
			}
		}
	}
	return 0, fmt.Errorf("benchmark %s says nothing in %s:\n%s", name, unit, said)
}

// record measures the record alone: the transitions of 64 runs in flight, which
// share transactions, and beside it the same with a transaction for each.
func (l *lineup) record(ctx context.Context) (part, error) {
	const what = "the record alone, FULL, 64 runs in flight: "
	store, err := buildInside(ctx, l.dir, storePackage)
	if err != nil {
		return part{}, err
	}
	var shared, alone, ratio []float64
	for range l.count(5) {
		a, err := store.bench(ctx, "^BenchmarkRecord$/^alone$", fmt.Sprintf("%dx", 4*l.count(100)), "runs/s")
		if err != nil {
			return part{}, err
		}
		s, err := store.bench(ctx, "^BenchmarkRecord$/^together$", fmt.Sprintf("%dx", 60*l.count(100)), "runs/s")
		if err != nil {
			return part{}, err
		}
		alone, shared, ratio = append(alone, a), append(shared, s), append(ratio, s/a)
	}
	busy := ""
	if s := spread(alone); s > noisy {
		busy = fmt.Sprintf("a transaction per transition varied by %.0f %%", s*100)
	}
	return part{
		Goals: []figure{summary(what+"group commit to a transaction per transition", times, ratio).least(15).unless(busy)},
		Details: []figure{
			summary(what+"group commit", perSecond, shared),
			summary(what+"a transaction per transition", perSecond, alone),
		},
	}, nil
}

// year measures what becomes of a schedule of every second when the clock
// jumps by a year.
func (l *lineup) year(ctx context.Context) (part, error) {
	schedule, err := buildInside(ctx, l.dir, schedulePackage)
	if err != nil {
		return part{}, err
	}
	var took []time.Duration
	for range l.count(5) {
		ns, err := schedule.bench(ctx, "^BenchmarkYearPasses$", "20x", "ns/op")
		if err != nil {
			return part{}, err
		}
		took = append(took, time.Duration(ns))
	}
	return part{Goals: []figure{lasting("the clock jumps by a year, a schedule of every second: decided and recorded", took).most(0.01)}}, nil
}
