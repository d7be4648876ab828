package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/tool"
)

// runOptions are the flags of run.
type runOptions struct {
	set     []string
	context string
	detach  bool
	timeout time.Duration
}

func (a *app) runCommand() *cobra.Command {
	var o runOptions
	c := &cobra.Command{
		Use:   "run PIPELINE",
		Short: "Run a pipeline and show how it goes",
		Long: `Run a pipeline and wait for its end. If a host serves the manifest's data folder, it is asked; otherwise plugins are
built and pinned, and the run is executed here. Ctrl-C cancels the run. Outputs go to standard output as JSON, by step
and name; artifacts among them are copied below out in the data folder, under names of their own.`,
		Example: `  uniflow run weather --set year=2013
  echo '{"year": 2013}' | uniflow run weather --context -
  uniflow run weather --json | jq .outputs`,
		Args: args(1, 1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := o.check(c); err != nil {
				return err
			}
			return a.runPipeline(c.Context(), args[0], &o)
		},
	}
	flags := c.Flags()
	flags.StringArrayVar(&o.set, "set", nil, "`NAME=VALUE` for the context; may stand several times")
	flags.StringVar(&o.context, "context", "", "a JSON object for the context, or a `FILE` that holds one, or - for standard input")
	flags.BoolVar(&o.detach, "detach", false, "do not wait; a host must serve")
	flags.DurationVar(&o.timeout, "timeout", 0, "cancel the run if it has not ended after this time")
	return c
}

// check refuses flags that contradict themselves or one another.
func (o *runOptions) check(c *cobra.Command) error {
	switch given := c.Flags().Changed("timeout"); {
	case given && o.timeout <= 0:
		return usage(c, "--timeout %s is not more than nothing", o.timeout)
	case given && o.detach:
		return usage(c, "--detach does not wait, and so --timeout bounds nothing: give one of them")
	}
	return nil
}

// errWaitOver is the cause of a context whose --timeout is over.
var errWaitOver = &flow.Error{Code: flow.CodeWaitOver, Message: "the run did not end within --timeout, and was cancelled", Hint: "wait longer, or uniflow run PIPELINE --detach"}

func (a *app) runPipeline(ctx context.Context, pipeline string, o *runOptions) error {
	return a.with(ctx, o.access(), func(l *tool.Link) error {
		p, err := l.Pipeline(ctx, pipeline)
		if err != nil {
			return err
		}
		request := flow.RunRequest{Pipeline: pipeline}
		if request.Context, err = a.contextOf(o.context, o.set, p.Plan.Params); err != nil {
			return err
		}
		record, err := l.StartRun(ctx, request)
		if err != nil {
			return err
		}
		return a.attend(ctx, l, p.Plan, &record, o)
	})
}

// access is what a verb that makes a run needs.
func (o *runOptions) access() tool.Access {
	if o.detach {
		return tool.Serving
	}
	return tool.Run
}

// attend waits for a run that was asked for, or leaves it to the host that serves.
func (a *app) attend(ctx context.Context, l *tool.Link, plan *flow.Plan, r *flow.RunRecord, o *runOptions) error {
	if o.detach {
		return a.answer(flow.RunReport{Run: *r, Outputs: map[string]map[string]json.RawMessage{}}, func() { fmt.Fprintln(a.out, r.ID) })
	}
	if !l.Remote && r.State == flow.StateQueued {
		return cutOff(ctx, l, r)
	}
	waiting, cancel := patience(ctx, o.timeout)
	defer cancel()
	return a.await(waiting, l, plan, r.ID)
}

// patience bounds ctx by --timeout, if there is one.
func patience(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	if timeout <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeoutCause(ctx, timeout, errWaitOver)
}

// cutOff says what a run in this process waits for. It is alone with the ledger, so the live run before it has nobody
// who executes it, and waiting would never end.
func cutOff(ctx context.Context, l *tool.Link, waiting *flow.RunRecord) error {
	if _, err := l.Cancel(ctx, waiting.ID); err != nil {
		return err
	}
	live, err := l.Runs(ctx, flow.RunQuery{Pipeline: flow.ID(waiting.Tenant, waiting.Pipeline), State: flow.StateRunning, Limit: 1})
	if err != nil {
		return err
	}
	e := &flow.Error{Code: flow.CodeCutOff, Message: "an earlier run of the pipeline was cut off, and has no end yet", Hint: "uniflow serve takes it up"}
	if len(live) > 0 {
		e.Op = "run " + string(live[0].ID)
		e.Hint += "; to end it instead, first: uniflow runs cancel " + string(live[0].ID)
	}
	return e
}

// await follows a run to its end, whatever becomes of ctx: its end makes the run end too, so that its record is whole.
func (a *app) await(ctx context.Context, l *tool.Link, plan *flow.Plan, id flow.RunID) error {
	view := a.newView(plan, id)
	err := a.follow(ctx, l, id, view)
	view.close()
	if err != nil {
		return err
	}
	whole, cancel := context.WithTimeout(context.WithoutCancel(ctx), reportTime)
	defer cancel()
	report, err := reportOf(whole, l, plan, id)
	if err != nil {
		return err
	}
	// A file that cannot be written is told last: it takes nothing from what the run has done.
	files, unwritten := copyArtifacts(whole, l, report)
	if err := a.answer(report, func() { a.told(whole, l, report, files) }); err != nil {
		return err
	}
	switch cause := context.Cause(ctx); {
	case cause != nil && report.Run.Outcome == flow.Cancelled:
		return cause
	case report.Run.Outcome == flow.Succeeded, report.Run.Outcome == flow.Skipped:
		return unwritten
	}
	return ended{exitRun}
}

const (
	cancelTime = 30 * time.Second // for a run to end after it was asked to
	reportTime = 5 * time.Minute  // to read what became of a run, artifacts included
)

// follow shows a run's events until its last one.
func (a *app) follow(ctx context.Context, l *tool.Link, id flow.RunID, view *view) error {
	following, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(nil)
	seen := make(chan struct{})
	var asking sync.WaitGroup
	asking.Go(func() {
		select {
		case <-seen:
		case <-ctx.Done():
			stop(cancelRun(ctx, l, id, seen))
		}
	})
	err := followAgain(following, l, flow.EventQuery{Run: id}, view.event)
	close(seen)
	asking.Wait()
	return err
}

// cancelRun asks for the end of a run and waits until it was seen; the error says that it was not.
func cancelRun(ctx context.Context, l *tool.Link, id flow.RunID, seen <-chan struct{}) error {
	limited, release := context.WithTimeout(context.WithoutCancel(ctx), cancelTime)
	defer release()
	if _, err := l.Cancel(limited, id); err != nil && flow.CodeOf(err) != flow.CodeRunEnded {
		return errors.Join(context.Cause(ctx), fmt.Errorf("cancel run %s: %w", id, err))
	}
	select {
	case <-seen:
		return nil
	case <-limited.Done():
		return errors.Join(context.Cause(ctx), fmt.Errorf("run %s did not end within %s", id, cancelTime))
	}
}

const (
	retries   = 30 // of a stream that breaks, without an event between
	retryWait = time.Second
)

// followAgain is Follow for a host that may restart meanwhile: a broken stream is taken up where it broke.
func followAgain(ctx context.Context, l *tool.Link, q flow.EventQuery, yield func(flow.Event)) error {
	for broken := 0; ; broken++ {
		err := l.Follow(ctx, q, func(e flow.Event) bool {
			q.After, broken = e.Seq, 0
			yield(e)
			return true
		})
		if flow.CodeOf(err) != flow.CodeUnreachable || broken == retries {
			return err
		}
		select {
		case <-time.After(retryWait):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// reportOf reads what became of a run.
func reportOf(ctx context.Context, l *tool.Link, plan *flow.Plan, id flow.RunID) (*flow.RunReport, error) {
	record, err := l.Run(ctx, string(id))
	if err != nil {
		return nil, err
	}
	report := &flow.RunReport{Run: record, Outputs: map[string]map[string]json.RawMessage{}}
	for _, name := range plan.Ends() {
		for i := range record.Steps {
			if s := &record.Steps[i]; s.Name == name && s.Outcome == flow.Succeeded {
				report.Outputs[name] = s.NamedOutputs()
			}
		}
	}
	return report, nil
}

// copyArtifacts copies a run's artifacts to files of their own names below the data folder, if that is on this machine.
// The files that could not be written have no path; the error is that of the first one.
func copyArtifacts(ctx context.Context, l *tool.Link, report *flow.RunReport) ([]flow.ArtifactFile, error) {
	files := artifactsOf(&report.Run)
	if l.Data == "" || len(files) == 0 {
		return files, nil
	}
	var first error
	report.Artifacts = map[string]string{}
	for i := range files {
		f := &files[i]
		err := saveArtifact(ctx, l, report.Run.ID, f, filepath.Join(l.Data, "out", string(report.Run.ID), fileName(f.Step, "")))
		if err == nil {
			report.Artifacts[f.Step+"/"+f.Output] = f.Path
		} else if first == nil {
			first = err
		}
	}
	return files, first
}
