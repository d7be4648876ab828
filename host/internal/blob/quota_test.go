package blob

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// What a tenant keeps is bounded, counted once for the same content, counted anew after a restart, and free again after a
// sweep; another tenant is not bounded by it.
func TestAQuotaBoundsWhatATenantKeeps(t *testing.T) {
	t.Parallel()
	s, dir := openStore(t)
	quota := func(tenant string) flow.Size { return map[string]flow.Size{"acme": 100}[tenant] }
	s.Bound(quota)
	full := func(s *Store, size int, want string) {
		t.Helper()
		_, _, err := s.Put(t.Context(), "acme", strings.NewReader(strings.Repeat("x", size)), 1000)
		if flow.CodeOf(err) != flow.CodeQuota || !strings.Contains(err.Error(), want) {
			t.Errorf("put of %d bytes: %v, want %q", size, err, want)
		}
	}
	put(t, s, "acme", strings.Repeat("a", 60))
	put(t, s, "acme", strings.Repeat("a", 40))
	put(t, s, "default", strings.Repeat("a", 1000))
	full(s, 1, `quota.artifacts of tenant "acme" is 100B, and 0B of it is left`)
	if _, err := s.Sweep(t.Context(), time.Now().Add(time.Hour), func(_ string, d flow.Digest) (bool, error) {
		return d != flow.DigestOf([]byte(strings.Repeat("a", 60))), nil
	}); err != nil {
		t.Fatal(err)
	}
	put(t, s, "acme", strings.Repeat("a", 40)) // which is there
	full(s, 61, "60B of it is left")
	if _, _, err := s.Put(t.Context(), "acme", strings.NewReader("12345"), 4); !errors.Is(err, flow.ErrTooLarge) {
		t.Errorf("over the limit of the step: %v", err)
	}
	again, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	again.Bound(quota)
	if n, err := again.Kept("acme"); err != nil || n != 40 {
		t.Errorf("kept %s, %v; want 40B", n, err)
	}
	full(again, 61, "60B of it is left")
	var all sync.WaitGroup
	for n := range 20 { // of which six fit
		all.Go(func() { _, _, _ = again.Put(t.Context(), "acme", strings.NewReader(fmt.Sprintf("%010d", n)), 1000) })
	}
	all.Wait()
	if n, err := again.Kept("acme"); err != nil || n != 100 || len(files(t, dir+"/acme")) != 7 {
		t.Errorf("kept %s in %v, %v; want 100B in 7 files", n, files(t, dir+"/acme"), err)
	}
}
