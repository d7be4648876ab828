package tool

import (
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
