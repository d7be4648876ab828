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

// sight is what there is at one moment.
type sight struct{ had, ahead, executing, waiting int }

func (t *Turns) see(had *int) sight {
	t.mu.Lock()
	defer t.mu.Unlock()
	return sight{*had, t.ahead, t.executing, len(t.waiting) + len(t.recorded)}
}

// While attempts take long, none has its turn without a place.
func TestSlowAttemptsWaitForAPlaceBeforeTheirTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		turns := NewTurns(2)
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
		turns := NewTurns(2)
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
