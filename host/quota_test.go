package host_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host"
	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/plugintest/hostile"
	bt "github.com/uniflow-dev/uniflow/host/internal/wasm/binary/binarytest"
)

// spinModule does not end by itself.
func spinModule() []byte {
	var b bt.Builder
	b.Memory(1)
	b.Export("uniflow_abi_v1", b.Func(b.Type(nil, nil), 0))
	b.Export("uniflow_run", b.Func(b.Type(nil, []byte{bt.I32}), 0, bt.Asm(`loop void br 0 end unreachable`)))
	return b.Bytes()
}

// A tenant at its bounds is told which one it is: a person by an error, a slot by its ending and its story, and both again
// after a restart; another tenant feels nothing of it. What waits for room starts when there is room.
func TestQuotasOfATenant(t *testing.T) {
	t.Parallel()
	if hostile.Racing {
		t.Skip("the detector makes the start of workers ten times slower")
	}
	dir := t.TempDir()
	modules := map[string][]byte{"quiet.wasm": quietModule(), "spin.wasm": spinModule()}
	const spins = "wasm = \"spin.wasm\"\ntimeout = { step = \"1m\" }\n"
	tenant(t, dir, "full", "[pipelines.a]\n"+spins+"[pipelines.b]\n"+spins+"[pipelines.c]\n"+spins, modules)
	tenant(t, dir, "spent", "[pipelines.p]\nwasm = \"quiet.wasm\"\nschedule = \"every 1s\"\n", modules)
	const operator = `[tenants.all]
manifest = "tenants/*/uniflow.toml"
[tenants.all.quota]
running       = 1
queued        = 2
runs_per_hour = 3
state         = "40B"
schedules     = 1
min_interval  = "1s"
`
	h, _ := operate(t, dir, operator)
	token, err := h.CreateToken(t.Context(), flow.TokenRequest{Name: "ops", Role: flow.RoleOperator})
	if err != nil {
		t.Fatal(err)
	}
	first := ask(t, h, "full/a")
	waits := ask(t, h, "full/b")
	ask(t, h, "full/c")
	refused(t, h, token.Secret, "full/c", `quota.queued of tenant "full" is used up: 2 of 2`)
	awaitSlots(t, h, "spent/p", func(s []flow.SlotRecord) bool { return len(s) > 0 && s[0].Reason == flow.ReasonQuota })
	story, err := h.Why(t.Context(), "spent/p", time.Time{})
	if err != nil || !strings.Contains(story.Text, `was skipped (quota): quota.runs_per_hour of tenant "spent" is used up: 3 of 3`) {
		t.Errorf("story %q, %v", story.Text, err)
	}
	if _, err := h.AddSchedule(t.Context(), flow.Schedule{Name: "more", Pipeline: "spent/p", At: "every 1h"}); flow.CodeOf(err) != flow.CodeQuota {
		t.Errorf("a schedule beyond the quota: %v", err)
	}
	value := json.RawMessage(`"` + strings.Repeat("x", 30) + `"`)
	if _, err := h.SetState(t.Context(), "full/a", flow.StateChange{Set: map[string]json.RawMessage{"key": value}}); err != nil {
		t.Error(err)
	}
	if _, err := h.SetState(t.Context(), "full/b", flow.StateChange{Set: map[string]json.RawMessage{"key": value}}); flow.CodeOf(err) != flow.CodeQuota {
		t.Errorf("state beyond the quota of the tenant: %v", err)
	}
	past := flow.BackfillRequest{Name: "spent/p", From: time.Now().Add(-time.Hour), To: time.Now().Add(-59 * time.Minute), Max: 100}
	if _, err := h.Backfill(t.Context(), past); flow.CodeOf(err) != flow.CodeQuota || !strings.Contains(err.Error(), "0 of 60 runs are queued") {
		t.Errorf("a backfill beyond the quota: %v", err)
	}
	if _, err := h.Cancel(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	awaitState(t, h, waits, flow.StateRunning)
	refused(t, h, token.Secret, "full/a", `quota.runs_per_hour of tenant "full" is used up: 3 of 3`)
	all, err := h.Tenants(t.Context())
	if err != nil || len(all) != 3 || all[0].Name != flow.DefaultTenant || all[0].Quota != nil || all[1].Usage.Running != 1 || all[1].Usage.Queued != 1 ||
		all[1].Usage.State != 35 || all[1].Schedules != 0 || all[2].Schedules != 1 || all[1].Quota.Running != 1 {
		t.Errorf("tenants %+v, %v", all, err)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	h, _ = operate(t, dir, strings.NewReplacer("runs_per_hour = 3", "runs_per_hour = 100", "running       = 1", "running       = 3").Replace(operator))
	refused(t, h, token.Secret, "full/a", "")
}

// ask starts a run by hand.
func ask(t *testing.T, h *host.Host, pipeline string) flow.RunID {
	t.Helper()
	r, err := h.StartRun(t.Context(), flow.RunRequest{Pipeline: pipeline})
	if err != nil {
		t.Fatal(err)
	}
	return r.ID
}

// refused asks for a run over the API, and checks what the refusal says; nothing is none.
func refused(t *testing.T, h *host.Host, token, pipeline, want string) {
	t.Helper()
	info, err := h.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+info.Listen+"/v1/runs", strings.NewReader(fmt.Sprintf(`{"pipeline":%q}`, pipeline)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var problem struct {
		Code   flow.Code `json:"code"`
		Detail string    `json:"detail"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&problem); err != nil {
		t.Fatal(err)
	}
	if over := resp.StatusCode == http.StatusTooManyRequests && problem.Code == flow.CodeQuota; over != (want != "") || !strings.Contains(problem.Detail, want) {
		t.Errorf("run of %s: %s, %s: %q, want %q", pipeline, resp.Status, problem.Code, problem.Detail, want)
	}
}

// awaitState waits until a run is in a state.
func awaitState(t *testing.T, h *host.Host, id flow.RunID, want flow.State) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		r, err := h.Run(t.Context(), string(id))
		if err != nil {
			t.Fatal(err)
		}
		if r.State == want {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("run %s is %s (%s), want %s", id, r.State, r.Reason, want)
		}
	}
}

// What waits of a tenant that is declared no more ends when its turn comes: it waits for nothing that never happens, and
// nothing of it is executed.
func TestWhatARemovedTenantLeavesBehind(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const spins = "wasm = \"spin.wasm\"\ntimeout = { step = \"1m\" }\n"
	tenant(t, dir, "gone", "[pipelines.a]\n"+spins+"[pipelines.b]\n"+spins, map[string][]byte{"spin.wasm": spinModule()})
	h, _ := operate(t, dir, "[tenants.gone]\nmanifest = \"tenants/gone/uniflow.toml\"\nisolation = \"inline\"\nquota = { running = 1 }\n")
	first := ask(t, h, "gone/a")
	waits := ask(t, h, "gone/b")
	if err := os.WriteFile(filepath.Join(dir, "uniflow.toml"), []byte("version = 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	apply(t, h, flow.ApplyRequest{})
	if _, err := h.Cancel(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	awaitState(t, h, waits, flow.StateEnded)
	if r, err := h.Run(t.Context(), string(waits)); err != nil || r.Reason != flow.ReasonDenied || len(r.Steps) > 0 && r.Steps[0].StartedAt != nil {
		t.Errorf("what waited: %+v, %v", r, err)
	}
	if _, err := h.StartRun(t.Context(), flow.RunRequest{Pipeline: "gone/a"}); flow.CodeOf(err) != flow.CodeNotFound {
		t.Errorf("a run of a tenant that is gone: %v", err)
	}
}
