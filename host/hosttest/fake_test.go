package hosttest_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/hosttest"
	"github.com/uniflow-dev/uniflow/sdk/abi"
)

// buildService builds a module that calls the service that with.case names.
func buildService(ctx context.Context, dir string) (string, error) {
	path := filepath.Join(dir, "service.wasm")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-buildmode=c-shared", "-o", path, "../../sdk/testdata/conformance")
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	out, err := build.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return path, nil
}

// A module is called with a server that exists in the test alone.
func Example_replies() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "example-*")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path, err := buildService(ctx, dir)
	if err != nil {
		log.Fatal(err)
	}
	module, err := hosttest.Load(ctx, path, hosttest.Config{Grant: flow.Grant{HTTP: []string{"GET https://example.com/*"}}})
	if err != nil {
		log.Fatal(err)
	}
	defer module.Close()
	out, err := module.Call(ctx, hosttest.Input{
		With: map[string]any{"case": "http", "method": "GET", "url": "https://example.com/rows"},
		HTTP: []hosttest.Reply{{URL: "https://example.com/rows", Headers: map[string]string{"Content-Type": "text/plain"}, Body: []byte("three")}},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(out.Outputs["status"]), string(out.Outputs["body"]), out.Requests[0].URL)
	// Output: 200 "three" https://example.com/rows
}

// loadService loads the module that calls services.
func loadService(t *testing.T, c hosttest.Config) *hosttest.Module {
	t.Helper()
	path, err := buildService(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	module, err := hosttest.Load(t.Context(), path, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = module.Close() })
	return module
}

func callService(t *testing.T, m *hosttest.Module, in hosttest.Input) hosttest.Output {
	t.Helper()
	out, err := m.Call(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestServicesAreFakedBehindGrants(t *testing.T) {
	t.Parallel()
	m := loadService(t, hosttest.Config{
		Grant:    flow.Grant{HTTP: []string{"* https://example.com/*"}, State: true, Event: true},
		Bindings: map[string]flow.SecretBinding{"KEY": {To: "https://example.com", Header: "Authorization: Bearer {}"}, "TOKEN": {Expose: true}},
	})
	get := func(url string) map[string]any { return map[string]any{"case": "http", "method": "GET", "url": url} }
	none := &flow.Grant{}

	t.Run("replies in order, and a redirect", func(t *testing.T) {
		t.Parallel()
		out := callService(t, m, hosttest.Input{
			With: get("https://example.com"), Secrets: map[string]string{"KEY": "s3cret-s3cret"},
			HTTP: []hosttest.Reply{
				{URL: "https://example.com/", Status: 302, Headers: map[string]string{"location": "/next"}},
				{Name: "next", URL: "https://example.com/next", RequestHeaders: map[string]string{"Authorization": "Bearer s3cret-s3cret"}, Body: []byte{0xff}},
			},
		})
		if out.Verdict != flow.VerdictOK || len(out.Requests) != 2 || out.Requests[1].Reply != "next" {
			t.Errorf("got %+v", out)
		}
	})
	t.Run("no reply", func(t *testing.T) {
		t.Parallel()
		out := callService(t, m, hosttest.Input{With: get("https://example.com/none"), Secrets: map[string]string{"KEY": "s3cret-s3cret"}})
		if out.Code != "unavailable" || !strings.Contains(out.Message, "no reply") || out.Requests[0].Reply != "" {
			t.Errorf("got %+v", out)
		}
	})
	t.Run("denied", func(t *testing.T) {
		t.Parallel()
		out := callService(t, m, hosttest.Input{With: get("https://example.com/"), Grant: none, HTTP: []hosttest.Reply{{URL: "https://example.com/"}}})
		if out.Code != "denied" || len(out.Requests) != 0 || len(out.Refusals) != 1 || !strings.Contains(out.Refusals[0].Hint, `http = ["GET https://example.com/"]`) {
			t.Errorf("got %+v", out)
		}
	})
	t.Run("a server that does not answer", func(t *testing.T) {
		t.Parallel()
		out := callService(t, m, hosttest.Input{With: get("https://example.com/"), Secrets: map[string]string{"KEY": "s3cret-s3cret"}, HTTP: []hosttest.Reply{{URL: "https://example.com/", Errno: abi.Unavailable}}})
		if out.Verdict != flow.VerdictFailed || out.Code != "unavailable" {
			t.Errorf("got %+v", out)
		}
	})
	t.Run("secrets", func(t *testing.T) {
		t.Parallel()
		given := map[string]string{"TOKEN": "t0ken-t0ken", "KEY": "s3cret-s3cret"}
		read := func(name string) hosttest.Output {
			return callService(t, m, hosttest.Input{With: map[string]any{"case": "secret", "name": name}, Secrets: given})
		}
		if out := read("TOKEN"); out.Verdict != flow.VerdictOK {
			t.Errorf("exposed: %+v", out)
		}
		if out := read("KEY"); out.Code != "denied" {
			t.Errorf("bound: %+v", out)
		}
		if out := read("OTHER"); out.Code != "denied" {
			t.Errorf("unknown: %+v", out)
		}
	})
	t.Run("state", func(t *testing.T) {
		t.Parallel()
		in := hosttest.Input{With: map[string]any{"case": "state", "key": "runs"}, State: map[string]any{"runs": 41, "old": true}}
		if out := callService(t, m, in); string(out.State["runs"]) != "42" || string(out.Outputs["keys"]) != `["runs"]` {
			t.Errorf("got %+v", out)
		}
		if in.Grant = none; callService(t, m, in).Code != "denied" {
			t.Error("state without a grant")
		}
	})
	t.Run("events", func(t *testing.T) {
		t.Parallel()
		in := hosttest.Input{With: map[string]any{"case": "event", "type": "com.example.done", "subject": "x", "data": []int{1}}}
		if out := callService(t, m, in); len(out.Events) != 1 || out.Events[0].Type != "com.example.done" || string(out.Events[0].Data) != "[1]" || string(out.Outputs["id"]) != `"event-1"` {
			t.Errorf("got %+v", out)
		}
	})
	t.Run("artifacts", func(t *testing.T) {
		t.Parallel()
		out := callService(t, m, hosttest.Input{With: map[string]any{"case": "artifact", "name": "a.txt", "text": "ab", "times": 2}})
		if b, err := out.Artifact("ref"); err != nil || string(b) != "abab" {
			t.Errorf("got %q, %v", b, err)
		}
		for _, name := range []string{"size", "none"} {
			if _, err := out.Artifact(name); err == nil {
				t.Errorf("output %q is read as an artifact", name)
			}
		}
	})
}

func TestSeedMakesRandomness(t *testing.T) {
	t.Parallel()
	m := loadService(t, hosttest.Config{})
	var runs []flow.RunID
	for _, seed := range []uint64{1, 1, 2} {
		out := callService(t, m, hosttest.Input{Seed: seed, With: map[string]any{"case": "context"}})
		runs = append(runs, out.Run)
	}
	if runs[0] != runs[1] || runs[0] == runs[2] || !runs[0].Valid() {
		t.Errorf("runs %v", runs)
	}
}

func TestArtifactsAreGiven(t *testing.T) {
	t.Parallel()
	module, err := hosttest.Load(t.Context(), "../../plugins/echo/echo.wasm", hosttest.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = module.Close() })
	out := callService(t, module, hosttest.Input{With: map[string]any{"file": hosttest.Artifact{Type: "text/csv", Content: []byte("a,b")}}})
	if got := string(out.Outputs["with"]); !strings.Contains(got, `{"$artifact":"sha256:`) || !strings.Contains(got, `"size":3,"type":"text/csv"`) {
		t.Errorf("with %s", got)
	}
	if len(out.Refusals) > 0 {
		t.Errorf("refusals %v", out.Refusals)
	}
}
