package wasm_test

import (
	"fmt"
	"log/slog"
	"runtime/metrics"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host/internal/plugintest/hostile"
	"github.com/uniflow-dev/uniflow/host/internal/wasm"
)

func TestHostileModules(t *testing.T) {
	t.Parallel()
	rt := newRuntime(t, wasm.Config{Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	hostile.Run(t, hostile.Subject{Runtime: rt})
}

// maxDecode bounds what reading a module of at most a mebibyte may allocate.
const maxDecode = 32 << 20

// TestReadingHostileModulesIsBounded runs alone, so that what is measured is its own.
func TestReadingHostileModulesIsBounded(t *testing.T) { //nolint:paralleltest // see above
	var worst uint64
	for _, c := range hostile.Cases() {
		for i, module := range c.Modules() {
			if len(module) > 1<<20 {
				continue
			}
			allocated := allocatedBy(func() { _, _ = wasm.Inspect(module) })
			if allocated > maxDecode {
				t.Errorf("%s, module %d of %d bytes: %d MiB", c.Name, i, len(module), allocated>>20)
			}
			worst = max(worst, allocated)
		}
	}
	t.Logf("at most %d KiB", worst>>10)
}

// allocatedBy returns how many bytes f allocated. It does not stop the world, as runtime.ReadMemStats does: there are
// thousands of modules.
func allocatedBy(f func()) uint64 {
	total := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(total)
	before := total[0].Value.Uint64()
	f()
	metrics.Read(total)
	return total[0].Value.Uint64() - before
}

// BenchmarkReadingHostileModules measures the slowest of all modules of at most a mebibyte.
func BenchmarkReadingHostileModules(b *testing.B) {
	var worst time.Duration
	var which string
	for _, c := range hostile.Cases() {
		for i, module := range c.Modules() {
			if len(module) > 1<<20 {
				continue
			}
			begin := time.Now()
			_, _ = wasm.Inspect(module)
			if took := time.Since(begin); took > worst {
				worst, which = took, fmt.Sprintf("%s, module %d", c.Name, i)
			}
		}
	}
	for b.Loop() {
	}
	b.Logf("slowest: %s", which)
	b.ReportMetric(worst.Seconds()*1000, "worst-ms")
}
