// Command bench measures one small step under Uniflow and beside it under its
// peers, all in one process and taking turns, and prints one table of ratios.
//
// It owns the comparison and nothing of the project. It must not print a
// number that it did not measure in the same run; what cannot be built on this
// machine is left out by name.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/uniflow-dev/uniflow/host"
)

func main() {
	host.WorkerMain()
	crowdMain()
	historyMain()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is main with its streams; it returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	each := flags.Duration("time", time.Second, "time to measure each variant of the step for, all rounds together")
	only := flags.String("only", "", "measure only what has this `text` in its name, as it is told while measuring")
	asJSON := flags.Bool("json", false, "print JSON, times in nanoseconds")
	asMarkdown := flags.Bool("md", false, "print docs/PERFORMANCE.md")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if flags.NArg() > 0 || *each <= 0 || *asJSON && *asMarkdown || *asMarkdown && *only != "" {
		fmt.Fprintln(stderr, "bench: takes no arguments, a positive -time, one of -json and -md, and -md of everything")
		return 2
	}
	r, err := measureAll(ctx, *each, *only, stderr)
	if err == nil {
		err = write(stdout, r, *asJSON, *asMarkdown)
	}
	if err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return 1
	}
	return 0
}

// measureAll builds, checks and measures everything, or what has a text in its
// name; it says on talk what it is doing.
func measureAll(ctx context.Context, each time.Duration, only string, talk io.Writer) (r report, err error) {
	dir, err := os.MkdirTemp("", "uniflow-bench-")
	if err != nil {
		return report{}, fmt.Errorf("make a folder for what is built: %w", err)
	}
	defer os.RemoveAll(dir)
	fmt.Fprintln(talk, "building")
	l := newLineup(dir, each)
	defer l.close(ctx)
	if err := l.assemble(ctx); err != nil {
		return report{}, err
	}
	fmt.Fprintln(talk, "checking that all give the same answer")
	if err := l.check(ctx); err != nil {
		return report{}, err
	}
	r.LeftOut = l.leftOut
	for _, m := range l.measurements() {
		if !strings.Contains(m.of, only) {
			continue
		}
		fmt.Fprintln(talk, "measuring", m.of)
		p, err := m.take(ctx)
		if err != nil {
			return report{}, fmt.Errorf("measure %s: %w", m.of, err)
		}
		r.Goals, r.Details = append(r.Goals, p.Goals...), append(r.Details, p.Details...)
	}
	r.Rows = l.rows
	r.Machine, err = l.facts(ctx)
	return r, err
}

// measurement is one of the things that are measured.
type measurement struct {
	of   string
	take func(context.Context) (part, error)
}

// measurements are all of them, in the order of the page.
func (l *lineup) measurements() []measurement {
	return []measurement{
		{fmt.Sprintf("%d variants of the step for %v each", len(l.variants), l.each), l.steps},
		{"loop kernels", l.kernels},
		{"runaway guests", l.stops},
		{"runaway guests in workers", l.workerStops},
		{"a schedule beside runaway guests", l.beside},
		{"the garbage collector beside a guest that spins", l.collection},
		{"1 MiB in and out", l.mebibyte},
		{"unchanged plugins of Extism", l.plugins},
		{"two cores", l.cores},
		{"how long the Go module takes to load", l.restart},
		{"durable runs", l.durable},
		{"the record", l.record},
		{"a year that passes at once", l.year},
		{"a restart with history", l.restarted},
		{"schedules that are due together", l.together},
	}
}

// write prints a report in the asked form.
func write(w io.Writer, r report, asJSON, asMarkdown bool) error {
	switch {
	case asJSON:
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(r)
	case asMarkdown:
		return r.markdown(w)
	}
	return r.text(w)
}
