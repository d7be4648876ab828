// Package wasm is the flow.Runtime of Wasm modules, on the engine wazero: it says what a module is and needs without
// executing it, compiles it once per digest, and gives each attempt a fresh instance with the imports of the host ABI
// and of WASI preview 1, no more than the plugin is granted.
//
// It must not know the services, the ledger or the other runtimes. A guest is stopped at loop headers and host calls; one
// that recurses without a loop is not stopped yet.
package wasm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/wasm/binary"
)

// Config wires a Runtime.
type Config struct {
	// CacheDir keeps compiled modules between starts; machine code is loaded from it, so nobody but the host may write
	// there. It is created with mode 0700. Defaults to none: every start compiles anew.
	CacheDir string
	// Logger hears of faults of the host itself. Defaults to none.
	Logger *slog.Logger
}

// Runtime loads modules. It is safe for concurrent use.
type Runtime struct {
	config Config

	mu      sync.Mutex
	engines map[flow.Digest]*loading
	closed  bool
	work    sync.WaitGroup
}

var _ flow.Runtime = (*Runtime)(nil)

// loading is a module that is compiled, or being compiled until done is closed.
type loading struct {
	done   chan struct{}
	engine *engine
	err    error
}

// New returns a Runtime. The error has the code flow.CodeModuleCache when the cache cannot be used.
func New(_ context.Context, c Config) (*Runtime, error) {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.CacheDir != "" {
		if err := privateDir(c.CacheDir); err != nil {
			return nil, &flow.Error{Code: flow.CodeModuleCache, Op: "open the cache of compiled modules", Err: err, Hint: "see that the data folder can be written"}
		}
	}
	return &Runtime{config: c, engines: map[flow.Digest]*loading{}}, nil
}

func privateDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err //nolint:wrapcheck // the path is in it
	}
	return os.Chmod(dir, 0o700) //nolint:wrapcheck,gosec // the path is in it; a folder needs the x bits
}

// Load implements flow.Runtime. A digest that is loaded already is not read again; otherwise the file is read once, and
// what was read is checked and compiled. Compilation goes on for others when ctx ends.
func (r *Runtime) Load(ctx context.Context, p flow.PlanPlugin) (flow.Module, error) {
	l, err := r.start(p)
	if err != nil {
		return nil, err
	}
	select {
	case <-l.done:
	case <-ctx.Done():
		return nil, fmt.Errorf("load plugin %q: %w", p.Name, context.Cause(ctx))
	}
	if l.err != nil {
		return nil, named(l.err, p.Name)
	}
	return &module{engine: l.engine, grant: p.Grant, log: r.config.Logger}, nil
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

// start returns the loading of the plugin's digest, and begins it where nobody has.
func (r *Runtime) start(p flow.PlanPlugin) (*loading, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, fmt.Errorf("load plugin %q: the runtime is closed", p.Name)
	}
	if l, ok := r.engines[p.Digest]; ok {
		return l, nil
	}
	l := &loading{done: make(chan struct{})}
	r.engines[p.Digest] = l
	r.work.Go(func() {
		defer close(l.done)
		l.engine, l.err = r.load(p)
		if l.err != nil {
			r.mu.Lock()
			delete(r.engines, p.Digest) // the next Load tries again
			r.mu.Unlock()
		}
	})
	return l, nil
}

func (r *Runtime) load(p flow.PlanPlugin) (*engine, error) {
	b, err := readModule(p.Path)
	if err != nil {
		return nil, err
	}
	if found := flow.DigestOf(b); found != p.Digest {
		return nil, &flow.Error{
			Code: flow.CodeModuleDigest, Message: fmt.Sprintf("the file has the digest %s, the plan has %s", found.Short(), p.Digest.Short()),
			Hint: "apply the manifest again to take the new bytes over, or restore the file",
		}
	}
	info, err := Inspect(b)
	if err != nil {
		return nil, err
	}
	dir := ""
	if r.config.CacheDir != "" {
		dir = filepath.Join(r.config.CacheDir, p.Digest.Hex())
	}
	return newEngine(context.Background(), b, info, dir)
}

// readModule returns the bytes of a module's file. The error has a code UF2xxx.
func readModule(path string) ([]byte, error) {
	fail := func(message string, err error) error {
		return &flow.Error{Code: flow.CodeModuleFile, Message: message, Err: err, Hint: "build the plugin, or correct its path in the manifest"}
	}
	stat, err := os.Stat(path) // before opening: a named pipe would block
	if err != nil {
		return nil, fail("", err)
	}
	switch {
	case stat.IsDir():
		return nil, fail(fmt.Sprintf("%s is a folder; a plugin is one .wasm file", path), nil)
	case !stat.Mode().IsRegular():
		return nil, fail(path+" is not a regular file", nil)
	}
	f, err := os.Open(path) //nolint:gosec // the path is the manifest's
	if err != nil {
		return nil, fail("", err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	b, err := io.ReadAll(io.LimitReader(f, binary.MaxModule+1))
	if err != nil {
		return nil, fail("", err)
	}
	return b, nil
}

// Close implements flow.Runtime: it waits for compilations under way and frees all modules; calls under way fail.
func (r *Runtime) Close(ctx context.Context) error {
	r.mu.Lock()
	r.closed = true
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
