package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-co-op/gocron/v2"

	"github.com/uniflow-dev/uniflow/host"
	"github.com/uniflow-dev/uniflow/host/flow"
)

// crowd is a set of schedules that are all due at the same instants, each with a
// pipeline of its own, whose step is a small module.
type crowd struct {
	Schedules int
	// Every is the time between two instants.
	Every time.Duration
	// Times is how often they fire; the first one finds everything new.
	Times int
	// Dir holds the module, and takes the data folder.
	Dir string
	// Alone is gocron with as many empty jobs instead.
	Alone bool
}

// crowdSaid is what the process of a crowd says.
type crowdSaid struct {
	// Late is how late they were: of each instant, the 99th percentile.
	Late []time.Duration
	// Ready is how long it took to load and to arm them.
	Ready time.Duration
	// Before, After and Most are the memory that was resident before the first
	// instant, after the last one and at any time, in bytes; 0 where that cannot
	// be read.
	Before, After, Most int64
}

// crowdEnv makes this program the process of a crowd.
const crowdEnv = "UNIFLOW_BENCH_CROWD"

// crowdMain ends the process if it is a crowd's.
func crowdMain() {
	text := os.Getenv(crowdEnv)
	if text == "" {
		return
	}
	var c crowd
	err := json.Unmarshal([]byte(text), &c)
	var said crowdSaid
	if err == nil && c.Alone {
		said, err = c.alone()
	} else if err == nil {
		said, err = c.ours(context.Background())
	}
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(said)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// run measures in a process of its own, whose memory is nobody else's.
func (c crowd) run(ctx context.Context) (said crowdSaid, err error) {
	text, err := json.Marshal(c)
	if err != nil {
		return said, err
	}
	self, err := os.Executable()
	if err != nil {
		return said, err
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env, cmd.Stderr = append(os.Environ(), crowdEnv+"="+string(text)), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return said, fmt.Errorf("%d schedules: %w", c.Schedules, err)
	}
	return said, json.Unmarshal(out, &said)
}

// first returns the first instant that leaves time to look at what is there
// before.
func (c crowd) first() time.Time {
	return time.Now().Add(time.Second).Truncate(c.Every).Add(c.Every)
}

// percentile99 of one instant, of which no schedule may be missing.
func (c crowd) percentile99(late []time.Duration) (time.Duration, error) {
	if len(late) != c.Schedules {
		return 0, fmt.Errorf("%d of %d schedules fired at one instant; measure on a faster machine, or a quieter one", len(late), c.Schedules)
	}
	slices.Sort(late)
	return late[len(late)*99/100], nil
}

// alone measures gocron with empty jobs.
func (c crowd) alone() (said crowdSaid, err error) {
	begin := time.Now()
	clock, err := gocron.NewScheduler(gocron.WithLocation(time.UTC), gocron.WithGlobalJobOptions(gocron.WithSingletonMode(gocron.LimitModeReschedule)))
	if err != nil {
		return said, err
	}
	fired := make(chan time.Time, c.Schedules*(c.Times+2))
	text := fmt.Sprintf("*/%d * * * * *", int(c.Every/time.Second))
	for range c.Schedules {
		if _, err := clock.NewJob(gocron.CronJob(text, true), gocron.NewTask(func() { fired <- time.Now() })); err != nil {
			return said, err
		}
	}
	clock.Start()
	said.Ready = time.Since(begin)
	said.Before, _ = resident()
	late := map[int64][]time.Duration{}
	first := c.first()
	for at := range fired {
		if at.Before(first) {
			continue
		}
		slot := at.Truncate(c.Every)
		late[slot.UnixNano()] = append(late[slot.UnixNano()], at.Sub(slot))
		if len(late) == c.Times && len(late[slot.UnixNano()]) == c.Schedules {
			break
		}
	}
	said.After, said.Most = resident()
	return said, c.sum(&said, late)
}

// sum fills in the percentiles, the first instant first.
func (c crowd) sum(said *crowdSaid, late map[int64][]time.Duration) error {
	var slots []int64
	for slot := range late {
		slots = append(slots, slot)
	}
	slices.Sort(slots)
	for _, slot := range slots[:min(len(slots), c.Times)] {
		p99, err := c.percentile99(late[slot])
		if err != nil {
			return err
		}
		said.Late = append(said.Late, p99)
	}
	return nil
}

// ours measures a whole host, to the first instruction of the guests.
func (c crowd) ours(ctx context.Context) (said crowdSaid, err error) {
	manifest, err := c.manifest()
	if err != nil {
		return said, err
	}
	begin := time.Now()
	h, err := host.Open(ctx, host.Config{Manifest: manifest, Build: true})
	if err != nil {
		return said, err
	}
	defer func() { err = errors.Join(err, h.Close()) }()
	if err := h.Start(ctx); err != nil {
		return said, err
	}
	said.Ready = time.Since(begin)
	first := c.first()
	time.Sleep(time.Until(first) - 200*time.Millisecond)
	said.Before, _ = resident()
	last := first.Add(time.Duration(c.Times-1) * c.Every)
	time.Sleep(time.Until(last.Add(c.Every - 200*time.Millisecond)))
	said.After, said.Most = resident()
	late, err := c.stamps(ctx, h, first, last)
	if err != nil {
		return said, err
	}
	return said, c.sum(&said, late)
}

// manifest writes a pipeline and a schedule for each.
func (c crowd) manifest() (string, error) {
	var text strings.Builder
	fmt.Fprintf(&text, "version = 1\n[plugins.stamp]\nwasm  = %q\ngrant = { clock = true }\n", "stamp.wasm")
	for i := range c.Schedules {
		fmt.Fprintf(&text, "[pipelines.p%d]\nplugin   = \"stamp\"\nschedule = \"every %s\"\n", i, flow.Duration(c.Every))
	}
	path := filepath.Join(c.Dir, "uniflow.toml")
	return path, os.WriteFile(path, []byte(text.String()), 0o600)
}

// stamps reads what the guests told, by instant.
func (c crowd) stamps(ctx context.Context, h *host.Host, first, last time.Time) (map[int64][]time.Duration, error) {
	late := map[int64][]time.Duration{}
	query := flow.EventQuery{Kind: flow.StepEnded, Limit: 10_000}
	for {
		events, err := h.Events(ctx, query)
		if err != nil || len(events) == 0 {
			return late, err
		}
		for i := range events {
			query.After = events[i].Seq
			nanos, err := strconv.ParseInt(string(events[i].Outputs["at"]), 10, 64)
			if err != nil {
				return nil, fmt.Errorf("run %s: %s: %s", events[i].Run, events[i].Reason, events[i].Message)
			}
			at := time.Unix(0, nanos)
			if slot := at.Truncate(c.Every); !slot.Before(first) && !slot.After(last) {
				late[slot.UnixNano()] = append(late[slot.UnixNano()], at.Sub(slot))
			}
		}
	}
}

// resident returns the memory of this process that is resident, and the most
// that ever was, in bytes; 0 where that cannot be read.
func resident() (now, most int64) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, 0
	}
	for line := range strings.Lines(string(status)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		kilobytes, _ := strconv.ParseInt(fields[1], 10, 64)
		switch fields[0] {
		case "VmRSS:":
			now = kilobytes << 10
		case "VmHWM:":
			most = kilobytes << 10
		}
	}
	return now, most
}
