package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/tool"
)

// plannedFires is how many instants of each schedule a plan shows.
const plannedFires = 5

func (a *app) planCommand() *cobra.Command {
	var exitCode bool
	c := &cobra.Command{
		Use:   "plan",
		Short: "Show what would run, when, with which rights, and what has changed",
		Long: `Show what a host would do with the manifest: the next fires of each schedule, the plugins with their digests and
grants, the parameters, and the changes against the running host, or against what was recorded last.`,
		Example: "  uniflow plan\n  uniflow plan --detailed-exitcode   # 7 if there are changes to review",
		Args:    args(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			report, err := tool.Plan(c.Context(), a.target(), time.Now(), plannedFires)
			if err != nil {
				return err
			}
			err = a.answer(report, func() { a.planned(&report) })
			switch {
			case err != nil:
			case len(report.Refused) > 0:
				err = ended{exitOfRefused(report.Refused)}
			case exitCode && len(report.Changes) > 0:
				err = ended{exitChanges}
			}
			return err
		},
	}
	c.Flags().BoolVar(&exitCode, "detailed-exitcode", false, "end with 7 if there are changes")
	c.Flags().BoolVar(&exitCode, "exit-code", false, "the same, as it was called before")
	_ = c.Flags().MarkHidden("exit-code") // it was just made
	return c
}

// planned writes a plan for a person.
func (a *app) planned(r *flow.PlanReport) {
	if len(r.Problems) > 0 {
		a.problems(r.Problems)
	}
	a.refusedTenants(r.Refused)
	for i := range r.Plans {
		a.plannedPipeline(&r.Plans[i], r.Fires)
	}
	if len(r.Changes) == 0 {
		fmt.Fprintln(a.out, "no changes")
		return
	}
	fmt.Fprintln(a.out, a.onOut(bold, "changes"))
	for _, c := range r.Changes {
		fmt.Fprintf(a.out, "  %s %s\n", c.Kind, line(c.Pipeline))
		for _, what := range c.What {
			fmt.Fprintf(a.out, "    %s\n", line(what))
		}
	}
}

func (a *app) plannedPipeline(p *flow.Plan, fires map[string][]time.Time) {
	fmt.Fprintf(a.out, "%s  version %s\n", a.onOut(bold, line(p.ID())), p.Digest.Short())
	if p.About != "" {
		fmt.Fprintf(a.out, "  %s\n", line(p.About))
	}
	for _, s := range p.Schedules {
		a.plannedSchedule(&s, fires[flow.ID(p.Tenant, s.Name)])
	}
	for _, name := range slices.Sorted(maps.Keys(p.Params)) {
		fmt.Fprintf(a.out, "  param     %s\n", paramText(name, p.Params[name]))
	}
	for i := range p.Steps {
		fmt.Fprintf(a.out, "  step      %s\n", stepText(&p.Steps[i]))
	}
	for _, name := range slices.Sorted(maps.Keys(p.Plugins)) {
		plugin := p.Plugins[name]
		digest := plugin.Digest.Short()
		if digest == "" {
			digest = "not built yet"
		}
		fmt.Fprintf(a.out, "  plugin    %s: %s, %s\n", line(name), plugin.Kind, digest)
		writeGrants(a.out, &plugin.Grant)
		writeSecrets(a.out, plugin.Secrets)
		if plugin.Ceiling != "" {
			fmt.Fprintf(a.out, "            granted by %s, allowed by %s\n", line(plugin.GrantFrom), line(plugin.Ceiling))
		}
	}
	fmt.Fprintln(a.out)
}

func (a *app) plannedSchedule(s *flow.PlanSchedule, fires []time.Time) {
	state := ""
	if !s.Enabled {
		state = ", disabled"
	}
	fmt.Fprintf(a.out, "  schedule  %s: %s %s%s\n", line(s.Name), s.At, s.Timezone, state)
	for _, t := range fires {
		fmt.Fprintf(a.out, "            %s\n", zoned(t, s.Timezone))
	}
	for _, rule := range slotRules(s) {
		fmt.Fprintf(a.out, "            %s\n", line(rule))
	}
}

// shownDays is how many entries of not_on a plan shows.
const shownDays = 6

// slotRules says which slots of a schedule are skipped or dropped, and when its runs start.
func slotRules(s *flow.PlanSchedule) []string {
	var rules []string
	if n := len(s.NotOn); n > 0 {
		text := "not on " + strings.Join(s.NotOn[:min(n, shownDays)], "; ")
		if n > shownDays {
			text += fmt.Sprintf("; and %d more", n-shownDays)
		}
		rules = append(rules, text)
	}
	if s.From != "" || s.To != "" {
		rules = append(rules, strings.TrimSpace(strings.Join([]string{bound("from ", s.From), bound("to ", s.To)}, " ")))
	}
	if s.Jitter > 0 {
		rules = append(rules, "each start is delayed by the same part of "+s.Jitter.String())
	}
	if s.Start > 0 {
		rules = append(rules, "dropped if the run has not begun after "+s.Start.String())
	}
	if s.OnResume != "" {
		rules = append(rules, "on_resume "+string(s.OnResume))
	}
	return rules
}

func bound(word, text string) string {
	if text == "" {
		return ""
	}
	return word + text
}

// zoned writes an instant in a schedule's zone.
func zoned(t time.Time, zone string) string {
	if l, err := time.LoadLocation(zone); err == nil {
		t = t.In(l)
	}
	return t.Format("Mon 2006-01-02 15:04:05 MST")
}

// stepText says what a step calls, after what, and under which conditions.
func stepText(s *flow.PlanStep) string {
	text := s.Name + ": plugin " + s.Plugin
	if s.Function != "" {
		text += ", function " + s.Function
	}
	if len(s.Needs) > 0 {
		text += ", after " + strings.Join(s.Needs, ", ")
	}
	if s.Each != "" {
		text += ", for each of " + s.Each
	}
	if s.When != "" {
		text += ", when " + s.When
	}
	if s.On != flow.OnSuccess {
		text += ", on " + string(s.On)
	}
	return line(text)
}

func paramText(name string, p flow.Param) string {
	text := name + ": " + p.Type
	if p.Required {
		text += ", required"
	}
	if p.Default != nil {
		text += ", default " + string(p.Default)
	}
	if p.About != "" {
		text += " (" + p.About + ")"
	}
	return line(text)
}

// writeSecrets lists where a plugin's secrets go, and those that it sees itself.
func writeSecrets(w io.Writer, secrets map[string]flow.SecretBinding) {
	for _, name := range slices.Sorted(maps.Keys(secrets)) {
		s := secrets[name]
		if s.Expose {
			fmt.Fprintf(w, "            MAY READ the secret %s\n", line(name))
			continue
		}
		fmt.Fprintf(w, "            has the secret %s filled in for %s, as %s\n", line(name), line(s.To), line(s.Header))
	}
}

// writeGrants lists what a plugin may reach.
func writeGrants(w io.Writer, g *flow.Grant) {
	for _, rule := range g.HTTP {
		fmt.Fprintf(w, "            may call %s\n", line(rule))
	}
	for _, guest := range slices.Sorted(maps.Keys(g.Mount)) {
		fmt.Fprintf(w, "            may read %s as %s\n", line(g.Mount[guest]), line(guest))
	}
	for _, name := range slices.Sorted(maps.Keys(g.Env)) {
		fmt.Fprintf(w, "            has the variable %s\n", line(name))
	}
	for _, right := range []struct {
		granted bool
		words   string
	}{{g.State, "may keep state"}, {g.Clock, "may read the clock"}, {g.Random, "has real randomness"}, {g.Event, "may emit events"}} {
		if right.granted {
			fmt.Fprintf(w, "            %s\n", right.words)
		}
	}
}
