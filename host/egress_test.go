package host_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host"
	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/plugintest/guest"
	"github.com/uniflow-dev/uniflow/host/internal/secret"
	"github.com/uniflow-dev/uniflow/sdk/abi"
)

const (
	boundSecret = "cAnary/b0und+secret==42"
	openSecret  = "cAnary-exp0sed-secret-43"
)

// echoServer tells a client all that it has sent, and more; carried hears what it was.
func echoServer(t *testing.T) (base string, carried func() []string) {
	t.Helper()
	var mu sync.Mutex
	var all []string
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		authorization := r.Header.Get("Authorization")
		mu.Lock()
		all = append(all, authorization)
		mu.Unlock()
		if r.URL.Path == "/away" {
			http.Redirect(rw, r, strings.Replace("http://"+r.Host+"/", "127.0.0.1", "localhost", 1), http.StatusFound)
			return
		}
		rw.Header().Set("X-Echo", authorization)
		rw.Header().Set(strings.Trim(authorization, "Bear =/+"), "x")
		_ = json.NewEncoder(rw).Encode(map[string]any{
			"headers": r.Header, "base64": base64.StdEncoding.EncodeToString([]byte("x" + authorization)), "hex": fmt.Sprintf("%x %X", authorization, authorization),
			"lines": authorization[:len(authorization)/2] + "\n" + authorization[len(authorization)/2:],
		})
	}))
	t.Cleanup(s.Close)
	return s.URL, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return append([]string{}, all...)
	}
}

// spillManifest has one plugin, of whatever kind, and pipelines in which it does what a guest may try.
const spillManifest = `version = 1
[host]
secrets = "dir:secrets"
[defaults]
isolation = "%[1]s"
[plugins.spill]
%[2]s
[plugins.spill.grant]
http  = ["* %[3]s/*"]
state = true
event = true
[plugins.spill.secrets.TOKEN]
to     = "%[3]s"
header = "Authorization: Bearer {}"
[plugins.spill.secrets.OPEN]
expose = true
`

// spillPipelines are what a guest of any kind is asked to do.
func spillPipelines(base string) map[string]map[string]any {
	with := func(behaviour, code, url string, kind int) map[string]any {
		value := map[string]any{"url": url}
		if code == "secret.get" {
			value = map[string]any{"name": "OPEN"}
		}
		return map[string]any{"behaviour": behaviour, "code": code, "kind": kind, "value": value}
	}
	return map[string]map[string]any{
		"echo":    with("spill", "http.request", base+"/x", 0),
		"failing": with("spill", "http.request", base+"/x", 4),
		"exposed": with("spill", "secret.get", "", 0),
		"telling": with("spill", "secret.get", "", 4),
		"denied":  with("request", "", "https://api.example.com/x?key=1", 0),
		"away":    with("request", "", base+"/away", 0),
		"twice":   with("request", "", "http://0x7f000001/", 0),
	}
}

// kindOfPlugin is a way in which a plugin is executed.
type kindOfPlugin struct {
	name, isolation string
	// source makes the plugin in a folder and returns the line that declares it; empty for a Go function.
	source func(t *testing.T, dir string) string
}

func kindsOfPlugins() []kindOfPlugin {
	module := func(t *testing.T, dir string) string {
		t.Helper()
		content, err := os.ReadFile(buildGuest(t, "command", "exe").Path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "spill.wasm"), content, 0o600); err != nil {
			t.Fatal(err)
		}
		return `wasm = "spill.wasm"`
	}
	kinds := []kindOfPlugin{
		{"inline", "inline", module}, {"worker", "worker", module}, {"func", "inline", func(*testing.T, string) string { return "" }},
	}
	if runtime.GOOS != "windows" {
		kinds = append(kinds, kindOfPlugin{"process", "inline", func(t *testing.T, dir string) string {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			if out, err := exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(dir, "spill"), "./internal/process/testdata/plugin").CombinedOutput(); err != nil {
				t.Fatalf("build: %v\n%s", err, out)
			}
			return `process = "spill"`
		}})
	}
	return kinds
}

// open makes a host with the plugin and its pipelines.
func (k kindOfPlugin) open(t *testing.T, dir, base string, log *slog.Logger) *host.Host {
	t.Helper()
	text, line := "version = 1\n[host]\nsecrets = \"dir:secrets\"\n", k.source(t, dir)
	if line != "" {
		var all strings.Builder
		fmt.Fprintf(&all, spillManifest, k.isolation, line, base)
		for name, with := range spillPipelines(base) {
			value, _ := json.Marshal(with["value"])
			fmt.Fprintf(&all, "[pipelines.%s.steps.do]\nplugin = \"spill\"\nretry = { attempts = 1 }\nwith = { behaviour = %q, code = %q, kind = %d, size = 1, value = %s }\n", name, with["behaviour"], with["code"], with["kind"], strings.ReplaceAll(string(value), `":`, `"=`))
		}
		text = all.String()
	}
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "uniflow.toml"), []byte(text), 0o600), os.Mkdir(filepath.Join(dir, "secrets"), 0o700),
		os.WriteFile(filepath.Join(dir, "secrets", "TOKEN"), []byte(boundSecret+"\n"), 0o600), os.WriteFile(filepath.Join(dir, "secrets", "OPEN"), []byte(openSecret+"\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	h := begin(t, host.Config{Manifest: filepath.Join(dir, "uniflow.toml"), Build: true, Logger: log, API: &host.API{Listen: "127.0.0.1:0"}})
	if line == "" {
		defineSpill(t, h, base)
	}
	if err := h.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return h
}

// defineSpill is the plugin as a Go function.
func defineSpill(t *testing.T, h *host.Host, base string) {
	t.Helper()
	h.Allow("spill", flow.Grant{HTTP: []string{"* " + base + "/*"}, State: true, Event: true}, map[string]flow.SecretBinding{
		"TOKEN": {To: base, Header: "Authorization: Bearer {}"}, "OPEN": {Expose: true},
	})
	err := h.Register("spill", func(ctx context.Context, c *host.Call) error {
		doc, err := json.Marshal(c.With)
		if err != nil {
			return err
		}
		err = guest.Behave(abi.RunContext{With: doc}, funcHost{ctx, c})
		if end, ok := errors.AsType[*guest.End](err); ok {
			return host.Permanent(errors.New(end.Code + ": " + end.Message))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, with := range spillPipelines(base) {
		raw := map[string]json.RawMessage{}
		for key, value := range with {
			raw[key], _ = json.Marshal(value)
		}
		if err := h.Define(t.Context(), flow.Pipeline{Name: name, Steps: map[string]flow.Step{"do": {Plugin: "spill", With: raw}}}); err != nil {
			t.Fatal(err)
		}
	}
}

// funcHost connects the behaviours of the suite to a Go function.
type funcHost struct {
	ctx context.Context
	c   *host.Call
}

func (f funcHost) Output(name string, value json.RawMessage) error {
	return f.c.OutputJSON(name, value)
}
func (f funcHost) Log(level abi.Level, message string) { f.c.Log(flow.LogLevel(level), message) }
func (f funcHost) Progress(permille int, message string) bool {
	return f.c.Progress(permille, message)
}

func (f funcHost) Call(op string, request, body []byte) ([]byte, error) {
	answer, err := f.c.Call(f.ctx, op, request, body)
	if e, ok := errors.AsType[*flow.ServiceError](err); ok {
		err = fmt.Errorf("%w: %s", abi.Errno(e.Errno), e.Message)
	}
	return answer, err
}

// Promise: http.request and secret.get are the same for every kind of plugin, and by none of its ways out does a secret
// reach the ledger, the log of the host or an answer of the API.
func TestServicesOfEveryKindOfPlugin(t *testing.T) {
	t.Parallel()
	for _, kind := range kindsOfPlugins() {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			base, carried := echoServer(t)
			dir := t.TempDir()
			var said safeLog
			h := kind.open(t, dir, base, slog.New(slog.NewTextHandler(&said, &slog.HandlerOptions{Level: slog.LevelDebug})))
			var veil secret.Veil
			veil.Add("BOUND", boundSecret)
			veil.Add("EXPOSED", openSecret)
			outputs := map[string]map[string]json.RawMessage{}
			for name := range spillPipelines(base) {
				result, err := h.RunNow(t.Context(), name, nil)
				if want := name != "failing" && name != "telling"; err != nil || result.Success != want {
					t.Fatalf("%s: %+v, %v", name, result, err)
				}
				outputs[name] = result.Outputs["do"]
				without(t, &veil, name, fmt.Sprintf("%+v %v %s", result, result.Err, result.Outputs))
			}
			holdsItsPart(t, outputs)
			for _, authorization := range carried() {
				if authorization != "Bearer "+boundSecret {
					t.Errorf("the server was sent %q", authorization)
				}
			}
			if n := len(carried()); n != 3 {
				t.Errorf("the server had %d requests", n)
			}
			answersHoldNoSecret(t, h, &veil)
			filesHoldNoSecret(t, dir, &veil)
			if err := h.Stop(t.Context()); err != nil {
				t.Error(err)
			}
			filesHoldNoSecret(t, dir, &veil)
			without(t, &veil, "the host's log", said.text())
		})
	}
}

// holdsItsPart checks what became of each request.
func holdsItsPart(t *testing.T, outputs map[string]map[string]json.RawMessage) {
	t.Helper()
	if text := fmt.Sprintf("%s", outputs["echo"]); !strings.Contains(text, "Bearer [secret TOKEN]") {
		t.Errorf("the guest saw %s", text)
	}
	if text := fmt.Sprintf("%s", outputs["exposed"]); !strings.Contains(text, "[secret OPEN]") {
		t.Errorf("outputs are %s", text)
	}
	for name, want := range map[string]string{"denied": `"denied"`, "away": `"denied"`, "twice": `"invalid"`} {
		if got := string(outputs[name]["errno"]); got != want {
			t.Errorf("%s: errno %s, want %s; %s", name, got, want, outputs[name])
		}
	}
}

func without(t *testing.T, veil *secret.Veil, what, text string) {
	t.Helper()
	if masked := veil.Text(text); masked != text {
		at := strings.Index(masked, "[secret ")
		t.Errorf("%s holds a secret: …%.200q", what, masked[max(0, at-100):])
	}
}

// answersHoldNoSecret reads all that a host tells of its runs.
func answersHoldNoSecret(t *testing.T, h *host.Host, veil *secret.Veil) {
	t.Helper()
	info, err := h.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	get := func(path string) []byte {
		answer := fetch(t, "GET", "http://"+info.Listen+path, "")
		without(t, veil, path, string(answer.body))
		return answer.body
	}
	var runs []flow.RunRecord
	if err := json.Unmarshal(get("/v1/runs"), &runs); err != nil || len(runs) != 7 {
		t.Fatalf("%d runs, %v", len(runs), err)
	}
	for _, r := range runs {
		get("/v1/runs/" + string(r.ID))
		get("/v1/runs/" + string(r.ID) + "/events")
		if logs := get("/v1/runs/" + string(r.ID) + "/logs"); (r.Pipeline == "echo" || r.Pipeline == "telling") && !strings.Contains(string(logs), "[secret ") {
			t.Errorf("%s has told nothing: %s", r.Pipeline, logs)
		}
		get("/v1/pipelines/" + r.Pipeline)
		if logs := get("/v1/runs/" + string(r.ID) + "/logs"); r.Pipeline == "exposed" && !strings.Contains(string(logs), "<nil> <nil>") {
			t.Errorf("neither state nor event was taken: %s", logs)
		}
	}
}

// filesHoldNoSecret reads every byte below a folder, but the secrets themselves.
func filesHoldNoSecret(t *testing.T, dir string, veil *secret.Veil) {
	t.Helper()
	seen := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.Name() == "secrets":
			return fs.SkipDir
		}
		if !d.Type().IsRegular() || strings.HasSuffix(path, ".wasm") || d.Name() == "spill" {
			return nil
		}
		content, err := os.ReadFile(path)
		if err == nil {
			seen += len(content)
			without(t, veil, path, string(content))
		}
		return err
	})
	if err != nil || seen < 10_000 {
		t.Errorf("%d bytes were read, %v", seen, err)
	}
}
