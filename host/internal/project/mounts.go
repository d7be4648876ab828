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

	"github.com/uniflow-dev/uniflow/host/flow"
)

// resolveMounts refuses mounts of a tenant that a symbolic link leads out of its folder, or to what the ceiling does not
// allow.
func (p *Project) resolveMounts(root *os.Root) flow.Problems {
	m := &p.document.Manifest
	p.mounts = map[string]string{}
	var problems flow.Problems
	look := func(g flow.Grant, at ...string) {
		for _, guest := range slices.Sorted(maps.Keys(g.Mount)) {
			at := append(slices.Clone(at), "grant", "mount", guest)
			host := filepath.FromSlash(g.Mount[guest])
			if _, err := root.Stat(host); err != nil && !errors.Is(err, fs.ErrNotExist) {
				problems = append(problems, flow.Problem{
					Code: flow.CodeGrant, Path: at, Message: fmt.Sprintf("%q cannot be mounted: %v", g.Mount[guest], bare(err)),
					Help: "a mount cannot leave the manifest's folder, not by symbolic links either",
				})
				continue
			}
			p.mounts[g.Mount[guest]] = realPath(filepath.Join(p.Dir, host))
			leads, err := filepath.Rel(p.Dir, p.mounts[g.Mount[guest]])
			if leads = filepath.ToSlash(leads); err == nil && leads != path.Clean(g.Mount[guest]) && !p.bounds.AllowsMount(leads) {
				problems = append(problems, flow.Problem{
					Code: flow.CodeCeiling, Path: at, Message: fmt.Sprintf("mount %q leads to %q, which is beyond the ceiling", g.Mount[guest], leads),
					Help: "name the folder itself",
				})
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.Plugins)) {
		look(m.Plugins[name].Grant, "plugins", name)
	}
	for _, name := range slices.Sorted(maps.Keys(m.Pipelines)) {
		look(m.Pipelines[name].Grant, "pipelines", name)
	}
	return problems
}
