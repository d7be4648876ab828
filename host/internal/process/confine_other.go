//go:build !unix

package process

import (
	"os"
	"os/exec"
)

const programSuffix = ".exe"

// startConfined starts a process; this system offers nothing to confine it by.
func startConfined(command func() *exec.Cmd, _ *cgroup, _ uintptr) (*exec.Cmd, error) {
	cmd := command()
	return cmd, cmd.Start()
}

func noNetwork() uintptr { return 0 }

func busy(error) bool { return false }

// killTree kills the process, not its children.
func killTree(cmd *exec.Cmd, _ *cgroup) { _ = cmd.Process.Kill() }

// waitAndSweep waits for the end of the process, then calls sweep.
func waitAndSweep(cmd *exec.Cmd, sweep func()) *os.ProcessState {
	_ = cmd.Wait() // the state says it
	sweep()
	return cmd.ProcessState
}

// Guards lists what keeps processes of plugins and workers in check on this machine.
func Guards() []Guard {
	const only = "not on this system"
	return []Guard{
		{Name: "session", About: only + ": processes that a plugin starts can outlive it"},
		{Name: "parent death", About: only + ": a plugin can outlive a host that is killed"},
		{Name: "no new privileges", About: only},
		{Name: "resource limits", About: only},
		{Name: "cgroup", About: only},
		{Name: "landlock", About: only + ": workers have the files of the host's user"},
		{Name: "no network", About: only + ": a worker that is taken over can reach the network"},
	}
}
