package plan

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/egress"
)

// Bounds are what an operator's manifest says of a tenant.
type Bounds struct {
	// Table is the one that declares the tenant: tenants, acme.
	Table []string
	// Ceiling is filled, as FilledCeiling does it.
	Ceiling flow.Ceiling
	Quota   flow.Quota
	// Place says where a key stands in the operator's manifest, or the nearest table around it; nil knows no places.
	Place func(path []string) string
}

// place cites a key of the tenant's table.
func (b *Bounds) place(keys ...string) string {
	text := table(b.Table)
	if len(keys) > 0 {
		text = table(append(slices.Clone(b.Table), keys[0])) + strings.Join(append([]string{""}, keys[1:]...), " ")
	}
	if b.Place == nil {
		return text
	}
	return strings.TrimSpace(text + " " + b.Place(append(slices.Clone(b.Table), keys...)))
}

// AllowsMount reports whether the ceiling allows to mount a path of the tenant's folder.
func (b *Bounds) AllowsMount(path string) bool { return allowsMount(b.Ceiling.Mount, path) }

// FilledCeiling is a ceiling that bounds every limit and time: one that it leaves out is what a step gets that says
// nothing, so that no tenant has more than that unless the operator says so.
func FilledCeiling(c flow.Ceiling, d flow.Defaults) flow.Ceiling {
	usual := defaultLimits()
	c.Limits = flow.Limits{
		Memory: cmp.Or(c.Limits.Memory, d.Limits.Memory, usual.Memory), Output: cmp.Or(c.Limits.Output, d.Limits.Output, usual.Output),
		Log: cmp.Or(c.Limits.Log, d.Limits.Log, usual.Log), Artifacts: cmp.Or(c.Limits.Artifacts, d.Limits.Artifacts, usual.Artifacts),
		Fuel: cmp.Or(c.Limits.Fuel, d.Limits.Fuel),
	}
	c.Timeout = flow.Timeout{Step: cmp.Or(c.Timeout.Step, d.Timeout.Step, defaultStep), Run: cmp.Or(c.Timeout.Run, d.Timeout.Run, defaultRun)}
	return c
}

// excess reports what goes beyond the ceiling; what names it, of is the key of the ceiling, and allowed what that allows.
func (b *builder) excess(at key, of []string, allowed, format string, args ...any) {
	what := fmt.Sprintf(format, args...)
	if id := fmt.Sprint(at, what); !b.told[id] { // a file may stand in several steps
		b.told[id] = true
		p := b.fail(flow.CodeCeiling, at, "ask for less, or ask the operator for more", "%s is beyond the ceiling", what)
		p.Note = allowed + ": " + b.in.Bounds.place(append([]string{"ceiling"}, of...)...)
	}
}

// beyond checks that what the ceiling refuses is not granted; it is done where a grant is written.
func (b *builder) beyond(at key, g *flow.Grant) {
	if b.in.Bounds == nil {
		return
	}
	c := &b.in.Bounds.Ceiling
	for i, line := range g.HTTP {
		if p, err := egress.ParsePattern(line); err == nil && !allowsHTTP(c.HTTP, p) {
			b.excess(at.to("http", strconv.Itoa(i)), []string{"http"}, "it allows "+listed(c.HTTP), "http %q", clipped(line))
		}
	}
	for _, guest := range slices.Sorted(maps.Keys(g.Mount)) {
		if !allowsMount(c.Mount, g.Mount[guest]) {
			b.excess(at.to("mount", guest), []string{"mount"}, "it allows "+listed(c.Mount), "mount %q", clipped(g.Mount[guest]))
		}
	}
	for _, right := range rights(g, c) {
		if right.granted && !right.allowed {
			b.excess(at.to(right.name), []string{right.name}, "it does not allow "+right.name, "%s", right.name)
		}
	}
}

// right is a grant that is there or not.
type right struct {
	name             string
	granted, allowed bool
}

func rights(g *flow.Grant, c *flow.Ceiling) []right {
	return []right{{"state", g.State, c.State}, {"clock", g.Clock, c.Clock}, {"random", g.Random, c.Random}, {"event", g.Event, c.Event}}
}

// listed names what a ceiling allows.
func listed(allowed []string) string {
	const most = 5
	if len(allowed) == 0 {
		return "none"
	}
	text := strings.Join(allowed[:min(len(allowed), most)], ", ")
	if n := len(allowed) - most; n > 0 {
		text += fmt.Sprintf(" and %d more", n)
	}
	return text
}

func allowsHTTP(lines []string, p egress.Pattern) bool {
	return slices.ContainsFunc(lines, func(line string) bool {
		allowed, err := egress.ParsePattern(line)
		return err == nil && allowed.Includes(p)
	})
}

// allowsMount compares paths that are relative to the tenant's folder.
func allowsMount(allowed []string, host string) bool {
	host = path.Clean(strings.ReplaceAll(host, `\`, "/"))
	if path.IsAbs(host) || host == ".." || strings.HasPrefix(host, "../") {
		return false
	}
	return slices.ContainsFunc(allowed, func(a string) bool {
		a = path.Clean(a)
		return a == "." || host == a || strings.HasPrefix(host, a+"/")
	})
}

// origin says where a plugin's grant comes from; at is the key that names its file.
func (b *builder) origin(p *flow.PlanPlugin, at key) {
	if len(p.Secrets) == 0 && zeroGrant(p.Grant) {
		return
	}
	p.GrantFrom = table(at[:len(at)-1].to("grant"))
	if b.in.Bounds != nil {
		p.Ceiling = b.in.Bounds.place("ceiling")
	}
}

// beyondProcess checks a binary that is to run as a process.
func (b *builder) beyondProcess(at key, file string) {
	if b.in.Bounds == nil || file == "" {
		return
	}
	c := &b.in.Bounds.Ceiling
	if d := b.in.Resolved[file].Digest; !allowsProcess(c.Process, d) {
		b.excess(at, []string{"process"}, "it allows "+listed(c.Process), "the process %q%s", clipped(file), strings.TrimSuffix(" of digest "+string(d), " of digest "))
	}
}

// beyondEnv refuses variables for a binary that is allowed by its digest: by one of them, such as LD_PRELOAD, it would
// execute other code than the operator has looked at.
func (b *builder) beyondEnv(at key, d *flow.Plugin) {
	if b.in.Bounds != nil && d.Process != "" && !allowsEnv(b.in.Bounds.Ceiling.Process, &d.Grant) {
		b.excess(at[:len(at)-1].to("grant", "env"), []string{"process"}, "it allows binaries by their digests, which are executed without variables of the tenant", "env of the process %q", clipped(d.Process))
	}
}

// allowsEnv reports whether a process may have the variables of a grant.
func allowsEnv(allowed []string, g *flow.Grant) bool {
	return len(g.Env) == 0 || slices.Contains(allowed, anyProcess)
}

// allowsProcess reports whether a digest may run; one that is not known yet may where any may.
func allowsProcess(allowed []string, d flow.Digest) bool {
	return slices.Contains(allowed, anyProcess) || d != "" && slices.Contains(allowed, string(d))
}

// anyProcess stands in a ceiling for all that the lock pins.
const anyProcess = "*"

// beyondLimits checks limits where they are written.
func (b *builder) beyondLimits(at key, l flow.Limits) {
	if b.in.Bounds == nil || at[0] == "defaults" {
		return // what the operator writes is lowered to the ceiling
	}
	for _, c := range capped(&l, &b.in.Bounds.Ceiling.Limits) {
		if c.most > 0 && c.value > c.most {
			b.excess(at.to(c.name), []string{"limits", c.name}, "it allows "+c.words(c.most), "%s %s", c.name, c.words(c.value))
		}
	}
}

// beyondTimeout checks times where they are written.
func (b *builder) beyondTimeout(at key, t flow.Timeout) {
	if b.in.Bounds == nil || at[0] == "defaults" {
		return
	}
	most := b.in.Bounds.Ceiling.Timeout
	for _, c := range []struct {
		name        string
		value, most flow.Duration
	}{{"step", t.Step, most.Step}, {"run", t.Run, most.Run}} {
		if c.value > c.most {
			b.excess(at.to("timeout", c.name), []string{"timeout", c.name}, "it allows "+c.most.String(), "timeout.%s %s", c.name, c.value)
		}
	}
}

// limitCap is a limit beside the most that it may be; 0 is no bound.
type limitCap struct {
	name        string
	value, most int64
	words       func(int64) string
}

func capped(l, most *flow.Limits) []limitCap {
	size := func(n int64) string { return flow.Size(n).String() }
	return []limitCap{
		{"memory", int64(l.Memory), int64(most.Memory), size},
		{"output", int64(l.Output), int64(most.Output), size},
		{"log", int64(l.Log), int64(most.Log), size},
		{"artifacts", int64(l.Artifacts), int64(most.Artifacts), size},
		{"fuel", l.Fuel, most.Fuel, func(n int64) string { return strconv.FormatInt(n, 10) }},
	}
}

// lower brings what a step left out down to the ceiling, which then has set it.
func (b *builder) lower(out *flow.PlanStep) {
	if b.in.Bounds == nil {
		return
	}
	most := &b.in.Bounds.Ceiling
	from := table(append(slices.Clone(b.in.Bounds.Table), "ceiling"))
	for _, c := range []struct {
		name string
		to   *flow.Size
		most flow.Size
	}{
		{"memory", &out.Limits.Memory, most.Limits.Memory},
		{"output", &out.Limits.Output, most.Limits.Output},
		{"log", &out.Limits.Log, most.Limits.Log},
		{"artifacts", &out.Limits.Artifacts, most.Limits.Artifacts},
	} {
		if c.most > 0 && *c.to > c.most {
			*c.to, out.SetBy[c.name] = c.most, from
		}
	}
	if f := most.Limits.Fuel; f > 0 && (out.Limits.Fuel == 0 || out.Limits.Fuel > f) {
		out.Limits.Fuel, out.SetBy["fuel"] = f, from
	}
	if t := most.Timeout.Step; t > 0 && out.Timeout > t {
		out.Timeout, out.SetBy["timeout"] = t, from
	}
}

// lowerRun is lower for the time of a run.
func (b *builder) lowerRun(p *flow.Plan) {
	if b.in.Bounds == nil {
		return
	}
	if t := b.in.Bounds.Ceiling.Timeout.Run; t > 0 && p.Timeout > t {
		p.Timeout, p.TimeoutFrom = t, table(append(slices.Clone(b.in.Bounds.Table), "ceiling"))
	}
}

// beyondAlert checks where messages go. Where a secret holds the URL, it is checked when they are sent.
func (b *builder) beyondAlert(at key, url flow.SecretText) {
	if b.in.Bounds == nil {
		return
	}
	c := &b.in.Bounds.Ceiling
	if url.Secret != "" && len(c.Alerts) == 0 || url.Text != "" && !c.AllowsAlert(url.Text) {
		b.excess(at, []string{"alerts"}, "it allows "+listed(c.Alerts), "the url of alert %q", at[1])
	}
}

// sizes refuses a manifest with more than the quota allows.
func (b *builder) sizes() {
	if b.in.Bounds == nil {
		return
	}
	schedules := len(b.m.Schedules)
	for _, p := range b.m.Pipelines {
		schedules += count(p.Schedule)
	}
	q := b.in.Bounds.Quota.Filled()
	for _, c := range []struct {
		name    string
		n, most int
	}{{"plugins", len(b.m.Plugins), q.Plugins}, {"pipelines", len(b.m.Pipelines), q.Pipelines}, {"schedules", schedules, q.Schedules}} {
		if c.n > c.most {
			p := b.fail(flow.CodeTenantSize, key{c.name}, "remove some, or ask the operator for more", "the manifest has %d %s", c.n, c.name)
			p.OnKey, p.Note = true, fmt.Sprintf("the quota allows %d: %s", c.most, b.in.Bounds.place("quota", c.name))
		}
	}
}
