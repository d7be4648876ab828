package wasm_test

import (
	"context"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/uniflow-dev/uniflow/host/internal/wasm/binary"
)

// slowCompile is far beyond what compiling a small module may take, also on a machine that is busy.
const slowCompile = 30 * time.Second

// FuzzCompile sees that what is decoded and rewritten is compiled in bounded time, or refused by the engine's validator. A
// panic of the validator is a refusal, as in the runtime.
func FuzzCompile(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := binary.Decode(b)
		if err != nil {
			return
		}
		rewritten, _, err := m.Rewrite(binary.Options{MaxTableEntries: binary.MaxTableSize, MaxMemoryPages: 100, ExportGlobals: m.Resettable() == ""})
		if err != nil {
			return
		}
		defer func() { _ = recover() }()
		ctx := context.Background()
		r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().WithCoreFeatures(api.CoreFeaturesV2).WithDebugInfoEnabled(false))
		defer r.Close(ctx)
		begin := time.Now()
		_, _ = r.CompileModule(ctx, rewritten)
		if took := time.Since(begin); took > slowCompile {
			t.Errorf("%d bytes took %s to compile; the estimate was %+v", len(b), took, m.Work())
		}
	})
}
