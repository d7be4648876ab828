package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

func testTime() time.Time { return time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC) }

// filled makes a ledger with some hundred KiB and returns its path.
func filled(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	s := open(t, dir, "boot")
	lines := make([]flow.LogLine, 500)
	for i := range lines {
		lines[i] = flow.LogLine{At: testTime(), Tenant: "default", Run: "R", Step: "load", Attempt: 1, Message: strings.Repeat("x", 1000)}
	}
	if err := s.AppendLogs(t.Context(), lines); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "uniflow.db")
}

func overwrite(t *testing.T, path string, at int64, content []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(content, at); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func truncate(t *testing.T, path string, size int64) {
	t.Helper()
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
}

func TestADamagedFileIsRefusedByName(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		harm func(t *testing.T, path string)
		code flow.Code
	}{
		"header": {func(t *testing.T, path string) { overwrite(t, path, 0, bytes.Repeat([]byte{0xa5}, 100)) }, flow.CodeLedgerDamaged},
		"middle": {func(t *testing.T, path string) { overwrite(t, path, 200_000, bytes.Repeat([]byte{0xa5}, 16_384)) }, flow.CodeLedgerDamaged},
		"short":  {func(t *testing.T, path string) { truncate(t, path, 100_000) }, flow.CodeLedgerDamaged},
		"empty":  {func(t *testing.T, path string) { truncate(t, path, 0) }, flow.CodeLedgerDamaged},
		"gone": {func(t *testing.T, path string) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}, flow.CodeLedgerDamaged},
		"folder": {func(t *testing.T, path string) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}, flow.CodeLedgerForeign},
		"stranger": {func(t *testing.T, path string) {
			execute(t, path, "PRAGMA application_id = 7")
		}, flow.CodeLedgerForeign},
		"newer": {func(t *testing.T, path string) {
			execute(t, path, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)")
		}, flow.CodeLedgerNewer},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filled(t)
			c.harm(t, path)
			_, err := Open(t.Context(), Config{Path: path, Boot: "again"})
			if flow.CodeOf(err) != c.code || !strings.Contains(err.Error(), path) {
				t.Errorf("got %v (%s), want %s", err, flow.CodeOf(err), c.code)
			}
			if _, err := Open(t.Context(), Config{Path: path, ReadOnly: true}); flow.CodeOf(err) != c.code {
				t.Errorf("for reading: %v (%s), want %s", err, flow.CodeOf(err), c.code)
			}
		})
	}
}

// A large file is checked beside the writer: its damage is told as soon as it is found.
func TestDamageOfALargeFileStopsTheWriter(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, "boot")
	for range 40 {
		if err := s.AppendLogs(t.Context(), said(strings.Repeat("x", 1<<20))); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "uniflow.db")
	if small(path) {
		t.Fatal("the file is too small to prove anything")
	}
	whole := open(t, dir, "whole")
	whole.checking.Wait()
	if err := whole.AppendLogs(t.Context(), said("more")); err != nil {
		t.Fatalf("a whole file: %v", err)
	}
	if err := whole.Close(); err != nil {
		t.Fatal(err)
	}
	overwrite(t, path, 20<<20, bytes.Repeat([]byte{0xa5}, 1<<20))
	s = open(t, dir, "again")
	s.checking.Wait()
	err := s.AppendLogs(t.Context(), said("more"))
	if flow.CodeOf(err) != flow.CodeLedgerDamaged || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v", err)
	}
}

func execute(t *testing.T, path, text string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), text); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestALedgerIsTheHostsAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, "boot")
	if err := s.PutSeal(t.Context(), "x", flow.DigestOf(nil)); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) < 3 {
		t.Fatalf("files %v, %v", entries, err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has the mode %v, %v", e.Name(), info.Mode(), err)
		}
	}
}

// The mark of the file is what its first writer sets last.
func TestALedgerInTheMakingIsNotThereYet(t *testing.T) {
	t.Parallel()
	path := filled(t)
	execute(t, path, "PRAGMA application_id = 0")
	empty := filepath.Join(t.TempDir(), "uniflow.db")
	overwrite(t, empty, 0, nil)
	for _, path := range []string{path, empty} {
		if _, err := Open(t.Context(), Config{Path: path, ReadOnly: true}); flow.CodeOf(err) != flow.CodeLedgerMissing {
			t.Errorf("got %v", err)
		}
	}
}

func TestAStrangersDatabaseIsLeftAlone(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "uniflow.db")
	execute(t, path, "CREATE TABLE theirs (n)")
	if _, err := Open(t.Context(), Config{Path: path, Boot: "boot"}); flow.CodeOf(err) != flow.CodeLedgerForeign {
		t.Fatalf("got %v", err)
	}
}

func TestGarbageInTheLogIsIgnored(t *testing.T) {
	t.Parallel()
	path := filled(t)
	overwrite(t, path+"-wal", 0, bytes.Repeat([]byte("garbage "), 4096))
	s := open(t, filepath.Dir(path), "again")
	if lines, err := s.Logs(t.Context(), flow.LogQuery{Run: "R"}); err != nil || len(lines) != 500 {
		t.Fatalf("%d lines, %v", len(lines), err)
	}
}

func TestNoLedgerToRead(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "uniflow.db")
	if _, err := Open(t.Context(), Config{Path: path, ReadOnly: true}); flow.CodeOf(err) != flow.CodeLedgerMissing {
		t.Fatalf("got %v", err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Fatalf("reading made a file: %v", err)
	}
}

func TestAPathMayHoldAnyCharacter(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a b?mode=memory#%41")
	s := open(t, dir, "boot")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(dir, "uniflow.db")); err != nil || info.Size() == 0 {
		t.Fatalf("the file: %v, %v", info, err)
	}
}

// TestAFullDiskSpoilsNothing has the database reach its greatest size, which SQLite reports as it does a full disk.
func TestAFullDiskSpoilsNothing(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), "boot")
	limit := func(pages int) {
		if _, err := write(t.Context(), s, func(w *writer) (int, error) {
			var got int
			err := w.conn.QueryRowContext(context.Background(), "PRAGMA max_page_count = "+strconv.Itoa(pages)).Scan(&got)
			return got, err
		}); err != nil {
			t.Fatal(err)
		}
	}
	limit(200)
	line := flow.LogLine{At: testTime(), Tenant: "default", Run: "R", Step: "load", Attempt: 1, Message: strings.Repeat("x", 3000)}
	kept := 0
	var full error
	for range 500 {
		if full = s.AppendLogs(t.Context(), []flow.LogLine{line, line}); full != nil {
			break
		}
		kept += 2
	}
	if flow.CodeOf(full) != flow.CodeLedgerFull || !strings.Contains(full.Error(), "disk is full") {
		t.Fatalf("after %d lines: %v", kept, full)
	}
	check := func() {
		t.Helper()
		lines, err := s.Logs(t.Context(), flow.LogQuery{Run: "R"})
		if err != nil || len(lines) != kept {
			t.Fatalf("%d lines, %v; %d were acknowledged", len(lines), err, kept)
		}
	}
	check()
	limit(10_000)
	if err := s.AppendLogs(t.Context(), []flow.LogLine{line}); err != nil {
		t.Fatalf("with space again: %v", err)
	}
	kept++
	check()
}

// A ledger of an earlier form is brought up to date by its first writer; a reader says what to do.
func TestAnEarlierFormIsBroughtUpToDate(t *testing.T) {
	t.Parallel()
	path := filled(t)
	execute(t, path, "DROP TABLE artifacts; DROP TABLE seals; DROP TABLE deliveries; DROP TABLE incidents; DROP TABLE watched; ALTER TABLE schedules DROP COLUMN override_at; ALTER TABLE steps DROP COLUMN reused; DROP INDEX runs_start; ALTER TABLE runs DROP COLUMN start_by; "+
		"ALTER TABLE schedules DROP COLUMN paused_at; ALTER TABLE schedules DROP COLUMN resumed_at; DELETE FROM goose_db_version WHERE version_id > 1")
	if _, err := Open(t.Context(), Config{Path: path, ReadOnly: true}); flow.CodeOf(err) != flow.CodeLedgerNewer || !strings.Contains(err.Error(), "form 1") {
		t.Errorf("a reader: %v", err)
	}
	s := open(t, filepath.Dir(path), "again")
	if err := s.PutSeal(t.Context(), "module", flow.DigestOf(nil)); err != nil {
		t.Error(err)
	}
	if lines, err := s.Logs(t.Context(), flow.LogQuery{Run: "R"}); err != nil || len(lines) != 500 {
		t.Errorf("%d lines, %v", len(lines), err)
	}
}
