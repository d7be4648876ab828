package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/uniflow-dev/uniflow/host"
	"github.com/uniflow-dev/uniflow/host/flow"
)

// historyEnv makes this program a host on the data folder that it names.
const historyEnv = "UNIFLOW_BENCH_HISTORY"

// historyMain serves until the process is killed, if it is such a host. It tells
// when a slot of this life starts.
func historyMain() {
	data := os.Getenv(historyEnv)
	if data == "" {
		return
	}
	ctx, begin := context.Background(), time.Now()
	h, err := host.Open(ctx, host.Config{Data: data})
	if err == nil {
		err = h.Register("tick", func(ctx context.Context, c *host.Call) error {
			if c.ScheduledAt.After(begin) {
				fmt.Println("slot")
			}
			<-ctx.Done() // the kill meets a run
			return ctx.Err()
		})
	}
	if err == nil {
		err = h.Define(ctx, flow.Pipeline{Name: "tick", Schedule: "every 1s", Overlap: flow.OverlapReplace, Steps: map[string]flow.Step{"tick": {Plugin: "tick"}}})
	}
	if err == nil {
		err = h.Start(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	select {}
}

// restarted measures how long a host takes from its start to its first slot,
// with much history, after it was killed.
func (l *lineup) restarted(ctx context.Context) (part, error) {
	runs := 1000 * l.count(100)
	data := filepath.Join(l.dir, "history")
	store, err := buildInside(ctx, l.dir, storePackage)
	if err == nil {
		err = errors.Join(os.Mkdir(data, 0o700), os.Setenv("HISTORY", strconv.Itoa(runs)), os.Setenv("HISTORY_DIR", data))
	}
	if err != nil {
		return part{}, err
	}
	if _, err := store.bench(ctx, "^BenchmarkOpenWithHistory$", "1x", "ns/op"); err != nil {
		return part{}, err
	}
	var took []time.Duration
	for n := range 1 + l.count(5) {
		each, err := lifeOf(ctx, data)
		if err != nil {
			return part{}, err
		}
		if n > 0 { // nobody was killed before the first one
			took = append(took, each)
		}
	}
	name := fmt.Sprintf("restart after a kill, %d runs of history: start of the process to the first slot", runs)
	return part{Goals: []figure{lasting(name, took).most(2)}}, nil
}

// lifeOf starts a host, waits for a slot, kills it, and returns how long the
// slot took to come.
func lifeOf(ctx context.Context, data string) (time.Duration, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env, cmd.Stderr = append(os.Environ(), historyEnv+"="+data), os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	took := time.Since(begin)
	_ = cmd.Process.Kill()
	_, _ = io.Copy(io.Discard, out)
	_ = cmd.Wait() // it was killed
	if err != nil {
		return 0, fmt.Errorf("a host with history fires no slot: %q, %w", line, err)
	}
	return took, nil
}
