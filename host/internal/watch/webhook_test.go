package watch

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nicholas-fedor/shoutrrr/pkg/router"

	"github.com/uniflow-dev/uniflow/host/flow"
)

const signingSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" // of the specification's example

// The example stands in the Standard Webhooks specification.
func TestSignatureIsThatOfTheSpecification(t *testing.T) {
	t.Parallel()
	got, err := sign(signingSecret, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", []byte(`{"test": 2432232314}`))
	if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want || err != nil {
		t.Errorf("got %s, %v", got, err)
	}
	both, err := sign(signingSecret+" whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz", "msg_1", "1", nil)
	if parts := strings.Split(both, " "); err != nil || len(parts) != 2 || parts[0] == parts[1] {
		t.Errorf("two secrets: %q, %v", both, err)
	}
	if _, err := sign("hunter2", "msg_1", "1", nil); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("no secret: %v", err)
	}
}

// request is what a webhook's receiver has seen.
type request struct {
	header http.Header
	body   []byte
	path   string
}

// receiver is a webhook that answers as it is told.
func receiver(t *testing.T, answer http.HandlerFunc) (*httptest.Server, <-chan request) {
	t.Helper()
	seen := make(chan request, 100)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		seen <- request{r.Header, body, r.URL.Path}
		answer(w, r)
	}))
	t.Cleanup(server.Close)
	return server, seen
}

func incident() flow.Incident {
	at := time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)
	return flow.Incident{
		ID: "01M8BQNGCEX9WPMJTJJMMNMBT2", Condition: flow.ConditionFailed, Tenant: "default", Pipeline: "weather", Schedule: "weather_evening",
		Run: "01M8BQ9E5ZMHHYKVQ403GAZGRW", Since: at, OpenedAt: at, Detail: "run 01M8BQ9E5ZMHHYKVQ403GAZGRW failed (trap)",
		Owner: "team-climate", Runbook: "https://wiki.example.com/weather", Next: "uniflow runs show 01M8BQ9E5ZMHHYKVQ403GAZGRW",
	}
}

func TestWebhookIsSignedAndSaysAll(t *testing.T) {
	t.Parallel()
	server, seen := receiver(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	m := incidentMessage(&flow.Delivery{Incident: incident(), Phase: flow.PhaseOpened}, "srv1")
	if err := newServices().Send(t.Context(), Target{Name: "ops", URL: server.URL + "/hook", Sign: signingSecret}, m); err != nil {
		t.Fatal(err)
	}
	got := <-seen
	id, stamp := got.header.Get("Webhook-Id"), got.header.Get("Webhook-Timestamp")
	key, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(signingSecret, "whsec_"))
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + stamp + "." + string(got.body)))
	if want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)); got.header.Get("Webhook-Signature") != want {
		t.Errorf("signature %q", got.header.Get("Webhook-Signature"))
	}
	if seconds, err := strconv.ParseInt(stamp, 10, 64); err != nil || time.Since(time.Unix(seconds, 0)).Abs() > time.Minute {
		t.Errorf("timestamp %q", stamp)
	}
	var doc struct {
		Type string
		Data struct {
			flow.Incident
			Host, Text string
		}
	}
	if err := json.Unmarshal(got.body, &doc); err != nil {
		t.Fatal(err)
	}
	if doc.Type != "incident.opened" || id != "msg_01M8BQNGCEX9WPMJTJJMMNMBT2_opened" || doc.Data.Incident != incident() || doc.Data.Host != "srv1" {
		t.Errorf("got %s: %s", id, got.body)
	}
	want := `weather_evening: failed
what: run 01M8BQ9E5ZMHHYKVQ403GAZGRW failed (trap)
pipeline: weather
schedule: weather_evening
run: 01M8BQ9E5ZMHHYKVQ403GAZGRW
since: 2026-03-01 02:00:00Z
host: srv1
owner: team-climate
runbook: https://wiki.example.com/weather
next: uniflow runs show 01M8BQ9E5ZMHHYKVQ403GAZGRW`
	if doc.Data.Text != want {
		t.Errorf("text\n%s", doc.Data.Text)
	}
}

func TestWhatAWebhookAnswersIsJudged(t *testing.T) {
	t.Parallel()
	other, reached := receiver(t, func(http.ResponseWriter, *http.Request) {})
	for _, c := range []struct {
		name    string
		answer  http.HandlerFunc
		want    string
		after   time.Duration
		forever bool
	}{
		{"taken", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) }, "", 0, false},
		{"redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
		}, "redirect (HTTP 307), which is not followed", 0, false},
		{"gone", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) }, "HTTP 410", 0, true},
		{"fault", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }, "HTTP 500", 0, false},
		{"busy", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "120")
			w.WriteHeader(http.StatusTooManyRequests)
		}, "HTTP 429", 2 * time.Minute, false},
		{"cut off", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "EOF", 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server, _ := receiver(t, c.answer)
			err := newServices().Send(t.Context(), Target{URL: server.URL + "/token-in-the-path"}, testMessage("ops", "srv1", time.Now()))
			if (err == nil) != (c.want == "") || err != nil && (!strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "token-in")) {
				t.Fatalf("got %v", err)
			}
			refused, ok := errors.AsType[*refusal](err)
			if ok && (refused.after != c.after || refused.forever != c.forever) || !ok && (c.after != 0 || c.forever) {
				t.Errorf("got %+v", err)
			}
		})
	}
	t.Cleanup(func() {
		if len(reached) > 0 {
			t.Error("a redirect was followed")
		}
	})
}

func TestAWebhookThatHangsEndsWithItsContext(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	server, seen := receiver(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	defer close(release)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- newServices().Send(ctx, Target{URL: server.URL}, testMessage("ops", "srv1", time.Now()))
	}()
	<-seen
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// A service of the library is reached with title and text, and an error of it names no secret once it is cleaned.
func TestServicesOfTheLibrarySend(t *testing.T) {
	t.Parallel()
	server, seen := receiver(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "refused") {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{}`))
	})
	host := strings.TrimPrefix(server.URL, "http://")
	m := incidentMessage(&flow.Delivery{Incident: incident(), Phase: flow.PhaseOpened}, "srv1")
	if err := newServices().Send(t.Context(), Target{URL: "ntfy://" + host + "/topic?scheme=http"}, m); err != nil {
		t.Fatal(err)
	}
	if got := <-seen; got.path != "/topic" || got.header.Get("Title") != m.Title || string(got.body) != m.Text {
		t.Errorf("ntfy got %s %v\n%s", got.path, got.header, got.body)
	}
	if err := newServices().Send(t.Context(), Target{URL: "generic://" + host + "/hook?disabletls=yes"}, m); err != nil {
		t.Fatal(err)
	}
	if got := <-seen; string(got.body) != m.Title+"\n"+m.Text {
		t.Errorf("generic got\n%s", got.body)
	}
	for _, url := range []string{
		"generic://" + host + "/refused/sEcReT9?disabletls=yes", "slack://hook:sEcReT9@nowhere", "smtp://sEcReT9", "logger://sEcReT9", "sEcReT9", "unknown://sEcReT9", "telegram://sEcReT9",
	} {
		err := clean(newServices().Send(t.Context(), Target{URL: url}, m), Target{URL: url})
		if err == nil || strings.Contains(err.Error(), "sEcReT9") {
			t.Errorf("%s: got %v", url, err)
		}
	}
	if err := newServices().Send(t.Context(), Target{URL: "ntfy://" + host + "/topic", Sign: signingSecret}, m); err == nil {
		t.Error("what cannot be signed is sent")
	}
}

// The manifest is checked without the library: its names are kept beside it.
func TestSchemesAreThoseOfTheLibrary(t *testing.T) {
	t.Parallel()
	want := map[string]bool{flow.SchemeHTTP: true, flow.SchemeHTTPS: true}
	for _, name := range new(router.ServiceRouter).ListServices() {
		want[name] = name != "logger" // it would tell nobody
	}
	maps.DeleteFunc(want, func(_ string, listed bool) bool { return !listed })
	if got := flow.AlertSchemes(); !slices.Equal(got, slices.Sorted(maps.Keys(want))) {
		t.Errorf("got %v, want %v", got, slices.Sorted(maps.Keys(want)))
	}
	for _, name := range titled() {
		if !want[name] {
			t.Errorf("%s is no service", name)
		}
	}
}
