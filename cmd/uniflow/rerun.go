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
	var m matching
	c := &cobra.Command{
		Use:   "rerun RUN | --pipeline NAME",
		Short: "Run a run again, all of it or some of its steps; or all runs that match",
		Long: `Run a run again: a new run with the context and the slot of the old one, of the pipeline as it is now. The old run stays
as it is recorded. Steps that are not executed again are reused: their recorded outputs are taken over, and the new run
shows them so. What cannot be reused is refused by name. Otherwise it is as with uniflow run.

With --pipeline instead of RUN, it is about all runs of the pipeline that ended with --outcome, and --since and --until
say between which instants: the slot, or the time of asking for a run without one. A run that was rerun before is left
out; its rerun matches in its place. Without --confirm they are only shown, and the command ends with 7 if there are any.
With --confirm and their number, a host that serves is asked for the reruns, the oldest first; if other runs match by
then, for none.`,
		Example: `  uniflow runs rerun @last --failed
  uniflow runs rerun 01J8ZK --from-step summarise --set year=2014
  uniflow runs rerun --pipeline weather --since 2027-03-01 --failed
  uniflow runs rerun --pipeline weather --since 2027-03-01 --failed --confirm 12`,
		Args: args(0, 1),
		RunE: func(c *cobra.Command, args []string) error {
			if r.FromStep != "" && r.OnlyStep != "" || r.Failed && r.FromStep+r.OnlyStep != "" {
				return usage(c, "only one of --from-step, --only-step and --failed can be given")
			}
			switch all, err := m.meant(c, args, "detach", "timeout"); {
			case err != nil:
				return err
			case all:
				return a.rerunAll(c, &m, &r, o.set)
			}
			if err := o.check(c); err != nil {
				return err
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
	a.matchingFlags(c, &m, "rerun")
	flags.StringVar(&m.outcome, "outcome", "failed", "with --pipeline: runs that ended so: succeeded, failed, skipped or cancelled")
	flags.StringVar(&m.reason, "reason", "", "with --pipeline: runs that ended for this `REASON` only, such as timeout")
	flags.StringVar(&m.schedule, "schedule", "", "with --pipeline: runs of this schedule only")
	flags.StringVar(&m.since, "since", "", "with --pipeline: from this `INSTANT` on")
	flags.StringVar(&m.until, "until", "", "with --pipeline: to this `INSTANT`")
	a.completesFlag(c, "schedule", scheduleNames)
	a.words(c, "outcome", "succeeded", "failed", "skipped", "cancelled")
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
