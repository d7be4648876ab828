package plan

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// pluginChanges compares what plugins are and may do, by name; those that stay as they are do not appear.
func pluginChanges(before, after map[string]flow.PlanPlugin) []flow.PluginChange {
	var all []flow.PluginChange
	for _, name := range slices.Sorted(maps.Keys(laidOver(before, after))) {
		if c := pluginChange(name, before[name], after[name]); len(c.Words()) > 0 {
			all = append(all, c)
		}
	}
	return all
}

func pluginChange(name string, before, after flow.PlanPlugin) flow.PluginChange {
	rights := func(p *flow.PlanPlugin) []string { return RightWords(Rights(nil, p.Grant, p.Secrets)) }
	c := flow.PluginChange{
		Plugin: name, From: before.Digest, To: after.Digest,
		Grants: flow.DeltaOf(rights(&before), rights(&after)), Signer: flow.SignerChange(before.Signer, after.Signer),
	}
	if c.From != c.To { // they follow from the bytes
		c.Imports, c.Wants = flow.DeltaOf(before.Imports, after.Imports), flow.DeltaOf(before.Wants.Words(), after.Wants.Words())
	}
	return c
}

// pluginWords says what changes about the plugins of a pipeline, all that is kept of them included.
func pluginWords(before, after map[string]flow.PlanPlugin) []string {
	var what []string
	for _, name := range slices.Sorted(maps.Keys(laidOver(before, after))) {
		old, had := before[name]
		now, has := after[name]
		label := fmt.Sprintf("plugin %q", name)
		if !has {
			what = append(what, label+" removed")
			continue
		}
		words := pluginChange(name, old, now).Words()
		if !had && now.Digest == "" {
			words = append([]string{label + " added"}, words...)
		}
		what = append(what, words...)
		if had {
			// What words say, and where it comes from, is left out.
			rest := []string{"path", "digest", "grant", "secrets", "imports", "wants", "signer", "grant_from", "ceiling"}
			what = append(what, compare(label+": ", members(old, rest...), members(now, rest...))...)
			what = append(what, compare(label+": env ", values(old, now), values(now, old))...)
		}
	}
	return what
}

// values are the variables of a plugin that another one has too.
func values(p, other flow.PlanPlugin) map[string]json.RawMessage {
	out := map[string]json.RawMessage{}
	for name, value := range p.Grant.Env {
		if _, ok := other.Grant.Env[name]; ok {
			out[name] = encode(value)
		}
	}
	return out
}
