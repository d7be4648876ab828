package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"sync"
	"time"

	"github.com/uniflow-dev/uniflow/sdk/abi"
	"github.com/uniflow-dev/uniflow/sdk/process"
)

// drainTime is for the last words of a command whose output a stranger to its group holds open.
const drainTime = 500 * time.Millisecond

// run is the one function of the plugin.
func run(ctx context.Context, c *process.Call) error {
	in, err := readInputs(c)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "command-")
	if err != nil {
		return fmt.Errorf("make a folder for the command: %w", err)
	}
	defer os.RemoveAll(dir)
	cmd, err := newCommand(ctx, c, in, dir)
	if err != nil {
		return err
	}
	if file, ok := cmd.Stdin.(*os.File); ok {
		defer file.Close()
	}
	x := &execution{call: c, in: in, dir: dir, cmd: cmd}
	state, err := x.execute(ctx)
	if err != nil {
		return err
	}
	return x.end(state)
}

// newCommand makes the command, ready to start but for its output.
func newCommand(ctx context.Context, c *process.Call, in inputs, dir string) (*exec.Cmd, error) {
	env, err := environment(ctx, c, in, dir)
	if err != nil {
		return nil, err
	}
	program, err := find(in.Command[0], env)
	if err != nil {
		return nil, err
	}
	stdin, err := openStdin(ctx, c, in, dir)
	if err != nil {
		return nil, err
	}
	cmd := &exec.Cmd{Path: program, Args: in.Command, Env: env, Dir: dir}
	if stdin != nil {
		cmd.Stdin = stdin
	}
	return cmd, nil
}

// execution is one command from its start to its end.
type execution struct {
	call *process.Call
	in   inputs
	dir  string
	cmd  *exec.Cmd

	out    []byte // standard output, where it becomes outputs
	last   string // line of standard error
	failed error  // why standard output was not taken
}

// Why a command is ended before it ends by itself.
var (
	errTimeout = errors.New("the time of the command is over")
	errTooMuch = errors.New("standard output is too large")
)

// execute starts the command and returns when it has ended, with all that it started. The error says why it was ended, or
// could not start.
func (x *execution) execute(ctx context.Context) (*os.ProcessState, error) {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	if x.in.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, time.Duration(x.in.Timeout), errTimeout)
		defer cancel()
	}
	group, pipes, err := x.start()
	if err != nil {
		return nil, err
	}
	defer group.close()
	var reading sync.WaitGroup
	reading.Go(func() { x.readStdout(pipes[0], end) })
	reading.Go(func() { x.readStderr(pipes[1]) })
	state, cut := x.wait(ctx, group)
	group.kill()
	for _, pipe := range pipes {
		_ = pipe.SetReadDeadline(time.Now().Add(drainTime))
	}
	reading.Wait()
	for _, pipe := range pipes {
		_ = pipe.Close()
	}
	switch {
	case x.failed != nil:
		return nil, x.stopped(x.failed)
	case cut:
		return nil, x.stopped(context.Cause(ctx))
	}
	return state, nil
}

// start starts the command in a group of its own, and returns the reading ends of its output.
func (x *execution) start() (*group, [2]*os.File, error) {
	var read, write [2]*os.File
	closeAll := func(files [2]*os.File) {
		for _, f := range files {
			_ = f.Close() // of a nil file is an error, and no more
		}
	}
	for i := range read {
		var err error
		if read[i], write[i], err = os.Pipe(); err != nil {
			closeAll(read)
			closeAll(write)
			return nil, read, fmt.Errorf("make a pipe: %w", err)
		}
	}
	defer closeAll(write)
	x.cmd.Stdout, x.cmd.Stderr = write[0], write[1]
	group, err := newGroup()
	if err == nil {
		group.join(x.cmd)
		if err = x.cmd.Start(); err != nil {
			group.close()
		}
	}
	if err != nil {
		closeAll(read)
		return nil, read, startError(x.in.Command[0], err)
	}
	return group, read, nil
}

// startError: a program that is not there or may not be executed will not be there at the next try either.
func startError(program string, err error) error {
	code := ""
	switch {
	case errors.Is(err, fs.ErrNotExist):
		code = "not_found"
	case errors.Is(err, fs.ErrPermission):
		code = "not_executable"
	}
	if code != "" {
		return &process.Ending{Kind: abi.KindPermanent, Code: code, Err: fmt.Errorf("start %s: %w", program, err)}
	}
	return fmt.Errorf("start %s: %w", program, err)
}

// wait returns when the command itself has ended. Once ctx is over it cuts the command off: it asks the group to end, and
// kills it after the grace.
func (x *execution) wait(ctx context.Context, group *group) (state *os.ProcessState, cut bool) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = x.cmd.Wait() // the state says it
	}()
	select {
	case <-ended:
		return x.cmd.ProcessState, false
	case <-ctx.Done():
	}
	group.terminate()
	grace := time.NewTimer(time.Duration(x.in.Grace))
	defer grace.Stop()
	select {
	case <-ended:
	case <-grace.C:
		group.kill()
		<-ended
	}
	return x.cmd.ProcessState, true
}

// stopped is the end of an attempt whose command was not let to end.
func (x *execution) stopped(cause error) error {
	switch {
	case errors.Is(cause, errTimeout):
		return process.Fail("timeout", fmt.Errorf("the command did not end within %s and was ended", time.Duration(x.in.Timeout)))
	case errors.Is(cause, errTooMuch):
		return &process.Ending{Kind: abi.KindPermanent, Code: "output_limit", Err: fmt.Errorf(
			"the command printed more than %d bytes and was ended: raise with.max_output, or let standard output become an artifact", x.in.MaxOutput)}
	}
	return fmt.Errorf("the command was ended: %w", cause)
}

// end turns the exit code into the end of the attempt.
func (x *execution) end(state *os.ProcessState) error {
	if state.ExitCode() < 0 {
		return process.Fail("signal", fmt.Errorf("the command was ended by a %s", state))
	}
	verdict := abi.VerdictOfExit(uint32(state.ExitCode()), x.last)
	switch verdict.Kind {
	case abi.KindOK:
		return errors.Join(x.outputs(), x.files(true))
	case abi.KindSkip:
		if err := errors.Join(x.outputs(), x.files(false)); err != nil {
			return err
		}
	}
	return &process.Ending{Kind: verdict.Kind, Code: verdict.Code, Err: errors.New(verdict.Message)}
}

// files keeps the files that the step names.
func (x *execution) files(all bool) error {
	if len(x.in.Artifacts) == 0 {
		return nil
	}
	root, err := os.OpenRoot(x.dir)
	if err != nil {
		return fmt.Errorf("open the folder of the command: %w", err)
	}
	defer root.Close()
	for _, name := range x.in.Artifacts {
		info, err := root.Lstat(name)
		switch {
		case errors.Is(err, fs.ErrNotExist) && !all:
			continue
		case err != nil:
			return process.Fail("artifact", fmt.Errorf("the command wrote no file %q to its folder", name))
		case !info.Mode().IsRegular():
			return process.Fail("artifact", fmt.Errorf("%q is no regular file", name))
		}
		if err := x.keep(root, name); err != nil {
			return err
		}
	}
	return nil
}

func (x *execution) keep(root *os.Root, name string) error {
	file, err := root.Open(name)
	if err != nil {
		return fmt.Errorf("open %q: %w", name, err)
	}
	defer file.Close()
	return x.call.Artifact(name, "", io.Reader(file))
}
