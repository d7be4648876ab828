package host

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/process"
	"github.com/uniflow-dev/uniflow/host/internal/wasm"
)

// WorkerMain comes first in the main function of a program that opens a host, before flags are read and anything is
// printed or opened. It returns at once, unless a host has started the program as a worker: it then executes modules
// for that host, confined, and never returns.
//
// Pipelines of a manifest with isolation = "worker" need it; without it such a host does not start.
func WorkerMain() {
	if !process.IsWorker() {
		return
	}
	err := process.ServeWorker(openWorker)
	fmt.Fprintln(os.Stderr, "worker:", err)
	os.Exit(1) //nolint:forbidigo // WorkerMain is the main of a worker
}

// openWorker returns what executes modules inside a worker.
func openWorker(dir string) (flow.Runtime, error) {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	return wasm.New(context.Background(), wasm.Config{CacheDir: filepath.Join(dir, process.CompiledDir), Logger: log})
}

// errInsideWorker refuses to open a host inside a worker, whose program has missed to call WorkerMain: it would start
// itself for ever.
func errInsideWorker() error {
	return &flow.Error{
		Code: flow.CodeWorkerStart, Op: "open a host", Message: "this process was started as a worker of another host",
		Hint: "call host.WorkerMain() first in the main function of the program",
	}
}
