package blob

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

func openStore(t *testing.T) (*Store, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "artifacts")
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, dir
}

// files returns the files below dir, relative to it.
func files(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			all = append(all, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func put(t *testing.T, s *Store, tenant, content string) flow.Digest {
	t.Helper()
	d, size, err := s.Put(t.Context(), tenant, strings.NewReader(content), int64(len(content)))
	if err != nil || size != int64(len(content)) || d != flow.DigestOf([]byte(content)) {
		t.Fatalf("put: %s, %d, %v", d, size, err)
	}
	return d
}

func get(s *Store, tenant string, d flow.Digest) (string, error) {
	r, err := s.Get(context.Background(), tenant, d)
	if err != nil {
		return "", err
	}
	content, err := io.ReadAll(r)
	return string(content), errors.Join(err, r.Close())
}

func TestWhatWasPutIsRead(t *testing.T) {
	t.Parallel()
	s, dir := openStore(t)
	for _, content := range []string{"", "hello", strings.Repeat("long ", 100_000)} {
		d := put(t, s, "default", content)
		if got, err := get(s, "default", d); err != nil || got != content {
			t.Errorf("%d bytes: %d read, %v", len(content), len(got), err)
		}
		want := filepath.Join(dir, "default", "sha256", d.Hex()[:2], d.Hex())
		if _, err := os.Stat(want); err != nil {
			t.Error(err)
		}
	}
	if names := files(t, dir); len(names) != 3 {
		t.Errorf("files %v", names)
	}
}

func TestTenantsAreApart(t *testing.T) {
	t.Parallel()
	s, _ := openStore(t)
	d := put(t, s, "acme", "secret")
	if _, err := get(s, "default", d); !errors.Is(err, flow.ErrNotFound) {
		t.Fatalf("another tenant's artifact: %v", err)
	}
}

func TestOverTheLimitNothingIsKept(t *testing.T) {
	t.Parallel()
	s, dir := openStore(t)
	for _, limit := range []int64{-1, 0, 4} {
		if _, _, err := s.Put(t.Context(), "default", strings.NewReader("hello"), limit); !errors.Is(err, flow.ErrTooLarge) {
			t.Errorf("limit %d: %v", limit, err)
		}
	}
	broken := errors.New("broken")
	if _, _, err := s.Put(t.Context(), "default", io.MultiReader(strings.NewReader("half"), failing{broken}), 100); !errors.Is(err, broken) {
		t.Errorf("a reader that fails: %v", err)
	}
	gone := errors.New("gone")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(gone)
	if _, _, err := s.Put(ctx, "default", strings.NewReader("hello"), 100); !errors.Is(err, gone) {
		t.Errorf("a caller that is gone: %v", err)
	}
	if names := files(t, dir); len(names) != 0 {
		t.Errorf("files %v", names)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestHostileNamesReachNothing(t *testing.T) {
	t.Parallel()
	s, dir := openStore(t)
	if err := os.WriteFile(filepath.Join(dir, "..", "outside"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	good := put(t, s, "default", "hello")
	for _, d := range []flow.Digest{"", "sha256:", "sha256:../../outside", "../outside", flow.Digest("md5:" + good.Hex()), flow.Digest(strings.ToUpper(string(good))), good + "/../x", flow.Digest("sha256:" + strings.Repeat("/", 64)), flow.Digest(strings.Repeat("x", 1<<20))} {
		if _, err := get(s, "default", d); !errors.Is(err, flow.ErrNotFound) || len(err.Error()) > 500 {
			t.Errorf("digest %.40q: %.200v", d, err)
		}
	}
	for _, tenant := range []string{"", ".", "..", "../default", "a/b", "/", "default/", "A", "a\x00b"} {
		if _, err := get(s, tenant, good); !errors.Is(err, flow.ErrNotFound) {
			t.Errorf("tenant %q: %v", tenant, err)
		}
		if _, _, err := s.Put(t.Context(), tenant, strings.NewReader("x"), 1); err == nil {
			t.Errorf("tenant %q was taken", tenant)
		}
	}
	if err := os.Symlink(t.TempDir(), filepath.Join(dir, "linked")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Put(t.Context(), "linked", strings.NewReader("x"), 1); flow.CodeOf(err) != flow.CodeArtifactIO {
		t.Errorf("a way out of the folder: %v", err)
	}
}

func TestADamagedArtifactIsNoticedAndPutAgain(t *testing.T) {
	t.Parallel()
	s, dir := openStore(t)
	d := put(t, s, "default", "hello")
	file := filepath.Join(dir, "default", "sha256", d.Hex()[:2], d.Hex())
	if err := os.WriteFile(file, []byte("hullo"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := get(s, "default", d); flow.CodeOf(err) != flow.CodeArtifactDamaged {
		t.Fatalf("changed bytes: %v", err)
	}
	put(t, s, "default", "hello")
	if got, err := get(s, "default", d); err != nil || got != "hello" {
		t.Fatalf("put again: %q, %v", got, err)
	}
}

func TestTheSameContentFromManySides(t *testing.T) {
	t.Parallel()
	s, dir := openStore(t)
	content := bytes.Repeat([]byte("same "), 10_000)
	var wait sync.WaitGroup
	for range 16 {
		wait.Go(func() {
			d, _, err := s.Put(t.Context(), "default", bytes.NewReader(content), int64(len(content)))
			if err != nil {
				t.Error(err)
				return
			}
			if got, err := get(s, "default", d); err != nil || got != string(content) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
		})
	}
	wait.Wait()
	if names := files(t, dir); len(names) != 1 {
		t.Errorf("files %v", names)
	}
}

func TestSweepTakesWhatNobodyWants(t *testing.T) {
	t.Parallel()
	s, dir := openStore(t)
	old := time.Now().Add(-2 * time.Hour)
	putAt := func(content string, at time.Time) flow.Digest {
		d := put(t, s, "acme", content)
		if err := os.Chtimes(filepath.Join(dir, place("acme", d)), at, at); err != nil {
			t.Fatal(err)
		}
		return d
	}
	wanted, garbage, young := putAt("wanted", old), putAt("garbage", old), putAt("young", time.Now())
	half := filepath.Join(dir, "acme", "tmp", "half")
	if err := os.WriteFile(half, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(half, old, old); err != nil {
		t.Fatal(err)
	}
	n, err := s.Sweep(t.Context(), time.Now().Add(-time.Hour), func(tenant string, d flow.Digest) (bool, error) {
		return tenant == "acme" && d == wanted, nil
	})
	if n != 2 || err != nil {
		t.Errorf("removed %d, %v; want 2", n, err)
	}
	for d, there := range map[flow.Digest]bool{wanted: true, garbage: false, young: true} {
		if content, err := get(s, "acme", d); there != (err == nil) {
			t.Errorf("%q: %v", content, err)
		}
	}
	if _, err := os.Stat(half); err == nil {
		t.Error("what was half written is still there")
	}
}
