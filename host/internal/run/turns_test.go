package run

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// crowd sends attempts that last so long each, and returns how many had their turn once nothing moves any more.
func (t *Turns) crowd(ctx context.Context, n int, last time.Duration) (had *int) {
	return t.crowdOf(ctx, "default", 0, n, last)
}

// crowdOf is crowd for attempts of a tenant that may take so much memory each.
func (t *Turns) crowdOf(ctx context.Context, tenant string, memory flow.Size, n int, last time.Duration) (had *int) {
	had = new(int)
	for range n {
		go func() {
			p := t.take(ctx, tenant, memory)
			if p == nil {
				return
			}
			defer p.end()
			t.mu.Lock()
			*had++
			t.mu.Unlock()
			if p.begin(ctx) {
				select {
				case <-time.After(last):
				case <-ctx.Done():
				}
			}
		}()
	}
	synctest.Wait()
	return had
}

// sight is what there is at one moment.
type sight struct{ had, ahead, executing, waiting int }

func (t *Turns) see(had *int) sight {
	t.mu.Lock()
	defer t.mu.Unlock()
	seen := sight{had: *had, ahead: t.ahead, executing: t.executing}
	for _, s := range t.shares {
		seen.waiting += len(s.waiting) + len(s.recorded)
	}
	return seen
}

// While attempts take long, none has its turn without a place.
func TestSlowAttemptsWaitForAPlaceBeforeTheirTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		turns := NewTurns(2, nil)
		had := turns.crowd(t.Context(), 6, time.Minute)
		for want := 2; want <= 6; want += 2 {
			if got := turns.see(had); got != (sight{had: want, executing: 2, waiting: 6 - want}) {
				t.Errorf("got %+v, want %d who had their turn, and none ahead", got, want)
			}
			time.Sleep(time.Minute)
			synctest.Wait()
		}
		if got := turns.see(had); got != (sight{had: 6}) {
			t.Errorf("left behind: %+v", got)
		}
	})
}

// After quick attempts as many more have their turn ahead of a place, but none once the places are held for long.
func TestQuickAttemptsLetOthersGoAhead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		turns := NewTurns(2, nil)
		turns.crowd(t.Context(), 10, time.Millisecond)
		time.Sleep(time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		if got := turns.see(turns.crowd(ctx, 8, time.Hour)); got != (sight{had: 8, ahead: 6, executing: 2, waiting: 6}) {
			t.Errorf("after quick ones: got %+v", got)
		}
		time.Sleep(time.Second)
		late := turns.crowd(ctx, 3, time.Hour)
		if got := turns.see(late); got != (sight{ahead: 6, executing: 2, waiting: 9}) {
			t.Errorf("though no place moved: got %+v", got)
		}
		cancel()
		synctest.Wait()
		if got := turns.see(late); got != (sight{}) {
			t.Errorf("left behind: %+v", got)
		}
	})
}

// Whatever one tenant has under way, another begins at once, and shares what becomes free from then on by turns.
func TestTenantsTakeTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		turns := NewTurns(4, nil)
		many := turns.crowdOf(t.Context(), "a", 0, 1000, time.Hour)
		few := turns.crowdOf(t.Context(), "b", 0, 3, time.Second)
		if got := turns.see(few); got != (sight{had: 1, executing: 5, waiting: 998}) {
			t.Errorf("got %+v, want one of b to execute beside four of a", got)
		}
		time.Sleep(1500 * time.Millisecond)
		synctest.Wait()
		late := turns.crowdOf(t.Context(), "c", 0, 1, time.Second)
		if got := turns.see(few); got != (sight{had: 2, executing: 6, waiting: 997}) || *late != 1 {
			t.Errorf("got %+v, want the second of b, and one of c", got)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := turns.see(few); got.had != 3 || turns.see(many).had != 4 {
			t.Errorf("got %+v, %d of a; want all of b, and four of a", got, *many)
		}
		slow := turns.crowdOf(t.Context(), "b", 0, 1000, time.Hour)
		time.Sleep(10 * time.Hour)
		synctest.Wait()
		if a, b := turns.see(many).had, turns.see(slow).had; a < 20 || b < 20 || a-b > 5 || b-a > 5 {
			t.Errorf("a had %d turns, b %d; want as many", a, b)
		}
	})
}

// Attempts of a tenant that would take more memory together than it has wait, and those of others do not.
func TestTheMemoryOfATenantIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		turns := NewTurns(8, func(tenant string) flow.Size { return map[string]flow.Size{"a": flow.GiB}[tenant] })
		had := turns.crowdOf(t.Context(), "a", 400*flow.MiB, 5, time.Minute)
		if got, memory := turns.see(had), turns.Memory("a"); got.had != 2 || memory != 800*flow.MiB {
			t.Errorf("got %+v with %s, want two to execute", got, memory)
		}
		if got := turns.see(turns.crowdOf(t.Context(), "default", 400*flow.MiB, 5, time.Minute)); got.had != 5 {
			t.Errorf("got %+v, want no bound for another tenant", got)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := turns.see(had); got.had != 4 {
			t.Errorf("got %+v, want the next two", got)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := turns.see(turns.crowdOf(t.Context(), "a", 4*flow.GiB, 2, time.Minute)); got.had != 1 {
			t.Errorf("got %+v, want one that is too large to have its turn alone", got)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := turns.see(had); got != (sight{had: 5}) || len(turns.shares) != 0 || turns.Memory("a") != 0 {
			t.Errorf("left behind: %+v, %v", got, turns.shares)
		}
	})
}
