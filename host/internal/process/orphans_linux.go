package process

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// reapOrphans kills processes that an earlier life of the host has left: those whose program, or whose folder for
// temporary files, lies in dir, which is the runtime's alone. It returns how many. A process that the kernel did not take
// down with its host was started by a plugin, and is in no cgroup of ours.
func reapOrphans(dir string) int {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return 0 // there was no earlier life
	}
	reaped := 0
	all, _ := filepath.Glob("/proc/[0-9]*")
	for _, entry := range all {
		pid, err := strconv.Atoi(filepath.Base(entry))
		if err == nil && pid != os.Getpid() && orphan(entry, dir) && killSame(pid, entry, dir) {
			reaped++
		}
	}
	return reaped
}

// orphan reports whether a process belongs to dir. What another user's process holds cannot be read, and is not ours.
func orphan(entry, dir string) bool {
	inside := dir + string(filepath.Separator)
	if program, err := os.Readlink(filepath.Join(entry, "exe")); err == nil && strings.HasPrefix(program, inside) {
		return true
	}
	environ, err := os.ReadFile(filepath.Join(entry, "environ"))
	return err == nil && bytes.Contains(append([]byte{0}, environ...), []byte("\x00TMPDIR="+inside))
}

// killSame kills a process that still is what it was: its number may have become another's meanwhile.
func killSame(pid int, entry, dir string) bool {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	return orphan(entry, dir) && unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0) == nil
}
