package service

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/egress"
	"github.com/uniflow-dev/uniflow/host/internal/secret"
	"github.com/uniflow-dev/uniflow/sdk/abi"
)

// vault holds the secrets of one attempt. They are read anew for each use; what was read is masked until the attempt ends.
type vault struct {
	plugin flow.PlanPlugin
	read   func(name string) (string, error)
	// bound knows the secrets that the guest must not see, all knows the exposed ones too, which must not be recorded.
	bound, all secret.Veil
}

// newVault reads all secrets of the plugin once, so that they are masked from the beginning. What cannot be read is told
// when it is used.
func newVault(plugin flow.PlanPlugin, read func(string) (string, error)) *vault {
	v := &vault{plugin: plugin, read: read}
	for _, name := range slices.Sorted(maps.Keys(plugin.Secrets)) {
		_, _ = v.value(name)
	}
	return v
}

// secretsOf reads the secrets of one tenant, whose attempt it is.
func (s *Services) secretsOf(tenant string) func(name string) (string, error) {
	if s.config.Secrets == nil {
		return nil
	}
	return func(name string) (string, error) { return s.config.Secrets(tenant, name) }
}

// value reads a secret of the plugin. The error is a *flow.ServiceError, which a guest may see.
func (v *vault) value(name string) (string, error) {
	if v.read == nil {
		return "", refuse(abi.Unavailable, fmt.Sprintf("secret %q cannot be read: this host has no source of secrets", name), `say where they are: secrets = "dir:secrets" under [host]`)
	}
	value, err := v.read(name)
	if err != nil {
		message, hint := "", "uniflow doctor says where it is looked for"
		if e, ok := errors.AsType[*flow.Error](err); ok {
			message, hint = " ("+string(e.Code)+"): "+e.Message, e.Hint
		}
		return "", refuse(abi.Unavailable, fmt.Sprintf("secret %q cannot be read%s", name, message), hint)
	}
	v.all.Add(name, value)
	if !v.plugin.Secrets[name].Expose {
		if len(value) < secret.LeastLength {
			return "", refuse(abi.Unavailable, fmt.Sprintf("secret %q has %d bytes: a secret that the host fills in has at least %d, to be told from other text", name, len(value), secret.LeastLength), "choose a longer one")
		}
		v.bound.Add(name, value)
	}
	return value, nil
}

// filled is a header that the host fills in.
type filled struct{ secret, header, before, after string }

// bindings are the headers that the host fills in on requests to an origin, by name.
func (v *vault) bindings(to egress.Origin) map[string]filled {
	var found map[string]filled
	for _, name := range slices.Sorted(maps.Keys(v.plugin.Secrets)) {
		binding := v.plugin.Secrets[name]
		if binding.Expose {
			continue
		}
		origin, err := egress.ParseOrigin(binding.To)
		if err != nil || origin != to {
			continue
		}
		header, before, after, err := egress.ParseHeader(binding.Header)
		if err != nil {
			continue
		}
		if found == nil {
			found = map[string]filled{}
		}
		found[header] = filled{name, header, before, after}
	}
	return found
}

// fill returns the value of a header.
func (v *vault) fill(f filled) (string, error) {
	value, err := v.value(f.secret)
	if err != nil {
		return "", err
	}
	text := f.before + value + f.after
	if egress.CheckHeader(f.header, text) != nil {
		return "", refuse(abi.Unavailable, fmt.Sprintf("secret %q cannot be sent in a header: it has too many bytes, a line break, or a character outside of ASCII", f.secret), "store it as one line")
	}
	return text, nil
}

// getSecret serves secret.get: {"name"} → {"value"}, for exposed secrets alone.
func (h *host) getSecret(_ context.Context, request []byte) ([]byte, error) {
	var req struct {
		Name string `json:"name"`
	}
	if err := decode(request, &req); err != nil {
		return nil, err
	}
	name := clean(req.Name, abi.MaxOutputName)
	if !h.vault.plugin.Secrets[req.Name].Expose {
		return nil, refuse(abi.Denied, fmt.Sprintf("plugin %q has no secret %q that it may read", h.vault.plugin.Name, name),
			fmt.Sprintf("in the manifest: [plugins.%s.secrets.%s] expose = true", h.vault.plugin.Name, name))
	}
	value, err := h.vault.value(req.Name)
	if err != nil {
		return nil, err
	}
	return encode(map[string]string{"value": value})
}
