package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/failpoint"
)

// Backup writes a copy of a ledger, as it is at one moment, to a file that is not there yet. A host may write meanwhile.
// The copy is whole and checked when it stands under its name. Errors have the codes of Open, and CodeWouldOverwrite.
func Backup(ctx context.Context, path, target string) error {
	op := "write the backup " + target
	if _, err := os.Lstat(target); !errors.Is(err, fs.ErrNotExist) {
		return &flow.Error{Code: flow.CodeWouldOverwrite, Op: op, Message: "the file is there already", Hint: "name another one, or move it away", Err: err}
	}
	s, err := Open(ctx, Config{Path: path, ReadOnly: true})
	if err != nil {
		return err
	}
	partial := target + ".partial"
	err = errors.Join(copyLedger(ctx, s.readers, partial), s.Close())
	if err == nil {
		failpoint.Here(failpoint.Backup)
		err = rename(partial, target)
	}
	if err != nil {
		_ = os.Remove(partial)
		return failed(op, err)
	}
	return nil
}

// Restore puts a copy of a backup in the place of a ledger that no host uses. What was there is kept beside it; its new
// name is returned, and is empty if nothing was there. Errors have the codes of Open. One that ends half way leaves
// nothing in the place: a host then refuses to start, and Restore can be asked again.
func Restore(ctx context.Context, path, from string) (kept string, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", placed(ioFault(err), path)
	}
	lock, err := lockFile(lockName(path))
	if err != nil {
		return "", placed(err, path)
	}
	defer lock.Close()
	source := &Store{}
	if source.readers, err = openBackup(ctx, from); err != nil {
		return "", placed(unfit(err), from)
	}
	defer source.readers.Close()
	fresh := path + ".restoring"
	if err := copyLedger(ctx, source.readers, fresh); err != nil {
		_ = os.Remove(fresh)
		return "", failed("copy the backup "+from, err)
	}
	if kept, err = setAside(path); err == nil {
		failpoint.Here(failpoint.Restore)
		err = errors.Join(rename(fresh, path), markMade(lock))
	}
	return kept, failed("restore "+path, err)
}

// unfit says of a file that cannot be restored what to do about it, and not about a ledger.
func unfit(err error) error {
	if e, ok := errors.AsType[*flow.Error](err); ok && (e.Code == flow.CodeLedgerDamaged || e.Code == flow.CodeLedgerForeign) {
		e.Hint = "name another file that `uniflow backup` wrote; the ledger was left as it is"
	}
	return err
}

func failed(op string, err error) error {
	if err == nil {
		return nil
	}
	err = fault(err)
	if e, ok := errors.AsType[*flow.Error](err); ok && e.Op == "" {
		e.Op = op
		return e
	}
	return fmt.Errorf("%s: %w", op, err)
}

// openBackup opens a file that must be a ledger of a form that this program can bring up to date.
func openBackup(ctx context.Context, path string) (*sql.DB, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, &flow.Error{Code: flow.CodeInput, Message: "there is no backup to read", Hint: "name a file that `uniflow backup` wrote", Err: err}
	}
	if !info.Mode().IsRegular() {
		return nil, foreign("it is not a file")
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("find %s: %w", path, err)
	}
	db, err := connect(abs, 1, "mode=ro")
	if err != nil {
		return nil, err
	}
	if err := checkBackup(ctx, db); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

func checkBackup(ctx context.Context, db *sql.DB) error {
	if err := errors.Join(identify(ctx, db), check(ctx, db)); err != nil {
		return err
	}
	var id, version int64
	if err := db.QueryRowContext(ctx, "PRAGMA application_id").Scan(&id); err != nil {
		return fault(err)
	}
	if id != applicationID {
		return foreign("it is no ledger")
	}
	if err := db.QueryRowContext(ctx, "SELECT coalesce(max(version_id), 0) FROM goose_db_version WHERE is_applied").Scan(&version); err != nil {
		return fault(err)
	}
	known, err := newestForm(db)
	if err == nil && version > known {
		err = newer(version, known)
	}
	return err
}

// copyLedger writes a compact copy of an open ledger, checks it and brings it to the disk. It takes the place of a copy
// that was cut off.
func copyLedger(ctx context.Context, from *sql.DB, target string) error {
	if err := os.Remove(target); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return ioFault(err)
	}
	if _, err := from.ExecContext(ctx, "VACUUM INTO ?", target); err != nil {
		return err
	}
	abs, err := filepath.Abs(target)
	if err != nil {
		return err
	}
	copied, err := connect(abs, 1, "mode=ro")
	if err != nil {
		return err
	}
	if err := errors.Join(check(ctx, copied), copied.Close()); err != nil {
		return err
	}
	f, err := os.OpenFile(target, os.O_RDWR, 0)
	if err != nil {
		return ioFault(err)
	}
	return errors.Join(f.Chmod(0o600), f.Sync(), f.Close())
}

// setAside renames a database with its log, the database first: while it is missing, no host starts.
func setAside(path string) (string, error) {
	aside := path + time.Now().UTC().Format(".20060102T150405.000")
	kept := ""
	for _, suffix := range []string{"", "-wal", "-shm"} {
		err := os.Rename(path+suffix, aside+suffix)
		switch {
		case err == nil && suffix == "":
			kept = aside
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return kept, ioFault(err)
		}
	}
	return kept, nil
}

// rename puts a file in its place for good.
func rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return ioFault(err)
	}
	return syncFolder(filepath.Dir(to))
}
