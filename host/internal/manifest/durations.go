package manifest

import (
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// Durations reads a TOML text of durations by name, such as weather = "5m", within the bounds of a manifest. Mistakes are
// returned as flow.Problems, all at once and each at its place; name is what they call the file.
func Durations(name string, src []byte) (map[string]time.Duration, error) {
	doc, tree, problems := parse(name, src)
	if doc == nil {
		return nil, problems
	}
	b := &binder{doc: doc}
	all := map[string]time.Duration{}
	for _, key := range slices.Sorted(maps.Keys(tree)) {
		var d flow.Duration
		b.value(reflect.ValueOf(&d).Elem(), rule{}, tree[key], []string{key})
		all[key] = d.Std()
	}
	if problems := doc.finish(b.findings, b.dropped); len(problems) > 0 {
		return nil, problems
	}
	return all, nil
}
