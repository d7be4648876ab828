package main

import (
	"bytes"
	"io"
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

// TestTheModule tells a server on this machine, which the grant names.
func TestTheModule(t *testing.T) {
	t.Parallel()
	type arrival struct {
		header http.Header
		body   []byte
	}
	arrived := make(chan arrival, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		arrived <- arrival{r.Header, body}
	}))
	t.Cleanup(server.Close)
	m := load(t, hosttest.Config{
		Network: true,
		Grant:   flow.Grant{HTTP: []string{"POST " + server.URL + "/*"}, Clock: true},
		Secrets: map[string]string{"KEY": key, "HOOK": server.URL + "/hook"},
	})
	for range 2 { // the second time in the state that the first left
		out, err := m.Call(t.Context(), hosttest.Input{Function: "send", With: map[string]any{"url_secret": "HOOK", "text": "a", "sign": "KEY"}})
		if err != nil || string(out.Outputs["status"]) != "200" {
			t.Fatalf("got %v %q, %v", out.Outputs, out.Message, err)
		}
		got := <-arrived
		want, err := sign(key, got.header.Get("Webhook-Id"), got.header.Get("Webhook-Timestamp"), got.body)
		if err != nil || got.header.Get("Webhook-Signature") != want {
			t.Errorf("the signature is %q, want %q, %v", got.header.Get("Webhook-Signature"), want, err)
		}
		t.Logf("fuel %d, memory %s", out.Usage.Fuel, out.Usage.Memory)
	}
}

func TestTheDescriptorDescribesTheEntry(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("uniflow.plugin.json")
	if err != nil {
		t.Fatal(err)
	}
	d, err := abi.DecodeDescriptor(doc)
	if err != nil || d.Name != "notify" || len(d.Functions) != 2 || !bytes.Equal(d.Functions["uniflow_run"].With, d.Functions["send"].With) || d.Functions["send"].With == nil || d.Functions["send"].Outputs == nil {
		t.Errorf("got %+v, %v", d, err)
	}
}
