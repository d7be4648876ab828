package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/tool"
)

func (a *app) runsRerun() *cobra.Command {
	var o runOptions
	var r flow.RerunRequest
	c := &cobra.Command{
		Use:   "rerun RUN",
		Short: "Run a run again, all of it or some of its steps",
		Long: `Run a run again: a new run with the context and the slot of the old one, of the pipeline as it is now. The old run stays
as it is recorded. Steps that are not executed again are reused: their recorded outputs are taken over, and the new run
shows them so. What cannot be reused is refused by name. Otherwise it is as with uniflow run.`,
		Example: `  uniflow runs rerun @last --failed
  uniflow runs rerun 01J8ZK --from-step summarise --set year=2014`,
		Args: args(1, 1),
		RunE: func(c *cobra.Command, args []string) error {
			if r.FromStep != "" && r.OnlyStep != "" || r.Failed && r.FromStep+r.OnlyStep != "" {
				return usage(c, "only one of --from-step, --only-step and --failed can be given")
			}
			r.Run = args[0]
			return a.rerun(c.Context(), r, &o)
		},
	}
	flags := c.Flags()
	flags.StringVar(&r.FromStep, "from-step", "", "execute this `STEP` and all that comes after it, reuse the others")
	flags.StringVar(&r.OnlyStep, "only-step", "", "execute this `STEP` alone, reuse the others")
	flags.BoolVar(&r.Failed, "failed", false, "execute what did not succeed and all that comes after it, reuse the others")
	flags.StringArrayVar(&o.set, "set", nil, "`NAME=VALUE` over the context of the old run; may stand several times")
	flags.BoolVar(&o.detach, "detach", false, "do not wait; a host must serve")
	flags.DurationVar(&o.timeout, "timeout", 0, "cancel the run if it has not ended after this time")
	return c
}

func (a *app) rerun(ctx context.Context, r flow.RerunRequest, o *runOptions) error {
	return a.with(ctx, o.access(), func(l *tool.Link) error {
		old, err := l.Run(ctx, r.Run)
		if err != nil {
			return err
		}
		p, err := l.Pipeline(ctx, flow.ID(old.Tenant, old.Pipeline))
		if err != nil {
			return err
		}
		if r.Context, err = a.contextOf("", o.set, p.Plan.Params); err != nil {
			return err
		}
		r.Run = string(old.ID) // @last may be another one by now
		record, err := l.Rerun(ctx, r)
		if err != nil {
			return err
		}
		if record.Version != old.Version {
			a.say("the pipeline has changed since run %s: version %s is now %s", old.ID, old.Version.Short(), record.Version.Short())
		}
		return a.attend(ctx, l, p.Plan, &record, o)
	})
}
