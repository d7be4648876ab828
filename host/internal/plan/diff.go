package plan

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// ChangeKind says what happens to a pipeline.
type ChangeKind string

// The kinds of change.
const (
	Added   ChangeKind = "added"
	Removed ChangeKind = "removed"
	Changed ChangeKind = "changed"
)

// Change is the difference of one pipeline between two sets of plans.
type Change struct {
	// Pipeline is the id.
	Pipeline string     `json:"pipeline"`
	Kind     ChangeKind `json:"kind"`
	// Version reports that what runs has changed, and not only what describes or schedules it.
	Version bool `json:"version"`
	// What lists the changes in words, for Changed.
	What []string `json:"what,omitempty"`
	// Plugins are what changes of the plugins, bytes and rights.
	Plugins []flow.PluginChange `json:"plugins,omitempty"`
}

// Diff returns what applying the new plans over the old ones changes, by id; pipelines that stay as they are do not
// appear.
func Diff(before, after []flow.Plan) []Change {
	plans := map[string][2]*flow.Plan{}
	for side, list := range [][]flow.Plan{before, after} {
		for i := range list {
			pair := plans[list[i].ID()]
			pair[side] = &list[i]
			plans[list[i].ID()] = pair
		}
	}
	var changes []Change
	for _, id := range slices.Sorted(maps.Keys(plans)) {
		pair := plans[id]
		switch {
		case pair[0] == nil:
			changes = append(changes, Change{Pipeline: id, Kind: Added, Version: true, Plugins: pluginChanges(nil, pair[1].Plugins)})
		case pair[1] == nil:
			changes = append(changes, Change{Pipeline: id, Kind: Removed})
		default:
			if what := differences(pair[0], pair[1]); len(what) > 0 {
				changes = append(changes, Change{Pipeline: id, Kind: Changed, Version: pair[0].Digest != pair[1].Digest, What: what, Plugins: pluginChanges(pair[0].Plugins, pair[1].Plugins)})
			}
		}
	}
	return changes
}

func differences(before, after *flow.Plan) []string {
	// Parts are compared by name below, and the order of steps follows from what they need. What schedules take over is
	// seen in them.
	apart := []string{"digest", "steps", "plugins", "schedules", "slots", "timeout_from"}
	old, now := members(before, apart...), members(after, apart...)
	what := compare("", old, now)
	what = append(what, parts("step", named(before.Steps, func(s flow.PlanStep) string { return s.Name }), named(after.Steps, func(s flow.PlanStep) string { return s.Name }), "set_by")...)
	what = append(what, pluginWords(before.Plugins, after.Plugins)...)
	oldSchedules, schedules := named(before.Schedules, func(s flow.PlanSchedule) string { return s.Name }), named(after.Schedules, func(s flow.PlanSchedule) string { return s.Name })
	what = append(what, parts("schedule", oldSchedules, schedules, "not_on")...)
	for _, name := range slices.Sorted(maps.Keys(schedules)) {
		if old, had := oldSchedules[name]; had {
			for _, days := range notOnChanges(old.NotOn, schedules[name].NotOn) {
				what = append(what, fmt.Sprintf("schedule %q: %s", name, days))
			}
		}
	}
	return what
}

// RuleChanges says in words which rules of a schedule's slots, and which of its bounds, differ.
func RuleChanges(before, after flow.PlanSchedule) []string {
	rules := func(s flow.PlanSchedule) map[string]json.RawMessage {
		return members(flow.PlanSchedule{From: s.From, To: s.To, SlotRules: s.SlotRules}, "not_on")
	}
	return append(compare("", rules(before), rules(after)), notOnChanges(before.NotOn, after.NotOn)...)
}

// ContextChanges says in words how two contexts differ.
func ContextChanges(before, after map[string]json.RawMessage) []string {
	return compare("context ", before, after)
}

// notOnChanges says which entries of not_on have come and gone.
func notOnChanges(before, after []string) []string {
	var what []string
	for _, side := range []struct {
		verb      string
		list, not []string
	}{{"gains", after, before}, {"loses", before, after}} {
		known := map[string]bool{}
		for _, entry := range side.not {
			known[entry] = true
		}
		changed := slices.DeleteFunc(slices.Clone(side.list), func(entry string) bool { return known[entry] })
		if n := len(changed); n > maxChanged {
			changed = append(changed[:maxChanged], fmt.Sprintf("%d more", n-maxChanged))
		}
		if len(changed) > 0 {
			what = append(what, fmt.Sprintf("not_on %s %s", side.verb, strings.Join(changed, "; ")))
		}
	}
	return what
}

// maxChanged is how many entries of not_on are named.
const maxChanged = 5

// parts compares things of one kind by name.
func parts[T any](kind string, before, after map[string]T, except ...string) []string {
	var what []string
	for _, name := range slices.Sorted(maps.Keys(laidOver(before, after))) {
		old, had := before[name]
		now, has := after[name]
		switch label := fmt.Sprintf("%s %q", kind, name); {
		case !had:
			what = append(what, label+" added")
		case !has:
			what = append(what, label+" removed")
		default:
			what = append(what, compare(label+": ", members(old, except...), members(now, except...))...)
		}
	}
	return what
}

// compare names the keys in which two objects differ.
func compare(prefix string, before, after map[string]json.RawMessage) []string {
	var what []string
	for _, name := range slices.Sorted(maps.Keys(laidOver(before, after))) {
		old, now := before[name], after[name]
		if bytes.Equal(canonical(old), canonical(now)) {
			continue
		}
		switch {
		case old == nil:
			what = append(what, fmt.Sprintf("%s%s set to %s", prefix, name, short(now)))
		case now == nil:
			what = append(what, fmt.Sprintf("%s%s removed, was %s", prefix, name, short(old)))
		default:
			what = append(what, fmt.Sprintf("%s%s %s -> %s", prefix, name, short(old), short(now)))
		}
	}
	return what
}

// short shows a value in a line: digests by their first digits.
func short(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) == nil && strings.HasPrefix(text, "sha256:") {
		return flow.Digest(text).Short()
	}
	return clip(raw)
}

// members are the keys of v as JSON, but for those named.
func members(v any, except ...string) map[string]json.RawMessage {
	var out map[string]json.RawMessage
	if json.Unmarshal(encode(v), &out) != nil {
		return nil
	}
	for _, name := range except {
		delete(out, name)
	}
	return out
}

func named[T any](list []T, name func(T) string) map[string]T {
	out := map[string]T{}
	for _, v := range list {
		out[name(v)] = v
	}
	return out
}

func laidOver[T any](before, after map[string]T) map[string]T {
	out := maps.Clone(before)
	if out == nil {
		out = map[string]T{}
	}
	maps.Copy(out, after)
	return out
}
