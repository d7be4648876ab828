package main

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// needsToolchains reports whether what a document does takes compilers or engines beside Go. Such documents are followed by
// TestLanguageDocuments, where .ci/languages.sh has got them.
func (d *document) needsToolchains() bool {
	switch dir := path.Dir(d.name); {
	case d.name == "docs/languages/go.md", d.name == "docs/languages/plain-wasi.md":
		return false
	case dir == "plugins/python", dir == "plugins/javascript":
		return true
	default:
		return dir == "docs/languages" || path.Dir(dir) == "sdk"
	}
}

// toolchainWays are those of commands that build plugins.
func toolchainWays() []way {
	ways := []way{
		{"go build ", (*reader).goBuild},
		{"plugins/", (*reader).engine},
	}
	for _, program := range []string{"rm", "mkdir", "cp", "GOOS=wasip1", "npm", "npx", "clang", "clang++", "cargo", "zig", "nim", "wat2wasm"} {
		ways = append(ways, way{program + " ", (*reader).execute})
	}
	return ways
}

// write puts a file where the shell stands.
func (r *reader) write(b *block) {
	r.t.Helper()
	file := filepath.Join(r.dir, filepath.FromSlash(b.file))
	r.keepsBuild(file, b)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(b.text()), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

// keepsBuild holds a manifest against the one in whose place it is written: a plugin is built as `plugin new` says.
func (r *reader) keepsBuild(file string, b *block) {
	r.t.Helper()
	before, err := os.ReadFile(file)
	if err != nil || b.file != "uniflow.toml" {
		return
	}
	for _, line := range regexp.MustCompile(`(?m)^build .*$`).FindAllString(string(before), -1) {
		if !slices.Contains(b.lines, line) {
			r.t.Errorf("%s: a new plugin has the line\n%s", b.file, line)
		}
	}
}

// goBuild builds a program of the project, which the copy does not have, beside the copy.
func (r *reader) goBuild(command string) {
	r.t.Helper()
	words := strings.Fields(command)
	folder := words[len(words)-1]
	if _, err := os.Stat(filepath.Join(root, folder)); err != nil || r.dir != r.clone {
		r.t.Fatalf("%s: from %s: %v", command, r.dir, err)
	}
	for i, word := range words[:len(words)-1] {
		if word == "-o" {
			words[i+1] = filepath.Join(r.clone, words[i+1])
		}
	}
	stands := r.dir
	defer func() { r.dir = stands }()
	r.dir = root
	r.execute(strings.Join(words, " "))
}

// engine takes the engine that .ci/languages.sh has built by the same script.
func (r *reader) engine(command string) {
	r.t.Helper()
	words := strings.Fields(command)
	if len(words) != 2 || !strings.HasSuffix(words[0], "/build.sh") || !strings.Contains(r.file(".ci/languages.sh"), words[0]) {
		r.t.Fatalf("%s: .ci/languages.sh does not do it", command)
	}
	built, err := os.ReadFile(filepath.Join(root, "bin", "languages", path.Base(path.Dir(words[0]))+".wasm"))
	if err != nil {
		r.t.Fatalf("%v; run .ci/languages.sh", err)
	}
	target := filepath.Join(r.dir, words[1])
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(target, built, 0o644); err != nil {
		r.t.Fatal(err)
	}
}

// TestFilesAreNamedByTheLineBefore guards how documents name the files that they show.
func TestFilesAreNamedByTheLineBefore(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"A plugin is one file, here `quote.c`.": "quote.c",
		"`testdata/new.toml`:":                  "testdata/new.toml",
		"`Cargo.toml` has this profile:":        "",
		"With `[host]`:":                        "",
	} {
		if got := fileNamed(line); got != want {
			t.Errorf("%s: got %q, want %q", line, got, want)
		}
	}
}
