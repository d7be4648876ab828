package process

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// An earlier life of the host has left a program that was started from its folder, and one that has only the folder's
// name among its variables. A stranger that stands in the folder is left alone.
func TestProcessesOfAnEarlierHostAreKilled(t *testing.T) {
	t.Parallel()
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Skip("no sleep to be left over")
	}
	dir := t.TempDir()
	own := filepath.Join(dir, "process")
	if err := os.MkdirAll(filepath.Join(own, "run"), 0o700); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(sleep)
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(own, "left")
	if err := os.WriteFile(program, b, 0o700); err != nil {
		t.Fatal(err)
	}
	start := func(name, folder string, env ...string) *exec.Cmd {
		c := exec.CommandContext(t.Context(), name, "60")
		c.Dir, c.Env = folder, env
		for range busyTries {
			if err = c.Start(); !busy(err) {
				break
			}
			wait(nil, busyWait)
			c = &exec.Cmd{Path: c.Path, Args: c.Args, Dir: folder, Env: env}
		}
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	copied := start(program, dir)
	child := start(sleep, dir, "A=b", "TMPDIR="+filepath.Join(own, "run", "1"))
	stranger := start(sleep, own, "TMPDIR="+os.TempDir()) //nolint:usetesting // one that is not of this host
	defer func() {
		_ = stranger.Process.Kill()
		_ = stranger.Wait() // it was killed
	}()
	if n := reapOrphans(own); n != 2 {
		t.Errorf("%d processes were killed, want 2", n)
	}
	for _, c := range []*exec.Cmd{copied, child} {
		if err := c.Wait(); err == nil || c.ProcessState.ExitCode() != -1 {
			t.Errorf("%v was not killed: %v", c.Args, c.ProcessState)
		}
	}
	if err := stranger.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("the stranger: %v", err)
	}
}
