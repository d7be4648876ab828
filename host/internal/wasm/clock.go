package wasm

import (
	"context"
	"io"
	"math"
	"time"
)

// virtualClock is the time of a guest without the grant of a clock: it starts where the run was scheduled, moves on by
// each sleep and by a microsecond per reading (one that stands still makes guests wait for ever), and so is the same each
// time.
type virtualClock struct {
	start   time.Time
	elapsed time.Duration
	base    time.Duration // what the guest's initialisation took of the steady time, which goes on from there
}

func (c *virtualClock) advance(d time.Duration) {
	if d > 0 {
		c.elapsed += min(d, math.MaxInt64-c.elapsed)
	}
}

func (c *virtualClock) walltime() (sec int64, nsec int32) {
	c.advance(time.Microsecond)
	now := c.start.Add(c.elapsed)
	return now.Unix(), int32(now.Nanosecond())
}

func (c *virtualClock) nanotime() int64 {
	c.advance(time.Microsecond)
	return int64(c.base + c.elapsed)
}

// random bounds how long one reading of randomness takes: the guest names the size.
type random struct {
	source io.Reader
	ended  func() bool
}

// randomPiece is how many bytes are read between two looks at whether the guest has been stopped.
const randomPiece = 64 << 10

// Read implements io.Reader.
func (r *random) Read(p []byte) (int, error) {
	if r.ended() {
		return 0, errStopped
	}
	return r.source.Read(p[:min(len(p), randomPiece)])
}

// sleep waits for d, or until the attempt or the guest ends.
func (a *attempt) sleep(d time.Duration) {
	wait(a.ctx, a.guest, d)
	a.clock.advance(d)
}

func wait(attempt, guest context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-attempt.Done():
	case <-guest.Done():
	}
}
