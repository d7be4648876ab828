package host_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/uniflow-dev/uniflow/host"
	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/sdk/abi"
)

// twoTenants writes the manifests of an operator and of two tenants, alike in all but their names, and pins what they name.
func twoTenants(t *testing.T) string {
	t.Helper()
	guest, err := os.ReadFile(buildGuest(t, "command", "exe").Path)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name string, text []byte) {
		if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700), os.WriteFile(filepath.Join(dir, name), text, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	write("uniflow.toml", []byte("version = 1\n[tenants.each]\nmanifest = 'tenants/*/uniflow.toml'\nceiling = { state = true, timeout = { step = '1m' } }\n"))
	for _, tenant := range []string{"acme", "beta"} {
		write("tenants/"+tenant+"/guest.wasm", guest)
		own := "tenants/" + tenant + "/uniflow.toml"
		write(own, []byte(`version = 1
[plugins.guest]
wasm  = "guest.wasm"
grant = { state = true }
[pipelines.p]
schedule = "every 24h"
[pipelines.p.steps.do]
plugin = "guest"
with   = { behaviour = "${context.do}", code = "${context.code}", message = "${context.text}", value = "${context.value}" }
[pipelines.p.context]
code  = ""
text  = ""
value = 0
`))
		h, err := host.Open(t.Context(), host.Config{Manifest: filepath.Join(dir, own), Data: t.TempDir(), Build: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "uniflow.toml")
}

// Promise: two tenants run pipelines of one name and of the same bytes beside each other, in workers, and neither sees
// runs, state, artifacts or schedules of the other.
func TestTenantsSeeTheirOwn(t *testing.T) {
	t.Parallel()
	h := begin(t, host.Config{Manifest: twoTenants(t)})
	if err := h.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	do := func(tenant string, values map[string]any) host.Result {
		result, err := h.RunNow(t.Context(), tenant+"/p", values)
		if err != nil {
			t.Fatal(err)
		}
		return result
	}
	state := func(tenant, op, request string) host.Result {
		return do(tenant, map[string]any{"do": "spill", "code": op, "value": json.RawMessage(request)})
	}
	if r := state("acme", abi.OpStateSet, `{"key":"n","value":"acme's own"}`); !r.Success {
		t.Fatal(r.Err)
	}
	if r := state("beta", abi.OpStateGet, `{"key":"n"}`); strings.Contains(fmt.Sprint(r.Outputs, r.Err), "acme") {
		t.Errorf("beta reads the state of acme: %s, %v", r.Outputs, r.Err)
	}
	if r := state("acme", abi.OpStateGet, `{"key":"n"}`); !strings.Contains(fmt.Sprint(r.Outputs), "acme's own") {
		t.Errorf("acme reads its own: %s, %v", r.Outputs, r.Err)
	}
	kept, err := h.State(t.Context(), "beta/p")
	if err != nil || len(kept) > 0 {
		t.Errorf("beta keeps %s, %v", kept, err)
	}
	if kept, err = h.State(t.Context(), "acme/p"); err != nil || string(kept["n"]) != `"acme's own"` {
		t.Errorf("acme keeps %s, %v", kept, err)
	}
	made := do("acme", map[string]any{"do": "artifact", "text": "acme's words"})
	ref := made.Outputs["do"]["ref"]
	if !made.Success || len(ref) == 0 {
		t.Fatalf("%+v", made)
	}
	stolen := do("beta", map[string]any{"do": "files", "value": ref})
	if stolen.Success {
		t.Errorf("beta reads an artifact of acme: %s", stolen.Outputs)
	}
	var about struct {
		Digest flow.Digest `json:"digest"`
	}
	if err := json.Unmarshal(ref, &about); err == nil && about.Digest != "" {
		if _, err := h.Artifact(t.Context(), stolen.Run, about.Digest); !errors.Is(err, flow.ErrNotFound) {
			t.Errorf("the artifact through a run of beta: %v", err)
		}
	}
	ofTenants(t, h)
}

// ofTenants looks at lists.
func ofTenants(t *testing.T, h *host.Host) {
	t.Helper()
	versions := map[flow.Digest]bool{}
	for tenant, want := range map[string]int{"acme": 3, "beta": 2} {
		runs, err := h.Runs(t.Context(), flow.RunQuery{Tenant: tenant})
		if err != nil || len(runs) != want {
			t.Errorf("%s has %d runs, %v, want %d", tenant, len(runs), err, want)
		}
		for i := range runs {
			if runs[i].Tenant != tenant {
				t.Errorf("a run of %s among those of %s", runs[i].Tenant, tenant)
			}
		}
		info, err := h.Pipeline(t.Context(), tenant+"/p")
		if err != nil || info.Plan.Plugins["guest"].Isolation != flow.IsolationWorker {
			t.Fatalf("%+v, %v", info, err)
		}
		versions[info.Version] = true
		if fires, err := h.Next(t.Context(), tenant+"/p", info.LastRun.QueuedAt, 1); err != nil || len(fires) != 1 {
			t.Errorf("the schedule of %s: %v, %v", tenant, fires, err)
		}
		if err := h.Unschedule(t.Context(), tenant+"/p"); !strings.Contains(fmt.Sprint(err), "tenants/"+tenant+"/uniflow.toml:6:1") {
			t.Errorf("a schedule of a manifest: %v", err)
		}
	}
	if len(versions) != 2 {
		t.Error("both tenants have one version, whose plan belongs to one of them")
	}
	if _, err := h.Pipeline(t.Context(), "p"); !errors.Is(err, flow.ErrNotFound) {
		t.Errorf("the default tenant has a pipeline: %v", err)
	}
}
