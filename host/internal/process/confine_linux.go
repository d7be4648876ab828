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
	niceness      = 10   // of processes of plugins: the host, which all wait for, comes first
)

// startConfined starts a process that dies with the calling thread, in a session and cgroup of its own, that can gain
// no rights by what it executes, and in a network of its own where network says how. The calling thread keeps the mark
// about rights, so it must be used for nothing else.
func startConfined(command func() *exec.Cmd, group *cgroup, network uintptr) (*exec.Cmd, error) {
	_ = unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) // cannot fail since Linux 3.5
	_ = unix.Setpriority(unix.PRIO_PROCESS, 0, niceness) // of this thread, which the process takes over
	start := func(group *cgroup) (*exec.Cmd, error) {
		cmd := command()
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
		group.join(cmd.SysProcAttr)
		leaveNetwork(cmd.SysProcAttr, network)
		return cmd, cmd.Start()
	}
	cmd, err := start(group)
	if err != nil && cmd.SysProcAttr.UseCgroupFD && !aboutProgram(err) {
		cmd, err = start(nil) // some containers have cgroups that can be made but not entered
	}
	if err != nil {
		return nil, err
	}
	setLimit(cmd.Process.Pid, unix.RLIMIT_CORE, 0)
	setLimit(cmd.Process.Pid, unix.RLIMIT_NOFILE, openFiles)
	return cmd, nil
}

// noNetwork returns the flags by which a process starts in a network of its own that reaches nobody, or 0 where this
// user may not: some systems ask for an administrator.
func noNetwork() uintptr {
	for _, flags := range []uintptr{unix.CLONE_NEWNET, unix.CLONE_NEWUSER | unix.CLONE_NEWNET} {
		probe := exec.Cmd{Path: "/nonexistent", SysProcAttr: &syscall.SysProcAttr{}}
		leaveNetwork(probe.SysProcAttr, flags)
		if err := probe.Start(); errors.Is(err, fs.ErrNotExist) { // it got as far as the program
			return flags
		}
	}
	return 0
}

func leaveNetwork(attr *syscall.SysProcAttr, flags uintptr) {
	attr.Cloneflags = flags
	if flags&unix.CLONE_NEWUSER != 0 {
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getuid(), HostID: os.Getuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getgid(), HostID: os.Getgid(), Size: 1}}
	}
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

// Guards lists what keeps processes of plugins and workers in check on this machine. It starts a process to find out.
func Guards() []Guard {
	groups := openCgroups()
	defer groups.close()
	return []Guard{
		{Name: "session", Holds: true, About: "a kill reaches all processes of the plugin's session"},
		{Name: "parent death", Holds: true, About: "the kernel kills plugins and workers when the host dies"},
		{Name: "no new privileges", Holds: true, About: "set-user-id programs give a plugin no rights"},
		{Name: "resource limits", Holds: true, About: "open files and core dumps are bounded, and the memory of workers"},
		choose("cgroup", groups != nil, "a kill reaches processes that left the session",
			"no writable cgroup v2: a process that leaves the session of its plugin can outlive it"),
		choose("landlock", canSeal(), "a worker reaches its own folder and the mounts of its modules, and no other file; process plugins have the files of the host's user",
			"the kernel lacks it, or this program is built with cgo: workers, like process plugins, have the files of the host's user"),
		choose("no network", noNetwork() != 0, "a worker has a network of its own that reaches nobody; process plugins have the host's",
			"this user may not make network namespaces: a worker that is taken over can reach the network"),
	}
}

func choose(name string, holds bool, with, without string) Guard {
	if holds {
		return Guard{Name: name, Holds: true, About: with}
	}
	return Guard{Name: name, About: without}
}
