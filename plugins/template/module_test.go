package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/hosttest"
	"github.com/uniflow-dev/uniflow/sdk/abi"
)

// load compiles the plugin as its users do, and loads it.
func load(t *testing.T, c hosttest.Config) *hosttest.Module {
	t.Helper()
	path := filepath.Join(t.TempDir(), "plugin.wasm")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags=-s -w", "-buildmode=c-shared", "-o", path, ".")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	m, err := hosttest.Load(t.Context(), path, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

func TestTheModule(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const page = "<h1>{{.title}}</h1>{{table .rows}}"
	if err := os.WriteFile(filepath.Join(dir, "page.html"), []byte(page), 0o600); err != nil {
		t.Fatal(err)
	}
	m := load(t, hosttest.Config{Grant: flow.Grant{Mount: map[string]string{"/pages": dir}}})
	for range 2 { // the second time in the state that the first left
		out, err := m.Call(t.Context(), hosttest.Input{Function: "render", With: with{
			"from": "/pages/page.html", "format": "html", "data": with{"title": "<&>", "rows": []with{{"n": 1}}},
		}})
		const want = `"<h1>&lt;&amp;&gt;</h1><table>\n<thead><tr><th class=\"number\">n</th></tr>\n</thead>\n<tbody>\n<tr><td class=\"number\">1</td></tr>\n</tbody>\n</table>\n"`
		if err != nil || string(out.Outputs["text"]) != want {
			t.Errorf("got %s, %q, %v", out.Outputs["text"], out.Message, err)
		}
		t.Logf("fuel %d, memory %s", out.Usage.Fuel, out.Usage.Memory)
	}
	out, err := m.Call(t.Context(), hosttest.Input{With: with{"template": "a {{.b}} c", "data": with{"b": strings.Repeat("x", 100)}, "to": "a.txt"}})
	if ref, ok := abi.AsArtifact(out.Outputs["artifact"]); err != nil || !ok || ref.Size != 104 || ref.Type != "text/plain" {
		t.Errorf("got %s, %q, %v", out.Outputs["artifact"], out.Message, err)
	}
	out, err = m.Call(t.Context(), hosttest.Input{With: with{"template": `{{define "a"}}{{template "a"}}{{end}}{{template "a"}}`}})
	if err != nil || abi.Kind(out.Verdict) != abi.KindPermanent {
		t.Errorf("a template in itself: got %v %q, %v", out.Verdict, out.Message, err)
	}
}

func TestTheDescriptorDescribesTheEntry(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("uniflow.plugin.json")
	if err != nil {
		t.Fatal(err)
	}
	d, err := abi.DecodeDescriptor(doc)
	if err != nil || d.Name != "template" || len(d.Functions) != 2 || !bytes.Equal(d.Functions["uniflow_run"].With, d.Functions["render"].With) || d.Functions["render"].With == nil || d.Functions["render"].Outputs == nil {
		t.Errorf("got %+v, %v", d, err)
	}
}
