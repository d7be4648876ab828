package host_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/uniflow-dev/uniflow/host"
)

// described is a host's API with the description that it gives of itself.
type described struct {
	base     string
	compiler *jsonschema.Compiler
	seen     map[string]bool
}

// TestAnswersKeepToTheirDescription asks a host everything that its API can be asked, and holds every answer, good or
// bad, against the schema that /openapi.json gives for it.
func TestAnswersKeepToTheirDescription(t *testing.T) {
	t.Parallel()
	path := manifest(t, t.TempDir(), "version = 1\n[alerts.ops]\nurl = \"http://127.0.0.1:1/\"\n[pipelines.hello]\nalerts = [\"ops\"]\nwasm = \"echo.wasm\"\nschedule = \"daily 02:00\"\nparams.who = { type = \"string\", default = \"you\" }\n")
	h := begin(t, host.Config{Manifest: path, API: &host.API{Listen: "127.0.0.1:0", Token: "sesame"}})
	if err := h.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	result, err := h.RunNow(t.Context(), "hello", nil)
	if err != nil {
		t.Fatal(err)
	}
	info, err := h.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	d := describe(t, "http://"+info.Listen)
	run := map[string]string{"id": string(result.Run)}
	hello := map[string]string{"id": "hello"}
	for _, c := range []struct {
		method, path string
		with         map[string]string
		body         string
		status       int
	}{
		{"GET", "/v1/info", nil, "", 200},
		{"GET", "/v1/pipelines", nil, "", 200},
		{"GET", "/v1/pipelines/{id}", hello, "", 200},
		{"GET", "/v1/pipelines/{id}", map[string]string{"id": "none"}, "", 404},
		{"POST", "/v1/pipelines/{id}/versions", hello, `{"metadata":{"why":"test"}}`, 200},
		{"GET", "/v1/pipelines/{id}/versions", hello, "", 200},
		{"POST", "/v1/pipelines/{id}/state", hello, `{"set":{"n":1,"m":{"a":null}}}`, 200},
		{"POST", "/v1/pipelines/{id}/state", hello, `{"delete":["n"]}`, 200},
		{"POST", "/v1/pipelines/{id}/state", hello, `{"delete":["none"]}`, 404},
		{"GET", "/v1/pipelines/{id}/state", hello, "", 200},
		{"GET", "/v1/schedules", nil, "", 200},
		{"POST", "/v1/schedules", nil, `{"name":"more","pipeline":"hello","at":"every 1h"}`, 200},
		{"POST", "/v1/schedules", nil, `{"name":"bad","pipeline":"hello","at":"dayly 2"}`, 422},
		{"GET", "/v1/schedules/{id}/next", map[string]string{"id": "more"}, "", 200},
		{"GET", "/v1/schedules/{id}/clock-changes", hello, "", 200},
		{"GET", "/v1/schedules/{id}/slots", map[string]string{"id": "more"}, "", 200},
		{"GET", "/v1/schedules/{id}/why", hello, "", 200},
		{"POST", "/v1/schedules/{id}/disable", map[string]string{"id": "more"}, "", 200},
		{"POST", "/v1/schedules/{id}/enable", map[string]string{"id": "more"}, "", 200},
		{"GET", "/v1/health", nil, "", 200},
		{"GET", "/v1/health/schedules", nil, "", 200},
		{"GET", "/v1/alerts", nil, "", 200},
		{"POST", "/v1/alerts/{id}/test", map[string]string{"id": "ops"}, "", 200},
		{"POST", "/v1/alerts/{id}/test", hello, "", 404},
		{"DELETE", "/v1/schedules/{id}", hello, "", 409},
		{"DELETE", "/v1/schedules/{id}", map[string]string{"id": "more"}, "", 204},
		{"DELETE", "/v1/schedules", nil, "", 200},
		{"POST", "/v1/runs", nil, `{"pipeline":"hello","context":{"who":"Ada"}}`, 202},
		{"POST", "/v1/runs", nil, `{"pipeline":"hello","context":{"who":7}}`, 422},
		{"POST", "/v1/runs", nil, `{"pipeline":7}`, 422},
		{"POST", "/v1/reruns", nil, `{"run":"` + string(result.Run) + `","from_step":"main","context":{"who":"Ada"}}`, 202},
		{"POST", "/v1/reruns", nil, `{"run":"` + string(result.Run) + `","failed":true}`, 409},
		{"POST", "/v1/reruns", nil, `{"run":"` + string(result.Run) + `","failed":true,"only_step":"main"}`, 422},
		{"POST", "/v1/reruns", nil, `{"run":"` + string(result.Run) + `","from_step":"man"}`, 404},
		{"POST", "/v1/reruns", nil, `{"failed":true}`, 422},
		{"POST", "/v1/reruns/matching", nil, `{"pipeline":"hello","outcome":"succeeded"}`, 200},
		{"POST", "/v1/reruns/matching", nil, `{"pipeline":"hello","reason":"timeout","since":"2026-03-01T00:00:00Z","confirm":0}`, 200},
		{"POST", "/v1/reruns/matching", nil, `{"pipeline":"hello","confirm":7}`, 409},
		{"POST", "/v1/reruns/matching", nil, `{"pipeline":"hello","outcome":"bad"}`, 422},
		{"POST", "/v1/reruns/matching", nil, `{"pipeline":"hallo"}`, 404},
		{"POST", "/v1/reruns/matching", nil, `{"confirm":1}`, 422},
		{"POST", "/v1/cancellations/matching", nil, `{"pipeline":"hello","confirm":70}`, 409},
		{"POST", "/v1/cancellations/matching", nil, `{"pipeline":"hello"}`, 200},
		{"POST", "/v1/backfills", nil, `{"name":"hello","from":"2026-03-01T00:00:00Z","to":"2026-03-02T23:00:00Z"}`, 200},
		{"POST", "/v1/backfills", nil, `{"name":"hello","from":"2026-03-01T00:00:00Z","to":"2026-03-02T23:00:00Z","missing_only":true,"dry_run":true,"max":5}`, 200},
		{"POST", "/v1/backfills", nil, `{"name":"hello","from":"2026-03-03T00:00:00Z","to":"2026-03-01T00:00:00Z"}`, 422},
		{"POST", "/v1/backfills", nil, `{"name":"hallo","from":"2026-03-03T00:00:00Z"}`, 404},
		{"GET", "/v1/runs", nil, "", 200},
		{"GET", "/v1/runs/{id}", run, "", 200},
		{"GET", "/v1/runs/{id}/logs", run, "", 200},
		{"POST", "/v1/runs/{id}/cancel", run, "", 409},
		{"GET", "/v1/events", nil, "", 200},
		{"POST", "/v1/tokens", nil, `{"name":"ci","tenant":"acme","role":"operator","expires":"2199-01-01T00:00:00Z"}`, 200},
		{"POST", "/v1/tokens", nil, `{"name":"ci","tenant":"acme","role":"operator"}`, 409},
		{"POST", "/v1/tokens", nil, `{"name":"ci","role":"king"}`, 422},
		{"GET", "/v1/tokens", nil, "", 200},
		{"GET", "/v1/tenants", nil, "", 200},
		{"POST", "/v1/deployments", nil, `{"dry_run":true}`, 200},
		{"GET", "/v1/deployments", nil, "", 200},
		{"POST", "/v1/rollbacks", nil, `{"pipeline":"none"}`, 404},
		{"GET", "/v1/runs/{id}/version", run, "", 200},
		{"DELETE", "/v1/tokens/{id}", map[string]string{"id": "acme/ci"}, "", 204},
		{"DELETE", "/v1/tokens/{id}", map[string]string{"id": "acme/ci"}, "", 404},
		{"GET", "/v1/audit", nil, "", 200},
	} {
		d.check(t, c.method, c.path, c.with, c.body, c.status)
	}
	d.complete(t)
}

// describe reads the API's description of itself.
func describe(t *testing.T, base string) *described {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(fetch(t, "GET", base+"/openapi.json", "").body))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("openapi.json", doc); err != nil {
		t.Fatal(err)
	}
	return &described{base, compiler, map[string]bool{}}
}

// answer is what a request brought.
type answer struct {
	status      int
	contentType string
	body        []byte
}

func fetch(t *testing.T, method, target, body string) answer {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer sesame") // where a token is asked for
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header.Get("Content-Type"), content}
}

// check makes one request and holds the answer against the description.
func (d *described) check(t *testing.T, method, path string, with map[string]string, body string, status int) {
	t.Helper()
	target := d.base + path
	for k, v := range with {
		target = strings.ReplaceAll(target, "{"+k+"}", url.PathEscape(v))
	}
	name := fmt.Sprintf("%s %s (%d)", method, path, status)
	got := fetch(t, method, target, body)
	if got.status != status {
		t.Errorf("%s: got %d: %s", name, got.status, got.body)
		return
	}
	d.seen[method+" "+path] = true
	if status == http.StatusNoContent {
		return
	}
	response := fmt.Sprint(status)
	if status >= 400 {
		response = "default"
	}
	pointer := []string{"paths", path, strings.ToLower(method), "responses", response, "content", got.contentType, "schema"}
	for i, p := range pointer {
		pointer[i] = url.PathEscape(strings.NewReplacer("~", "~0", "/", "~1").Replace(p))
	}
	schema, err := d.compiler.Compile("openapi.json#/" + strings.Join(pointer, "/"))
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(got.body))
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	if err := schema.Validate(value); err != nil {
		t.Errorf("%s: %s\n%v", name, got.body, err)
	}
}

// complete fails for operations that nobody asked; streams and bytes are no JSON.
func (d *described) complete(t *testing.T) {
	t.Helper()
	var doc struct {
		Paths map[string]map[string]json.RawMessage `json:"paths"`
	}
	if err := json.Unmarshal(fetch(t, "GET", d.base+"/openapi.json", "").body, &doc); err != nil {
		t.Fatal(err)
	}
	for path, verbs := range doc.Paths {
		for verb := range verbs {
			name := strings.ToUpper(verb) + " " + path
			if !d.seen[name] && name != "GET /v1/events/stream" && name != "GET /v1/runs/{id}/artifacts/{digest}" {
				t.Errorf("%s is not held against its description", name)
			}
		}
	}
}
