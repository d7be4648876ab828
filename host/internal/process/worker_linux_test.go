package process

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/plugintest"
	"github.com/uniflow-dev/uniflow/host/internal/plugintest/guest"
	"github.com/uniflow-dev/uniflow/host/internal/process/workerproto"
)

// workerProgram builds the worker of the tests once, without cgo, as releases are.
//
//nolint:gochecknoglobals // built once for all tests
var workerProgram = sync.OnceValues(func() (string, error) {
	path := filepath.Join(filepath.Dir(subject.path), "worker")
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	build := exec.CommandContext(ctx, "go", "build", "-o", path, "./testdata/worker")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the worker of the tests: %w\n%s", err, out)
	}
	return path, nil
})

func newWorkers(tb testing.TB, cfg Config) *Runtime {
	tb.Helper()
	program, err := workerProgram()
	if err != nil {
		tb.Fatal(err)
	}
	cfg.Worker = program
	return newRuntime(tb, cfg)
}

// moduleOf returns a module of the given text.
func moduleOf(tb testing.TB, text string) flow.PlanPlugin {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "test.wasm")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	return flow.PlanPlugin{Name: "test", Kind: flow.KindWasm, Path: path, Digest: flow.DigestOf([]byte(text))}
}

// pidfd watches a process by a descriptor, so that its number cannot become another's.
func pidfd(t *testing.T, pid int) int {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatalf("watch process %d: %v", pid, err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	return fd
}

// waitForDeath waits until a watched process has ended.
func waitForDeath(t *testing.T, fd int) {
	t.Helper()
	watched := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for deadline := time.Now().Add(time.Minute); ; {
		n, err := unix.Poll(watched, 1000)
		if n == 1 {
			return
		}
		if err != nil && !errors.Is(err, unix.EINTR) || time.Now().After(deadline) {
			t.Fatalf("the process lives on (%v)", err)
		}
	}
}

// pidOf returns the number that a guest logs once it is at work.
func (a *running) pidOf(t *testing.T) int {
	t.Helper()
	a.ready(t)
	pid, err := strconv.Atoi(a.host.Lines()[0].Message)
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func TestWorkersServeOneTenantAndAreKept(t *testing.T) {
	t.Parallel()
	r := newWorkers(t, Config{})
	m, other := load(t, r, moduleOf(t, "a")), load(t, r, moduleOf(t, "b"))
	a, _ := identify(t, m, "acme")
	b, _ := identify(t, m, "umbrella")
	if a == b {
		t.Error("two tenants shared a worker")
	}
	if pid, calls := identify(t, m, "acme"); pid != a || calls != 2 {
		t.Errorf("worker %d with %d calls, want %d with 2", pid, calls, a)
	}
	if pid, calls := identify(t, other, "acme"); pid != a && calls > 1 {
		t.Errorf("worker %d with %d calls has served another tenant", pid, calls)
	}
	granted := moduleOf(t, "a")
	granted.Grant.Mount = map[string]string{"/data": t.TempDir()}
	if pid, _ := identify(t, load(t, r, granted), "acme"); pid == a {
		t.Error("a module with a mount got a worker that cannot read it")
	}
	if pid, _ := identify(t, m, "acme"); pid != a {
		t.Error("a module got a worker that can read the mount of another")
	}
}

func TestWorkerThatServedNobodyIsForItsModuleOnly(t *testing.T) {
	t.Parallel()
	r := newWorkers(t, Config{})
	a := load(t, r, moduleOf(t, "a"))
	load(t, r, moduleOf(t, "b"))
	identify(t, a, "acme") // the worker of b has waited for less time, and would be taken first
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range r.workers.idle {
		if len(w.worker.loaded) != 1 {
			t.Errorf("a worker of tenant %q has loaded %d modules", w.tenant, len(w.worker.loaded))
		}
	}
}

func TestIdleWorkerEnds(t *testing.T) {
	t.Parallel()
	m := load(t, newWorkers(t, Config{Idle: 50 * time.Millisecond}), moduleOf(t, "a"))
	ctx, cancel := context.WithCancel(t.Context())
	a := start(ctx, t, m, guest.With{Behaviour: "hold"}, time.Minute)
	fd := pidfd(t, a.pidOf(t))
	cancel()
	fault := wantFault(t, a.wait(t), flow.ReasonRequest)
	if fault.Usage.Fuel != 7 || strings.Contains(fault.Message, "killed") {
		t.Errorf("fault %q with usage %+v, want what the worker counted", fault.Message, fault.Usage)
	}
	waitForDeath(t, fd)
}

func TestWhatIsCompiledOnceIsHandedToLaterWorkers(t *testing.T) {
	t.Parallel()
	m := load(t, newWorkers(t, Config{Idle: -1}), moduleOf(t, "a"))
	for i, want := range []bool{false, true, true} {
		result, _ := succeed(t, m, guest.With{Behaviour: "identify"})
		if got := get[bool](t, result, "known"); got != want {
			t.Errorf("call %d: compiled before: %v, want %v", i, got, want)
		}
	}
}

func TestCompiledModulesOutliveTheHost(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	known := func(m flow.Module) bool {
		result, _ := succeed(t, m, guest.With{Behaviour: "identify"})
		return get[bool](t, result, "known")
	}
	p, sealed := moduleOf(t, "a"), seals{}
	for life, want := range []bool{false, true, false, true, false, true} {
		r := newWorkers(t, Config{Dir: dir, Seals: sealed})
		folder := filepath.Join(r.compiled, p.Digest.Hex())
		switch life {
		case 2:
			damage(t, filepath.Join(folder, "0"))
		case 4:
			forge(t, folder)
		}
		if got := known(load(t, r, p)); got != want {
			t.Errorf("life %d: compiled before: %v, want %v", life, got, want)
		}
		if err := r.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	other, err := openCompiled(filepath.Join(dir, "compiled"), os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(filepath.Dir(other)); len(left) != 1 {
		t.Errorf("%d folders are left, want that of the program alone", len(left))
	}
}

// seals are what a ledger keeps; one goroutine uses them.
type seals map[string]flow.Digest

func (s seals) Seal(_ context.Context, name string) (flow.Digest, error) {
	if d, ok := s[name]; ok {
		return d, nil
	}
	return "", flow.ErrNotFound
}

func (s seals) PutSeal(_ context.Context, name string, d flow.Digest) error {
	s[name] = d
	return nil
}

// forge exchanges what was compiled, and the digest in the index with it.
func forge(t *testing.T, folder string) {
	t.Helper()
	damage(t, filepath.Join(folder, "0"))
	index := filepath.Join(folder, compiledIndex)
	doc, err := os.ReadFile(index)
	if err != nil {
		t.Fatal(err)
	}
	forged := strings.ReplaceAll(string(doc), string(flow.DigestOf([]byte("code"))), string(flow.DigestOf([]byte("evil"))))
	if forged == string(doc) {
		t.Fatalf("index %s", doc)
	}
	if err := os.WriteFile(index, []byte(forged), 0o600); err != nil {
		t.Fatal(err)
	}
}

// damage changes a file on disk.
func damage(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, []byte("evil"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestDeafGuestIsKilledWithinItsBound(t *testing.T) {
	t.Parallel()
	m := load(t, newWorkers(t, Config{}), moduleOf(t, "a"))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			call := plugintest.NewCall(t, guest.With{Behaviour: "deaf"})
			call.Grace = 0
			_, err := m.Call(ctx, call, plugintest.NewHost(ctx))
			wantFault(t, err, flow.ReasonTimeout)
		})
	}
	all.Wait()
	if took := time.Since(deadlineOf(t, ctx)); took > 30*time.Second {
		t.Errorf("four deaf guests were ended %s after their deadline", took)
	}
	identify(t, m, "default") // a new worker has taken the place
}

func deadlineOf(t *testing.T, ctx context.Context) time.Time {
	t.Helper()
	deadline, ok := ctx.Deadline()
	if !ok {
		t.Fatal("no deadline")
	}
	return deadline
}

func TestKilledGuestSaysSo(t *testing.T) {
	t.Parallel()
	m := load(t, newWorkers(t, Config{}), moduleOf(t, "a"))
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	a := start(ctx, t, m, guest.With{Behaviour: "deaf"}, time.Millisecond)
	fd := pidfd(t, a.pidOf(t))
	cancel(&flow.Fault{Reason: flow.ReasonReplaced, Message: "a newer slot came due"})
	fault := wantFault(t, a.wait(t), flow.ReasonReplaced)
	if want := "a newer slot came due; the worker did not answer within the grace of 1ms and was killed"; fault.Message != want {
		t.Errorf("message %q, want %q", fault.Message, want)
	}
	waitForDeath(t, fd)
}

// Only the death of the host makes an attempt lost, which does not count as one of the step's attempts.
func TestKilledWorkerHasCrashedAndIsReplaced(t *testing.T) {
	t.Parallel()
	m := load(t, newWorkers(t, Config{}), moduleOf(t, "a"))
	a := start(t.Context(), t, m, guest.With{Behaviour: "hold"}, 0)
	pid := a.pidOf(t)
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	fault := wantFault(t, a.wait(t), flow.ReasonCrashed)
	if !strings.Contains(fault.Message, "was killed (signal: killed)") || !fault.Reason.Retryable() {
		t.Errorf("message %q of a fault that can be tried again: %v", fault.Message, fault.Reason.Retryable())
	}
	if next, _ := identify(t, m, "default"); next == pid {
		t.Error("the dead worker took an attempt")
	}
	_, _, err := do(t, m, guest.With{Behaviour: "die"})
	if fault := wantFault(t, err, flow.ReasonCrashed); !strings.Contains(fault.Message, "exit code 3") {
		t.Errorf("message %q", fault.Message)
	}
}

func TestWorkerThatGrowsEnds(t *testing.T) {
	t.Parallel()
	m := load(t, newWorkers(t, Config{Memory: 128 * flow.MiB}), moduleOf(t, "a"))
	_, _, err := do(t, m, guest.With{Behaviour: "grow"})
	if fault := wantFault(t, err, flow.ReasonMemory); !strings.Contains(fault.Message, "128MiB") {
		t.Errorf("message %q", fault.Message)
	}
	identify(t, m, "default")
}

func TestModuleThatCannotBeLoaded(t *testing.T) {
	t.Parallel()
	r := newWorkers(t, Config{Memory: 128 * flow.MiB, Compile: 2 * time.Second})
	for text, want := range map[string]struct {
		code flow.Code
		says string
	}{
		"malformed": {flow.CodeMalformed, "byte 0: not today"},
		"endless":   {flow.CodeCompile, "was not compiled within 2s"},
		"huge":      {flow.CodeCompile, "128MiB of memory"},
		"crash":     {flow.CodeCompile, "ended with exit code 2"},
	} {
		_, err := r.Load(t.Context(), moduleOf(t, text))
		if flow.CodeOf(err) != want.code || !strings.Contains(err.Error(), want.says) {
			t.Errorf("%s: %v, want %s with %q", text, err, want.code, want.says)
		}
	}
	p := moduleOf(t, "a")
	p.Digest = flow.DigestOf([]byte("b"))
	if _, err := r.Load(t.Context(), p); flow.CodeOf(err) != flow.CodeModuleDigest {
		t.Errorf("another digest: %v, want %s", err, flow.CodeModuleDigest)
	}
	p.Path += ".missing"
	if _, err := r.Load(t.Context(), p); flow.CodeOf(err) != flow.CodeModuleFile {
		t.Errorf("no file: %v, want %s", err, flow.CodeModuleFile)
	}
}

func TestProgramThatIsNoWorkerIsNamed(t *testing.T) {
	t.Parallel()
	r := newRuntime(t, Config{Worker: "/bin/echo"})
	_, err := r.Load(t.Context(), moduleOf(t, "a"))
	if e, ok := errors.AsType[*flow.Error](err); !ok || e.Code != flow.CodeWorkerStart || !strings.Contains(e.Hint, "host.WorkerMain()") {
		t.Errorf("got %v, want %s with what to call", err, flow.CodeWorkerStart)
	}
}

func TestWorkerReachesNothing(t *testing.T) {
	t.Parallel()
	m := load(t, newWorkers(t, Config{}), moduleOf(t, "a"))
	result, _ := succeed(t, m, guest.With{Behaviour: "reach"})
	reached := get[[]string](t, result, "reached")
	if landlockVersion() < 6 || noNetwork() == 0 {
		t.Skipf("this machine cannot confine a worker in full; it reached %q", reached)
	}
	if len(reached) > 0 {
		t.Errorf("the worker reached %q", reached)
	}
}

func TestWorkerHasNoEnvironment(t *testing.T) {
	t.Setenv("HOST_SECRET", "must not leak")
	m := load(t, newWorkers(t, Config{}), moduleOf(t, "a"))
	result, _ := succeed(t, m, guest.With{Behaviour: "environment"})
	for _, pair := range get[[]string](t, result, "environment") {
		name, _, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, "PLUGIN_") && !slices.Contains([]string{"TMPDIR", workerCookieKey, readsEnv}, name) {
			t.Errorf("the worker sees %s", pair)
		}
	}
}

func TestArtifactsTravelThroughAWorker(t *testing.T) {
	t.Parallel()
	m := load(t, newWorkers(t, Config{}), moduleOf(t, "a"))
	result, host := succeed(t, m, guest.With{Behaviour: "artifacts", Size: 5<<20 + 3})
	if got := get[int](t, result, "size"); got != 5<<20+3 {
		t.Errorf("%d bytes came back", got)
	}
	if got := get[string](t, result, "missing"); got != flow.ErrNotFound.Error() {
		t.Errorf("an artifact of another run: %q, want %q", got, flow.ErrNotFound)
	}
	if _, content := host.Artifacts(); len(content) != 1 {
		t.Errorf("%d artifacts were stored", len(content))
	}
	refusing := &strict{Host: plugintest.NewHost(t.Context()), refuse: flow.ErrTooLarge}
	answer, err := m.Call(t.Context(), plugintest.NewCall(t, guest.With{Behaviour: "artifacts", Size: 64 << 20}), refusing)
	if err != nil || answer.Message != flow.ErrTooLarge.Error() {
		t.Errorf("result %+v, %v, want that the store refused", answer, err)
	}
}

func TestWorkerIsNotBelieved(t *testing.T) {
	t.Parallel()
	m := load(t, newWorkers(t, Config{}), moduleOf(t, "a"))
	for said, want := range map[flow.Reason]flow.Reason{
		flow.ReasonTrap: flow.ReasonTrap, flow.ReasonFuel: flow.ReasonFuel, flow.ReasonStop: flow.ReasonInternal,
		flow.ReasonReplaced: flow.ReasonInternal, "nonsense": flow.ReasonInternal,
	} {
		_, _, err := do(t, m, guest.With{Behaviour: "fault", Message: string(said)})
		wantFault(t, err, want)
	}
	call := plugintest.NewCall(t, guest.With{})
	call.Limits.Output = 10
	a := newAttempt(nil, call, nil)
	_, fault := a.judge(&workerproto.CallResponse{Outputs: []*workerproto.Member{{Name: "x", Value: []byte(`"more than ten bytes"`)}}})
	if fault == nil || fault.Reason != flow.ReasonOutputLimit {
		t.Errorf("outputs over the limit: %v", fault)
	}
	r, fault := a.judge(&workerproto.CallResponse{Verdict: 99, RetryAfterNs: -1, Usage: &workerproto.Usage{Fuel: -1}, Outputs: []*workerproto.Member{{Name: "y", Value: []byte("1")}}})
	if fault != nil || r.Verdict != flow.VerdictFailed || r.RetryAfter != 0 || r.Usage.Fuel != 0 || r.Outputs != nil {
		t.Errorf("result %+v, fault %v", r, fault)
	}
}

func TestForeignAttemptsAreRefused(t *testing.T) {
	t.Parallel()
	h := &workerHost{services: &services{}}
	if err := h.Open(&workerproto.OpenRequest{CallId: "guess"}, nil); !errors.Is(err, errForeignCall) {
		t.Errorf("open: %v", err)
	}
	if err := h.Events(eventsOf{batch: &workerproto.EventBatch{CallId: "guess"}}); !errors.Is(err, errForeignCall) {
		t.Errorf("events: %v", err)
	}
}

// eventsOf is a stream of one batch.
type eventsOf struct {
	workerproto.Host_EventsServer

	batch *workerproto.EventBatch
}

func (e eventsOf) Recv() (*workerproto.EventBatch, error) { return e.batch, nil }

// doomedWorkerHost runs an attempt in a worker that does not end, and says by what process.
func doomedWorkerHost(program string) error {
	dir, err := os.MkdirTemp("", "doomed")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "test.wasm")
	r, err := New(Config{Logger: slog.New(slog.DiscardHandler), Dir: dir, Worker: program})
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, []byte("a"), 0o600); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	m, err := r.Load(ctx, flow.PlanPlugin{Name: "test", Kind: flow.KindWasm, Path: path, Digest: flow.DigestOf([]byte("a"))})
	if err != nil {
		return err
	}
	host := plugintest.NewHost(ctx)
	go func() {
		<-host.Logged()
		fmt.Println(host.Lines()[0].Message, dir)
	}()
	_, err = m.Call(ctx, flow.Call{Context: flow.RunContext{With: map[string]json.RawMessage{"behaviour": json.RawMessage(`"deaf"`)}}}, host)
	return errors.Join(errors.New("the attempt ended"), err)
}

func TestWorkerDiesWithAHostThatIsKilled(t *testing.T) {
	t.Parallel()
	program, err := workerProgram()
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), doomedWorkerEnv+"="+program)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the host did not begin: %v", err)
	}
	var pid int
	var dir string
	if _, err := fmt.Sscan(line, &pid, &dir); err != nil {
		t.Fatalf("the host said %q: %v", line, err)
	}
	defer os.RemoveAll(dir)
	fd := pidfd(t, pid)
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait() // killed, as asked
	waitForDeath(t, fd)
}
