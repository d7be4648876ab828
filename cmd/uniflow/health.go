package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/tool"
)

func (a *app) healthCommand() *cobra.Command {
	var live bool
	c := &cobra.Command{
		Use: "health", Short: "Judge a host that serves: open incidents, and alerts that do not arrive",
		Long: `Judge a host that serves: list the incidents that are open, and the alerts whose messages do not arrive.

Ends with 0 if there are none, with 1 if there are some, and with 5 if no host answers. A probe that is to restart a host
asks GET /healthz instead, or this with --live, which say that it answers: an incident is no reason to restart.`,
		Args: args(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.with(c.Context(), tool.Serving, func(l *tool.Link) error {
				health, err := l.Health(c.Context())
				if err != nil {
					return err
				}
				if err := a.answer(health, func() { a.health(&health) }); err != nil {
					return err
				}
				if !health.OK && !live {
					return ended{exitRun}
				}
				return nil
			})
		},
	}
	c.Flags().BoolVar(&live, "live", false, "end with 0 if the host answers, whatever it answers")
	return c
}

// health writes what is wrong with a host, or that nothing is.
func (a *app) health(h *flow.HostHealth) {
	if h.OK {
		fmt.Fprintln(a.out, a.onOut(good, "ok"))
		return
	}
	if len(h.Incidents) > 0 {
		rows := [][]string{{"INCIDENT", "OF", "SINCE", "WHAT", "NEXT"}}
		for i := range h.Incidents {
			n := &h.Incidents[i]
			of := "host"
			switch {
			case n.Schedule != "":
				of = "schedule " + flow.ID(n.Tenant, n.Schedule)
			case n.Pipeline != "":
				of = "pipeline " + flow.ID(n.Tenant, n.Pipeline)
			}
			rows = append(rows, []string{string(n.Condition), of, stamp(n.Since), n.Detail, n.Next})
		}
		a.table(a.out, rows)
	}
	for _, n := range h.Alerts {
		fmt.Fprintf(a.out, "alert %s does not arrive: %s on the way, %d given up", line(n.Name), count(n.Pending, "message"), n.GivenUp)
		if n.Since != nil {
			fmt.Fprintf(a.out, ", since %s", stamp(*n.Since))
		}
		fmt.Fprintf(a.out, ": %s\n", line(n.Error))
	}
}

func (a *app) alertsCommand() *cobra.Command {
	c := a.group(&cobra.Command{Use: "alerts", Short: "List the targets of messages, and try them"})
	c.AddCommand(a.alertsList(), a.completes(a.alertsTest(), alertNames))
	return c
}

func (a *app) alertsList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the targets of messages", Args: args(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.with(c.Context(), tool.Read, func(l *tool.Link) error {
				infos, err := l.Alerts(c.Context())
				if err != nil {
					return err
				}
				return a.answer(list(infos), func() {
					rows := [][]string{{"ALERT", "SERVICE", "TOLD OF", "PIPELINES"}}
					for i := range infos {
						n := &infos[i]
						service := n.Service
						if n.Secret != "" {
							service = "secret " + n.Secret
						}
						if n.Signed {
							service += ", signed"
						}
						rows = append(rows, []string{n.Name, service, strings.Join(n.On, " "), strings.Join(n.Pipelines, " ")})
					}
					a.table(a.out, rows)
				})
			})
		},
	}
}

func (a *app) alertsTest() *cobra.Command {
	return &cobra.Command{
		Use: "test NAME", Short: "Send a test message to a target, and say whether it was taken", Args: args(1, 1),
		Long: `Send a test message to the target of an alert, and say whether it was taken: by the host that serves or, where none does,
by this process, which reads secrets with its own environment. Ends with 1 if the target did not take it.`,
		RunE: func(c *cobra.Command, args []string) error {
			return a.with(c.Context(), tool.Read, func(l *tool.Link) error {
				test, err := l.TestAlert(c.Context(), args[0])
				if err != nil {
					return err
				}
				if !test.Delivered && !a.json {
					return &flow.Error{Code: flow.CodeNotTaken, Op: "alert " + test.Name, Message: test.Error, Hint: "check its url and secrets, then: uniflow alerts test " + test.Name}
				}
				if err := a.answer(test, func() { fmt.Fprintf(a.out, "%s took the message in %s\n", line(test.Name), test.Took) }); err != nil || test.Delivered {
					return err
				}
				return ended{exitRun}
			})
		},
	}
}
