package project_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/project"
)

// folder writes files into a new folder and returns the path of its manifest.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "uniflow.toml")
}

func module(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "..", "plugins", "echo", "echo.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestMistakesOfEveryPartComeAtOnce(t *testing.T) {
	t.Parallel()
	path := folder(t, map[string]string{"text.wasm": "not a module", "uniflow.toml": `version = 1
[plugins.text]
wasm = "text.wasm"
[plugins.none]
wasm = "none.wasm"
[pipelines.p.steps.a]
plugin = "other"
[pipelines.p.steps.b]
plugin = "none"
[pipelines.p.steps.c]
plugin = "text"
`})
	_, err := project.Load(t.Context(), path, project.Options{})
	problems, ok := errors.AsType[flow.Problems](err)
	if !ok {
		t.Fatalf("got %v", err)
	}
	lines := map[int]flow.Code{}
	for _, p := range problems.Errors() {
		if _, twice := lines[p.Line]; twice {
			t.Errorf("line %d is told twice: %v", p.Line, problems)
		}
		lines[p.Line] = p.Code
	}
	if lines[5] != flow.CodePluginMissing || lines[3] == "" || lines[7] == "" || len(lines) != 3 {
		t.Errorf("got %v", err)
	}
}

func TestPinsSayWhatRuns(t *testing.T) {
	t.Parallel()
	path := folder(t, map[string]string{"echo.wasm": module(t), "uniflow.toml": "version = 1\n[pipelines.p]\nwasm = \"echo.wasm\"\n"})
	load := func(o project.Options) (*project.Project, error) { return project.Load(t.Context(), path, o) }
	if _, err := load(project.Options{Pinned: true}); flow.CodeOf(err) != flow.CodeNotLocked {
		t.Errorf("not pinned yet: got %v", err)
	}
	if p, err := load(project.Options{}); err != nil || len(p.Plans) != 1 || !p.Plans[0].Digest.Valid() {
		t.Errorf("only looked at: got %+v, %v", p, err)
	}
	p, err := load(project.Options{Build: true})
	if err != nil || len(p.Pins) != 1 || !p.Pins[0].Changed || p.Pins[0].Built {
		t.Fatalf("got %+v, %v", p, err)
	}
	if _, err := load(project.Options{Pinned: true}); err != nil {
		t.Errorf("pinned: got %v", err)
	}
	version := p.Plans[0].Digest

	// Other bytes are another version, and nothing takes them without being told to.
	if err := os.WriteFile(filepath.Join(p.Dir, "echo.wasm"), append([]byte(module(t)), 0, 2, 1, 'x'), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, o := range []project.Options{{}, {Pinned: true}, {Build: true}} {
		if _, err := load(o); flow.CodeOf(err) != flow.CodeDigest {
			t.Errorf("changed bytes, %+v: got %v", o, err)
		}
	}
	if p, err = load(project.Options{Build: true, Accept: true}); err != nil || p.Plans[0].Digest == version {
		t.Errorf("accepted: got %+v, %v", p, err)
	}
}

func TestBuiltPluginsArePinnedApart(t *testing.T) {
	t.Parallel()
	path := folder(t, map[string]string{"from.wasm": module(t), "uniflow.toml": `version = 1
[plugins.made]
wasm  = "made.wasm"
build = ["cp", "from.wasm", "made.wasm"]
[plugins.made.grant]
mount = { "/data" = "." }
[pipelines.p]
plugin = "made"
`})
	p, err := project.Load(t.Context(), path, project.Options{})
	if err != nil || len(p.Warnings) == 0 || p.Plans[0].Digest != "" {
		t.Fatalf("not built: got %+v, %v", p, err)
	}
	if _, err := project.Load(t.Context(), path, project.Options{Pinned: true}); flow.CodeOf(err) != flow.CodePluginMissing {
		t.Errorf("not built, to be served: got %v", err)
	}
	p, err = project.Load(t.Context(), path, project.Options{Build: true})
	if err != nil || !slices.ContainsFunc(p.Pins, func(b flow.BuiltPlugin) bool { return b.Built && b.Lock == "build.lock" }) {
		t.Fatalf("got %+v, %v", p, err)
	}
	if _, err := os.Stat(filepath.Join(p.Dir, "uniflow.lock")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what was built here is pinned for everybody: %v", err)
	}
	if got := p.Plans[0].Plugins["made"].Grant.Mount["/data"]; got != p.Dir {
		t.Errorf("the mount is %q, want the absolute %q", got, p.Dir)
	}
	if _, err := project.Load(t.Context(), path, project.Options{Pinned: true}); err != nil {
		t.Errorf("built and pinned: got %v", err)
	}
}

func TestPlaceOfAKey(t *testing.T) {
	t.Parallel()
	path := folder(t, map[string]string{"echo.wasm": module(t), "uniflow.toml": "version = 1\n[pipelines.p]\nwasm = \"echo.wasm\"\nschedule = \"daily 02:00\"\n"})
	p, err := project.Load(t.Context(), path, project.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Place([]string{"pipelines", "p", "schedule"}); got != path+":4:1" {
		t.Errorf("got %s", got)
	}
	if p.Listen() != "127.0.0.1:7420" || p.Timezone() != "UTC" || p.Data != filepath.Join(p.Dir, "data") {
		t.Errorf("got %s, %s, %s", p.Listen(), p.Timezone(), p.Data)
	}
}
