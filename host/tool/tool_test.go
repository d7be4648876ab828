package tool

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host"
	"github.com/uniflow-dev/uniflow/host/flow"
)

func TestStarterModuleIsTheEchoPlugin(t *testing.T) {
	t.Parallel()
	want, err := os.ReadFile(filepath.Join("..", "..", "plugins", "echo", "echo.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(starterModule, want) {
		t.Error("starter/hello.wasm is not plugins/echo/echo.wasm; run: go generate ./host/tool")
	}
}

func TestStarterRepeatsNothingThatIsThere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, ".gitignore"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Init(dir)
	if flow.CodeOf(err) != flow.CodeWouldOverwrite || !strings.Contains(err.Error(), ".gitignore") {
		t.Errorf("got %v, want code %s that names .gitignore", err, flow.CodeWouldOverwrite)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("files were written: %v, %v", entries, err)
	}
}

func TestStarterPasses(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "demo")
	if _, err := Init(dir); err != nil {
		t.Fatal(err)
	}
	report, err := Check(t.Context(), Target{Manifest: filepath.Join(dir, ManifestName)})
	if err != nil || !report.OK || len(report.Problems) > 0 || report.Pipelines != 1 || report.Plugins != 1 {
		t.Errorf("got %+v, %v", report, err)
	}
}

func TestInspectionTellsProgramsFromModules(t *testing.T) {
	t.Parallel()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if info, err := InspectPlugin(program); err != nil || info.Kind != flow.KindProcess {
		t.Errorf("a program on %s: got %+v, %v", runtime.GOOS, info, err)
	}
	module := filepath.Join("starter", "hello.wasm")
	if info, err := InspectPlugin(module); err != nil || info.Kind != flow.KindWasm || info.Profile != "reactor" || len(info.Imports) == 0 {
		t.Errorf("a module: got %+v, %v", info, err)
	}
	if _, err := InspectPlugin(t.TempDir()); flow.CodeOf(err) != flow.CodePluginFile {
		t.Errorf("a folder: got %v", err)
	}
	if _, err := InspectPlugin(filepath.Join(t.TempDir(), "none.wasm")); flow.CodeOf(err) != flow.CodePluginMissing {
		t.Errorf("nothing: got %v", err)
	}
}

func TestConnectingWithoutAHost(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "demo")
	if _, err := Init(dir); err != nil {
		t.Fatal(err)
	}
	target := Target{Manifest: filepath.Join(dir, ManifestName)}
	if _, err := Connect(t.Context(), target, Serving); flow.CodeOf(err) != flow.CodeUnreachable {
		t.Errorf("serving: got %v, want code %s", err, flow.CodeUnreachable)
	}
	link, err := Connect(t.Context(), target, Read)
	if err != nil {
		t.Fatal(err)
	}
	runs, err := link.Runs(t.Context(), flow.RunQuery{})
	if err != nil || len(runs) != 0 {
		t.Errorf("runs: got %v, %v, want none", runs, err)
	}
	if pipelines, err := link.Pipelines(t.Context()); err != nil || len(pipelines) != 1 {
		t.Errorf("pipelines: got %v, %v, want one", pipelines, err)
	}
	if err := link.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "data")); !os.IsNotExist(err) {
		t.Errorf("looking left a trace: %v", err)
	}
}

// A data folder that cannot be looked into is not one in which nothing was recorded.
func TestDataFolderThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "demo")
	if _, err := Init(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "data"), []byte("a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	target := Target{Manifest: filepath.Join(dir, ManifestName)}
	for _, a := range []Access{Read, History, Write, Run} {
		if _, err := Connect(t.Context(), target, a); flow.CodeOf(err) != flow.CodeData {
			t.Errorf("access %d: got %v, want code %s", a, err, flow.CodeData)
		}
	}
	if _, err := Check(t.Context(), target); flow.CodeOf(err) != flow.CodeData {
		t.Errorf("check: got %v, want code %s", err, flow.CodeData)
	}
}

// A verb that comes while a host starts waits for it to serve, and looks at nothing while it makes its ledger.
func TestVerbsMeetAHostThatStarts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	target := Target{Manifest: filepath.Join(dir, ManifestName)}
	if _, err := Init(dir); err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(data, "uniflow.db"), nil, 0o600); err != nil { // so it begins
		t.Fatal(err)
	}
	link, err := Connect(t.Context(), target, History)
	if err != nil {
		t.Fatal(err)
	}
	if runs, err := link.Runs(t.Context(), flow.RunQuery{}); err != nil || len(runs) != 0 {
		t.Errorf("got %v, %v", runs, err)
	}
	if err := link.Close(); err != nil {
		t.Error(err)
	}
	h, err := host.Open(t.Context(), host.Config{Data: data, API: &host.API{Listen: "none"}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = h.Close() }()
	if _, err := Connect(t.Context(), target, Write); flow.CodeOf(err) != flow.CodeLedgerLocked {
		t.Errorf("a host that does not serve: %v", err)
	}
	started := make(chan error, 1)
	time.AfterFunc(100*time.Millisecond, func() { started <- h.Start(context.Background()) })
	link, err = Connect(t.Context(), target, Write)
	if err != nil || !link.Remote {
		t.Errorf("a host that starts: %v, %v", link, err)
	}
	if err := <-started; err != nil {
		t.Fatal(err)
	}
}
