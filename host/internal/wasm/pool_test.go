package wasm_test

import (
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/plugintest"
	"github.com/uniflow-dev/uniflow/host/internal/plugintest/guest"
	"github.com/uniflow-dev/uniflow/host/internal/wasm"
	bt "github.com/uniflow-dev/uniflow/host/internal/wasm/binary/binarytest"
)

// hideouts are guests whose entry looks for what an attempt before it left behind, leaves something itself, and returns
// zero if it has found nothing.
func hideouts() map[string][]byte {
	simple := func(text string) []byte {
		b, _ := reactor()
		return entry(b, 1, bt.Asm(text))
	}
	guests := map[string][]byte{
		"first page":     simple("i32.const 0 i32.load 16 i32.const 0 i32.const 1 i32.store 16"),
		"last bytes":     simple("i32.const 0 i32.load 65532 i32.const 0 i32.const 1 i32.store 65532"),
		"grown memory":   simple("memory.size i32.const 1 i32.sub i32.const 3 memory.grow drop"),
		"all of it":      simple("i32.const 0 i32.load 30000 i32.const 0 i32.const 255 i32.const 65536 memory.fill"),
		"memory by copy": simple("i32.const 0 i32.load 8192 i32.const 0 i32.const 7 i32.store 0 i32.const 8192 i32.const 0 i32.const 64 memory.copy"),
	}
	b, _ := reactor()
	b.Global(0)
	guests["global"] = entry(b, 0, bt.Asm("global.get 0 i32.const 1 global.set 0"))

	b, _ = reactor()
	b.Table(1)
	guests["table"] = entry(b, 0, bt.Asm("table.size 0 i32.const 1 i32.sub ref.null 112 i32.const 1 table.grow 0 drop"))

	for name, f := range map[string]string{
		"closed descriptor": "fd_close",            // of the folder, which is there in each attempt
		"flags":             "fd_fdstat_set_flags", // that they were set is seen by no one
	} {
		b := &bt.Builder{}
		params := []byte{bt.I32}
		if f == "fd_fdstat_set_flags" {
			params = append(params, bt.I32)
		}
		i := b.Import("wasi_snapshot_preview1", f, b.Type(params, []byte{bt.I32}))
		b.Memory(1)
		b.Export("uniflow_abi_v1", b.Func(b.Type(nil, nil), 0))
		body := [][]byte{bt.Const(3), bt.Call(i)}
		if len(params) == 2 {
			body = [][]byte{bt.Const(1), bt.Const(4), bt.Call(i)}
		}
		guests[name] = entry(b, 0, body...)
	}
	return guests
}

// Promise: no byte of one attempt is visible to the next.
func TestNothingIsLeftForTheNextAttempt(t *testing.T) {
	t.Parallel()
	for name, module := range hideouts() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := load(t, pluginOf(t, module))
			var wait sync.WaitGroup
			for range 4 {
				wait.Go(func() {
					for range 25 {
						if result, _, err := again(t, m, guest.With{}); err != nil || result.Verdict != 0 {
							t.Errorf("found what another attempt left: %+v, %v", result, err)
							return
						}
					}
				})
			}
			wait.Wait()
		})
	}
}

func load(t *testing.T, p flow.PlanPlugin) flow.Module {
	t.Helper()
	return loadWith(t, wasm.Config{}, p)
}

func loadWith(t *testing.T, c wasm.Config, p flow.PlanPlugin) flow.Module {
	t.Helper()
	c.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	m, err := newRuntime(t, c).Load(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func again(t *testing.T, m flow.Module, with guest.With) (flow.Result, *plugintest.Host, error) {
	t.Helper()
	host := plugintest.NewHost(t.Context())
	result, err := m.Call(t.Context(), plugintest.NewCall(t, with), host)
	return result, host, err
}

// After a trap, whatever the guest did meanwhile is gone too.
func TestNothingIsLeftAfterATrap(t *testing.T) {
	t.Parallel()
	b, _ := reactor()
	b.Global(0)
	m := load(t, pluginOf(t, entry(b, 0, bt.Asm("global.get 0 if void i32.const 1 return end i32.const 1 global.set 0 i32.const 0 i32.const 1 i32.store 0 unreachable"))))
	for range 3 {
		if _, _, err := again(t, m, guest.With{}); err == nil || faultOf(t, err).Reason != flow.ReasonTrap {
			t.Fatalf("got %v, want the same trap each time", err)
		}
	}
}

// initialising is a guest that logs when it is initialised, warms and reseeds itself, and returns zero if both were done
// since: the warming once, the reseeding once for each attempt.
func initialising() []byte {
	b, index := reactor("log")
	void := b.Type(nil, nil)
	b.Data(64, "initialised")
	b.Export("_initialize", b.Func(void, 0, bt.Const(2), bt.Const(64), bt.Const(11), bt.Call(index["log"])))
	bump := func(at string) []byte {
		return bt.Asm("i32.const " + at + " i32.const " + at + " i32.load 0 i32.const 1 i32.add i32.store 0")
	}
	b.Export("uniflow_warm", b.Func(void, 0, bump("16")))
	b.Export("uniflow_reseed", b.Func(void, 0, bump("32")))
	return entry(b, 0, bt.Asm("i32.const 16 i32.load 0 i32.const 1 i32.ne i32.const 32 i32.load 0 i32.const 1 i32.ne i32.or"))
}

func TestWarmLeavesNothingToInitialise(t *testing.T) {
	t.Parallel()
	m := load(t, pluginOf(t, initialising()))
	call := plugintest.NewCall(t, guest.With{})
	for range 2 {
		if err := m.(flow.Warmer).Warm(t.Context(), call); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		result, host, err := again(t, m, guest.With{})
		if err != nil || result.Verdict != 0 || len(host.Lines()) != 0 {
			t.Fatalf("got %+v and %d lines, %v; want a guest that was initialised before", result, len(host.Lines()), err)
		}
	}
	small := call
	small.Limits.Memory = 1
	unfit := load(t, pluginOf(t, initialising()))
	if err := unfit.(flow.Warmer).Warm(t.Context(), small); err == nil {
		t.Error("a guest is warm that its limits do not admit")
	}
}

func TestAGuestIsInitialisedOnce(t *testing.T) {
	t.Parallel()
	m := load(t, pluginOf(t, initialising()))
	lines := 0
	for range 5 {
		result, host, err := again(t, m, guest.With{})
		if err != nil || result.Verdict != 0 {
			t.Fatalf("got %+v, %v", result, err)
		}
		lines += len(host.Lines())
	}
	if lines != 1 {
		t.Errorf("initialised %d times, want once", lines)
	}
}

// What opts out, what was granted randomness that would be the same each time, and what there is no room for, is
// initialised for each attempt.
func TestAGuestIsInitialisedForEachAttempt(t *testing.T) {
	t.Parallel()
	b, index := reactor("log")
	b.Data(64, "initialised")
	b.Export("_initialize", b.Func(b.Type(nil, nil), 0, bt.Const(2), bt.Const(64), bt.Const(11), bt.Call(index["log"])))
	module := entry(b, 0, bt.Const(0))
	for name, change := range map[string]func(*flow.PlanPlugin){
		"snapshot = false": func(p *flow.PlanPlugin) { p.Fresh = true },
		"no room":          func(*flow.PlanPlugin) {},
		"random = true":    func(p *flow.PlanPlugin) { p.Grant.Random = true },
	} {
		p := pluginOf(t, module)
		change(&p)
		m := load(t, p)
		if name == "no room" {
			m = loadWith(t, wasm.Config{MaxKept: 1}, p)
		}
		for range 3 {
			if _, host, err := again(t, m, guest.With{}); err != nil || len(host.Lines()) != 1 {
				t.Errorf("%s: %v, %v", name, host.Lines(), err)
			}
		}
	}
}

// Fuel, outputs and steady time are those of the first attempt, whatever the instance has served before.
func TestAttemptsAreAlike(t *testing.T) {
	t.Parallel()
	path, err := built.reactor()
	m := load(t, pluginAt(t, path, err))
	var first flow.Result
	for n := range 4 {
		result, _, err := again(t, m, guest.With{Behaviour: "echo", Value: json.RawMessage(`[1,2,3]`)})
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			first = result
		}
		if result.Usage.Fuel != first.Usage.Fuel || result.Usage.Memory != first.Usage.Memory || string(result.Outputs["value"]) != string(first.Outputs["value"]) {
			t.Errorf("attempt %d: %+v, the first: %+v", n+1, result, first)
		}
	}
}

func TestSteadyTimeGoesOnAfterTheInitialisation(t *testing.T) {
	t.Parallel()
	b := &bt.Builder{}
	clock := b.Import("wasi_snapshot_preview1", "clock_time_get", b.Type([]byte{bt.I32, bt.I64, bt.I32}, []byte{bt.I32}))
	b.Memory(1)
	void := b.Type(nil, nil)
	b.Export("uniflow_abi_v1", b.Func(void, 0))
	read := func(at int) []byte {
		return bt.Join(bt.Const(1), bt.Asm("i64.const 0"), bt.Const(at), bt.Call(clock), bt.Op(bt.Drop))
	}
	b.Export("_initialize", b.Func(void, 0, read(0), read(0)))
	// Not later than when it was initialised, in microseconds.
	m := load(t, pluginOf(t, entry(b, 0, read(8), bt.Asm("i32.const 0 i32.load 8 i32.const 0 i32.load 0 i32.le_u"))))
	for range 3 {
		if result, _, err := again(t, m, guest.With{}); err != nil || result.Verdict != 0 {
			t.Errorf("got %+v, %v", result, err)
		}
	}
}

// What a grant names can be a folder now and a file later, which moves the guest's folders: an instance from before is
// not used then.
func TestAnInstanceIsNotUsedWithOtherFolders(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	x, y := filepath.Join(dir, "x"), filepath.Join(dir, "y")
	if err := errors.Join(os.Mkdir(x, 0o700), os.WriteFile(y, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	b := &bt.Builder{}
	stat := b.Import("wasi_snapshot_preview1", "fd_filestat_get", b.Type([]byte{bt.I32, bt.I32}, []byte{bt.I32}))
	b.Memory(1)
	b.Export("uniflow_abi_v1", b.Func(b.Type(nil, nil), 0))
	// The last of four folders: of x itself, of y's, /in and /out.
	b.Export("probe", b.Func(b.Type(nil, []byte{bt.I32}), 0, bt.Const(6), bt.Const(0), bt.Call(stat), bt.Asm("i32.const 0 i32.ne")))
	p := pluginOf(t, entry(b, 0, bt.Const(0)))
	p.Grant.Mount = map[string]string{"/c/x": x, "/c/y": y}
	m := load(t, p)
	if result, _, err := again(t, m, guest.With{}); err != nil || result.Verdict != flow.VerdictOK {
		t.Fatalf("got %+v, %v", result, err)
	}
	if err := errors.Join(os.Remove(x), os.WriteFile(x, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	call := plugintest.NewCall(t, guest.With{})
	call.Context.Function = "probe"
	if result, err := m.Call(t.Context(), call, plugintest.NewHost(t.Context())); err != nil || result.Verdict != flow.VerdictFailed {
		t.Errorf("got %+v, %v; want a fourth folder that is not there any more", result, err)
	}
}
