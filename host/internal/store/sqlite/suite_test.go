package sqlite

import (
	"path/filepath"
	"testing"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/store/storetest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, dir, boot string) storetest.Ledger {
		t.Helper()
		return open(t, dir, boot)
	})
}

// open opens the ledger of a folder; an empty boot opens for reading only.
func open(t testing.TB, dir, boot string) *Store {
	t.Helper()
	s, err := Open(t.Context(), Config{Path: filepath.Join(dir, "uniflow.db"), Boot: boot, ReadOnly: boot == ""})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestQuotas(t *testing.T) {
	t.Parallel()
	storetest.RunQuotas(t, func(t *testing.T, dir, boot string, quotas func(string) *flow.Quota) storetest.QuotaLedger {
		t.Helper()
		s, err := Open(t.Context(), Config{Path: filepath.Join(dir, "uniflow.db"), Boot: boot, Quotas: quotas})
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}
