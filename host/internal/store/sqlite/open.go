package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/failpoint"
)

//go:embed migrations/*.sql
var migrations embed.FS

// applicationID marks a file as a ledger: "uflw" as a number.
const applicationID = 0x75666c77

// Config says where a ledger is and who opens it.
type Config struct {
	// Path of the database file. Its folder is made if needed, and must lie on a local disk.
	Path string
	// Boot names this life of the host; runs left live under another name are what Recover finds. A writer needs it.
	Boot string
	// ReadOnly opens beside a host that may be live: every writing method answers with CodeReadOnly.
	ReadOnly bool
	// Quotas returns the quota of a tenant, filled, or nil for one that has none. It is asked at each offer and claim, by the
	// one goroutine that writes, and must not wait. Defaults to none.
	Quotas func(tenant string) *flow.Quota
	// Logger takes what an operator should know. Defaults to none.
	Logger *slog.Logger
}

// Store is an open ledger. It is safe for concurrent use.
type Store struct {
	path    string
	boot    string
	quotas  func(tenant string) *flow.Quota
	log     *slog.Logger
	lock    *os.File
	readers *sql.DB
	// followers read events: they may be many and slow, so they have connections of their own.
	followers *sql.DB
	writers   *sql.DB // of one connection; nil when read-only
	writer    *writer

	checking sync.WaitGroup     // the look at a large file
	unlook   context.CancelFunc // ends it

	// gate lets callers send to the queues while they hold it for reading; Close takes it to close them.
	gate   sync.RWMutex
	closed bool
	queues [lanes]chan *operation
	done   chan struct{} // closed when the writer has returned
	tally  tally

	changes sync.Mutex
	changed chan struct{}

	plans sync.Mutex
	kept  map[flow.Digest]flow.Plan
}

// Open opens the ledger, makes or migrates it if need be, and checks the whole file; one of more than checkedAtOnce is
// checked while the writer works, and takes no more once damage is found. A writer holds the lock file beside the database
// until Close. Errors have codes: CodeLedgerLocked, CodeLedgerDamaged, CodeLedgerForeign, CodeLedgerNewer,
// CodeLedgerMissing, CodeLedgerFull, CodeLedgerIO.
func Open(ctx context.Context, c Config) (*Store, error) {
	s := &Store{boot: c.Boot, quotas: c.Quotas, log: c.Logger, changed: make(chan struct{}), kept: map[flow.Digest]flow.Plan{}}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	path, err := filepath.Abs(c.Path)
	if err != nil {
		return nil, fmt.Errorf("open ledger %s: %w", c.Path, err)
	}
	s.path = path
	open := s.openWriter
	if c.ReadOnly {
		open = s.openReader
	}
	if err := open(ctx, path); err != nil {
		return nil, errors.Join(placed(err, path), s.release())
	}
	return s, nil
}

func (s *Store) openReader(ctx context.Context, path string) error {
	made := Made(path)
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && made:
		return gone()
	case errors.Is(err, fs.ErrNotExist):
		return missing()
	case err != nil:
		return ioFault(err)
	case !info.Mode().IsRegular():
		return foreign("it is not a file")
	}
	if s.readers, err = connect(path, runtime.NumCPU(), "mode=ro"); err != nil {
		return err
	}
	if err = identify(ctx, s.readers); unwritable(err) {
		err = s.openStill(ctx, path)
	}
	s.followers = s.readers
	if err != nil {
		return err
	}
	if small(path) { // a larger one is checked by its host
		if err := check(ctx, s.readers); err != nil {
			return err
		}
	}
	var id int64
	if err := s.readers.QueryRowContext(ctx, "PRAGMA application_id").Scan(&id); err != nil {
		return fault(err)
	}
	if id != applicationID && made && info.Size() == 0 {
		return emptied()
	}
	if id != applicationID {
		return missing() // its first writer is making it
	}
	return s.current(ctx)
}

// openStill opens a ledger in a folder that cannot be written, where SQLite cannot make the index of its log beside the
// database. Without a log there is nothing to index, and nobody who writes.
func (s *Store) openStill(ctx context.Context, path string) error {
	if info, err := os.Stat(path + "-wal"); err == nil && info.Size() > 0 {
		return &flow.Error{
			Code: flow.CodeLedgerIO, Message: "its folder cannot be written, and its last changes are in " + filepath.Base(path) + "-wal, which can only be read where it can",
			Hint: "copy the data folder to a place that can be written and read it there, or let a host end that uses it",
		}
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return ioFault(err)
	}
	if err := s.readers.Close(); err != nil {
		return fault(err)
	}
	var err error
	if s.readers, err = connect(path, runtime.NumCPU(), "mode=ro&immutable=1"); err != nil {
		return err
	}
	return identify(ctx, s.readers)
}

// followerConnections bounds the events that are read and decoded at one time, and so what followers take of the
// processors.
func followerConnections() int { return min(max(1, runtime.NumCPU()/2), 4) }

func missing() error {
	return &flow.Error{Code: flow.CodeLedgerMissing, Message: "there is no ledger yet", Hint: "run a pipeline with `uniflow run`, or start the host with `uniflow serve`"}
}

func (s *Store) openWriter(ctx context.Context, path string) error {
	if s.boot == "" {
		return errors.New("a writer of the ledger needs the name of its boot")
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return ioFault(err)
	}
	var err error
	if s.lock, err = lockFile(lockName(path)); err != nil {
		return err
	}
	if err := checkFile(path, s.lock); err != nil {
		return err
	}
	if s.writers, err = connect(path, 1, "_txlock=immediate"+writerPragmas); err != nil {
		return err
	}
	if err := s.prepare(ctx); err != nil {
		return err
	}
	if err := markMade(s.lock); err != nil {
		return ioFault(err)
	}
	if s.readers, err = connect(path, 4, "_pragma=query_only(1)"); err != nil {
		return err
	}
	if s.followers, err = connect(path, followerConnections(), "_pragma=query_only(1)"); err != nil {
		return err
	}
	conn, err := s.writers.Conn(ctx)
	if err != nil {
		return fault(err)
	}
	s.done = make(chan struct{})
	s.writer = &writer{store: s, conn: conn, most: queued, statements: map[string]*sql.Stmt{}, facts: map[flow.Digest]planFacts{}, live: map[flow.RunID]liveRun{}, loads: map[string]*load{}}
	for i := range s.queues {
		s.queues[i] = make(chan *operation, queued)
		s.writer.queues[i] = s.queues[i]
	}
	go func() {
		defer close(s.done)
		s.writer.work()
	}()
	if !small(path) {
		return s.checkBeside(path)
	}
	return nil
}

// writerPragmas: a thousand pipelines have more pages in use than the 2 MB that SQLite keeps, and reading one again costs
// more than a statement. The log is taken over in the middle of a commit only when it is long; the reserve has room for that.
const writerPragmas = "&_pragma=cache_size(-24000)&_pragma=wal_autocheckpoint(3000)"

// checkFile refuses what SQLite would take for a new database though it is none.
func checkFile(path string, lock *os.File) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && wasMade(lock):
		return gone()
	case errors.Is(err, fs.ErrNotExist):
		return makeFile(path)
	case err != nil:
		return ioFault(err)
	case !info.Mode().IsRegular():
		return foreign("it is not a file")
	case info.Size() == 0 && wasMade(lock):
		return emptied()
	}
	return nil
}

func emptied() error { return damaged("the file is empty, and it was not before") }

// makeFile makes the file, which nobody else may read, like those that SQLite puts beside it.
func makeFile(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return ioFault(err)
	}
	if err := f.Close(); err != nil {
		return ioFault(err)
	}
	return nil
}

// connect prepares a pool of connections; nothing is opened yet.
func connect(path string, size int, options string) (*sql.DB, error) {
	// A URI, so that no character of the path is read as an option.
	slashed := filepath.ToSlash(path)
	if !strings.HasPrefix(slashed, "/") {
		slashed = "/" + slashed // a drive letter
	}
	name := "file://" + (&url.URL{Path: slashed}).EscapedPath() + "?" + options +
		"&_pragma=busy_timeout(5000)&_pragma=foreign_keys(1)&_pragma=synchronous(FULL)&_dqs=0&_error_rc=1"
	db, err := sql.Open("sqlite", name)
	if err != nil {
		return nil, fault(err)
	}
	db.SetMaxOpenConns(size)
	db.SetMaxIdleConns(size)
	return db, nil
}

// prepare checks the file and brings it to the present form.
func (s *Store) prepare(ctx context.Context) error {
	if err := identify(ctx, s.writers); err != nil {
		return err
	}
	if small(s.path) {
		if err := check(ctx, s.writers); err != nil {
			return err
		}
	}
	var mode string
	if err := s.writers.QueryRowContext(ctx, "PRAGMA journal_mode = WAL").Scan(&mode); err != nil {
		return fault(err)
	}
	if mode != "wal" {
		return &flow.Error{Code: flow.CodeLedgerIO, Message: fmt.Sprintf("the file system allows journal mode %q, a ledger needs wal", mode), Hint: "keep the data folder on a local disk"}
	}
	provider, err := newProvider(s.writers)
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	version, known, err := provider.GetVersions(ctx)
	if err != nil {
		return fault(err)
	}
	if version > known {
		return newer(version, known)
	}
	if err := migrate(ctx, provider); err != nil {
		return err
	}
	return mark(ctx, s.writers)
}

// mark says in the file whose it is, unless it says so.
func mark(ctx context.Context, db *sql.DB) error {
	var id int64
	if err := db.QueryRowContext(ctx, "PRAGMA application_id").Scan(&id); err != nil || id == applicationID {
		return fault(err)
	}
	_, err := db.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id = %d", applicationID))
	return fault(err)
}

// migrate applies the migrations that the ledger lacks, each in a transaction of its own.
func migrate(ctx context.Context, provider *goose.Provider) error {
	for {
		_, err := provider.UpByOne(ctx)
		if errors.Is(err, goose.ErrNoNextVersion) {
			return nil
		}
		if err != nil {
			return fault(err)
		}
		failpoint.Here(failpoint.Migration)
	}
}

func newProvider(db *sql.DB) (*goose.Provider, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, fmt.Errorf("open migrations: %w", err)
	}

	return goose.NewProvider(goose.DialectSQLite3, db, files, goose.WithLogger(goose.NopLogger()), goose.WithDisableGlobalRegistry(true))
}

// identify refuses a file that is no database, or another program's.
func identify(ctx context.Context, db *sql.DB) error {
	var id, tables int64
	if err := db.QueryRowContext(ctx, "PRAGMA application_id").Scan(&id); err != nil {
		return fault(err)
	}
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema WHERE name NOT LIKE 'goose%' AND name NOT LIKE 'sqlite%'").Scan(&tables); err != nil {
		return fault(err)
	}
	// The id is set last, so a ledger whose making was cut short has none, and either no tables or its own.
	if id != applicationID && (id != 0 || (tables > 0 && !madeHalf(ctx, db))) {
		return foreign("it is the database of another program")
	}
	return nil
}

// madeHalf reports whether the first migration was committed and the mark of the file was not.
func madeHalf(ctx context.Context, db *sql.DB) bool {
	var own int
	err := db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema WHERE name IN ('runs_live', 'slots_run', 'goose_db_version')").Scan(&own)
	return err == nil && own == 3
}

// current refuses to read a ledger of another form: a reader cannot migrate it.
func (s *Store) current(ctx context.Context) error {
	var version int64
	if err := s.readers.QueryRowContext(ctx, "SELECT coalesce(max(version_id), 0) FROM goose_db_version WHERE is_applied").Scan(&version); err != nil {
		return fault(err)
	}
	known, err := newestForm(s.readers)
	if err != nil {
		return err
	}
	if version > known {
		return newer(version, known)
	}
	if version < known {
		return &flow.Error{Code: flow.CodeLedgerNewer, Message: fmt.Sprintf("the ledger has form %d, this program reads form %d", version, known), Hint: "start the host once with `uniflow serve`: it brings the ledger up to date"}
	}
	return nil
}

// newestForm is the form that the last migration makes.
func newestForm(db *sql.DB) (int64, error) {
	provider, err := newProvider(db)
	if err != nil {
		return 0, fmt.Errorf("read migrations: %w", err)
	}
	sources := provider.ListSources()
	return sources[len(sources)-1].Version, nil
}

// Close refuses new calls, lets the writer finish what has queued, and gives the data folder free.
func (s *Store) Close() error {
	s.gate.Lock()
	if s.closed {
		s.gate.Unlock()
		return nil
	}
	s.closed = true
	if s.unlook != nil {
		s.unlook()
	}
	if s.writer != nil {
		for _, q := range s.queues {
			close(q)
		}
	}
	s.gate.Unlock()
	if s.done != nil {
		<-s.done
	}
	s.checking.Wait()
	return s.release()
}

// release closes what is open, the lock last.
func (s *Store) release() error {
	var failures []error
	if s.readers != nil {
		failures = append(failures, s.readers.Close())
	}
	if s.followers != nil {
		failures = append(failures, s.followers.Close())
	}
	if s.writers != nil {
		failures = append(failures, s.writers.Close())
	}
	if s.lock != nil {
		failures = append(failures, s.lock.Close())
	}
	if err := errors.Join(failures...); err != nil {
		return fmt.Errorf("close ledger: %w", err)
	}
	return nil
}

// Changed returns a channel that is closed when something more has been committed. Ask for it before reading what is
// there, so that nothing is missed in between. It is never closed for a store that is read-only.
func (s *Store) Changed() <-chan struct{} {
	s.changes.Lock()
	defer s.changes.Unlock()
	return s.changed
}

func (s *Store) broadcast() {
	s.changes.Lock()
	defer s.changes.Unlock()
	close(s.changed)
	s.changed = make(chan struct{})
}
