package plan

import (
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// refuse looks at the tables that no pipeline owns.
func (b *builder) refuse() {
	b.tenants()
	b.sizes()
	d := b.m.Defaults
	at := key{"defaults"}
	b.word(at.to("isolation"), string(d.Isolation), string(flow.IsolationInline), string(flow.IsolationWorker))
	b.policy(at, d.Retry, d.Timeout, d.Limits)
	b.slots(at, d.Overlap, d.Catchup, d.OnResume)
	b.crash(at, d.OnCrash)
	b.alerts()
	for _, name := range slices.Sorted(maps.Keys(b.m.Plugins)) {
		b.secrets(key{"plugins", name, "secrets"}, b.m.Plugins[name])
	}
	for _, name := range slices.Sorted(maps.Keys(b.m.Pipelines)) {
		p := b.m.Pipelines[name]
		at := key{"pipelines", name}
		b.policy(at, p.Retry, p.Timeout, p.Limits)
		b.slots(at, p.Overlap, p.Catchup, p.OnResume)
		b.crash(at, p.OnCrash)
		b.grant(at.to("grant"), p.Grant)
	}
}

// grant checks a grant where it is written. Whether a mount's host side exists is for whoever opens it.
func (b *builder) grant(at key, g flow.Grant) {
	b.beyond(at, &g)
	b.http(at.to("http"), g.HTTP)
	for _, guest := range slices.Sorted(maps.Keys(g.Mount)) {
		if !path.IsAbs(guest) || path.Clean(guest) != guest || guest == "/in" || guest == "/out" || g.Mount[guest] == "" {
			b.fail(flow.CodeGrant, at.to("mount", guest), `write mount = { "/data" = "data" }`, "%q is no place to mount at: a clean absolute path other than /in and /out, mapped to a host path", guest)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(g.Env)) {
		if name == "" || strings.ContainsAny(name, "= \t\n\x00") || strings.ContainsRune(g.Env[name], 0) || strings.HasPrefix(name, "UNIFLOW_") {
			b.fail(flow.CodeGrant, at.to("env", name), "choose a name of letters, digits and _ that does not begin with UNIFLOW_", "%q is no name for a variable of the guest", name)
		}
	}
}

func zeroGrant(g flow.Grant) bool {
	return len(g.HTTP)+len(g.Mount)+len(g.Env) == 0 && !g.State && !g.Clock && !g.Random && !g.Event
}
