package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/tool"
)

func (a *app) applyCommand() *cobra.Command {
	var r flow.ApplyRequest
	var expect string
	var meta []string
	c := &cobra.Command{
		Use:   "apply",
		Short: "Make what the manifest says now the state that runs",
		Long: `Have the running host read its manifest again, and make what it says the state that runs, all at once. Live and waiting
runs keep their version. A manifest with mistakes changes nothing; one of a tenant changes nothing of that tenant.

No build command is run: "uniflow build" comes first where sources have changed.`,
		Example: "  uniflow plan                       # what would change, and its digest\n  uniflow apply --expect 3f1c...      # that, and nothing else\n  uniflow apply --set ticket=OPS-12   # words to keep with the deployment\n  uniflow apply --tenant acme",
		Args:    args(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			var err error
			if r.Metadata, err = metadata(c, "set", meta); err != nil {
				return err
			}
			if r.Expect = flow.Digest(expect); expect != "" && !r.Expect.Valid() {
				if r.Expect = "sha256:" + r.Expect; !r.Expect.Valid() {
					return usage(c, "--expect %q is no digest; `uniflow plan` shows it", expect)
				}
			}
			return a.with(c.Context(), tool.Serving, func(l *tool.Link) error {
				report, err := l.Apply(c.Context(), r)
				if err != nil {
					return err
				}
				err = a.answer(report, func() { a.appliedReport(&report, r.DryRun) })
				if err == nil && len(report.Refused) > 0 {
					err = ended{exitUsage}
				}
				return err
			})
		},
	}
	c.Flags().StringVar(&r.Tenant, "tenant", "", "apply the manifest of this tenant only")
	c.Flags().StringVar(&expect, "expect", "", "`DIGEST` of the deployment that was reviewed; another one is refused")
	c.Flags().BoolVar(&r.DryRun, "dry-run", false, "compare, and change nothing")
	c.Flags().StringArrayVar(&meta, "set", nil, "`NAME=VALUE` to keep with the deployment; may stand several times")
	return c
}

// metadata reads NAME=VALUE pairs of a flag.
func metadata(c *cobra.Command, flag string, pairs []string) (map[string]string, error) {
	all := map[string]string{}
	for _, pair := range pairs {
		name, value, found := strings.Cut(pair, "=")
		if !found || name == "" {
			return nil, usage(c, "--%s %q is not NAME=VALUE", flag, pair)
		}
		all[name] = value
	}
	return all, nil
}

// appliedReport writes for a person what was applied.
func (a *app) appliedReport(r *flow.ApplyReport, dry bool) {
	if len(r.Problems) > 0 {
		a.problems(r.Problems)
	}
	a.refusedTenants(r.Refused)
	a.changeList(r.Changes)
	switch d := &r.Deployment; {
	case dry:
		fmt.Fprintf(a.out, "would be deployment %s\n", d.Digest)
	case r.Applied:
		fmt.Fprintf(a.out, "applied deployment %d, %s\n", d.Seq, d.Digest)
	default:
		fmt.Fprintln(a.out, "nothing to apply")
	}
}

// changeList lists changes of pipelines.
func (a *app) changeList(changes []flow.PlanChange) {
	for _, c := range changes {
		fmt.Fprintf(a.out, "%s %s\n", c.Kind, line(c.Pipeline))
		for _, what := range c.What {
			fmt.Fprintf(a.out, "  %s\n", line(what))
		}
	}
}

func (a *app) deploymentsCommand() *cobra.Command {
	var q flow.DeploymentQuery
	c := &cobra.Command{
		Use: "deployments", Short: "List what was applied, newest first", Args: args(0, 0),
		Example: "  uniflow deployments\n  uniflow deployments --pipeline weather --limit 5",
		RunE: func(c *cobra.Command, _ []string) error {
			return a.with(c.Context(), tool.History, func(l *tool.Link) error {
				found, err := l.Deployments(c.Context(), q)
				if err != nil {
					return err
				}
				return a.answer(list(found), func() {
					rows := [][]string{{"SEQ", "APPLIED", "BY", "CAUSE", "DIGEST", "PIPELINES", "METADATA"}}
					for i := range found {
						d := &found[i]
						rows = append(rows, []string{fmt.Sprint(d.Seq), stamp(d.At), line(d.By), d.Cause, d.Digest.Short(), fmt.Sprint(len(d.Plans)), words(d.Metadata)})
					}
					a.table(a.out, rows)
				})
			})
		},
	}
	c.Flags().StringVar(&q.Pipeline, "pipeline", "", "those that changed the version of this pipeline")
	c.Flags().StringVar(&q.Tenant, "tenant", "", "those of this tenant, and nothing of others")
	c.Flags().Int64Var(&q.Before, "before", 0, "those before `SEQ`")
	c.Flags().IntVar(&q.Limit, "limit", 20, "how many")
	return c
}

// words writes metadata in one line.
func words(metadata map[string]string) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(metadata)) {
		all = append(all, line(name+"="+metadata[name]))
	}
	return strings.Join(all, " ")
}

func (a *app) pipelineRollback() *cobra.Command {
	var r flow.RollbackRequest
	var meta []string
	c := &cobra.Command{
		Use: "rollback NAME", Short: "Make an earlier version of a pipeline the one that runs", Args: args(1, 1),
		Long: `Make an earlier version of a pipeline the one that runs, at once. Its schedules, alerts and description stay those of the
manifest. It holds across restarts, and ends when the manifest has another version of the pipeline than it has now; back to
the manifest's version itself, it ends at once.`,
		Example: "  uniflow pipeline rollback weather                # to the version before this one\n  uniflow pipeline rollback weather --to v1.2.0    # to a label, or to the beginning of a digest",
		RunE: func(c *cobra.Command, args []string) error {
			var err error
			if r.Metadata, err = metadata(c, "set", meta); err != nil {
				return err
			}
			r.Pipeline = args[0]
			return a.with(c.Context(), tool.Serving, func(l *tool.Link) error {
				info, err := l.Rollback(c.Context(), r)
				if err != nil {
					return err
				}
				return a.answer(info, func() {
					text := fmt.Sprintf("%s runs version %s", line(info.ID), info.Version.Short())
					if info.Label != "" {
						text += " (" + line(info.Label) + ")"
					}
					fmt.Fprintln(a.out, text)
				})
			})
		},
	}
	c.Flags().StringVar(&r.To, "to", "", "a `VERSION`: its label, or the beginning of its digest (default: the one before the present one)")
	c.Flags().StringArrayVar(&meta, "set", nil, "`NAME=VALUE` to keep with the deployment; may stand several times")
	return c
}

// runVersion writes what a run executes, and what differs from the last success.
func (a *app) runVersion(v *flow.RunVersion) {
	text := v.Version.Short()
	if v.Label != "" {
		text += " (" + line(v.Label) + ")"
	}
	if v.Deployment > 0 {
		text += fmt.Sprintf(", deployment %d, manifest %s", v.Deployment, v.Manifest.Short())
	}
	fmt.Fprintf(a.out, "version  %s\n", text)
	for _, name := range slices.Sorted(maps.Keys(v.Plugins)) {
		if d := v.Plugins[name]; d != "" {
			fmt.Fprintf(a.out, "plugin   %s %s\n", line(name), d.Short())
		}
	}
	switch {
	case v.Success == "":
	case len(v.Changes) == 0:
		fmt.Fprintf(a.out, "success  as run %s, the last success before it\n", v.Success)
	default:
		fmt.Fprintf(a.out, "changed  since run %s, the last success before it:\n", v.Success)
		for _, what := range v.Changes {
			fmt.Fprintf(a.out, "         %s\n", line(what))
		}
	}
}
