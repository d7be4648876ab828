//go:build unix

package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/plugintest/guest"
)

// program writes a file and returns the plan for it.
func program(t *testing.T, content []byte, mode os.FileMode) flow.PlanPlugin {
	t.Helper()
	path := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, content, mode); err != nil {
		t.Fatal(err)
	}
	return flow.PlanPlugin{Name: "subject", Kind: flow.KindProcess, Path: path, Digest: flow.DigestOf(content)}
}

// foreign is the program of the tests with the mark of another processor.
func foreign(t *testing.T) flow.PlanPlugin {
	t.Helper()
	content, err := os.ReadFile(subject.path)
	if err != nil {
		t.Fatal(err)
	}
	const machine = 18                             // its place in the header of ELF
	content[machine], content[machine+1] = 0x16, 0 // s390
	return program(t, content, 0o700)
}

func play(part string) flow.PlanPlugin { return plan(map[string]string{"PLAY": part}) }

func TestLoadRefusesWhatIsNoPlugin(t *testing.T) {
	t.Parallel()
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o700); err != nil {
		t.Fatal(err)
	}
	other := plan(nil)
	other.Digest = flow.DigestOf(nil)
	for name, c := range map[string]struct {
		plugin flow.PlanPlugin
		code   flow.Code
		says   string
	}{
		"missing":             {flow.PlanPlugin{Path: "/no/such/file"}, flow.CodeProcessFile, "/no/such/file does not exist"},
		"folder":              {flow.PlanPlugin{Path: t.TempDir()}, flow.CodeProcessFile, "is a folder"},
		"named pipe":          {flow.PlanPlugin{Path: pipe}, flow.CodeProcessFile, "no regular file"},
		"not executable":      {program(t, []byte("#!/bin/sh\n"), 0o600), flow.CodeProcessFile, "is not executable"},
		"other bytes":         {other, flow.CodeProcessDigest, string(subject.digest)},
		"no program":          {program(t, []byte("just text\n"), 0o700), flow.CodeProcessFormat, "is not a program for linux/"},
		"empty file":          {program(t, nil, 0o700), flow.CodeProcessFormat, "is not a program for linux/"},
		"other processor":     {foreign(t), flow.CodeProcessFormat, "is not a program for linux/"},
		"missing interpreter": {program(t, []byte("#!/no/such/interpreter\n"), 0o700), flow.CodeProcessFormat, "interpreter"},
		"prints something":    {play("garbage"), flow.CodeProcessHandshake, `found "hello, I am no plugin`},
		"prints a long line":  {play("long"), flow.CodeProcessHandshake, `found "xxx`},
		"ends":                {play("exit"), flow.CodeProcessHandshake, `ended with exit code 3 before it answered as a plugin; it printed "cannot find my configuration"`},
		"other version":       {play("version"), flow.CodeProcessVersion, `speaks protocol version "7", this host speaks 1`},
		"other transport":     {play("netrpc"), flow.CodeProcessHandshake, `speaks "netrpc", expected grpc`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			refuses(t, newRuntime(t, Config{}), c.plugin, c.code, c.says)
		})
	}
	for _, part := range []string{"silent", "deaf"} {
		t.Run(part, func(t *testing.T) {
			t.Parallel()
			refuses(t, newRuntime(t, Config{Start: 500 * time.Millisecond}), play(part), flow.CodeProcessStart, "did not answer as a plugin within 500ms")
		})
	}
}

func refuses(t *testing.T, r *Runtime, p flow.PlanPlugin, code flow.Code, says string) {
	t.Helper()
	_, err := r.Load(t.Context(), p)
	if flow.CodeOf(err) != code || !strings.Contains(err.Error(), says) {
		t.Errorf("got %s %v\nwant %s with %q", flow.CodeOf(err), err, code, says)
	}
	if len(err.Error()) > 2000 {
		t.Errorf("the message has %d bytes", len(err.Error()))
	}
}

func TestLoadEndsWithItsContext(t *testing.T) {
	t.Parallel()
	r := newRuntime(t, Config{})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := r.Load(ctx, play("silent")); !errors.Is(err, context.DeadlineExceeded) || flow.CodeOf(err) != "" {
		t.Errorf("got %v, want the end of the context", err)
	}
	// What was cut short is no reason to refuse the next.
	load(t, r, plan(nil))
}

func TestLoadIsCachedByDigestAndGrant(t *testing.T) {
	t.Parallel()
	r := newRuntime(t, Config{})
	first := load(t, r, plan(nil))
	gone := plan(nil)
	gone.Path = "/no/such/file"
	if again := load(t, r, gone); again != first {
		t.Error("the same digest was loaded anew")
	}
	if other := load(t, r, plan(map[string]string{"GRANTED": "yes"})); other == first {
		t.Error("another grant got the same module")
	}
	d, err := r.Describe(t.Context(), plan(nil))
	if err != nil || d.Name != "subject" || d.Version != "1.2.3" {
		t.Errorf("descriptor %+v, %v", d, err)
	}
}

func TestSideBySideLoadsShareOneModule(t *testing.T) {
	t.Parallel()
	r := newRuntime(t, Config{})
	modules := make([]flow.Module, 8)
	var all sync.WaitGroup
	for i := range modules {
		all.Go(func() { modules[i], _ = r.Load(t.Context(), plan(nil)) })
	}
	all.Wait()
	for _, m := range modules {
		if m == nil || m != modules[0] {
			t.Fatalf("modules differ: %v", modules)
		}
	}
	if got := r.started.Load(); got != 1 {
		t.Errorf("%d processes were started, want 1", got)
	}
}

// TestExchangedFileIsNeverExecuted exchanges the file all the time: what is kept for execution is what was checked.
func TestExchangedFileIsNeverExecuted(t *testing.T) {
	t.Parallel()
	r := newRuntime(t, Config{})
	dir := t.TempDir()
	path, evidence := filepath.Join(dir, "program"), filepath.Join(dir, "executed")
	good, bad := []byte("#!/bin/sh\nexit 3\n"), fmt.Appendf(nil, "#!/bin/sh\ntouch %s\n", evidence)
	stop := exchange(t, path, good, bad)
	taken := 0
	for range 1000 {
		copied, err := r.takeFile(t.Context(), flow.PlanPlugin{Name: "x", Path: path, Digest: flow.DigestOf(good)})
		if err != nil {
			if flow.CodeOf(err) != flow.CodeProcessDigest {
				t.Fatal(err)
			}
			continue
		}
		taken++
		if got, err := os.ReadFile(copied); err != nil || !bytes.Equal(got, good) {
			t.Fatalf("kept %q, %v", got, err)
		}
		if err := os.Remove(copied); err != nil {
			t.Fatal(err)
		}
	}
	for range 50 {
		_ = os.Remove(filepath.Join(r.programs, flow.DigestOf(good).Hex()))
		_, err := r.Load(t.Context(), flow.PlanPlugin{Name: "x", Path: path, Digest: flow.DigestOf(good)})
		if code := flow.CodeOf(err); code != flow.CodeProcessDigest && code != flow.CodeProcessHandshake {
			t.Fatal(err)
		}
	}
	stop()
	if _, err := os.Stat(evidence); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the other program was executed (%v)", err)
	}
	t.Logf("the right file was seen %d times of 1000", taken)
}

// exchange puts one content after the other at path until stop is called.
func exchange(t *testing.T, path string, contents ...[]byte) (stop func()) {
	t.Helper()
	put := func(content []byte) {
		next := path + ".next"
		if err := errors.Join(os.WriteFile(next, content, 0o700), os.Rename(next, path)); err != nil {
			t.Error(err)
		}
	}
	put(contents[0])
	done := make(chan struct{})
	var working sync.WaitGroup
	working.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			default:
				put(contents[i%len(contents)])
			}
		}
	})
	return sync.OnceFunc(func() {
		close(done)
		working.Wait()
	})
}

func TestFileWrittenAfterLoadIsNotExecuted(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile(subject.path)
	if err != nil {
		t.Fatal(err)
	}
	p := program(t, content, 0o700)
	m := load(t, newRuntime(t, Config{Idle: -1}), p)
	if err := os.WriteFile(p.Path, []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second one has a process of its own
		succeed(t, m, guest.With{Behaviour: "identify"})
	}
}

// Paths of sockets are bounded by the system. A host without processes does not mind.
func TestFoldersTooLongForSockets(t *testing.T) {
	long := filepath.Join(t.TempDir(), strings.Repeat("x", 80))
	if err := os.Mkdir(long, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", long)
	r := newRuntime(t, Config{Dir: filepath.Join(long, "data")})
	_, err := r.Load(t.Context(), plan(nil))
	if e, ok := errors.AsType[*flow.Error](err); !ok || e.Code != flow.CodeProcessHost || !strings.Contains(e.Error(), "too long") || !strings.Contains(e.Hint, "TMPDIR") {
		t.Errorf("got %v", err)
	}
}

func TestFoldersOfEarlierHostAreEmptied(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	left := filepath.Join(dir, "process", "run", "1")
	mine := filepath.Join(dir, "mine")
	if err := errors.Join(os.MkdirAll(left, 0o700), os.WriteFile(mine, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	r := newRuntime(t, Config{Dir: dir})
	if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the rest of an earlier host is there (%v)", err)
	}
	if err := r.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 2 || left[0].Name() != "compiled" || left[1].Name() != "mine" {
		t.Errorf("after Close the folder holds %v, want only what is kept and what is not ours", left)
	}
}

func TestFolderThatCannotBeMade(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Config{Logger: quiet(), Dir: file}); flow.CodeOf(err) != flow.CodeProcessHost {
		t.Errorf("got %v, want %s", err, flow.CodeProcessHost)
	}
}
