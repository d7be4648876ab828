package project

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/plan"
	"github.com/uniflow-dev/uniflow/host/internal/supply"
)

// locks are the two locks of a project: prebuilt files are pinned beside the manifest, for everybody; what was built
// here is pinned in the data folder, for this machine. The grants of a table are kept where its file is pinned.
type locks struct {
	prebuilt, built               *supply.Lock
	prebuiltChanged, builtChanged bool
}

func (p *Project) readLocks() (*locks, error) {
	prebuilt, err := supply.ReadLock(filepath.Join(p.Dir, supply.LockName))
	if err != nil {
		return nil, err
	}
	built := &supply.Lock{} // nothing of a tenant is built here
	if p.tenant == "" {
		if built, err = supply.ReadLock(filepath.Join(p.Data, supply.BuildLockName)); err != nil {
			return nil, err
		}
	}
	var names, builds, tables, buildTables []string
	for _, f := range p.files() {
		if f.builtHere() {
			builds = append(builds, f.name)
		} else {
			names = append(names, f.name)
		}
	}
	for _, t := range p.tables() {
		if t.built {
			buildTables = append(buildTables, t.name())
		} else {
			tables = append(tables, t.name())
		}
	}
	l := &locks{prebuilt: prebuilt, built: built}
	l.prebuiltChanged, l.builtChanged = prebuilt.Retain(names, tables), built.Retain(builds, buildTables)
	return l, nil
}

// of returns the lock for what is built, or the one for what is not, with its name and the mark of its change.
func (l *locks) of(built bool) (*supply.Lock, string, *bool) {
	if built {
		return l.built, supply.BuildLockName, &l.builtChanged
	}
	return l.prebuilt, supply.LockName, &l.prebuiltChanged
}

// table is a table of the manifest that grants something to a file.
type table struct {
	path  []string
	built bool
	file  string
	// rights are what it grants.
	rights []plan.Right
}

// name is how locks call the table: plugins.clean.
func (t *table) name() string { return strings.Join(t.path, ".") }

// tables lists the tables that grant, in a fixed order.
func (p *Project) tables() []table {
	m := &p.document.Manifest
	built := map[string]bool{}
	for _, f := range p.files() {
		built[f.name] = f.builtHere()
	}
	var all []table
	add := func(file string, rights []plan.Right, path ...string) {
		if file != "" && len(rights) > 0 {
			all = append(all, table{path, built[file], file, rights})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.Plugins)) {
		d := m.Plugins[name]
		add(d.Wasm+d.Process+d.Script, plan.Rights([]string{"plugins", name}, d.Grant, d.Secrets), "plugins", name)
	}
	for _, name := range slices.Sorted(maps.Keys(m.Pipelines)) {
		d := m.Pipelines[name]
		add(d.Wasm+d.Process+d.Script, plan.Rights([]string{"pipelines", name}, d.Grant, nil), "pipelines", name)
	}
	return all
}

// pinned is what a lock says of a file.
func (f *file) pinned(r flow.Resolved) supply.Pinned {
	known := supply.PinnedModule(r)
	if f.kind != flow.KindWasm {
		known.ABI = string(f.kind)
	}
	return known
}

// pin holds a file against its lock, or pins it, as the options say.
func (p *Project) pin(l *locks, f file, r flow.Resolved, o Options) error {
	built := len(f.build) > 0
	lock, name, changed := l.of(f.builtHere())
	before, known := lock.File(f.name)
	found := f.pinned(r)
	if o.Pinned && lock.Old() {
		return &flow.Error{Code: flow.CodeLock, Op: "plugin file " + f.name, Message: name + " has the older form, which does not say what was approved", Hint: "uniflow build writes it anew; review it, then commit it"}
	}
	if !o.Build || known && before.Digest != r.Digest && !built && f.kind != kindScript && !o.Accept {
		if !known && !o.Pinned {
			return nil
		}
		return lock.Check(f.name, found)
	}
	if same := known && before.Digest == r.Digest && !built && !lock.Old(); same && !o.Accept {
		if err := lock.Check(f.name, found); err != nil {
			return err
		}
	}
	c := before.Change(f.plugin, found)
	repinned := lock.Pin(f.name, found)
	*changed = *changed || repinned
	if repinned && known && !lock.Old() && len(c.Words()) > 0 {
		p.Changes = append(p.Changes, c)
	}
	p.Pins = append(p.Pins, flow.BuiltPlugin{Name: f.plugin, Path: f.name, Digest: r.Digest, Built: built, Changed: before.Digest != r.Digest, Lock: name})
	return nil
}

// approve holds what the manifest grants against the locks, or writes it there, as the options say. Without either it
// warns of what a host that serves would refuse.
func (p *Project) approve(l *locks, o Options) flow.Problems {
	var problems flow.Problems
	for _, t := range p.tables() {
		lock, name, changed := l.of(t.built)
		if o.Build {
			d := flow.DeltaOf(lock.Approved(t.name()), plan.RightWords(t.rights))
			if lock.Approve(t.name(), plan.RightWords(t.rights)) {
				*changed = true
				p.Changes = append(p.Changes, flow.PluginChange{Plugin: t.path[1], Grants: d})
			}
			continue
		}
		severity := flow.SeverityError
		if !o.Pinned {
			severity = flow.SeverityWarning
			if _, known := lock.File(t.file); !known || lock.Old() {
				continue // it is pinned with all that it is granted
			}
		}
		for _, r := range plan.Excess(t.rights, lock.Approved(t.name())) {
			problems = append(problems, flow.Problem{
				Code: flow.CodeNotApproved, Severity: severity, Path: r.At, Message: fmt.Sprintf("%s: %s is more than %s approves", t.name(), r.Words, name),
				Help: "review it, then `uniflow build` approves it: the change of " + name + " is what there is to review",
			})
		}
	}
	return problems
}

// withoutUnapproved leaves out the warnings of approve: what has mistakes is not to be approved yet.
func withoutUnapproved(problems flow.Problems) flow.Problems {
	return slices.DeleteFunc(problems, func(p flow.Problem) bool {
		return p.Code == flow.CodeNotApproved && p.Severity == flow.SeverityWarning
	})
}

// sign checks the signature of a file where keys say so, and returns who signed. What is built here is signed by hand
// after it was built, if at all, and then served.
func (p *Project) sign(folder *supply.Folder, f file, d flow.Digest, o Options) (string, error) {
	keys := p.keys(o)
	if len(keys) == 0 || o.Build && len(f.build) > 0 {
		return "", nil
	}
	return folder.Verify(f.name, d, keys)
}

// keys are those of the options, or of the manifest.
func (p *Project) keys(o Options) []string {
	if o.Keys != nil {
		return o.Keys
	}
	return p.document.Manifest.Host.Keys
}

// checkKeys reports the manifest's keys that are none.
func (p *Project) checkKeys() flow.Problems {
	var problems flow.Problems
	check := func(keys []string, at ...string) {
		for i, text := range keys {
			if _, err := supply.ParseKey(text); err != nil {
				f := file{at: append(slices.Clone(at), strconv.Itoa(i))}
				problems = append(problems, *f.problem(err, Options{}))
			}
		}
	}
	check(p.document.Manifest.Host.Keys, "host", "keys")
	for _, name := range slices.Sorted(maps.Keys(p.document.Manifest.Tenants)) {
		check(p.document.Manifest.Tenants[name].Keys, "tenants", name, "keys")
	}
	return problems
}

// write stores the locks that changed, and those of the older form.
func (l *locks) write() error {
	if l.prebuiltChanged || l.prebuilt.Old() {
		if err := l.prebuilt.Write(); err != nil {
			return err
		}
	}
	if l.builtChanged || l.built.Old() {
		return l.built.Write()
	}
	return nil
}
