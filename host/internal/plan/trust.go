package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// Distrusted lists the plugins of a plan that somebody signed whose key is not among those that are trusted now, and, if
// unsigned is true, those that nobody signed. Where there are no keys, no signature is asked for.
func Distrusted(p *flow.Plan, keys []string, unsigned bool) []string {
	var all []string
	if len(keys) == 0 {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(p.Plugins)) {
		plugin := p.Plugins[name]
		switch {
		case plugin.Kind == flow.KindFunc:
		case plugin.Signer == "" && unsigned:
			all = append(all, fmt.Sprintf("plugin %q: it is not signed", name))
		case plugin.Signer != "" && !slices.ContainsFunc(keys, func(key string) bool { return strings.HasSuffix(strings.TrimSpace(key), plugin.Signer) }):
			all = append(all, fmt.Sprintf("plugin %q: the key %s that signed it is not trusted any more", name, plugin.Signer))
		}
	}
	return all
}
