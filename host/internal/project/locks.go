package project

import (
	"path/filepath"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/supply"
)

// locks are the two locks of a project: prebuilt files are pinned beside the manifest, for everybody; what was built
// here is pinned in the data folder, for this machine.
type locks struct {
	prebuilt, built               *supply.Lock
	prebuiltChanged, builtChanged bool
}

func (p *Project) readLocks() (*locks, error) {
	prebuilt, err := supply.ReadLock(filepath.Join(p.Dir, supply.LockName))
	if err != nil {
		return nil, err
	}
	built, err := supply.ReadLock(filepath.Join(p.Data, supply.BuildLockName))
	if err != nil {
		return nil, err
	}
	var names, builds []string
	for _, f := range p.files() {
		if len(f.build) > 0 {
			builds = append(builds, f.name)
		} else {
			names = append(names, f.name)
		}
	}
	l := &locks{prebuilt: prebuilt, built: built}
	l.prebuiltChanged, l.builtChanged = prebuilt.Retain(names), built.Retain(builds)
	return l, nil
}

// pin holds a file's digest against its lock, or sets it, as the options say.
func (p *Project) pin(l *locks, f file, d flow.Digest, o Options) error {
	lock, name := l.prebuilt, supply.LockName
	if len(f.build) > 0 {
		lock, name = l.built, supply.BuildLockName
	}
	pinned := lock.Digest(f.name)
	if o.Build && (pinned == "" || pinned == d || len(f.build) > 0 || f.kind == kindScript || o.Accept) {
		changed := lock.Pin(f.name, d)
		if len(f.build) > 0 {
			l.builtChanged = l.builtChanged || changed
		} else {
			l.prebuiltChanged = l.prebuiltChanged || changed
		}
		p.Pins = append(p.Pins, flow.BuiltPlugin{Name: f.plugin, Path: f.name, Digest: d, Built: len(f.build) > 0, Changed: changed, Lock: name})
		return nil
	}
	if pinned == "" && !o.Pinned {
		return nil
	}
	return lock.Check(f.name, d)
}

// write stores the locks that changed.
func (l *locks) write() error {
	if l.prebuiltChanged {
		if err := l.prebuilt.Write(); err != nil {
			return err
		}
	}
	if l.builtChanged {
		return l.built.Write()
	}
	return nil
}
