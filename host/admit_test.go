package host_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// A run that has waited while the operator took something away does not get it any more, and neither does one of a tenant
// that is gone; all other runs that wait keep their version.
func TestARunThatWaitedGetsNoMoreThanIsAllowedNow(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	modules := map[string][]byte{"quiet.wasm": quietModule(), "spin.wasm": spinModule()}
	const busy = "[pipelines.busy]\nwasm = \"spin.wasm\"\ntimeout = { step = \"1m\" }\n"
	for _, name := range []string{"acme", "gone", "kept"} {
		tenant(t, dir, name, busy+"[pipelines.p]\nwasm = \"quiet.wasm\"\n[pipelines.p.grant]\nclock = true\n", modules)
	}
	table := func(name string, clock bool) string {
		return fmt.Sprintf("[tenants.%s]\nmanifest = \"tenants/%[1]s/uniflow.toml\"\nisolation = \"inline\"\nceiling = { clock = %[2]t }\nquota = { running = 1 }\n", name, clock)
	}
	h, _ := operate(t, dir, table("acme", true)+table("gone", true)+table("kept", true))
	first, waits := map[string]flow.RunID{}, map[string]flow.RunID{}
	for _, name := range []string{"acme", "gone", "kept"} {
		first[name] = ask(t, h, name+"/busy")
		waits[name] = ask(t, h, name+"/"+map[bool]string{true: "busy", false: "p"}[name == "gone"])
	}
	err := os.WriteFile(filepath.Join(dir, "uniflow.toml"), []byte("version = 1\n"+table("acme", false)+table("kept", true)), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	tenant(t, dir, "acme", busy+"[pipelines.p]\nwasm = \"quiet.wasm\"\n", modules)
	tenant(t, dir, "kept", busy+"[pipelines.p]\nwasm = \"quiet.wasm\"\n", modules)
	if report := apply(t, h, flow.ApplyRequest{}); len(report.Refused) > 0 {
		t.Fatal(report.Refused)
	}
	for name, want := range map[string]string{"acme": "denied its version is beyond what the operator allows", "gone": "denied the operator's manifest has no tenant", "kept": " "} {
		if _, err := h.Cancel(t.Context(), first[name]); err != nil {
			t.Fatal(err)
		}
		awaitState(t, h, waits[name], flow.StateEnded)
		r, err := h.Run(t.Context(), string(waits[name]))
		if told := string(r.Reason) + " " + r.Message; err != nil || !strings.HasPrefix(told, want) || (r.Outcome == flow.Succeeded) != (name == "kept") {
			t.Errorf("%s: %s, %s, %v", name, r.Outcome, told, err)
		}
	}
}

// Bounds on what is added by hand hold for those who ask at one time, too.
func TestBoundsHoldForManyAtOneTime(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	tenant(t, dir, "acme", "[pipelines.p]\nwasm = \"quiet.wasm\"\n[pipelines.p.grant]\nstate = true\n", map[string][]byte{"quiet.wasm": quietModule()})
	h, _ := operate(t, dir, "[tenants.acme]\nmanifest = \"tenants/acme/uniflow.toml\"\nisolation = \"inline\"\nceiling = { state = true }\nquota = { schedules = 3, state = \"100B\" }\n")
	var all sync.WaitGroup
	for i := range 32 {
		all.Go(func() {
			_, err := h.AddSchedule(t.Context(), flow.Schedule{Name: fmt.Sprintf("s%d", i), Pipeline: "acme/p", At: "every 1h"})
			_, other := h.SetState(t.Context(), "acme/p", flow.StateChange{Set: map[string]json.RawMessage{fmt.Sprintf("k%02d", i): json.RawMessage(`"` + strings.Repeat("x", 20) + `"`)}})
			for _, err := range []error{err, other} {
				if err != nil && flow.CodeOf(err) != flow.CodeQuota {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	tenants, err := h.Tenants(t.Context())
	if err != nil || len(tenants) != 2 || tenants[1].Schedules != 3 || tenants[1].Usage.State != 100 {
		t.Error(errors.Join(err, fmt.Errorf("%+v", tenants)))
	}
}

// A backfill of many runs holds up no apply, and with it the slots of everybody; what is left when another version comes is
// told.
func TestABackfillHoldsUpNoApply(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	modules := map[string][]byte{"quiet.wasm": quietModule()}
	const steady = "[pipelines.p]\nwasm = \"quiet.wasm\"\nschedule = \"every 1m\"\n"
	tenant(t, dir, "acme", steady, modules)
	h, _ := operate(t, dir, "[tenants.acme]\nmanifest = \"tenants/acme/uniflow.toml\"\nisolation = \"inline\"\nquota = { queued = 10000 }\n")
	done := make(chan error, 1)
	go func() {
		now := time.Now()
		_, err := h.Backfill(t.Context(), flow.BackfillRequest{Name: "acme/p", From: now.Add(-5000 * time.Minute), To: now, Max: 10_000})
		done <- err
	}()
	for began := false; !began; {
		select {
		case err := <-done:
			t.Fatalf("it ends before it was seen to begin: %v", err)
		case <-time.After(5 * time.Millisecond):
		}
		runs, err := h.Runs(t.Context(), flow.RunQuery{Limit: 1})
		if err != nil {
			t.Fatal(err)
		}
		began = len(runs) > 0
	}
	tenant(t, dir, "acme", steady+"with = { a = 1 }\n", modules)
	if report := apply(t, h, flow.ApplyRequest{}); len(report.Changes) != 1 {
		t.Errorf("%+v", report)
	}
	if err := <-done; flow.CodeOf(err) != flow.CodeBackfill || !strings.Contains(err.Error(), "another version") {
		t.Errorf("the backfill under which an apply came: %v", err)
	}
}
