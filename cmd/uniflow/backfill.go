package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/tool"
)

func (a *app) runsBackfill() *cobra.Command {
	var r flow.BackfillRequest
	var from, to string
	var yes bool
	c := &cobra.Command{
		Use:   "backfill PIPELINE|SCHEDULE --from INSTANT",
		Short: "Run the slots of a schedule that lie in the past",
		Long: `Run the slots of a schedule between two instants, both included, the oldest first. Each is a new run, whatever became of
the slot when it came due; what is recorded of the slot stays. The runs wait in line with the pipeline's other ones, so
a slot that comes due meanwhile runs after them. What history has dropped counts as missing.`,
		Example: `  uniflow runs backfill weather --from 2026-03-01T00:00:00Z --to 2026-03-31T23:59:59Z --missing-only --dry-run`,
		Args:    args(1, 1),
		RunE: func(c *cobra.Command, args []string) error {
			r.Name = args[0]
			var err error
			if r.From, err = instantFlag(c, "--from", from, r.From); err != nil {
				return err
			}
			if r.To, err = instantFlag(c, "--to", to, r.To); err != nil {
				return err
			}
			return a.backfill(c, r, yes)
		},
	}
	flags := c.Flags()
	flags.StringVar(&from, "from", "", "slots from this `INSTANT` on")
	flags.StringVar(&to, "to", "", "slots to this `INSTANT` (default: now)")
	flags.BoolVar(&r.MissingOnly, "missing-only", false, "only slots without a run that succeeded or has yet to end")
	flags.BoolVar(&r.DryRun, "dry-run", false, "list the slots, run none")
	flags.IntVar(&r.Max, "max", 1000, "refuse more runs than this, up to 10000")
	flags.BoolVar(&yes, "yes", false, "do not ask")
	return c
}

// backfill counts the slots, asks whether they are meant, and asks for their runs.
func (a *app) backfill(c *cobra.Command, r flow.BackfillRequest, yes bool) error {
	access, dry := tool.Serving, r.DryRun
	if dry {
		access = tool.Read
	}
	return a.with(c.Context(), access, func(l *tool.Link) error {
		r.DryRun = true
		report, err := l.Backfill(c.Context(), r)
		if err != nil {
			return err
		}
		report.DryRun = dry
		if !dry && len(report.Slots) > 0 {
			if !yes {
				question := fmt.Sprintf("ask for %s of %s, for slots from %s to %s?", count(len(report.Slots), "run"), line(report.Pipeline), stamp(report.Slots[0].At), stamp(report.Slots[len(report.Slots)-1].At))
				if err := a.confirm(c, question, "no run was asked for"); err != nil {
					return err
				}
			}
			r.DryRun, r.To = false, report.To // the slots that were counted
			if report, err = l.Backfill(c.Context(), r); err != nil {
				return err
			}
		}
		return a.answer(report, func() { a.backfilled(&report) })
	})
}

// backfilled writes a table of slots and their runs.
func (a *app) backfilled(r *flow.BackfillReport) {
	rows := [][]string{{"SLOT", "RUN BEFORE", "NEW RUN"}}
	for _, s := range r.Slots {
		before, run := string(s.Of), string(s.Run)
		if before == "" {
			before = "-"
		}
		if run == "" {
			run = "-"
		}
		rows = append(rows, []string{stamp(s.At), before, run})
	}
	a.table(a.out, rows)
	verb := "asked for"
	if r.DryRun {
		verb = "to ask for"
	}
	a.say("%s %s, %s left out", count(len(r.Slots), "run"), verb, count(r.Left, "slot"))
}
