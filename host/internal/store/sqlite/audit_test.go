package sqlite

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// One tenant that writes much drops its own oldest entries, and nothing of another.
func TestTheAuditOfATenantCannotDrownAnothers(t *testing.T) {
	t.Parallel()
	s, err := Open(t.Context(), Config{Path: filepath.Join(t.TempDir(), "uniflow.db"), Boot: "b"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for n := range 40 {
		e := flow.AuditEntry{At: time.Now(), By: "loud/ci", Tenant: "loud", Verb: "run.start", Target: fmt.Sprint(n)}
		if n < 3 {
			e.By, e.Tenant = "quiet/ci", "quiet"
		}
		if err := s.AddAudit(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := s.pruneAudit(t.Context(), 0, 10); err != nil || n != 27 {
		t.Errorf("dropped %d, %v, want 27", n, err)
	}
	for tenant, want := range map[string]int{"loud": 10, "quiet": 3} {
		left, err := s.Audit(t.Context(), flow.AuditQuery{Tenant: tenant})
		if err != nil || len(left) != want {
			t.Errorf("%s has %d entries, %v, want %d", tenant, len(left), err, want)
		}
		if tenant == "loud" && (left[0].Target != "39" || left[9].Target != "30") {
			t.Errorf("not the newest are left: %+v", left)
		}
	}
}
