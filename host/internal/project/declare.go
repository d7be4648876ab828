package project

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// maxTenants bounds the tenants of a host.
const maxTenants = 10_000

// declared is a tenant that a table declares.
type declared struct {
	name, table string
	// file is the manifest below root, a folder that no symbolic link leads out of; shown is what problems call it.
	root, file, shown string
	// dir is the folder of the manifest, without symbolic links where it can be opened.
	dir string
	// linked says that a symbolic link is on the way from root to dir.
	linked bool
	// fault says why the folder cannot be opened.
	fault *flow.Problem
}

// declare lists the tenants by name. Tables of their own win over patterns. Problems are mistakes of the operator.
func (p *Project) declare() ([]declared, flow.Problems) {
	tables := p.document.Manifest.Tenants
	found := map[string]declared{}
	var problems flow.Problems
	for _, pattern := range []bool{false, true} {
		for _, table := range slices.Sorted(maps.Keys(tables)) {
			text := tables[table].Manifest
			if strings.Contains(text, "*") != pattern {
				continue
			}
			matches := []match{{table, text}}
			if pattern {
				var more flow.Problems
				matches, more = p.expand(table, text)
				problems = append(problems, more...)
			}
			for _, m := range matches {
				switch other, taken := found[m.name]; {
				case !taken:
					found[m.name] = p.placed(m, table)
				case pattern && strings.Contains(tables[other.table].Manifest, "*"):
					problems = append(problems, tenantProblem(table, fmt.Sprintf("two patterns declare the tenant %q: this one and that of [tenants.%s]", m.name, other.table),
						"change one of them, or give the tenant a table of its own"))
				}
			}
		}
	}
	if len(found) > maxTenants {
		problems = append(problems, flow.Problem{Code: flow.CodeTenant, Path: []string{"tenants"}, OnKey: true, Message: fmt.Sprintf("the manifest declares %d tenants, at most %d", len(found), maxTenants), Help: "use several hosts"})
		return nil, problems
	}
	all := make([]declared, 0, len(found))
	for _, name := range slices.Sorted(maps.Keys(found)) {
		d := found[name]
		d.open()
		all = append(all, d)
	}
	return all, append(problems, p.apart(all)...)
}

func tenantProblem(table, message, help string) flow.Problem {
	return flow.Problem{Code: flow.CodeTenant, Path: []string{"tenants", table, "manifest"}, Message: message, Help: help}
}

// match is a tenant's name and the path of its manifest.
type match struct{ name, path string }

// placed finds the folder that a path is in.
func (p *Project) placed(m match, table string) declared {
	d := declared{name: m.name, table: table, root: p.Dir, file: path.Clean(m.path), shown: path.Clean(m.path)}
	if path.IsAbs(m.path) {
		d.root, d.file = filepath.FromSlash(path.Dir(m.path)), path.Base(m.path)
	}
	return d
}

// open finds out where the folder really is; a symbolic link that leaves the root is a fault.
func (d *declared) open() {
	d.dir = filepath.Join(d.root, filepath.FromSlash(path.Dir(d.file)))
	err := func() error {
		root, err := os.OpenRoot(d.root)
		if err != nil {
			return err
		}
		defer root.Close()
		folder, err := root.OpenRoot(filepath.FromSlash(path.Dir(d.file)))
		if err != nil {
			return err
		}
		defer folder.Close()
		d.dir, err = filepath.EvalSymlinks(d.dir)
		return err
	}()
	if err != nil {
		d.dir = realPath(d.dir)
	}
	d.linked = d.dir != filepath.Join(realPath(d.root), filepath.FromSlash(path.Dir(d.file)))
	switch {
	case err == nil:
	case errors.Is(err, fs.ErrNotExist):
		d.fault = &flow.Problem{Code: flow.CodeFileUnreadable, Severity: flow.SeverityError, File: d.shown, Message: "the manifest does not exist", Note: "no such folder", Help: "check the path of the manifest in the tenant's table"}
	default:
		d.fault = &flow.Problem{Code: flow.CodeTenant, Severity: flow.SeverityError, File: d.shown, Message: fmt.Sprintf("the tenant's folder cannot be opened: %v", bare(err)), Help: "a path of a manifest cannot leave the operator's folder, not by symbolic links either"}
	}
}

// expand lists what a pattern matches, by name.
func (p *Project) expand(table, pattern string) ([]match, flow.Problems) {
	before, after, _ := strings.Cut(pattern, "*")
	ending, rest, more := strings.Cut(after, "/")
	parent, beginning := path.Split(before)
	switch {
	case strings.Contains(after, "*"):
		return nil, flow.Problems{tenantProblem(table, "a pattern has exactly one *", `write one * for the name: manifest = "tenants/*/uniflow.toml"`)}
	case !more || rest == "":
		return nil, flow.Problems{tenantProblem(table, "the * stands in the name of the file, so that all tenants would share one folder", `let it stand for a folder: manifest = "tenants/*/uniflow.toml"`)}
	}
	names, problems := p.elements(table, parent)
	var all []match
	for _, element := range names {
		name, ok := strings.CutPrefix(element, beginning)
		if ok {
			name, ok = strings.CutSuffix(name, ending)
		}
		if !ok || len(element) < len(beginning)+len(ending) || strings.HasPrefix(element, ".") || !p.there(parent, element, rest) {
			continue
		}
		if !goodName(name) {
			problem := tenantProblem(table, fmt.Sprintf("%.80q matches, and %.80q is no name for a tenant: it is left out", path.Join(parent, element, rest), name), "rename the folder: lower case letters, digits, _ and -, a letter first, at most 64; not default")
			problem.Severity = flow.SeverityWarning
			problems = append(problems, problem)
			continue
		}
		all = append(all, match{name, path.Join(parent, element, rest)})
	}
	if len(all)+len(problems) == 0 {
		problem := tenantProblem(table, fmt.Sprintf("no file matches %q", pattern), "check the path; it is relative to the manifest's folder")
		problem.Severity = flow.SeverityWarning
		problems = append(problems, problem)
	}
	return all, problems
}

// elements lists what is in the folder before the * of a pattern, by name; a folder that is not there has nothing.
func (p *Project) elements(table, parent string) ([]string, flow.Problems) {
	names, err := func() ([]string, error) {
		root, err := p.rootOf(parent)
		if err != nil {
			return nil, err
		}
		defer root.Close()
		dir, err := root.Open(".")
		if err != nil {
			return nil, err
		}
		defer dir.Close()
		return dir.Readdirnames(-1)
	}()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, flow.Problems{tenantProblem(table, fmt.Sprintf("the folder %q of the pattern cannot be read: %v", parent, bare(err)), "check the path and its permissions")}
	}
	slices.Sort(names)
	return names, nil
}

// rootOf opens a folder of a pattern: one below the manifest's, or an absolute one.
func (p *Project) rootOf(folder string) (*os.Root, error) {
	if path.IsAbs(folder) {
		return os.OpenRoot(filepath.FromSlash(folder))
	}
	root, err := os.OpenRoot(p.Dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return root.OpenRoot(filepath.FromSlash(path.Clean(folder)))
}

// there reports whether an element of a pattern has the file that the pattern names; one that cannot be looked at has it,
// so that the tenant is told of.
func (p *Project) there(parent, element, rest string) bool {
	at := filepath.Join(filepath.FromSlash(parent), element, filepath.FromSlash(rest))
	if !path.IsAbs(parent) {
		at = filepath.Join(p.Dir, at)
	}
	_, err := os.Lstat(at)
	return !errors.Is(err, fs.ErrNotExist) && !isNoFolder(err)
}

// goodName reports whether a text can name a tenant.
func goodName(name string) bool {
	return name != "" && len(name) <= 64 && name[0] >= 'a' && name[0] <= 'z' && name != flow.DefaultTenant &&
		strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") == ""
}
