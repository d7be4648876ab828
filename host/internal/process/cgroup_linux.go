package process

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	cgroupPrefix = "uniflow-"
	emptyTries   = 50 // to remove a cgroup whose killed processes are still being taken down
	emptyWait    = 10 * time.Millisecond
	foundTries   = 10 // to make a folder that a host which starts at the same moment does not take for left behind
)

// cgroups is the runtime's own folder in the tree of cgroup v2, with one cgroup per process. It is nil where that tree
// is missing or not writable. A lock on the folder tells others that its runtime lives.
type cgroups struct {
	dir  string
	lock *os.File
	made atomic.Uint64
}

// openCgroups makes the runtime's folder, and kills what hosts that died have left in theirs.
func openCgroups() *cgroups {
	parent := ownCgroup()
	if parent == "" {
		return nil
	}
	left, _ := filepath.Glob(filepath.Join(parent, cgroupPrefix+"*"))
	for _, dir := range left {
		if lock, err := lockFolder(dir); err == nil {
			removeTree(dir)
			_ = lock.Close()
		}
	}
	for range foundTries {
		if dir, err := os.MkdirTemp(parent, cgroupPrefix); err != nil {
			return nil
		} else if lock, err := lockFolder(dir); err == nil {
			if _, err = os.Stat(filepath.Join(dir, "cgroup.kill")); err == nil {
				return &cgroups{dir: dir, lock: lock}
			}
			_ = errors.Join(lock.Close(), os.Remove(dir)) // a kernel before 5.14, or a host that starts at this moment
		}
	}
	return nil
}

// ownCgroup returns the folder of the cgroup that the host runs in, or "".
func ownCgroup() string {
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	own, _ := os.ReadFile("/proc/self/cgroup")
	var path string
	for line := range strings.Lines(string(own)) {
		if p, ok := strings.CutPrefix(line, "0::"); ok {
			path = strings.TrimSpace(p)
		}
	}
	for line := range strings.Lines(string(mounts)) {
		before, after, ok := strings.Cut(line, " - ")
		fields := strings.Fields(before)
		if ok && strings.HasPrefix(after, "cgroup2 ") && len(fields) > 4 && fields[3] == "/" && path != "" {
			return filepath.Join(fields[4], path)
		}
	}
	return ""
}

// lockFolder locks a folder, unless another has.
func lockFolder(dir string) (*os.File, error) {
	folder, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(folder.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(err, folder.Close())
	}
	return folder, nil
}

// removeTree kills the processes of a cgroup and of those in it, and removes all of them.
func removeTree(dir string) {
	killCgroup(dir)
	inner, _ := filepath.Glob(filepath.Join(dir, "p*"))
	for _, d := range append(inner, dir) {
		removeCgroup(d)
	}
}

func killCgroup(dir string) {
	_ = os.WriteFile(filepath.Join(dir, "cgroup.kill"), []byte("1"), 0)
}

// removeCgroup removes an empty cgroup; it waits a little for one that is about to be empty.
func removeCgroup(dir string) {
	for range emptyTries {
		if err := os.Remove(dir); !errors.Is(err, syscall.EBUSY) {
			return
		}
		wait(nil, emptyWait)
	}
}

// group makes a cgroup for one process. It is nil where that cannot be.
func (g *cgroups) group() *cgroup {
	if g == nil {
		return nil
	}
	dir := filepath.Join(g.dir, "p"+strconv.FormatUint(g.made.Add(1), 36))
	if os.Mkdir(dir, 0o700) != nil {
		return nil
	}
	folder, err := os.Open(dir)
	if err != nil {
		_ = os.Remove(dir)
		return nil
	}
	return &cgroup{dir: dir, folder: folder}
}

func (g *cgroups) close() {
	if g == nil {
		return
	}
	removeTree(g.dir)
	_ = g.lock.Close()
}

// cgroup holds one process and all that it starts. A nil cgroup does nothing.
type cgroup struct {
	dir    string
	folder *os.File
}

// join makes a process start inside the cgroup.
func (c *cgroup) join(attr *syscall.SysProcAttr) {
	if c != nil {
		attr.UseCgroupFD, attr.CgroupFD = true, int(c.folder.Fd())
	}
}

func (c *cgroup) kill() {
	if c != nil {
		killCgroup(c.dir)
	}
}

func (c *cgroup) remove() {
	if c != nil {
		_ = c.folder.Close()
		removeCgroup(c.dir)
	}
}
