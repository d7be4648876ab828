package sqlite

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

const (
	reserveName = "uniflow.reserve" // beside the database
	reserveSize = 16 << 20          // room for the endings of what is live, and for a checkpoint of the log
	reserveWait = time.Second       // between looks for space
)

// reserve is disk space that is taken while there is some, so that a full disk can still record endings. Once it is
// spent, nothing new begins until the same space, and as much again, can be had. The zero reserve is never spent.
type reserve struct {
	path  string
	spent bool
	tried time.Time
}

// Reserve takes disk space for the endings of runs. Without it a full disk refuses those too. A disk that is almost full
// already is no error: the store then takes no new runs until there is space.
func (s *Store) Reserve(ctx context.Context) error {
	return s.do(ctx, func(w *writer) error {
		w.reserve = reserve{path: filepath.Join(filepath.Dir(s.path), reserveName)}
		if err := w.reserve.take(); err != nil {
			w.reserve.spent = true
			s.log.Warn("disk almost full, no run starts", slog.Any("err", err))
		}
		return nil
	})
}

// take makes the file, unless it is there.
func (r *reserve) take() error {
	if info, err := os.Stat(r.path); err == nil && info.Size() == reserveSize {
		return nil
	}
	f, err := os.OpenFile(r.path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	err = allocate(f, 2*reserveSize)
	if err == nil {
		err = f.Truncate(reserveSize)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		_ = os.Remove(r.path)
	}
	return err
}

// spend gives the space free and reports whether there was any.
func (r *reserve) spend() bool {
	if r.path == "" || r.spent {
		return false
	}
	r.spent, r.tried = true, time.Now()
	return os.Remove(r.path) == nil
}

// room refuses what would begin something new while the reserve is spent.
func (w *writer) room() error {
	r := &w.reserve
	if !r.spent {
		return nil
	}
	if now := time.Now(); now.Sub(r.tried) >= reserveWait {
		r.tried = now
		if r.take() == nil {
			r.spent = false
			w.store.log.Info("disk has space again, runs start")
			return nil
		}
	}
	return &flow.Error{
		Code: flow.CodeLedgerFull, Message: "the disk is full: runs that are live get their ending, and nothing new begins",
		Hint: "make space on the disk of the data folder; the host goes on by itself",
	}
}

// fill writes zeros where the system cannot take space in one call.
func fill(f *os.File, size int64) error {
	zeros := make([]byte, 1<<20)
	for at := int64(0); at < size; at += int64(len(zeros)) {
		if _, err := f.WriteAt(zeros[:min(int64(len(zeros)), size-at)], at); err != nil {
			return err
		}
	}
	return f.Sync()
}
