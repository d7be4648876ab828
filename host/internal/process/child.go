package process

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-plugin/runner"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/failpoint"
)

const (
	handshakeLimit = 16 << 10               // bytes of the first line
	drainTime      = 200 * time.Millisecond // for the last words of a process whose pipe a stranger holds open
	busyTries      = 100                    // to start a program whose file a fork of this moment holds open
	busyWait       = 10 * time.Millisecond
)

// child is one operating system process. It is the runner of go-plugin, which sees only the first line that the
// process prints.
type child struct {
	program string
	name    string   // argv[0]
	env     []string // set before Start
	dir     string
	network uintptr // how it leaves the network of the host; 0 where it does not
	group   *cgroup
	lines   *lines

	life      sync.Once
	first     *io.PipeReader // the handshake, for go-plugin
	firstSent *io.PipeWriter
	gone      chan struct{} // closed when the process and its group are dead and what it printed is read

	startErr error // set before gone is closed
	mu       sync.Mutex
	cmd      *exec.Cmd // set once started
	killed   bool      // before or after the start
	over     bool      // the process has ended; its number may soon be another's
	exit     *os.ProcessState
	greeting string
}

var _ runner.Runner = (*child)(nil)

// prepare completes a child before its start.
func (c *child) prepare(group *cgroup, l *lines) *child {
	c.group, c.lines, c.gone = group, l, make(chan struct{})
	c.first, c.firstSent = io.Pipe()
	return c
}

// Start implements runner.Runner. The process is started and awaited on one thread of its own: the kernel kills it
// when that thread ends, so the thread must live as long, and what is set on the thread is inherited.
func (c *child) Start(context.Context) error {
	started := make(chan error, 1)
	c.life.Do(func() {
		go func() {
			runtime.LockOSThread() // and never unlocked: the thread ends with this goroutine
			c.live(started)
		}()
	})
	return <-started
}

// abandon makes an end of a child that was not started and never will be.
func (c *child) abandon() {
	c.life.Do(func() {
		c.startErr = errNotStarted
		c.group.remove()
		close(c.gone)
	})
}

var errNotStarted = errors.New("go-plugin did not start the program")

// live is the life of the process, from its start to the last word.
func (c *child) live(started chan<- error) {
	defer close(c.gone)
	defer c.group.remove()
	stdout, stderr, err := c.spawn()
	if err != nil {
		c.startErr = err
		_ = c.firstSent.Close()
		started <- err
		return
	}
	failpoint.Here(failpoint.Spawn)
	var reading sync.WaitGroup
	reading.Go(func() { c.readStdout(stdout) })
	reading.Go(func() { c.lines.read(stderr) })
	started <- nil
	state := waitAndSweep(c.cmd, c.sweep)
	c.mu.Lock()
	c.exit = state
	c.mu.Unlock()
	for _, pipe := range []*os.File{stdout, stderr} {
		_ = pipe.SetReadDeadline(time.Now().Add(drainTime))
	}
	reading.Wait()
	_, _ = stdout.Close(), stderr.Close()
}

// spawn starts the process and returns the reading ends of its output.
func (c *child) spawn() (stdout, stderr *os.File, err error) {
	stdout, out, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	defer out.Close()
	stderr, errOut, err := os.Pipe()
	if err != nil {
		return nil, nil, errors.Join(err, stdout.Close())
	}
	defer errOut.Close()
	for range busyTries {
		if err = c.try(out, errOut); !busy(err) {
			break
		}
		wait(nil, busyWait)
	}
	if err != nil {
		return nil, nil, errors.Join(err, stdout.Close(), stderr.Close())
	}
	return stdout, stderr, nil
}

func (c *child) try(stdout, stderr *os.File) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.killed {
		return context.Canceled
	}
	cmd, err := startConfined(func() *exec.Cmd {
		return &exec.Cmd{Path: c.program, Args: []string{c.name}, Env: c.env, Dir: c.dir, Stdout: stdout, Stderr: stderr}
	}, c.group, c.network)
	c.cmd = cmd
	return err
}

// readStdout passes the first line to go-plugin and makes log lines of the rest.
func (c *child) readStdout(r io.Reader) {
	buffered := bufio.NewReaderSize(r, handshakeLimit)
	line, _ := buffered.ReadSlice('\n')
	c.mu.Lock()
	c.greeting = string(line)
	c.mu.Unlock()
	_, _ = c.firstSent.Write(line)
	_ = c.firstSent.Close()
	c.lines.read(buffered)
}

// kill kills the process with all of its group; it returns before they are gone. One that is not started never will be.
func (c *child) kill() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.killed = true
	if c.cmd != nil && !c.over {
		killTree(c.cmd, c.group)
	}
}

// sweep kills what an ended process has left behind. On return its number is no longer ours.
func (c *child) sweep() {
	c.mu.Lock()
	defer c.mu.Unlock()
	killTree(c.cmd, c.group)
	c.over = true
}

func (c *child) ended() bool {
	select {
	case <-c.gone:
		return true
	default:
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.over || c.killed
	}
}

func (c *child) pid() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cmd == nil {
		return 0
	}
	return c.cmd.Process.Pid
}

func (c *child) firstLine() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.greeting
}

// ending says in words how the process ended.
func (c *child) ending() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.exit == nil:
		return "is still there"
	case c.exit.ExitCode() >= 0:
		return fmt.Sprintf("ended with exit code %d", c.exit.ExitCode())
	}
	return "was killed (" + c.exit.String() + ")"
}

// startFailure says why the operating system did not start the program.
func startFailure(p flow.PlanPlugin, err error) error {
	system := runtime.GOOS + "/" + runtime.GOARCH
	switch {
	case errors.Is(err, syscall.ENOEXEC), strings.Contains(err.Error(), "not a valid Win32 application"):
		return loadError(p, flow.CodeProcessFormat, "build it for "+system, p.Path+" is not a program for "+system, nil)
	case errors.Is(err, fs.ErrNotExist):
		return loadError(p, flow.CodeProcessFormat, "link the program statically, or install what its first line or its loader names",
			p.Path+" needs an interpreter or loader that this machine does not have", nil)
	}
	return loadError(p, flow.CodeProcessHost, "see that the folder of the host allows programs to be executed (no noexec mount)", "start "+p.Path, err)
}

// Diagnose implements runner.Runner.
func (c *child) Diagnose(context.Context) string { return "" }

// Stdout implements runner.Runner.
func (c *child) Stdout() io.ReadCloser { return c.first }

// Stderr implements runner.Runner: nothing, because it is read here.
func (c *child) Stderr() io.ReadCloser { return io.NopCloser(strings.NewReader("")) }

// Name implements runner.Runner.
func (c *child) Name() string { return c.program }

// Wait implements runner.Runner.
func (c *child) Wait(context.Context) error {
	<-c.gone
	return nil
}

// Kill implements runner.Runner.
func (c *child) Kill(context.Context) error {
	c.kill()
	return nil
}

// ID implements runner.Runner.
func (c *child) ID() string { return strconv.Itoa(c.pid()) }

// PluginToHost implements runner.Runner: both live in the same file system and network.
func (c *child) PluginToHost(network, address string) (string, string, error) {
	return network, address, nil
}

// HostToPlugin implements runner.Runner.
func (c *child) HostToPlugin(network, address string) (string, string, error) {
	return network, address, nil
}
