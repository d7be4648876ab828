package plan

import (
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/egress"
	"github.com/uniflow-dev/uniflow/host/internal/schema"
)

// shape holds the inputs of a step against what the plugin says that it takes, as far as they are known before a run.
func (b *builder) shape(d draft, s *flow.PlanStep) {
	if len(s.Shape.With) == 0 {
		return
	}
	value, open := map[string]any{}, [][]string(nil)
	for name, raw := range s.With {
		v, err := schema.Decode(raw)
		if err != nil {
			return // which is told elsewhere
		}
		value[name] = v
		open = append(open, unknown(v, []string{name})...)
	}
	found, err := b.shapes.Misfits(s.Shape.With, value, open)
	if err != nil {
		b.warn(flow.CodeDescriptor, d.at.to("plugin"), "tell the author of the plugin", "plugin %q describes its inputs by no JSON Schema: %v", s.Plugin, err)
		s.Shape.With = nil
		return
	}
	for _, m := range found {
		at := d.at.to(append([]string{"with"}, m.Path...)...)
		if len(s.With) == 0 {
			at = d.at
		}
		b.fail(flow.CodeInputShape, at, "uniflow plugin inspect shows what it takes", "plugin %q does not take that: %s", s.Plugin, m)
	}
}

// unknown lists the paths of values that are not known before a run: those that hold a ${...}.
func unknown(v any, at []string) [][]string {
	var open [][]string
	switch v := v.(type) {
	case string:
		if strings.Contains(strings.ReplaceAll(v, "$${", ""), "${") {
			open = append(open, slices.Clone(at))
		}
	case []any:
		for i, e := range v {
			open = append(open, unknown(e, append(at, strconv.Itoa(i)))...)
		}
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			open = append(open, unknown(v[name], append(at, name))...)
		}
	}
	return open
}

// wants warns of each grant that a plugin wants and does not have, with the line that would give it.
func (b *builder) wants(name string, declared flow.Plugin, w flow.Wants, at key) {
	if b.wanted[name] {
		return
	}
	b.wanted[name] = true
	g := declared.Grant
	var lines []string
	for _, c := range []struct {
		name       string
		want, have bool
	}{{"state", w.State, g.State}, {"event", w.Event, g.Event}, {"clock", w.Clock, g.Clock}, {"random", w.Random, g.Random}} {
		if c.want && !c.have {
			lines = append(lines, c.name+" = true")
		}
	}
	if missing := slices.DeleteFunc(slices.Clone(w.HTTP), func(line string) bool { return reaches(g.HTTP, line) }); len(missing) > 0 {
		lines = append(lines, "http = "+list(missing))
	}
	for _, guest := range w.Mount {
		if !mounted(g.Mount, guest) {
			lines = append(lines, fmt.Sprintf("mount = { %q = \"PATH\" }", guest))
		}
	}
	table := "grant"
	if len(at) > 1 && at[0] == "plugins" {
		table = fmt.Sprintf("[plugins.%s.grant]", at[1])
	}
	for _, line := range lines {
		b.warn(flow.CodeWanted, at, line+" in "+table, "plugin %q wants what it is not granted", name)
	}
	for _, secret := range w.Secret {
		if _, ok := declared.Secrets[secret]; !ok {
			b.warn(flow.CodeWanted, at, fmt.Sprintf("bind it: [plugins.%s.secrets.%s]", name, secret), "plugin %q wants the secret %q", name, secret)
		}
	}
}

func list(lines []string) string {
	raw, err := json.Marshal(lines)
	if err != nil { // cannot be: they are strings
		return "[]"
	}
	return string(raw)
}

// reaches reports whether one of the granted lines leads to the same host as the one that is wanted.
func reaches(granted []string, wanted string) bool {
	want, err := egress.ParsePattern(wanted)
	if err != nil {
		return slices.Contains(granted, wanted)
	}
	return slices.ContainsFunc(granted, func(line string) bool {
		have, err := egress.ParsePattern(line)
		return err == nil && have.Origin == want.Origin
	})
}

func mounted(mounts map[string]string, guest string) bool {
	for at := range mounts {
		if at == guest || strings.HasPrefix(path.Clean(guest), path.Clean(at)+"/") {
			return true
		}
	}
	return false
}
