package host

import (
	"context"
	"fmt"
	"time"
)

// Alive says whether a host that was started still does its work: the scheduler looks at its schedules, and the ledger
// takes a transaction before ctx ends. It is for a watchdog outside of the host, which starts it again: unlike Health it
// judges no pipeline.
func (h *Host) Alive(ctx context.Context) error {
	if h.config.ReadOnly {
		return errReadOnly("ask whether the host is alive")
	}
	if err := h.clock.Alive(time.Now()); err != nil {
		return err
	}
	if err := h.store.Answers(ctx); err != nil {
		return fmt.Errorf("the ledger does not answer: %w", err)
	}
	return nil
}
