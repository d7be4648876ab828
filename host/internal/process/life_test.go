//go:build unix

package process

import (
	"context"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/plugintest"
	"github.com/uniflow-dev/uniflow/host/internal/plugintest/guest"
)

func identify(t *testing.T, m flow.Module, tenant string) (pid, calls int) {
	t.Helper()
	call := plugintest.NewCall(t, guest.With{Behaviour: "identify"})
	call.Context.Tenant = tenant
	result, err := m.Call(t.Context(), call, plugintest.NewHost(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	return get[int](t, result, "pid"), get[int](t, result, "calls")
}

func TestProcessServesOneTenantAndIsKept(t *testing.T) {
	t.Parallel()
	r := newRuntime(t, Config{})
	m := load(t, r, plan(nil))
	a, _ := identify(t, m, "acme")
	if got := r.started.Load(); got != 1 {
		t.Errorf("%d processes, want the one that Load started", got)
	}
	b, calls := identify(t, m, "other")
	if a == b || calls != 1 {
		t.Errorf("another tenant got process %d after %d calls", b, calls)
	}
	again, calls := identify(t, m, "acme")
	if again != a || calls != 2 {
		t.Errorf("the tenant got process %d with %d calls, want its own, %d, with 2", again, calls, a)
	}
	other, _ := identify(t, load(t, r, plan(map[string]string{"GRANTED": "x"})), "acme")
	if other == a {
		t.Error("another grant got the same process")
	}
}

func TestWarmStartsTheProcessOfTheTenant(t *testing.T) {
	t.Parallel()
	r := newRuntime(t, Config{})
	m := load(t, r, plan(nil))
	identify(t, m, "other") // has the one that Load started
	before := r.started.Load()
	for range 2 {
		if err := m.(flow.Warmer).Warm(t.Context(), flow.Call{Context: flow.RunContext{Tenant: "acme"}}); err != nil {
			t.Fatal(err)
		}
	}
	if _, calls := identify(t, m, "acme"); calls != 1 || r.started.Load() != before+1 {
		t.Errorf("%d processes started, the attempt was the %d. of its own; want one, and the first", r.started.Load()-before, calls)
	}
}

func TestIdleProcessEnds(t *testing.T) {
	t.Parallel()
	m := load(t, newRuntime(t, Config{Idle: 50 * time.Millisecond}), plan(nil))
	a, _ := identify(t, m, "acme")
	waitForEnd(t, a)
	if b, calls := identify(t, m, "acme"); b == a || calls != 1 {
		t.Errorf("process %d after %d, with %d calls", b, a, calls)
	}
}

func TestProcessIsNotKeptWhereIdleIsNegative(t *testing.T) {
	t.Parallel()
	m := load(t, newRuntime(t, Config{Idle: -1}), plan(nil))
	for range 2 {
		pid, calls := identify(t, m, "acme")
		if calls != 1 {
			t.Errorf("the process had served before: %d calls", calls)
		}
		waitForEnd(t, pid)
	}
}

// waitForEnd waits until a process is gone and waited for.
func waitForEnd(t *testing.T, pid int) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); syscall.Kill(pid, 0) == nil; {
		if time.Now().After(deadline) {
			t.Fatalf("process %d is still there", pid)
		}
		wait(nil, time.Millisecond)
	}
}

func TestAttemptsWaitForAPlace(t *testing.T) {
	t.Parallel()
	r := newRuntime(t, Config{Parallel: 1})
	m := load(t, r, plan(nil))
	ctx, cancel := context.WithCancel(t.Context())
	first := start(ctx, t, m, guest.With{Behaviour: "ignore"}, 0)
	first.ready(t)
	short, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	_, err := m.Call(short, plugintest.NewCall(t, guest.With{Behaviour: "identify"}), plugintest.NewHost(short))
	wantFault(t, err, flow.ReasonTimeout)
	cancel()
	wantFault(t, first.wait(t), flow.ReasonRequest)
	identify(t, m, "acme")
}

// running is an attempt on its way.
type running struct {
	host *plugintest.Host
	done chan error
}

func start(ctx context.Context, t *testing.T, m flow.Module, with guest.With, grace time.Duration) *running {
	t.Helper()
	a := &running{host: plugintest.NewHost(ctx), done: make(chan error, 1)}
	call := plugintest.NewCall(t, with)
	call.Grace = flow.Duration(grace)
	go func() {
		_, err := m.Call(ctx, call, a.host)
		a.done <- err
	}()
	return a
}

// ready waits for the first line of the plugin.
func (a *running) ready(t *testing.T) {
	t.Helper()
	select {
	case <-a.host.Logged():
	case err := <-a.done:
		t.Fatalf("the attempt ended before it was ready: %v", err)
	case <-time.After(time.Minute):
		t.Fatal("the plugin did not begin")
	}
}

func (a *running) wait(t *testing.T) error {
	t.Helper()
	select {
	case err := <-a.done:
		return err
	case <-time.After(time.Minute):
		t.Fatal("the attempt did not end")
		return nil
	}
}

func TestEnvironmentHoldsOnlyWhatIsGranted(t *testing.T) {
	t.Setenv("HOST_SECRET", "must not leak")
	m := load(t, newRuntime(t, Config{}), plan(map[string]string{"GRANTED": "yes", "UNIFLOW_PLUGIN": "cannot be replaced"}))
	result, _ := succeed(t, m, guest.With{Behaviour: "environment"})
	want := []string{
		"GRANTED", "PLUGIN_CLIENT_CERT", "PLUGIN_MAX_PORT", "PLUGIN_MIN_PORT", "PLUGIN_PROTOCOL_VERSIONS",
		"PLUGIN_UNIX_SOCKET_DIR", "TMPDIR", "UNIFLOW_PLUGIN",
	}
	if got := get[[]string](t, result, "names"); !reflect.DeepEqual(got, want) {
		t.Errorf("environment %v, want %v", got, want)
	}
	if got := get[string](t, result, "granted"); got != "yes" {
		t.Errorf("GRANTED is %q", got)
	}
	if !get[bool](t, result, "in_tmp") {
		t.Error("the working folder is not the private one")
	}
	if runtime.GOOS != "linux" {
		return
	}
	if core, files := get[uint64](t, result, "core"), get[uint64](t, result, "files"); core != 0 || files != 1024 {
		t.Errorf("limits: core %d, files %d", core, files)
	}
	if !get[bool](t, result, "no_new_privs") {
		t.Error("the process can gain privileges")
	}
}

func TestScratchFolderGoesWithTheProcess(t *testing.T) {
	t.Parallel()
	r := newRuntime(t, Config{Idle: -1})
	result, _ := succeed(t, load(t, r, plan(nil)), guest.With{Behaviour: "identify"})
	waitForEnd(t, get[int](t, result, "pid"))
	if err := r.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(get[string](t, result, "tmp")); !os.IsNotExist(err) {
		t.Errorf("the folder of the process is still there (%v)", err)
	}
}

func TestPrintedLinesBelongToTheirAttempt(t *testing.T) {
	t.Parallel()
	m := load(t, newRuntime(t, Config{}), plan(nil))
	for word := range strings.FieldsSeq("one two three four five six seven eight") {
		_, host := succeed(t, m, guest.With{Behaviour: "print", Message: word})
		want := []plugintest.Line{
			{Level: flow.LogInfo, Message: "to stdout: " + word},
			{Level: flow.LogWarn, Message: "to stderr: " + word},
			{Level: flow.LogError, Message: `structured {"n":1}`},
		}
		if got := host.Lines(); !reflect.DeepEqual(got, want) {
			t.Fatalf("lines %v, want %v", got, want)
		}
	}
}

func TestEndOfProcessIsACrash(t *testing.T) {
	t.Parallel()
	r := newRuntime(t, Config{})
	m := load(t, r, plan(nil))
	for _, c := range []struct {
		with guest.With
		says string
		log  string
	}{
		{guest.With{Behaviour: "crash", Size: 3}, "ended with exit code 3 during the attempt", "last words"},
		{guest.With{Behaviour: "crash", Size: 0}, "ended with exit code 0 during the attempt", "last words"},
		{guest.With{Behaviour: "suicide"}, "was killed (signal: killed) during the attempt", ""},
		{guest.With{Behaviour: "panic_elsewhere", Message: "far away"}, "ended with exit code 2 during the attempt", "far away"},
	} {
		_, host, err := do(t, m, c.with)
		fault := wantFault(t, err, flow.ReasonCrashed)
		if !strings.Contains(fault.Message, c.says) {
			t.Errorf("%s: message %q, want %q", c.with.Behaviour, fault.Message, c.says)
		}
		told := slices.ContainsFunc(host.Lines(), func(l plugintest.Line) bool { return strings.Contains(l.Message, c.log) })
		if c.log != "" && !told {
			t.Errorf("%s: log %v, want %q", c.with.Behaviour, host.Lines(), c.log)
		}
		if _, calls := identify(t, m, flow.DefaultTenant); calls != 1 {
			t.Errorf("%s: the next attempt got an old process", c.with.Behaviour)
		}
	}
}

func TestIdleProcessThatDiesIsReplaced(t *testing.T) {
	t.Parallel()
	m := load(t, newRuntime(t, Config{}), plan(nil))
	pid, _ := identify(t, m, "acme")
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	waitForEnd(t, pid)
	if again, _ := identify(t, m, "acme"); again == pid {
		t.Error("the dead process was used again")
	}
}

func TestPanicIsItsOwnReasonAndTheProcessIsReplaced(t *testing.T) {
	t.Parallel()
	m := load(t, newRuntime(t, Config{}), plan(nil))
	_, host, err := do(t, m, guest.With{Behaviour: "panic", Message: "the floor gave way"})
	fault := wantFault(t, err, flow.ReasonPanic)
	if fault.Message != "the plugin panicked: the floor gave way" {
		t.Errorf("message %q", fault.Message)
	}
	stack := slices.ContainsFunc(host.Lines(), func(l plugintest.Line) bool { return strings.Contains(l.Message, "guest.go") })
	if !stack {
		t.Errorf("the log has no stack: %v", host.Lines())
	}
	if _, calls := identify(t, m, flow.DefaultTenant); calls != 1 {
		t.Error("the process that panicked was used again")
	}
}

func TestGraceLetsAFunctionTidyUp(t *testing.T) {
	t.Parallel()
	m := load(t, newRuntime(t, Config{}), plan(nil))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	a := start(ctx, t, m, guest.With{Behaviour: "tidy"}, time.Hour)
	a.ready(t)
	cancel()
	fault := wantFault(t, a.wait(t), flow.ReasonRequest)
	if strings.Contains(fault.Message, "grace") {
		t.Errorf("message %q, but the function ended by itself", fault.Message)
	}
	lines := a.host.Lines()
	if last := lines[len(lines)-1].Message; last != "tidied up, call: true" {
		t.Errorf("log %v, want the last words, and a call that is refused as cancelled", lines)
	}
}

func TestFunctionThatIgnoresTheStopIsKilledAfterItsGrace(t *testing.T) {
	t.Parallel()
	m := load(t, newRuntime(t, Config{}), plan(nil))
	for _, grace := range []time.Duration{0, 100 * time.Millisecond} {
		ctx, cancel := context.WithCancel(t.Context())
		a := start(ctx, t, m, guest.With{Behaviour: "ignore"}, grace)
		a.ready(t)
		cancel()
		fault := wantFault(t, a.wait(t), flow.ReasonRequest)
		if told := strings.Contains(fault.Message, "did not stop within its grace"); told != (grace > 0) {
			t.Errorf("grace %s: message %q", grace, fault.Message)
		}
		if _, calls := identify(t, m, flow.DefaultTenant); calls != 1 {
			t.Error("the process was used again after a cancellation")
		}
	}
}

// openPipe makes a named pipe and opens it for reading. Its end tells that all who write to it are dead.
func openPipe(t *testing.T) (path string, pipe *os.File) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	pipe, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pipe.Close() })
	return path, pipe
}

// waitForPipe reads to the end of the pipe.
func waitForPipe(t *testing.T, pipe *os.File) {
	t.Helper()
	if err := pipe.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	for {
		var b [64]byte
		switch n, err := pipe.Read(b[:]); {
		case err != nil && strings.Contains(err.Error(), "EOF"):
			return
		case err != nil:
			t.Fatalf("a process is still there: %v", err)
		case n == 0:
			return
		}
	}
}

func TestKillReachesChildren(t *testing.T) {
	t.Parallel()
	r := newRuntime(t, Config{})
	m := load(t, r, plan(nil))
	for range 5 {
		path, pipe := openPipe(t)
		with := guest.With{Behaviour: "fork", Message: path}
		if r.cgroups != nil {
			with.Size = 1 // one child leaves the session
		}
		ctx, cancel := context.WithCancel(t.Context())
		a := start(ctx, t, m, with, 0)
		a.ready(t)
		cancel()
		wantFault(t, a.wait(t), flow.ReasonRequest)
		waitForPipe(t, pipe)
	}
	for _, g := range Guards() {
		t.Logf("%s: %v (%s)", g.Name, g.Holds, g.About)
	}
}

func TestCloseEndsAttemptsAndProcesses(t *testing.T) {
	t.Parallel()
	r := newRuntime(t, Config{})
	m := load(t, r, plan(nil))
	idle, _ := identify(t, m, "acme")
	path, pipe := openPipe(t)
	a := start(t.Context(), t, m, guest.With{Behaviour: "fork", Message: path}, time.Hour)
	a.ready(t)
	if err := r.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantFault(t, a.wait(t), flow.ReasonStop)
	waitForPipe(t, pipe)
	if syscall.Kill(idle, 0) == nil {
		t.Errorf("process %d is still there after Close", idle)
	}
	_, _, err := do(t, m, guest.With{Behaviour: "identify"})
	wantFault(t, err, flow.ReasonStop)
	if _, err := r.Load(t.Context(), plan(map[string]string{"NEW": "1"})); flow.CodeOf(err) != flow.CodeStopping {
		t.Errorf("load after Close: %v, want %s", err, flow.CodeStopping)
	}
	if err := r.Close(t.Context()); err != nil {
		t.Errorf("a second Close: %v", err)
	}
}

func TestCloseEndsALoad(t *testing.T) {
	t.Parallel()
	r := newRuntime(t, Config{})
	done := make(chan error, 1)
	go func() {
		_, err := r.Load(context.Background(), play("silent"))
		done <- err
	}()
	for r.started.Load() == 0 {
		wait(nil, time.Millisecond)
	}
	if err := r.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; flow.CodeOf(err) != flow.CodeStopping {
		t.Errorf("got %v, want %s", err, flow.CodeStopping)
	}
}

// TestNothingIsLeftBehind runs alone, so that all goroutines are its own.
func TestNothingIsLeftBehind(t *testing.T) { //nolint:paralleltest // see above
	r := newRuntime(t, Config{})
	m := load(t, r, plan(nil))
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			_, _, _ = do(t, m, guest.With{Behaviour: "host_info"})
			_, _, _ = do(t, m, guest.With{Behaviour: "crash", Size: 1})
			_, _, _ = do(t, m, guest.With{Behaviour: "artifact_fails"})
		})
	}
	all.Wait()
	_, _ = r.Load(t.Context(), play("garbage"))
	if err := r.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, _, err := do(t, m, guest.With{Behaviour: "identify"})
	wantFault(t, err, flow.ReasonStop)
	for deadline := time.Now().Add(10 * time.Second); ; wait(nil, time.Millisecond) {
		stacks := make([]byte, 1<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		left := slices.DeleteFunc(strings.Split(string(stacks), "\n\n"), func(s string) bool {
			return !strings.Contains(s, "go-plugin") && !strings.Contains(s, "google.golang.org/grpc") && !strings.Contains(s, "process.(*")
		})
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("goroutines are left:\n%s", strings.Join(left, "\n\n"))
		}
	}
}
