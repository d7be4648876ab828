package main

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// notifier tells a service manager how a host fares, by the protocol of sd_notify. Without one it says nothing.
type notifier struct {
	log *slog.Logger
	// watchdog is the time after which the manager starts a host again that it has not heard of; zero is never.
	watchdog time.Duration
	watching sync.WaitGroup
	end      context.CancelFunc
}

func newNotifier(log *slog.Logger) *notifier {
	watchdog, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn("no watchdog", slog.Any("err", err))
	}
	return &notifier{log: log, watchdog: watchdog, end: func() {}}
}

func (n *notifier) tell(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		n.log.Warn("service manager not told", slog.Any("err", err))
	}
}

// Ready says that the host serves, and begins to answer for its life: as long as alive finds nothing wrong.
func (n *notifier) Ready(ctx context.Context, alive func(context.Context) error) {
	n.tell(daemon.SdNotifyReady)
	if n.watchdog > 0 {
		ctx, n.end = context.WithCancel(ctx)
		n.watching.Go(func() { n.watch(ctx, alive) })
	}
}

// watch says that the host lives, but only right after that was found out.
func (n *notifier) watch(ctx context.Context, alive func(context.Context) error) {
	interval := n.watchdog / 4 // a round that finds the clock set anew may be lost
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		limited, cancel := context.WithTimeout(ctx, interval)
		err := alive(limited)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			n.tell(daemon.SdNotifyWatchdog)
		default:
			n.log.Error("the host does not do its work, and the watchdog is not told otherwise", slog.Any("err", err))
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// Reloading says that the manifest is read anew; the returned function says that this has ended, well or not.
func (n *notifier) Reloading() (done func()) {
	n.tell(daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec())
	return func() { n.tell(daemon.SdNotifyReady) }
}

// Stopping says that the host ends; how long that may take is up to the manager.
func (n *notifier) Stopping() {
	n.tell(daemon.SdNotifyStopping)
	n.end()
	n.watching.Wait()
}
