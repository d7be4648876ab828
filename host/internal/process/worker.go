package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/process/workerproto"
	"github.com/uniflow-dev/uniflow/sdk/abi"
)

// overrun is how long a worker may take to answer after the end of an attempt's context and its grace.
const overrun = 150 * time.Millisecond

// worker is what a proc is that executes modules: a process of this very program.
type worker struct {
	proc   *proc
	client workerproto.WorkerClient
	reads  string
	root   *os.Root        // of the scratch folder, which belongs to the worker: no link in it is followed out
	loaded map[string]bool // modules; changed by whoever holds the worker, under runtime.mu
	data   uint64          // bytes that it held at its start; 0 where the system does not say
	bound  uint64          // the last one that allow has set
	stale  bool            // a compiled file was not what it was when it was kept
	last   lastWords
}

// readable are the paths of the host that a worker of a plugin must be able to read, sorted.
func readable(p *flow.PlanPlugin) []string {
	paths := slices.Sorted(maps.Values(p.Grant.Mount))
	if p.Script != nil {
		paths = append(paths, p.Script.Path)
		slices.Sort(paths)
	}
	return slices.Compact(paths)
}

// startWorker starts a worker that can read what the module is granted.
func (r *Runtime) startWorker(ctx context.Context, m *hosted) (*proc, error) {
	program, err := r.workerProgram()
	if err != nil {
		return nil, loadError(m.plugin, flow.CodeProcessHost, "", "find the program of workers", err)
	}
	select {
	case r.starts <- struct{}{}:
		defer func() { <-r.starts }()
	case <-ctx.Done():
		return nil, fmt.Errorf("start a worker: %w", context.Cause(ctx))
	}
	w := &proc{runtime: r, pool: &r.workers, plugin: m.plugin, spoken: workerHandshake()}
	w.worker = &worker{proc: w, reads: m.reads, loaded: map[string]bool{}, last: lastWords{log: r.log}}
	c := &child{program: program, name: "uniflow-worker", network: r.network(), env: []string{readsEnv + "=" + m.reads}}
	return w, r.launch(ctx, w, c, w.worker.greet)
}

// greet asks the worker for a sign of life.
func (w *worker) greet(ctx context.Context) error {
	root, err := os.OpenRoot(w.proc.scratch)
	if err != nil {
		return err
	}
	w.root = root
	w.proc.lines.listen(&w.last, "")
	w.client = workerproto.NewWorkerClient(w.proc.conn)
	if _, err = w.client.Stop(ctx, &workerproto.StopRequest{}); err != nil {
		return err
	}
	w.data = dataOf(w.proc.child.pid())
	w.allow(0)
	return nil
}

// workerStartError says why a process did not become a worker.
func (w *proc) workerStartError(err error, timedOut bool) error {
	const hint = "the main function of the embedding program begins with host.WorkerMain(); or write isolation = \"inline\""
	message := "the worker " + w.child.ending() + " before it answered" + w.lines.quoted()
	switch {
	case w.child.pid() == 0:
		message = "the worker could not be started"
		err = errors.Join(w.child.startErr, err)
	case timedOut:
		message = fmt.Sprintf("the worker did not answer within %s%s", w.runtime.start, w.lines.quoted())
	}
	return loadError(w.plugin, flow.CodeWorkerStart, hint, message, err)
}

// load puts the module into the worker's folder and has it loaded. After an error the worker is of no more use.
func (w *worker) load(ctx context.Context, m *hosted, file string) error {
	name := m.plugin.Digest.Hex() + ".wasm"
	if err := w.place(ctx, m, file, name); err != nil {
		return loadError(m.plugin, flow.CodeProcessHost, "see that the disk is not full", "hand the module to a worker", err)
	}
	local := m.plugin
	local.Path = name
	doc, err := json.Marshal(local)
	if err != nil {
		return loadError(m.plugin, flow.CodeProcessHost, "", "describe the module to a worker", err)
	}
	limited, cancel := context.WithTimeout(ctx, w.proc.runtime.compile)
	defer cancel()
	answer, err := w.client.Load(limited, &workerproto.LoadRequest{Module: m.id, PluginJson: doc})
	if err != nil {
		return w.loadFailure(ctx, limited, m.plugin, err)
	}
	if r := answer.GetRefusal(); r != nil {
		return loadError(m.plugin, flow.Code(r.GetCode()), abi.ClipMessage(r.GetHint()), abi.ClipMessage(r.GetMessage()), nil)
	}
	w.proc.runtime.mu.Lock()
	defer w.proc.runtime.mu.Unlock()
	w.loaded[m.id] = true
	return nil
}

// loadFailure says why a worker gave no answer about a module.
func (w *worker) loadFailure(ctx, limited context.Context, p flow.PlanPlugin, err error) error {
	const hint = "build the module without its largest functions, or split it"
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("load plugin %q: %w", p.Name, context.Cause(ctx))
	case w.proc.runtime.stopping():
		return loadError(p, flow.CodeStopping, "", "the host is stopping", nil)
	case limited.Err() != nil || status.Code(err) == codes.DeadlineExceeded: // which the other side may notice first
		return loadError(p, flow.CodeCompile, hint, fmt.Sprintf("the module was not compiled within %s", w.proc.runtime.compile), nil)
	case wait(w.proc.child.gone, timeToDie(err)) && w.last.memory.Load():
		return loadError(p, flow.CodeCompile, hint, fmt.Sprintf("compiling the module took more than %s of memory", w.proc.runtime.memory), nil)
	}
	return loadError(p, flow.CodeCompile, hint, "the worker that compiled the module "+w.proc.child.ending(), err)
}

// inWorker executes the attempt and reports whether the worker lives on.
func (a *attempt) inWorker(ctx context.Context, module string, request *workerproto.CallRequest) (flow.Result, *flow.Fault, bool) {
	w := a.proc.worker
	serviceCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	a.serviceCtx = serviceCtx
	request.CallId, request.Module, request.HostBrokerId = a.id, module, a.proc.services.begin(a)
	waiting, answered := context.WithCancel(context.WithoutCancel(ctx))
	defer answered()
	halted := make(chan struct{})
	unhook := context.AfterFunc(ctx, func() {
		defer close(halted)
		a.halt(waiting, answered)
	})
	answer, err := w.client.Call(waiting, request)
	answered()
	if !unhook() {
		<-halted
	}
	a.proc.services.end()
	cancel()
	a.waitForCalls()
	result, fault := flow.Result{}, flow.EndFault(ctx)
	switch {
	case fault != nil && err != nil:
		fault.Message += fmt.Sprintf("; the worker did not answer within the grace of %s and was killed", a.call.Grace)
	case fault != nil:
	case err != nil:
		fault = a.lost(err)
	default:
		result, fault = a.judge(answer)
	}
	if fault != nil {
		fault.Usage = usageOf(answer.GetUsage())
		return flow.Result{}, fault, err == nil
	}
	return result, nil, true
}

// halt asks the attempt to end, and kills a worker that does not answer in time. It returns once waiting has ended.
func (a *attempt) halt(waiting context.Context, giveUp context.CancelFunc) {
	var asking sync.WaitGroup
	asking.Go(func() { // ends with waiting
		_, _ = a.proc.worker.client.Stop(waiting, &workerproto.StopRequest{CallId: a.id}) // a deaf worker is killed
	})
	if !wait(waiting.Done(), a.call.Grace.Std()+overrun) {
		a.proc.child.kill()
		giveUp()
	}
	asking.Wait()
}

// lost says why the worker gave no answer.
func (a *attempt) lost(err error) *flow.Fault {
	p := a.proc
	switch {
	case p.runtime.stopping():
		return stopFault()
	case status.Code(err) == codes.ResourceExhausted:
		return &flow.Fault{Reason: flow.ReasonOutputLimit, Message: fmt.Sprintf("the outputs exceed %d bytes, the most that a worker hands over", workerMessage), Hint: "hand large values on as artifacts", Err: err}
	case wait(p.child.gone, timeToDie(err)) && p.worker.last.memory.Load():
		return &flow.Fault{Reason: flow.ReasonMemory, Message: fmt.Sprintf("the worker grew beyond its bound of %s and twice limits.memory", p.runtime.memory), Hint: "the plugin or its inputs are larger than a worker can hold", Err: err}
	}
	message := "the worker " + p.child.ending() + " during the attempt"
	if !p.child.ended() {
		message = "the worker broke off the attempt: " + abi.ClipMessage(status.Convert(err).Message())
	}
	return &flow.Fault{Reason: flow.ReasonCrashed, Message: message, Hint: "the log of the host holds its last words", Err: err}
}

// judge makes a result of what the worker says. A worker may have been taken over by its module, so nothing of it is
// believed that the module could not have said.
func (a *attempt) judge(answer *workerproto.CallResponse) (flow.Result, *flow.Fault) {
	if f := answer.GetFault(); f != nil {
		return flow.Result{}, &flow.Fault{Reason: guestReason(flow.Reason(f.GetReason())), Message: abi.ClipMessage(f.GetMessage()), Hint: abi.ClipMessage(f.GetHint())}
	}
	verdict := flow.Verdict(answer.GetVerdict())
	if verdict < flow.VerdictOK || verdict > flow.VerdictPermanent {
		verdict = flow.VerdictFailed
	}
	r := flow.Result{
		Verdict: verdict, Code: abi.ClipMessage(answer.GetCode()), Message: abi.ClipMessage(answer.GetMessage()), Usage: usageOf(answer.GetUsage()),
		RetryAfter: min(max(flow.Duration(answer.GetRetryAfterNs()), 0), flow.Duration(abi.MaxRetryAfter)),
	}
	if answer.ExitCode != nil {
		code := int(answer.GetExitCode())
		r.ExitCode = &code
	}
	for _, o := range answer.GetOutputs() {
		if fault := a.output(o.GetName(), o.GetValue()); fault != nil {
			return flow.Result{}, fault
		}
	}
	if verdict == flow.VerdictOK || verdict == flow.VerdictSkip {
		r.Outputs = a.kept.Outputs()
	}
	return r, nil
}

// guestReason is the reason of a fault that a worker tells, if a module can cause it.
func guestReason(r flow.Reason) flow.Reason {
	switch r {
	case flow.ReasonTrap, flow.ReasonPanic, flow.ReasonMemory, flow.ReasonStack, flow.ReasonFuel, flow.ReasonOutputLimit,
		flow.ReasonOutput, flow.ReasonDenied, flow.ReasonInvalid, flow.ReasonExit, flow.ReasonPermanent, flow.ReasonPlugin, flow.ReasonQuota:
		return r
	default:
		return flow.ReasonInternal
	}
}

func usageOf(u *workerproto.Usage) flow.Usage {
	return flow.Usage{Memory: flow.Size(max(u.GetMemory(), 0)), Fuel: max(u.GetFuel(), 0), HostCalls: max(u.GetHostCalls(), 0)}
}

// spokenLines bounds what one worker adds to the log of the host.
const spokenLines = 40

// lastWords takes what a worker prints, which is about a fault of the worker and not of a guest.
type lastWords struct {
	log    *slog.Logger
	lines  atomic.Int64
	memory atomic.Bool // it ran out of memory
}

// Log implements listener.
func (l *lastWords) Log(_ flow.LogLevel, message string) {
	if strings.Contains(message, "out of memory") || strings.Contains(message, "cannot allocate") {
		l.memory.Store(true)
	}
	if l.lines.Add(1) <= spokenLines {
		l.log.Warn("worker said", slog.String("line", message))
	}
}
