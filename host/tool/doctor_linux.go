package tool

import (
	"os"
	"strings"
	"syscall"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// freeSpace returns what an ordinary user may still write.
func freeSpace(dir string) (flow.Size, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, err
	}
	return flow.Size(min(s.Bavail, 1<<40) * uint64(max(s.Bsize, 1))), nil
}

// confinement tells, as information, what the kernel offers to confine processes with.
func confinement() []flow.DoctorCheck {
	found := func(name, yes, no string, ok bool) flow.DoctorCheck {
		if ok {
			return flow.DoctorCheck{Name: name, Status: statusOK, Detail: yes}
		}
		return flow.DoctorCheck{Name: name, Status: statusOK, Detail: no}
	}
	modules, _ := os.ReadFile("/sys/kernel/security/lsm")
	return []flow.DoctorCheck{
		found("cgroups", "this user may make cgroups: process plugins get limits of their own", "this user may not make cgroups: process plugins have no limits of memory and processors of their own", ownsCgroup()),
		found("landlock", "the kernel has it", "the kernel does not have it, or does not say so", strings.Contains(string(modules), "landlock")),
	}
}

// ownsCgroup reports whether the process may make groups below its own.
func ownsCgroup() bool {
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(own)) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			const write = 2
			return syscall.Access("/sys/fs/cgroup"+path, write) == nil
		}
	}
	return false
}
