package tool

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/manifest"
)

// TestTemplatesAreWhole begins a plugin in every language; that it builds is tested where its compiler is.
func TestTemplatesAreWhole(t *testing.T) {
	t.Parallel()
	for _, language := range Languages() {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			files, err := StartPlugin(NewPlugin{Name: "my-greet", Language: language, Dir: dir})
			if err != nil {
				t.Fatal(err)
			}
			if files[0] != filepath.Join(dir, ManifestName) {
				t.Errorf("the first file is %s, want the manifest", files[0])
			}
			for _, file := range files {
				text, err := os.ReadFile(file)
				if err != nil || len(text) == 0 {
					t.Errorf("%s: %d bytes, %v", file, len(text), err)
				}
				for _, place := range []string{placeName, placeIdent, "__TITLE__", "__KIT__", "__NEEDS__", "__PLUGIN__", "__IGNORE__", "__REQUIRE"} {
					if strings.Contains(file+string(text), place) {
						t.Errorf("%s: %s is not filled in", file, place)
					}
				}
				if strings.HasSuffix(file, "_test.go") && filepath.Dir(file) != dir {
					t.Errorf("%s is a test of the kit", file)
				}
			}
			if _, err := manifest.Load(filepath.Join(dir, ManifestName)); err != nil {
				t.Error(err)
			}
			if cases, err := readCases(filepath.Join(dir, casesFolder)); err != nil || len(cases) != 2 {
				t.Errorf("%d cases, %v", len(cases), err)
			}
			readme, err := os.ReadFile(filepath.Join(dir, "README.md"))
			if lines := strings.Count(string(readme), "\n"); err != nil || lines > 12 {
				t.Errorf("a README of %d lines, %v", lines, err)
			}
			if _, err := StartPlugin(NewPlugin{Name: "my-greet", Language: language, Dir: dir}); flow.CodeOf(err) != flow.CodeWouldOverwrite {
				t.Errorf("a second time: %v", err)
			}
		})
	}
}

func TestEnginesAreCopied(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	engine := filepath.Join(dir, "some.wasm")
	if err := create(engine, starterModule); err != nil {
		t.Fatal(err)
	}
	if _, err := StartPlugin(NewPlugin{Name: "greet", Language: "python", Dir: filepath.Join(dir, "greet"), Engine: engine}); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "greet", EngineOf("python"))); err != nil || len(b) != len(starterModule) {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	_, err := StartPlugin(NewPlugin{Name: "greet", Language: "python", Dir: filepath.Join(dir, "other"), Engine: filepath.Join(dir, "greet", "greet.py")})
	if flow.CodeOf(err) != flow.CodeNotWasm {
		t.Errorf("an engine that is none: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "other")); err == nil {
		t.Error("files were written all the same")
	}
}
