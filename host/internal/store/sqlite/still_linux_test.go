package sqlite

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// unprivileged has the rest of the test meet the permissions of files also where root runs it: they hold for one thread.
func unprivileged(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		return
	}
	runtime.LockOSThread() // and never unlocked: the thread ends with the test
	if _, err := unix.SetfsuidRetUid(65534); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = unix.SetfsuidRetUid(0) }) // for the cleanups of before
}

// sealed makes a folder with files of a ledger that cannot be written.
func sealed(t *testing.T, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(file)), content, 0o444); err != nil {
			t.Fatal(err)
		}
	}
	for _, folder := range []string{dir, filepath.Dir(dir)} { // the second one is the test's own too
		if err := os.Chmod(folder, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if os.Getuid() != 0 {
		if err := os.Chmod(dir, 0o555); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Chmod(dir, 0o700) })
	}
	return filepath.Join(dir, "uniflow.db")
}

// A ledger that cannot be written, on a mount or in a folder of another user, can be read; what a host left in the log
// is told, never left out.
func TestALedgerThatCannotBeWrittenIsRead(t *testing.T) {
	t.Parallel()
	path := filled(t)
	still := sealed(t, path)
	live := open(t, filepath.Dir(path), "again")
	if err := live.AppendLogs(t.Context(), []flow.LogLine{{At: testTime(), Tenant: "default", Run: "R", Step: "load", Attempt: 1, Message: "in the log"}}); err != nil {
		t.Fatal(err)
	}
	logged := sealed(t, path, path+"-wal")
	unprivileged(t)
	s, err := Open(t.Context(), Config{Path: still, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	if lines, err := s.Logs(t.Context(), flow.LogQuery{Run: "R"}); err != nil || len(lines) != 500 {
		t.Errorf("%d lines, %v", len(lines), err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := Open(t.Context(), Config{Path: logged, ReadOnly: true}); flow.CodeOf(err) != flow.CodeLedgerIO || !strings.Contains(err.Error(), "uniflow.db-wal") {
		t.Errorf("with changes in the log: %v", err)
	}
}
