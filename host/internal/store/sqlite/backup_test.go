package sqlite

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/uniflow-dev/uniflow/host/flow"
)

func said(text string) []flow.LogLine {
	return []flow.LogLine{{At: testTime(), Tenant: "default", Run: "R", Step: "load", Attempt: 1, Message: text}}
}

// A backup is of one moment, is taken beside a host that writes, and comes back as it was; what stood in its place is kept.
func TestABackupComesBackAsItWas(t *testing.T) {
	t.Parallel()
	path := filled(t)
	backup := filepath.Join(t.TempDir(), "backup.db")
	if err := os.WriteFile(backup+".partial", []byte("of a backup that was cut off"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, filepath.Dir(path), "boot")
	if err := Backup(t.Context(), path, backup); err != nil {
		t.Fatal(err)
	}
	if err := s.AppendLogs(t.Context(), said("later")); err != nil {
		t.Fatal(err)
	}
	if err := Backup(t.Context(), path, backup); flow.CodeOf(err) != flow.CodeWouldOverwrite {
		t.Errorf("over a file that is there: %v", err)
	}
	if _, err := Restore(t.Context(), path, backup); flow.CodeOf(err) != flow.CodeLedgerLocked {
		t.Errorf("beside a host: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	kept, err := Restore(t.Context(), path, backup)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]int{path: 500, kept: 501} {
		r, err := Open(t.Context(), Config{Path: name, ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		if lines, err := r.Logs(t.Context(), flow.LogQuery{Run: "R"}); err != nil || len(lines) != want {
			t.Errorf("%s: %d lines, %v; want %d", name, len(lines), err, want)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(backup + ".partial"); !os.IsNotExist(err) {
		t.Errorf("left over: %v", err)
	}
}

// A restore mends a ledger that was lost, and takes nothing that is no backup.
func TestRestoreTakesBackupsOnly(t *testing.T) {
	t.Parallel()
	path := filled(t)
	dir := t.TempDir()
	backup, damaged, stranger := filepath.Join(dir, "backup.db"), filepath.Join(dir, "damaged.db"), filepath.Join(dir, "stranger.db")
	if err := Backup(t.Context(), path, backup); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(backup)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(damaged, append(b[:len(b)/2:len(b)/2], make([]byte, len(b)/2)...), 0o600); err != nil {
		t.Fatal(err)
	}
	execute(t, stranger, "CREATE TABLE theirs (n)")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]flow.Code{damaged: flow.CodeLedgerDamaged, stranger: flow.CodeLedgerForeign, dir: flow.CodeLedgerForeign, backup + "x": flow.CodeInput} {
		if _, err := Restore(t.Context(), path, name); flow.CodeOf(err) != want || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v (%s), want %s", name, err, flow.CodeOf(err), want)
		}
	}
	if kept, err := Restore(t.Context(), path, backup); err != nil || kept != "" {
		t.Fatalf("got %q, %v", kept, err)
	}
	s := open(t, filepath.Dir(path), "again")
	if lines, err := s.Logs(t.Context(), flow.LogQuery{Run: "R"}); err != nil || len(lines) != 500 {
		t.Errorf("%d lines, %v", len(lines), err)
	}
}
