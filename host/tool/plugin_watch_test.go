package tool

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// writeEcho makes a folder with the echo plugin, a manifest and a case.
func writeEcho(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, body := range map[string][]byte{
		"echo.wasm":           starterModule,
		ManifestName:          []byte("version = 1\n[plugins.echo]\nwasm = \"echo.wasm\"\n[pipelines.echo]\nplugin = \"echo\"\n"),
		"testdata/first.toml": []byte("with = { a = 1 }\n[expect.outputs]\nwith = { a = 1 }\ncontext = {}\n"),
	} {
		if err := create(filepath.Join(dir, name), body); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestDevRunsAgainWhenAFileChanges(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	dir := writeEcho(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	events := make(chan flow.PluginEvent)
	done := make(chan error, 1)
	go func() {
		w := PluginWatch{Target: Target{Manifest: filepath.Join(dir, ManifestName)}, Interval: 20 * time.Millisecond}
		done <- WatchPlugins(ctx, w, func(e flow.PluginEvent) { events <- e })
	}()
	next := func() flow.PluginEvent {
		select {
		case e := <-events:
			return e
		case err := <-done:
			t.Fatalf("the watch ended: %v", err)
		}
		return flow.PluginEvent{}
	}
	if e := next(); e.Tests == nil || !e.Tests.OK || e.Changed != "" || e.Problem != "" {
		t.Fatalf("first round: %+v", e)
	}
	one := filepath.Join(dir, "testdata", "first.toml")
	change(t, one, "with = { a = 2 }\n[expect.outputs]\nwith = { a = 1 }\ncontext = {}\n")
	if e := next(); e.Tests == nil || e.Tests.OK || e.Changed != one {
		t.Errorf("after a change: %+v", e)
	}
	change(t, filepath.Join(dir, ManifestName), "version = 2\n")
	if e := next(); e.Problem == "" || e.Tests != nil {
		t.Errorf("after a mistake: %+v", e)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("after the end: %v", err)
	}
}

func change(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestDevRefusesAFolderThatIsNoPlugin(t *testing.T) {
	t.Parallel()
	if _, err := snapshot(filepath.Join(t.TempDir(), "none"), nil); err != nil {
		t.Errorf("a folder that is gone: %v", err)
	}
	err := WatchPlugins(t.Context(), PluginWatch{Target: Target{Manifest: filepath.Join(t.TempDir(), ManifestName)}, Rounds: 1}, func(e flow.PluginEvent) {
		if e.Problem == "" {
			t.Errorf("got %+v, want that the manifest is missing", e)
		}
	})
	if err != nil {
		t.Error(err)
	}
}
