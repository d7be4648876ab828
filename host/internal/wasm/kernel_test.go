package wasm_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/uniflow-dev/uniflow/host/internal/wasm/binary"
	bt "github.com/uniflow-dev/uniflow/host/internal/wasm/binary/binarytest"
)

// kernel is the body of a function (n i32) -> i32 with the locals 1 to 4, and how often its benchmark repeats it.
type kernel struct {
	name string
	n    int
	code string
}

// loop repeats code for local 1 from 0 up to limit.
func counted(local int, limit, code string) string {
	return fmt.Sprintf(`i32.const 0 local.set %[1]d
		loop void %[3]s local.get %[1]d i32.const 1 i32.add local.tee %[1]d %[2]s i32.lt_u br_if 0 end `, local, limit, code)
}

// kernels are the loops that programs are made of, small enough that a check in each turn would show.
func kernels() []kernel {
	n := "local.get 0"
	return []kernel{
		{"sum", 4_000_000, counted(1, n, `local.get 2 local.get 1 local.get 1 i32.mul i32.add local.set 2`) + `local.get 2`},
		{"collatz", 40_000, counted(1, n, `local.get 1 i32.const 1 i32.add local.set 3
			loop void
				local.get 3 i32.const 1 i32.and if i32 local.get 3 i32.const 3 i32.mul i32.const 1 i32.add else local.get 3 i32.const 1 i32.shr_u end
				local.set 3 local.get 2 i32.const 1 i32.add local.set 2
				local.get 3 i32.const 1 i32.gt_u br_if 0
			end`) + `local.get 2`},
		{"recursion", 30, `local.get 0 i32.const 2 i32.lt_u if void local.get 0 return end
			local.get 0 i32.const 1 i32.sub call 0 local.get 0 i32.const 2 i32.sub call 0 i32.add`},
		{"sieve", 900_000, `i32.const 0 i32.const 1 i32.const 900000 memory.fill i32.const 2 local.set 1
			loop void
				local.get 1 i32.load8_u 0 if void
					local.get 2 i32.const 1 i32.add local.set 2
					local.get 1 i32.const 1 i32.shl local.set 3
					block void
						local.get 3 local.get 0 i32.ge_u br_if 0
						loop void
							local.get 3 i32.const 0 i32.store8 0
							local.get 3 local.get 1 i32.add local.tee 3 local.get 0 i32.lt_u br_if 0
						end
					end
				end
				local.get 1 i32.const 1 i32.add local.tee 1 local.get 0 i32.lt_u br_if 0
			end local.get 2`},
		{"loads", 2_000_000, counted(1, n, `local.get 2 local.get 1 i32.const 0xffff i32.and i32.const 2 i32.shl i32.load 0 i32.add local.set 2`) + `local.get 2`},
		{"copy", 3_000_000, counted(1, n, `local.get 1 i32.const 0x7ffff i32.and local.tee 3 local.get 3 i32.load8_u 0 i32.store8 0x80000`) + `i32.const 0x80000 i32.load 0`},
		{"crc", 400_000, counted(1, n, `local.get 2 local.get 1 i32.xor local.set 2 i32.const 8 local.set 3
			loop void
				local.get 2 i32.const 1 i32.shr_u i32.const -306674912 i32.const 0 local.get 2 i32.const 1 i32.and select i32.xor local.set 2
				local.get 3 i32.const 1 i32.sub local.tee 3 br_if 0
			end`) + `local.get 2`},
		{"product", 2_000_000, `i32.const 0 i32.const 0x3f i32.const 0x80000 memory.fill ` + counted(1, n, `i32.const 0
			local.get 1 i32.const 0x7fff i32.and i32.const 3 i32.shl local.tee 3 f64.load 0 local.get 3 f64.load 0x40000 f64.mul
			i32.const 0 f64.load 0x80000 f64.add f64.store 0x80000`) + `i32.const 0 i32.load 0x80000`},
		{"sort", 1500, counted(1, n, `local.get 1 i32.const 2 i32.shl local.get 1 i32.const 7919 i32.mul i32.const 10007 i32.rem_u i32.store 0`) +
			counted(1, n, `local.get 1 i32.const 2 i32.shl local.tee 2 i32.load 0 local.set 3
			block void loop void
				local.get 2 i32.eqz br_if 1
				local.get 2 i32.const 4 i32.sub i32.load 0 local.tee 4 local.get 3 i32.le_u br_if 1
				local.get 2 local.get 4 i32.store 0
				local.get 2 i32.const 4 i32.sub local.set 2 br 0
			end end
			local.get 2 local.get 3 i32.store 0`) + `i32.const 400 i32.load 0`},
		{"calls", 3_000_000, counted(1, n, `local.get 2 call 1 local.set 2`) + `local.get 2`},
		{"indirect", 2_000_000, counted(1, n, `local.get 2 local.get 1 i32.const 1 i32.and call_indirect 0 0 local.set 2`) + `local.get 2`},
		{"switch", 2_000_000, counted(1, n, `block void block void block void block void block void
			local.get 1 i32.const 3 i32.and br_table 3 0 1 2 3 end
			local.get 2 i32.const 3 i32.add local.set 2 br 3 end
			local.get 2 i32.const 5 i32.mul local.set 2 br 2 end
			local.get 2 i32.const 7 i32.xor local.set 2 br 1 end
			local.get 2 local.get 1 i32.sub local.set 2 end `) + `local.get 2`},
	}
}

// ways are the ways in and out of loops, in functions that call what looks at the fuel and in those that do not.
func ways() []kernel {
	const (
		turn  = `local.get 1 i32.const 1 i32.add local.tee 1 `
		over  = turn + `local.get 0 i32.ge_u `
		busy  = `local.get 2 i32.const 3 i32.mul i32.const 5 i32.xor i32.const 7 i32.add local.set 2 `
		fresh = `i32.const 0 local.set 1 `
		loud  = `i32.const 0 i32.const 0 i32.const 4 memory.fill `
		sum   = `local.get 2 local.get 1 i32.add`
	)
	var all []kernel
	for name, code := range map[string]string{
		"a return":               `loop void ` + busy + over + `if void ` + sum + ` return end br 0 end unreachable`,
		"a branch to the end":    `loop void ` + busy + over + `if void ` + sum + ` br 2 end br 0 end unreachable`,
		"a table":                `block void loop void ` + busy + over + `br_table 1 0 1 end end ` + sum,
		"a value":                `block i32 loop void ` + busy + sum + ` ` + over + `br_if 1 drop br 0 end unreachable end`,
		"a result of the loop":   `loop i32 ` + busy + sum + ` ` + over + `br_if 1 drop br 0 end`,
		"out of two":             `block void loop void loop void ` + busy + over + `br_if 2 local.get 1 i32.const 7 i32.and br_if 0 end br 0 end end ` + sum,
		"on with the outer one":  `block void loop void loop void ` + busy + over + `br_if 2 local.get 1 i32.const 7 i32.and br_if 0 br 1 end end end ` + sum,
		"in both arms":           `local.get 0 i32.const 1 i32.and if void loop void ` + busy + over + `i32.eqz br_if 0 end else loop void ` + busy + over + `i32.eqz br_if 0 end end ` + sum,
		"one after the other":    `loop void ` + busy + over + `i32.eqz br_if 0 end ` + fresh + `loop void ` + busy + over + `i32.eqz br_if 0 end ` + sum,
		"a block that is passed": `block void block void local.get 0 i32.eqz br_if 0 loop void ` + busy + over + `br_if 2 br 0 end end ` + busy + `end ` + sum,
		"past a call":            `block void block void loop void ` + busy + over + `br_if 2 br 0 end end ` + loud + `end ` + sum,
		"a table past a call":    `block void block void loop void ` + busy + over + `br_table 1 0 2 end end ` + loud + `end ` + sum,
		"a value past a call":    `block i32 block void loop void ` + busy + sum + ` ` + over + `br_if 2 drop br 0 end end ` + loud + `i32.const 0 end`,
		"an if around":           `loop void ` + busy + over + `if void else br 1 end end ` + sum,
	} {
		all = append(all, kernel{name, 0, code}, kernel{"loud first, " + name, 0, loud + code})
		if name != "a result of the loop" {
			all = append(all, kernel{"loud around, " + name, 0, `loop void ` + fresh + loud + `local.get 3 i32.const 1 i32.add local.set 3 block i32 ` + code +
				` end local.set 4 local.get 3 i32.const 3 i32.lt_u br_if 0 end local.get 4`})
		}
	}
	slices.SortFunc(all, func(a, b kernel) int { return strings.Compare(a.name, b.name) })
	return all
}

// module returns the kernel as the function "kernel" of a module.
func (k kernel) module() []byte {
	b := &bt.Builder{}
	unary := b.Type([]byte{bt.I32}, []byte{bt.I32})
	b.Memory(32)
	b.Table(2)
	b.Export("kernel", b.Func(unary, 4, bt.Asm(k.code)))
	b.Element(0,
		b.Func(unary, 0, bt.Asm(`local.get 0 i32.const 5 i32.mul i32.const 1 i32.add`)),
		b.Func(unary, 0, bt.Asm(`local.get 0 i32.const 3 i32.xor`)))
	return b.Bytes()
}

// bare instantiates a module without the runtime around it, metered or as it is.
func bare(tb testing.TB, module []byte, metered bool) api.Module {
	tb.Helper()
	r := wazero.NewRuntimeWithConfig(tb.Context(), wazero.NewRuntimeConfig().WithCoreFeatures(api.CoreFeaturesV2))
	tb.Cleanup(func() { _ = r.Close(context.WithoutCancel(tb.Context())) })
	if metered {
		tickAlways(tb, r, 200_000)
		m, err := binary.Decode(module)
		if err != nil {
			tb.Fatal(err)
		}
		if module, _, err = m.Rewrite(binary.Options{}); err != nil {
			tb.Fatal(err)
		}
	}
	m, err := r.Instantiate(tb.Context(), module)
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

func call(tb testing.TB, m api.Module, k kernel) uint64 {
	tb.Helper()
	results, err := m.ExportedFunction("kernel").Call(tb.Context(), uint64(k.n))
	if err != nil {
		tb.Fatalf("%s: %v", k.name, err)
	}
	return results[0]
}

// TestKernels sees that metered kernels return what plain ones return.
func TestKernels(t *testing.T) {
	t.Parallel()
	for _, k := range append(kernels(), ways()...) {
		if k.n == 0 {
			k.n = 300_000
		}
		plain, metered := bare(t, k.module(), false), bare(t, k.module(), true)
		if want, got := call(t, plain, k), call(t, metered, k); got != want {
			t.Errorf("%s: %d, want %d", k.name, got, want)
		}
	}
}

// BenchmarkKernels measures what the metering of each kernel costs, as a ratio of runs side by side.
func BenchmarkKernels(b *testing.B) {
	var ratios []float64
	for _, k := range kernels() {
		b.Run(k.name, func(b *testing.B) {
			plain, metered := bare(b, k.module(), false), bare(b, k.module(), true)
			times := [2][]time.Duration{}
			for b.Loop() {
				for i, m := range []api.Module{plain, metered} {
					begin := time.Now()
					call(b, m, k)
					times[i] = append(times[i], time.Since(begin))
				}
			}
			ratio := float64(slices.Min(times[1])) / float64(slices.Min(times[0]))
			ratios = append(ratios, ratio)
			b.ReportMetric(ratio, "ratio")
			b.ReportMetric(float64(slices.Min(times[0]))/float64(time.Microsecond), "plain-us")
		})
	}
	slices.Sort(ratios)
	b.Logf("metered against plain: median %.2f, worst %.2f of %d", ratios[len(ratios)/2], ratios[len(ratios)-1], len(ratios))
}
