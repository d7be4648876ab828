package plan

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/egress"
)

// Exceeds lists what of a plan is beyond a ceiling that is filled; folder is the tenant's, to which mounts of a ceiling
// are relative. A plan that was made under another ceiling may not run any more.
func Exceeds(p *flow.Plan, c *flow.Ceiling, folder string) []string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(p.Plugins)) {
		plugin := p.Plugins[name]
		for _, what := range pluginExceeds(&plugin, c, folder) {
			all = append(all, fmt.Sprintf("plugin %q: %s", name, what))
		}
	}
	for i := range p.Steps {
		s := &p.Steps[i]
		for _, l := range capped(&s.Limits, &c.Limits) {
			if l.most > 0 && (l.value > l.most || l.value == 0) {
				all = append(all, fmt.Sprintf("step %q: %s %s, the ceiling allows %s", s.Name, l.name, l.words(l.value), l.words(l.most)))
			}
		}
		if most := c.Timeout.Step; most > 0 && s.Timeout > most {
			all = append(all, fmt.Sprintf("step %q: timeout %s, the ceiling allows %s", s.Name, s.Timeout, most))
		}
	}
	if most := c.Timeout.Run; most > 0 && p.Timeout > most {
		all = append(all, fmt.Sprintf("timeout %s, the ceiling allows %s", p.Timeout, most))
	}
	return all
}

func pluginExceeds(p *flow.PlanPlugin, c *flow.Ceiling, folder string) []string {
	var all []string
	if p.Kind == flow.KindProcess && !allowsProcess(c.Process, p.Digest) {
		all = append(all, "it is a process")
	}
	if p.Kind == flow.KindProcess && !allowsEnv(c.Process, &p.Grant) {
		all = append(all, "env of a process")
	}
	for _, line := range p.Grant.HTTP {
		if pattern, err := egress.ParsePattern(line); err != nil || !allowsHTTP(c.HTTP, pattern) {
			all = append(all, "http "+line)
		}
	}
	for _, guest := range slices.Sorted(maps.Keys(p.Grant.Mount)) {
		within, err := filepath.Rel(folder, p.Grant.Mount[guest])
		if err != nil || !allowsMount(c.Mount, filepath.ToSlash(within)) {
			all = append(all, "mount "+guest)
		}
	}
	for _, r := range rights(&p.Grant, c) {
		if r.granted && !r.allowed {
			all = append(all, r.name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.Secrets)) {
		if p.Secrets[name].Expose && !c.Expose {
			all = append(all, fmt.Sprintf("expose of secret %q", name))
		}
	}
	return all
}
