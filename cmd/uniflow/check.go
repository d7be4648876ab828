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

func (a *app) checkCommand() *cobra.Command {
	var strict, tenant bool
	var format string
	c := &cobra.Command{
		Use:   "check",
		Short: "Find all mistakes of the manifest",
		Long: `Check the manifest, the plugin files that it names, and the plans that follow from it. All mistakes are told at once,
each with its place. Nothing is changed and no plugin runs.`,
		Example: "  uniflow check\n  uniflow check --strict --format github   # in CI",
		Args:    args(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			if format != "text" && format != "github" {
				return usage(c, "--format %q is neither text nor github", format)
			}
			target := a.target()
			target.Tenant = tenant
			report, err := tool.Check(c.Context(), target)
			if err != nil {
				return err
			}
			err = a.answer(report, func() { a.checked(&report, format) })
			if err == nil && (!report.OK || strict && mistakes(report.Problems)) {
				err = ended{failedCheck(&report)}
			}
			return err
		},
	}
	c.Flags().BoolVar(&strict, "strict", false, "warnings count as errors")
	tenantFlag(c, &tenant)
	c.Flags().StringVar(&format, "format", "text", "text, or github for annotations")
	return c
}

func tenantFlag(c *cobra.Command, tenant *bool) {
	c.Flags().BoolVar(tenant, "tenant", false, "the manifest is one of a tenant, whose operator's is not here")
}

// mistakes reports whether there are problems of the manifest: a secret that is not on the machine which checks is none.
func mistakes(problems flow.Problems) bool {
	return slices.ContainsFunc(problems, func(p flow.Problem) bool { return p.Code != flow.CodeSecretUnset })
}

// failedCheck is the exit code of a check that did not pass; warnings alone are mistakes of the manifest.
func failedCheck(r *flow.CheckReport) int {
	switch {
	case len(r.Problems.Errors()) > 0:
		return exitOfProblems(r.Problems)
	case len(r.Refused) > 0:
		return exitOfRefused(r.Refused)
	}
	return exitUsage
}

// exitOfRefused is the exit code for manifests of tenants that are refused.
func exitOfRefused(refused map[string]flow.Problems) int {
	var all flow.Problems
	for _, problems := range refused {
		all = append(all, problems...)
	}
	return exitOfProblems(all)
}

// refusedTenants tells of the tenants that are refused, by name.
func (a *app) refusedTenants(refused map[string]flow.Problems) {
	for _, name := range slices.Sorted(maps.Keys(refused)) {
		a.problems(refused[name])
		a.say("tenant %s is refused; what runs of it goes on", line(name))
	}
}

// checked writes a report for a person, or for the annotations of a forge.
func (a *app) checked(r *flow.CheckReport, format string) {
	switch format {
	case "github":
		for _, problems := range append([]flow.Problems{r.Problems}, slices.Collect(maps.Values(r.Refused))...) {
			for i := range problems {
				fmt.Fprintln(a.out, annotation(&problems[i]))
			}
		}
	default:
		if len(r.Problems) > 0 {
			a.problems(r.Problems)
		}
		a.refusedTenants(r.Refused)
	}
	if r.OK {
		fmt.Fprintf(a.out, "ok: %s, %s, %s, %s", count(r.Pipelines, "pipeline"), count(r.Steps, "step"), count(r.Plugins, "plugin"), count(r.Schedules, "schedule"))
		if r.Tenants > 0 {
			fmt.Fprintf(a.out, ", %s", count(r.Tenants, "tenant"))
		}
		fmt.Fprintln(a.out)
		for i := range r.Reach {
			fmt.Fprintf(a.out, "  plugin    %s\n", line(r.Reach[i].Plugin))
			writeGrants(a.out, &flow.Grant{HTTP: r.Reach[i].HTTP})
			writeSecrets(a.out, r.Reach[i].Secrets)
		}
	}
}

// annotation is a problem as a workflow command of GitHub Actions.
func annotation(p *flow.Problem) string {
	data := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	property := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
	kind := "error"
	if p.Severity == flow.SeverityWarning {
		kind = "warning"
	}
	place := "file=" + property.Replace(line(p.File))
	if p.Line > 0 {
		place += fmt.Sprintf(",line=%d,col=%d,endColumn=%d", p.Line, p.Column, p.EndColumn)
	}
	text := p.Message
	if p.Help != "" {
		text += "\n" + p.Help
	}
	return fmt.Sprintf("::%s %s,title=%s::%s", kind, place, property.Replace(string(p.Code)), data.Replace(lines(text)))
}
