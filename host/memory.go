package host

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	memoryLook  = 2 * time.Second
	muchMemory  = 24 << 20 // that is free and held all the same
	fewLiveRuns = 100
)

// giveBack returns memory to the system that reading a large manifest or a burst of runs has left free. The runtime does
// so by itself, over many minutes.
func (h *Host) giveBack(ctx context.Context) {
	ticker := time.NewTicker(memoryLook)
	defer ticker.Stop()
	for {
		if h.runner.Live() < fewLiveRuns && freeMemory() > muchMemory {
			debug.FreeOSMemory()
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// freeMemory is what the heap holds and has no use for, garbage included.
func freeMemory() uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/free:bytes"}, {Name: "/memory/classes/heap/objects:bytes"}, {Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	free, objects, live := sample[0].Value.Uint64(), sample[1].Value.Uint64(), sample[2].Value.Uint64()
	return free + objects - min(objects, live)
}
