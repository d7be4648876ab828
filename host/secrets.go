package host

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/project"
	"github.com/uniflow-dev/uniflow/host/internal/secret"
	"github.com/uniflow-dev/uniflow/host/internal/service"
)

// openSecrets finds out where the secrets of each tenant are; none is read before it is needed. A tenant whose table names
// no source has none.
func (h *Host) openSecrets(p *project.Project) (map[string]secret.Source, error) {
	if p == nil {
		folder, err := filepath.Abs(".")
		if err != nil {
			return nil, fmt.Errorf("find the folder of secrets: %w", err)
		}
		source, err := secret.Open(h.config.Secrets, folder)
		return map[string]secret.Source{flow.DefaultTenant: source}, err
	}
	return p.SecretSources()
}

// setSources makes other sources hold, from the next use of a secret on.
func (h *Host) setSources(sources map[string]secret.Source) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sources = sources
}

// secretOf reads a secret of a tenant, now.
func (h *Host) secretOf(tenant, name string) (string, error) {
	h.mu.Lock()
	source := h.sources[cmp.Or(tenant, flow.DefaultTenant)]
	h.mu.Unlock()
	return source.Read(name)
}

// loadGuarded loads a plugin for the runner: what it answers holds none of the secrets of its attempt.
func (h *Host) loadGuarded(ctx context.Context, p flow.PlanPlugin) (flow.Module, error) {
	m, err := h.loader.Load(ctx, p)
	if err != nil {
		return nil, err
	}
	return service.Guard(m), nil
}

// Allow says what a registered function may reach through its Call, as the tables grant and secrets of a plugin do in a
// manifest. Of a grant, HTTP, State and Event count: a Go function has files, clock and randomness of its own. Call it
// before the pipelines that use the function are defined, which is when mistakes in it are found.
func (h *Host) Allow(function string, g flow.Grant, secrets map[string]flow.SecretBinding) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.allowed == nil {
		h.allowed = map[string]flow.Plugin{}
	}
	h.allowed[function] = flow.Plugin{Func: function, Grant: flow.Grant{HTTP: g.HTTP, State: g.State, Event: g.Event}, Secrets: secrets}
}

// function is the plugin that a registered function is.
func (h *Host) function(name string) flow.Plugin {
	h.mu.Lock()
	defer h.mu.Unlock()
	if p, ok := h.allowed[name]; ok {
		return p
	}
	return flow.Plugin{Func: name}
}
