//go:build !linux

package process

import (
	"os"

	"github.com/uniflow-dev/uniflow/host/flow"
)

func dataOf(int) uint64 { return 0 }

// allow bounds nothing: only Linux lets one process bound another.
func (w *worker) allow(flow.Size) {}

// workerProgram is the program that runs.
func (r *Runtime) workerProgram() (string, error) {
	if r.program != "" {
		return r.program, nil
	}
	return os.Executable()
}
