package process

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	programSuffix = ""
	openFiles     = 1024 // that one process of a plugin may have
)

// startConfined starts a process that dies with the calling thread, in a session and cgroup of its own, that can gain
// no rights by what it executes. The calling thread keeps that last mark, so it must be used for nothing else.
func startConfined(command func() *exec.Cmd, group *cgroup) (*exec.Cmd, error) {
	_ = unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) // cannot fail since Linux 3.5
	cmd := command()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	group.join(cmd.SysProcAttr)
	err := cmd.Start()
	if err != nil && cmd.SysProcAttr.UseCgroupFD && !aboutProgram(err) {
		// Some containers have cgroups that can be made but not entered.
		cmd = command()
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
		err = cmd.Start()
	}
	if err != nil {
		return nil, err
	}
	setLimit(cmd.Process.Pid, unix.RLIMIT_CORE, 0)
	setLimit(cmd.Process.Pid, unix.RLIMIT_NOFILE, openFiles)
	return cmd, nil
}

// aboutProgram reports whether err comes from the program and not from how it was started.
func aboutProgram(err error) bool {
	return busy(err) || errors.Is(err, syscall.ENOEXEC) || errors.Is(err, fs.ErrNotExist)
}

// setLimit lowers a limit of a process. One that has ended already has no more use for it.
func setLimit(pid, resource int, value uint64) {
	_ = unix.Prlimit(pid, resource, &unix.Rlimit{Cur: value, Max: value}, nil)
}

// busy reports that the program's file is still open for writing: a process that is being started at the same time
// holds a copy of the descriptor until it executes its own program.
func busy(err error) bool { return errors.Is(err, syscall.ETXTBSY) }

// killTree kills the process, its session's first group and its cgroup. The process must not have been waited for.
func killTree(cmd *exec.Cmd, group *cgroup) {
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	group.kill()
}

// waitAndSweep waits for the end of the process and calls sweep before its number can become another's.
func waitAndSweep(cmd *exec.Cmd, sweep func()) *os.ProcessState {
	for unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
		continue
	}
	sweep()
	_ = cmd.Wait() // the state says it
	return cmd.ProcessState
}

// Guards lists what keeps processes of plugins in check on this machine.
func (r *Runtime) Guards() []Guard {
	cgroup := Guard{Name: "cgroup", Holds: r.cgroups != nil, About: "a kill reaches processes that left the session"}
	if !cgroup.Holds {
		cgroup.About = "no writable cgroup v2: a process that leaves the session of its plugin can outlive it"
	}
	return []Guard{
		{Name: "session", Holds: true, About: "a kill reaches all processes of the plugin's session"},
		{Name: "parent death", Holds: true, About: "the kernel kills a plugin when the host dies"},
		{Name: "no new privileges", Holds: true, About: "set-user-id programs give a plugin no rights"},
		{Name: "resource limits", Holds: true, About: "open files and core dumps are bounded"},
		cgroup,
	}
}
