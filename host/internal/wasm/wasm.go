// Package wasm is the flow.Runtime of Wasm modules, on the engine wazero: it says what a module is and needs without
// executing it, compiles it once per digest, and gives each attempt a fresh instance with the imports of the host ABI
// and of WASI preview 1, no more than the plugin is granted.
//
// It must not know the services, the ledger or the other runtimes. The engine sees only what package binary has written:
// a guest counts its work, and calls the host after each slice of it, where it is stopped when its time, its fuel or the
// host is at an end.
package wasm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/wasm/binary"
)

// Config wires a Runtime.
type Config struct {
	// CacheDir keeps compiled modules between starts; machine code is loaded from it, so nobody but the host may write
	// there. It is created with mode 0700. Defaults to none: every start compiles anew.
	CacheDir string
	// Seals remembers what was compiled, so that a file of the cache that somebody else wrote is not loaded. Defaults to
	// trust, for a folder that is nobody else's.
	Seals Seals
	// MaxCache bounds the cache, in bytes; what was used longest ago makes room. Defaults to 1 GiB.
	MaxCache int64
	// MaxKept bounds the memory of instances that wait for their next attempt, in bytes, together with that of their first
	// states; beyond it instances are made anew. Defaults to 512 MiB.
	MaxKept int64
	// MaxModules bounds the compiled modules in memory; the one that was idle longest makes room, and is compiled or read
	// from the cache again when it is called. Defaults to 64.
	MaxModules int
	// Logger hears of faults of the host itself. Defaults to none.
	Logger *slog.Logger
}

// Runtime loads modules. It is safe for concurrent use.
type Runtime struct {
	config Config

	mu      sync.Mutex
	engines map[flow.Digest]*loading
	clock   int64 // counts uses, for their order
	closed  bool
	calls   map[*context.CancelCauseFunc]struct{} // ends what runs
	scripts map[flow.Digest]*Script
	kept    allowance
	work    sync.WaitGroup // compilations and calls
	// compiled and reopened count modules so far.
	compiled, reopened atomic.Uint64
}

var _ flow.Runtime = (*Runtime)(nil)

// loading is a module that is compiled, or being compiled until done is closed. The other fields are guarded by the
// Runtime's mutex.
type loading struct {
	done   chan struct{}
	engine *engine // this and err do not change after done
	err    error
	users  int   // who waits for it or calls it
	used   int64 // when it was last asked for
}

// New returns a Runtime. The error has the code flow.CodeModuleCache when the cache cannot be used.
func New(_ context.Context, c Config) (*Runtime, error) {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.MaxModules <= 0 {
		c.MaxModules = 64
	}
	if c.MaxKept <= 0 {
		c.MaxKept = 512 << 20
	}
	if c.MaxCache <= 0 {
		c.MaxCache = 1 << 30
	}
	if c.CacheDir != "" {
		if err := privateDir(c.CacheDir); err != nil {
			return nil, &flow.Error{Code: flow.CodeModuleCache, Op: "open the cache of compiled modules", Err: err, Hint: "see that the data folder can be written"}
		}
	}
	r := &Runtime{config: c, engines: map[flow.Digest]*loading{}, calls: map[*context.CancelCauseFunc]struct{}{}, scripts: map[flow.Digest]*Script{}}
	r.kept.limit = c.MaxKept
	return r, nil
}

func privateDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return os.Chmod(dir, 0o700) //nolint:gosec // a folder needs the x bits
}

// Load implements flow.Runtime. A digest that is loaded already is not read again; otherwise the file is read once, and
// what was read is checked and compiled. Compilation goes on for others when ctx ends.
func (r *Runtime) Load(ctx context.Context, p flow.PlanPlugin) (flow.Module, error) {
	m := &module{runtime: r, plugin: p, key: p.Key()}
	if p.Script != nil {
		var err error
		if m.script, err = r.openScript(p.Script); err != nil {
			return nil, named(err, p.Name)
		}
	}
	_, release, err := r.acquire(ctx, p)
	if err != nil {
		return nil, err
	}
	release()
	return m, nil
}

// acquire returns the compiled module of the plugin, which stays until it is released.
func (r *Runtime) acquire(ctx context.Context, p flow.PlanPlugin) (*engine, func(), error) {
	l, err := r.start(p)
	if err != nil {
		return nil, nil, err
	}
	release := func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		l.users--
	}
	select {
	case <-l.done:
	case <-ctx.Done():
		release()
		return nil, nil, fmt.Errorf("load plugin %q: %w", p.Name, context.Cause(ctx))
	}
	if l.err != nil {
		release()
		return nil, nil, named(l.err, p.Name)
	}
	return l.engine, release, nil
}

// named puts the plugin's name in front of an error that others may share.
func named(err error, plugin string) error {
	op := fmt.Sprintf("load plugin %q", plugin)
	if e, ok := errors.AsType[*flow.Error](err); ok {
		own := *e
		own.Op = op
		return &own
	}
	return fmt.Errorf("%s: %w", op, err)
}

// start returns the loading of the plugin's digest with one more user, and begins it where nobody has.
func (r *Runtime) start(p flow.PlanPlugin) (*loading, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, fmt.Errorf("load plugin %q: the runtime is closed", p.Name)
	}
	r.clock++
	l, ok := r.engines[p.Digest]
	if !ok {
		l = &loading{done: make(chan struct{})}
		r.engines[p.Digest] = l
		r.work.Go(func() {
			defer close(l.done)
			e, err := r.load(p)
			r.settle(p.Digest, l, e, err)
		})
	}
	l.users++
	l.used = r.clock
	return l, nil
}

// settle keeps what was loaded, and makes room where there are too many; what could not be loaded is tried again next
// time.
func (r *Runtime) settle(d flow.Digest, l *loading, e *engine, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l.engine, l.err = e, err
	if err != nil {
		delete(r.engines, d)
		return
	}
	for len(r.engines) > r.config.MaxModules {
		oldest, found := r.idle(l)
		if !found {
			return // all are in use
		}
		r.log(r.engines[oldest].engine.close(context.Background()))
		delete(r.engines, oldest)
	}
}

// idle returns the module that nobody uses and that was asked for longest ago, other than fresh.
func (r *Runtime) idle(fresh *loading) (oldest flow.Digest, found bool) {
	for d, l := range r.engines {
		if l.users > 0 || l.engine == nil || l == fresh {
			continue
		}
		if !found || l.used < r.engines[oldest].used {
			oldest, found = d, true
		}
	}
	return oldest, found
}

func (r *Runtime) log(err error) {
	if err != nil {
		r.config.Logger.Warn("compiled module not freed", slog.Any("err", err))
	}
}

func (r *Runtime) load(p flow.PlanPlugin) (*engine, error) {
	b, err := readModule(p.Path)
	if err != nil {
		return nil, err
	}
	if found := flow.DigestOf(b); found != p.Digest {
		return nil, &flow.Error{
			Code: flow.CodeModuleDigest, Message: fmt.Sprintf("the file has the digest %s, the plan has %s", found.Short(), p.Digest.Short()),
			Hint: "build again to take the new bytes over (uniflow build), or restore the file",
		}
	}
	c := &cache{dir: r.config.CacheDir, seals: r.config.Seals, limit: r.config.MaxCache, log: r.config.Logger}
	dir, kept, err := c.open(context.Background(), p.Digest)
	if err != nil {
		return nil, err
	}
	if kept {
		if ready, err := readPrepared(dir); err == nil {
			if e, err := newEngine(context.Background(), ready, dir); err == nil {
				e.kept = &r.kept
				r.reopened.Add(1)
				return e, nil
			}
		}
	}
	ready, err := prepare(b)
	if err != nil {
		return nil, err
	}
	e, err := newEngine(context.Background(), ready, dir)
	if err != nil {
		return nil, err
	}
	e.kept = &r.kept
	r.compiled.Add(1)
	if dir != "" {
		c.keep(context.Background(), dir, ready)
	}
	return e, nil
}

// readModule returns the bytes of a module's file. The error names the file without its folders, which are the host's.
func readModule(path string) ([]byte, error) {
	name := filepath.Base(path)
	fail := func(message string, err error) error {
		return &flow.Error{Code: flow.CodeModuleFile, Message: name + ": " + message, Err: pathless(err), Hint: "build the plugin, or correct its path in the manifest"}
	}
	stat, err := os.Stat(path) // before opening: a named pipe would block
	if err != nil {
		return nil, fail("cannot be read", err)
	}
	switch {
	case stat.IsDir():
		return nil, fail("is a folder; a plugin is one .wasm file", nil)
	case !stat.Mode().IsRegular():
		return nil, fail("is not a regular file", nil)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fail("cannot be read", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, binary.MaxModule+1))
	switch {
	case err != nil:
		return nil, fail("cannot be read", err)
	case len(b) > binary.MaxModule: // of which no digest can be told
		return nil, &flow.Error{
			Code: flow.CodeModuleLimit, Message: fmt.Sprintf("%s: has more than %s, the most that a module may have", name, flow.Size(binary.MaxModule)),
			Hint: "strip debug information, or split the plugin",
		}
	}
	return b, nil
}

// pathless drops the path from an error of the file system.
func pathless(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}

// enter returns the ctx of a call, which Close ends too. The call ends with leave.
func (r *Runtime) enter(ctx context.Context) (_ context.Context, leave func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		cancel(errClosed())
		return ctx, func() {}
	}
	r.work.Add(1)
	r.calls[&cancel] = struct{}{}
	return ctx, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.calls, &cancel)
		cancel(nil)
		r.work.Done()
	}
}

func errClosed() *flow.Fault {
	return &flow.Fault{Reason: flow.ReasonStop, Message: "the host stopped while the step ran"}
}

// Close implements flow.Runtime: it ends calls under way, each after its grace, waits for them and for compilations, and
// frees all modules.
func (r *Runtime) Close(ctx context.Context) error {
	r.mu.Lock()
	r.closed = true
	for cancel := range r.calls {
		(*cancel)(errClosed())
	}
	r.mu.Unlock()
	r.work.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	var errs []error
	for _, l := range r.engines {
		if l.engine != nil {
			errs = append(errs, l.engine.close(ctx))
		}
	}
	clear(r.engines)
	return errors.Join(errs...)
}
