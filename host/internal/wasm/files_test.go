package wasm_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/plugintest"
	"github.com/uniflow-dev/uniflow/host/internal/plugintest/guest"
	"github.com/uniflow-dev/uniflow/host/internal/wasm"
)

// filesGuest runs the guest of testdata/files and returns what it says of each order.
type filesGuest struct {
	runtime *wasm.Runtime
	plugin  flow.PlanPlugin
}

func newFilesGuest(t *testing.T) *filesGuest {
	t.Helper()
	path, err := built.files()
	return &filesGuest{runtime: newRuntime(t, wasm.Config{}), plugin: pluginAt(t, path, err)}
}

func (g *filesGuest) run(t *testing.T, grant flow.Grant, change func(*flow.Call, *plugintest.Host), orders ...string) (map[string]string, flow.Result, *plugintest.Host) {
	t.Helper()
	p := g.plugin
	p.Grant = grant
	m, err := g.runtime.Load(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	host := plugintest.NewHost(ctx)
	call := plugintest.NewCall(t, guest.With{})
	call.Args = orders
	if change != nil {
		change(&call, host)
	}
	result, err := m.Call(ctx, call, host)
	if err != nil || result.Verdict != flow.VerdictOK {
		t.Fatalf("result %+v, error %v, log %v", result, err, host.Lines())
	}
	said := map[string]string{}
	for _, order := range orders {
		var text string
		if err := json.Unmarshal(result.Outputs[order], &text); err != nil {
			t.Fatalf("%s: %s: %v", order, result.Outputs[order], err)
		}
		said[order] = text
	}
	return said, result, host
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func link(t *testing.T, target, path string) {
	t.Helper()
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
}

func TestFilesAndAmbience(t *testing.T) {
	t.Parallel()
	g := newFilesGuest(t)
	t.Run("mounts do not lead out", func(t *testing.T) { t.Parallel(); mountsHold(t, g) })
	t.Run("a mounted file stands alone", func(t *testing.T) { t.Parallel(); singleFile(t, g) })
	t.Run("a missing mount is a fault", func(t *testing.T) { t.Parallel(); missingMount(t, g) })
	t.Run("a tenant's mount is no link", func(t *testing.T) { t.Parallel(); mountOfTenant(t, g) })
	t.Run("artifacts can be sought in", func(t *testing.T) { t.Parallel(); artifactsIn(t, g) })
	t.Run("out is a bounded folder", func(t *testing.T) { t.Parallel(); outFolder(t, g) })
	t.Run("a full out is told", func(t *testing.T) { t.Parallel(); outFull(t, g) })
	t.Run("open files are bounded", func(t *testing.T) { t.Parallel(); openFiles(t, g) })
	t.Run("time and randomness repeat", func(t *testing.T) { t.Parallel(); ambience(t, g) })
	t.Run("environment", func(t *testing.T) { t.Parallel(); environment(t, g) })
}

func mountsHold(t *testing.T, g *filesGuest) {
	outside := t.TempDir()
	write(t, filepath.Join(outside, "secret"), "SECRET")
	data := t.TempDir()
	write(t, filepath.Join(data, "a.txt"), "alpha")
	write(t, filepath.Join(data, "sub", "b.txt"), "beta")
	link(t, filepath.Join(outside, "secret"), filepath.Join(data, "absolute"))
	link(t, "../"+filepath.Base(outside)+"/secret", filepath.Join(data, "relative"))
	link(t, outside, filepath.Join(data, "updir"))
	link(t, "..", filepath.Join(data, "parent"))
	link(t, "sub/b.txt", filepath.Join(data, "inside"))
	makePipe(t, filepath.Join(data, "pipe"))
	said, result, _ := g.run(t, flow.Grant{Mount: map[string]string{"/data": data}}, nil,
		"read /data/a.txt", "read /data/sub/b.txt", "read /data/inside", "list /data/sub",
		"read /data/absolute", "read /data/relative", "read /data/updir/secret", "read /data/parent/x", "read /data/../../etc/passwd",
		"read /etc/passwd", "read "+filepath.Join(outside, "secret"), "read /data/pipe",
		"write /data/new x", "append /data/a.txt x", "truncate /data/a.txt 0", "remove /data/a.txt", "rename /data/a.txt /data/c.txt",
		"mkdir /data/d", "symlink /data/l "+outside)
	for order, want := range map[string]string{"read /data/a.txt": "alpha", "read /data/sub/b.txt": "beta", "read /data/inside": "beta", "list /data/sub": "b.txt"} {
		if said[order] != want {
			t.Errorf("%s: %q, want %q", order, said[order], want)
		}
		delete(said, order)
	}
	for order, answer := range said {
		if !strings.HasPrefix(answer, "error: ") {
			t.Errorf("%s: %q, want a refusal", order, answer)
		}
	}
	if b, err := os.ReadFile(filepath.Join(data, "a.txt")); err != nil || string(b) != "alpha" {
		t.Errorf("the file holds %q, %v", b, err)
	}
	for name, value := range result.Outputs {
		if strings.Contains(string(value), "SECRET") {
			t.Errorf("%s leaked", name)
		}
	}
}

func singleFile(t *testing.T, g *filesGuest) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "one.conf"), "one")
	write(t, filepath.Join(dir, "two.conf"), "two")
	said, _, _ := g.run(t, flow.Grant{Mount: map[string]string{"/conf/app": filepath.Join(dir, "one.conf"), "/conf/other": filepath.Join(dir, "two.conf")}}, nil,
		"read /conf/app", "read /conf/other", "list /conf", "read /conf/one.conf", "read /conf/two.conf")
	if said["read /conf/app"] != "one" || said["read /conf/other"] != "two" || said["list /conf"] != "app,other" {
		t.Errorf("the guest saw %q", said)
	}
	if !strings.HasPrefix(said["read /conf/one.conf"], "error") || !strings.HasPrefix(said["read /conf/two.conf"], "error") {
		t.Errorf("the guest saw what is not mounted: %q", said)
	}
}

func missingMount(t *testing.T, g *filesGuest) {
	p := g.plugin
	host := filepath.Join(t.TempDir(), "nothing")
	p.Grant = flow.Grant{Mount: map[string]string{"/data": host}}
	m, err := g.runtime.Load(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	_, err = m.Call(t.Context(), plugintest.NewCall(t, guest.With{}), plugintest.NewHost(t.Context()))
	fault := faultOf(t, err)
	if !strings.Contains(fault.Message, `"/data"`) || strings.Contains(fault.Message, host) {
		t.Errorf("message %q names the guest's path, and not the host's", fault.Message)
	}
}

// Promise: what a tenant mounts is opened where its plan says, and not where a link leads that was put there since.
func mountOfTenant(t *testing.T, g *filesGuest) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	outside := t.TempDir()
	write(t, filepath.Join(outside, "data", "f"), "SECRET")
	write(t, filepath.Join(dir, "own", "f"), "own")
	link(t, outside, filepath.Join(dir, "link"))
	link(t, filepath.Join(outside, "data", "f"), filepath.Join(dir, "file"))
	for host, fine := range map[string]bool{"own": true, "own/f": true, "link": false, "link/data": false, "link/data/f": false, "file": false} {
		p := g.plugin
		p.Ceiling = "[tenants.acme.ceiling]"
		p.Grant = flow.Grant{Mount: map[string]string{"/data/f": filepath.Join(dir, filepath.FromSlash(host))}}
		m, err := g.runtime.Load(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		result, err := m.Call(t.Context(), plugintest.NewCall(t, guest.With{}), plugintest.NewHost(t.Context()))
		if fine != (err == nil && result.Verdict == flow.VerdictOK) {
			t.Errorf("%s is mounted: %+v, %v", host, result, err)
		}
	}
}

func artifactsIn(t *testing.T, g *filesGuest) {
	change := func(c *flow.Call, h *plugintest.Host) {
		for name, text := range map[string]string{"table": "0123456789", "..": "x", "a/b": "x"} {
			ref, err := h.Artifact(t.Context(), name, "text/plain", strings.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			if c.Context.With[name], err = json.Marshal(ref); err != nil {
				t.Fatal(err)
			}
		}
		c.Context.With["lost"] = json.RawMessage(`{"$artifact":"sha256:00","size":3}`)
	}
	said, _, _ := g.run(t, flow.Grant{}, change, "list /in", "read /in/table", "tail /in/table 3", "read /in/lost", "write /in/table x", "read /in/other")
	if said["list /in"] != "lost,table" || said["read /in/table"] != "0123456789" || said["tail /in/table 3"] != "789|0123456789" {
		t.Errorf("the guest saw %q", said)
	}
	for _, order := range []string{"read /in/lost", "write /in/table x", "read /in/other"} {
		if !strings.HasPrefix(said[order], "error: ") {
			t.Errorf("%s: %q, want a refusal", order, said[order])
		}
	}
}

func outFolder(t *testing.T, g *filesGuest) {
	change := func(c *flow.Call, _ *plugintest.Host) { c.Limits.Artifacts = 60 }
	said, result, host := g.run(t, flow.Grant{}, change,
		"write /out/a.csv one", "append /out/a.csv ,two", "read /out/a.csv", "tail /out/a.csv 3", "write /out/b.bin temporary", "rename /out/b.bin /out/c",
		"create /out/a.csv", "write /out/gone x", "remove /out/gone", "list /out", "write /out/large "+strings.Repeat("x", 100),
		"truncate /out/sparse 1000000000000", "mkdir /out/d", "write /out/d/e x", "symlink /out/l /etc", "write /out/../escape x", "hold /out/c")
	for order, want := range map[string]string{
		"read /out/a.csv": "one,two", "tail /out/a.csv 3": "two|one,two", "list /out": "a.csv,c", "rename /out/b.bin /out/c": "", "remove /out/gone": "",
	} {
		if said[order] != want {
			t.Errorf("%s: %q, want %q", order, said[order], want)
		}
	}
	for _, order := range []string{"truncate /out/sparse 1000000000000", "write /out/large " + strings.Repeat("x", 100)} {
		if !strings.HasSuffix(said[order], "No space left on device") {
			t.Errorf("%.40s: %q, want no space", order, said[order])
		}
	}
	for _, order := range []string{"create /out/a.csv", "mkdir /out/d", "write /out/d/e x", "symlink /out/l /etc", "write /out/../escape x"} {
		if !strings.HasPrefix(said[order], "error: ") {
			t.Errorf("%.40s: %q, want a refusal", order, said[order])
		}
	}
	_, content := host.Artifacts()
	var ref flow.ArtifactRef
	if err := json.Unmarshal(result.Outputs["a.csv"], &ref); err != nil || ref.Type != "text/csv" || string(content[ref.Digest]) != "one,two" {
		t.Errorf("output a.csv %s, content %q", result.Outputs["a.csv"], content[ref.Digest])
	}
	if _, kept := result.Outputs["gone"]; kept || result.Outputs["c"] == nil {
		t.Errorf("outputs %q", result.Outputs)
	}
}

// A guest that fails because /out takes no more has a reason that says so; one that copes has not.
func outFull(t *testing.T, g *filesGuest) {
	const large = "write /out/large 0123456789012345678901234567890123456789"
	for _, c := range []struct {
		orders []string
		reason flow.Reason
		says   []string
	}{
		{[]string{large, "exit 3 cannot write"}, flow.ReasonOutputLimit, []string{"limits.artifacts, 30", "cannot write"}},
		{[]string{"fill /out 65", "exit 3 too bad"}, flow.ReasonOutputLimit, []string{"64 files", "too bad"}},
		{[]string{large, "remove /out/large", "exit 3 else"}, "", nil},
		{[]string{large, "exit 75 later"}, "", nil},
		{[]string{"write /out/small x", "exit 3 else"}, "", nil},
	} {
		m, err := g.runtime.Load(t.Context(), g.plugin)
		if err != nil {
			t.Fatal(err)
		}
		call := plugintest.NewCall(t, guest.With{})
		call.Args, call.Limits.Artifacts = c.orders, 30
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		result, err := m.Call(ctx, call, plugintest.NewHost(ctx))
		cancel()
		if c.reason == "" {
			if err != nil || result.ExitCode == nil {
				t.Errorf("%.60q: %+v, %v; want the guest's own word", c.orders, result, err)
			}
			continue
		}
		fault := faultOf(t, err)
		if fault.Reason != c.reason || fault.Hint == "" {
			t.Errorf("%.60q: %s: %s (%s)", c.orders, fault.Reason, fault.Message, fault.Hint)
		}
		for _, want := range c.says {
			if !strings.Contains(fault.Message, want) {
				t.Errorf("%.60q: %q does not say %q", c.orders, fault.Message, want)
			}
		}
	}
}

func openFiles(t *testing.T, g *filesGuest) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a"), "x")
	said, _, _ := g.run(t, flow.Grant{Mount: map[string]string{"/data": dir}}, nil, "hold /data/a", "read /data/a")
	if !strings.HasPrefix(said["hold /data/a"], "12") || said["read /data/a"] != "x" {
		t.Errorf("the guest held %s files, then read %q", said["hold /data/a"], said["read /data/a"])
	}
}

func ambience(t *testing.T, g *filesGuest) {
	first, _, _ := g.run(t, flow.Grant{}, nil, "now", "random")
	again, _, _ := g.run(t, flow.Grant{}, nil, "now", "random")
	if first["now"] != "2026-11-23T10:00:00Z true" || first["now"] != again["now"] || first["random"] != again["random"] {
		t.Errorf("without grants: %q, then %q", first, again)
	}
	retry, _, _ := g.run(t, flow.Grant{}, func(c *flow.Call, _ *plugintest.Host) { c.Context.Attempt = 2 }, "random")
	granted, _, _ := g.run(t, flow.Grant{Clock: true, Random: true}, nil, "now", "random")
	if retry["random"] == first["random"] || granted["random"] == first["random"] {
		t.Error("another attempt, or the grant, gave the same randomness")
	}
	stamp, _, _ := strings.Cut(granted["now"], " ")
	at, err := time.Parse(time.RFC3339, stamp)
	if d := time.Since(at); err != nil || d < -time.Minute || d > time.Hour || !strings.HasSuffix(granted["now"], "true") {
		t.Errorf("with the grant the clock says %q", granted["now"])
	}
}

func environment(t *testing.T, g *filesGuest) {
	said, _, _ := g.run(t, flow.Grant{Env: map[string]string{"TZ": "UTC", "UNIFLOW_STEP": "forged"}}, nil, "env", "argv0")
	want := "TZ=UTC UNIFLOW_STEP=summarise UNIFLOW_RUN_ID=01M83XJ880FMGQN5YYPYGSDW11 UNIFLOW_ATTEMPT=1 UNIFLOW_DEADLINE=2026-11-23T10:01:00Z"
	if said["env"] != want || said["argv0"] != "summarise" {
		t.Errorf("environment %q, argv[0] %q", said["env"], said["argv0"])
	}
}
