//go:build unix

package main

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
)

// guardArg makes this program the guard of a group.
const guardArg = "guard-the-group"

const programSuffix = ""

func executable(info fs.FileInfo) bool { return info.Mode().Perm()&0o111 != 0 }

// group is the process group of a command. Its leader is a guard, a copy of this program that kills the group when the
// plugin dies, and that keeps the number of the group from becoming another's.
type group struct {
	leader *exec.Cmd
	alive  *os.File // closed when this process ends, however it ends
	once   sync.Once
}

func newGroup() (*group, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	watched, alive, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make a pipe: %w", err)
	}
	defer watched.Close()
	leader := &exec.Cmd{
		Path: self, Args: []string{self, guardArg}, Env: []string{}, Dir: "/", Stdin: watched,
		SysProcAttr: &syscall.SysProcAttr{Setpgid: true},
	}
	if err := leader.Start(); err != nil {
		_ = alive.Close()
		return nil, fmt.Errorf("start the guard of the group: %w", err)
	}
	return &group{leader: leader, alive: alive}, nil
}

// join makes cmd start in the group.
func (g *group) join(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pgid: g.leader.Process.Pid}
}

// terminate asks all processes of the group to end.
func (g *group) terminate() { _ = syscall.Kill(-g.leader.Process.Pid, syscall.SIGTERM) }

// kill kills all processes of the group. The leader stays in it, as a zombie, until close.
func (g *group) kill() { _ = syscall.Kill(-g.leader.Process.Pid, syscall.SIGKILL) }

// close kills what is left and gives the number of the group up.
func (g *group) close() {
	g.once.Do(func() {
		g.kill()
		_ = g.alive.Close()
		_ = g.leader.Wait() // it was killed
	})
}

// guard waits for the end of the plugin and then kills the group, itself with it. It does not return.
func guard() {
	signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGPIPE)
	_, _ = io.Copy(io.Discard, os.Stdin)
	_ = syscall.Kill(0, syscall.SIGKILL)
	os.Exit(0)
}
