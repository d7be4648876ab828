package wasm_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/plugintest"
	"github.com/uniflow-dev/uniflow/host/internal/plugintest/guest"
	"github.com/uniflow-dev/uniflow/host/internal/wasm"
	bt "github.com/uniflow-dev/uniflow/host/internal/wasm/binary/binarytest"
)

// runaway returns guests that do not end by themselves in any time that matters, each in another way.
func runaways() map[string][]byte {
	all := map[string][]byte{
		"loop":            runaway(`loop void br 0 end unreachable`),
		"loop of results": runaway(`loop i32 br 0 end`),
		"loop of values":  runaway(`i32.const 1 loop 2 br 0 end`),
		"loops of values": runaway(`loop void i32.const 1 loop 2 i32.const 1 br_if 0 end drop br 0 end unreachable`),
		"nested loops":    runaway(`loop void loop void i32.const 1 br_if 0 end br 0 end unreachable`),
		"table of jumps":  runaway(`loop void i32.const 7 br_table 2 0 0 0 end unreachable`),
		"fill":            runaway(`i32.const 1000 memory.grow drop ` + strings.Repeat(`i32.const 0 i32.const 1 i32.const 60000000 memory.fill `, 2000) + `unreachable`),
		"copy":            runaway(`i32.const 1000 memory.grow drop ` + strings.Repeat(`i32.const 0 i32.const 7 i32.const 60000000 memory.copy i32.const 7 i32.const 0 i32.const 60000000 memory.copy `, 1000) + `unreachable`),
		"table fill":      runaway(`ref.null 0x70 i32.const 90000 table.grow 0 drop loop void i32.const 0 ref.null 0x70 i32.const 90000 table.fill 0 br 0 end unreachable`),
		"growth":          runaway(`loop void i32.const 1 memory.grow drop br 0 end unreachable`),
		"progress":        runaway(`loop void i32.const 1 i32.const 0 i32.const 0 call 0 drop br 0 end unreachable`),
	}
	for name, b := range map[string]*bt.Builder{"recursion": recursion(), "call tree": callTree(), "indirect recursion": indirectRecursion()} {
		all[name] = b.Bytes()
	}
	start, _ := reactor("progress")
	start.Start(start.Func(0, 0, bt.Loop()))
	all["start function"] = entry(start, 0, bt.Const(0))
	initialise, _ := reactor("progress")
	initialise.Export("_initialize", initialise.Func(0, 0, bt.Loop()))
	all["initialisation"] = entry(initialise, 0, bt.Const(0))
	all["sleep"], all["silence"] = sleeper(0), sleeper(1)
	all["segments"] = segments()
	return all
}

// runaway returns a reactor whose entry has this body; function 0 is progress.
func runaway(code string) []byte {
	b, _ := reactor("progress")
	b.Table(2)
	b.Type([]byte{bt.I32}, []byte{bt.I32}) // type 2
	return entry(b, 0, bt.Asm(code))
}

// recursion is the naive Fibonacci of 90, which would take centuries.
func recursion() *bt.Builder {
	b, _ := reactor("progress")
	fib := b.Func(b.Type([]byte{bt.I32}, []byte{bt.I32}), 0, bt.Asm(`local.get 0 i32.const 2 i32.lt_u if void local.get 0 return end
		local.get 0 i32.const 1 i32.sub call 2 local.get 0 i32.const 2 i32.sub call 2 i32.add`))
	entry(b, 0, bt.Const(90), bt.Call(fib))
	return b
}

// callTree is a chain of 60 functions that each call the next one twice, without loop or recursion.
func callTree() *bt.Builder {
	b, _ := reactor("progress")
	next := b.Func(0, 0)
	for range 60 {
		next = b.Func(0, 0, bt.Call(next), bt.Call(next))
	}
	entry(b, 0, bt.Call(next), bt.Const(0))
	return b
}

// indirectRecursion is the same by the table, one function that calls itself twice down to a depth.
func indirectRecursion() *bt.Builder {
	b, _ := reactor("progress")
	b.Table(1)
	unary := b.Type([]byte{bt.I32}, nil)
	again := fmt.Sprintf(`local.get 0 i32.const 1 i32.sub i32.const 0 call_indirect %d 0 `, unary)
	b.Element(0, b.Func(unary, 0, bt.Asm(`local.get 0 i32.eqz if void return end `+again+again)))
	entry(b, 0, bt.Asm(fmt.Sprintf(`i32.const 60 i32.const 0 call_indirect %d 0 i32.const 0`, unary)))
	return b
}

// segments sets 16 MiB of memory from a segment, and a table of 90,000 entries from another, again and again.
func segments() []byte {
	b, _ := reactor("progress")
	b.Pages(256)
	b.Table(90_000)
	b.Passive(strings.Repeat("x", 16<<20))
	return entry(b, 0, bt.Asm("loop void "+strings.Repeat("i32.const 0 i32.const 0 i32.const 16777216 memory.init 0 0 i32.const 0 i32.const 1 i32.const 89999 table.copy 0 0 ", 100)+"br 0 end unreachable"))
}

// sleeper is a command that waits: for 292 years, or for standard input in addition to what it was given.
func sleeper(kind byte) []byte {
	b := &bt.Builder{}
	poll := b.Import("wasi_snapshot_preview1", "poll_oneoff", b.Type([]byte{bt.I32, bt.I32, bt.I32, bt.I32}, []byte{bt.I32}))
	b.Memory(1)
	b.Data(8, string([]byte{kind}))
	if kind == 0 {
		b.Data(24, "\xff\xff\xff\xff\xff\xff\xff\x7f")
	}
	b.Export("_start", b.Func(b.Type(nil, nil), 0,
		bt.Loop(bt.Const(0), bt.Const(1000), bt.Const(1), bt.Const(2000), bt.Call(poll), bt.Op(bt.Drop))))
	return b.Bytes()
}

// cut calls a module under a deadline and returns how long after it the call came back, and its error.
func cut(tb testing.TB, m flow.Module, timeout time.Duration) (late time.Duration, err error) {
	tb.Helper()
	deadline := time.Now().Add(timeout)
	ctx, cancel := context.WithDeadline(tb.Context(), deadline)
	defer cancel()
	call := plugintest.NewCall(tb, guest.With{})
	call.Grace = 0
	_, err = m.Call(ctx, call, plugintest.NewHost(ctx))
	return time.Since(deadline), err
}

func TestRunawayGuestsAreStopped(t *testing.T) {
	t.Parallel()
	for name, module := range runaways() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, err := newRuntime(t, wasm.Config{}).Load(t.Context(), pluginOf(t, module))
			if err != nil {
				t.Fatal(err)
			}
			_, err = cut(t, m, 50*time.Millisecond)
			if fault := faultOf(t, err); fault.Reason != flow.ReasonTimeout {
				t.Errorf("reason %s: %s", fault.Reason, fault.Message)
			}
		})
	}
}

// BenchmarkStop measures how long after the deadline each runaway guest is stopped.
func BenchmarkStop(b *testing.B) {
	for name, module := range runaways() {
		b.Run(name, func(b *testing.B) {
			m, err := newRuntime(b, wasm.Config{}).Load(b.Context(), pluginOf(b, module))
			if err != nil {
				b.Fatal(err)
			}
			var all []time.Duration
			for b.Loop() {
				late, _ := cut(b, m, 20*time.Millisecond)
				all = append(all, late)
			}
			slices.Sort(all)
			b.ReportMetric(all[len(all)/2].Seconds()*1000, "median-ms-late")
			b.ReportMetric(all[len(all)-1].Seconds()*1000, "worst-ms-late")
		})
	}
}

// spinning runs a guest that spins for as long as f, and returns the fault of its end.
func spinning(tb testing.TB, code string, f func(end context.CancelFunc)) error {
	tb.Helper()
	m, err := newRuntime(tb, wasm.Config{}).Load(tb.Context(), pluginOf(tb, runaway(`i32.const 1 i32.const 0 i32.const 0 call 0 drop `+code)))
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(tb.Context(), time.Minute)
	defer cancel()
	call := plugintest.NewCall(tb, guest.With{})
	call.Grace = 0
	host := &startedHost{Host: plugintest.NewHost(ctx), started: make(chan struct{})}
	done := make(chan error, 1)
	go func() {
		_, err := m.Call(ctx, call, host)
		done <- err
	}()
	<-host.started
	f(cancel)
	return <-done
}

// startedHost tells that the guest runs.
type startedHost struct {
	*plugintest.Host
	started chan struct{}
}

func (h *startedHost) Progress(int, string) bool {
	close(h.started)
	return false
}

// TestSpinningGuestsLetTheCollectorWork would end by the minute's timeout if a collection waited for the guest.
func TestSpinningGuestsLetTheCollectorWork(t *testing.T) {
	t.Parallel()
	err := spinning(t, `loop void br 0 end unreachable`, func(end context.CancelFunc) {
		runtime.GC()
		end()
	})
	if fault := faultOf(t, err); fault.Reason != flow.ReasonRequest {
		t.Errorf("reason %s, want the collection to end before the guest", fault.Reason)
	}
}

// BenchmarkCollection measures how long a collection takes while a guest spins.
func BenchmarkCollection(b *testing.B) {
	var all []time.Duration
	_ = spinning(b, `loop void br 0 end unreachable`, func(end context.CancelFunc) {
		for b.Loop() {
			begin := time.Now()
			runtime.GC()
			all = append(all, time.Since(begin))
		}
		end()
	})
	slices.Sort(all)
	b.ReportMetric(all[len(all)/2].Seconds()*1000, "median-ms")
	b.ReportMetric(all[len(all)-1].Seconds()*1000, "worst-ms")
}
