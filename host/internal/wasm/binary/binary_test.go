package binary_test

import (
	"bytes"
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/uniflow-dev/uniflow/host/internal/wasm/binary"
	bt "github.com/uniflow-dev/uniflow/host/internal/wasm/binary/binarytest"
)

// sample is a module with every section.
func sample() []byte {
	nameMap := bt.Join([]byte{1}, bt.Vec(bt.Join([]byte{1, 0}, bt.Vec([]byte("run")))))
	locals := bt.Join([]byte{2}, bt.Vec(bt.Join([]byte{1, 0, 1, 0}, bt.Vec([]byte("x")))))
	return bt.Join(
		bt.Preamble(),
		bt.Section(1, bt.Join([]byte{2, 0x60, 2, 0x7f, 0x7e, 1, 0x7f, 0x60, 0, 0})),
		bt.Section(2, bt.Join([]byte{1}, bt.Vec([]byte("uniflow")), bt.Vec([]byte("log")), []byte{0, 0})),
		bt.Section(3, []byte{1, 1}),
		bt.Section(4, []byte{1, 0x70, 1, 1, 8}),
		bt.Section(5, []byte{1, 1, 2, 16}),
		bt.Section(6, []byte{2, 0x7f, 1, 0x41, 5, 0x0b, 0x7d, 0, 0x43, 0, 0, 0, 0, 0x0b}),
		bt.Section(7, bt.Join([]byte{2}, bt.Vec([]byte("memory")), []byte{2, 0}, bt.Vec([]byte("run")), []byte{0, 1})),
		bt.Section(8, []byte{1}),
		bt.Section(9, []byte{3, 0, 0x41, 0, 0x0b, 1, 1, 1, 0, 1, 0, 5, 0x70, 1, 0xd2, 1, 0x0b}),
		bt.Section(12, []byte{2}),
		bt.Section(10, []byte{1, 4, 1, 3, 0x7f, 0x0b}),
		bt.Section(11, bt.Join([]byte{2, 0, 0x41, 8, 0x0b}, bt.Vec([]byte("hi")), []byte{1}, bt.Vec([]byte("there")))),
		bt.Section(0, bt.Join(bt.Vec([]byte("name")), nameMap, locals)),
		bt.Section(0, bt.Join(bt.Vec([]byte("producers")), []byte{1}, bt.Vec([]byte("language")), []byte{1}, bt.Vec([]byte("Go")), bt.Vec([]byte("1.26")))),
		bt.Section(0, bt.Join(bt.Vec([]byte("uniflow.plugin")), []byte(`{"name":"x"}`))),
	)
}

func TestDecodeReadsEverySection(t *testing.T) {
	t.Parallel()
	m, err := binary.Decode(sample())
	if err != nil {
		t.Fatal(err)
	}
	if got := m.Types[0].String(); got != "(i32, i64) -> i32" {
		t.Errorf("signature %q", got)
	}
	if got := m.Types[1].String(); got != "() -> ()" {
		t.Errorf("signature %q", got)
	}
	if len(m.Imports) != 1 || m.Imports[0] != (binary.Import{Module: "uniflow", Name: "log"}) {
		t.Errorf("imports %+v", m.Imports)
	}
	if m.Memory == nil || m.Memory.Min != 2 || *m.Memory.Max != 16 || *m.Start != 1 {
		t.Errorf("memory %+v, start %v", m.Memory, m.Start)
	}
	if e, ok := m.Export("run"); !ok || e != (binary.Export{Name: "run", Index: 1}) {
		t.Errorf("export %+v", e)
	}
	if ft, ok := m.FuncType(0); !ok || len(ft.Params) != 2 {
		t.Errorf("type of the import: %v %v", ft, ok)
	}
	if _, ok := m.FuncType(2); ok {
		t.Error("function 2 exists")
	}
	if c, ok := m.Custom("uniflow.plugin"); !ok || string(c) != `{"name":"x"}` {
		t.Errorf("custom section %q", c)
	}
	if p := m.Producers(); len(p) != 1 || p[0] != (binary.Producer{Field: "language", Name: "Go", Version: "1.26"}) {
		t.Errorf("producers %+v", p)
	}
}

func TestTruncatedModulesAreRefused(t *testing.T) {
	t.Parallel()
	whole := sample()
	ends := map[int]bool{} // a module may end after any section whose promises are kept
	for n := range whole {
		if _, err := binary.Decode(whole[:n]); err == nil {
			ends[n] = true
		}
	}
	if len(ends) > 8 || ends[0] || ends[7] {
		t.Errorf("accepted prefixes: %v", ends)
	}
}

// bombs are modules of a few bytes whose counts make a trusting decoder allocate without bound.
func bombs() map[string][]byte {
	huge := []byte{0xff, 0xff, 0xff, 0xff, 0x0f}
	section := func(id byte, content ...[]byte) []byte {
		return bt.Join(bt.Preamble(), bt.Section(id, bt.Join(content...)))
	}
	withFunc := bt.Join(bt.Preamble(), bt.Section(1, []byte{1, 0x60, 0, 0}), bt.Section(3, []byte{1, 0}))
	code := func(body []byte) []byte { return bt.Join(withFunc, bt.Section(10, bt.Join([]byte{1}, bt.Vec(body)))) }
	all := map[string][]byte{
		"section size":         bt.Join(bt.Preamble(), []byte{1}, huge),
		"type params":          section(1, []byte{1, 0x60}, huge),
		"type results":         section(1, []byte{1, 0x60, 0}, huge),
		"import name":          section(2, []byte{1}, huge),
		"table min":            section(4, []byte{1, 0x70, 0}, huge),
		"memory min":           section(5, []byte{1, 0}, huge),
		"export name":          section(7, []byte{1}, huge),
		"element init":         section(9, []byte{1, 0, 0x41, 0, 0x0b}, huge),
		"element init exprs":   section(9, []byte{1, 5, 0x70}, huge),
		"data length":          section(11, []byte{1, 0, 0x41, 0, 0x0b}, huge),
		"data count":           section(12, huge),
		"body size":            bt.Join(withFunc, bt.Section(10, bt.Join([]byte{1}, huge))),
		"locals 2^32-1":        code(bt.Join([]byte{1}, huge, []byte{0x7f, 0x0b})),
		"locals 100 million":   code(bt.Join([]byte{1}, bt.U32(100_000_000), []byte{0x7f, 0x0b})),
		"locals 50,001":        code(bt.Join([]byte{1}, bt.U32(50_001), []byte{0x7f, 0x0b})),
		"locals in two groups": code(bt.Join([]byte{2}, bt.U32(50_000), []byte{0x7f}, bt.U32(1), []byte{0x7f, 0x0b})),
		"local groups":         code(bt.Join(huge, []byte{0x0b})),
		"custom name":          section(0, huge),
		"function names":       section(0, bt.Vec([]byte("name")), []byte{1}, bt.Vec(huge)),
		"local names":          section(0, bt.Vec([]byte("name")), []byte{2}, bt.Vec(bt.Join([]byte{1, 0}, huge))),
		"name part":            section(0, bt.Vec([]byte("name")), []byte{1}, huge),
		"overlong number":      section(3, []byte{0x80, 0x80, 0x80, 0x80, 0x80, 0x00}),
		"33-bit number":        section(3, []byte{0xff, 0xff, 0xff, 0xff, 0x1f}),
	}
	for id, what := range map[byte]string{1: "types", 2: "imports", 3: "functions", 4: "tables", 5: "memories", 6: "globals", 7: "exports", 9: "elements", 10: "codes", 11: "datas"} {
		all[what] = section(id, huge)
	}
	return all
}

func TestBombsAreRefusedWithoutAllocation(t *testing.T) { //nolint:paralleltest // it measures allocation
	for name, b := range bombs() {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := binary.Decode(b)
		runtime.ReadMemStats(&after)
		found, ok := errors.AsType[*binary.Error](err)
		if !ok {
			t.Errorf("%s: error %v, want a *binary.Error", name, err)
			continue
		}
		if found.Offset < 8 || found.Offset > len(b) || found.Rule == "" {
			t.Errorf("%s: %v", name, found)
		}
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 1<<20 {
			t.Errorf("%s: %d bytes allocated", name, grown)
		}
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	type1 := bt.Section(1, []byte{1, 0x60, 0, 0})
	for name, c := range map[string]struct {
		module []byte
		rule   string
	}{
		"tag section":           {bt.Join(bt.Preamble(), []byte{13, 1, 0}), "proposal"},
		"order":                 {bt.Join(bt.Preamble(), bt.Section(3, []byte{0}), bt.Section(1, []byte{0})), "out of order"},
		"repeated":              {bt.Join(bt.Preamble(), bt.Section(1, []byte{0}), bt.Section(1, []byte{0})), "repeated"},
		"data count after code": {bt.Join(bt.Preamble(), bt.Section(10, []byte{0}), bt.Section(12, []byte{0})), "out of order"},
		"left over":             {bt.Join(bt.Preamble(), bt.Section(1, []byte{0, 0})), "too many"},
		"no body":               {bt.Join(bt.Preamble(), type1, bt.Section(3, []byte{1, 0})), "0 bodies"},
		"type out of range":     {bt.Join(bt.Preamble(), bt.Section(3, []byte{1, 0})), "type 0 of 0"},
		"gc type":               {bt.Join(bt.Preamble(), bt.Section(1, []byte{1, 0x5f, 0, 0})), "0x5f"},
		"shared memory":         {bt.Join(bt.Preamble(), bt.Section(5, []byte{1, 3, 1, 1})), "shared"},
		"max below min":         {bt.Join(bt.Preamble(), bt.Section(5, []byte{1, 1, 2, 1})), "below"},
		"export of nothing":     {bt.Join(bt.Preamble(), bt.Section(7, bt.Join([]byte{1}, bt.Vec([]byte("f")), []byte{0, 0}))), "func 0 of 0"},
		"start with a result":   {bt.Join(bt.Preamble(), bt.Section(1, []byte{1, 0x60, 0, 1, 0x7f}), bt.Section(2, bt.Join([]byte{1}, bt.Vec(nil), bt.Vec(nil), []byte{0, 0})), bt.Section(8, []byte{0})), "start function"},
		"name is not UTF-8":     {bt.Join(bt.Preamble(), bt.Section(0, bt.Vec([]byte{0xff}))), "UTF-8"},
		"body without end":      {bt.Join(bt.Preamble(), type1, bt.Section(3, []byte{1, 0}), bt.Section(10, []byte{1, 2, 0, 1})), "close with end"},
		"expression":            {bt.Join(bt.Preamble(), bt.Section(6, []byte{1, 0x7f, 0, 0x6a, 0x0b})), "0x6a"},
	} {
		_, err := binary.Decode(c.module)
		if err == nil || !strings.Contains(err.Error(), c.rule) {
			t.Errorf("%s: %v, want %q", name, err, c.rule)
		}
	}
}

func TestFormats(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]binary.Format{
		"": binary.FormatOther, "(module)": binary.FormatOther, "\x00asm": binary.FormatOther,
		"\x00asm\x01\x00\x00\x00": binary.FormatModule, "\x00asm\x0d\x00\x01\x00": binary.FormatComponent, "\x00asm\x02\x00\x00\x00": binary.FormatVersion,
	} {
		if got := binary.FormatOf([]byte(text)); got != want {
			t.Errorf("%q: format %d, want %d", text, got, want)
		}
	}
}

func TestModuleSizeIsBounded(t *testing.T) {
	t.Parallel()
	_, err := binary.Decode(append(sample(), make([]byte, binary.MaxModule)...))
	if found, ok := errors.AsType[*binary.Error](err); !ok || !found.Limit {
		t.Errorf("error %v, want a limit", err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(sample())
	for _, b := range bombs() {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := binary.Decode(bytes.Clone(b))
		if (m == nil) == (err == nil) {
			t.Fatalf("module %v, error %v", m, err)
		}
		if err != nil {
			return
		}
		for i := range uint32(len(m.Functions) + len(m.Imports)) {
			m.FuncType(i)
		}
		m.Producers()
	})
}
