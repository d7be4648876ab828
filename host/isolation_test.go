package host_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host"
	"github.com/uniflow-dev/uniflow/host/flow"
)

// Promise: once the operator wants a tenant's modules in workers, no version of before runs in the host: neither that of a
// tenant whose manifest is refused, nor one that waited, nor one that is rolled back to.
func TestNoVersionLeadsOutOfAWorker(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	module := spinModule()
	put := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, filepath.FromSlash(name)), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const operator = "[tenants.acme]\nmanifest = \"tenants/acme/uniflow.toml\"\nisolation = \"inline\"\n"
	text := "[pipelines.p]\nwasm = \"spin.wasm\"\ncontext = { n = 1 }\ntimeout = { step = \"1m\" }\n"
	tenant(t, dir, "acme", text, map[string][]byte{"spin.wasm": module})
	h, _ := operate(t, dir, operator)
	inline := ask(t, h, "acme/p")
	waits := ask(t, h, "acme/p")
	awaitState(t, h, inline, flow.StateRunning)
	first := isolationOf(t, h, "acme/p", "")

	put("tenants/acme/uniflow.toml", "version = 1\n"+strings.Replace(text, "n = 1", "n = 2", 1))
	apply(t, h, flow.ApplyRequest{})
	second := isolationOf(t, h, "acme/p", "")
	put("uniflow.toml", "version = 1\n"+strings.Replace(operator, "inline", "worker", 1))
	put("tenants/acme/uniflow.toml", "no manifest")
	if report := apply(t, h, flow.ApplyRequest{}); report.Refused["acme"] == nil {
		t.Fatalf("%+v", report)
	}
	if got := isolationOf(t, h, "acme/p", flow.IsolationWorker); got != second {
		t.Errorf("the version is %s, and was %s", got, second)
	}

	if _, err := h.Cancel(t.Context(), inline); err != nil {
		t.Fatal(err)
	}
	awaitState(t, h, waits, flow.StateRunning)
	awaitFigure(t, h, "uniflow_workers 1")
	awaitFigure(t, h, "uniflow_workers_idle 0")
	if _, err := h.Cancel(t.Context(), waits); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Rollback(t.Context(), flow.RollbackRequest{Pipeline: "acme/p", To: string(first)}); err != nil {
		t.Fatal(err)
	}
	if got := isolationOf(t, h, "acme/p", flow.IsolationWorker); got != first {
		t.Errorf("rolled back to %s, want %s", got, first)
	}
}

// isolationOf checks where the module of a pipeline runs, and returns the version.
func isolationOf(t *testing.T, h *host.Host, id string, want flow.Isolation) flow.Digest {
	t.Helper()
	info, err := h.Pipeline(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	for name, p := range info.Plan.Plugins {
		if p.Isolation != want {
			t.Errorf("%s of %s runs %q, want %q", name, id, p.Isolation, want)
		}
	}
	return info.Version
}

// awaitFigure waits until the host's figures have a line.
func awaitFigure(t *testing.T, h *host.Host, want string) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		w := httptest.NewRecorder()
		h.Metrics("").ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		if strings.Contains(w.Body.String(), want+"\n") {
			return
		}
	}
	t.Errorf("the figures never say %q", want)
}
