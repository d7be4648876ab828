// Package project is a manifest with everything that it names: it reads the file, finds, builds and pins the plugins,
// and makes plans, with every mistake at its place.
//
// It joins manifest, supply, plan and what runtimes can tell from bytes, for the host and for the command line alike.
// It opens no ledger and runs no plugin.
package project

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sync"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/manifest"
	"github.com/uniflow-dev/uniflow/host/internal/plan"
	"github.com/uniflow-dev/uniflow/host/internal/supply"
	"github.com/uniflow-dev/uniflow/host/internal/wasm"
)

// Options say what to do about plugins. The zero Options only look.
type Options struct {
	// Build runs build commands, and pins what they make and what is not pinned yet.
	Build bool
	// Accept pins prebuilt files whose digest differs from the pinned one, instead of refusing them.
	Accept bool
	// Pinned refuses files that are missing or not pinned.
	Pinned bool
	// Data overrides the data folder of the manifest.
	Data string
	// Secrets overrides the source of secrets of the manifest.
	Secrets string
	// Tenant takes the manifest for one of a tenant whose operator is not here: it holds what such a one may, its secrets are
	// taken for granted, and what is built is pinned in uniflow.lock, as the host of the operator builds nothing.
	Tenant bool
	// Keys override those of the manifest, if they are not nil: those of a tenant are the operator's to say.
	Keys []string
}

// Project is a checked manifest.
type Project struct {
	// Path of the manifest, and Dir and Data, its folder and its data folder; all absolute.
	Path, Dir, Data string
	// Resolved are the plugin files that were found, by path as written.
	Resolved map[string]flow.Resolved
	Plans    []flow.Plan
	// Warnings are problems that are no errors.
	Warnings flow.Problems
	// Pins are the plugins that Build looked at.
	Pins []flow.BuiltPlugin
	// Changes are what Build has taken over into locks that was otherwise before: bytes of a plugin, or grants.
	Changes []flow.PluginChange
	// Calendars are what calendar files of not_on say, as entries, by path as written; nil for one that cannot be read.
	Calendars map[string][]string
	// Tenants are the declared tenants, by name.
	Tenants []Tenant

	document *manifest.Document
	// tenant owns the plans, and bounds are what the operator says of it; empty and nil for the default tenant. base is the
	// folder that the source of secrets is relative to.
	tenant string
	bounds *plan.Bounds
	// author is who looks at the manifest of a tenant without the operator's.
	author bool
	base   string
	// mounts are the host sides of a tenant's mounts without symbolic links, by path as written: a link that is made later
	// is not followed.
	mounts map[string]string
	// seen is what modules have told of themselves; tenants often have the same ones.
	seen *seen
	// taken counts the bytes of plugin files that were read.
	taken int64
}

// Load reads and checks a manifest. Mistakes come back all at once as flow.Problems, warnings among them; a build that
// fails, or a lock that cannot be used, as *flow.Error.
func Load(ctx context.Context, path string, o Options) (*Project, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("find the manifest: %w", err)
	}
	document, err := read(path, o)
	if err != nil {
		return nil, err
	}
	p := &Project{author: o.Tenant, Path: abs, Dir: filepath.Dir(abs), Resolved: map[string]flow.Resolved{}, document: document, base: filepath.Dir(abs), seen: &seen{}}
	p.Data = o.Data
	if p.Data == "" {
		p.Data = DataDir(p.Dir, &document.Manifest)
	}
	if err := CheckData(p.Data); err != nil {
		return nil, err
	}
	folder, err := supply.OpenFolder(p.Dir)
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	problems, err := p.find(ctx, folder, o)
	if err != nil {
		return nil, err
	}
	tenants, mistakes := p.declare()
	if p, err = p.plan(slices.Concat(problems, p.readCalendars(folder), mistakes)); err != nil {
		return nil, err
	}
	return p, p.loadTenants(ctx, tenants, o)
}

// read reads a manifest as the options take it.
func read(path string, o Options) (*manifest.Document, error) {
	if !o.Tenant {
		document, err := manifest.Load(path)
		if err == nil && o.Secrets != "" {
			document.Manifest.Host.Secrets = o.Secrets
		}
		return document, err
	}
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("open the manifest's folder: %w", err)
	}
	defer root.Close()
	document, problems := manifest.LoadTenant(root, filepath.Base(path), path)
	if len(problems) > 0 {
		return nil, problems
	}
	document.Manifest.Host.Secrets = "env:"
	return document, nil
}

// DataDir is the data folder that a manifest in dir asks for.
func DataDir(dir string, m *flow.Manifest) string {
	data := m.Host.Data
	if data == "" {
		data = "data"
	}
	if filepath.IsAbs(data) {
		return data
	}
	return filepath.Join(dir, filepath.FromSlash(data))
}

// CheckData says what keeps a data folder from being looked into, as CodeData. A folder that is not there yet is fine:
// only one of which nothing can be known must not be taken for an empty one.
func CheckData(dir string) error {
	info, err := os.Stat(dir)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s is no folder", dir)
	}
	if err == nil {
		_, err = os.Stat(filepath.Join(dir, "uniflow.db"))
	}
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return &flow.Error{Code: flow.CodeData, Op: "open the data folder", Message: "it cannot be used", Hint: "check its path and permissions, or choose another with `data` under [host]", Err: err}
}

// plan makes the plans; problems are those of the plugin files.
func (p *Project) plan(problems flow.Problems) (*Project, error) {
	plans, more := plan.Build(p.document.Manifest, plan.Inputs{Resolved: p.Resolved, Calendars: p.Calendars, Tenant: p.tenant, Bounds: p.bounds})
	for _, m := range more {
		// That a file is not there is told once: a plan's warning adds nothing to an error about the same key.
		if m.Severity != flow.SeverityWarning || !slices.ContainsFunc(problems, func(known flow.Problem) bool { return slices.Equal(known.Path, m.Path) }) {
			problems = append(problems, m)
		}
	}
	problems = p.document.Locate(append(problems, p.missingSecrets()...))
	if len(problems.Errors()) > 0 {
		return nil, withoutUnapproved(problems)
	}
	p.Plans, p.Warnings = plans, problems
	for i := range p.Plans {
		for name, plugin := range p.Plans[i].Plugins {
			plugin.Grant.Mount = p.absolute(plugin.Grant.Mount)
			p.Plans[i].Plugins[name] = plugin
		}
	}
	return p, nil
}

// absolute resolves the host side of mounts against the manifest's folder. It is done after the digest was taken, so
// that a version does not depend on where a checkout lies.
func (p *Project) absolute(mounts map[string]string) map[string]string {
	if mounts == nil {
		return nil
	}
	out := make(map[string]string, len(mounts))
	for guest, path := range mounts {
		out[guest] = cmp.Or(p.mounts[path], filepath.Join(p.Dir, filepath.FromSlash(path)))
	}
	return out
}

// Manifest returns what the file says.
func (p *Project) Manifest() flow.Manifest { return p.document.Manifest }

// Timezone is the default zone of schedules.
func (p *Project) Timezone() string {
	if tz := p.document.Manifest.Host.Timezone; tz != "" {
		return tz
	}
	return "UTC"
}

// Listen is the address of the API: "none" if the manifest turns it off.
func (p *Project) Listen() string {
	switch l := p.document.Manifest.Host.Listen; {
	case l == nil:
		return "127.0.0.1:7420"
	case *l == "":
		return "none"
	default:
		return *l
	}
}

// Place returns where a key stands, as file:line:column, or "".
func (p *Project) Place(path []string) string {
	at := p.document.Locate(flow.Problems{{Path: path, OnKey: true}})[0]
	if at.Line == 0 {
		return ""
	}
	return fmt.Sprintf("%s:%d:%d", at.File, at.Line, at.Column)
}

// kindScript is the kind of a file that an engine executes.
const kindScript flow.PluginKind = "script"

// file is a plugin file that the manifest names, and where it does.
type file struct {
	plugin string   // the plugin's name, for messages
	name   string   // the path as written
	at     []string // the key
	kind   flow.PluginKind
	build  []string
	shared bool // what is built is pinned for everybody
}

// builtHere reports whether the file is pinned for this machine alone.
func (f *file) builtHere() bool { return len(f.build) > 0 && !f.shared }

// files lists the plugin files in a fixed order, each path once.
func (p *Project) files() []file {
	m := &p.document.Manifest
	var all []file
	seen := map[string]bool{}
	add := func(plugin, name string, kind flow.PluginKind, build []string, at ...string) {
		if p.tenant != "" {
			build = nil // nothing of a tenant is built: what it has built is pinned like any other file
		}
		if name != "" && !seen[name] {
			seen[name] = true
			all = append(all, file{plugin, name, at, kind, build, p.author})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.Plugins)) {
		d := m.Plugins[name]
		add(name, d.Wasm, flow.KindWasm, d.Build, "plugins", name, "wasm")
		add(name, d.Process, flow.KindProcess, d.Build, "plugins", name, "process")
		add(name, d.Script, kindScript, d.Build, "plugins", name, "script")
	}
	for _, name := range slices.Sorted(maps.Keys(m.Pipelines)) {
		d := m.Pipelines[name]
		add(d.Wasm, d.Wasm, flow.KindWasm, nil, "pipelines", name, "wasm")
		add(d.Process, d.Process, flow.KindProcess, nil, "pipelines", name, "process")
		add(d.Script, d.Script, kindScript, nil, "pipelines", name, "script")
		for _, step := range slices.Sorted(maps.Keys(d.Steps)) {
			s := d.Steps[step]
			add(s.Wasm, s.Wasm, flow.KindWasm, nil, "pipelines", name, "steps", step, "wasm")
			add(s.Process, s.Process, flow.KindProcess, nil, "pipelines", name, "steps", step, "process")
		}
	}
	return all
}

// find builds, reads and pins the plugin files. Problems are mistakes of the manifest; the error is anything else.
func (p *Project) find(ctx context.Context, folder *supply.Folder, o Options) (flow.Problems, error) {
	locks, err := p.readLocks()
	if err != nil {
		return nil, err
	}
	problems := p.checkKeys()
	for _, f := range p.files() {
		if p.tenant != "" && p.taken > maxTaken {
			problems = append(problems, tooMuch(f.at, "the plugin files", maxTaken))
			break
		}
		if o.Build && len(f.build) > 0 {
			if err := folder.Build(ctx, f.plugin, f.build); err != nil {
				return nil, err
			}
		}
		resolved, err := p.look(folder, f)
		if err == nil {
			resolved.Signer, err = p.sign(folder, f, resolved.Digest, o)
			p.Resolved[f.name] = resolved
		}
		if err == nil {
			err = p.pin(locks, f, resolved, o)
		}
		if problem := f.problem(err, o); problem != nil {
			problems = append(problems, *problem)
		}
	}
	problems = append(problems, p.approve(locks, o)...)
	if o.Build && len(problems) == 0 {
		return nil, locks.write()
	}
	return problems, nil
}

// What a host reads of the folder of one tenant, each time that it looks, is bounded: all others wait for it. A file counts
// as often as its path is written in another way.
const (
	maxTaken         = 1 << 30 // plugin files
	maxTakenCalendar = 8 << 20 // calendar files
)

func tooMuch(at []string, what string, most int64) flow.Problem {
	return flow.Problem{
		Code: flow.CodeTenantSize, Path: at, Message: fmt.Sprintf("%s that the manifest names have more than %s together", what, flow.Size(most)),
		Note: "this one is not read any more", Help: "remove some; and write the path of one file always in the same way",
	}
}

// look reads one file, and a module far enough to know what it needs and offers.
func (p *Project) look(folder *supply.Folder, f file) (flow.Resolved, error) {
	switch f.kind {
	case flow.KindProcess:
		p.taken += folder.Size(f.name)
		return folder.Resolve(f.name)
	case kindScript:
		script, err := wasm.ReadScript(folder.FS(), path.Clean(filepath.ToSlash(f.name)))
		if err != nil {
			p.taken += wasm.MaxScript // as much as it may have been
			return flow.Resolved{}, err
		}
		p.taken += script.Size()
		return flow.Resolved{Path: folder.Path(f.name), Digest: script.Digest, Entry: script.Entry}, nil
	}
	b, resolved, err := folder.Read(f.name)
	p.taken += int64(len(b))
	if err != nil {
		return resolved, err
	}
	known, err := p.seen.inspect(b, resolved.Digest)
	if err != nil {
		return resolved, err
	}
	known.Path = resolved.Path
	return known, nil
}

// seen keeps what modules tell of themselves, by digest.
type seen struct{ modules sync.Map }

func (s *seen) inspect(b []byte, d flow.Digest) (flow.Resolved, error) {
	if known, ok := s.modules.Load(d); ok {
		return known.(flow.Resolved), nil //nolint:forcetypeassert // nothing else is stored
	}
	info, err := wasm.Inspect(b)
	if err != nil {
		return flow.Resolved{}, err
	}
	known := info.Resolved("")
	if info.Profile == wasm.ProfileCommand {
		known.Functions = []string{} // none, rather than not known
	}
	s.modules.Store(d, known)
	return known, nil
}

// problem turns what is wrong with a file into a mistake at its key; nil if nothing is.
func (f *file) problem(err error, o Options) *flow.Problem {
	if err == nil {
		return nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		if len(f.build) > 0 && !o.Pinned && !o.Build {
			return nil // the plan warns that it is not built yet
		}
		help := "check the path; it is relative to the manifest's folder"
		if len(f.build) > 0 {
			help = "uniflow build"
		}
		return &flow.Problem{Code: flow.CodePluginMissing, Path: f.at, Message: fmt.Sprintf("the file of plugin %q does not exist", f.plugin), Note: "no such file", Help: help}
	}
	problem := &flow.Problem{Code: flow.CodeOf(err), Path: f.at, Message: err.Error()}
	if problem.Code == "" {
		problem.Code = flow.CodePluginFile
	}
	if e, ok := errors.AsType[*flow.Error](err); ok {
		problem.Help = e.Hint
	}
	return problem
}
