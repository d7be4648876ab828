package project

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/secret"
)

// apart demands that no tenant can be given files of another, or of the operator: their folders do not overlap, and no
// data folder and no source of secrets lies in that of a tenant. A mount reaches all of a tenant's folder, if the ceiling
// allows it.
func (p *Project) apart(all []declared) flow.Problems {
	var problems flow.Problems
	refuse := func(d *declared, format string, args ...any) {
		problems = append(problems, tenantProblem(d.table, fmt.Sprintf("tenant %q: ", d.name)+fmt.Sprintf(format, args...), "give each tenant a folder of its own, with nothing of others in it"))
	}
	operator, data := realPath(p.Dir), realPath(p.Data)
	owner := map[string]*declared{}
	for i := range all {
		d := &all[i]
		switch other := owner[d.dir]; {
		case d.fault != nil:
			continue
		case within(operator, d.dir):
			refuse(d, "its folder is the operator's, or around it")
		case within(data, d.dir), within(d.dir, data):
			refuse(d, "its folder and the data folder of the host overlap")
		case other != nil:
			refuse(d, "its folder is that of tenant %q", other.name)
		}
		owner[d.dir] = d
	}
	for i := range all {
		d := &all[i]
		if other := around(owner, filepath.Dir(d.dir)); other != nil && d.fault == nil {
			refuse(d, "its folder lies in that of tenant %q", other.name)
		}
	}
	for _, s := range p.secretPlaces(all) {
		// Of its own neither: what a tenant can write can be a link to the secrets of another.
		if d := around(owner, s.at); d != nil {
			refuse(d, "secrets of %s lie in its folder", s.whose())
		}
	}
	return problems
}

// around returns the tenant in whose folder a path lies, or nil.
func around(owner map[string]*declared, path string) *declared {
	for {
		if d := owner[path]; d != nil {
			return d
		}
		parent := filepath.Dir(path)
		if parent == path {
			return nil
		}
		path = parent
	}
}

// secretPlace is a file or folder of secrets, and whose they are; empty is the host's.
type secretPlace struct{ at, of string }

func (s secretPlace) whose() string {
	if s.of == "" {
		return "the host"
	}
	return fmt.Sprintf("tenant %q", s.of)
}

// secretPlaces lists where secrets lie on the disk, each once.
func (p *Project) secretPlaces(all []declared) []secretPlace {
	var places []secretPlace
	add := func(text, of string) {
		source, err := secret.Open(text, p.Dir)
		if err != nil {
			return // nothing is read of a source that is not known
		}
		for _, at := range source.Paths() {
			places = append(places, secretPlace{realPath(at), of})
		}
	}
	m := p.Manifest()
	add(m.Host.Secrets, "")
	for i := range all {
		add(strings.ReplaceAll(m.Tenants[all[i].table].Secrets, "{tenant}", all[i].name), all[i].name)
	}
	return places
}

// realPath is a path without symbolic links, as far as it exists.
func realPath(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	for rest := ""; ; {
		if found, err := filepath.EvalSymlinks(path); err == nil {
			return filepath.Join(found, rest)
		}
		parent := filepath.Dir(path)
		if parent == path {
			return filepath.Join(path, rest)
		}
		path, rest = parent, filepath.Join(filepath.Base(path), rest)
	}
}

// within reports whether a path is a folder, or lies in it.
func within(path, folder string) bool {
	return path == folder || strings.HasPrefix(path, strings.TrimSuffix(folder, string(filepath.Separator))+string(filepath.Separator))
}

// isNoFolder tells a path through something that is no folder.
func isNoFolder(err error) bool { return errors.Is(err, syscall.ENOTDIR) }
