package host

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// Seed puts an artifact of a tenant and a log line of one of its runs where attempts would have put them.
func (h *Host) Seed(ctx context.Context, tenant string, run flow.RunID, content, line string) (flow.Digest, error) {
	d, _, err := h.blobs.Put(ctx, tenant, bytes.NewReader([]byte(content)), 1<<20)
	if run != "" {
		err = errors.Join(err, h.store.AppendLogs(ctx, []flow.LogLine{{At: time.Now(), Tenant: tenant, Run: run, Step: "main", Attempt: 1, Message: line}}))
	}
	return d, err
}
