package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"filippo.io/age"
)

// operator gives each tenant an age file, and keeps secrets of the same names for itself.
const operator = `version = 1
[host]
secrets = "dir:keys"
[tenants.each]
manifest = "tenants/*/uniflow.toml"
secrets  = "age:sealed/{tenant}.age?identity=sealed/identity"
ceiling  = { http = ["%s/*"], expose = true, timeout = { step = "1m" } }
`

// spilling is a project of two tenants whose plugin tells all that it hears, and a server that says what it was sent.
type spilling struct {
	*project
	id *age.X25519Identity

	mu   sync.Mutex
	sent []string
}

func newSpilling(t *testing.T) *spilling {
	t.Helper()
	s := &spilling{project: &project{t, t.TempDir()}}
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.sent = append(s.sent, r.Header.Get("Authorization"))
		fmt.Fprintf(rw, "you are %s", r.Header.Get("Authorization"))
	}))
	t.Cleanup(server.Close)
	spill := filepath.Join(t.TempDir(), "spill.wasm")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags=-s -w", "-o", spill, "../../host/internal/plugintest/testdata/guest/command")
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	module, err := os.ReadFile(spill)
	if err != nil {
		t.Fatal(err)
	}
	if s.id, err = age.GenerateX25519Identity(); err != nil {
		t.Fatal(err)
	}
	s.write("uniflow.toml", fmt.Sprintf(operator, server.URL))
	s.write("keys/TOKEN", "token-of-the-host")
	s.write("keys/OPEN", "open-of-the-host")
	s.write("sealed/identity", s.id.String())
	for _, tenant := range []string{"acme", "beta"} {
		own := filepath.Join("tenants", tenant, "uniflow.toml")
		whole := fmt.Sprintf(leaking, server.URL)
		s.write(filepath.Join("tenants", tenant, "spill.wasm"), string(module))
		s.write(own, whole)
		s.uniflow("build", "--file", own) // by its author, who has secrets of their own
		s.write(own, strings.Replace(whole, "[host]\nsecrets = \"dir:keys\"\n", "", 1))
	}
	return s
}

func (s *spilling) write(name, text string) {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path+".new", []byte(text), 0o600), os.Rename(path+".new", path)); err != nil {
		s.t.Fatal(err)
	}
}

// seal gives a tenant secrets, which hold from then on.
func (s *spilling) seal(tenant, value string) {
	s.t.Helper()
	var out bytes.Buffer
	w, err := age.Encrypt(&out, s.id.Recipient())
	if err != nil {
		s.t.Fatal(err)
	}
	_, err = io.WriteString(w, "TOKEN="+value+"\nOPEN="+value+"!\n")
	if err = errors.Join(err, w.Close()); err != nil {
		s.t.Fatal(err)
	}
	s.write("sealed/"+tenant+".age", out.String())
}

// hears returns what the server has been sent since it was asked last.
func (s *spilling) hears() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	sent := s.sent
	s.sent = nil
	return sent
}

// Promise: each tenant has the secrets of its own age file, from the moment at which they are written; those of others and
// of the host it never sees. No secret is in what is printed, in a file that the host leaves, or in the arguments and
// environments of its processes.
func TestSecretsOfTenantsStayApart(t *testing.T) {
	t.Parallel()
	s := newSpilling(t)
	s.seal("acme", canarySecret)
	s.seal("beta", "of-beta-alone-77")
	serving := s.serve()
	said := map[string]string{}
	prints := func(command string) {
		said[command] = s.prints(strings.Fields(command)...)
	}
	for tenant, value := range map[string]string{"acme": canarySecret, "beta": "of-beta-alone-77"} {
		prints("run " + tenant + "/bound --json")
		if got := s.hears(); !slices.Equal(got, []string{"Bearer " + value}) {
			t.Errorf("tenant %s sends %q\n%s", tenant, got, said["run "+tenant+"/bound --json"])
		}
		prints("run " + tenant + "/open --json")
		if out := said["run "+tenant+"/open --json"]; !strings.Contains(out, "[secret OPEN]") || strings.Contains(out, "of-beta") || strings.Contains(out, "of-the-host") {
			t.Errorf("tenant %s is told\n%s", tenant, out)
		}
	}
	searchProcesses(t, serving.Process.Pid)
	s.seal("beta", "of-beta-renewed")
	prints("run beta/bound")
	if got := s.hears(); !slices.Equal(got, []string{"Bearer of-beta-renewed"}) {
		t.Errorf("after a new file tenant beta sends %q", got)
	}
	if err := os.Rename(filepath.Join(s.dir, "sealed", "acme.age"), filepath.Join(s.dir, "sealed", "beta.age.gone")); err != nil {
		t.Fatal(err)
	}
	prints("run acme/bound")
	if got := s.hears(); len(got) != 0 {
		t.Errorf("without its file tenant acme sends %q", got)
	}
	for _, command := range []string{"plan", "plan --json", "check --json", "doctor", "doctor --json", "runs list --json", "pipeline show acme/bound --json", "schedule list --json", "audit --json", "health --json", "apply --json", "deployments --json", "pipeline versions acme/bound --json", "alerts list --json"} {
		prints(command)
	}
	said["metrics"] = s.metrics()
	if out := said["doctor"]; !strings.Contains(out, "secrets of beta") || !strings.Contains(out, "sealed/acme.age cannot be opened") {
		t.Errorf("the doctor does not say whose secrets can be read:\n%s", out)
	}
	for command, out := range said {
		if found := findSecret(out); found != "" || out == "" {
			t.Errorf("uniflow %s prints the secret as %q:\n%s", command, found, out)
		}
	}
	s.searchFiles("keys")
}

// metrics is what the host tells those who monitor it.
func (s *spilling) metrics() string {
	s.t.Helper()
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(s.dir, "data", "uniflow.sock"))
	}
	client := &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	request, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, "http://localhost/metrics", http.NoBody)
	if err != nil {
		s.t.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		s.t.Errorf("metrics: %s, %v", response.Status, err)
	}
	return string(text)
}

// searchProcesses looks for the secret in the arguments and environments of a process and all below it.
func searchProcesses(t *testing.T, top int) {
	t.Helper()
	below := map[string]bool{strconv.Itoa(top): true}
	all, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for range all { // children may have lower numbers than their parents
		for _, dir := range all {
			stat, _ := os.ReadFile(filepath.Join(dir, "stat"))
			_, rest, _ := strings.Cut(string(stat), ") ")
			if fields := strings.Fields(rest); len(fields) > 1 && below[fields[1]] {
				below[filepath.Base(dir)] = true
			}
		}
		if len(below) > 1 {
			break
		}
	}
	if len(below) < 2 {
		t.Error("the host has no worker")
	}
	for pid := range below {
		for _, file := range []string{"cmdline", "environ"} {
			text, err := os.ReadFile("/proc/" + pid + "/" + file)
			if errors.Is(err, os.ErrNotExist) {
				continue // it has ended
			}
			if found := findSecret(string(text)); found != "" || err != nil || strings.Contains(string(text), "of-beta") || strings.Contains(string(text), "AGE-SECRET-KEY") {
				t.Errorf("the %s of process %s holds a secret: %q, %v", file, pid, found, err)
			}
		}
	}
}
