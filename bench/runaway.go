package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/hosttest"
)

// runaway is a guest that would not end by itself in any time that matters.
type runaway struct {
	name     string
	module   *hosttest.Module
	function string
}

const (
	// runawayTime is the deadline of a runaway guest.
	runawayTime = 20 * time.Millisecond
	// wasmHead begins every module.
	wasmHead = "\x00asm\x01\x00\x00\x00"
)

// section is a section of a module, shorter than 128 bytes.
func section(id byte, content string) string { return string([]byte{id, byte(len(content))}) + content }

// startsNever is a reactor whose start function is an endless loop.
func startsNever() string {
	const spin, nothing = "\x07\x00\x03\x40\x0c\x00\x0b\x0b", "\x02\x00\x0b"
	return wasmHead +
		section(1, "\x02\x60\x00\x00\x60\x00\x01\x7f") + // () and () -> i32
		section(3, "\x03\x00\x00\x01") +
		section(5, "\x01\x00\x01") +
		section(7, "\x03\x0euniflow_abi_v1\x00\x01\x0buniflow_run\x00\x02\x06memory\x02\x00") +
		section(8, "\x00") +
		section(10, "\x03"+spin+nothing+"\x04\x00\x41\x00\x0b")
}

// waits is a command that waits by poll_oneoff, again and again: for 292 years
// (kind 0), or for standard input beside what it was given (kind 1).
func waits(kind byte) string {
	again := "\x00\x03\x40\x41\x00\x41\xe8\x07\x41\x01\x41\xd0\x0f\x10\x00\x1a\x0c\x00\x0b\x0b"
	subscription := strings.Repeat("\x00", 8) + string(kind) + strings.Repeat("\x00", 15)
	if kind == 0 {
		subscription += strings.Repeat("\xff", 7) + "\x7f"
	}
	return wasmHead +
		section(1, "\x02\x60\x04\x7f\x7f\x7f\x7f\x01\x7f\x60\x00\x00") +
		section(2, "\x01\x16wasi_snapshot_preview1\x0bpoll_oneoff\x00\x00") +
		section(3, "\x01\x01") +
		section(5, "\x01\x00\x01") +
		section(7, "\x02\x06_start\x00\x01\x06memory\x02\x00") +
		section(10, "\x01"+string([]byte{byte(len(again))})+again) +
		section(11, "\x01\x00\x41\x00\x0b"+string([]byte{byte(len(subscription))})+subscription)
}

// loadRunaways loads all runaway guests; the function closes them.
func (l *lineup) loadRunaways(ctx context.Context, c hosttest.Config) (all []runaway, closeAll func(), err error) {
	var open []*hosttest.Module
	closeAll = func() {
		for _, m := range open {
			_ = m.Close()
		}
	}
	for _, g := range []struct {
		file, content string
		functions     []string
	}{
		{"runaway.wasm", "", []string{"loop", "recursion", "tree", "fill"}},
		{"start.wasm", startsNever(), []string{""}},
		{"sleep.wasm", waits(0), []string{""}},
		{"stdin.wasm", waits(1), []string{""}},
	} {
		path := filepath.Join(l.dir, g.file)
		if g.content != "" {
			if err := os.WriteFile(path, []byte(g.content), 0o600); err != nil {
				return nil, closeAll, err
			}
		}
		m, err := hosttest.Load(ctx, path, c)
		if err != nil {
			return nil, closeAll, fmt.Errorf("load %s: %w", g.file, err)
		}
		open = append(open, m)
		for _, f := range g.functions {
			name := f
			if name == "" {
				name = strings.TrimSuffix(g.file, ".wasm")
			}
			all = append(all, runaway{name, m, f})
		}
	}
	return all, closeAll, nil
}

// errNoWorker is what became of a guest whose worker was not ready in time.
var errNoWorker = errors.New("the machine was too busy to start workers in time")

// late runs the guest until its deadline stops it, and returns how long after
// that the call came back.
func (r runaway) late(ctx context.Context, after time.Duration) (time.Duration, error) {
	deadline := time.Now().Add(after)
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	_, err := r.module.Call(ctx, hosttest.Input{Function: r.function})
	late := time.Since(deadline)
	fault, ok := errors.AsType[*flow.Fault](err)
	if ok && fault.Reason == flow.ReasonCrashed {
		return 0, errNoWorker
	}
	if !ok || fault.Reason != flow.ReasonTimeout {
		return 0, fmt.Errorf("runaway guest %s: got %w, want a timeout", r.name, err)
	}
	return late, nil
}

// stops measures how fast runaway guests are stopped.
func (l *lineup) stops(ctx context.Context) (part, error) {
	guests, closeAll, err := l.loadRunaways(ctx, hosttest.Config{})
	defer closeAll()
	if err != nil {
		return part{}, err
	}
	var p part
	var all []time.Duration
	for _, g := range guests {
		var late []time.Duration
		for range l.count(rounds) {
			d, err := g.late(ctx, runawayTime)
			if err != nil {
				return part{}, err
			}
			late = append(late, d)
		}
		p.Details = append(p.Details, lasting("runaway guest "+g.name+", from the deadline to the return", late))
		all = append(all, late...)
	}
	p.Goals = stopGoals("runaway guests, inline", all, 20*time.Millisecond, 50*time.Millisecond)
	return p, nil
}

// stopGoals makes the median and the worst of how late guests were stopped.
func stopGoals(name string, late []time.Duration, median, worst time.Duration) []figure {
	return []figure{
		lasting(name+", stopped after the deadline, median", late).most(median.Seconds()),
		lasting(name+", stopped after the deadline, worst", []time.Duration{slices.Max(late)}).most(worst.Seconds()),
	}
}

// collection measures how long Go's garbage collector takes while a guest
// spins, and without one.
func (l *lineup) collection(ctx context.Context) (part, error) {
	m, err := hosttest.Load(ctx, filepath.Join(l.dir, "runaway.wasm"), hosttest.Config{})
	if err != nil {
		return part{}, err
	}
	defer m.Close()
	quiet := collect(l.count(100))
	limited, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, err := m.Call(limited, hosttest.Input{Function: "loop"})
		done <- err
	}()
	time.Sleep(runawayTime) // until it spins; whether it still does is seen below
	spinning := collect(l.count(100))
	select {
	case err := <-done:
		return part{}, fmt.Errorf("the guest that is to spin ended: %w", err)
	default:
	}
	cancel()
	<-done
	busy := ""
	if slices.Max(quiet) > 5*time.Millisecond {
		busy = "the worst without a guest is " + duration(slices.Max(quiet))
	}
	const name = "runtime.GC() while a guest spins"
	return part{
		Goals:   []figure{lasting(name+", worst of 100", []time.Duration{slices.Max(spinning)}).most(0.010).unless(busy)},
		Details: []figure{lasting(name, spinning), lasting("runtime.GC() without a guest", quiet)},
	}, nil
}

// collect collects garbage again and again.
func collect(times int) []time.Duration {
	all := make([]time.Duration, times)
	for i := range all {
		begin := time.Now()
		runtime.GC()
		all[i] = time.Since(begin)
	}
	return all
}
