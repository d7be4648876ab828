package tool

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/wasm"
	"github.com/uniflow-dev/uniflow/sdk/abi"
)

func TestNeedsNameTheLinesThatGiveThem(t *testing.T) {
	t.Parallel()
	info := &wasm.Info{
		Imports: []wasm.Import{{Module: abi.Module, Name: abi.ImportCall}, {Module: wasiModule, Name: "random_get"}, {Module: extismModule, Name: "http_request"}},
		Descriptor: &abi.Descriptor{Wants: abi.Wants{
			HTTP: []string{"GET https://a.example/*"}, Mount: []string{"/data"}, Secret: []string{"KEY"}, State: true, Event: true, Clock: true, Random: true,
		}},
	}
	var lines []string
	for _, n := range needs(info, []byte("…http.request…state.get…artifact.put…")) {
		lines = append(lines, n.How+" "+n.What+": "+n.Manifest)
	}
	want := []string{
		`mentioned http.request: grant = { http = ["GET https://host/path/*"] }`,
		`mentioned state.get: grant = { state = true }`,
		`mentioned artifact.put: `,
		`import wasi_snapshot_preview1.random_get: grant = { random = true }`,
		`import extism:host/env.http_request: grant = { http = ["GET https://host/path/*"] }`,
		`wanted http: grant = { http = ["GET https://a.example/*"] }`,
		`wanted mount: grant = { mount = { "/data" = "FOLDER" } }`,
		`wanted secret: secrets = { KEY = { expose = true } }`,
		`wanted state: grant = { state = true }`, `wanted event: grant = { event = true }`, `wanted clock: grant = { clock = true }`,
		`wanted random: grant = { random = true }`,
	}
	if !slices.Equal(lines, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
	if all := needs(&wasm.Info{Imports: info.Imports[:1]}, nil); len(all) != 1 || all[0].How != needImport {
		t.Errorf("a module whose calls cannot be told: %+v", all)
	}
}

// TestInspectionIsQuick looks at a module of more than 3 MB, as Go makes them.
func TestInspectionIsQuick(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "large.wasm")
	build := exec.CommandContext(t.Context(), "go", "build", "-buildmode=c-shared", "-o", path, "../../sdk/testdata/conformance")
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	best, info := time.Hour, flow.PluginInfo{}
	for range 5 {
		started := time.Now()
		var err error
		if info, err = InspectPlugin(path); err != nil {
			t.Fatal(err)
		}
		best = min(best, time.Since(started))
	}
	if limit := 500 * time.Millisecond * time.Duration(1+info.Size/(4*flow.MiB)); best > limit {
		t.Errorf("%s of a module take %s, at most %s are wanted", info.Size, best, limit)
	}
	t.Logf("%d bytes in %s", info.Size, best)
}

func TestPackingReplacesTheSection(t *testing.T) {
	t.Parallel()
	first, err := withSection(starterModule, []byte(`{"name":"first"}`))
	if err != nil {
		t.Fatal(err)
	}
	second, err := withSection(first, []byte(`{"name":"second"}`))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(second, []byte("first")) || bytes.Count(second, []byte(abi.CustomSection)) != 1 {
		t.Error("the section is not replaced")
	}
	info, err := wasm.Inspect(second)
	if err != nil || info.Descriptor == nil || info.Descriptor.Name != "second" {
		t.Errorf("got %+v, %v", info, err)
	}
	for cut := range first {
		_, _ = withSection(first[:cut], nil) // must not panic
	}
}
