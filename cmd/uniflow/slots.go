package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/tool"
)

func (a *app) scheduleNext() *cobra.Command {
	var n int
	var from string
	var clocks bool
	c := &cobra.Command{
		Use: "next NAME", Short: "Show when a schedule fires next", Args: args(1, 1),
		Long: `Show when a schedule fires next; slots that not_on skips are left out, and jitter is added. With --dst, show the next days on which clocks change in its zone instead, and what
the schedule does on each: a time in a gap runs at the first instant after it, a time in a fold runs the first time.`,
		Example: "  uniflow schedule next weather -n 20 --from 2027-03-27T00:00:00Z\n  uniflow schedule next weather --dst",
		RunE: func(c *cobra.Command, args []string) error {
			after, err := instantFlag(c, "--from", from, time.Now())
			if err != nil {
				return err
			}
			if n < 1 || n > 1000 {
				return usage(c, "-n %d is not between 1 and 1000", n)
			}
			return a.with(c.Context(), tool.Read, func(l *tool.Link) error {
				if clocks {
					return a.clockChanges(c.Context(), l, args[0], after, n)
				}
				return a.nextFires(c.Context(), l, args[0], after, n)
			})
		},
	}
	c.Flags().IntVarP(&n, "number", "n", 10, "how many")
	c.Flags().StringVar(&from, "from", "", "after this `INSTANT` (default: now)")
	c.Flags().BoolVar(&clocks, "dst", false, "show the days on which clocks change")
	return c
}

func (a *app) nextFires(ctx context.Context, l *tool.Link, name string, after time.Time, n int) error {
	times, err := l.Next(ctx, name, after, n)
	if err != nil {
		return err
	}
	s, err := scheduleOf(ctx, l, name)
	if err != nil {
		return err
	}
	return a.answer(list(times), func() {
		for _, t := range times {
			slot := ""
			if s.Delay > 0 {
				slot = ", the slot of " + t.Add(-s.Delay.Std()).UTC().Format(time.RFC3339)
			}
			fmt.Fprintf(a.out, "%s  %s%s\n", t.UTC().Truncate(time.Second).Format(time.RFC3339), zoned(t, s.Timezone), slot)
		}
		if len(times) == 0 {
			a.say("it does not fire any more")
		}
	})
}

func (a *app) clockChanges(ctx context.Context, l *tool.Link, name string, after time.Time, n int) error {
	changes, err := l.ClockChanges(ctx, name, after, n)
	if err != nil {
		return err
	}
	return a.answer(list(changes), func() {
		for _, c := range changes {
			fmt.Fprintf(a.out, "%-4s  %s\n", c.Shift, line(c.Text))
		}
		if len(changes) == 0 {
			a.say("clocks do not change on any day on which it fires")
		}
	})
}

// scheduleOf returns what is known of a schedule.
func scheduleOf(ctx context.Context, l *tool.Link, name string) (flow.ScheduleInfo, error) {
	infos, err := l.Schedules(ctx)
	if err != nil {
		return flow.ScheduleInfo{}, err
	}
	for i := range infos {
		if infos[i].Name == name {
			return infos[i], nil
		}
	}
	return flow.ScheduleInfo{Timezone: "UTC"}, nil
}

func (a *app) scheduleSlots() *cobra.Command {
	var limit int
	c := &cobra.Command{
		Use: "slots NAME", Short: "Show what became of each scheduled instant, newest first", Args: args(1, 1),
		RunE: func(c *cobra.Command, args []string) error {
			if limit < 1 || limit > 1000 {
				return usage(c, "--limit %d is not between 1 and 1000", limit)
			}
			return a.with(c.Context(), tool.Read, func(l *tool.Link) error {
				slots, err := l.Slots(c.Context(), flow.SlotQuery{Schedule: args[0], Limit: limit})
				if err == nil && len(slots) == 0 {
					_, err = l.Next(c.Context(), args[0], time.Now(), 1) // tells a new schedule from none
				}
				if err != nil {
					return err
				}
				return a.answer(list(slots), func() { a.slots(slots) })
			})
		},
	}
	c.Flags().IntVar(&limit, "limit", 50, "at most so many, up to 1000")
	return c
}

// slots writes a table of slots.
func (a *app) slots(slots []flow.SlotRecord) {
	rows := [][]string{{"SLOT", "COUNT", "ENDING", "RUN"}}
	for _, s := range slots {
		when, ending := stamp(s.To), string(s.Ending)
		if s.Count > 1 {
			when = stamp(s.From) + " – " + when
		}
		if s.Reason != "" {
			ending += " (" + string(s.Reason) + ")"
		}
		rows = append(rows, []string{when, fmt.Sprint(s.Count), ending, string(s.Run)})
	}
	a.table(a.out, rows)
	if len(slots) == 0 {
		a.say("no slot has come due yet while a host served")
	}
}

func (a *app) scheduleWhy() *cobra.Command {
	return &cobra.Command{
		Use: "why NAME [INSTANT]", Short: "Say what became of the slot at or before an instant, and why", Args: args(1, 2),
		Long: `Say in one sentence what became of the newest slot of a schedule at or before an instant, or now: the run that was made
for it and how that ended, or why there was none.`,
		Example: "  uniflow schedule why weather\n  uniflow schedule why weather 2027-03-28T01:00:00Z",
		RunE: func(c *cobra.Command, args []string) error {
			var at time.Time
			if len(args) == 2 {
				var err error
				if at, err = instantFlag(c, "", args[1], at); err != nil {
					return err
				}
			}
			return a.with(c.Context(), tool.Read, func(l *tool.Link) error {
				story, err := l.Why(c.Context(), args[0], at)
				if err != nil {
					return err
				}
				return a.answer(story, func() { fmt.Fprintln(a.out, line(story.Text)) })
			})
		},
	}
}

// stampLayout is how tables write an instant.
const stampLayout = "2006-01-02 15:04:05Z"

// instantFlag reads an instant as a flag or an argument gives it: RFC 3339, the form of the tables, or a date, which is
// its first instant in UTC. Empty is what is given as usual. The error names the nearest valid form.
func instantFlag(c *cobra.Command, flag, text string, usual time.Time) (time.Time, error) {
	if text == "" {
		return usual, nil
	}
	for _, layout := range []string{time.RFC3339, stampLayout, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	near := "2027-01-01T00:00:00Z"
	for _, layout := range []string{time.DateTime, "2006-01-02T15:04:05", "2006-01-02 15:04", "2006-01-02T15:04", "2006-01-02 15:04Z", "2006-01-02T15:04Z07:00", "2006-01", "02.01.2006", "01/02/2006"} {
		if t, err := time.Parse(layout, text); err == nil {
			near = t.Format(time.RFC3339)
			break
		}
	}
	if flag != "" {
		flag += " "
	}
	return usual, &flow.Error{Code: flow.CodeUsage, Message: fmt.Sprintf("%s%q is not an instant like %s", flag, text, near), Hint: c.CommandPath() + " … " + flag + near}
}
