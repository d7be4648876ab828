package wasm_test

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/plugintest"
	"github.com/uniflow-dev/uniflow/host/internal/plugintest/guest"
	"github.com/uniflow-dev/uniflow/host/internal/wasm"
	bt "github.com/uniflow-dev/uniflow/host/internal/wasm/binary/binarytest"
)

// Promise: no byte of one attempt is visible to the next, in whatever instance: not in the guest's memory, nor in blocks,
// input, output, error, variables or the answer to a request.
func TestExtismLeavesNothing(t *testing.T) {
	t.Parallel()
	m := load(t, extismPlugin(t))
	look := written(func(p *program) {
		p.do("show", p.do("kept"))
		p.do("show", p.do("error_get"))
		p.do("show", p.do("output_length"))
		p.do("show", p.do("http_status_code"))
		p.do("show", p.do("http_headers"))
		p.do("show", p.do("var_get", p.text("secret")))
		for range 50 {
			p.do("show_bytes", p.do("alloc", 100), 100)
		}
		p.do("keep", 7)
		p.do("var_set", p.text("secret"), p.text("secret"))
		p.do("http_request", p.text("{}"), 0)
		p.do("store_u64", p.do("alloc", 100), 7)
		p.do("error_set", 0)
	})
	leave := written(func(p *program) {
		p.do("keep", 7)
		p.do("error_set", p.text("secret"))
		for range 40 {
			p.text(strings.Repeat("secret", 20))
		}
		p.do("reset")
		p.do("error_set", p.text(strings.Repeat("secret", 200)))
		p.do("trap")
	})
	want := "0 0 0 0 0 0 " + strings.Repeat(strings.Repeat("\x00", 100)+"|", 50)
	answer := func() ([]byte, error) { return []byte(`{"status":200,"headers":{"a":"secret"},"body":"secret"}`), nil }
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for i := range 20 {
				if i%5 == 4 {
					_, _, _ = callExtism(t, m, leave, nil, answer)
				}
				r, _, err := callExtism(t, m, look, nil, answer)
				if got := shown(t, r, err); got != want {
					t.Errorf("found what another attempt left: %q", got)
					return
				}
			}
		})
	}
	wait.Wait()
}

// plugin returns a builder of a plugin of Extism with the imports named, each with its signature behind it.
func plugin(imports ...string) (b *bt.Builder, index map[string]int) {
	b, index = &bt.Builder{}, map[string]int{}
	for _, i := range imports {
		name, types, _ := strings.Cut(i, " ")
		params, results, _ := strings.Cut(types, ">")
		index[name] = b.Import("extism:host/env", name, b.Type(letters(params), letters(results)))
	}
	return b, index
}

func letters(s string) []byte {
	var types []byte
	for _, c := range s {
		types = append(types, map[rune]byte{'i': bt.I32, 'I': bt.I64}[c])
	}
	return types
}

// counting is a plugin that gives back, as a digit, what its initialisation has counted: one for _initialize, two for
// hs_init.
func counting() []byte {
	b, f := plugin("reset >", "alloc I>I", "store_u8 Ii>", "output_set II>")
	b.Memory(1)
	bump := func(by string) []byte {
		return bt.Asm("i32.const 0 i32.const 0 i32.load 0 i32.const " + by + " i32.add i32.store 0")
	}
	b.Export("_initialize", b.Func(b.Type(nil, nil), 0, bump("1")))
	b.Export("hs_init", b.Func(b.Type(letters("ii"), nil), 0, bump("2")))
	b.Export("run", b.Func(b.Type(nil, letters("i")), 0, digit(f), bump("1"), bt.Const(0)))
	return b.Bytes()
}

// digit gives the number in the first bytes of memory back, in the first block, which is at 64.
func digit(f map[string]int) []byte {
	return bt.Join(bt.Call(f["reset"]), bt.I64Const(1), bt.Call(f["alloc"]), bt.Asm("i32.const 48 i32.const 0 i32.load 0 i32.add"), bt.Call(f["store_u8"]),
		bt.I64Const(64), bt.I64Const(1), bt.Call(f["output_set"]))
}

func TestExtismIsInitialised(t *testing.T) {
	t.Parallel()
	m := load(t, pluginOf(t, counting()))
	for range 3 {
		r, _, err := callExtism(t, m, nil, func(call *flow.Call) { call.Stdin = json.RawMessage(`""`) }, nil)
		if err != nil || string(r.Outputs["result"]) != "3" {
			t.Errorf("got %+v, %v", r, err)
		}
	}
}

// What a plugin reads of its attempt while it is initialised is that attempt's own, in whatever order they come.
func TestExtismInitialisesForEachAttemptThatItLooksAt(t *testing.T) {
	t.Parallel()
	b, f := plugin("reset >", "input_length >I", "alloc I>I", "store_u8 Ii>", "output_set II>")
	b.Memory(1)
	b.Export("_initialize", b.Func(b.Type(nil, nil), 0, bt.Const(0), bt.Call(f["input_length"]), bt.Asm("i32.wrap_i64 i32.store 0")))
	b.Export("run", b.Func(b.Type(nil, letters("i")), 0, digit(f), bt.Const(0)))
	m := load(t, pluginOf(t, b.Bytes()))
	warmer, ok := m.(flow.Warmer)
	if !ok {
		t.Fatal("it cannot be warmed")
	}
	if err := warmer.Warm(t.Context(), flow.Call{}); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 1, 3, 2} {
		r, _, err := callExtism(t, m, nil, func(call *flow.Call) { call.Stdin = json.RawMessage(`"` + strings.Repeat("x", n) + `"`) }, nil)
		if err != nil || r.Verdict != flow.VerdictOK {
			t.Fatalf("got %+v, %v", r, err)
		}
		if got := string(r.Outputs["result"]); got != strconv.Itoa(n) {
			t.Errorf("%d bytes: %s", n, got)
		}
	}
}

func TestExtismIsDetected(t *testing.T) {
	t.Parallel()
	type entries map[string]string
	build := func(module string, all entries) []byte {
		b, _ := plugin("input_length >I")
		if module != "" {
			b.Import(module, "f", b.Type(nil, nil))
		}
		for name, types := range all {
			params, results, _ := strings.Cut(types, ">")
			body := bt.Join()
			if results != "" {
				body = bt.Const(0)
			}
			b.Export(name, b.Func(b.Type(letters(params), letters(results)), 0, body))
		}
		return b.Bytes()
	}
	for name, c := range map[string]struct {
		module                   []byte
		profile                  wasm.Profile
		code                     flow.Code
		functions, first, reason string
	}{
		"run":          {build("", entries{"run": ">i", "other": ">i", "_initialize": ">"}), wasm.ProfileExtism, "", "other,run", "run", ""},
		"the only one": {build("", entries{"count": ">i", "_start": ">", "asyncify_get_state": ">i", "free": "i>"}), wasm.ProfileExtism, "", "_start,count", "count", ""},
		"a program":    {build("", entries{"_start": ">", "malloc": "i>i"}), wasm.ProfileExtism, "", "_start", "_start", ""},
		"several":      {build("", entries{"a": ">i", "b": ">i"}), wasm.ProfileExtism, "", "a,b", "", ""},
		"none":         {build("", entries{"_initialize": ">"}), wasm.ProfileExtism, flow.CodeNoEntry, "", "", "exports no function"},
		"a marker":     {build("", entries{"uniflow_abi_v1": ">", "run": ">i"}), wasm.ProfileReactor, flow.CodeNoEntry, "run", "", "either a reactor or"},
		"hs_init":      {build("", entries{"run": ">i", "hs_init": ">"}), wasm.ProfileExtism, flow.CodeNoEntry, "run", "run", "expected (i32, i32) -> ()"},
		"own host":     {build("extism:host/user", entries{"run": ">i"}), wasm.ProfileExtism, flow.CodeExtism, "run", "run", "the host that the plugin was written for"},
		"a library":    {build("lib", entries{"run": ">i"}), wasm.ProfileExtism, flow.CodeExtism, "run", "run", "no module of this name"},
		"not its":      {build("extism:host/env", entries{"run": ">i"}), wasm.ProfileExtism, flow.CodeImports, "run", "run", "Extism has no such function"},
	} {
		info, err := wasm.Inspect(c.module)
		if info == nil || info.Profile != c.profile || strings.Join(info.Functions, ",") != c.functions || info.Default != c.first {
			t.Errorf("%s: %+v", name, info)
		}
		if flow.CodeOf(err) != c.code || c.reason != "" && !strings.Contains(err.Error(), c.reason) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestExtismImportsAll sees that the guest of the other tests leaves none of the 32 out.
func TestExtismImportsAll(t *testing.T) {
	t.Parallel()
	module, err := os.ReadFile(extismPlugin(t).Path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := wasm.Inspect(module)
	if err != nil || len(info.Imports) != 32 || len(extismOps) != 32+13 {
		t.Errorf("%d imports, %d instructions, %v", len(info.Imports), len(extismOps), err)
	}
}

func TestExtismServicesWaitForTheEntry(t *testing.T) {
	t.Parallel()
	b, f := plugin("http_request II>I")
	b.Export("_initialize", b.Func(b.Type(nil, nil), 0, bt.I64Const(0), bt.I64Const(0), bt.Call(f["http_request"]), bt.Asm("drop")))
	b.Export("run", b.Func(b.Type(nil, letters("i")), 0, bt.Const(0)))
	r, h, err := callExtism(t, load(t, pluginOf(t, b.Bytes())), nil, nil, func() ([]byte, error) { return []byte("{}"), nil })
	if err != nil || r.Verdict != flow.VerdictPermanent || !strings.Contains(r.Message, "while the module initialises") || len(h.asked) > 0 {
		t.Errorf("got %+v, %v", r, err)
	}
}

// A plugin of Extism may import the host ABI too.
func TestExtismBesideTheHostABI(t *testing.T) {
	t.Parallel()
	b, f := plugin("input_offset >I", "input_length >I", "output_set II>")
	output := b.Import("uniflow", "output", b.Type(letters("iiii"), letters("i")))
	b.Memory(1)
	b.Data(0, "a1")
	b.Export("run", b.Func(b.Type(nil, letters("i")), 0, bt.Const(0), bt.Const(1), bt.Const(1), bt.Const(1), bt.Call(output), bt.Asm("drop"),
		bt.Call(f["input_offset"]), bt.Call(f["input_length"]), bt.Call(f["output_set"]), bt.Const(0)))
	r, _, err := callExtism(t, load(t, pluginOf(t, b.Bytes())), nil, func(call *flow.Call) { call.Stdin = json.RawMessage(`{"a":2,"b":3}`) }, nil)
	if err != nil || string(r.Outputs["a"]) != "1" || string(r.Outputs["b"]) != "3" {
		t.Errorf("got %+v, %v", r, err)
	}
}

func TestExtismIsStopped(t *testing.T) {
	t.Parallel()
	m := load(t, extismPlugin(t))
	for name, input := range map[string][]byte{
		"a loop over a block": written(func(p *program) { p.do("spin", 1) }),
		"blocks without end":  written(func(p *program) { p.do("free_often", uint64(1)<<60, 8) }),
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		h := plugintest.NewHost(ctx)
		call := plugintest.NewCall(t, guest.With{})
		ref, err := h.Artifact(ctx, "input", "", strings.NewReader(string(input)))
		if err != nil {
			t.Fatal(err)
		}
		if call.Stdin, err = json.Marshal(ref); err != nil {
			t.Fatal(err)
		}
		call.Grace = 0
		begin := time.Now()
		_, err = m.Call(ctx, call, h)
		cancel()
		if fault := faultOf(t, err); fault.Reason != flow.ReasonTimeout || time.Since(begin) > 2*time.Second {
			t.Errorf("%s: %+v after %v", name, fault, time.Since(begin))
		}
	}
}

// The same call costs the same fuel, in a new instance and in one that was used.
func TestExtismFuelIsRepeatable(t *testing.T) {
	t.Parallel()
	m := load(t, extismPlugin(t))
	input := written(func(p *program) {
		p.do("free_often", 100, 1000)
		p.do("show_block", p.do("config_get", p.text("n")))
	})
	var used []int64
	for range 3 {
		r, _, err := callExtism(t, m, input, nil, nil)
		shown(t, r, err)
		used = append(used, r.Usage.Fuel)
	}
	if used[0] != used[1] || used[1] != used[2] || used[0] < 100_000 {
		t.Errorf("fuel %v", used)
	}
}

// What a plugin asks for, in whatever order and with whatever numbers, is never a fault of the host.
func TestExtismSurvivesAnything(t *testing.T) {
	t.Parallel()
	m := load(t, extismPlugin(t))
	var names []string
	for name := range extismOps {
		if name != "spin" && name != "trap" && name != "return" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	answer := func() ([]byte, error) { return []byte(`{"status":200,"headers":{},"body":"x"}`), nil }
	reasons := map[flow.Reason]int{}
	for seed := range uint64(1500) {
		r := rand.New(rand.NewPCG(seed, 2))
		p := &program{}
		for p.n < 60 && len(p.bytes) < 3000 {
			anything(r, p, names[r.IntN(len(names))])
		}
		_, _, err := callExtism(t, m, p.bytes, func(call *flow.Call) {
			call.Limits.Memory, call.Limits.Fuel = flow.MiB, 20_000_000
		}, answer)
		if err == nil {
			reasons[""]++
			continue
		}
		fault := faultOf(t, err)
		if reasons[fault.Reason]++; fault.Reason == flow.ReasonInternal {
			t.Fatalf("seed %d: %+v: %v", seed, fault, fault.Err)
		}
	}
	if reasons[""] == 0 || reasons[flow.ReasonTrap] == 0 {
		t.Errorf("endings %v: want calls that go through and calls that do not", reasons)
	}
	t.Logf("endings %v", reasons)
}

// anything appends an instruction with arguments that are often good.
func anything(r *rand.Rand, p *program, name string) {
	if name == "text" {
		p.text(strings.Repeat("k", r.IntN(60)))
		return
	}
	number := func() any {
		switch r.IntN(12) {
		case 0:
			return r.Uint64()
		case 1:
			return uint64(1)<<r.IntN(64) - uint64(r.IntN(2))
		case 2, 3:
			return r.IntN(3000)
		}
		if p.n == 0 {
			return 8
		}
		return result{of: r.IntN(p.n), plus: uint64(r.IntN(3))}
	}
	p.do(name, number(), number())
}
