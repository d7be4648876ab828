package wasm_test

import (
	"testing"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/plugintest"
	"github.com/uniflow-dev/uniflow/host/internal/plugintest/guest"
	"github.com/uniflow-dev/uniflow/host/internal/wasm"
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
