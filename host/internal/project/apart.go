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
// allows it. Who comes to the folder of somebody else by a symbolic link is refused alone: the tenant may have made it.
func (p *Project) apart(all []declared) flow.Problems {
	var problems flow.Problems
	owner := map[string]*declared{}
	refuse := func(d *declared, format string, args ...any) {
		if d.linked {
			d.fault = strayed(d)
			if owner[d.dir] == d {
				delete(owner, d.dir)
			}
			return
		}
		problems = append(problems, tenantProblem(d.table, fmt.Sprintf("tenant %q: ", d.name)+fmt.Sprintf(format, args...), "give each tenant a folder of its own, with nothing of others in it"))
	}
	operator, data := realPath(p.Dir), realPath(p.Data)
	for _, linked := range []bool{false, true} { // who is where the manifest says is not to give way
		for i := range all {
			d := &all[i]
			switch other := owner[d.dir]; {
			case d.fault != nil || d.linked != linked:
				continue
			case within(operator, d.dir):
				refuse(d, "its folder is the operator's, or around it")
			case within(data, d.dir), within(d.dir, data):
				refuse(d, "its folder and the data folder of the host overlap")
			case other != nil:
				refuse(d, "its folder is that of tenant %q", other.name)
			}
			if d.fault == nil {
				owner[d.dir] = d
			}
		}
	}
	for i := range all {
		d := &all[i]
		for other := around(owner, filepath.Dir(d.dir)); other != nil && d.fault == nil; other = around(owner, filepath.Dir(d.dir)) {
			if !other.linked || d.linked {
				refuse(d, "its folder lies in that of tenant %q", other.name)
				break
			}
			refuse(other, "")
		}
	}
	for _, s := range p.secretPlaces(all) {
		// Of its own neither: what a tenant can write can be a link to the secrets of another.
		for d := around(owner, s.at); d != nil; d = around(owner, s.at) {
			if refuse(d, "secrets of %s lie in its folder", s.whose()); !d.linked {
				break
			}
		}
	}
	return problems
}

// strayed is the fault of a tenant that a symbolic link leads to the folder of somebody else; it does not say whose.
func strayed(d *declared) *flow.Problem {
	return &flow.Problem{
		Code: flow.CodeTenant, Severity: flow.SeverityError, File: d.shown, Message: "a symbolic link leads to a folder that is not the tenant's own",
		Note: "there are files of others in it, or around it", Help: "put the manifest where the path of the tenant's table says, without a link",
	}
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
