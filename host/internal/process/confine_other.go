//go:build !unix

package process

import (
	"os"
	"os/exec"
)

const programSuffix = ".exe"

// startConfined starts a process; this system offers nothing to confine it by.
func startConfined(command func() *exec.Cmd, _ *cgroup) (*exec.Cmd, error) {
	cmd := command()
	return cmd, cmd.Start()
}

func busy(error) bool { return false }

// killTree kills the process, not its children.
func killTree(cmd *exec.Cmd, _ *cgroup) { _ = cmd.Process.Kill() }

// waitAndSweep waits for the end of the process, then calls sweep.
func waitAndSweep(cmd *exec.Cmd, sweep func()) *os.ProcessState {
	_ = cmd.Wait() // the state says it
	sweep()
	return cmd.ProcessState
}

// Guards lists what keeps processes of plugins in check on this machine.
func (r *Runtime) Guards() []Guard {
	const only = "not on this system"
	return []Guard{
		{Name: "session", About: only + ": processes that a plugin starts can outlive it"},
		{Name: "parent death", About: only + ": a plugin can outlive a host that is killed"},
		{Name: "no new privileges", About: only},
		{Name: "resource limits", About: only},
		{Name: "cgroup", About: only},
	}
}
