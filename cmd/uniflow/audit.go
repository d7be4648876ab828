package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/tool"
)

func (a *app) auditCommand() *cobra.Command {
	var q flow.AuditQuery
	var since string
	c := &cobra.Command{
		Use: "audit", Short: "List who changed what, newest first, and what was refused", Args: args(0, 0),
		Example: "  uniflow audit --target weather\n  uniflow audit --by acme/ci --since 2027-01-01 --json",
		RunE: func(c *cobra.Command, _ []string) error {
			var err error
			if q.Since, err = instantFlag(c, "--since", since, time.Time{}); err != nil {
				return err
			}
			if q.Limit < 1 || q.Limit > 1000 {
				return usage(c, "--limit %d is not between 1 and 1000", q.Limit)
			}
			return a.with(c.Context(), tool.History, func(l *tool.Link) error {
				entries, err := l.Audit(c.Context(), q)
				if err != nil {
					return err
				}
				return a.answer(list(entries), func() { a.audit(entries) })
			})
		},
	}
	flags := c.Flags()
	flags.StringVar(&q.By, "by", "", "`NAME` of who did it: that of a token, or local:1000")
	flags.StringVar(&q.Verb, "verb", "", "`VERB`, such as schedule.disable")
	flags.StringVar(&q.Target, "target", "", "`ID` of what it was done to")
	flags.StringVar(&q.Tenant, "tenant", "", "`NAME` of the tenant of who did it")
	flags.StringVar(&since, "since", "", "`TIME` of the first, such as 2027-01-01")
	flags.IntVar(&q.Limit, "limit", 50, "how many at most")
	return c
}

// audit writes a table of what was done.
func (a *app) audit(entries []flow.AuditEntry) {
	rows := [][]string{{"AT", "BY", "FROM", "VERB", "TARGET", "BEFORE", "AFTER"}}
	for i := range entries {
		e := &entries[i]
		after := string(e.After)
		if e.Error != "" {
			after = "refused: " + string(e.Error)
		}
		rows = append(rows, []string{stamp(e.At), e.By, e.From, e.Verb, e.Target, string(e.Before), after})
	}
	a.table(a.out, rows)
}
