package host_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host"
	"github.com/uniflow-dev/uniflow/host/flow"
)

// alerting is a host with two tenants, each with secrets and an alert "ops" of its own; told hears what the hook is told.
func alerting(t *testing.T, dir, hook string) *host.Host {
	t.Helper()
	for name, secrets := range map[string]map[string]string{
		"acme": {"HOOK": hook + "/acme/s3cr3t"},
		"zeta": {"HOOK": strings.Replace(hook, "http:", "https:", 1) + "/s3cr3t", "OUT": hook + "/acme/s3cr3t", "NTFY": "ntfy://127.0.0.1/s3cr3t"},
	} {
		folder := filepath.Join(dir, "tenants", name)
		kept := filepath.Join(dir, "secrets", name)
		if err := errors.Join(os.MkdirAll(folder, 0o700), os.MkdirAll(kept, 0o700)); err != nil {
			t.Fatal(err)
		}
		var text strings.Builder
		text.WriteString("version = 1\n[alerts.ops]\nurl = { secret = \"HOOK\" }\n")
		for key, value := range secrets {
			if err := os.WriteFile(filepath.Join(kept, key), []byte(value), 0o600); err != nil {
				t.Fatal(err)
			}
			if key != "HOOK" {
				fmt.Fprintf(&text, "[alerts.%s]\nurl = { secret = %q }\n", strings.ToLower(key), key)
			}
		}
		manifest(t, folder, text.String()+`
[plugins]
echo = { wasm = "echo.wasm" }
[pipelines.job]
alerts = ["ops"]
steps.first  = { plugin = "echo" }
steps.second = { plugin = "echo", with = { x = "${steps.first.none}" } }
`)
	}
	path := manifest(t, dir, fmt.Sprintf(`version = 1
[alerts.ops]
url = %[1]q
[pipelines.hello]
wasm   = "echo.wasm"
alerts = ["ops"]
[tenants.acme]
manifest  = "tenants/acme/uniflow.toml"
isolation = "inline"
secrets   = "dir:secrets/acme"
ceiling   = { alerts = [%[2]q] }
[tenants.zeta]
manifest  = "tenants/zeta/uniflow.toml"
isolation = "inline"
secrets   = "dir:secrets/zeta"
ceiling   = { alerts = ["https://", "ntfy://"] }
`, hook+"/operator", hook+"/acme/"))
	h := begin(t, host.Config{Manifest: path})
	if err := h.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return h
}

// Promise: an alert is its tenant's own: told of that tenant alone, by its secrets, within its ceiling as it is when a
// message is sent, and never to this machine unless the ceiling names it.
func TestAlertsOfTenantsStayWithinTheirCeilings(t *testing.T) {
	t.Parallel()
	told := make(chan string, 100)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		told <- r.URL.Path + " " + string(body)
	}))
	t.Cleanup(hook.Close)
	h := alerting(t, t.TempDir(), hook.URL)
	infos, err := h.Alerts(t.Context())
	var ids []string
	for _, i := range infos {
		ids = append(ids, i.Name+" "+strings.Join(i.Pipelines, " "))
	}
	if want := []string{"acme/ops acme/job", "ops hello", "zeta/ntfy ", "zeta/ops zeta/job", "zeta/out "}; err != nil || !slices.Equal(ids, want) {
		t.Errorf("alerts %q, %v, want %q", ids, err, want)
	}
	for id, want := range map[string]string{
		"acme/ops": "", "zeta/ops": "127.0.0.1, which is of this machine", "zeta/out": "does not begin as the ceiling of tenant zeta wants", "zeta/ntfy": "needs ntfy://HOST/",
	} {
		test, err := h.TestAlert(t.Context(), id)
		if err != nil || test.Delivered != (want == "") || !strings.Contains(test.Error, want) || strings.Contains(test.Error, "s3cr3t") {
			t.Errorf("test of %s: %+v, %v, want %q", id, test, err, want)
		}
	}
	if got := <-told; !strings.HasPrefix(got, "/acme/s3cr3t ") || strings.Contains(got, "zeta") {
		t.Errorf("told %s", got)
	}

	for _, id := range []string{"acme/job", "zeta/job"} {
		r, err := h.StartRun(t.Context(), flow.RunRequest{Pipeline: id})
		execute(t, h, r, err)
	}
	select {
	case got := <-told:
		if !strings.HasPrefix(got, "/acme/s3cr3t ") || !strings.Contains(got, "acme/job: failed") || strings.Contains(got, "zeta") {
			t.Errorf("told %s", got)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("no message comes")
	}
	refused := awaitEvent(t, h, flow.EventQuery{Tenant: "zeta", Kind: flow.AlertFailed, After: lastTest(t, h)})
	if !strings.Contains(refused.Message, "of this machine") || refused.Pipeline != "job" {
		t.Errorf("refused: %+v", refused)
	}
	if len(told) != 0 {
		t.Errorf("more was told: %s", <-told)
	}
}

// lastTest is the event of the last test of an alert.
func lastTest(t *testing.T, h *host.Host) int64 {
	t.Helper()
	events, err := h.Events(t.Context(), flow.EventQuery{Tenant: "zeta", Kind: flow.AlertFailed, Limit: 3})
	if err != nil || len(events) < 3 {
		t.Fatalf("tests of a tenant's alerts are no events of the tenant: %+v, %v", events, err)
	}
	return events[2].Seq
}

// awaitEvent is the first event of a query, which must come soon.
func awaitEvent(t *testing.T, h *host.Host, q flow.EventQuery) flow.Event {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if events, err := h.Events(t.Context(), q); err == nil && len(events) > 0 {
			return events[0]
		}
	}
	t.Fatalf("no event of %+v comes", q)
	return flow.Event{}
}
