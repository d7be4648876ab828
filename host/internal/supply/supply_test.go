package supply

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/uniflow-dev/uniflow/host/flow"
)

func folder(t *testing.T) (*Folder, string) {
	t.Helper()
	dir := t.TempDir()
	f, err := OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f, dir
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestResolveReadsWithinTheFolder(t *testing.T) {
	t.Parallel()
	f, dir := folder(t)
	outside := filepath.Join(t.TempDir(), "outside")
	write(t, outside, "secret")
	write(t, filepath.Join(dir, "a.wasm"), "bytes")
	if err := os.Symlink(outside, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	got, err := f.Resolve("a.wasm")
	if err != nil || got.Digest != flow.DigestOf([]byte("bytes")) || got.Path != filepath.Join(dir, "a.wasm") {
		t.Fatalf("got %+v, %v", got, err)
	}
	b, read, err := f.Read("a.wasm")
	if err != nil || string(b) != "bytes" || read.Digest != got.Digest {
		t.Errorf("got %q, %+v, %v", b, read, err)
	}
	if _, err := f.Resolve("none.wasm"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: got %v", err)
	}
	for _, name := range []string{"link", "../outside", "sub", outside} {
		if _, err := f.Resolve(name); flow.CodeOf(err) != flow.CodePluginFile {
			t.Errorf("%s: got %v, want code %s", name, err, flow.CodePluginFile)
		}
	}
}

func TestBuildRunsWordsWithoutAShell(t *testing.T) {
	t.Parallel()
	f, dir := folder(t)
	write(t, filepath.Join(dir, "main.go"), `package main

import ("fmt"; "os")

func main() {
	if err := os.WriteFile("made", []byte(os.Getenv("WORD")+os.Args[1]), 0o600); err != nil { panic(err) }
	if len(os.Args) > 2 { fmt.Println("reason: " + os.Args[2]); os.Exit(3) }
}
`)
	ctx := context.Background()
	if err := f.Build(ctx, "p", []string{"WORD=it is ", "go", "run", "main.go", "$HOME; echo"}); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(filepath.Join(dir, "made")); string(got) != "it is $HOME; echo" {
		t.Errorf("got %q", got)
	}
	err := f.Build(ctx, "p", []string{"go", "run", "main.go", "x", "no flour"})
	if flow.CodeOf(err) != flow.CodeBuild || !strings.Contains(err.Error(), "reason: no flour") {
		t.Errorf("got %v", err)
	}
	if err := f.Build(ctx, "p", []string{"A=b"}); flow.CodeOf(err) != flow.CodeBuild {
		t.Errorf("no program: got %v", err)
	}
}
