//go:build unix

package supply

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// tricks is a server by TLS with one trick a path.
func tricks(t *testing.T) *httptest.Server {
	t.Helper()
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("plain")) }))
	t.Cleanup(plain.Close)
	mux := http.NewServeMux()
	mux.HandleFunc("/good", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("good")) })
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/good", http.StatusFound) })
	mux.HandleFunc("/down", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, plain.URL+"/x", http.StatusFound) })
	mux.HandleFunc("/round", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/round", http.StatusFound) })
	mux.HandleFunc("/silent", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("/drips", func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			_, _ = w.Write([]byte("x"))
			_ = http.NewResponseController(w).Flush()
			time.Sleep(time.Millisecond)
		}
	})
	mux.HandleFunc("/endless", func(w http.ResponseWriter, r *http.Request) {
		for block := make([]byte, 1<<20); r.Context().Err() == nil; {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	})
	server := httptest.NewTLSServer(mux)
	t.Cleanup(server.Close)
	return server
}

func TestFetchIsBoundedInTimeBytesAndRedirects(t *testing.T) {
	t.Parallel()
	server := tricks(t)
	f := Fetcher{Transport: server.Client().Transport}
	for _, at := range []string{"/good", "/moved"} {
		if got, err := f.Fetch(t.Context(), server.URL+at+"?token=x"); err != nil || string(got.Bytes) != "good" || strings.Contains(got.From, "token") {
			t.Errorf("%s: got %+v, %v", at, got, err)
		}
	}
	for at, want := range map[string]string{"/down": "a redirect leads from https://", "/round": "more than 5 redirects", "/none": "there is nothing", "/endless": "it has more than 64MiB"} {
		if got, err := f.Fetch(t.Context(), server.URL+at); flow.CodeOf(err) != flow.CodeDownload || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %d bytes, %v; want %s", at, len(got.Bytes), err, want)
		}
	}
	f.Time = 100 * time.Millisecond
	for _, at := range []string{"/silent", "/drips"} {
		if _, err := f.Fetch(t.Context(), server.URL+at); flow.CodeOf(err) != flow.CodeDownload || !strings.Contains(err.Error(), "within 100ms") {
			t.Errorf("%s: got %v", at, err)
		}
	}
	for _, source := range []string{"ftp://example.com/x", "https://user:word@example.com/x", "https:///x", "oci://example.com", "oci://example.com/A:1"} {
		if _, err := f.Fetch(t.Context(), source); flow.CodeOf(err) != flow.CodeDownload || strings.Contains(err.Error(), "word") {
			t.Errorf("%s: got %v", source, err)
		}
	}
	// Nobody vouches for this server where its certificate is not known.
	if _, err := (Fetcher{}).Fetch(t.Context(), server.URL+"/good"); flow.CodeOf(err) != flow.CodeDownload {
		t.Errorf("a certificate that nobody knows: got %v", err)
	}
}

func TestAPipeInThePlaceOfAFileMakesNobodyWait(t *testing.T) {
	t.Parallel()
	f, dir := folder(t)
	for _, name := range []string{"p.wasm", LockName} {
		if err := syscall.Mkfifo(filepath.Join(dir, name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.Resolve("p.wasm"); flow.CodeOf(err) != flow.CodePluginFile {
		t.Errorf("got %v", err)
	}
	if _, err := ReadLock(filepath.Join(dir, LockName)); flow.CodeOf(err) != flow.CodeLock {
		t.Errorf("got %v", err)
	}
	if _, err := (Fetcher{}).Fetch(context.Background(), filepath.Join(dir, "p.wasm")); flow.CodeOf(err) != flow.CodePluginFile {
		t.Errorf("got %v", err)
	}
}

func TestWriteStaysInTheFolder(t *testing.T) {
	t.Parallel()
	f, dir := folder(t)
	if err := f.Write("a/b.wasm", []byte("x")); err != nil {
		t.Fatal(err)
	}
	outside := t.TempDir()
	if err := os.Symlink(outside, filepath.Join(dir, "out")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"out/x", "../x"} {
		if err := f.Write(name, nil); flow.CodeOf(err) != flow.CodePluginFile {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if found, _ := os.ReadDir(outside); len(found) > 0 {
		t.Errorf("written outside: %v", found)
	}
	if found, _ := os.ReadDir(filepath.Join(dir, "a")); len(found) != 1 {
		t.Errorf("more than the file is there: %v", found)
	}
}
