package flow

import (
	"fmt"
	"slices"
	"strings"
)

// Words says what has changed about a plugin, line by line, for a reader who decides whether it may.
func (c PluginChange) Words() []string {
	label := fmt.Sprintf("plugin %q", c.Plugin)
	var all []string
	switch {
	case c.From == c.To:
	case c.From == "":
		all = append(all, label+" added: digest "+c.To.Short())
	case c.To == "":
		return []string{label + " removed"}
	default:
		all = append(all, fmt.Sprintf("%s: digest %s -> %s", label, c.From.Short(), c.To.Short()))
	}
	for _, d := range []struct {
		name string
		Delta
	}{{"imports", c.Imports}, {"wants", c.Wants}, {"grant", c.Grants}} {
		for _, added := range d.Added {
			all = append(all, fmt.Sprintf("%s: %s +%s", label, d.name, added))
		}
		for _, removed := range d.Removed {
			all = append(all, fmt.Sprintf("%s: %s -%s", label, d.name, removed))
		}
	}
	if c.Signer != "" {
		all = append(all, label+": signed by "+c.Signer)
	}
	return all
}

// Nobody is the signer in a PluginChange where the bytes were signed before and are not now.
const Nobody = "nobody"

// SignerChange is what PluginChange.Signer says of two signers.
func SignerChange(before, after string) string {
	switch {
	case before == after:
		return ""
	case after == "":
		return Nobody
	}
	return after
}

// DeltaOf is what a list has gained and lost.
func DeltaOf(before, after []string) Delta {
	return Delta{Added: without(after, before), Removed: without(before, after)}
}

// without returns what is in the list and not in the other, sorted, each once.
func without(list, other []string) []string {
	var rest []string
	for _, item := range list {
		if !slices.Contains(other, item) {
			rest = append(rest, item)
		}
	}
	slices.Sort(rest)
	return slices.Compact(rest)
}

// Words lists what is wanted, in the words in which grants are told; a mount is of any folder.
func (w Wants) Words() []string {
	var all []string
	add := func(kind string, items []string) {
		for _, item := range items {
			all = append(all, kind+" "+strings.ToValidUTF8(item, "\ufffd"))
		}
	}
	add("http", w.HTTP)
	add("mount", w.Mount)
	add("secret", w.Secret)
	for _, flag := range []struct {
		name string
		on   bool
	}{{"state", w.State}, {"event", w.Event}, {"clock", w.Clock}, {"random", w.Random}} {
		if flag.on {
			all = append(all, flag.name)
		}
	}
	slices.Sort(all)
	return all
}
