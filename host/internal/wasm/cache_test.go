package wasm_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/plugintest/guest"
	"github.com/uniflow-dev/uniflow/host/internal/wasm"
	bt "github.com/uniflow-dev/uniflow/host/internal/wasm/binary/binarytest"
)

// seals keeps seals in memory.
type seals struct {
	mu     sync.Mutex
	byName map[string]flow.Digest
}

func (s *seals) Seal(_ context.Context, name string) (flow.Digest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, ok := s.byName[name]
	if !ok {
		return "", fmt.Errorf("seal %s: %w", name, flow.ErrNotFound)
	}
	return d, nil
}

func (s *seals) PutSeal(_ context.Context, name string, d flow.Digest) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.byName[name] = d
	return nil
}

// codeIn returns the files of machine code below a folder.
func codeIn(t *testing.T, dir string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.Contains(path, "wazero-") {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// returning is a guest whose entry returns a number.
func returning(n int) []byte {
	b, _ := reactor()
	return entry(b, 0, bt.Const(n))
}

// Machine code that is whole, and made from a module by the engine itself, is not executed under another module's name.
func TestStrangersCodeIsNotLoaded(t *testing.T) {
	t.Parallel()
	dir, known := t.TempDir(), &seals{byName: map[string]flow.Digest{}}
	ok, failing := pluginOf(t, returning(0)), pluginOf(t, returning(1))
	verdict := func(p flow.PlanPlugin) flow.Verdict {
		m, err := newRuntime(t, wasm.Config{CacheDir: dir, Seals: known}).Load(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		result, _, err := again(t, m, guest.With{})
		if err != nil {
			t.Fatal(err)
		}
		return result.Verdict
	}
	verdict(failing)
	strange := codeIn(t, dir)
	if len(strange) != 1 || len(known.byName) != 1 {
		t.Fatalf("files %v, seals %v", strange, known.byName)
	}
	code, err := os.ReadFile(strange[0])
	if err != nil {
		t.Fatal(err)
	}
	verdict(ok)
	var own string
	for _, file := range codeIn(t, dir) {
		if file != strange[0] {
			own = file
		}
	}
	entryOf := func(code string) string { return filepath.Dir(filepath.Dir(code)) }
	module, err := os.ReadFile(filepath.Join(entryOf(strange[0]), "module.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	for _, harm := range []func(){
		func() { err = os.WriteFile(filepath.Join(entryOf(own), "module.wasm"), module, 0o600) }, // what another one was made of
		func() { err = os.WriteFile(own, code, 0o600) },                                          // another module's
		func() { known.mu.Lock(); clear(known.byName); known.mu.Unlock() },                       // of an earlier ledger
		func() { err = os.WriteFile(filepath.Join(filepath.Dir(own), "more"), nil, 0o600) },      // something beside it
		func() { err = os.Remove(own) },                                                          // nothing
		func() { err = os.Chmod(own, 0o400); _ = os.Truncate(own, 10) },                          // half of it
		func() {
			err = os.RemoveAll(filepath.Dir(own))
			_ = os.WriteFile(filepath.Dir(own), []byte("a file"), 0o600)
		}, // a file in place of its folder
	} {
		if harm(); err != nil {
			t.Fatal(err)
		}
		if got := verdict(ok); got != flow.VerdictOK {
			t.Fatalf("the verdict is %v: another module's code was executed", got)
		}
		if got, err := os.ReadFile(own); err != nil || bytes.Equal(got, code) || len(codeIn(t, dir)) != 2 {
			t.Fatalf("the cache has not healed: %v, %v", err, codeIn(t, dir))
		}
	}
}

func TestTheCacheIsBounded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for n := range 3 {
		rt := newRuntime(t, wasm.Config{CacheDir: dir, MaxCache: 1})
		if _, err := rt.Load(t.Context(), pluginOf(t, returning(n))); err != nil {
			t.Fatal(err)
		}
		if files := codeIn(t, dir); len(files) != 1 {
			t.Errorf("after %d modules: %v, want the newest alone", n+1, files)
		}
	}
	// Where there is room, what is used stays.
	old, young := pluginOf(t, returning(10)), pluginOf(t, returning(11))
	for _, p := range []flow.PlanPlugin{old, young, old} {
		rt := newRuntime(t, wasm.Config{CacheDir: dir})
		if _, err := rt.Load(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
	if files := codeIn(t, dir); len(files) != 3 {
		t.Errorf("files %v, want 3", files)
	}
}
