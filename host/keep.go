package host

import (
	"context"
	"log/slog"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// pruneEvery is the time between looks for history that is over its bounds.
const pruneEvery = 10 * time.Minute

// prune drops history beyond each pipeline's keep, now and then, until ctx ends.
func (h *Host) prune(ctx context.Context) {
	ticker := time.NewTicker(pruneEvery)
	defer ticker.Stop()
	for {
		for _, e := range h.entries() {
			n, err := h.store.Prune(ctx, e.plan.Tenant, e.plan.Pipeline, e.plan.Keep, time.Now())
			if err != nil && ctx.Err() == nil {
				h.log.Error("history not pruned", slog.String("pipeline", e.plan.ID()), slog.Any("err", err))
			}
			if n > 0 {
				h.log.Info("history pruned", slog.String("pipeline", e.plan.ID()), slog.Int("runs", n))
			}
		}
		if n, err := h.sweep(ctx); err != nil && ctx.Err() == nil {
			h.log.Error("artifacts not swept", slog.Any("err", err))
		} else if n > 0 {
			h.log.Info("artifacts swept", slog.Int("files", n))
		}
		if _, err := h.store.PruneAudit(ctx, time.Now()); err != nil && ctx.Err() == nil {
			h.log.Error("audit not pruned", slog.Any("err", err))
		}
		if n, err := h.pruneKept(ctx); err != nil && ctx.Err() == nil {
			h.log.Error("plugins of old versions not removed", slog.Any("err", err))
		} else if n > 0 {
			h.log.Info("plugins of old versions removed", slog.Int("files", n))
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// sweep removes the artifacts that no record refers to. A run that is open may yet refer to what it has put.
func (h *Host) sweep(ctx context.Context) (int, error) {
	before := time.Now().Add(-time.Hour)
	oldest, err := h.store.OldestOpen(ctx)
	if err != nil {
		return 0, err
	}
	if !oldest.IsZero() && oldest.Before(before) {
		before = oldest
	}

	return h.blobs.Sweep(ctx, before, func(tenant string, d flow.Digest) (bool, error) { return h.store.Refers(ctx, tenant, d) })
}
