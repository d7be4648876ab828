//go:build languages

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/uniflow-dev/uniflow/host"
)

// passed is what passes through ten steps: escapes, numbers that no float holds, and the order of members. White space between
// them is the ledger's: it keeps contexts and outputs without any.
const passed = `{"b":[1,2.50,1e3,9007199254740993,-0.0,123456789012345678901234567890],"a":"gr\u00fc\u00dfe \ud83d\ude00 \/ ü","nested":{"null":null,"t":true,"e":[],"o":{}},"text":"%s"}`

// Promise: one pipeline of ten steps in ten languages passes a document through all of them, byte for byte.
func TestTenLanguages(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	languages := []string{"go", "rust", "c", "cpp", "assemblyscript", "zig", "nim", "python", "javascript", "typescript"}
	buildGoKit(t, filepath.Join(dir, "go.wasm"))
	for _, name := range []string{"rust", "c", "cpp", "assemblyscript", "zig", "nim", "python", "javascript"} {
		link(t, filepath.Join("..", "..", "bin", "languages", name+".wasm"), filepath.Join(dir, name+".wasm"))
	}
	link(t, filepath.Join("..", "..", "sdk", "python", "conformance.py"), filepath.Join(dir, "conformance.py"))
	link(t, filepath.Join("..", "..", "sdk", "javascript", "conformance.js"), filepath.Join(dir, "conformance.js"))
	link(t, filepath.Join("..", "..", "bin", "languages", "typescript.js"), filepath.Join(dir, "typescript.js"))
	want := fmt.Sprintf(passed, strings.Repeat("0123456789", 5_000))
	var b strings.Builder
	b.WriteString("version = 1\n[defaults.limits]\nmemory = \"128MiB\"\n")
	from := "${context.document}"
	for i, name := range languages {
		source := fmt.Sprintf("wasm = %q", name+".wasm")
		switch name {
		case "python":
			source = `plugin = "python-script"`
		case "javascript", "typescript":
			source = fmt.Sprintf("plugin = %q", name+"-script")
		}
		fmt.Fprintf(&b, "[pipelines.ten.steps.%s]\n%s\nwith = { case = \"echo\", document = %q }\n", name, source, from)
		from = "${steps." + languages[i] + ".document}"
	}
	b.WriteString(`
[plugins.python]
wasm = "python.wasm"
[plugins.javascript]
wasm = "javascript.wasm"
[plugins.python-script]
script = "conformance.py"
engine = "python"
[plugins.javascript-script]
script = "conformance.js"
engine = "javascript"
[plugins.typescript-script]
script = "typescript.js"
engine = "javascript"
`)
	manifest := filepath.Join(dir, "uniflow.toml")
	if err := os.WriteFile(manifest, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	h, err := host.Open(t.Context(), host.Config{Manifest: manifest, Build: true})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	for range 3 {
		result, err := h.RunNow(t.Context(), "ten", map[string]any{"document": json.RawMessage(want)})
		if err != nil || !result.Success {
			t.Fatalf("%+v, %v", result.Err, err)
		}
		for i := range result.Steps {
			s := &result.Steps[i]
			if got := s.Outputs["document"]; !bytes.Equal(got, []byte(want)) {
				t.Errorf("%s: %d bytes %.200s, want %d bytes", s.Name, len(got), got, len(want))
			}
			t.Logf("%s: %s", s.Name, s.Attempts[0].EndedAt.Sub(s.Attempts[0].StartedAt))
		}
		t.Logf("ten steps in %s", result.Duration)
	}
}

func buildGoKit(t *testing.T, path string) {
	t.Helper()
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags=-s -w", "-buildmode=c-shared", "-o", path, "../../sdk/testdata/conformance")
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
}

// link copies a file.
func link(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o600)
	}
	if err != nil {
		t.Fatalf("%v; run .ci/languages.sh", err)
	}
}
