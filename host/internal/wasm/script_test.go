package wasm

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/plugintest"
	"github.com/uniflow-dev/uniflow/host/internal/plugintest/guest"
)

// engineAt builds the engine of testdata and returns it as a plugin with the script at path.
func engineAt(t *testing.T, path string) flow.PlanPlugin {
	t.Helper()
	module := filepath.Join(t.TempDir(), "engine.wasm")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags=-s -w", "-buildmode=c-shared", "-o", module, "./testdata/engine")
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	b, err := os.ReadFile(module)
	if err != nil {
		t.Fatal(err)
	}
	p := flow.PlanPlugin{Name: "score", Kind: flow.KindWasm, Path: module, Digest: flow.DigestOf(b)}
	return scripted(t, p, path)
}

// scripted gives an engine another script.
func scripted(t *testing.T, p flow.PlanPlugin, path string) flow.PlanPlugin {
	t.Helper()
	s, err := ReadScript(os.DirFS(filepath.Dir(path)), filepath.Base(path))
	if err != nil {
		t.Fatal(err)
	}
	p.Script = &flow.PlanScript{Path: path, Digest: s.Digest, Entry: s.Entry}
	return p
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func callScript(t *testing.T, r *Runtime, p flow.PlanPlugin, with map[string]any) (flow.Result, error) {
	t.Helper()
	m, err := r.Load(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	call := plugintest.NewCall(t, guest.With{})
	call.Context.Function = "score"
	for name, value := range with {
		doc, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		call.Context.With[name] = doc
	}
	return m.Call(t.Context(), call, plugintest.NewHost(t.Context()))
}

// A script is read once, before the first attempt, and every attempt begins in the state that its engine has then.
func TestScriptIsKeptWithItsEngine(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "one.txt"), "first")
	write(t, filepath.Join(dir, "two", "main.txt"), "second")
	write(t, filepath.Join(dir, "two", "lib", "part.txt"), "part")
	one := engineAt(t, filepath.Join(dir, "one.txt"))
	two := scripted(t, one, filepath.Join(dir, "two"))
	r, err := New(t.Context(), Config{})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		wantScript(t, r, one, nil, `"first"`)
		wantScript(t, r, two, map[string]any{"beside": "lib/part.txt"}, `"second"`)
	}
	e, release, err := r.acquire(t.Context(), one)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	for key := range e.pools {
		if !e.pools[key].isReady() {
			t.Errorf("no instance of %q is kept", key.plugin)
		}
	}
	if len(e.pools) != 2 {
		t.Errorf("%d pools, want one for each script", len(e.pools))
	}
}

func wantScript(t *testing.T, r *Runtime, p flow.PlanPlugin, with map[string]any, text string) {
	t.Helper()
	result, err := callScript(t, r, p, with)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"script": text, "reads": "1", "calls": "1", "function": `"score"`} {
		if got := string(result.Outputs[name]); got != want {
			t.Errorf("%s = %s, want %s (%s)", name, got, want, result.Message)
		}
	}
}

// An instance that leaves a file open is not used again; the next attempt does not notice.
func TestScriptThatLeavesAFileOpen(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "one.txt")
	write(t, path, "first")
	p := engineAt(t, path)
	r, err := New(t.Context(), Config{})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		wantScript(t, r, p, map[string]any{"leave": true}, `"first"`)
	}
	e, release, err := r.acquire(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	for key := range e.pools {
		if e.pools[key].isReady() {
			t.Error("an instance with an open file is kept")
		}
	}
}

// What runs is what was planned: a script that was changed since is refused, one that is loaded stays as it was.
func TestScriptIsWhatWasPlanned(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "one.txt")
	write(t, path, "first")
	p := engineAt(t, path)
	r, err := New(t.Context(), Config{})
	if err != nil {
		t.Fatal(err)
	}
	wantScript(t, r, p, nil, `"first"`)
	write(t, path, "changed")
	wantScript(t, r, p, nil, `"first"`)
	other, err := New(t.Context(), Config{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Load(t.Context(), p); flow.CodeOf(err) != flow.CodeModuleDigest {
		t.Errorf("error %v, want %s", err, flow.CodeModuleDigest)
	}
}

func TestReadScriptTellsWhatIsWrong(t *testing.T) {
	t.Parallel()
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	many := fstest.MapFS{"big/main.py": file("")}
	for i := range maxScriptFiles {
		many["big/"+strings.Repeat("x", i%200+1)+string(rune('a'+i/200))] = file("")
	}
	for name, c := range map[string]struct {
		root fstest.MapFS
		want string
	}{
		"no main":  {fstest.MapFS{"s/a.py": file("")}, "no file that is called main"},
		"two":      {fstest.MapFS{"s/main.py": file(""), "s/main.js": file("")}, "more than one file"},
		"too many": {fstest.MapFS{"s/main.py": file(""), "s/big": file(strings.Repeat("x", maxScriptBytes+1))}, "at most"},
	} {
		_, err := ReadScript(c.root, "s")
		if flow.CodeOf(err) != flow.CodePluginFile || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one that says %q", name, err, c.want)
		}
	}
	if _, err := ReadScript(many, "big"); flow.CodeOf(err) != flow.CodePluginFile {
		t.Errorf("more than %d files: error %v", maxScriptFiles, err)
	}
	if _, err := ReadScript(fstest.MapFS{}, "none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: error %v", err)
	}
	got, err := ReadScript(fstest.MapFS{"s/main.py": file("a"), "s/.git/x": file(""), "s/__pycache__/y": file(""), "s/lib/z.py": file("b")}, "s")
	if err != nil || got.Entry != "main.py" || len(got.files) != 2 {
		t.Errorf("got %+v, %v, want main.py and lib/z.py", got, err)
	}
	if err := fstest.TestFS(got, "main.py", "lib/z.py"); err != nil {
		t.Error(err)
	}
}
