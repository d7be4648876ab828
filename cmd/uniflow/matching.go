package main

import (
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/tool"
)

// matching are the flags of a verb that does something to all runs that match.
type matching struct {
	pipeline, schedule, outcome, reason, since, until, state string
	confirm                                                  int
}

func (a *app) matchingFlags(c *cobra.Command, m *matching, verb string) {
	c.Flags().StringVar(&m.pipeline, "pipeline", "", verb+" all runs of this pipeline that match, instead of one RUN")
	c.Flags().IntVar(&m.confirm, "confirm", 0, "with --pipeline: the `NUMBER` of runs that are meant; without it, they are only shown")
	a.completesFlag(c, "pipeline", pipelineNames)
}

// meant reports whether all runs that match are meant, or the one that is named, whose flags are single.
func (m *matching) meant(c *cobra.Command, args []string, single ...string) (bool, error) {
	given := c.Flags().Changed
	switch {
	case len(args) == 1 && given("pipeline"):
		return false, usage(c, "RUN names one run, --pipeline means all that match: give one of them")
	case len(args) == 0 && !given("pipeline"):
		return false, usage(c, "0 arguments given, expected: %s", c.UseLine())
	}
	wrong, where := single, "one RUN"
	if len(args) == 1 {
		wrong, where = []string{"confirm", "outcome", "reason", "schedule", "since", "until", "state"}, "--pipeline"
	}
	if i := slices.IndexFunc(wrong, given); i >= 0 {
		return false, usage(c, "--%s goes with %s only", wrong[i], where)
	}
	return len(args) == 0, nil
}

// number is what is confirmed; nil where nothing is.
func (m *matching) number(c *cobra.Command) *int {
	if !c.Flags().Changed("confirm") {
		return nil
	}
	return &m.confirm
}

// access is what the verb needs: to do something, or to show what matches.
func (m *matching) access(c *cobra.Command, do tool.Access) tool.Access {
	if m.number(c) == nil {
		return tool.Read
	}
	return do
}

func (a *app) rerunAll(c *cobra.Command, m *matching, one *flow.RerunRequest, set []string) error {
	outcome := flow.Outcome(m.outcome)
	if !slices.Contains([]flow.Outcome{flow.Succeeded, flow.Failed, flow.Skipped, flow.Cancelled}, outcome) {
		return usage(c, "--outcome %q is not one of succeeded, failed, skipped, cancelled", m.outcome)
	}
	r := flow.RerunAllRequest{
		RunFilter: flow.RunFilter{Pipeline: m.pipeline, Schedule: m.schedule, Outcome: outcome, Reason: flow.Reason(m.reason)},
		FromStep:  one.FromStep, OnlyStep: one.OnlyStep, Failed: one.Failed, Confirm: m.number(c),
	}
	var err error
	if r.Since, err = instantFlag(c, "--since", m.since, time.Time{}); err != nil {
		return err
	}
	if r.Until, err = instantFlag(c, "--until", m.until, time.Time{}); err != nil {
		return err
	}
	return a.with(c.Context(), m.access(c, tool.Serving), func(l *tool.Link) error {
		p, err := l.Pipeline(c.Context(), r.Pipeline)
		if err != nil {
			return err
		}
		if r.Context, err = a.contextOf("", set, p.Plan.Params); err != nil {
			return err
		}
		report, err := l.RerunAll(c.Context(), r)
		if err != nil {
			return err
		}
		return a.matched(&report, "rerun")
	})
}

// cancelAll is cancel for all runs that match.
func (a *app) cancelAll(c *cobra.Command, m *matching) error {
	r := flow.CancelAllRequest{Pipeline: m.pipeline, State: flow.State(m.state), Confirm: m.number(c)}
	if !slices.Contains([]flow.State{"", flow.StateQueued, flow.StateRunning}, r.State) {
		return usage(c, "--state %q is not one of queued, running", m.state)
	}
	return a.with(c.Context(), m.access(c, tool.Write), func(l *tool.Link) error {
		report, err := l.CancelAll(c.Context(), r)
		if err != nil {
			return err
		}
		return a.matched(&report, "cancel")
	})
}

// matched writes which runs match and what was done to them. Where nothing was done yet, there is something to review.
func (a *app) matched(r *flow.MatchReport, verb string) error {
	if err := a.answer(r, func() { a.matches(r, verb) }); err != nil {
		return err
	}
	if !r.Done && len(r.Runs) > 0 {
		return ended{exitChanges}
	}
	return nil
}

func (a *app) matches(r *flow.MatchReport, verb string) {
	rows := [][]string{{"RUN", "OF", "STANDING", "RERUN"}}
	if verb != "rerun" {
		rows[0] = rows[0][:3]
	}
	for _, m := range slices.Concat(r.Runs, r.Left) {
		row := []string{string(m.Run), stamp(m.At), standing(&flow.RunRecord{State: m.State, Ending: flow.Ending{Outcome: m.Outcome, Reason: m.Reason}}), "-"}
		switch {
		case m.Rerun != "":
			row[3] = string(m.Rerun)
		case m.Why != "":
			row[3] = "cannot be: " + m.Why
		}
		rows = append(rows, row[:len(rows[0])])
	}
	if len(rows) > 1 {
		a.table(a.out, rows)
	}
	if n := len(r.Left); n > 0 {
		a.say("%s cannot be rerun like this", count(n, "run"))
	}
	if r.Repeated > 0 {
		a.say("%s left out: rerun before", count(r.Repeated, "run"))
	}
	what := count(len(r.Runs), "run")
	switch {
	case r.Done && verb == "rerun":
		a.say("%s asked for", count(len(r.Runs), "rerun"))
	case r.Done:
		a.say("the end of %s was asked for", what)
	case len(r.Runs) == 0:
		a.say("no run of %s to %s", line(r.Pipeline), verb)
	default:
		a.say("%s to %s; to do it: --confirm %d", what, verb, len(r.Runs))
	}
}
