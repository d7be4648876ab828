package binary_test

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/uniflow-dev/uniflow/host/internal/wasm/binary"
	bt "github.com/uniflow-dev/uniflow/host/internal/wasm/binary/binarytest"
)

func rewrite(t *testing.T, module []byte, o binary.Options) (*binary.Module, binary.RewriteInfo, []byte) {
	t.Helper()
	m, err := binary.Decode(module)
	if err != nil {
		t.Fatal(err)
	}
	out, info, err := m.Rewrite(o)
	if err != nil {
		t.Fatal(err)
	}
	again, err := binary.Decode(out)
	if err != nil {
		t.Fatalf("the result is refused: %v", err)
	}
	return again, info, out
}

func TestRewritingShiftsEveryIndexOfAFunction(t *testing.T) {
	t.Parallel()
	m, _, out := rewrite(t, sample(), binary.Options{Keep: []string{"uniflow.plugin"}})
	if n := len(m.Imports); n != 2 || m.Imports[0].Name != "log" || m.Imports[1] != (binary.Import{Module: "uniflow:engine", Name: "tick", Type: 2}) {
		t.Errorf("imports %+v", m.Imports)
	}
	if e, _ := m.Export("run"); e.Index != 2 {
		t.Errorf("export run names function %d, want 2", e.Index)
	}
	if *m.Start != 2 {
		t.Errorf("start names function %d, want 2", *m.Start)
	}
	if !bytes.Contains(out, []byte{0xd2, 2, 0x0b}) || bytes.Contains(out, []byte{0xd2, 1, 0x0b}) {
		t.Error("ref.func does not name function 2")
	}
	if names, _ := m.Custom("name"); !bytes.Contains(names, []byte("\x00\x03run")) { // the name of the import
		t.Errorf("names %q", names)
	}
	if c, ok := m.Custom("uniflow.plugin"); !ok || string(c) != `{"name":"x"}` {
		t.Errorf("custom section %q", c)
	}
	if _, ok := m.Custom("producers"); ok {
		t.Error("a section that nobody keeps is kept")
	}
}

func TestRewritingIsRepeatable(t *testing.T) {
	t.Parallel()
	_, _, first := rewrite(t, sample(), binary.Options{ExportGlobals: true})
	_, _, second := rewrite(t, sample(), binary.Options{ExportGlobals: true})
	if !bytes.Equal(first, second) {
		t.Error("two results differ")
	}
}

func TestMaximaAreClamped(t *testing.T) {
	t.Parallel()
	table := func(content ...byte) []byte { return bt.Join(bt.Preamble(), bt.Section(4, content)) }
	for name, c := range map[string]struct {
		module    []byte
		most, min uint32
	}{
		"no maximum":    {table(1, 0x70, 0, 3), 9, 3},
		"high maximum":  {table(1, 0x6f, 1, 3, 0xff, 0xff, 0xff, 0xff, 0x0f), 9, 3},
		"small maximum": {table(1, 0x70, 1, 3, 5), 5, 3},
	} {
		m, _, _ := rewrite(t, c.module, binary.Options{MaxTableEntries: 9})
		if l := m.Tables[0].Limits; l.Min != c.min || l.Max == nil || *l.Max != c.most {
			t.Errorf("table, %s: %+v", name, l)
		}
	}
	for content, want := range map[string]uint32{"\x01\x00\x01": 7, "\x01\x01\x01\x05": 5, "\x01\x01\x01\x80\x80\x04": 7} {
		m, _, _ := rewrite(t, bt.Join(bt.Preamble(), bt.Section(5, []byte(content))), binary.Options{MaxMemoryPages: 7})
		if m.Memory.Min != 1 || m.Memory.Max == nil || *m.Memory.Max != want {
			t.Errorf("memory %q: %+v", content, m.Memory)
		}
	}
	for what, module := range map[string][]byte{"table": table(1, 0x70, 0, 10), "memory": bt.Join(bt.Preamble(), bt.Section(5, []byte{1, 0, 10}))} {
		m, err := binary.Decode(module)
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = m.Rewrite(binary.Options{MaxTableEntries: 9, MaxMemoryPages: 9})
		if found, ok := errors.AsType[*binary.Error](err); !ok || !found.Limit || !strings.Contains(found.Rule, what+" of 10") {
			t.Errorf("%s: error %v", what, err)
		}
	}
}

func TestReservedNamesAreRefused(t *testing.T) {
	t.Parallel()
	b := &bt.Builder{}
	b.Export("uniflow:fuel", b.Func(b.Type(nil, nil), 0))
	i := &bt.Builder{}
	i.Import("uniflow:engine", "tick", i.Type(nil, nil))
	for name, module := range map[string][]byte{"export": b.Bytes(), "import": i.Bytes()} {
		m, err := binary.Decode(module)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Rewritable(binary.Options{}); err == nil || !strings.Contains(err.Error(), "uniflow:") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestMutableGlobalsAreExported(t *testing.T) {
	t.Parallel()
	module := bt.Join(bt.Preamble(), bt.Section(6, []byte{3, 0x7f, 1, 0x41, 0, 0x0b, 0x7f, 0, 0x41, 0, 0x0b, 0x7e, 1, 0x42, 0, 0x0b}))
	m, info, _ := rewrite(t, module, binary.Options{ExportGlobals: true})
	if want := []string{"uniflow:global:0", "uniflow:global:2"}; !slices.Equal(info.Globals, want) {
		t.Errorf("globals %q, want %q", info.Globals, want)
	}
	for name, index := range map[string]uint32{"uniflow:global:0": 0, "uniflow:global:2": 2, "uniflow:fuel": 3} {
		if e, ok := m.Export(name); !ok || e.Kind != binary.KindGlobal || e.Index != index {
			t.Errorf("%s: %+v", name, e)
		}
	}
	m, info, _ = rewrite(t, module, binary.Options{})
	if len(info.Globals) > 0 || len(m.Exports) != 1 {
		t.Errorf("not asked for: %q, %+v", info.Globals, m.Exports)
	}
}

func TestDataSegmentsAreMerged(t *testing.T) {
	t.Parallel()
	type at struct {
		offset int
		text   string
	}
	for name, c := range map[string]struct {
		given []at
		want  int
		code  string
	}{
		"close":       {[]at{{0, "one"}, {10, "two"}, {13, "three"}}, 1, ""},
		"far":         {[]at{{0, "one"}, {1000, "two"}}, 2, ""},
		"descending":  {[]at{{10, "two"}, {0, "one"}}, 1, ""},
		"overlapping": {[]at{{0, "one"}, {2, "two"}}, 2, ""},
		"outside":     {[]at{{65530, "one"}, {65533, "two and more"}}, 2, ""},
		"named":       {[]at{{0, "one"}, {10, "two"}}, 2, "data.drop 1"},
	} {
		b := &bt.Builder{}
		b.Memory(1)
		b.Func(b.Type(nil, nil), 0, bt.Asm(c.code))
		for _, s := range c.given {
			b.Data(s.offset, s.text)
		}
		module := b.Bytes()
		if c.code != "" { // instructions on segments need their count before the code
			i := bytes.Index(module, []byte{10, 7, 1, 5})
			module = bt.Join(module[:i], bt.Section(12, []byte{byte(len(c.given))}), module[i:])
		}
		_, info, out := rewrite(t, module, binary.Options{})
		if info.SegmentsBefore != len(c.given) || info.SegmentsAfter != c.want {
			t.Errorf("%s: %d segments, want %d", name, info.SegmentsAfter, c.want)
		}
		if name == "descending" && !bytes.Contains(out, []byte("one\x00\x00\x00\x00\x00\x00\x00two")) {
			t.Error("merged segments are not where they were")
		}
	}
}

// TestInstructionsThatAreNotEnabledAreNamed sees each refused with its place and the proposal it belongs to.
func TestInstructionsThatAreNotEnabledAreNamed(t *testing.T) {
	t.Parallel()
	for code, proposal := range map[string]string{
		"\x12\x00": "tail calls", "\x06\x40": "exceptions", "\x08\x00": "exceptions", "\xfb\x00": "garbage collection",
		"\xfe\x00": "threads", "\xfd\x80\x02": "relaxed SIMD", "\xd4": "typed references", "\xff": "none that this host knows", "\xfc\x12": "not known",
	} {
		b := &bt.Builder{}
		b.Func(b.Type(nil, nil), 0, []byte("\x01\x01"), []byte(code))
		module := b.Bytes()
		_, err := binary.Decode(module)
		found, ok := errors.AsType[*binary.Error](err)
		if !ok || !strings.Contains(found.Rule, proposal) || found.Offset != bytes.Index(module, []byte("\x01\x01"+code))+2 {
			t.Errorf("% x: %v", code, err)
		}
	}
}

func TestCodeThatCannotBeIsRefused(t *testing.T) {
	t.Parallel()
	for code, rule := range map[string]string{
		"br 1":              "label 1 of 1",
		"br_table 1 0 9":    "label 9 of 1",
		"else":              "else without if",
		"call 1":            "function 1 of 1",
		"call_indirect 7 0": "type 7 of 1",
		"local.get 2":       "local 2 of 2",
		"global.set 0":      "global 0 of 0",
		"table.set 0":       "table 0 of 0",
		"memory.grow":       "memory 0 of 0",
		"i32.load 0":        "memory 0 of 0",
		"block 5 end":       "type 5 of 1",
		"block void":        "end",
		"end":               "after the end",
	} {
		b := &bt.Builder{}
		b.Func(b.Type(nil, nil), 2, bt.Asm(code))
		_, err := binary.Decode(b.Bytes())
		if found, ok := errors.AsType[*binary.Error](err); !ok || !strings.Contains(found.Rule, rule) || found.Offset == 0 {
			t.Errorf("%s: %v, want %q", code, err, rule)
		}
	}
}

// TestNestingIsBounded sees that blocks in one another are counted, and that what is allowed can be rewritten.
func TestNestingIsBounded(t *testing.T) {
	t.Parallel()
	nested := func(op byte, n int) []byte {
		b := &bt.Builder{}
		b.Func(b.Type(nil, nil), 0, bytes.Repeat([]byte{op, 0x40}, n), bytes.Repeat([]byte{0x0b}, n))
		return b.Bytes()
	}
	for op, most := range map[byte]int{0x02: binary.MaxNesting, 0x03: binary.MaxLoops} {
		m, err := binary.Decode(nested(op, most))
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := m.Rewrite(binary.Options{}); err != nil {
			t.Error(err)
		}
		_, err = binary.Decode(nested(op, most+1))
		if found, ok := errors.AsType[*binary.Error](err); !ok || !found.Limit {
			t.Errorf("opcode %d: error %v, want a limit", op, err)
		}
	}
}

// hostile are modules of a few hundred kilobytes that make the most work or the longest result of their bytes.
func hostile() map[string][]byte {
	bodies := func(n int, parts ...[]byte) []byte {
		b := &bt.Builder{}
		b.Memory(1)
		void := b.Type(nil, nil)
		for range n {
			b.Func(void, 0, parts...)
		}
		return b.Bytes()
	}
	body := func(parts ...[]byte) []byte { return bodies(1, parts...) }
	times := func(n int, code string) []byte { return bytes.Repeat(bt.Asm(code), n) }
	table := bt.Join(bt.U32(40_000), make([]byte, 40_001))
	functions := &bt.Builder{}
	void := functions.Type(nil, nil)
	for range 20_000 {
		functions.Func(void, 0)
	}
	return map[string][]byte{
		"loops":      bodies(200, times(150, "loop void end")),
		"branches":   bodies(100, []byte{0x02, 0x40}, times(600, "i32.const 0 br_if 0"), []byte{0x0b}),
		"big table":  body(bt.Const(0), []byte{0x0e}, table),
		"fills":      body(times(20_000, "i32.const 0 i32.const 0 i32.const 0 memory.fill")),
		"deep table": body(times(9_000, "block void"), bt.Const(0), []byte{0x0e}, bt.U32(50_000), bytes.Repeat(bt.U32(8_000), 50_001), times(9_000, "end")),
		"functions":  functions.Bytes(),
	}
}

// TestWorkAndMemoryAreBounded rewrites hostile modules in an amount of memory that follows from their size.
func TestWorkAndMemoryAreBounded(t *testing.T) { //nolint:paralleltest // it measures allocation
	for name, module := range hostile() {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		m, err := binary.Decode(module)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		out, _, err := m.Rewrite(binary.Options{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		runtime.ReadMemStats(&after)
		if grown := after.TotalAlloc - before.TotalAlloc; len(out) > 20*len(module) || grown > 1<<20+220*uint64(len(module)) {
			t.Errorf("%s: %d bytes became %d, %d allocated", name, len(module), len(out), grown)
		}
	}
}

// FuzzRewrite sees that whatever is decoded can be rewritten, to something that is decoded again.
func FuzzRewrite(f *testing.F) {
	f.Add(sample())
	for _, b := range bombs() {
		f.Add(b)
	}
	for i, code := range []string{
		"loop void block void local.get 0 br_if 0 local.get 0 br_if 1 end end",
		"local.get 0 if i32 i32.const 1 else local.get 1 end drop loop void loop void br 1 end end",
		"block void block void local.get 0 br_table 2 0 1 1 end loop void call 0 br 0 end end",
		"i32.const 0 i32.const 0 i32.const 0 memory.fill i32.const 1 memory.grow drop unreachable loop void br 0 end",
		"i64.const 5 i64.const 7 i64.add drop f64.const 1 f64.const 2 f64.mul drop ref.func 0 drop",
	} {
		b := &bt.Builder{}
		b.Memory(1 + i)
		b.Table(i)
		b.Data(i, fmt.Sprint(i))
		b.Func(b.Type(nil, nil), 2, bt.Asm(code))
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := binary.Decode(b)
		if err != nil {
			return
		}
		out, _, err := m.Rewrite(binary.Options{ExportGlobals: true, MaxMemoryPages: 100, MaxTableEntries: 100})
		if err != nil {
			return
		}
		if _, err := binary.Decode(out); err != nil && !atBound(err) {
			t.Fatalf("the result is refused: %v", err)
		}
	})
}

// atBound reports whether a result is refused since the module was at a bound already.
func atBound(err error) bool {
	found, ok := errors.AsType[*binary.Error](err)
	return ok && found.Limit
}
