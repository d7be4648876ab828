package schedule

import (
	"fmt"
	"time"
)

// Alive says whether the scheduler's loop advances: an error tells for how long it has not. It asks the loop itself, by
// what it has done, so that it cannot answer while the loop stands still.
func (s *Scheduler) Alive(now time.Time) error {
	swept := s.swept.Load()
	if swept == 0 {
		return nil // it was not started
	}
	if still := now.Sub(time.Unix(0, swept)); still > 3*s.config.Sweep {
		return fmt.Errorf("the scheduler has not looked at its schedules for %s", still.Round(time.Second))
	}
	return nil
}
