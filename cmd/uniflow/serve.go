package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/uniflow-dev/uniflow/host"
	"github.com/uniflow-dev/uniflow/host/flow"
)

func (a *app) serveCommand() *cobra.Command {
	var listen, logFormat string
	var watch bool
	var parallel int
	var drain time.Duration
	c := &cobra.Command{
		Use:   "serve",
		Short: "Fire schedules and serve the API until a signal comes",
		Long: `Open the manifest, resume what a crash left behind, fire the schedules, and serve the API on the address and on a
Unix socket in the data folder. A signal ends it: live runs go on for the drain time, a second signal ends all at once.

The signal HUP ends nothing: the manifest is read again and applied, as "uniflow apply" does. With --watch, so it is when
the manifest, one of a tenant, or a lock changes. One that is refused is logged, and what runs goes on.

An address beyond this machine needs a token: one that uniflow token create has made, or one in UNIFLOW_TOKEN, which
opens everything.`,
		Example: "  uniflow serve\n  uniflow serve --listen none          # the Unix socket only\n  uniflow serve --listen 127.0.0.1:0   # any free port\n  uniflow serve --watch                # what is written is applied",
		Args:    args(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			log, err := a.logger(c, logFormat)
			if err != nil {
				return err
			}
			if parallel < 0 {
				return usage(c, "--parallel %d is less than 1", parallel)
			}
			if drain < 0 {
				return usage(c, "--drain %s is less than nothing", drain)
			}
			if drain == 0 {
				drain = -1 // for the host, zero is its default
			}
			return a.serve(c.Context(), host.Config{
				Manifest: a.file, API: &host.API{Listen: listen, Token: os.Getenv("UNIFLOW_TOKEN")},
				Parallel: parallel, Drain: drain, Logger: log,
			}, watch)
		},
	}
	c.Flags().StringVar(&listen, "listen", "", "`ADDRESS` of the API, or none (default: what the manifest says, else 127.0.0.1:7420)")
	c.Flags().BoolVar(&watch, "watch", false, "apply the manifest when it changes")
	c.Flags().IntVar(&parallel, "parallel", 0, "steps that execute at one time (default: twice the processors)")
	c.Flags().DurationVar(&drain, "drain", 30*time.Second, "how long live runs may go on after a signal")
	c.Flags().StringVar(&logFormat, "log-format", "text", "text or json")
	return c
}

func (a *app) logger(c *cobra.Command, format string) (*slog.Logger, error) {
	options := &slog.HandlerOptions{Level: slog.LevelInfo}
	if a.quiet {
		options.Level = slog.LevelWarn
	}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(a.talk, options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(a.talk, options)), nil
	}
	return nil, usage(c, "--log-format %q is neither text nor json", format)
}

// serve runs a host until ctx ends. The end by a signal is no failure.
func (a *app) serve(ctx context.Context, config host.Config, watch bool) error {
	hangups := hangups()
	defer signal.Stop(hangups)
	h, err := host.Open(ctx, config)
	if err != nil {
		return err
	}
	if err := h.Start(ctx); err != nil {
		return errors.Join(err, h.Close())
	}
	if text, err := serving(ctx, h); err == nil && !a.quiet {
		fmt.Fprintln(a.talk, text)
	}
	manager := newNotifier(config.Logger)
	manager.Ready(ctx, h.Alive)
	var watching sync.WaitGroup
	if watch {
		watching.Go(func() { h.Watch(ctx) })
	}
	reload(ctx, h, hangups, manager)
	watching.Wait()
	manager.Stopping()
	return h.Stop(context.WithoutCancel(ctx))
}

// hangups are the signals HUP from now on: for any other verb they are the end.
func hangups() chan os.Signal {
	signal.Reset(syscall.SIGHUP)
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGHUP)
	return c
}

// reload applies the manifest at each signal until ctx ends.
func reload(ctx context.Context, h *host.Host, hangups <-chan os.Signal, manager *notifier) {
	for {
		select {
		case <-hangups:
			done := manager.Reloading()
			h.Reload(ctx, flow.ApplyRequest{Cause: "signal"})
			done()
		case <-ctx.Done():
			return
		}
	}
}

// serving is the line that tells where a host serves and what it waits for.
func serving(ctx context.Context, h *host.Host) (string, error) {
	info, err := h.Info(ctx)
	if err != nil {
		return "", err
	}
	schedules, err := h.Schedules(ctx)
	if err != nil {
		return "", err
	}
	where := "the socket " + info.Socket
	if info.Listen != "" {
		where = "http://" + info.Listen
		if info.TLS {
			where = "https://" + info.Listen
		}
	}
	text := fmt.Sprintf("serving on %s: %s, %s", where, count(info.Pipelines, "pipeline"), count(len(schedules), "schedule"))
	if n := broken(schedules); n > 0 {
		text += fmt.Sprintf(", %d broken (uniflow schedule health)", n)
	}
	if next := soonest(schedules); next != nil {
		text += fmt.Sprintf(", next %s at %s", line(next.Name), zoned(*next.NextRun, next.Timezone))
	}
	return text, nil
}

// broken counts the schedules whose slots are skipped because their runs cannot be made.
func broken(schedules []flow.ScheduleInfo) int {
	n := 0
	for i := range schedules {
		if schedules[i].Enabled && schedules[i].Broken != "" {
			n++
		}
	}
	return n
}

// soonest is the schedule that fires first, or nil.
func soonest(schedules []flow.ScheduleInfo) *flow.ScheduleInfo {
	var first *flow.ScheduleInfo
	for i := range schedules {
		if next := schedules[i].NextRun; next != nil && (first == nil || next.Before(*first.NextRun)) {
			first = &schedules[i]
		}
	}
	return first
}
