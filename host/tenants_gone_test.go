package host_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// Promise: a folder of tenants that is away for a moment, such as one that is mounted, removes none of them.
func TestAPatternThatMatchesNothingRemovesNobody(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	tenant(t, dir, "acme", "[pipelines.p]\nwasm = \"quiet.wasm\"\nschedule = \"every 1h\"\n", map[string][]byte{"quiet.wasm": quietModule()})
	h, _ := operate(t, dir, "[tenants.each]\nmanifest = \"tenants/*/uniflow.toml\"\nisolation = \"inline\"\n")
	if _, err := h.SetEnabled(t.Context(), "acme/p", false); err != nil {
		t.Fatal(err)
	}
	folder, away := filepath.Join(dir, "tenants"), filepath.Join(dir, "away")
	if err := os.Rename(folder, away); err != nil {
		t.Fatal(err)
	}
	_, err := h.Apply(t.Context(), flow.ApplyRequest{})
	if problems, ok := errors.AsType[flow.Problems](err); !ok || problems[0].Code != flow.CodeTenant || !strings.Contains(err.Error(), "remove [tenants.each] too") {
		t.Errorf("applied without the tenants: %v", err)
	}
	if err := os.Rename(away, folder); err != nil {
		t.Fatal(err)
	}
	apply(t, h, flow.ApplyRequest{})
	all, err := h.Schedules(t.Context())
	if err != nil || len(all) != 1 || all[0].Enabled {
		t.Errorf("schedules %+v, %v", all, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "uniflow.toml"), []byte("version = 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if report := apply(t, h, flow.ApplyRequest{}); len(report.Changes) != 1 {
		t.Errorf("the table is removed: %+v", report)
	}
}
