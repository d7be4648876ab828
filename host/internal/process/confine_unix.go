//go:build unix && !linux

package process

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
)

const programSuffix = ""

// startConfined starts a process in a session of its own.
func startConfined(command func() *exec.Cmd, _ *cgroup, _ uintptr) (*exec.Cmd, error) {
	cmd := command()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd, cmd.Start()
}

// noNetwork is for Linux only.
func noNetwork() uintptr { return 0 }

// busy reports that the program's file is still open for writing by a process that is being started.
func busy(err error) bool { return errors.Is(err, syscall.ETXTBSY) }

// killTree kills the process and its session's first group.
func killTree(cmd *exec.Cmd, _ *cgroup) { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }

// waitAndSweep waits for the end of the process, then calls sweep.
func waitAndSweep(cmd *exec.Cmd, sweep func()) *os.ProcessState {
	_ = cmd.Wait() // the state says it
	sweep()
	return cmd.ProcessState
}

// Guards lists what keeps processes of plugins and workers in check on this machine.
func Guards() []Guard {
	return []Guard{
		{Name: "session", Holds: true, About: "a kill reaches all processes of the plugin's session"},
		{Name: "parent death", About: "only on Linux: a plugin can outlive a host that is killed"},
		{Name: "no new privileges", About: "only on Linux"},
		{Name: "resource limits", About: "only on Linux"},
		{Name: "cgroup", About: "only on Linux"},
		{Name: "landlock", About: "only on Linux: workers have the files of the host's user"},
		{Name: "no network", About: "only on Linux: a worker that is taken over can reach the network"},
	}
}
