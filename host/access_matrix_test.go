package host_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host"
	"github.com/uniflow-dev/uniflow/host/flow"
)

// aims are the ids that one request may have.
type aims struct{ tenant, pipeline, schedule, run, token, alert, digest string }

// take puts the ids where a path or a body has their places.
func (a *aims) take(text string, escape func(string) string) string {
	return strings.NewReplacer("{tenant}", escape(a.tenant), "{pipeline}", escape(a.pipeline), "{schedule}", escape(a.schedule), "{run}", escape(a.run),
		"{token}", escape(a.token), "{alert}", escape(a.alert), "{digest}", a.digest).Replace(text)
}

// strip takes the ids that a request had out of its answer.
func (a *aims) strip(text, request string) string {
	ids := map[string]string{"{tenant}": a.tenant, "{pipeline}": a.pipeline, "{schedule}": a.schedule, "{run}": a.run, "{token}": a.token, "{alert}": a.alert, "{digest}": a.digest}
	asked := []string{}
	for place, id := range ids {
		if strings.Contains(request, place) {
			asked = append(asked, id)
		}
	}
	slices.SortFunc(asked, func(x, y string) int { return len(y) - len(x) })
	for _, id := range asked {
		text = strings.ReplaceAll(text, id, "ID")
	}
	return text
}

// route is an operation of the API: with whose ids it is asked, who may, and what it answers for ids of one's own; zero
// where that depends on what was asked before.
type route struct {
	method, path, with, body string
	need                     flow.Role
	own                      int
}

func routes() []route {
	const viewer, operator, author, admin = flow.RoleViewer, flow.RoleOperator, flow.RoleAuthor, flow.RoleAdmin
	return []route{
		{"GET", "/metrics", "", "", viewer, 200},
		{"GET", "/v1/info", "", "", viewer, 200},
		{"GET", "/v1/pipelines", "", "", viewer, 200},
		{"GET", "/v1/pipelines/{id}", "{pipeline}", "", viewer, 200},
		{"GET", "/v1/pipelines/{id}/versions", "{pipeline}", "", viewer, 200},
		{"POST", "/v1/pipelines/{id}/versions", "{pipeline}", `{"metadata":{"a":"b"}}`, author, 200},
		{"GET", "/v1/pipelines/{id}/state", "{pipeline}", "", viewer, 200},
		{"POST", "/v1/pipelines/{id}/state", "{pipeline}", `{"set":{"k":1}}`, author, 200},
		{"GET", "/v1/schedules", "", "", viewer, 200},
		{"POST", "/v1/schedules", "", `{"name":"more","pipeline":"{pipeline}","at":"every 1h"}`, author, 200},
		{"DELETE", "/v1/schedules", "", "", author, 200},
		{"GET", "/v1/schedules/{id}/next", "{schedule}", "", viewer, 200},
		{"GET", "/v1/schedules/{id}/clock-changes", "{schedule}", "", viewer, 200},
		{"GET", "/v1/schedules/{id}/slots", "{schedule}", "", viewer, 200},
		{"GET", "/v1/schedules/{id}/why", "{schedule}", "", viewer, 200},
		{"POST", "/v1/schedules/{id}/disable", "{schedule}", "", operator, 200},
		{"POST", "/v1/schedules/{id}/enable", "{schedule}", "", operator, 200},
		{"DELETE", "/v1/schedules/{id}", "{schedule}", "", author, 409},
		{"GET", "/v1/health", "", "", viewer, 200},
		{"GET", "/v1/health/schedules", "", "", viewer, 200},
		{"GET", "/v1/alerts", "", "", viewer, 200},
		{"POST", "/v1/alerts/{id}/test", "{alert}", "", operator, 200},
		{"POST", "/v1/runs", "", `{"pipeline":"{pipeline}"}`, operator, 202},
		{"POST", "/v1/reruns", "", `{"run":"{run}"}`, operator, 202},
		{"POST", "/v1/reruns/matching", "", `{"pipeline":"{pipeline}"}`, operator, 200},
		{"POST", "/v1/cancellations/matching", "", `{"pipeline":"{pipeline}"}`, operator, 200},
		{"POST", "/v1/backfills", "", `{"name":"{schedule}","from":"2026-03-01T00:00:00Z","to":"2026-03-02T23:00:00Z","dry_run":true}`, operator, 200},
		{"GET", "/v1/runs", "?pipeline={pipeline}", "", viewer, 200},
		{"GET", "/v1/runs", "?schedule={schedule}", "", viewer, 200},
		{"GET", "/v1/runs", "?before={run}", "", viewer, 200},
		{"GET", "/v1/runs/{id}", "{run}", "", viewer, 200},
		{"GET", "/v1/runs/{id}/version", "{run}", "", viewer, 200},
		{"GET", "/v1/runs/{id}/logs", "{run}", "", viewer, 200},
		{"POST", "/v1/runs/{id}/cancel", "{run}", "", operator, 409},
		{"GET", "/v1/runs/{id}/artifacts/{digest}", "{run}", "", viewer, 200},
		{"GET", "/v1/events", "?run={run}", "", viewer, 200},
		{"GET", "/v1/events", "?schedule={schedule}", "", viewer, 200},
		{"GET", "/v1/events/stream", "?run={run}", "", viewer, 200},
		{"GET", "/v1/deployments", "?tenant={tenant}&pipeline={pipeline}", "", viewer, 200},
		{"POST", "/v1/deployments", "", `{"tenant":"{tenant}","dry_run":true}`, author, 200},
		{"POST", "/v1/deployments", "", `{}`, author, 200},
		{"GET", "/v1/deployments", "", "", viewer, 200},
		{"POST", "/v1/rollbacks", "", `{"pipeline":"{pipeline}"}`, author, 0},
		{"GET", "/v1/tenants", "", "", viewer, 200},
		{"GET", "/v1/tokens", "", "", admin, 200},
		{"POST", "/v1/tokens", "", `{"name":"same","tenant":"{tenant}","role":"viewer"}`, admin, 0},
		{"DELETE", "/v1/tokens/{id}", "{token}", "", admin, 0},
		{"GET", "/v1/audit", "?tenant={tenant}&by={token}&target={pipeline}", "", admin, 200},
	}
}

// request returns method, path and body of a route for some ids.
func (r *route) request(a *aims) (path, body string) {
	with := a.take(r.with, url.PathEscape)
	path = a.take(r.path, url.PathEscape)
	if strings.HasPrefix(with, "?") {
		path += a.take(r.with, url.QueryEscape)
	} else {
		path = strings.ReplaceAll(path, "{id}", with)
	}
	return path, a.take(r.body, func(s string) string { return s })
}

// matrix is a host with a default tenant and two others, of which beta asks and all others have canaries everywhere.
type matrix struct {
	h     *host.Host
	base  string
	own   aims
	known map[string][2]aims // what there is, and what there is not, by what is tried
	tags  []string           // that no answer for beta may hold
	n     int
}

const ofOneTenant = `version = 1
[plugins]
echo = { wasm = "echo.wasm" }
[pipelines.weather]
plugin   = "echo"
about    = "TAG about"
owner    = "TAG owner"
label    = "TAG label"
schedule = "daily 02:00"
alerts   = ["ops", "canary_NAME"]
context.tag = "TAG context"
[alerts.ops]
url = "http://127.0.0.1:1/"
[alerts.canary_NAME]
url = "http://127.0.0.1:1/"
[pipelines.NAME_only]
plugin   = "echo"
schedule = "daily 03:00"
`

// newMatrix starts the host and puts canaries into all that is kept of acme and of the default tenant.
func newMatrix(t *testing.T) *matrix {
	t.Helper()
	dir := t.TempDir()
	for _, tenant := range []string{"acme", "beta"} {
		if err := os.Mkdir(filepath.Join(dir, tenant), 0o700); err != nil {
			t.Fatal(err)
		}
		manifest(t, filepath.Join(dir, tenant), strings.NewReplacer("TAG", "canary "+tenant, "NAME", tenant).Replace(ofOneTenant))
	}
	var operator strings.Builder
	operator.WriteString(strings.NewReplacer("TAG", "canary default", "NAME", "default").Replace(ofOneTenant))
	for _, tenant := range []string{"acme", "beta"} {
		fmt.Fprintf(&operator, "[tenants.%s]\nmanifest = \"%s/uniflow.toml\"\nisolation = \"inline\"\nceiling.alerts = [\"http://127.0.0.1:1/\"]\n", tenant, tenant)
	}
	h := begin(t, host.Config{Manifest: manifest(t, dir, operator.String()), API: &host.API{Listen: "127.0.0.1:0"}})
	if err := h.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	info, err := h.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	m := &matrix{h: h, base: "http://" + info.Listen, known: map[string][2]aims{}, tags: []string{dir, "canary acme", "canary_acme", "acme_only", "canary default", "canary_default", "default_only"}}
	m.own = m.seed(t, "beta")
	acme, ground := m.seed(t, "acme"), m.seed(t, "default")
	nothing := func(tenant string) aims {
		return aims{
			tenant: tenant, pipeline: tenant + "/weather", schedule: tenant + "/weather", run: string(flow.NewRunID(time.Now())),
			token: tenant + "/canary_token", alert: tenant + "/ops", digest: string(flow.DigestOf([]byte(tenant))),
		}
	}
	m.known["another tenant's"] = [2]aims{acme, nothing("nope")}
	whole := ground
	whole.pipeline, whole.schedule, whole.alert = "default/weather", "default/weather", "default/ops"
	m.known["the default tenant's"] = [2]aims{whole, nothing("nopeful")}
	bare := nothing("nopeful")
	bare.pipeline, bare.schedule, bare.alert, bare.token = "nopeful_only", "nopeful_only", "nop", "canary_nop"
	ground.pipeline, ground.schedule, ground.alert = "default_only", "default_only", "canary_default"
	m.known["the default tenant's, without its name,"] = [2]aims{ground, bare}
	return m
}

// seed fills what is kept of a tenant, and returns the ids.
func (m *matrix) seed(t *testing.T, tenant string) aims {
	t.Helper()
	ctx, tag := t.Context(), "canary_"+tenant
	id := flow.ID(tenant, "weather")
	d, err := m.h.Seed(ctx, tenant, "", "artifact "+tag, "")
	if err != nil {
		t.Fatal(err)
	}
	text := func(format string, args ...any) json.RawMessage { return json.RawMessage(fmt.Sprintf(format, args...)) }
	run, err := m.h.StartRun(ctx, flow.RunRequest{Pipeline: id, Context: map[string]json.RawMessage{"tag": text("%q", tag), "file": text(`{"$artifact":%q}`, d)}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := settled(t, m.h, run.ID, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := m.h.Seed(ctx, tenant, run.ID, "artifact "+tag, "log "+tag); err != nil {
		t.Fatal(err)
	}
	if _, err := m.h.SetState(ctx, id, flow.StateChange{Set: map[string]json.RawMessage{tag: text("%q", tag)}}); err != nil {
		t.Fatal(err)
	}
	if _, err := m.h.AddSchedule(ctx, flow.Schedule{Name: tag, Pipeline: id, At: "daily 04:00", Context: map[string]json.RawMessage{"tag": text("%q", tag)}}); err != nil {
		t.Fatal(err)
	}
	if _, err := m.h.SaveVersion(ctx, id, map[string]string{"why": tag}); err != nil {
		t.Fatal(err)
	}
	if tenant != "beta" {
		m.tags = append(m.tags, string(run.ID), string(d), fmt.Sprintf("%q", tag))
	}
	scope := tenant
	if tenant == flow.DefaultTenant {
		scope = ""
	}
	token := m.token(t, scope, flow.RoleAdmin, tag+"_token")
	if _, err := m.h.As(flow.Principal{Name: token.Name, Tenant: scope, Role: flow.RoleAdmin}, tag).SetEnabled(ctx, "weather", true); err != nil {
		t.Fatal(err)
	}
	return aims{tenant: tenant, pipeline: id, schedule: id, run: string(run.ID), token: token.Name, alert: flow.ID(tenant, "ops"), digest: string(d)}
}

// token makes a token; without a name, one of its own, which has been asked nothing yet.
func (m *matrix) token(t *testing.T, tenant string, role flow.Role, name string) flow.NewToken {
	t.Helper()
	if name == "" {
		m.n++
		name = fmt.Sprintf("%s_%d", role, m.n)
	}
	made, err := m.h.CreateToken(t.Context(), flow.TokenRequest{Name: name, Tenant: tenant, Role: role})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// streamTime is how long a stream is listened to that does not end by itself.
const streamTime = 100 * time.Millisecond

// ask makes a request with a token and returns all that a client can see of the answer but its date.
func (m *matrix) ask(t *testing.T, secret, method, path, body string) (status int, seen string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, m.base+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+secret)
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	if strings.HasPrefix(path, "/v1/events/stream") {
		defer time.AfterFunc(streamTime, cancel).Stop()
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil && ctx.Err() != nil {
		return http.StatusOK, "a stream without events" // it has no head either
	}
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	if err != nil && ctx.Err() == nil {
		t.Fatal(err)
	}
	response.Header.Del("Date")
	response.Header.Del("Content-Security-Policy") // the same for all, and it holds a word that is an id
	response.Header.Del("Content-Length")
	head, err := json.Marshal(response.Header)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, fmt.Sprintf("%s\n%s\n%s", response.Status, head, raw)
}

// TestCrossTenantMatrix asks all that the API can be asked, with each role of a tenant, for ids of its own, of another
// tenant, of the default one, and of nothing: what is foreign answers as what is not there, byte for byte but the id, and
// nothing of another tenant is in any answer.
func TestCrossTenantMatrix(t *testing.T) {
	t.Parallel()
	m := newMatrix(t)
	for _, role := range flow.Roles() {
		for _, r := range routes() {
			m.cell(t, &r, role) // one after the other: hints hold what others have just added
		}
	}
	m.complete(t)
	m.ids(t)
	m.untouched(t)
}

// cell asks one route with one role.
func (m *matrix) cell(t *testing.T, r *route, role flow.Role) {
	t.Helper()
	name := fmt.Sprintf("%s %s%s as %s", r.method, r.path, r.with, role)
	secret := m.token(t, "beta", role, "").Secret
	ask := func(a *aims) (int, string) {
		path, body := r.request(a)
		status, seen := m.ask(t, secret, r.method, path, body)
		seen = a.strip(seen, r.path+r.with+r.body)
		for _, tag := range m.tags {
			if strings.Contains(seen, tag) {
				t.Errorf("%s: the answer holds %q: %s", name, tag, seen)
			}
		}
		return status, seen
	}
	own := m.own
	if r.method == http.MethodDelete && r.need == flow.RoleAdmin {
		own.token = m.token(t, "beta", flow.RoleViewer, "").Name
	}
	status, seen := ask(&own)
	may := role.Includes(r.need)
	switch {
	case !may && (status != http.StatusForbidden || !strings.Contains(seen, string(flow.CodeForbidden))):
		t.Errorf("%s: own: %s", name, seen)
	case may && (r.own != 0 && status != r.own || status == http.StatusForbidden || status == http.StatusUnauthorized):
		t.Errorf("%s: own: want %d: %s", name, r.own, seen)
	}
	if !strings.Contains(r.with+r.body, "{") {
		return // it names nothing
	}
	for whose, pair := range m.known {
		status, foreign := ask(&pair[0])
		_, unknown := ask(&pair[1])
		if foreign != unknown {
			t.Errorf("%s: %s id\n%s\nbut what is not there:\n%s", name, whose, foreign, unknown)
		}
		if !may && status != http.StatusForbidden {
			t.Errorf("%s: %s id: %s", name, whose, foreign)
		}
	}
}

// complete fails for operations that nobody asked.
func (m *matrix) complete(t *testing.T) {
	t.Helper()
	_, seen := m.ask(t, m.token(t, "beta", flow.RoleViewer, "").Secret, http.MethodGet, "/openapi.json", "")
	var doc struct {
		Paths map[string]map[string]json.RawMessage `json:"paths"`
	}
	if err := json.Unmarshal([]byte(strings.SplitN(seen, "\n", 3)[2]), &doc); err != nil {
		t.Fatal(err)
	}
	for path, verbs := range doc.Paths {
		for verb := range verbs {
			if !slices.ContainsFunc(routes(), func(r route) bool { return r.method == strings.ToUpper(verb) && r.path == path }) {
				t.Errorf("%s %s is not in the matrix", strings.ToUpper(verb), path)
			}
		}
	}
	if len(doc.Paths) < 30 {
		t.Errorf("only %d paths are described", len(doc.Paths))
	}
}

// ids tries to take the ids of runs of others, there and to come, and to find them by a part of them.
func (m *matrix) ids(t *testing.T) {
	t.Helper()
	secret := m.token(t, "beta", flow.RoleOperator, "").Secret
	start := func(id string) (record flow.RunRecord) {
		status, seen := m.ask(t, secret, http.MethodPost, "/v1/runs", fmt.Sprintf(`{"pipeline":"weather","id":%q}`, id))
		if err := json.Unmarshal([]byte(strings.SplitN(seen, "\n", 3)[2]), &record); err != nil || status != http.StatusAccepted || record.Tenant != "beta" {
			t.Errorf("a run with the id %s: %d %s, %v", id, status, seen, err)
		}
		return record
	}
	acme := m.known["another tenant's"][0]
	slot := flow.SlotRunID("acme", "weather", "weather", time.Date(2099, 1, 1, 2, 0, 0, 0, time.UTC))
	for _, id := range []string{acme.run, string(slot), string(flow.NewRunID(time.Now()))} {
		first := start(id)
		if string(first.ID) == id || start(id).ID != first.ID || start(string(first.ID)).ID != first.ID {
			t.Errorf("the id %s is answered with %s, or not always with the same", id, first.ID)
		}
	}
	if found, err := m.h.Run(t.Context(), string(slot)); err == nil {
		t.Errorf("the slot to come of acme has the run %+v", found)
	}
	for name, want := range map[string]int{acme.run[:20]: 404, strings.ToLower(acme.run): 404, "acme/@last": 404, "@last": 200, "beta/@last": 200, m.own.run[:25]: 200} {
		if status, seen := m.ask(t, secret, http.MethodGet, "/v1/runs/"+url.PathEscape(name), ""); status != want || strings.Contains(seen, `"acme"`) {
			t.Errorf("run %s: %d %s, want %d", name, status, seen, want)
		}
	}
}

// untouched fails if beta has changed anything of others.
func (m *matrix) untouched(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	for _, tenant := range []string{"acme", "default"} {
		runs, err := m.h.Runs(ctx, flow.RunQuery{Tenant: tenant})
		if err != nil || len(runs) != 1 {
			t.Errorf("%s has %d runs, %v", tenant, len(runs), err)
		}
		state, err := m.h.State(ctx, flow.ID(tenant, "weather"))
		if err != nil || len(state) != 1 {
			t.Errorf("%s has the state %v, %v", tenant, state, err)
		}
	}
	schedules, err := m.h.Schedules(ctx)
	if err != nil || !slices.ContainsFunc(schedules, func(s flow.ScheduleInfo) bool { return s.Name == "acme/canary_acme" && s.Enabled }) {
		t.Errorf("schedules %+v, %v", schedules, err)
	}
	entries, err := m.h.Audit(ctx, flow.AuditQuery{Tenant: "beta", Limit: 1000})
	refused := slices.ContainsFunc(entries, func(e flow.AuditEntry) bool { return e.Error == flow.CodeForbidden })
	done := slices.ContainsFunc(entries, func(e flow.AuditEntry) bool {
		return e.Verb == "schedule.disable" && e.Error == "" && string(e.After) == `{"enabled":false}`
	})
	if err != nil || !refused || !done {
		t.Errorf("the audit has %d entries, one refused: %v, one done: %v, %v", len(entries), refused, done, err)
	}
}

// TestARevokedTokenIsRefusedAtOnce ends a token while a stream of events is open with it, and one that expires.
func TestARevokedTokenIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	h := begin(t, host.Config{Data: t.TempDir(), API: &host.API{Listen: "127.0.0.1:0"}})
	if err := h.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	info, err := h.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	soon := time.Now().Add(400 * time.Millisecond)
	for name, expires := range map[string]*time.Time{"revoked": nil, "expired": &soon} {
		made, err := h.CreateToken(t.Context(), flow.TokenRequest{Name: name, Role: flow.RoleViewer, Expires: expires})
		if err != nil {
			t.Fatal(err)
		}
		get := func(path string) *http.Response {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+info.Listen+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Authorization", "Bearer "+made.Secret)
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = response.Body.Close() })
			return response
		}
		define(t, h, flow.Pipeline{Name: name}, func(context.Context, *host.Call) error { return nil }) // an event for the stream
		stream := get("/v1/events/stream")
		lines := bufio.NewReader(stream.Body)
		if line, err := lines.ReadString('\n'); err != nil || stream.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s %q, %v", name, stream.Status, line, err)
		}
		if expires == nil {
			if err := h.RevokeToken(t.Context(), name); err != nil {
				t.Fatal(err)
			}
			if after := get("/v1/info"); after.StatusCode != http.StatusUnauthorized {
				t.Errorf("%s: %s", name, after.Status)
			}
		}
		ended := make(chan struct{})
		go func() {
			_, _ = io.Copy(io.Discard, lines)
			close(ended)
		}()
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			t.Fatalf("%s: the stream goes on", name)
		}
		if after := get("/v1/info"); after.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: %s", name, after.Status)
		}
	}
}
