package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/gofunc"
	"github.com/uniflow-dev/uniflow/host/internal/process"
	"github.com/uniflow-dev/uniflow/host/internal/run"
	"github.com/uniflow-dev/uniflow/host/internal/service"
	"github.com/uniflow-dev/uniflow/host/internal/wasm"
	"github.com/uniflow-dev/uniflow/host/internal/watch/trace"
)

// loader finds the runtime for a plugin.
type loader struct {
	runtimes map[flow.PluginKind]flow.Runtime
	workers  flow.Runtime // one of runtimes, which runs modules too
	kept     *keeper
}

const (
	mostAttempts  = 4096 // in processes at one time: the turns of the runner are what bounds them
	idleProcesses = 32   // over all plugins and tenants
)

func newLoader(ctx context.Context, data string, seals wasm.Seals, funcs *gofunc.Runtime, log *slog.Logger) (*loader, error) {
	modules, err := wasm.New(ctx, wasm.Config{CacheDir: filepath.Join(data, "cache"), Seals: seals, Logger: log})
	if err != nil {
		return nil, err
	}
	processes, err := process.New(process.Config{Dir: filepath.Join(data, "bin"), Seals: seals, Logger: log, Parallel: mostAttempts, Keep: idleProcesses})
	if err != nil {
		return nil, errors.Join(err, modules.Close(ctx))
	}
	return &loader{map[flow.PluginKind]flow.Runtime{flow.KindWasm: modules, flow.KindProcess: processes, flow.KindFunc: funcs}, processes, newKeeper(filepath.Join(data, "plugins"))}, nil
}

// Load loads the plugin with the runtime of its kind and isolation: the bytes that are kept of it, or else its file.
func (l *loader) Load(ctx context.Context, p flow.PlanPlugin) (flow.Module, error) {
	runtime := l.runtimes[p.Kind]
	if p.Kind == flow.KindWasm && p.Isolation == flow.IsolationWorker {
		runtime = l.workers
	}
	if runtime == nil {
		return nil, &flow.Error{Code: flow.CodePluginFile, Op: fmt.Sprintf("load plugin %q", p.Name), Message: fmt.Sprintf("no runtime for the kind %q", p.Kind), Hint: "use wasm, process or func"}
	}
	if kept, found := l.kept.find(p); found {
		if m, err := runtime.Load(ctx, kept); err == nil || ctx.Err() != nil {
			return m, err
		}
	}
	return runtime.Load(ctx, p)
}

// warm prepares the plugins of a plan for a run of the tenant that is due soon. What cannot be prepared is left to the
// run, which tells of it.
func (l *loader) warm(ctx context.Context, p *flow.Plan, tenant string, log *slog.Logger) {
	for _, s := range p.Steps {
		m, err := l.Load(ctx, p.Plugins[s.Plugin])
		if warmer, ok := m.(flow.Warmer); ok && err == nil {
			limited, cancel := context.WithTimeout(ctx, s.Timeout.Std())
			err = warmer.Warm(limited, flow.Call{Context: flow.RunContext{Tenant: tenant}, Limits: s.Limits})
			cancel()
		}
		if err != nil {
			log.Debug("plugin not prepared", slog.String("tenant", tenant), slog.String("plugin", s.Plugin), slog.Any("err", err))
		}
	}
}

// Close closes all runtimes.
func (l *loader) Close(ctx context.Context) error {
	var failures []error
	for _, r := range l.runtimes {
		failures = append(failures, r.Close(ctx))
	}
	return errors.Join(failures...)
}

// openServices gives the runner the host side of attempts, with what is traced of it.
func openServices(s *service.Services, t *trace.Tracer) func(context.Context, run.Attempt) (flow.HostCalls, func()) {
	return func(ctx context.Context, a run.Attempt) (flow.HostCalls, func()) {
		calls, end := s.Open(ctx, service.Attempt(a))
		return traced(calls, &a.Call.Context, t), end
	}
}
