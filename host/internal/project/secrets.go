package project

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/secret"
)

// SecretSources returns where the secrets of the manifest and of its tenants are, by tenant. All of that is said by the
// operator: what a tenant's own manifest says of it counts for nothing, and paths are in the operator's folder.
func (p *Project) SecretSources() (map[string]secret.Source, error) {
	sources := map[string]secret.Source{}
	var err error
	if sources[flow.DefaultTenant], err = secret.Open(p.document.Manifest.Host.Secrets, p.Dir); err != nil {
		return nil, err
	}
	for i := range p.Tenants {
		t := &p.Tenants[i]
		if sources[t.Name], err = secret.OpenTenant(t.Settings.Secrets, p.Dir, t.Name); err != nil {
			return nil, fmt.Errorf("tenant %q: %w", t.Name, err)
		}
	}
	return sources, nil
}

// missingSecrets warns of the secrets of plugins that cannot be read here and now. Their values are looked at and dropped.
func (p *Project) missingSecrets() flow.Problems {
	m := &p.document.Manifest
	if m.Host.Secrets == "" || p.author {
		return nil // the plan refuses secrets without a source
	}
	source, err := secret.Open(m.Host.Secrets, p.base)
	if err != nil {
		return nil //nolint:nilerr // so it does with a source that it does not know
	}
	return p.Missing(source)
}

// Missing warns of the secrets of plugins that a source does not have.
func (p *Project) Missing(source secret.Source) flow.Problems {
	m := &p.document.Manifest
	var problems flow.Problems
	for _, plugin := range slices.Sorted(maps.Keys(m.Plugins)) {
		for _, name := range slices.Sorted(maps.Keys(m.Plugins[plugin].Secrets)) {
			problem := flow.Problem{
				Code: flow.CodeSecretUnset, Severity: flow.SeverityWarning, Path: []string{"plugins", plugin, "secrets", name}, OnKey: true,
			}
			value, err := source.Read(name)
			switch e, ok := errors.AsType[*flow.Error](err); {
			case ok:
				problem.Message, problem.Help = fmt.Sprintf("secret %q is not there: %s", name, e.Message), e.Hint
			case err == nil && len(value) < secret.LeastLength && !m.Plugins[plugin].Secrets[name].Expose:
				problem.Message = fmt.Sprintf("secret %q has less than %d bytes, and cannot be told from other text", name, secret.LeastLength)
				problem.Help = "choose a longer one"
			default:
				continue
			}
			problems = append(problems, problem)
		}
	}
	return problems
}
