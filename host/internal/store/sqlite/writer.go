// Package sqlite keeps the ledger in one SQLite file: runs and their queue, events and what is derived from them,
// schedules, slots, plans and versions.
//
// One goroutine writes. It takes all calls that have queued, executes each one under a savepoint of its own, commits
// once and answers all, so that a call is durable when it returns and many calls share one sync of the disk. Readers
// have connections of their own and never wait for it. The package decides what one transaction must hold together;
// it knows nothing of clocks, sandboxes or retries, and no other package speaks SQL.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/failpoint"
)

// queued bounds the calls that wait for the writer, and so those that share a transaction.
const queued = 512

// operation is one call on its way through the writer.
type operation struct {
	ctx    context.Context //nolint:containedctx // a call that its caller gave up is not executed
	run    func(*writer) error
	err    error
	answer chan error // buffered: the caller may be gone
}

// writer owns the connection that writes. Only its goroutine uses it.
type writer struct {
	store      *Store
	conn       *sql.Conn
	statements map[string]*sql.Stmt
	reserve    reserve
	// hasty says that a run may wait which has to start by some time; nil until that was looked up.
	hasty *bool
	// broken is set once the disk failed to take what was committed; nothing is written after that.
	broken error
}

// write executes fn in the writer and returns once its effects are durable. When ctx ends first, the error is that of
// ctx and the effects may come about all the same.
func write[T any](ctx context.Context, s *Store, fn func(*writer) (T, error)) (T, error) {
	var zero, result T
	op := &operation{ctx: ctx, answer: make(chan error, 1)}
	op.run = func(w *writer) (err error) {
		result, err = fn(w)
		return err
	}
	if err := s.submit(op); err != nil {
		return zero, err
	}
	select {
	case err := <-op.answer:
		if err != nil {
			return zero, err
		}
		return result, nil
	case <-ctx.Done():
		return zero, context.Cause(ctx)
	}
}

// do is write without a result.
func (s *Store) do(ctx context.Context, fn func(*writer) error) error {
	_, err := write(ctx, s, func(w *writer) (struct{}, error) { return struct{}{}, fn(w) })
	return err
}

func (s *Store) submit(op *operation) error {
	s.gate.RLock()
	defer s.gate.RUnlock()
	switch {
	case s.closed:
		return &flow.Error{Code: flow.CodeStopping, Op: "write to the ledger", Message: "it is closed"}
	case s.queue == nil:
		return &flow.Error{Code: flow.CodeReadOnly, Op: "write to the ledger", Message: "it was opened for reading only", Hint: "ask the host that runs"}
	}
	select {
	case s.queue <- op:
		return nil
	case <-op.ctx.Done():
		return context.Cause(op.ctx)
	}
}

// work writes until the queue is closed and empty.
func (w *writer) work() {
	batch := make([]*operation, 0, queued)
	for first := range w.store.queue {
		batch = append(batch[:0], first)
		batch = w.drain(batch)
		err := w.commit(batch)
		if err != nil {
			err = fault(err)
			w.store.log.Error("ledger not written", slog.Int("calls", len(batch)), slog.Any("err", err))
		} else {
			w.store.broadcast()
		}
		for _, op := range batch {
			op.answer <- errors.Join(err, op.err)
		}
	}
	for _, st := range w.statements {
		_ = st.Close()
	}
	_ = w.conn.Close()
}

// drain adds what has queued meanwhile, without waiting for more.
func (w *writer) drain(batch []*operation) []*operation {
	for len(batch) < queued {
		select {
		case op, ok := <-w.store.queue:
			if !ok {
				return batch
			}
			batch = append(batch, op)
		default:
			return batch
		}
	}
	return batch
}

// commit executes a batch, with the reserve if the disk is full. An error means that nothing of the batch was written.
func (w *writer) commit(batch []*operation) error {
	err := w.transact(batch)
	if err != nil && flow.CodeOf(fault(err)) == flow.CodeLedgerFull && w.reserve.spend() {
		w.store.log.Error("disk full, the reserve is spent and no run starts", slog.Any("err", err))
		err = w.transact(batch)
	}
	return err
}

// transact executes a batch in one transaction.
func (w *writer) transact(batch []*operation) error {
	if w.broken != nil {
		return w.broken
	}
	if _, err := w.exec("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	for _, op := range batch {
		if err := w.attempt(op); err != nil {
			w.rollback()
			return err
		}
	}
	failpoint.Here(failpoint.Commit)
	if _, err := w.exec("COMMIT"); err != nil {
		if unsynced(err) {
			w.broken = &flow.Error{Code: flow.CodeLedgerIO, Message: "the disk failed to keep what was written", Hint: "check the disk, then start the host again: it goes on from what the disk holds", Err: err}
		}
		w.rollback()
		return err
	}
	failpoint.Here(failpoint.Committed)
	return nil
}

// attempt executes one call; its own failure is kept for its caller alone. An error spoils the batch.
func (w *writer) attempt(op *operation) error {
	if op.err = context.Cause(op.ctx); op.err != nil {
		return nil //nolint:nilerr // it is the caller's
	}
	if _, err := w.exec("SAVEPOINT call"); err != nil {
		return err
	}
	if op.err = op.run(w); op.err != nil {
		if spoils(op.err) {
			err := op.err
			op.err = nil
			return err
		}
		if _, err := w.exec("ROLLBACK TO call"); err != nil {
			return err
		}
	}
	_, err := w.exec("RELEASE call")
	return err
}

// rollback ends a transaction that SQLite may have ended by itself.
func (w *writer) rollback() { _, _ = w.conn.ExecContext(context.Background(), "ROLLBACK") }

// statement prepares a text once. No caller's context reaches the connection: one that ends would interrupt the batch.
func (w *writer) statement(text string) (*sql.Stmt, error) {
	if st := w.statements[text]; st != nil {
		return st, nil
	}
	st, err := w.conn.PrepareContext(context.Background(), text)
	if err != nil {
		return nil, fmt.Errorf("prepare statement: %w", err)
	}
	w.statements[text] = st
	return st, nil
}

// exec executes a statement and returns the number of rows that it changed.
func (w *writer) exec(text string, args ...any) (int64, error) {
	st, err := w.statement(text)
	if err != nil {
		return 0, err
	}
	result, err := st.ExecContext(context.Background(), args...)
	if err != nil {
		return 0, fmt.Errorf("write ledger: %w", err)
	}
	n, err := result.RowsAffected()
	if err != nil {
		return 0, fmt.Errorf("write ledger: %w", err)
	}
	return n, nil
}

// one reads the first row into dest; false when there is none.
func (w *writer) one(text string, args []any, dest ...any) (bool, error) {
	st, err := w.statement(text)
	if err != nil {
		return false, err
	}
	err = st.QueryRowContext(context.Background(), args...).Scan(dest...)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read ledger: %w", err)
	}
	return true, nil
}

// query implements querier.
func (w *writer) query(_ context.Context, text string, args ...any) (*sql.Rows, error) {
	st, err := w.statement(text)
	if err != nil {
		return nil, err
	}
	return st.QueryContext(context.Background(), args...)
}
