package process

import (
	"bytes"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// dataOf returns the bytes of private memory that a process holds, or 0.
func dataOf(pid int) uint64 {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	var kib uint64
	for line := range bytes.Lines(status) {
		if _, err := fmt.Sscanf(string(line), "VmData: %d kB", &kib); err == nil {
			return kib << 10
		}
	}
	return 0
}

// allow bounds the private memory of the worker for a call of that memory. A worker that reaches the bound is refused
// more by the kernel, and ends.
func (w *worker) allow(memory flow.Size) {
	if w.data == 0 {
		return
	}
	bound := w.data + uint64(w.proc.runtime.memory) + 2*uint64(max(memory, 0))
	if bound == w.bound {
		return
	}
	w.bound = bound
	c := w.proc.child
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.over { // else the number may be another's
		_ = unix.Prlimit(c.cmd.Process.Pid, unix.RLIMIT_DATA, &unix.Rlimit{Cur: bound, Max: unix.RLIM_INFINITY}, nil)
	}
}

// workerProgram is the program that runs, even when its file has been replaced.
func (r *Runtime) workerProgram() (string, error) {
	if r.program != "" {
		return r.program, nil
	}
	return "/proc/self/exe", nil
}
