package wasm_test

import (
	"encoding/json"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/plugintest"
	"github.com/uniflow-dev/uniflow/host/internal/plugintest/guest"
	"github.com/uniflow-dev/uniflow/host/internal/wasm"
	"github.com/uniflow-dev/uniflow/host/internal/wasm/binary"
	bt "github.com/uniflow-dev/uniflow/host/internal/wasm/binary/binarytest"
)

// BenchmarkFreshCall is one attempt, each in a fresh instance of a compiled module.
func BenchmarkFreshCall(b *testing.B) {
	small, _ := reactor()
	tiny := pluginOf(b, entry(small, 0, bt.Const(0)))
	for name, p := range map[string]func() flow.PlanPlugin{
		"tiny reactor": func() flow.PlanPlugin { return tiny },
		"Go reactor":   func() flow.PlanPlugin { path, err := built.reactor(); return pluginAt(b, path, err) },
		"Go command":   func() flow.PlanPlugin { path, err := built.command(); return pluginAt(b, path, err) },
	} {
		b.Run(name, func(b *testing.B) {
			m, err := newRuntime(b, wasm.Config{}).Load(b.Context(), p())
			if err != nil {
				b.Fatal(err)
			}
			call := plugintest.NewCall(b, guest.With{Behaviour: "echo", Value: []byte("1")})
			b.ReportAllocs()
			for b.Loop() {
				if _, err := m.Call(b.Context(), call, plugintest.NewHost(b.Context())); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkGoGuest measures what metering does to a Go guest: the size of the module, its compilation, and its calls in
// an instance that is used again, as ratios to the module as it is.
func BenchmarkGoGuest(b *testing.B) {
	path, err := built.reactor()
	if err != nil {
		b.Fatal(err)
	}
	module, err := os.ReadFile(path)
	if err != nil {
		b.Fatal(err)
	}
	input, err := json.Marshal(plugintest.NewCall(b, guest.With{Behaviour: "echo", Value: []byte(`{"n":[1,2,3]}`)}).Context)
	if err != nil {
		b.Fatal(err)
	}
	begin := time.Now()
	m, err := binary.Decode(module)
	if err != nil {
		b.Fatal(err)
	}
	metered, info, err := m.Rewrite(binary.Options{})
	if err != nil {
		b.Fatal(err)
	}
	rewriting := time.Since(begin)
	var compiled [2]time.Duration
	var calls [2]func()
	for i, metering := range []bool{false, true} {
		begin := time.Now()
		e := newEngine(b, wazero.NewRuntimeConfig(), module, metering)
		compiled[i] = time.Since(begin)
		calls[i] = e.reused(b, input)
	}
	times := [2][]time.Duration{}
	for b.Loop() {
		for i := range calls {
			begin := time.Now()
			calls[i]()
			times[i] = append(times[i], time.Since(begin))
		}
	}
	slices.Sort(times[0])
	slices.Sort(times[1])
	b.ReportMetric(float64(times[1][len(times[1])/2])/float64(times[0][len(times[0])/2]), "call-ratio")
	b.ReportMetric(float64(compiled[1])/float64(compiled[0]), "compile-ratio")
	b.ReportMetric(float64(len(metered))/float64(len(module)), "size-ratio")
	b.ReportMetric(rewriting.Seconds()*1000, "rewriting-ms")
	b.ReportMetric(float64(info.SegmentsBefore), "segments-before")
	b.ReportMetric(float64(info.SegmentsAfter), "segments-after")
}

// reused returns a call of a reactor in an instance that is not thrown away.
func (e *engine) reused(tb testing.TB, input []byte) func() {
	tb.Helper()
	e.said.input = input
	m, err := e.runtime.InstantiateModule(tb.Context(), e.guest, wazero.NewModuleConfig().WithStartFunctions("_initialize"))
	if err != nil {
		tb.Fatal(err)
	}
	f := m.ExportedFunction("uniflow_run")
	return func() {
		e.said.Reset()
		if _, err := f.Call(tb.Context()); err != nil {
			tb.Fatal(err)
		}
	}
}
