package project

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/manifest"
	"github.com/uniflow-dev/uniflow/host/internal/plan"
	"github.com/uniflow-dev/uniflow/host/internal/supply"
)

// Tenant is a tenant of an operator's manifest.
type Tenant struct {
	Name string
	// Table is the table that declares it: its own, or that of a pattern.
	Table string
	// Settings are what the table says, with the tenant's name in the source of secrets, and with a ceiling and a quota
	// that are filled.
	Settings flow.Tenant
	// Project is the tenant's manifest with all that it names; nil where it was refused.
	Project *Project
	// Refused says why.
	Refused flow.Problems
	// Path is the tenant's manifest, absolute, and Dir the folder that it is in, without symbolic links; mounts of the
	// ceiling are relative to it. They are known of a refused one, too.
	Path, Dir string
}

// AllPlans are the plans of the default tenant and of all tenants that were not refused.
func (p *Project) AllPlans() []flow.Plan {
	all := slices.Clone(p.Plans)
	for _, t := range p.Tenants {
		if t.Project != nil {
			all = append(all, t.Project.Plans...)
		}
	}
	return all
}

// AllWarnings are those of the manifest and of all tenants that were not refused.
func (p *Project) AllWarnings() flow.Problems {
	all := slices.Clone(p.Warnings)
	for _, t := range p.Tenants {
		if t.Project != nil {
			all = append(all, t.Project.Warnings...)
		}
	}
	return all
}

// Of returns the project of a tenant: this one for the default tenant, nil for one that is refused or not declared.
func (p *Project) Of(tenant string) *Project {
	if tenant == "" || tenant == flow.DefaultTenant {
		return p
	}
	if t := p.Tenant(tenant); t != nil {
		return t.Project
	}
	return nil
}

// Tenant returns a declared tenant, or nil.
func (p *Project) Tenant(name string) *Tenant {
	i, ok := slices.BinarySearchFunc(p.Tenants, name, func(t Tenant, name string) int { return strings.Compare(t.Name, name) })
	if !ok {
		return nil
	}
	return &p.Tenants[i]
}

// Digest is that of the manifest's bytes.
func (p *Project) Digest() flow.Digest { return p.document.Digest }

// Manifests are the digests of the manifests' bytes by tenant, but for those that are refused.
func (p *Project) Manifests() map[string]flow.Digest {
	all := map[string]flow.Digest{flow.DefaultTenant: p.Digest()}
	for _, t := range p.Tenants {
		if t.Project != nil {
			all[t.Name] = t.Project.Digest()
		}
	}
	return all
}

// Refused are the problems of the tenants that are refused, by name.
func (p *Project) Refused() map[string]flow.Problems {
	refused := map[string]flow.Problems{}
	for _, t := range p.Tenants {
		if t.Project == nil {
			refused[t.Name] = t.Refused
		}
	}
	return refused
}

// loadTenants reads the manifests of all tenants, each apart: what is wrong with one is no matter of another.
func (p *Project) loadTenants(ctx context.Context, all []declared, o Options) error {
	p.Tenants = make([]Tenant, len(all))
	var wait sync.WaitGroup
	turns := make(chan struct{}, runtime.GOMAXPROCS(0))
	for i := range all {
		turns <- struct{}{}
		wait.Go(func() {
			defer func() { <-turns }()
			p.Tenants[i] = p.loadTenant(ctx, &all[i], o)
		})
	}
	wait.Wait()
	return ctx.Err()
}

// loadTenant reads the manifest of one tenant and all that it names.
func (p *Project) loadTenant(ctx context.Context, d *declared, o Options) Tenant {
	t := Tenant{Name: d.name, Table: d.table, Settings: p.settings(d), Dir: d.dir, Path: filepath.Join(d.dir, path.Base(d.file))}
	own, err := p.ofTenant(ctx, d, &t, o)
	if err == nil {
		t.Project = own
		return t
	}
	problems, ok := errors.AsType[flow.Problems](err)
	if !ok {
		problem := flow.Problem{Code: flow.CodeOf(err), Severity: flow.SeverityError, File: d.shown, Message: err.Error()}
		if e, ok := errors.AsType[*flow.Error](err); ok {
			problem.Help = e.Hint
		}
		if problem.Code == "" {
			problem.Code = flow.CodeTenant
		}
		problems = flow.Problems{problem}
	}
	t.Refused = problems
	return t
}

// settings are what a table says of the tenant, without what it leaves to defaults.
func (p *Project) settings(d *declared) flow.Tenant {
	m := p.Manifest()
	t := m.Tenants[d.table]
	t.Manifest = d.shown
	t.Secrets = strings.ReplaceAll(t.Secrets, "{tenant}", d.name)
	filled := plan.ForTenant(flow.Manifest{}, m, t)
	t.Isolation = filled.Defaults.Isolation
	t.Ceiling = plan.FilledCeiling(t.Ceiling, filled.Defaults)
	t.Quota = t.Quota.Filled()
	return t
}

// ofTenant reads a tenant's manifest from its folder, which nothing leads out of.
func (p *Project) ofTenant(ctx context.Context, d *declared, t *Tenant, o Options) (*Project, error) {
	if d.fault != nil {
		return nil, flow.Problems{*d.fault}
	}
	root, err := os.OpenRoot(d.dir)
	if err != nil {
		return nil, fmt.Errorf("open the tenant's folder: %w", bare(err))
	}
	defer root.Close()
	document, foreign := manifest.LoadTenant(root, path.Base(d.file), d.shown)
	if slices.ContainsFunc(foreign, func(p flow.Problem) bool { return p.Code != flow.CodeTenantKey }) {
		return nil, foreign // what keys of the operator leave over has a sense of its own; other mistakes do not
	}
	operator := p.Manifest()
	operator.Defaults.NotOn = p.days(operator.Defaults.NotOn)
	settings := t.Settings
	settings.Defaults.NotOn = p.days(settings.Defaults.NotOn)
	document.Manifest = plan.ForTenant(document.Manifest, operator, settings)
	own := &Project{Path: t.Path, Dir: t.Dir, Data: p.Data, Resolved: map[string]flow.Resolved{}, document: document, tenant: t.Name, base: p.Dir, seen: p.seen}
	folder, err := supply.OpenFolder(own.Dir)
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	problems, err := own.find(ctx, folder, Options{Pinned: o.Pinned || o.Build, Keys: settings.Keys})
	if err != nil {
		return nil, err
	}
	problems = slices.Concat(foreign, problems, own.readCalendars(folder))
	own.bounds = &plan.Bounds{Table: []string{"tenants", t.Table}, Ceiling: settings.Ceiling, Quota: settings.Quota, Place: p.shortPlace}
	return own.plan(append(problems, own.resolveMounts(root)...))
}

// shortPlace is Place without the folders that lead to the operator's manifest, which are no business of a tenant.
func (p *Project) shortPlace(at []string) string {
	place := p.Place(at)
	if place == "" {
		return ""
	}
	return path.Base(filepath.ToSlash(place))
}

// days replaces calendar files of the operator by what they say.
func (p *Project) days(list []string) []string {
	var all []string
	for _, item := range list {
		if plan.IsCalendar(item) {
			all = append(all, p.Calendars[item]...)
		} else {
			all = append(all, item)
		}
	}
	if list != nil && all == nil {
		all = []string{}
	}
	return all
}

// bare is an error of the file system without the path, which may lie outside of what a tenant knows.
func bare(err error) error {
	if e, ok := errors.AsType[*os.PathError](err); ok {
		return e.Err
	}
	return err
}
