package host

import (
	"runtime"
	"testing"
)

// What a burst has left counts as free; what is in use does not.
func TestFreeMemoryIsWhatABurstHasLeft(t *testing.T) { //nolint:paralleltest // it looks at the heap of the process
	const burst = 256 << 20
	used := make([]byte, burst)
	for i := 0; i < len(used); i += 4096 {
		used[i] = 1
	}
	runtime.GC()
	during := freeMemory()
	runtime.KeepAlive(used)
	runtime.GC()
	if after := freeMemory(); during > burst/2 || after < during+burst/2 {
		t.Errorf("%d MB are free during a burst of %d MB, %d MB after it", during>>20, burst>>20, after>>20)
	}
}
