package main

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/tool"
)

func (a *app) runsCommand() *cobra.Command {
	c := a.group(&cobra.Command{
		Use: "runs", Short: "Show, repeat and cancel runs",
		Long: "Show, repeat and cancel runs. RUN is an id, the beginning of one that no other run shares, or @last.",
	})
	c.AddCommand(a.runsList(), a.completes(a.runsBackfill(), scheduleNames))
	for _, ofOne := range []*cobra.Command{a.runsShow(), a.runsLogs(), a.runsOutputs(), a.runsArtifacts(), a.runsRerun(), a.runsCancel()} {
		c.AddCommand(a.completes(ofOne, runNames))
	}
	return c
}

func (a *app) runsList() *cobra.Command {
	var q flow.RunQuery
	var state, outcome, before string
	c := &cobra.Command{
		Use: "list", Short: "List runs, newest first", Args: args(0, 0),
		Example: "  uniflow runs list --pipeline weather --outcome failed --limit 5",
		RunE: func(c *cobra.Command, _ []string) error {
			q.State, q.Outcome, q.Before = flow.State(state), flow.Outcome(outcome), flow.RunID(before)
			switch q.State {
			case "", flow.StateQueued, flow.StateRunning, flow.StateEnded:
			default:
				return usage(c, "--state %q is not one of queued, running, ended", state)
			}
			switch q.Outcome {
			case "", flow.Succeeded, flow.Failed, flow.Skipped, flow.Cancelled:
			default:
				return usage(c, "--outcome %q is not one of succeeded, failed, skipped, cancelled", outcome)
			}
			if q.Limit < 1 || q.Limit > 1000 {
				return usage(c, "--limit %d is not between 1 and 1000", q.Limit)
			}
			return a.with(c.Context(), tool.History, func(l *tool.Link) error {
				runs, err := l.Runs(c.Context(), q)
				if err != nil {
					return err
				}
				return a.answer(list(runs), func() { a.runs(runs, q.Limit) })
			})
		},
	}
	flags := c.Flags()
	flags.StringVar(&q.Pipeline, "pipeline", "", "runs of this pipeline only")
	flags.StringVar(&q.Project, "project", "", "runs of this project's pipelines only")
	flags.StringVar(&q.Schedule, "schedule", "", "runs of this schedule only")
	flags.StringVar(&state, "state", "", "queued, running or ended")
	flags.StringVar(&outcome, "outcome", "", "succeeded, failed, skipped or cancelled")
	flags.StringVar(&before, "before", "", "runs older than this `RUN`: the next page")
	flags.IntVar(&q.Limit, "limit", 50, "at most so many, up to 1000")
	a.completesFlag(c, "pipeline", pipelineNames)
	a.completesFlag(c, "schedule", scheduleNames)
	a.completesFlag(c, "before", runNames)
	a.words(c, "state", "queued", "running", "ended")
	a.words(c, "outcome", "succeeded", "failed", "skipped", "cancelled")
	return c
}

// runs writes a table of runs.
func (a *app) runs(runs []flow.RunRecord, limit int) {
	rows := [][]string{{"RUN", "PIPELINE", "WHY", "ASKED", "TOOK", "STANDING"}}
	for i := range runs {
		r := &runs[i]
		why, length := string(r.Trigger.Kind), "-"
		if r.Trigger.Schedule != "" {
			why += " " + r.Trigger.Schedule
		}
		if r.StartedAt != nil {
			length = took(r.Duration(time.Now()))
		}
		rows = append(rows, []string{string(r.ID), flow.ID(r.Tenant, r.Pipeline), why, stamp(r.QueuedAt), length, standing(r)})
	}
	a.table(a.out, rows)
	switch len(runs) {
	case 0:
		a.say("no run that matches is recorded")
	case limit:
		a.say("older ones: --before %s", runs[limit-1].ID)
	}
}

// withRun finds a run and calls do.
func (a *app) withRun(ctx context.Context, access tool.Access, name string, do func(*tool.Link, *flow.RunRecord) error) error {
	return a.with(ctx, access, func(l *tool.Link) error {
		record, err := l.Run(ctx, name)
		if err != nil {
			return err
		}
		return do(l, &record)
	})
}

func (a *app) runsShow() *cobra.Command {
	return &cobra.Command{
		Use: "show RUN", Short: "Show a run with its steps and attempts", Args: args(1, 1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.withRun(c.Context(), tool.History, args[0], func(l *tool.Link, r *flow.RunRecord) error {
				v, err := l.RunVersion(c.Context(), string(r.ID))
				if err != nil {
					return err
				}
				return a.answer(r, func() {
					a.tree(a.out, r)
					consumption(a.out, r)
					a.runVersion(&v)
					if len(r.Context) > 0 {
						fmt.Fprint(a.out, "context  ")
						_ = a.writeJSON(r.Context) // what was read as JSON can be written
					}
				})
			})
		},
	}
}

// followEvery is the time between looks for new log lines.
const followEvery = 500 * time.Millisecond

func (a *app) runsLogs() *cobra.Command {
	var follow bool
	var step string
	c := &cobra.Command{
		Use: "logs RUN", Short: "Show what the plugins of a run logged", Args: args(1, 1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.withRun(c.Context(), tool.History, args[0], func(l *tool.Link, r *flow.RunRecord) error {
				if err := hasStep(r, step); err != nil && r.State == flow.StateEnded { // or it may yet begin
					return err
				}
				if follow {
					return a.followLogs(c.Context(), l, r, step)
				}
				logs, err := allLogs(c.Context(), l, flow.LogQuery{Run: r.ID, Step: step})
				if err != nil {
					return err
				}
				return a.answer(list(logs), func() { a.logs(logs) })
			})
		},
	}
	// The shared flag gives its letter away here.
	c.Flags().StringVar(&a.file, "file", tool.ManifestName, "manifest `PATH`")
	c.Flags().BoolVarP(&follow, "follow", "f", false, "go on until the run has ended; with --json, one object a line")
	c.Flags().StringVar(&step, "step", "", "of this step only")
	return c
}

// logPage is how many lines are asked for at once.
const logPage = 1000

// allLogs reads all lines that there are.
func allLogs(ctx context.Context, l *tool.Link, q flow.LogQuery) ([]flow.LogLine, error) {
	var all []flow.LogLine
	for {
		q.Limit = logPage
		page, err := l.Logs(ctx, q)
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if len(page) < logPage {
			return all, nil
		}
		q.After = page[len(page)-1].Seq
	}
}

// followLogs writes lines as they are recorded, until the run has ended.
func (a *app) followLogs(ctx context.Context, l *tool.Link, r *flow.RunRecord, step string) error {
	q := flow.LogQuery{Run: r.ID, Step: step}
	for {
		over, err := l.Events(ctx, flow.EventQuery{Run: r.ID, Kind: flow.RunEnded, Limit: 1})
		if err != nil {
			return err
		}
		page, err := allLogs(ctx, l, q)
		if err != nil {
			return err
		}
		if len(page) > 0 {
			q.After = page[len(page)-1].Seq
		}
		if err := a.streamLogs(page); err != nil || len(over) > 0 {
			return err
		}
		select {
		case <-time.After(followEvery):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (a *app) streamLogs(page []flow.LogLine) error {
	if !a.json {
		a.logs(page)
		return nil
	}
	for i := range page {
		raw, err := compact(page[i])
		if err != nil {
			return err
		}
		fmt.Fprintf(a.out, "%s\n", raw)
	}
	return nil
}

// logs writes log lines.
func (a *app) logs(logs []flow.LogLine) {
	for i := range logs {
		l := &logs[i]
		step := l.Step
		if l.Item != nil {
			step += fmt.Sprintf("[%d]", *l.Item)
		}
		fmt.Fprintf(a.out, "%s %-5s %s: %s\n", l.At.UTC().Format("15:04:05.000"), l.Level, line(step), line(l.Message))
		if l.Dropped > 0 {
			fmt.Fprintf(a.out, "%s %-5s %s: %d lines over the limit were not kept\n", l.At.UTC().Format("15:04:05.000"), flow.LogWarn, line(step), l.Dropped)
		}
	}
}

// hasStep refuses a step that a run does not have; empty is no step in particular.
func hasStep(r *flow.RunRecord, step string) error {
	if step == "" || slices.ContainsFunc(r.Steps, func(s flow.StepRecord) bool { return s.Name == step }) {
		return nil
	}
	return &flow.Error{Code: flow.CodeNotFound, Message: fmt.Sprintf("run %s has no step %.80q", r.ID, step), Hint: "uniflow runs show " + string(r.ID), Err: flow.ErrNotFound}
}

func (a *app) runsOutputs() *cobra.Command {
	var step string
	c := &cobra.Command{
		Use: "outputs RUN", Short: "Print the outputs of a run as JSON, by step and name", Args: args(1, 1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.withRun(c.Context(), tool.History, args[0], func(_ *tool.Link, r *flow.RunRecord) error {
				if err := hasStep(r, step); err != nil {
					return err
				}
				outputs := map[string]map[string]json.RawMessage{}
				for i := range r.Steps {
					s := &r.Steps[i]
					if named := s.NamedOutputs(); named != nil && (step == "" || s.Name == step) {
						outputs[s.Name] = named
					}
				}
				return a.writeJSON(outputs)
			})
		},
	}
	c.Flags().StringVar(&step, "step", "", "of this step only")
	return c
}

func (a *app) runsArtifacts() *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use: "artifacts RUN", Short: "List the artifacts among a run's outputs, or write them to a folder", Args: args(1, 1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.withRun(c.Context(), tool.History, args[0], func(l *tool.Link, r *flow.RunRecord) error {
				files := artifactsOf(r)
				for i := range files {
					if dir == "" {
						break
					}
					if err := saveArtifact(c.Context(), l, r.ID, &files[i], filepath.Join(dir, fileName(files[i].Step, ""))); err != nil {
						return err
					}
				}
				return a.answer(list(files), func() {
					rows := [][]string{{"STEP", "OUTPUT", "TYPE", "SIZE", "DIGEST", "FILE"}}
					for _, f := range files {
						rows = append(rows, []string{f.Step, f.Output, f.Type, bytesText(f.Bytes), f.Digest.Short(), f.Path})
					}
					a.table(a.out, rows)
					if len(files) == 0 {
						a.say("no output of this run is an artifact")
					}
				})
			})
		},
	}
	c.Flags().StringVar(&dir, "out", "", "write them below this `DIR`")
	return c
}

func (a *app) runsCancel() *cobra.Command {
	var m matching
	c := &cobra.Command{
		Use: "cancel RUN | --pipeline NAME", Short: "Ask a run to end, or all runs that match", Args: args(0, 1),
		Long: `Ask a run to end. With --pipeline instead of RUN, it is about all runs of the pipeline that have not ended: without
--confirm they are only shown, and the command ends with 7 if there are any; with --confirm and their number they are
cancelled, unless others match by then.`,
		Example: "  uniflow runs cancel @last\n  uniflow runs cancel --pipeline weather --state queued --confirm 30",
		RunE: func(c *cobra.Command, args []string) error {
			switch all, err := m.meant(c, args); {
			case err != nil:
				return err
			case all:
				return a.cancelAll(c, &m)
			}
			return a.withRun(c.Context(), tool.Write, args[0], func(l *tool.Link, r *flow.RunRecord) error {
				record, err := l.Cancel(c.Context(), r.ID)
				if err != nil {
					return err
				}
				return a.answer(record, func() { fmt.Fprintf(a.out, "%s %s\n", record.ID, standing(&record)) })
			})
		},
	}
	a.matchingFlags(c, &m, "cancel")
	c.Flags().StringVar(&m.state, "state", "", "with --pipeline: queued or running ones only")
	a.words(c, "state", "queued", "running")
	return c
}
