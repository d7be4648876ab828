package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"os"
)

// checkedAtOnce is the size up to which a ledger is checked before it is used. A larger one takes seconds, in which slots
// would be late after a crash: it is checked beside the writer.
const checkedAtOnce = 32 << 20 // bytes, a quarter of a second

func small(path string) bool {
	info, err := os.Stat(path)
	return err != nil || info.Size() <= checkedAtOnce
}

// check reads the whole file.
func check(ctx context.Context, db *sql.DB) error {
	var verdict string
	if err := db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&verdict); err != nil {
		return fault(err)
	}
	if verdict != "ok" {
		return damaged(verdict)
	}
	return nil
}

// checkBeside checks the file on a connection of its own. Damage is told, and nothing is written any more.
func (s *Store) checkBeside(path string) error {
	db, err := connect(path, 1, "mode=ro")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.unlook = cancel
	s.checking.Go(func() {
		defer cancel()
		err := check(ctx, db)
		if err = errors.Join(err, db.Close()); err == nil || ctx.Err() != nil {
			return
		}
		s.log.Error("ledger damaged, nothing more is written", slog.String("path", path), slog.Any("err", err))
		_ = s.do(ctx, func(w *writer) error { // refused only when the store closes
			w.broken = placed(err, path)
			return nil
		})
	})
	return nil
}
