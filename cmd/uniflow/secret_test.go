package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const canarySecret = "cAnary/s3cret+of=the-line"

// leaking asks a guest to tell all that it hears, by every way out, and to fail then.
const leaking = `version = 1
[host]
secrets = "dir:keys"
[plugins.spill]
wasm = "spill.wasm"
[plugins.spill.grant]
http = ["%[1]s/*"]
[plugins.spill.secrets.TOKEN]
to     = "%[1]s"
header = "Authorization: Bearer {}"
[plugins.spill.secrets.OPEN]
expose = true
[pipelines.bound.steps.do]
plugin = "spill"
with   = { behaviour = "spill", code = "http.request", kind = 4, size = 1, value = { url = "%[1]s/x" } }
[pipelines.open.steps.do]
plugin = "spill"
with   = { behaviour = "spill", code = "secret.get", kind = 4, size = 1, value = { name = "OPEN" } }
`

// Promise: a secret is in nothing that the command line prints, on either stream, and in no file that it leaves.
func TestSecretIsInNothingThatIsPrinted(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(rw, "you are %s, or %x", r.Header.Get("Authorization"), r.Header.Get("Authorization"))
	}))
	t.Cleanup(server.Close)
	p := &project{t, t.TempDir()}
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags=-s -w", "-o", filepath.Join(p.dir, "spill.wasm"), "../../host/internal/plugintest/testdata/guest/command")
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	if err := os.Mkdir(filepath.Join(p.dir, "keys"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"uniflow.toml": fmt.Sprintf(leaking, server.URL), "keys/TOKEN": canarySecret, "keys/OPEN": canarySecret + "!"} {
		if err := os.WriteFile(filepath.Join(p.dir, filepath.FromSlash(name)), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	said := map[string]string{}
	ids := strings.NewReplacer()
	for _, line := range []string{
		"check", "build", "plan", "plan --json", "doctor", "run bound", "run open", "run bound --json", "run open --json", "runs list --json", "runs show BOUND", "runs show OPEN --json", "runs logs BOUND", "runs logs OPEN --json",
		"runs outputs BOUND", "runs show BOUND --json", "pipeline show bound --json", "health --json",
	} {
		if line == "runs list --json" {
			ids = strings.NewReplacer("BOUND", p.anyRun("bound"), "OPEN", p.anyRun("open"))
		}
		said[line] = p.prints(strings.Fields(ids.Replace(line))...)
		if found := findSecret(said[line]); found != "" {
			t.Errorf("uniflow %s prints the secret as %s", line, found)
		}
	}
	for line, want := range map[string]string{"run bound": "[secret TOKEN]", "run open": "[secret OPEN]", "runs logs BOUND": "[secret TOKEN]", "runs logs OPEN --json": "[secret OPEN]"} {
		if !strings.Contains(said[line], want) {
			t.Errorf("uniflow %s does not print %s:\n%s", line, want, said[line])
		}
	}
	p.searchFiles("keys")
}

// searchFiles looks for the secret in all files of the project but those that are to hold it.
func (p *project) searchFiles(but string) {
	p.t.Helper()
	err := filepath.WalkDir(p.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || strings.Contains(path, but) || strings.HasSuffix(path, ".wasm") {
			return err
		}
		content, err := os.ReadFile(path)
		if found := findSecret(string(content)); found != "" {
			p.t.Errorf("%s holds the secret as %s", path, found)
		}
		return err
	})
	if err != nil {
		p.t.Error(err)
	}
}

// anyRun is the id of a run of a pipeline.
func (p *project) anyRun(pipeline string) string {
	p.t.Helper()
	for id := range p.runs(pipeline) {
		return string(id)
	}
	p.t.Fatalf("%s has no run", pipeline)
	return ""
}

// prints runs the program and returns all that it prints, however it ends.
func (p *project) prints(args ...string) string {
	p.t.Helper()
	var all bytes.Buffer
	c := exec.CommandContext(p.t.Context(), "uniflow", args...)
	c.Dir, c.Stdout, c.Stderr = p.dir, &all, &all
	if err := c.Run(); err != nil && c.ProcessState == nil {
		p.t.Fatal(err)
	}
	return all.String()
}

// findSecret returns the form in which a text holds the secret, or "".
func findSecret(text string) string {
	plain := canarySecret
	for _, form := range []string{
		plain, plain[:12], plain[12:], hex.EncodeToString([]byte(plain)), strings.ToUpper(hex.EncodeToString([]byte(plain))), url.QueryEscape(plain),
		base64.RawStdEncoding.EncodeToString([]byte(plain))[:32], base64.RawURLEncoding.EncodeToString([]byte("x" + plain))[2:32],
	} {
		if strings.Contains(text, form) {
			return form
		}
	}
	return ""
}
