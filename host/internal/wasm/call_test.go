package wasm_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/plugintest"
	"github.com/uniflow-dev/uniflow/host/internal/plugintest/guest"
	"github.com/uniflow-dev/uniflow/host/internal/wasm"
	bt "github.com/uniflow-dev/uniflow/host/internal/wasm/binary/binarytest"
	"github.com/uniflow-dev/uniflow/sdk/abi"
)

// attempt executes one attempt of a module; change may edit the call, ctx may be nil.
func attempt(t *testing.T, module []byte, change func(*flow.Call)) (flow.Result, *plugintest.Host, error) {
	t.Helper()
	return attemptWith(t, module, flow.Grant{}, change)
}

func attemptWith(t *testing.T, module []byte, grant flow.Grant, change func(*flow.Call)) (flow.Result, *plugintest.Host, error) {
	t.Helper()
	rt := newRuntime(t, wasm.Config{Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	p := pluginOf(t, module)
	p.Grant = grant
	m, err := rt.Load(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	host := plugintest.NewHost(ctx)
	call := plugintest.NewCall(t, guest.With{})
	if change != nil {
		change(&call)
	}
	result, err := m.Call(ctx, call, host)
	return result, host, err
}

func faultOf(t *testing.T, err error) *flow.Fault {
	t.Helper()
	fault, ok := errors.AsType[*flow.Fault](err)
	if !ok {
		t.Fatalf("error %v, want a *flow.Fault", err)
	}
	if strings.Contains(fault.Message+fault.Hint, ".go:") || strings.Contains(fault.Message, "wasm stack trace") {
		t.Errorf("the message shows the host's inside: %s", fault.Message)
	}
	return fault
}

// expect traps when the value on the stack is not want.
func expect(want int) []byte {
	return bt.Join(bt.Const(want), []byte{0x47, 0x04, 0x40, bt.Unreachable, 0x0b})
}

func TestEndsAreToldApart(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body   [][]byte
		reason flow.Reason
		says   string
	}{
		"unreachable":   {[][]byte{bt.Op(bt.Unreachable)}, flow.ReasonTrap, "unreachable in entry"},
		"division":      {[][]byte{bt.Const(1), bt.Const(0), bt.Op(bt.DivS)}, flow.ReasonTrap, "divide by zero"},
		"out of bounds": {[][]byte{bt.Const(-1), bt.Op(0x28, 2, 0)}, flow.ReasonTrap, "out of bounds"},
		"stack":         {[][]byte{bt.Call(1)}, flow.ReasonStack, "call stack"},
		"memory": {
			[][]byte{bt.Const(32), bt.Op(0x40, 0), expect(1), bt.Const(2000), bt.Op(0x40, 0), expect(-1), bt.Op(bt.Unreachable)},
			flow.ReasonMemory, "limits.memory, 64MiB",
		},
	} {
		b, _ := reactor()
		module := append(entry(b, 0, c.body...), bt.Section(0, bt.Join(bt.Vec([]byte("name")), []byte{1}, bt.Vec(bt.Join([]byte{1, 1}, bt.Vec([]byte("entry(*T)"))))))...)
		_, _, err := attempt(t, module, nil)
		fault := faultOf(t, err)
		if fault.Reason != c.reason || !strings.Contains(fault.Message, c.says) {
			t.Errorf("%s: %s %q, want %s with %q", name, fault.Reason, fault.Message, c.reason, c.says)
		}
	}
}

func TestMemoryIsBoundedFromTheStart(t *testing.T) {
	t.Parallel()
	b, _ := reactor()
	module := entry(b, 0, bt.Const(0))
	result, _, err := attempt(t, module, func(c *flow.Call) { c.Limits.Memory = 64 * flow.KiB })
	if err != nil || result.Usage.Memory != 64*flow.KiB {
		t.Errorf("result %+v, error %v", result, err)
	}
	_, _, err = attempt(t, module, func(c *flow.Call) { c.Limits.Memory = 64*flow.KiB - 1 })
	if fault := faultOf(t, err); fault.Reason != flow.ReasonMemory || !strings.Contains(fault.Message, "64KiB") {
		t.Errorf("fault %s %q", fault.Reason, fault.Message)
	}
}

func TestTablesAreBounded(t *testing.T) {
	t.Parallel()
	b, _ := reactor()
	b.Table(1)
	grow := func(n int) []byte { return bt.Join(bt.Op(0xd0, 0x70), bt.Const(n), bt.Op(0xfc, 15, 0)) }
	_, _, err := attempt(t, entry(b, 0, grow(99_999), expect(1), grow(1), expect(-1), bt.Const(0)), nil)
	if err != nil {
		t.Error(err)
	}
}

func TestRefusedGrowthAloneIsNoFault(t *testing.T) {
	t.Parallel()
	b, _ := reactor()
	_, _, err := attempt(t, entry(b, 0, bt.Const(2000), bt.Op(0x40, 0), expect(-1), bt.Const(0)), nil)
	if err != nil {
		t.Error(err)
	}
}

func TestStartFunctionIsBounded(t *testing.T) {
	t.Parallel()
	b, _ := reactor()
	b.Start(b.Func(0, 0, bt.Loop()))
	module := entry(b, 0, bt.Const(0))
	rt := newRuntime(t, wasm.Config{})
	m, err := rt.Load(t.Context(), pluginOf(t, module))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	call := plugintest.NewCall(t, guest.With{})
	call.Grace = 0
	_, err = m.Call(ctx, call, plugintest.NewHost(ctx))
	if fault := faultOf(t, err); fault.Reason != flow.ReasonTimeout {
		t.Errorf("reason %s: %s", fault.Reason, fault.Message)
	}
}

// TestBadPointers calls every import with every combination of bad pointers and lengths: each is errno 9 or, where the
// bytes lie inside the memory, anything but a trap.
func TestBadPointers(t *testing.T) {
	t.Parallel()
	edges := []int{0, 1, 65535, 65536, 65537, 1 << 31, 1<<32 - 1}
	names := []string{"input_read", "output", "log", "fail", "progress", "call", "call_read", "call_write"}
	b, index := reactor(names...)
	var body [][]byte
	check := func(name string, args [][]byte, bad bool) {
		body = append(body, args...)
		body = append(body, bt.Call(index[name]))
		switch {
		case name == "log":
		case bad:
			body = append(body, expect(-9))
		default:
			body = append(body, bt.Op(bt.Drop))
		}
	}
	for _, ptr := range edges {
		for _, size := range edges {
			bad := ptr+size > 65536
			p, n := bt.Const(ptr), bt.Const(size)
			check("input_read", [][]byte{p, bt.Const(0), n}, bad)
			check("output", [][]byte{p, n, bt.Const(0), bt.Const(1)}, bad)
			check("output", [][]byte{bt.Const(0), bt.Const(1), p, n}, bad)
			check("log", [][]byte{bt.Const(2), p, n}, bad)
			check("fail", [][]byte{bt.Const(1), p, n}, bad)
			check("progress", [][]byte{bt.Const(1), p, n}, bad)
			check("call", [][]byte{p, n, bt.Const(0), bt.Const(0)}, bad)
			check("call", [][]byte{bt.Const(0), bt.Const(0), p, n}, bad)
			check("call_read", [][]byte{p, bt.Const(0), n}, bad)
			check("call_write", [][]byte{p, n}, bad)
		}
	}
	body = append(body, bt.Const(0))
	result, _, err := attempt(t, entry(b, 0, body...), nil)
	if err != nil {
		t.Fatal(err)
	}
	if want := int64(len(edges) * len(edges) * 10); result.Usage.HostCalls != want {
		t.Errorf("%d host calls counted, want %d", result.Usage.HostCalls, want)
	}
}

func TestInputIsReadInSlices(t *testing.T) {
	t.Parallel()
	b, index := reactor("input_size", "input_read", "output")
	b.Data(60000, "first")
	module := entry(b, 1,
		bt.Call(index["input_size"]), bt.Set(0),
		bt.Const(100), bt.Const(0), bt.Const(1), bt.Call(index["input_read"]), expect(1),
		bt.Const(101), bt.Const(1), bt.Const(50000), bt.Call(index["input_read"]), bt.Get(0), bt.Const(1), bt.Op(0x6b), bt.Op(0x47, 0x04, 0x40, bt.Unreachable, 0x0b),
		bt.Const(0), bt.Get(0), bt.Const(10), bt.Call(index["input_read"]), expect(0),
		bt.Const(0), bt.Const(-1), bt.Const(10), bt.Call(index["input_read"]), expect(0),
		bt.Const(60000), bt.Const(5), bt.Const(100), bt.Get(0), bt.Call(index["output"]), expect(0),
		bt.Const(0))
	result, _, err := attempt(t, module, nil)
	if err != nil {
		t.Fatal(err)
	}
	var got flow.RunContext
	if err := json.Unmarshal(result.Outputs["first"], &got); err != nil || got.Step != "summarise" {
		t.Errorf("the guest read %s: %v", result.Outputs["first"], err)
	}
}

func TestResponsesAndBodies(t *testing.T) {
	t.Parallel()
	b, index := reactor("call", "call_read", "call_write", "output")
	b.Data(0, "artifact.put{}no.suchresult\xff")
	module := entry(b, 1,
		// "ab" goes up in two parts and comes back as an artifact's reference
		bt.Const(0), bt.Const(1), bt.Call(index["call_write"]), expect(0),
		bt.Const(1), bt.Const(1), bt.Call(index["call_write"]), expect(0),
		bt.Const(0), bt.Const(12), bt.Const(12), bt.Const(2), bt.Call(index["call"]), bt.Set(0),
		bt.Const(1000), bt.Const(0), bt.Get(0), bt.Call(index["call_read"]), bt.Op(bt.Drop),
		bt.Const(21), bt.Const(6), bt.Const(1000), bt.Get(0), bt.Call(index["output"]), expect(0),
		// an op that is no text, and one that is too long
		bt.Const(27), bt.Const(1), bt.Const(0), bt.Const(0), bt.Call(index["call"]), expect(-4),
		bt.Const(0), bt.Const(129), bt.Const(0), bt.Const(0), bt.Call(index["call"]), expect(-3),
		// a refusal says why by call_read
		bt.Const(14), bt.Const(7), bt.Const(12), bt.Const(2), bt.Call(index["call"]), expect(-8),
		bt.Const(2000), bt.Const(0), bt.Const(10), bt.Call(index["call_read"]), expect(10),
		bt.Const(0))
	result, host, err := attempt(t, module, nil)
	if err != nil {
		t.Fatal(err)
	}
	var ref flow.ArtifactRef
	if err := json.Unmarshal(result.Outputs["result"], &ref); err != nil {
		t.Fatalf("output %s: %v", result.Outputs["result"], err)
	}
	if _, content := host.Artifacts(); string(content[ref.Digest]) != "ar" {
		t.Errorf("the body was %q", content[ref.Digest])
	}
}

func TestCallsAreBounded(t *testing.T) {
	t.Parallel()
	b, index := reactor("progress")
	count := bt.Join(bt.Get(0), bt.Const(1), bt.Op(bt.Add), bt.Set(0))
	loop := bt.Join([]byte{0x03, 0x40}, count, bt.Const(1), bt.Const(0), bt.Const(0), bt.Call(index["progress"]), expect(0),
		bt.Get(0), bt.Const(1_000_000), bt.Op(0x48, 0x0d, 0, 0x0b))
	_, _, err := attempt(t, entry(b, 1, loop, bt.Const(1), bt.Const(0), bt.Const(0), bt.Call(index["progress"]), expect(-7), bt.Const(0)), nil)
	if err != nil {
		t.Error(err)
	}
}

func TestInitialisationHasNoServices(t *testing.T) {
	t.Parallel()
	b, index := reactor("call")
	b.Data(0, "host.info")
	call := bt.Join(bt.Const(0), bt.Const(9), bt.Const(0), bt.Const(0), bt.Call(index["call"]))
	b.Export("_initialize", b.Func(0, 0, call, expect(-5)))
	module := entry(b, 0, call, expect(len(`{"version":"test"}`)), bt.Const(0))
	if _, _, err := attempt(t, module, nil); err != nil {
		t.Error(err)
	}
}

func TestReturnValuesAreKinds(t *testing.T) {
	t.Parallel()
	for ret, want := range map[int]flow.Verdict{0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 7: 1, -1: 1} {
		b, _ := reactor()
		result, _, err := attempt(t, entry(b, 0, bt.Const(ret)), nil)
		if err != nil || result.Verdict != want || result.ExitCode != nil {
			t.Errorf("%d: %+v, %v", ret, result, err)
		}
	}
}

func TestFunctionsByName(t *testing.T) {
	t.Parallel()
	b, _ := reactor()
	b.Export("mean", b.Func(b.Type(nil, []byte{bt.I32}), 0, bt.Const(2)))
	module := b.Bytes()
	result, _, err := attempt(t, module, func(c *flow.Call) { c.Context.Function = "mean" })
	if err != nil || result.Verdict != flow.VerdictSkip {
		t.Errorf("%+v, %v", result, err)
	}
	_, _, err = attempt(t, module, nil)
	if fault := faultOf(t, err); fault.Reason != flow.ReasonInvalid || !strings.Contains(fault.Hint, "mean") {
		t.Errorf("fault %+v", fault)
	}
}

// printer builds a command that writes text to a descriptor and exits.
func printer(fd int, text string, code uint32) []byte {
	b := &bt.Builder{}
	four := b.Type([]byte{bt.I32, bt.I32, bt.I32, bt.I32}, []byte{bt.I32})
	write := b.Import("wasi_snapshot_preview1", "fd_write", four)
	exit := b.Import("wasi_snapshot_preview1", "proc_exit", b.Type([]byte{bt.I32}, nil))
	b.Memory(1 + (len(text)+1024)>>16)
	b.Data(1024, text)
	store := func(at, value int) []byte { return bt.Join(bt.Const(at), bt.Const(value), bt.Op(0x36, 2, 0)) }
	b.Export("_start", b.Func(b.Type(nil, nil), 0,
		store(0, 1024), store(4, len(text)),
		bt.Const(fd), bt.Const(0), bt.Const(1), bt.Const(8), bt.Call(write), bt.Op(bt.Drop),
		bt.Const(int(code)), bt.Call(exit)))
	return b.Bytes()
}

func TestLinesAreCutAndTheLastNeedsNoEnd(t *testing.T) {
	t.Parallel()
	_, host, err := attempt(t, printer(2, "one\n"+strings.Repeat("x", 20_000)+"\nlast", 0), nil)
	if err != nil {
		t.Fatal(err)
	}
	lines := host.Lines()
	if len(lines) != 3 || lines[0].Message != "one" || len(lines[1].Message) != abi.MaxMessage || lines[2].Message != "last" {
		t.Errorf("%d lines", len(lines))
	}
}

func TestStdoutAsLog(t *testing.T) {
	t.Parallel()
	result, host, err := attempt(t, printer(1, "warn: careful\n", 0), func(c *flow.Call) { c.Stdout = "log" })
	if err != nil || len(result.Outputs) != 0 {
		t.Errorf("result %+v, error %v", result, err)
	}
	if lines := host.Lines(); len(lines) != 1 || lines[0] != (plugintest.Line{Level: flow.LogWarn, Message: "careful"}) {
		t.Errorf("lines %v", lines)
	}
}

func TestSleepsOfHostileLength(t *testing.T) {
	t.Parallel()
	b := &bt.Builder{}
	poll := b.Import("wasi_snapshot_preview1", "poll_oneoff", b.Type([]byte{bt.I32, bt.I32, bt.I32, bt.I32}, []byte{bt.I32}))
	renumber := b.Import("wasi_snapshot_preview1", "fd_renumber", b.Type([]byte{bt.I32, bt.I32}, []byte{bt.I32}))
	b.Memory(1)
	b.Data(24, "\xff\xff\xff\xff\xff\xff\xff\x7f") // 292 years
	b.Export("_start", b.Func(b.Type(nil, nil), 0,
		bt.Const(0), bt.Const(1<<31-1), bt.Call(renumber), expect(58),
		bt.Const(0), bt.Const(1000), bt.Const(1), bt.Const(2000), bt.Call(poll), bt.Op(bt.Drop)))
	rt := newRuntime(t, wasm.Config{})
	m, err := rt.Load(t.Context(), pluginOf(t, b.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = m.Call(ctx, plugintest.NewCall(t, guest.With{}), plugintest.NewHost(ctx))
	if fault := faultOf(t, err); fault.Reason != flow.ReasonTimeout {
		t.Errorf("fault %s %q", fault.Reason, fault.Message)
	}
}

func TestHostFaultsHideTheHost(t *testing.T) {
	t.Parallel()
	b := &bt.Builder{}
	poll := b.Import("wasi_snapshot_preview1", "poll_oneoff", b.Type([]byte{bt.I32, bt.I32, bt.I32, bt.I32}, []byte{bt.I32}))
	b.Memory(1)
	// The number of subscriptions wraps in the engine's arithmetic, and it indexes out of range.
	b.Export("_start", b.Func(b.Type(nil, nil), 0, bt.Const(0), bt.Const(0), bt.Const(0x10000000), bt.Const(0), bt.Call(poll), bt.Op(bt.Drop)))
	_, _, err := attempt(t, b.Bytes(), nil)
	if fault := faultOf(t, err); fault.Reason != flow.ReasonTrap || !strings.Contains(fault.Message, "poll_oneoff") {
		t.Errorf("fault %s %q", fault.Reason, fault.Message)
	}
}

func TestCacheHeals(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "cache")
	b, _ := reactor()
	p := pluginOf(t, entry(b, 0, bt.Const(0)))
	load := func() {
		rt := newRuntime(t, wasm.Config{CacheDir: dir})
		m, err := rt.Load(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Call(t.Context(), plugintest.NewCall(t, guest.With{}), plugintest.NewHost(t.Context())); err != nil {
			t.Fatal(err)
		}
	}
	load()
	stat, err := os.Stat(dir)
	if err != nil || stat.Mode().Perm()&0o077 != 0 {
		t.Errorf("mode %v, %v, want a private folder", stat.Mode(), err)
	}
	damaged := 0
	err = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		damaged++
		return os.WriteFile(path, []byte("WAZEVO"), 0o600)
	})
	if err != nil || damaged == 0 {
		t.Fatalf("%d files damaged, %v", damaged, err)
	}
	load()
}

func TestLoadsSideBySide(t *testing.T) {
	t.Parallel()
	rt := newRuntime(t, wasm.Config{})
	b, _ := reactor()
	p := pluginOf(t, entry(b, 0, bt.Const(0)))
	errs := make(chan error, 8)
	for range cap(errs) {
		go func() {
			_, err := rt.Load(t.Context(), p)
			errs <- err
		}()
	}
	for range cap(errs) {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	p.Path = "nowhere" // loaded already: not read again
	if _, err := rt.Load(t.Context(), p); err != nil {
		t.Error(err)
	}
}

func TestIdleModulesMakeRoom(t *testing.T) {
	t.Parallel()
	rt := newRuntime(t, wasm.Config{MaxModules: 2})
	var modules []flow.Module
	var plugins []flow.PlanPlugin
	for i := range 4 {
		b, _ := reactor()
		p := pluginOf(t, entry(b, 0, bt.Const(i)))
		m, err := rt.Load(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		plugins, modules = append(plugins, p), append(modules, m)
	}
	for i, m := range modules { // the first ones are compiled again
		result, err := m.Call(t.Context(), plugintest.NewCall(t, guest.With{}), plugintest.NewHost(t.Context()))
		if err != nil || result.Verdict != flow.Verdict(i) {
			t.Errorf("module %d: %+v, %v", i, result, err)
		}
	}
	if err := os.Remove(plugins[0].Path); err != nil {
		t.Fatal(err)
	}
	_, err := modules[0].Call(t.Context(), plugintest.NewCall(t, guest.With{}), plugintest.NewHost(t.Context()))
	fault := faultOf(t, err)
	if fault.Reason != flow.ReasonInvalid || strings.Contains(fault.Message, filepath.Dir(plugins[0].Path)) {
		t.Errorf("fault %s %q", fault.Reason, fault.Message)
	}
}

func TestOutputsWinOverStdout(t *testing.T) {
	t.Parallel()
	b := &bt.Builder{}
	four := b.Type([]byte{bt.I32, bt.I32, bt.I32, bt.I32}, []byte{bt.I32})
	output, write := b.Import("uniflow", "output", four), b.Import("wasi_snapshot_preview1", "fd_write", four)
	b.Memory(1)
	b.Data(0, "\x10\x00\x00\x00\x0d\x00\x00\x00")
	b.Data(16, `{"a":1,"b":2}`)
	b.Data(64, "a7")
	b.Export("_start", b.Func(b.Type(nil, nil), 0,
		bt.Const(1), bt.Const(0), bt.Const(1), bt.Const(100), bt.Call(write), expect(0),
		bt.Const(64), bt.Const(1), bt.Const(65), bt.Const(1), bt.Call(output), expect(0)))
	result, _, err := attempt(t, b.Bytes(), nil)
	if err != nil {
		t.Fatal(err)
	}
	wantOutputs(t, result.Outputs, map[string]json.RawMessage{"a": json.RawMessage("7"), "b": json.RawMessage("2")})
}
