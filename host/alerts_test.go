package host_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host"
	"github.com/uniflow-dev/uniflow/host/flow"
)

const hookKey = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" // of the specification's example

// hook is a webhook: it checks signatures, and notes what it is told as id and body.
type hook struct {
	*httptest.Server
	told  chan [2]string
	hangs atomic.Bool
}

func newHook(t *testing.T) *hook {
	t.Helper()
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(hookKey, "whsec_"))
	if err != nil {
		t.Fatal(err)
	}
	h := &hook{told: make(chan [2]string, 100)}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		id := r.Header.Get("Webhook-Id")
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(id + "." + r.Header.Get("Webhook-Timestamp") + "." + string(body)))
		if r.Header.Get("Webhook-Signature") != "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		h.told <- [2]string{id, string(body)}
		if h.hangs.Load() {
			<-r.Context().Done()
		}
	}))
	t.Cleanup(h.Close)
	return h
}

// next is the next message, which must come soon and hold some words.
func (h *hook) next(t *testing.T, words ...string) (id, body string) {
	t.Helper()
	select {
	case m := <-h.told:
		for _, word := range words {
			if !strings.Contains(m[1], word) {
				t.Errorf("the message lacks %q: %s", word, m[1])
			}
		}
		return m[0], m[1]
	case <-time.After(20 * time.Second):
		t.Fatal("no message comes")
		return "", ""
	}
}

// watched writes a manifest whose alert "ops" is the hook, with its secrets in a folder.
func (h *hook) watched(t *testing.T, dir string) string {
	t.Helper()
	secrets := filepath.Join(dir, "secrets")
	err := errors.Join(os.MkdirAll(secrets, 0o700),
		os.WriteFile(filepath.Join(secrets, "HOOK"), []byte(h.URL+"/s3cr3t-path\n"), 0o600),
		os.WriteFile(filepath.Join(secrets, "KEY"), []byte(hookKey+"\n"), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	return manifest(t, dir, `version = 1
[host]
secrets = "dir:secrets"
[alerts.ops]
url  = { secret = "HOOK" }
sign = { secret = "KEY" }
[pipelines.hello]
wasm   = "echo.wasm"
alerts = ["ops"]
`)
}

// Promise: a failure of a real run reaches a real webhook once, signed, with nothing of contexts, outputs or what a plugin
// said; so does its end, after a restart of the host; and no secret is in the ledger.
func TestAFailureReachesAWebhook(t *testing.T) {
	t.Parallel()
	dir, sink := t.TempDir(), newHook(t)
	config := host.Config{Manifest: sink.watched(t, dir)}
	var fails atomic.Bool
	fails.Store(true)
	serve := func() *host.Host {
		h, err := host.Open(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		define(t, h, flow.Pipeline{Name: "report", Owner: "team-x", Runbook: "https://wiki.example.com/report", Alerts: []string{"ops"}}, func(_ context.Context, c *host.Call) error {
			if fails.Load() {
				return errors.New("the plugin said 4711")
			}
			return c.Output("answer", 4712)
		})
		if err := h.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		return h
	}
	h := serve()
	result, err := h.RunNow(t.Context(), "report", map[string]any{"token": 4713})
	if err != nil {
		t.Fatal(err)
	}
	id, body := sink.next(t, `"type":"incident.opened"`, "report: failed", string(result.Run), "team-x", "https://wiki.example.com/report", "uniflow runs show "+string(result.Run))
	if strings.Contains(body, "471") || !strings.HasSuffix(id, "_opened") {
		t.Errorf("message %s: %s", id, body)
	}
	health, err := h.Health(t.Context())
	if err != nil || health.OK || len(health.Incidents) != 1 || health.Incidents[0].Condition != flow.ConditionFailed || health.Incidents[0].Run != result.Run {
		t.Errorf("health %+v, %v", health, err)
	}
	if err := h.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}

	fails.Store(false)
	h = serve()
	if _, err := h.RunNow(t.Context(), "report", nil); err != nil {
		t.Fatal(err)
	}
	again, _ := sink.next(t, `"type":"incident.recovered"`, "report: failed, over", "succeeded")
	if strings.TrimSuffix(again, "_recovered") != strings.TrimSuffix(id, "_opened") {
		t.Errorf("the end of %s is told as %s", id, again)
	}
	if health, err = h.Health(t.Context()); err != nil || len(health.Incidents) != 0 {
		t.Errorf("health %+v, %v", health, err)
	}
	if err := h.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	ledger, err := os.ReadFile(filepath.Join(dir, "data", "uniflow.db"))
	if err != nil || strings.Contains(string(ledger), "s3cr3t") || strings.Contains(string(ledger), strings.TrimPrefix(hookKey, "whsec_")) {
		t.Errorf("a secret is in the ledger (%v)", err)
	}
	if len(sink.told) != 0 {
		t.Errorf("more was told: %v", <-sink.told)
	}
}

// Promise: a target that hangs keeps no run from running, no verb from answering, and no host from ending.
func TestAWebhookThatHangsDisturbsNothing(t *testing.T) {
	t.Parallel()
	sink := newHook(t)
	sink.hangs.Store(true)
	h, err := host.Open(t.Context(), host.Config{Manifest: sink.watched(t, t.TempDir())})
	if err != nil {
		t.Fatal(err)
	}
	define(t, h, flow.Pipeline{Name: "report", Alerts: []string{"ops"}}, func(context.Context, *host.Call) error { return errors.New("no") })
	if err := h.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := h.RunNow(t.Context(), "report", nil); err != nil {
		t.Fatal(err)
	}
	sink.next(t, "incident.opened")
	if r, err := h.RunNow(t.Context(), "hello", nil); err != nil || !r.Success {
		t.Errorf("a run beside it: %+v, %v", r, err)
	}
	begun := time.Now()
	if err := h.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("the end took %s", took)
	}
}

// A channel is tried before it is needed, by a host that serves and by one that only reads.
func TestAChannelCanBeTried(t *testing.T) {
	t.Parallel()
	dir, sink := t.TempDir(), newHook(t)
	path := sink.watched(t, dir)
	h := begin(t, host.Config{Manifest: path})
	for name, h := range map[string]*host.Host{"writer": h, "reader": begin(t, host.Config{Manifest: path, ReadOnly: true})} {
		test, err := h.TestAlert(t.Context(), "ops")
		if err != nil || !test.Delivered {
			t.Fatalf("%s: %+v, %v", name, test, err)
		}
		sink.next(t, `"type":"alert.test"`, "test of alert ops")
	}
	if err := os.WriteFile(filepath.Join(dir, "secrets", "KEY"), []byte("whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"), 0o600); err != nil {
		t.Fatal(err)
	}
	if test, err := h.TestAlert(t.Context(), "ops"); err != nil || test.Delivered || !strings.Contains(test.Error, "HTTP 401") {
		t.Errorf("a secret that was changed: %+v, %v", test, err)
	}
	if err := os.Remove(filepath.Join(dir, "secrets", "HOOK")); err != nil {
		t.Fatal(err)
	}
	if test, err := h.TestAlert(t.Context(), "ops"); err != nil || test.Delivered || !strings.Contains(test.Error, `secret "HOOK"`) {
		t.Errorf("a secret that is gone: %+v, %v", test, err)
	}
	if _, err := h.TestAlert(t.Context(), "opps"); !errors.Is(err, flow.ErrNotFound) {
		t.Errorf("no such alert: %v", err)
	}
	events, err := h.Events(t.Context(), flow.EventQuery{Kind: flow.AlertFailed})
	if err != nil || len(events) != 2 {
		t.Errorf("recorded %+v, %v", events, err)
	}
	infos, err := h.Alerts(t.Context())
	if err != nil || len(infos) != 1 || infos[0].Secret != "HOOK" || !infos[0].Signed || len(infos[0].On) != len(flow.AlertWords()) || infos[0].Pipelines[0] != "hello" {
		t.Errorf("alerts %+v, %v", infos, err)
	}
}

// Health verbs and alerts judge alike: what a pipeline expects is seen by both.
func TestScheduleHealthSaysWhatAlertsSay(t *testing.T) {
	t.Parallel()
	h := begin(t, host.Config{Data: t.TempDir()})
	define(t, h, flow.Pipeline{Name: "report", Schedule: "every 366d", Expect: flow.Expect{Every: flow.Duration(time.Millisecond), Failures: 2}}, func(context.Context, *host.Call) error { return errors.New("no") })
	wants := func(status flow.HealthStatus, words string) {
		t.Helper()
		all, err := h.ScheduleHealth(t.Context())
		if err != nil || len(all) != 1 || all[0].Status != status || !strings.Contains(all[0].Detail, words) {
			t.Errorf("%+v, %v; want %s, %q", all, err, status, words)
		}
	}
	<-time.After(2 * time.Millisecond)
	wants(flow.HealthSilent, "it has never succeeded, and one is expected every 1ms")
	define(t, h, flow.Pipeline{Name: "other", Schedule: "every 366d"}, func(context.Context, *host.Call) error { return nil })
	if err := h.Disable(t.Context(), "report"); err != nil {
		t.Fatal(err)
	}
	if all, err := h.ScheduleHealth(t.Context()); err != nil || len(all) != 2 || all[0].Status != flow.HealthOK || all[1].Status != flow.HealthDisabled {
		t.Errorf("%+v, %v", all, err)
	}
}
