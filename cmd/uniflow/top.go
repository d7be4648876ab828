package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/tool"
)

const (
	topEvery   = time.Second
	topReread  = 10 * time.Second // of what is costly: all schedules
	topRuns    = 20               // that are shown with their step
	topListed  = 5                // of other things
	topTenants = 10
)

func (a *app) topCommand() *cobra.Command {
	var once bool
	c := &cobra.Command{
		Use: "top", Short: "Watch a host: tenants, live runs, what fires next, what has failed", Args: args(0, 0),
		Long: `Show a host that serves, once a second: its tenants with what they use of their quotas, the runs that are live, the
schedules that fire next, the last failures, and the incidents that are open. q or Ctrl-C ends it.

With --once or --json, and where the output is no terminal, it is shown once.`,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.with(c.Context(), tool.Serving, func(l *tool.Link) error {
				t := &top{control: l}
				if once || a.json || !a.out.terminal {
					report, err := t.look(c.Context(), time.Now())
					if err != nil {
						return err
					}
					return a.answer(report, func() { fmt.Fprint(a.out, strings.Join(a.frame(&report), "\n")+"\n") })
				}
				return a.watchTop(c.Context(), t)
			})
		},
	}
	c.Flags().BoolVar(&once, "once", false, "show it once")
	return c
}

// top looks at a host again and again.
type top struct {
	control   flow.Control
	schedules []flow.ScheduleInfo
	read      time.Time // when schedules were read
}

// look reads what there is to show.
func (t *top) look(ctx context.Context, now time.Time) (flow.TopReport, error) {
	r := flow.TopReport{At: now.UTC()}
	var err error
	if r.Host, err = t.control.Info(ctx); err != nil {
		return r, err
	}
	if r.Tenants, err = t.control.Tenants(ctx); err != nil {
		return r, err
	}
	if r.Failed, err = t.control.Runs(ctx, flow.RunQuery{Outcome: flow.Failed, Limit: topListed}); err != nil {
		return r, err
	}
	health, err := t.control.Health(ctx)
	if err != nil {
		return r, err
	}
	if t.stale(now) {
		if t.schedules, err = t.control.Schedules(ctx); err != nil {
			return r, err
		}
		t.read = now
	}
	r.Incidents, r.Alerts, r.Next = list(health.Incidents), list(health.Alerts), t.next()
	r.Tenants, r.Failed = list(r.Tenants), list(r.Failed)
	return r, t.live(ctx, &r, now)
}

// stale reports whether schedules are to be read again: they are old, or one of them has fired.
func (t *top) stale(now time.Time) bool {
	return now.Sub(t.read) >= topReread || slices.ContainsFunc(t.schedules, func(s flow.ScheduleInfo) bool { return s.NextRun != nil && s.NextRun.Before(now) })
}

func (t *top) next() []flow.TopSlot {
	slots := []flow.TopSlot{}
	for i := range t.schedules {
		if s := &t.schedules[i]; s.NextRun != nil {
			slots = append(slots, flow.TopSlot{Schedule: s.Name, Pipeline: s.Pipeline, At: *s.NextRun})
		}
	}
	slices.SortStableFunc(slots, func(a, b flow.TopSlot) int { return a.At.Compare(b.At) })
	return slots[:min(len(slots), topListed)]
}

// live fills in the runs that execute.
func (t *top) live(ctx context.Context, r *flow.TopReport, now time.Time) error {
	runs, err := t.control.Runs(ctx, flow.RunQuery{State: flow.StateRunning, Limit: 1000})
	if err != nil {
		return err
	}
	r.Running, r.Live = len(runs), []flow.TopRun{}
	slices.Reverse(runs)
	for i := range runs[:min(len(runs), topRuns)] {
		run := &runs[i]
		shown := flow.TopRun{Run: run.ID, Pipeline: flow.ID(run.Tenant, run.Pipeline), Took: flow.Duration(run.Duration(now)), Late: t.late(run)}
		whole, err := t.control.Run(ctx, string(run.ID))
		switch {
		case errors.Is(err, flow.ErrNotFound):
			continue // it has ended, and its pipeline keeps nothing
		case err != nil:
			return err
		}
		for s := range whole.Steps {
			if step := &whole.Steps[s]; step.State == flow.StateRunning {
				shown.Step = step.Name
				if n := len(step.Attempts); n > 0 {
					shown.Attempt = step.Attempts[n-1].Attempt
				}
			}
		}
		r.Live = append(r.Live, shown)
	}
	return nil
}

// late is how long after it came due a slot's run has started.
func (t *top) late(run *flow.RunRecord) flow.Duration {
	if run.Trigger.Kind != flow.TriggerSchedule || run.StartedAt == nil {
		return 0
	}
	due := run.Trigger.ScheduledAt
	for i := range t.schedules {
		if t.schedules[i].Name == flow.ID(run.Tenant, run.Trigger.Schedule) {
			due = due.Add(t.schedules[i].Delay.Std())
		}
	}
	return flow.Duration(max(0, run.StartedAt.Sub(due)))
}

// watchTop draws a host on the terminal until a key, a signal or an error ends it.
func (a *app) watchTop(ctx context.Context, t *top) error {
	ctx, quit := context.WithCancel(ctx)
	defer quit()
	if in, ok := a.in.(*os.File); ok && term.IsTerminal(int(in.Fd())) {
		before, err := term.MakeRaw(int(in.Fd()))
		if err == nil {
			defer func() { _ = term.Restore(int(in.Fd()), before) }()
			go quitOn(in, quit) // a read of the terminal has no end but that of the process
		}
	}
	fmt.Fprint(a.out, "\x1b[?1049h\x1b[?25l") // a screen of our own, without the cursor
	defer fmt.Fprint(a.out, "\x1b[?25h\x1b[?1049l")
	ticker := time.NewTicker(topEvery)
	defer ticker.Stop()
	for {
		report, err := t.look(ctx, time.Now())
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		}
		width, height := a.out.size()
		fmt.Fprint(a.out, over(a.frame(&report), width, height))
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// quitOn calls quit once q, Ctrl-C or the end of the terminal is read.
func quitOn(in io.Reader, quit func()) {
	defer quit()
	for b := make([]byte, 16); ; {
		n, err := in.Read(b)
		if err != nil || bytes.ContainsAny(b[:n], "qQ\x03\x04") {
			return
		}
	}
}

// over draws lines over what the screen shows, cut to its size.
func over(text []string, width, height int) string {
	var b strings.Builder
	b.WriteString("\x1b[H")
	for i, l := range text {
		if i == height {
			break
		}
		if i > 0 {
			b.WriteString("\r\n")
		}
		b.WriteString(cut(l, width) + "\x1b[K")
	}
	b.WriteString("\x1b[J")
	return b.String()
}

// cut shortens a line to a width; what sets colours has none, and is kept.
func cut(text string, width int) string {
	var b strings.Builder
	inside := false
	for _, r := range text {
		switch {
		case r == '\x1b':
			inside = true
		case inside:
			inside = r != 'm'
		case width == 0:
			continue
		default:
			width--
		}
		b.WriteRune(r)
	}
	return b.String()
}
