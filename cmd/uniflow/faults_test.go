//go:build linux

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestFaults hits hosts with faults and holds them against what is promised: every slot has one ending, one run of a
// pipeline is live, nothing is open that is not live, what was acknowledged is there, no process is left over, and the
// next slot fires on time.
//
// ROUNDS is the number of rounds, 4 by default; SEED repeats one draw of faults and moments; FAULT draws only faults
// whose name begins with it; TOGETHER is the number of hosts at one time, 12 by default: rounds mostly wait. `make faults` sets the tag `faults`, without
// which no program kills itself at a named point.
func TestFaults(t *testing.T) {
	t.Parallel()
	rounds, seed, together := number("ROUNDS", 4), uint64(number("SEED", int(time.Now().UnixNano()&0xffffff))), number("TOGETHER", 12)
	from := t.TempDir()
	if err := template(t.Context(), from); err != nil {
		t.Fatal(err)
	}
	drawn, skipped := faults(os.Getenv("FAULT"))
	if len(drawn) == 0 {
		t.Fatalf("no fault is named %q", os.Getenv("FAULT"))
	}
	t.Logf("SEED=%d ROUNDS=%d", seed, rounds)
	order := rand.New(rand.NewPCG(seed, 0)).Perm(len(drawn))
	var mu sync.Mutex
	tallies := map[string]*tally{}
	var wait sync.WaitGroup
	slots := make(chan struct{}, together)
	for n := range rounds {
		f := drawn[order[n%len(order)]]
		slots <- struct{}{}
		wait.Go(func() {
			defer func() { <-slots }()
			wrong, first := round(t, from, f, rand.New(rand.NewPCG(seed, uint64(n)+1)))
			mu.Lock()
			defer mu.Unlock()
			if tallies[f.name] == nil {
				tallies[f.name] = &tally{}
			}
			tallies[f.name].add(wrong, first)
			for _, v := range wrong {
				t.Errorf("SEED=%d, round %d, %s: %s", seed, n, f.name, v)
			}
		})
	}
	wait.Wait()
	t.Logf("faults and violations:\n%s", table(tallies, skipped))
}

func number(name string, normal int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil && n > 0 {
		return n
	}
	return normal
}

// round is the life of one world: it lives, is hit, and is checked.
func round(t *testing.T, from string, f fault, rng *rand.Rand) ([]string, time.Duration) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	w, err := newWorld(ctx, from, rng)
	if err != nil {
		return []string{err.Error()}, 0
	}
	defer w.close()
	if before, ok := f.hit(w); ok {
		w.check(before)
	}
	if err := ctx.Err(); err != nil {
		w.violation("the round took too long: %v", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.wrong, w.first
}

// tally is what came of one fault.
type tally struct {
	rounds, violations int
	first              []time.Duration
}

func (c *tally) add(wrong []string, first time.Duration) {
	c.rounds++
	c.violations += len(wrong)
	if first > 0 {
		c.first = append(c.first, first)
	}
}

func table(tallies map[string]*tally, skipped map[string]string) string {
	var b strings.Builder
	rounds, violations := 0, 0
	fmt.Fprintf(&b, "%-24s %6s %10s %22s\n", "fault", "rounds", "violations", "start to first slot")
	var names []string
	for name := range tallies {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		c := tallies[name]
		rounds, violations = rounds+c.rounds, violations+c.violations
		longest := time.Duration(0)
		if len(c.first) > 0 {
			longest = slices.Max(c.first).Round(time.Millisecond)
		}
		fmt.Fprintf(&b, "%-24s %6d %10d %15s at most\n", name, c.rounds, c.violations, longest)
	}
	fmt.Fprintf(&b, "%-24s %6d %10d\n", "all", rounds, violations)
	for name, why := range skipped {
		fmt.Fprintf(&b, "%-24s skipped: %s\n", name, why)
	}
	return b.String()
}
