package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/tool"
)

func (a *app) tokenCommand() *cobra.Command {
	c := a.group(&cobra.Command{Use: "token", Short: "Make, list and revoke tokens of the API"})
	c.AddCommand(a.tokenCreate(), a.tokenList(), a.completes(a.tokenRevoke(), tokenNames))
	return c
}

func (a *app) tokenCreate() *cobra.Command {
	var r flow.TokenRequest
	var role, expires string
	c := &cobra.Command{
		Use: "create NAME --role ROLE", Short: "Make a token and write its secret, once", Args: args(1, 1),
		Long: `Make a token. Its secret goes to standard output, and is kept nowhere: whoever has it may do what the role allows.

A viewer reads. An operator also starts and ends runs, and enables and disables schedules. An author also changes
schedules, versions and state, and applies. An admin also makes and revokes tokens, and reads the audit.`,
		Example: "  uniflow token create dashboard --role viewer\n  uniflow token create ci --tenant acme --role author --expires 90d > acme-ci.token",
		RunE: func(c *cobra.Command, args []string) error {
			r.Name, r.Role = args[0], flow.Role(role)
			if role == "" {
				return usage(c, "--role is needed: viewer, operator, author or admin")
			}
			if expires != "" {
				d, err := flow.ParseDuration(expires)
				if err != nil || d <= 0 {
					return usage(c, "--expires %q is not a length of time like 90d or 12h", expires)
				}
				at := time.Now().UTC().Add(d).Truncate(time.Second)
				r.Expires = &at
			}
			return a.with(c.Context(), tool.Write, func(l *tool.Link) error {
				made, err := l.CreateToken(c.Context(), r)
				if err != nil {
					return err
				}
				return a.answer(made, func() {
					a.say("token %s, %s of %s, %s. This is its secret, which is not shown again:", line(made.Name), made.Role, tenantWord(made.Tenant), expiryWord(&made.Token))
					fmt.Fprintln(a.out, made.Secret)
				})
			})
		},
	}
	c.Flags().StringVar(&r.Tenant, "tenant", "", "`NAME` of the only tenant that the token can see (default: all)")
	c.Flags().StringVar(&role, "role", "", "viewer, operator, author or admin")
	c.Flags().StringVar(&expires, "expires", "", "`TIME` after which it ends by itself: 90d, 12h (default: never)")
	a.words(c, "role", "viewer", "operator", "author", "admin")
	return c
}

func tenantWord(tenant string) string {
	if tenant == "" {
		return "all tenants"
	}
	return "tenant " + tenant
}

func expiryWord(t *flow.Token) string {
	if t.Expires == nil {
		return "without an end"
	}
	return "until " + stamp(*t.Expires)
}

func (a *app) tokenList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the tokens, without their secrets", Args: args(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.with(c.Context(), tool.Read, func(l *tool.Link) error {
				tokens, err := l.Tokens(c.Context())
				if err != nil {
					return err
				}
				return a.answer(list(tokens), func() { a.tokens(tokens) })
			})
		},
	}
}

// tokens writes a table of tokens.
func (a *app) tokens(tokens []flow.Token) {
	rows := [][]string{{"TOKEN", "TENANT", "ROLE", "MADE", "BY", "USED", "ENDS"}}
	for i := range tokens {
		t := &tokens[i]
		used, ends, tenant := "never", "never", t.Tenant
		if t.LastUsed != nil {
			used = stamp(*t.LastUsed)
		}
		if t.Expires != nil {
			if ends = stamp(*t.Expires); !t.Expires.After(time.Now()) {
				ends += " (expired)"
			}
		}
		if tenant == "" {
			tenant = "(all)"
		}
		rows = append(rows, []string{t.Name, tenant, string(t.Role), stamp(t.CreatedAt), t.CreatedBy, used, ends})
	}
	a.table(a.out, rows)
}

func (a *app) tokenRevoke() *cobra.Command {
	return &cobra.Command{
		Use: "revoke NAME", Short: "End a token at once, with all that it has under way", Args: args(1, 1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.with(c.Context(), tool.Write, func(l *tool.Link) error {
				if err := l.RevokeToken(c.Context(), args[0]); err != nil {
					return err
				}
				return a.answer(flow.Cleared{Removed: []string{args[0]}, Kept: []string{}}, func() { a.say("revoked %s", line(args[0])) })
			})
		},
	}
}

func tokenNames(ctx context.Context, l *tool.Link) ([]cobra.Completion, error) {
	tokens, err := l.Tokens(ctx)
	all := make([]cobra.Completion, 0, len(tokens))
	for _, t := range tokens {
		all = append(all, cobra.CompletionWithDesc(t.Name, string(t.Role)+" of "+tenantWord(t.Tenant)))
	}
	return all, err
}
