package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/tool"
)

func (a *app) scheduleCommand() *cobra.Command {
	c := a.group(&cobra.Command{Use: "schedule", Short: "List, add, change and remove schedules"})
	c.AddCommand(a.scheduleList(), a.scheduleAdd(), a.scheduleClear(), a.scheduleHealth())
	for _, ofOne := range []*cobra.Command{
		a.scheduleSwitch("enable", "Let a schedule fire again", true),
		a.scheduleSwitch("disable", "Keep a schedule but let it fire no more; it survives restarts", false),
		a.scheduleRemove(), a.scheduleNext(), a.scheduleSlots(), a.scheduleWhy(),
	} {
		c.AddCommand(a.completes(ofOne, scheduleNames))
	}
	return c
}

func (a *app) scheduleList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the schedules with their next and last runs", Args: args(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.with(c.Context(), tool.Read, func(l *tool.Link) error {
				infos, err := l.Schedules(c.Context())
				if err != nil {
					return err
				}
				return a.answer(list(infos), func() { a.schedules(infos) })
			})
		},
	}
}

// schedules writes a table of schedules.
func (a *app) schedules(infos []flow.ScheduleInfo) {
	rows := [][]string{{"SCHEDULE", "PIPELINE", "WHEN", "ZONE", "NEXT", "LAST", ""}}
	for i := range infos {
		s := &infos[i]
		next := "-"
		switch {
		case !s.Enabled:
			next = "disabled"
		case s.NextRun != nil:
			next = stamp(*s.NextRun)
		}
		when, how := lastRun(s.LastRun)
		if s.Enabled && s.Broken != "" {
			next, how = "broken", s.Broken
		}
		if s.Origin == flow.OriginAPI {
			how = strings.TrimSpace(how + " [added]")
		}
		rows = append(rows, []string{s.Name, s.Pipeline, s.Value, s.Timezone, next, when, how})
	}
	a.table(a.out, rows)
}

func (a *app) scheduleAdd() *cobra.Command {
	var s flow.Schedule
	var set, notOn []string
	var overlap, resume, jitter string
	c := &cobra.Command{
		Use: "add NAME --pipeline P --at WHEN", Short: "Add a schedule, which the ledger keeps", Args: args(1, 1),
		Example: `  uniflow schedule add evening --pipeline weather --at "daily 18:00" --timezone Europe/Berlin --set year=2013`,
		RunE: func(c *cobra.Command, args []string) error {
			s.Name, s.Overlap, s.OnResume = args[0], flow.Overlap(overlap), flow.OnResume(resume)
			if s.Pipeline == "" || s.At == "" {
				return usage(c, "--pipeline and --at are needed")
			}
			if !slices.Contains([]flow.Overlap{"", flow.OverlapWait, flow.OverlapWaitAll, flow.OverlapSkip, flow.OverlapReplace}, s.Overlap) {
				return usage(c, "--overlap %q is not one of wait, wait_all, skip, replace", overlap)
			}
			if err := slotFlags(c, &s, jitter, notOn); err != nil {
				return err
			}
			return a.with(c.Context(), tool.Write, func(l *tool.Link) error {
				p, err := l.Pipeline(c.Context(), s.Pipeline)
				if err != nil {
					return err
				}
				if s.Context, err = a.contextOf("", set, p.Plan.Params); err != nil {
					return err
				}
				info, err := l.AddSchedule(c.Context(), s)
				if err != nil {
					return err
				}
				return a.answer(info, func() {
					a.schedules([]flow.ScheduleInfo{info})
					switch {
					case info.NextRun == nil && info.Broken == "":
						a.say("it does not fire any more: its instant has passed")
					case !l.Remote:
						a.say("it fires once a host serves: uniflow serve")
					}
				})
			})
		},
	}
	flags := c.Flags()
	flags.StringVar(&s.Pipeline, "pipeline", "", "`NAME` of the pipeline")
	flags.StringVar(&s.At, "at", "", "`WHEN` it fires: daily 18:00, every 30m, weekly mon,thu 06:00, cron 0 12 * * 1-5, …")
	flags.StringVar(&s.Timezone, "timezone", "", "IANA zone of wall times (default: the pipeline's, else the host's)")
	flags.StringArrayVar(&set, "set", nil, "`NAME=VALUE` for the context of its runs; may stand several times")
	flags.StringVar(&overlap, "overlap", "", "wait, wait_all, skip or replace while a run is live (default: the pipeline's)")
	flags.StringArrayVar(&notOn, "not-on", nil, "`DAYS` on which slots are skipped: sat, 2026-12-25, 2026-12-24..2026-12-26 or an .ics file; may stand several times")
	flags.StringVar(&jitter, "jitter", "", "`TIME` that bounds the delay of each start, the same for every slot: 5m")
	flags.StringVar(&resume, "on-resume", "", "none, latest or all slots of a time in which it was disabled run (default: the pipeline's)")
	flags.StringVar(&s.From, "from", "", "first `INSTANT` or date of a slot")
	flags.StringVar(&s.To, "to", "", "last `INSTANT` or date of a slot")
	a.completesFlag(c, "pipeline", pipelineNames)
	a.words(c, "overlap", "wait", "wait_all", "skip", "replace")
	a.words(c, "on-resume", "none", "latest", "all")
	return c
}

// slotFlags reads what schedule add says about slots.
func slotFlags(c *cobra.Command, s *flow.Schedule, jitter string, notOn []string) (err error) {
	if !slices.Contains([]flow.OnResume{"", flow.ResumeNone, flow.ResumeLatest, flow.ResumeAll}, s.OnResume) {
		return usage(c, "--on-resume %q is not one of none, latest, all", s.OnResume)
	}
	if jitter != "" {
		d, err := flow.ParseDuration(jitter)
		if err != nil {
			return usage(c, "--jitter: %v", err)
		}
		s.Jitter = flow.Duration(d)
	}
	s.NotOn, err = tool.NotOn(notOn)
	return err
}

func (a *app) scheduleSwitch(verb, short string, enabled bool) *cobra.Command {
	return &cobra.Command{
		Use: verb + " NAME", Short: short, Args: args(1, 1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.with(c.Context(), tool.Write, func(l *tool.Link) error {
				info, err := l.SetEnabled(c.Context(), args[0], enabled)
				if err != nil {
					return err
				}
				return a.answer(info, func() { a.schedules([]flow.ScheduleInfo{info}) })
			})
		},
	}
}

func (a *app) scheduleRemove() *cobra.Command {
	return &cobra.Command{
		Use: "unschedule NAME", Short: "Remove a schedule that was added; one of the manifest is removed there", Args: args(1, 1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.with(c.Context(), tool.Write, func(l *tool.Link) error {
				if err := l.Unschedule(c.Context(), args[0]); err != nil {
					return err
				}
				return a.answer(flow.Cleared{Removed: []string{args[0]}, Kept: []string{}}, func() { a.say("removed %s", line(args[0])) })
			})
		},
	}
}

func (a *app) scheduleClear() *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use: "clear", Short: "Remove all schedules that were added, and say what stays", Args: args(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			if !yes {
				if err := a.confirm(c, "remove all schedules that were added?", "nothing was removed"); err != nil {
					return err
				}
			}
			return a.with(c.Context(), tool.Write, func(l *tool.Link) error {
				cleared, err := l.Clear(c.Context())
				if err != nil {
					return err
				}
				return a.answer(cleared, func() {
					for _, name := range cleared.Removed {
						fmt.Fprintf(a.out, "removed  %s\n", line(name))
					}
					for _, name := range cleared.Kept {
						fmt.Fprintf(a.out, "kept     %s (it stands in the manifest)\n", line(name))
					}
					if len(cleared.Removed) == 0 {
						a.say("there was none to remove")
					}
				})
			})
		},
	}
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return c
}

// confirm asks a person; where there is none, the flag must say it. The refusal says what a no has left undone.
func (a *app) confirm(c *cobra.Command, question, refusal string) error {
	in, ok := a.in.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return usage(c, "nobody is there to ask: say --yes")
	}
	fmt.Fprintf(a.talk, "%s [y/N] ", question)
	answer, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the answer: %w", err)
	}
	if answer = strings.ToLower(strings.TrimSpace(answer)); answer != "y" && answer != "yes" {
		return usage(c, "%s", refusal)
	}
	return nil
}

func (a *app) scheduleHealth() *cobra.Command {
	return &cobra.Command{
		Use: "health", Short: "Judge every schedule: ok, disabled, broken, late, silent, failing, drifting", Args: args(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.with(c.Context(), tool.Read, func(l *tool.Link) error {
				all, err := l.ScheduleHealth(c.Context())
				if err != nil {
					return err
				}
				return a.answer(list(all), func() {
					rows := [][]string{{"SCHEDULE", "PIPELINE", "STATUS", "WHY"}}
					for _, h := range all {
						rows = append(rows, []string{h.Schedule, h.Pipeline, string(h.Status), h.Detail})
					}
					a.table(a.out, rows)
				})
			})
		},
	}
}
