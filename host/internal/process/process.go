// Package process is the flow.Runtime of plugins that are programs of their own (flow.KindProcess), spoken to by
// go-plugin. It owns their life: the bytes are checked and copied before they run, a process starts with an empty
// environment in a session of its own, serves one tenant and one attempt at a time, is kept for a while between
// attempts, and is killed with all that it started after a fault, after a cancellation and at the end.
//
// A process is confined, not sandboxed: it has the rights of the host's user. The package must not know the services,
// the ledger or the other runtimes, and never lets a plugin decide how much memory or time of the host it takes.
package process

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/sdk/abi"
)

// Config is what a Runtime needs.
type Config struct {
	// Logger is told of processes that start and end. Required.
	Logger *slog.Logger
	// Dir is a folder in which the runtime keeps two of its own: "process", which New empties, holds checked copies of
	// plugins, and sockets and scratch of processes; "compiled" holds what workers have compiled. Two runtimes must not
	// share it. Defaults to a new folder among the temporary files of the system.
	Dir string
	// Idle is how long a process is kept after an attempt. Defaults to 1 minute; a negative one ends every process
	// with its attempt.
	Idle time.Duration
	// Start bounds the time until a new process answers. Defaults to 10 seconds.
	Start time.Duration
	// Parallel bounds the attempts at one time; attempts beyond it wait. Defaults to 32.
	Parallel int
	// Keep bounds the processes that are kept idle, over all plugins and tenants: the one that was used longest ago makes
	// room. Defaults to Parallel.
	Keep int
	// Worker is the program that is started as a worker: its main calls ServeWorker where IsWorker. Defaults to the
	// program that runs.
	Worker string
	// Compile bounds the time in which a worker makes a module ready. Defaults to 1 minute.
	Compile time.Duration
	// Seals remembers what workers have compiled, so that what somebody else wrote into Dir is not executed. Defaults to
	// trust, for a folder that is nobody else's.
	Seals Seals
	// Memory is how much more than at its start a worker may hold, beside twice the memory of the call that it executes.
	// Defaults to 1 GiB.
	Memory flow.Size
}

// Seals remembers the digest of what was compiled, by name, out of reach of whoever can write to Config.Dir. A name without a
// seal is flow.ErrNotFound.
type Seals interface {
	Seal(ctx context.Context, name string) (flow.Digest, error)
	PutSeal(ctx context.Context, name string, d flow.Digest) error
}

// Runtime starts, keeps and kills the processes of plugins. It is safe for concurrent use.
type Runtime struct {
	log     *slog.Logger
	idle    time.Duration
	start   time.Duration
	keep    int
	program string // of workers
	compile time.Duration
	memory  flow.Size
	network func() uintptr // asks the system once
	// programs holds checked copies of plugins by digest; scratch holds a folder per process.
	programs, scratch string
	compiled          string   // holds a folder per module that a worker has compiled
	seals             Seals    // of their indices
	temporary         []string // to be removed at the end
	cgroups           *cgroups
	slots             chan struct{} // one per attempt
	starts            chan struct{} // one per worker that is being started
	started           atomic.Uint64 // processes so far

	watchers sync.WaitGroup // one per process
	mu       sync.Mutex
	closed   bool
	modules  map[string]*module
	hosted   map[string]*hosted
	workers  pool
	alive    map[*proc]struct{}
	kept     int // idle processes of all pools
	// sweeper ends idle processes; nextSweep is when it is due, zero where it is not.
	sweeper   *time.Timer
	nextSweep time.Time
}

var _ flow.Runtime = (*Runtime)(nil)

// startsPerProcessor bounds the workers that are being started at one time: many more together would take so long that all
// of them were given up. More than one tenant has places, so that one alone cannot take all.
const startsPerProcessor = 4

// longestScratch is the longest path of a scratch folder under which the path of a socket stays within the 104 bytes
// that all systems allow.
const longestScratch = 55

// New returns a Runtime. The error has the code CodeProcessHost when its folders cannot be made.
func New(cfg Config) (*Runtime, error) {
	r := &Runtime{
		log: cfg.Logger, idle: cfg.Idle, start: cfg.Start, keep: cfg.Keep, program: cfg.Worker, compile: cfg.Compile, memory: cfg.Memory, seals: cfg.Seals,
		modules: map[string]*module{}, hosted: map[string]*hosted{}, alive: map[*proc]struct{}{},
	}
	r.workers.runtime, r.network = r, sync.OnceValue(noNetwork)
	if r.idle == 0 {
		r.idle = time.Minute
	}
	if r.start <= 0 {
		r.start = 10 * time.Second
	}
	if cfg.Parallel <= 0 {
		cfg.Parallel = 32
	}
	if r.keep <= 0 {
		r.keep = cfg.Parallel
	}
	if r.compile <= 0 {
		r.compile = time.Minute
	}
	if r.memory <= 0 {
		r.memory = 1 << 30
	}
	r.slots = make(chan struct{}, cfg.Parallel)
	r.starts = make(chan struct{}, startsPerProcessor*runtime.GOMAXPROCS(0))
	if err := r.makeFolders(cfg.Dir); err != nil {
		return nil, errors.Join(&flow.Error{
			Code: flow.CodeProcessHost, Op: "prepare folders for process plugins", Err: err,
			Hint: "see that the host's user can write there and that the disk is not full",
		}, r.removeFolders())
	}
	r.sweeper = time.AfterFunc(time.Hour, r.sweep)
	r.cgroups = openCgroups()
	return r, nil
}

// makeFolders makes the folders, readable by the host's user only.
func (r *Runtime) makeFolders(dir string) (err error) {
	own := filepath.Join(dir, "process")
	if dir == "" {
		if own, err = os.MkdirTemp("", "uniflow-"); err != nil {
			return err
		}
	} else {
		if n := reapOrphans(own); n > 0 {
			r.log.Warn("processes of an earlier host killed", slog.Int("processes", n))
		}
		if err = os.RemoveAll(own); err != nil {
			return err
		}
	}
	if own, err = filepath.Abs(own); err != nil {
		return err
	}
	r.temporary = append(r.temporary, own)
	r.programs, r.scratch = filepath.Join(own, "bin"), filepath.Join(own, "run")
	if err := os.MkdirAll(r.programs, 0o700); err != nil {
		return err
	}
	if err := r.makeCompiled(dir, own); err != nil {
		return err
	}
	if len(r.scratch) <= longestScratch {
		return os.Mkdir(r.scratch, 0o700)
	}
	if r.scratch, err = os.MkdirTemp("", "uf-"); err != nil {
		return err
	}
	r.temporary = append(r.temporary, r.scratch)
	return nil
}

// makeCompiled makes the folder of compiled modules, which stays where dir is given.
func (r *Runtime) makeCompiled(dir, own string) error {
	if dir == "" {
		dir = own
	}
	dir, err := filepath.Abs(filepath.Join(dir, "compiled"))
	if err != nil {
		return err
	}
	program, err := r.workerProgram()
	if err != nil {
		return err
	}
	if r.compiled, err = openCompiled(dir, program); err != nil { // the start of a worker says what is wrong with it
		r.compiled = filepath.Join(own, "compiled")
		err = os.MkdirAll(r.compiled, 0o700)
	}
	return err
}

func (r *Runtime) removeFolders() error {
	var errs []error
	for _, dir := range r.temporary {
		errs = append(errs, os.RemoveAll(dir))
	}
	return errors.Join(errs...)
}

// Load implements flow.Runtime: it checks the program, starts it once and keeps that process for the first attempt, so
// that a program that is no plugin is found here and not by a run.
//
// A plugin of kind wasm is loaded in a worker, and is executed in workers only.
func (r *Runtime) Load(ctx context.Context, p flow.PlanPlugin) (flow.Module, error) {
	if p.Kind == flow.KindWasm {
		return r.loadHosted(ctx, p)
	}
	m, err := r.load(ctx, p)
	if err != nil {
		return nil, err
	}
	return m, nil
}

// Describe returns what the plugin says of itself, under the same errors as Load.
func (r *Runtime) Describe(ctx context.Context, p flow.PlanPlugin) (abi.Descriptor, error) {
	m, err := r.load(ctx, p)
	if err != nil {
		return abi.Descriptor{}, err
	}
	return m.descriptor, nil
}

func (r *Runtime) load(ctx context.Context, p flow.PlanPlugin) (*module, error) {
	m := r.module(p.Key(), p)
	select {
	case m.loading <- struct{}{}:
		defer func() { <-m.loading }()
	case <-ctx.Done():
		return nil, fmt.Errorf("load plugin %q: %w", p.Name, context.Cause(ctx))
	}
	if r.stopping() {
		return nil, loadError(p, flow.CodeStopping, "", "the host is stopping", nil)
	}
	if m.program != "" {
		return m, nil
	}
	m.plugin = p // an earlier one could not be loaded
	program, err := r.takeFile(ctx, p)
	if err != nil {
		return nil, err
	}
	w, err := r.startPlugin(ctx, m, program)
	if err != nil {
		return nil, err
	}
	m.program, m.descriptor = program, w.descriptor
	m.pool.put(w)
	return m, nil
}

// module returns the one module for a key; it may not be loaded yet.
func (r *Runtime) module(key string, p flow.PlanPlugin) *module {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.modules[key]
	if m == nil {
		m = &module{runtime: r, plugin: p, loading: make(chan struct{}, 1), pool: pool{runtime: r}}
		r.modules[key] = m
	}
	return m
}

// Close kills all processes and returns when they are gone, or when ctx ends. Attempts that still run end with
// flow.ReasonStop. Nothing can be loaded or called after it.
func (r *Runtime) Close(ctx context.Context) error {
	r.mu.Lock()
	r.closed = true
	r.sweeper.Stop()
	for w := range r.alive {
		w.child.kill()
	}
	r.mu.Unlock()
	gone := make(chan struct{})
	go func() {
		r.watchers.Wait()
		close(gone)
	}()
	select {
	case <-gone:
	case <-ctx.Done():
		return fmt.Errorf("wait for the processes of plugins to end: %w", context.Cause(ctx))
	}
	r.cgroups.close()
	return r.removeFolders()
}

func (r *Runtime) stopping() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.closed
}

// scratchFolder makes the folder of a new process. Its name is short: it is part of the paths of sockets.
func (r *Runtime) scratchFolder() (string, error) {
	if n := len(r.scratch); n > longestScratch {
		return "", fmt.Errorf("the path of a socket in %s would be too long: it has %d bytes, at most %d are possible", r.scratch, n, longestScratch)
	}
	dir := filepath.Join(r.scratch, strconv.FormatUint(r.started.Add(1), 36))
	return dir, os.Mkdir(dir, 0o700)
}

// loadError says why a plugin cannot be loaded.
func loadError(p flow.PlanPlugin, code flow.Code, hint, message string, err error) error {
	return &flow.Error{Code: code, Op: fmt.Sprintf("load plugin %q", p.Name), Message: message, Hint: hint, Err: err}
}

// Guard is one means by which processes of plugins are kept in check.
type Guard struct {
	Name string
	// Holds reports whether this machine has it.
	Holds bool
	// About says what it does, or what is lost without it.
	About string
}
