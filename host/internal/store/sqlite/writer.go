// Package sqlite keeps the ledger in one SQLite file: runs and their queue, events and what is derived from them,
// schedules, slots, plans and versions.
//
// One goroutine writes. It takes all calls that have queued, executes them, commits once and answers all, so that a call is
// durable when it returns and many calls share one sync of the disk; one that fails undoes nothing but its own. Readers
// have connections of their own and never wait for it. The package decides what one transaction must hold together;
// it knows nothing of clocks, sandboxes or retries, and no other package speaks SQL.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/failpoint"
)

// queued bounds the calls of a lane that wait for the writer, and those that share a transaction.
const queued = 1024

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
	queues     [lanes]<-chan *operation
	conn       *sql.Conn
	statements map[string]*sql.Stmt
	reserve    reserve
	// hasty says that a run may wait which has to start by some time; nil until that was looked up.
	hasty *bool
	// most bounds the calls that share a transaction.
	most int
	// behind counts the calls since the last checkpoint of ours.
	behind int
	// filled says that a large manifest or a burst of runs has filled the cache.
	filled bool
	// facts of recorded plans, and live runs, as far as they are known: nobody else changes them. What is rolled back is
	// forgotten, and read again.
	facts map[flow.Digest]planFacts
	live  map[flow.RunID]liveRun
	loads map[string]*load // of tenants with a quota
	// changed tells that the present call has changed something.
	changed bool
	// broken is set once the disk failed to take what was committed; nothing is written after that.
	broken error
}

// write executes fn in the writer and returns once its effects are durable. When ctx ends first, the error is that of
// ctx and the effects may come about all the same.
func write[T any](ctx context.Context, s *Store, fn func(*writer) (T, error)) (T, error) {
	return writeIn(ctx, s, rest, fn)
}

func writeIn[T any](ctx context.Context, s *Store, in lane, fn func(*writer) (T, error)) (T, error) {
	var zero, result T
	op := &operation{ctx: ctx, answer: make(chan error, 1)}
	op.run = func(w *writer) (err error) {
		result, err = fn(w)
		return err
	}
	if err := s.submit(op, in); err != nil {
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

func (s *Store) submit(op *operation, in lane) error {
	s.gate.RLock()
	defer s.gate.RUnlock()
	switch {
	case s.closed:
		return &flow.Error{Code: flow.CodeStopping, Op: "write to the ledger", Message: "it is closed"}
	case s.writer == nil:
		return &flow.Error{Code: flow.CodeReadOnly, Op: "write to the ledger", Message: "it was opened for reading only", Hint: "ask the host that runs"}
	}
	select {
	case s.queues[in] <- op:
		return nil
	case <-op.ctx.Done():
		return context.Cause(op.ctx)
	}
}

// work writes until the queues are closed and empty.
func (w *writer) work() {
	batch := make([]*operation, 0, queued)
	for first, in := w.wait(); first != nil; first, in = w.wait() {
		batch = w.gather(append(batch[:0], first), in)
		begun := time.Now()
		err := w.commit(batch)
		w.store.tally.add(len(batch), time.Since(begun))
		if err != nil {
			err = fault(err)
			w.store.log.Error("ledger not written", slog.Int("calls", len(batch)), slog.Any("err", err))
		} else {
			w.behind += len(batch)
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

const (
	// muchBehind is how many calls may be in the log alone before an idle moment is used to take them over into the
	// database, which SQLite else does in the middle of a commit.
	muchBehind = 500
	idleTime   = 100 * time.Millisecond
	// burst is how many calls touch so many pages that keeping those in memory is no longer worth it.
	burst = 10_000
)

// checkpoint takes the log over into the database as far as readers allow. What fails here fails again, and is told, when
// SQLite does it by itself.
func (w *writer) checkpoint() {
	w.behind = 0
	var busy, log, done int
	if _, err := w.one("PRAGMA wal_checkpoint(PASSIVE)", nil, &busy, &log, &done); err != nil {
		w.store.log.Debug("log not taken over", slog.Any("err", fault(err)))
	}
}

// rest does what an idle moment is good for.
func (w *writer) rest() {
	if w.behind >= muchBehind {
		w.filled = w.filled || w.behind >= burst
		w.checkpoint()
	}
	if w.filled {
		w.shrink()
	}
}

// shrink gives the memory of the cache back.
func (w *writer) shrink() {
	w.filled = false
	if _, err := w.exec("PRAGMA shrink_memory"); err != nil {
		w.store.log.Debug("cache not given back", slog.Any("err", fault(err)))
	}
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

// transact executes a batch in one transaction. Calls hardly ever fail once they have changed something, so savepoints,
// which undo one call alone, are only made when one did.
func (w *writer) transact(batch []*operation) error {
	err := w.try(batch, false)
	if errors.Is(err, errHalfDone) {
		err = w.try(batch, true)
	}
	return err
}

// errHalfDone says that a call failed after it had changed something.
var errHalfDone = errors.New("a call failed half done")

func (w *writer) try(batch []*operation, savepoints bool) error {
	if w.broken != nil {
		return w.broken
	}
	if _, err := w.exec("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	for _, op := range batch {
		if err := w.attempt(op, savepoints); err != nil {
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
func (w *writer) attempt(op *operation, savepoint bool) error {
	if op.err = context.Cause(op.ctx); op.err != nil {
		return nil //nolint:nilerr // it is the caller's
	}
	if savepoint {
		if _, err := w.exec("SAVEPOINT call"); err != nil {
			return err
		}
	}
	w.changed = false
	op.err = op.run(w)
	switch {
	case op.err != nil && spoils(op.err):
		err := op.err
		op.err = nil
		return err
	case !savepoint && op.err != nil && w.changed:
		return errHalfDone
	case !savepoint:
		return nil
	case op.err != nil:
		if _, err := w.exec("ROLLBACK TO call"); err != nil {
			return err
		}
		w.forget()
	}
	_, err := w.exec("RELEASE call")
	return err
}

// rollback ends a transaction that SQLite may have ended by itself.
func (w *writer) rollback() {
	_, _ = w.conn.ExecContext(context.Background(), "ROLLBACK")
	w.forget()
}

func (w *writer) forget() {
	clear(w.facts)
	clear(w.live)
	clear(w.loads)
}

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
	result, err := w.execute(text, args)
	if err != nil {
		return 0, err
	}
	n, err := result.RowsAffected()
	if err != nil {
		return 0, fmt.Errorf("write ledger: %w", err)
	}
	return n, nil
}

// add executes a statement that inserts one row, and returns the row's number.
func (w *writer) add(text string, args ...any) (int64, error) {
	result, err := w.execute(text, args)
	if err != nil {
		return 0, err
	}
	n, err := result.LastInsertId()
	if err != nil {
		return 0, fmt.Errorf("write ledger: %w", err)
	}
	return n, nil
}

func (w *writer) execute(text string, args []any) (sql.Result, error) {
	st, err := w.statement(text)
	if err != nil {
		return nil, err
	}
	w.changed = true
	result, err := st.ExecContext(context.Background(), args...)
	if err != nil {
		return nil, fmt.Errorf("write ledger: %w", err)
	}
	return result, nil
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
