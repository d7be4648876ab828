package run

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// crowd sends attempts that last so long each, and returns how many had their turn once nothing moves any more.
func (t *Turns) crowd(ctx context.Context, n int, last time.Duration) (had *int) {
	had = new(int)
	for range n {
		go func() {
			p := t.take(ctx)
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

// While attempts take long, none has its turn without a place.
func TestSlowAttemptsWaitForAPlaceBeforeTheirTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		turns := NewTurns(2)
		had := turns.crowd(t.Context(), 6, time.Minute)
		for want := 2; want <= 6; want += 2 {
			if *had != want || turns.ahead != 0 {
				t.Errorf("%d had their turn, %d of them without a place; want %d and none", *had, turns.ahead, want)
			}
			time.Sleep(time.Minute)
			synctest.Wait()
		}
		if turns.executing != 0 || len(turns.waiting) != 0 {
			t.Errorf("%d execute, %d wait", turns.executing, len(turns.waiting))
		}
	})
}

// After quick attempts as many more have their turn ahead of a place, but none once the places are held for long.
func TestQuickAttemptsLetOthersGoAhead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		turns := NewTurns(2)
		turns.crowd(t.Context(), 10, time.Millisecond)
		time.Sleep(time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		if had := turns.crowd(ctx, 8, time.Hour); *had != 8 || turns.ahead != 6 || turns.executing != 2 {
			t.Errorf("%d had their turn, %d ahead, %d execute", *had, turns.ahead, turns.executing)
		}
		time.Sleep(time.Second)
		if had := turns.crowd(ctx, 3, time.Hour); *had != 0 {
			t.Errorf("%d had their turn though no place moved", *had)
		}
		cancel()
		synctest.Wait()
		if turns.executing != 0 || turns.ahead != 0 || len(turns.waiting)+len(turns.recorded) != 0 {
			t.Errorf("left behind: %+v", turns)
		}
	})
}
