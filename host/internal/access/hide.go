package access

import (
	"cmp"
	"errors"
	"maps"
	"path/filepath"
	"strings"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// hide takes the folders of the host out of a text that a tenant is shown.
func (s *scoped) hide(text string) string {
	if s.p.Tenant == "" || !strings.ContainsAny(text, `/\`) {
		return text
	}
	for _, folder := range s.folders {
		text = strings.ReplaceAll(text, folder+string(filepath.Separator), "")
		text = strings.ReplaceAll(text, folder, ".")
	}
	return text
}

// path is a path as a tenant is shown it: relative to a folder of its own, or the last part alone.
func (s *scoped) path(p string) string {
	if s.p.Tenant == "" || p == "" {
		return p
	}
	if p = s.hide(p); filepath.IsAbs(p) {
		p = filepath.Base(p)
	}
	return p
}

// shown is an error as the principal is shown it.
func (s *scoped) shown(err error) error {
	if err == nil || s.p.Tenant == "" {
		return err
	}
	if list, ok := errors.AsType[flow.Problems](err); ok {
		return s.hideProblems(list)
	}
	e, ok := errors.AsType[*flow.Error](err)
	if !ok {
		return err // nobody is shown the text of an error without a code
	}
	text, hint := err.Error(), e.Hint
	if s.hide(text) == text && s.hide(hint) == hint {
		return err
	}
	shown := &flow.Error{Code: e.Code, Message: s.hide(text), Hint: s.hide(hint)}
	if errors.Is(err, flow.ErrNotFound) {
		shown.Message, shown.Err = strings.TrimSuffix(shown.Message, ": "+flow.ErrNotFound.Error()), flow.ErrNotFound
	}
	return shown
}

func (s *scoped) hideProblems(list flow.Problems) flow.Problems {
	if s.p.Tenant == "" || list == nil {
		return list
	}
	shown := make(flow.Problems, len(list))
	for i, p := range list {
		p.Message, p.Note, p.Help, p.File = s.hide(p.Message), s.hide(p.Note), s.hide(p.Help), s.path(p.File)
		shown[i] = p
	}
	return shown
}

func (s *scoped) hideRun(r *flow.RunRecord) {
	if s.p.Tenant == "" || r == nil {
		return
	}
	r.Message = s.hide(r.Message)
	for i := range r.Steps {
		step := &r.Steps[i]
		step.Message = s.hide(step.Message)
		for n := range step.Attempts {
			step.Attempts[n].Message = s.hide(step.Attempts[n].Message)
		}
	}
}

// hidePlan returns a plan whose paths say nothing of the host. The plan itself is shared, and stays as it is.
func (s *scoped) hidePlan(p *flow.Plan) *flow.Plan {
	if s.p.Tenant == "" || p == nil {
		return p
	}
	shown := *p
	shown.Plugins = maps.Clone(p.Plugins)
	for name, plugin := range shown.Plugins {
		plugin.Path, plugin.GrantFrom, plugin.Ceiling = s.path(plugin.Path), s.hide(plugin.GrantFrom), s.hide(plugin.Ceiling)
		if plugin.Script != nil {
			script := *plugin.Script
			script.Path = s.path(script.Path)
			plugin.Script = &script
		}
		plugin.Grant.Mount = maps.Clone(plugin.Grant.Mount)
		for guest, folder := range plugin.Grant.Mount {
			plugin.Grant.Mount[guest] = s.path(folder)
		}
		shown.Plugins[name] = plugin
	}
	return &shown
}

// hideDeployment leaves of a deployment what is the tenant's.
func (s *scoped) hideDeployment(d *flow.Deployment) {
	if s.p.Tenant == "" {
		return
	}
	manifests, plans := map[string]flow.Digest{}, map[string]flow.Digest{}
	for tenant, digest := range d.Manifests {
		if cmp.Or(tenant, flow.DefaultTenant) == s.p.Tenant {
			manifests[tenant] = digest
		}
	}
	for id, digest := range d.Plans {
		if s.owns(id) {
			plans[id] = digest
		}
	}
	d.Manifests, d.Plans = manifests, plans
	if !s.owns(d.By) || !strings.Contains(d.By, "/") { // what the operator writes down is the operator's
		d.By, d.Metadata = "", nil
	}
}
