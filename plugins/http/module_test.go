package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
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

// TestTheModule fetches from a server on this machine, which the grant names.
func TestTheModule(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("If-None-Match") == `"v1"` {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.Header().Set("ETag", `"v1"`)
		if r.URL.Path == "/busy" {
			w.Header().Set("Retry-After", "9")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"method":%q,"query":%q}`, r.Method, r.URL.RawQuery) // the test sees what arrived
	}))
	t.Cleanup(server.Close)
	m := load(t, hosttest.Config{Network: true, Grant: flow.Grant{State: true, HTTP: []string{"GET " + server.URL + "/*", "POST " + server.URL + "/*"}}})
	for range 2 { // the second time in the state that the first left
		out, err := m.Call(t.Context(), hosttest.Input{Function: "fetch", With: map[string]any{
			"url": server.URL + "/a.json", "as": "json", "method": "POST", "json": 1, "query": map[string]any{"a": 2},
		}})
		if err != nil || string(out.Outputs["json"]) != `{"method":"POST","query":"a=2"}` {
			t.Errorf("got %s, %q, %v", out.Outputs["json"], out.Message, err)
		}
		t.Logf("fuel %d, memory %s", out.Usage.Fuel, out.Usage.Memory)
	}
	out, err := m.Call(t.Context(), hosttest.Input{With: map[string]any{"url": server.URL + "/a.json"}})
	if ref, ok := abi.AsArtifact(out.Outputs["artifact"]); err != nil || !ok || ref.Size != 27 || ref.Type != "application/json" {
		t.Errorf("got %s, %q, %v", out.Outputs["artifact"], out.Message, err)
	}
	out, err = m.Call(t.Context(), hosttest.Input{With: map[string]any{"url": server.URL + "/busy"}})
	if err != nil || abi.Kind(out.Verdict) != abi.KindRetry || out.RetryAfter.Std().Seconds() != 9 {
		t.Errorf("got %v %q after %s, %v", out.Verdict, out.Message, out.RetryAfter.Std(), err)
	}
	checkUnchanged(t, m, server.URL)
	out, err = m.Call(t.Context(), hosttest.Input{With: map[string]any{"url": "http://127.0.0.1:1/"}})
	if err != nil || abi.Kind(out.Verdict) != abi.KindPermanent {
		t.Errorf("without a grant: got %v %q, %v", out.Verdict, out.Message, err)
	}
}

// checkUnchanged fetches twice, the second time with the state that the first left.
func checkUnchanged(t *testing.T, m *hosttest.Module, server string) {
	t.Helper()
	in := hosttest.Input{With: map[string]any{"url": server + "/a.json", "unchanged": "skip"}, State: map[string]any{}}
	for _, want := range []abi.Kind{abi.KindOK, abi.KindSkip} {
		out, err := m.Call(t.Context(), in)
		if err != nil || abi.Kind(out.Verdict) != want {
			t.Errorf("got %v %q, %v, want %s", out.Verdict, out.Message, err, want)
		}
		for key, value := range out.State {
			in.State[key] = value
		}
	}
}

func TestTheDescriptorDescribesTheEntry(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("uniflow.plugin.json")
	if err != nil {
		t.Fatal(err)
	}
	d, err := abi.DecodeDescriptor(doc)
	if err != nil || d.Name != "http" || len(d.Functions) != 2 || !bytes.Equal(d.Functions["uniflow_run"].With, d.Functions["fetch"].With) || d.Functions["fetch"].With == nil || d.Functions["fetch"].Outputs == nil {
		t.Errorf("got %+v, %v", d, err)
	}
}
