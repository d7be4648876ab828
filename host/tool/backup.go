package tool

import (
	"context"
	"os"
	"path/filepath"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/project"
	"github.com/uniflow-dev/uniflow/host/internal/store/sqlite"
)

// ledgerName is the ledger's file in a data folder.
const ledgerName = "uniflow.db"

// Backup writes a copy of a project's ledger to a new file. A host may serve meanwhile. Artifacts are no part of it.
func Backup(ctx context.Context, t Target, file string) (flow.BackupReport, error) {
	data, err := dataToUse(t)
	if err != nil {
		return flow.BackupReport{}, err
	}
	if into := filepath.Dir(file); !isFolder(into) {
		return flow.BackupReport{}, &flow.Error{Code: flow.CodeInput, Op: "write the backup " + file, Message: "there is no folder " + into, Hint: "make it first, or name another file"}
	}
	if err := sqlite.Backup(ctx, filepath.Join(data, ledgerName), file); err != nil {
		return flow.BackupReport{}, err
	}
	info, err := os.Stat(file)
	if err != nil {
		return flow.BackupReport{}, err
	}
	return flow.BackupReport{File: file, Bytes: info.Size()}, nil
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// Restore puts a backup in the place of a project's ledger, which no host may use; what was there is kept beside it.
func Restore(ctx context.Context, t Target, file string) (flow.RestoreReport, error) {
	data, err := dataToUse(t)
	if err != nil {
		return flow.RestoreReport{}, err
	}
	ledger := filepath.Join(data, ledgerName)
	kept, err := sqlite.Restore(ctx, ledger, file)
	return flow.RestoreReport{Ledger: ledger, Kept: kept}, err
}

// dataToUse is the data folder; a manifest with mistakes is no obstacle where its folder is there.
func dataToUse(t Target) (string, error) {
	data, bad := DataOf(t)
	if _, err := os.Stat(data); bad != nil && err != nil {
		return "", bad
	}
	return data, project.CheckData(data)
}
