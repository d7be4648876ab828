package project

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// resolveMounts refuses mounts of a tenant that a symbolic link leads out of its folder.
func (p *Project) resolveMounts(root *os.Root) flow.Problems {
	m := &p.document.Manifest
	var problems flow.Problems
	look := func(g flow.Grant, at ...string) {
		for _, guest := range slices.Sorted(maps.Keys(g.Mount)) {
			_, err := root.Stat(filepath.FromSlash(g.Mount[guest]))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				problems = append(problems, flow.Problem{
					Code: flow.CodeGrant, Path: append(slices.Clone(at), "grant", "mount", guest),
					Message: fmt.Sprintf("%q cannot be mounted: %v", g.Mount[guest], bare(err)), Help: "a mount cannot leave the manifest's folder, not by symbolic links either",
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
