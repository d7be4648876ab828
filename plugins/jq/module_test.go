package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
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
	if err := os.WriteFile(filepath.Join(dir, "rows.ndjson"), []byte("{\"n\":1}\n{\"n\":2}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	m := load(t, hosttest.Config{Grant: flow.Grant{Mount: map[string]string{"/data": dir}, Env: map[string]string{"TOKEN": "x"}}})
	for name, c := range map[string]struct {
		with with
		want string
	}{
		"a value":        {with{"filter": "map(.n) | add", "value": []with{{"n": 1}, {"n": 2}}}, "3"},
		"a file":         {with{"filter": "[., inputs] | map(.n)", "from": "/data/rows.ndjson"}, "[1,2]"},
		"no environment": {with{"filter": "env | length"}, "0"},
		"a large list":   {with{"filter": "[range(1000)] | map(. * 2) | length"}, "1000"},
	} {
		for range 2 { // the second time in the state that the first left
			out, err := m.Call(t.Context(), hosttest.Input{Function: "filter", With: c.with})
			if err != nil || string(out.Outputs["result"]) != c.want {
				t.Errorf("%s: got %s, %q, %v", name, out.Outputs["result"], out.Message, err)
			}
			t.Logf("%s: fuel %d, memory %s", name, out.Usage.Fuel, out.Usage.Memory)
		}
	}
	out, err := m.Call(t.Context(), hosttest.Input{With: with{"filter": ".a |"}})
	if err != nil || abi.Kind(out.Verdict) != abi.KindPermanent {
		t.Errorf("got %v %q, %v", out.Verdict, out.Message, err)
	}
	_, err = m.Call(t.Context(), hosttest.Input{With: with{"filter": `"x" * 100000000 | length`}})
	if fault, ok := errors.AsType[*flow.Fault](err); !ok || fault.Reason != flow.ReasonMemory {
		t.Errorf("a text of 100 MB: got %v, want a fault of memory", err)
	}
}

func TestTheDescriptorDescribesTheEntry(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("uniflow.plugin.json")
	if err != nil {
		t.Fatal(err)
	}
	d, err := abi.DecodeDescriptor(doc)
	if err != nil || d.Name != "jq" || len(d.Functions) != 2 || !bytes.Equal(d.Functions["uniflow_run"].With, d.Functions["filter"].With) || d.Functions["filter"].With == nil || d.Functions["filter"].Outputs == nil {
		t.Errorf("got %+v, %v", d, err)
	}
}
