//go:build faults && unix

package failpoint

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

var visits atomic.Int64

// Here kills the process when UNIFLOW_FAULT is "POINT:N" and this is the N-th visit of that point.
func Here(p Point) {
	name, count, _ := strings.Cut(os.Getenv("UNIFLOW_FAULT"), ":")
	if name != string(p) {
		return
	}
	if n, err := strconv.ParseInt(count, 10, 64); err == nil && visits.Add(1) == n {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}
