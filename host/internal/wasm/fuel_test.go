package wasm_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/plugintest"
	"github.com/uniflow-dev/uniflow/host/internal/plugintest/guest"
	"github.com/uniflow-dev/uniflow/host/internal/wasm"
	"github.com/uniflow-dev/uniflow/host/internal/wasm/binary"
	bt "github.com/uniflow-dev/uniflow/host/internal/wasm/binary/binarytest"
)

// fuelOf calls a module, which must succeed, and returns what it used.
func fuelOf(t *testing.T, module []byte) int64 {
	t.Helper()
	result, _, err := attempt(t, module, nil)
	if err != nil {
		t.Fatal(err)
	}
	return result.Usage.Fuel
}

// TestFuelIsRepeatable calls real guests twice, in instances of their own.
func TestFuelIsRepeatable(t *testing.T) {
	t.Parallel()
	for name, build := range map[string]func() (string, error){"command": built.command, "reactor": built.reactor} {
		path, err := build()
		p := pluginAt(t, path, err)
		m, err := newRuntime(t, wasm.Config{}).Load(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		var used []int64
		for range 2 {
			result, err := m.Call(t.Context(), plugintest.NewCall(t, guest.With{Behaviour: "echo", Value: json.RawMessage(`[1,2,3]`)}), plugintest.NewHost(t.Context()))
			if err != nil {
				t.Fatal(err)
			}
			used = append(used, result.Usage.Fuel)
		}
		if used[0] != used[1] || used[0] < 1000 {
			t.Errorf("%s: %d units of fuel, then %d", name, used[0], used[1])
		}
	}
}

// TestFuelDoesNotDependOnSlices counts kernels with slices of different sizes.
func TestFuelDoesNotDependOnSlices(t *testing.T) {
	t.Parallel()
	for _, k := range append(kernels(), ways()...) {
		k.n = min(max(k.n, 1000), 20_000)
		if k.name == "recursion" {
			k.n = 18
		}
		want := countWith(t, k, 1_000_000_000)
		for _, slice := range []int64{0, 1, 777} {
			if got := countWith(t, k, slice); got != want {
				t.Errorf("%s: %d units in slices of %d, %d in one", k.name, got, slice, want)
			}
		}
	}
}

// TestEveryTurnIsPaid sees that no way through the loops of the kernels is free: twice the turns, more than twice the
// fuel of what a turn has at least.
func TestEveryTurnIsPaid(t *testing.T) {
	t.Parallel()
	for _, k := range append(kernels(), ways()...) {
		const turns, least = 1000, 8
		k.n = turns
		if k.name == "recursion" {
			k.n = 10
		}
		few := countWith(t, k, 1000)
		k.n *= 2
		if many := countWith(t, k, 1000); many-few < turns*least || many > 1000*few {
			t.Errorf("%s: %d units for %d, %d for twice as many", k.name, few, k.n/2, many)
		}
	}
}

// update writes testdata/fuel.golden anew.
var update = flag.Bool("update", false, "write testdata/fuel.golden") //nolint:gochecknoglobals // a flag of the tests

// TestFuelIsTheSameEverywhere holds counts against those that were recorded: they may change with the version of the
// rewriting, and with nothing else, the architecture least of all.
func TestFuelIsTheSameEverywhere(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	fmt.Fprintf(&b, "rewriting %d\n", binary.RewriterVersion)
	for _, k := range append(kernels(), ways()...) {
		k.n = 500
		if k.name == "recursion" {
			k.n = 12
		}
		fmt.Fprintf(&b, "%d %s\n", countWith(t, k, 1000), k.name)
	}
	path := filepath.Join("testdata", "fuel.golden")
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := b.String(); got != string(want) {
		t.Errorf("%s/%s: got\n%s\nwant\n%s\nif weights or charges are meant to change, raise binary.RewriterVersion and run with -update", runtime.GOOS, runtime.GOARCH, got, want)
	}
}

// countWith returns what a kernel uses when it gets its fuel in slices.
func countWith(t *testing.T, k kernel, slice int64) int64 {
	t.Helper()
	r := wazero.NewRuntimeWithConfig(t.Context(), wazero.NewRuntimeConfig().WithCoreFeatures(api.CoreFeaturesV2))
	defer r.Close(context.WithoutCancel(t.Context()))
	var given int64
	left := func(m api.Module) api.MutableGlobal { return m.ExportedGlobal(binary.FuelExport).(api.MutableGlobal) }
	tick := func(_ context.Context, m api.Module, _ []uint64) {
		given += slice - int64(left(m).Get())
		left(m).Set(uint64(slice))
	}
	_, err := r.NewHostModuleBuilder(binary.TickModule).NewFunctionBuilder().
		WithGoModuleFunction(api.GoModuleFunc(tick), nil, nil).Export(binary.TickName).Instantiate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	decoded, err := binary.Decode(k.module())
	if err != nil {
		t.Fatal(err)
	}
	rewritten, _, err := decoded.Rewrite(binary.Options{})
	if err != nil {
		t.Fatal(err)
	}
	m, err := r.Instantiate(t.Context(), rewritten)
	if err != nil {
		t.Fatal(err)
	}
	call(t, m, k)
	return given - int64(left(m).Get())
}

func TestFuelBudget(t *testing.T) {
	t.Parallel()
	// many small turns, one large charge, and calls of the host: each way to pay
	body := `i32.const 1000000 local.set 0 loop void local.get 0 i32.const 1 i32.sub local.tee 0 br_if 0 end
		i32.const 20 memory.grow drop i32.const 0 i32.const 0 i32.const 1300000 memory.fill
		i32.const 1 i32.const 0 i32.const 65536 call 0 drop i32.const 0`
	b, _ := reactor("progress")
	module := entry(b, 1, bt.Asm(body))
	used := fuelOf(t, module)
	budget := func(n int64) (flow.Result, error) {
		result, _, err := attempt(t, module, func(c *flow.Call) { c.Limits.Fuel = n })
		return result, err
	}
	if result, err := budget(used); err != nil || result.Usage.Fuel != used {
		t.Errorf("with a budget of what it uses, %d: %+v, %v", used, result, err)
	}
	for _, n := range []int64{1, 1000, used / 2} {
		_, err := budget(n)
		fault := faultOf(t, err)
		if fault.Reason != flow.ReasonFuel || !strings.Contains(fault.Message, "limits.fuel") || fault.Usage.Fuel <= n {
			t.Errorf("budget %d: %s %q, used %d", n, fault.Reason, fault.Message, fault.Usage.Fuel)
		}
		_, again := budget(n)
		if second := faultOf(t, again); second.Usage.Fuel != fault.Usage.Fuel {
			t.Errorf("budget %d: stopped at %d, then at %d", n, fault.Usage.Fuel, second.Usage.Fuel)
		}
	}
}

func TestFuelCountsFromTheEntry(t *testing.T) {
	t.Parallel()
	work := `i32.const 100000 local.set 0 loop void local.get 0 i32.const 1 i32.sub local.tee 0 br_if 0 end `
	module := func(before string) []byte {
		b, _ := reactor("progress")
		b.Export("_initialize", b.Func(0, 1, bt.Asm(before)))
		return entry(b, 1, bt.Asm(work+`i32.const 0`))
	}
	short, long := fuelOf(t, module("")), fuelOf(t, module(work))
	if short != long {
		t.Errorf("%d units, with work before the entry %d", short, long)
	}
	result, _, err := attempt(t, module(work+work+work), func(c *flow.Call) { c.Limits.Fuel = short })
	if err != nil || result.Usage.Fuel != short {
		t.Errorf("work before the entry counts against the budget: %+v, %v", result, err)
	}
}

func TestWorkOfTheHostIsCharged(t *testing.T) {
	t.Parallel()
	module := func(code string) []byte {
		b, _ := reactor("progress", "output")
		b.Data(0, "a7")
		return entry(b, 0, bt.Asm(code+`i32.const 0`))
	}
	none := fuelOf(t, module(``))
	progress := fuelOf(t, module(`i32.const 1 i32.const 0 i32.const 0 call 0 drop `))
	small := fuelOf(t, module(`i32.const 0 i32.const 1 i32.const 1 i32.const 1 call 1 drop `))
	large := fuelOf(t, module(`i32.const 0 i32.const 1 i32.const 1 i32.const 60001 call 1 drop `))
	if progress-none < 500 || large-small != 60_000/8 {
		t.Errorf("%d units without a call, %d with one, %d with a value, %d with a long one", none, progress, small, large)
	}
}

// TestCloseEndsGuests closes a runtime while a guest spins.
func TestCloseEndsGuests(t *testing.T) {
	t.Parallel()
	rt, err := wasm.New(t.Context(), wasm.Config{})
	if err != nil {
		t.Fatal(err)
	}
	m, err := rt.Load(t.Context(), pluginOf(t, runaway(`i32.const 1 i32.const 0 i32.const 0 call 0 drop loop void br 0 end unreachable`)))
	if err != nil {
		t.Fatal(err)
	}
	call := plugintest.NewCall(t, guest.With{})
	call.Grace = 0
	host := &startedHost{Host: plugintest.NewHost(t.Context()), started: make(chan struct{})}
	done := make(chan error, 1)
	go func() {
		_, err := m.Call(t.Context(), call, host)
		done <- err
	}()
	<-host.started
	if err := rt.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if fault := faultOf(t, <-done); fault.Reason != flow.ReasonStop {
		t.Errorf("reason %s: %s", fault.Reason, fault.Message)
	}
	if _, err := m.Call(t.Context(), call, host); faultOf(t, err).Reason != flow.ReasonStop {
		t.Errorf("after the end: %v", err)
	}
}
