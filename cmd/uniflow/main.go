// Command uniflow runs scheduled pipelines of sandboxed plugins: it checks and plans a manifest, runs pipelines, serves
// schedules, and shows what became of them.
//
// It owns verbs, flags, what is printed, and exit codes; what a verb does is in packages host and tool. Data goes to
// standard output, talk to standard error.
package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"

	"github.com/uniflow-dev/uniflow/host"
)

// version is set when a release is linked: -X main.version=1.2.3.
var version string

// errInterrupted is the cause of a context that a signal ended.
var errInterrupted = errors.New("interrupted")

func main() {
	host.WorkerMain()
	if version != "" {
		host.Version = version
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) { // a terminal that is gone ends the command as Ctrl-C does; nohup keeps it
		signal.Notify(signals, syscall.SIGHUP)
	}
	go func() { // lives as long as the process
		<-signals
		cancel(errInterrupted)
		<-signals
		os.Exit(exitInterrupted)
	}()
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
