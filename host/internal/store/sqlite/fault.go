package sqlite

import (
	"errors"
	"fmt"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// fault gives an error of SQLite a code and a next action; other errors pass.
func fault(err error) error {
	e, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		return err
	}
	switch e.Code() & 0xff { // the rest of the number tells the cases of one kind apart
	case sqlite3.SQLITE_FULL:
		return &flow.Error{Code: flow.CodeLedgerFull, Message: "the disk is full, nothing was recorded", Hint: "make space on the disk of the data folder; the host goes on by itself", Err: err}
	case sqlite3.SQLITE_NOTADB:
		return &flow.Error{Code: flow.CodeLedgerDamaged, Message: "the file is not a ledger, or its beginning was overwritten", Hint: damagedHint, Err: err}
	case sqlite3.SQLITE_CORRUPT:
		return &flow.Error{Code: flow.CodeLedgerDamaged, Message: "the file is damaged", Hint: damagedHint, Err: err}
	case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_NOMEM:
		return ioFault(err)
	}
	return err
}

// spoils reports whether an error says that storage failed: nothing of the transaction can be trusted then.
func spoils(err error) bool {
	switch flow.CodeOf(fault(err)) {
	case flow.CodeLedgerFull, flow.CodeLedgerDamaged, flow.CodeLedgerIO:
		return true
	}
	return false
}

// unwritable reports whether SQLite could not make a file beside the database.
func unwritable(err error) bool {
	e, ok := errors.AsType[*sqlite.Error](err)
	return ok && (e.Code()&0xff == sqlite3.SQLITE_CANTOPEN || e.Code() == sqlite3.SQLITE_READONLY_DIRECTORY)
}

// unsynced reports whether the system could not bring data to the disk. What the disk holds is unknown from then on,
// and a second try would claim success for data that is gone.
func unsynced(err error) bool {
	e, ok := errors.AsType[*sqlite.Error](err)
	return ok && (e.Code() == sqlite3.SQLITE_IOERR_FSYNC || e.Code() == sqlite3.SQLITE_IOERR_DIR_FSYNC)
}

const damagedHint = "stop the host, move the database and its -wal and -shm files away, and restore a backup; without one the host starts anew"

func ioFault(err error) error {
	return &flow.Error{Code: flow.CodeLedgerIO, Message: "the file cannot be used", Hint: "check the disk, the permissions of the data folder, and that it is local", Err: err}
}

func damaged(message string) error {
	return &flow.Error{Code: flow.CodeLedgerDamaged, Message: message, Hint: damagedHint}
}

func foreign(message string) error {
	return &flow.Error{Code: flow.CodeLedgerForeign, Message: message, Hint: "name another folder with `data` under [host]"}
}

func newer(found, known int64) error {
	return &flow.Error{Code: flow.CodeLedgerNewer, Message: fmt.Sprintf("the ledger has form %d, this program knows forms up to %d", found, known), Hint: "use the version of uniflow that wrote it, or a newer one"}
}

// placed says which file an error is about.
func placed(err error, path string) error {
	if e, ok := errors.AsType[*flow.Error](err); ok && e.Op == "" {
		e.Op = "open ledger " + path
		return e
	}
	return fmt.Errorf("open ledger %s: %w", path, err)
}
