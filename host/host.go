// Package host is Uniflow as a library: open a host on a manifest or on nothing, register functions, define pipelines,
// schedule them, run them, and read what became of them.
//
// It is also where all parts are wired together, and the only place that knows them all. What it promises is what
// stands in this package and in host/flow; everything below host/internal may change at any time.
//
// A host owns its data folder alone. Several hosts of one machine use folders of their own.
package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/access"
	"github.com/uniflow-dev/uniflow/host/internal/blob"
	"github.com/uniflow-dev/uniflow/host/internal/dispatch"
	"github.com/uniflow-dev/uniflow/host/internal/gofunc"
	"github.com/uniflow-dev/uniflow/host/internal/process"
	"github.com/uniflow-dev/uniflow/host/internal/project"
	"github.com/uniflow-dev/uniflow/host/internal/run"
	"github.com/uniflow-dev/uniflow/host/internal/schedule"
	"github.com/uniflow-dev/uniflow/host/internal/secret"
	"github.com/uniflow-dev/uniflow/host/internal/service"
	"github.com/uniflow-dev/uniflow/host/internal/store/sqlite"
	"github.com/uniflow-dev/uniflow/host/internal/watch"
	"github.com/uniflow-dev/uniflow/host/internal/watch/metrics"
	"github.com/uniflow-dev/uniflow/host/internal/watch/trace"
)

// Version is the version of this build; releases set it when they are linked.
var Version = "0.1.0-dev" //nolint:gochecknoglobals // set by -ldflags -X, which needs a variable

// Config is how to open a host. The zero Config, with Manifest or Data set, is a good one.
type Config struct {
	// Manifest is the path of a uniflow.toml. Defaults to none: pipelines are then defined in code.
	Manifest string
	// Data is the folder of the ledger, the module cache and artifacts; it is created. Defaults to what the manifest
	// says, "data" beside it if it says nothing. Needed without a manifest.
	Data string
	// API serves the control API while the host runs. Defaults to none.
	API *API
	// Parallel bounds the steps that execute at one time. Defaults to twice the number of processors.
	Parallel int
	// Drain is how long Stop lets live runs go on before it cancels them. Defaults to 30 s; negative is not at all.
	Drain time.Duration
	// Build runs the build commands of the manifest's plugins and pins what they make, as `uniflow run` does. Defaults
	// to no: a plugin that is not pinned is then refused.
	Build bool
	// Secrets names the source of secrets: env:PREFIX_, file:PATH, dir:PATH or age:PATH; relative paths are in the
	// manifest's folder, without a manifest in the working directory. Defaults to what the manifest says.
	Secrets string
	// ReadOnly opens the ledger for reading, beside a host that may be running; what would write is refused.
	ReadOnly bool
	// Logger takes the host's own words. Defaults to none.
	Logger *slog.Logger
}

// API says where a host serves its control API, beside the Unix socket in its data folder.
type API struct {
	// Listen is a TCP address. Defaults to what the manifest says, 127.0.0.1:7420 if it says nothing; "none" turns
	// TCP off. An address that is not a loopback one needs a Token, or one that was made before.
	Listen string
	// Token is what opens everything to clients that send it as a bearer token, beside the tokens that were made. Defaults
	// to none.
	Token string
}

// Host runs pipelines. It is safe for concurrent use. It implements flow.Control.
type Host struct {
	config  Config
	log     *slog.Logger
	data    string
	store   *sqlite.Store
	blobs   *blob.Store
	funcs   *gofunc.Runtime
	loader  *loader
	runner  *dispatch.Dispatcher
	clock   *schedule.Scheduler
	watcher *watch.Watcher
	metrics *metrics.Metrics
	tracer  *trace.Tracer // nil where traces go nowhere
	quotas  quotas
	turns   *run.Turns
	tokens  *access.Tokens
	opened  time.Time

	// applying is held by who applies. What was applied last is replaced under view together with plans, the ledger's
	// schedules and the clock: a verb that joins them holds it for reading, for as long as it looks and no longer.
	applying sync.Mutex
	view     sync.RWMutex
	applied  atomic.Pointer[applied]

	mu sync.Mutex
	// sources are where the secrets of tenants are; one that is not there has none.
	sources map[string]secret.Source
	plans   map[string]*entry // by id
	// broken are the schedules whose runs cannot be made, by id, with what was told of it.
	broken map[string]string
	// registered are the names of Go functions.
	registered []string
	// allowed are the functions that may reach something, by name.
	allowed map[string]flow.Plugin
	// bounding is held by who looks at a bound and then adds to what it bounds. It is taken before view.
	bounding sync.Mutex
	// matching is held by who does something to all runs that match.
	matching sync.Mutex
	serving  bool
	stopped  bool
	listen   string
	tls      bool
	socket   string
	refused  access.Refusals
	services sync.WaitGroup
	// background is the life of everything that Start starts.
	background context.Context //nolint:containedctx // the host's own lifetime, not a caller's request
	cancel     context.CancelFunc
}

// entry is a pipeline that the host knows. Nobody changes one.
type entry struct {
	plan   flow.Plan
	origin flow.Origin
	// own is what the manifest says where plan is an earlier version by a rollback; else nil.
	own *flow.Plan
}

// Open reads the manifest, if there is one, checks all of it, and opens the ledger. Nothing fires before Start. An
// error about the manifest is flow.Problems; others that the caller can act on are *flow.Error.
func Open(ctx context.Context, c Config) (*Host, error) {
	if process.IsWorker() {
		return nil, errInsideWorker()
	}
	h := &Host{config: c, log: c.Logger, plans: map[string]*entry{}, broken: map[string]string{}, opened: time.Now(), tokens: access.NewTokens()}
	h.applied.Store(&applied{})
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	h.funcs = gofunc.New(h.log)
	if err := h.open(ctx); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
}

func (h *Host) open(ctx context.Context) error {
	var err error
	if err = h.read(ctx); err != nil {
		return err
	}
	if err = os.MkdirAll(h.data, 0o700); err != nil && !h.config.ReadOnly {
		return &flow.Error{Code: flow.CodeData, Op: "open the data folder", Message: "it cannot be made", Hint: "check its path and permissions, or choose another with `data` under [host]", Err: err}
	}
	if h.store, err = sqlite.Open(ctx, sqlite.Config{Path: filepath.Join(h.data, "uniflow.db"), Boot: string(flow.NewRunID(h.opened)), ReadOnly: h.config.ReadOnly, Quotas: h.quotas.of, Logger: h.log}); err != nil {
		return err
	}
	if h.blobs, err = blob.Open(filepath.Join(h.data, "artifacts")); err != nil {
		return err
	}
	h.quotas.ledger = h.store
	h.blobs.Bound(h.quotas.artifacts)
	if h.sources, err = h.openSecrets(h.current()); err != nil {
		return err
	}
	if err = h.openTokens(ctx); err != nil {
		return err
	}
	h.openWatch()
	if err = h.openObservers(ctx); err != nil {
		return err
	}
	if !h.config.ReadOnly { // a host that runs may use the same folders
		if err = h.wire(ctx); err != nil {
			return err
		}
	}
	return h.begin(ctx)
}

// read loads the manifest and finds the data folder.
func (h *Host) read(ctx context.Context) error {
	h.data = h.config.Data
	if h.config.Manifest != "" {
		p, err := project.Load(ctx, h.config.Manifest, project.Options{Build: h.config.Build, Pinned: !h.config.Build && !h.config.ReadOnly, Data: h.config.Data, Secrets: h.config.Secrets})
		if err != nil {
			return err
		}
		h.applied.Store(&applied{project: p})
		h.data = p.Data
		h.quotas.set(p.Tenants)
	}
	if h.data == "" {
		return &flow.Error{Code: flow.CodeData, Op: "open a host", Message: "neither a manifest nor a data folder was given", Hint: "set Config.Manifest or Config.Data"}
	}
	abs, err := filepath.Abs(h.data)
	if err != nil {
		return fmt.Errorf("open the data folder: %w", err)
	}
	h.data = abs
	return nil
}

// wire connects the parts.
func (h *Host) wire(ctx context.Context) error {
	var err error
	if h.loader, err = newLoader(ctx, h.data, h.store, h.funcs, h.log); err != nil {
		return err
	}
	parallel := h.config.Parallel
	if parallel <= 0 {
		parallel = 2 * runtime.GOMAXPROCS(0)
	}
	services := service.New(service.Config{Blobs: h.blobs, Version: Version, Secrets: h.secretOf, Quotas: &h.quotas})
	h.turns = run.NewTurns(parallel, h.quotas.memory)
	h.runner = dispatch.New(dispatch.Config{
		Queue: queue{h.store, h.current}, Logger: h.log, Bounded: func(tenant string) bool { return h.quotas.of(tenant) != nil }, Admit: h.admit,
		Runner: run.New(run.Config{
			Misfit: new(shapes).misfit,
			Load:   h.loadGuarded, Open: openServices(services, h.tracer), Sampled: h.tracer.Sampled, Ledger: h.store,
			Turns: h.turns, Features: services.Features(), Logger: h.log,
		}),
	})
	h.clock, err = schedule.New(schedule.Config{Queue: h.runner, Ledger: h.store, NewRun: h.slotRun, Lock: h.view.RLocker(), Soon: h.slotSoon, Logger: h.log})
	return err
}

func (h *Host) keepPlan(ctx context.Context, p flow.Plan, origin flow.Origin) error {
	if !h.config.ReadOnly {
		if err := h.store.SavePlan(ctx, p); err != nil {
			return fmt.Errorf("record the plan of %q: %w", p.ID(), err)
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.plans[p.ID()] = &entry{plan: p, origin: origin}
	return nil
}

// Start loads every plugin, resumes what an earlier life of the host left live, arms the schedules and, if the Config
// says so, serves the API. It returns once all of that is done; Stop ends it.
func (h *Host) Start(ctx context.Context) error {
	if h.config.ReadOnly {
		return errReadOnly("start the host")
	}
	h.mu.Lock()
	if h.serving || h.stopped {
		h.mu.Unlock()
		return &flow.Error{Code: flow.CodeStopping, Op: "start the host", Message: "it was started before", Hint: "open another host"}
	}
	h.serving = true
	h.background, h.cancel = context.WithCancel(context.Background())
	h.mu.Unlock()
	if err := h.store.Reserve(ctx); err != nil {
		return fmt.Errorf("reserve disk space: %w", err)
	}
	h.applying.Lock() // until all is served as the manifest says
	defer h.applying.Unlock()
	if err := h.loadAll(ctx); err != nil {
		return err
	}
	if err := h.watcher.Begin(ctx); err != nil {
		return err
	}
	if err := errors.Join(h.metrics.Begin(ctx), h.tracer.Begin(ctx)); err != nil {
		return err
	}
	if err := h.serveAPI(ctx); err != nil {
		return err
	}
	if err := h.resume(ctx); err != nil {
		return err
	}
	if err := h.deployFirst(ctx); err != nil {
		return err
	}
	h.clock.Start()
	h.services.Go(func() { h.prune(h.background) })
	h.services.Go(func() { h.watcher.Run(h.background) })
	h.services.Go(func() { h.metrics.Run(h.background) })
	h.services.Go(func() { h.tracer.Run(h.background) })
	h.services.Go(func() { h.giveBack(h.background) })
	h.services.Go(func() { h.touchTokens(h.background) })
	return nil
}

// load compiles and checks the plugins of one plan, all at once; what is loaded already costs nothing.
func (h *Host) load(ctx context.Context, p *flow.Plan) error {
	failures := make(chan error, len(p.Plugins))
	for _, plugin := range p.Plugins {
		go func() {
			_, err := h.loader.Load(ctx, plugin)
			if err != nil {
				err = fmt.Errorf("pipeline %q: load plugin %q: %w", p.ID(), plugin.Name, err)
			}
			failures <- err
		}()
	}
	var all []error
	for range p.Plugins {
		all = append(all, <-failures)
	}
	return errors.Join(all...)
}

// resume takes up the runs that were live or waiting when the host ended.
func (h *Host) resume(ctx context.Context) error {
	claimed, lost, err := h.store.Recover(ctx)
	if err != nil {
		return fmt.Errorf("recover runs: %w", err)
	}
	for _, id := range lost {
		h.log.Warn("run lost", slog.String("run", string(id)))
	}
	h.runner.Resume(claimed)
	return h.wake(ctx)
}

// wake starts the oldest waiting run of every pipeline that has one.
func (h *Host) wake(ctx context.Context) error {
	woken := map[string]bool{}
	query := flow.RunQuery{State: flow.StateQueued, Limit: 1000}
	for {
		waiting, err := h.store.Runs(ctx, query)
		if err != nil {
			return fmt.Errorf("find waiting runs: %w", err)
		}
		for i := range waiting {
			id := flow.ID(waiting[i].Tenant, waiting[i].Pipeline)
			if woken[id] {
				continue
			}
			if tenant := waiting[i].Tenant; !woken[tenant+"/"] && h.quotas.of(tenant) != nil {
				woken[tenant+"/"] = true
				if err := h.runner.Oldest(ctx, tenant); err != nil {
					return err
				}
			}
			woken[id] = true
			if err := h.runner.Next(ctx, waiting[i].Tenant, waiting[i].Pipeline); err != nil {
				return err
			}
		}
		if len(waiting) < query.Limit {
			return nil
		}
		query.Before = waiting[len(waiting)-1].ID
	}
}

// Stop ends the host: no slot fires any more, live runs go on for the drain time or until ctx ends and are cancelled
// then, and everything is closed. What was recorded stays.
func (h *Host) Stop(ctx context.Context) error {
	h.mu.Lock()
	if h.stopped {
		h.mu.Unlock()
		return nil
	}
	h.stopped = true
	cancel := h.cancel
	h.mu.Unlock()
	var failures []error
	if h.clock != nil {
		failures = append(failures, h.clock.Stop())
	}
	if h.runner != nil {
		drain := h.config.Drain
		if drain == 0 {
			drain = 30 * time.Second
		}
		limited, release := context.WithTimeout(ctx, max(drain, 0))
		h.runner.Stop(limited)
		release()
	}
	if cancel != nil {
		cancel()
	}
	h.services.Wait()
	return errors.Join(append(failures, h.closeParts(ctx))...)
}

// closeParts releases what Open acquired, the ledger last.
func (h *Host) closeParts(ctx context.Context) error {
	var failures []error
	h.tokens.Close()
	if h.loader != nil {
		failures = append(failures, h.loader.Close(context.WithoutCancel(ctx)))
	}
	if h.store != nil {
		failures = append(failures, h.store.Close())
	}
	return errors.Join(failures...)
}

// Close is Stop without patience: live runs are cancelled at once.
func (h *Host) Close() error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return h.Stop(ctx)
}

func errReadOnly(op string) error {
	return &flow.Error{Code: flow.CodeReadOnly, Op: op, Message: "the host was opened for reading only", Hint: "ask the running host instead"}
}
