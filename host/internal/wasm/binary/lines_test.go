package binary_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host/internal/wasm/binary"
	bt "github.com/uniflow-dev/uniflow/host/internal/wasm/binary/binarytest"
)

// codeOf returns where the content of the code section begins and ends.
func codeOf(t *testing.T, module []byte) (start, end int) {
	t.Helper()
	for at := 8; at < len(module); {
		size, n := 0, 1
		for shift := 0; ; shift += 7 {
			c := module[at+n]
			size |= int(c&0x7f) << shift
			if n++; c < 0x80 {
				break
			}
		}
		if module[at] == 10 {
			return at + n, at + n + size
		}
		at += n + size
	}
	t.Fatal("no code")
	return 0, 0
}

func TestOrigins(t *testing.T) {
	t.Parallel()
	b := &bt.Builder{}
	b.Memory(1)
	const marks = 24
	n := 0
	mark := func() string { n++; return fmt.Sprintf("i32.const %d drop ", 1_000_000+n) }
	void := b.Type(nil, nil)
	for range 2 { // a body with a loop that calls, and one that does not
		code := mark() + "local.get 0 if void " + mark() + "else " + mark() + "end loop void " + mark() +
			"local.get 0 br_if 0 block void " + mark() + "local.get 0 br_if 1 " + mark() + "end " + mark() + "loop void " + mark() +
			"i32.const 0 i32.const 0 i32.const 9 memory.fill " + mark() + "local.get 0 br_if 1 end end " + mark() + "block void local.get 0 br_table 1 0 0 end " + mark()
		if n < 12 {
			code += "call 1 "
		}
		b.Func(void, 2, bt.Asm(code+mark()))
	}
	module := b.Bytes()
	m, err := binary.Decode(module)
	if err != nil {
		t.Fatal(err)
	}
	if n != marks {
		t.Fatalf("%d marks", n)
	}
	for _, o := range []binary.Options{{}, {ExportGlobals: true, Places: true, MaxMemoryPages: 5}} {
		_, _, out := rewrite(t, module, o)
		was, wasEnd := codeOf(t, module)
		is, isEnd := codeOf(t, out)
		for i := 1; i <= marks; i++ {
			code := bt.Asm(fmt.Sprintf("i32.const %d", 1_000_000+i))
			from, to := bytes.Index(module[was:wasEnd], code), bytes.Index(out[is:isEnd], code)
			if from < 0 || to < 0 {
				t.Fatalf("mark %d is at %d and %d", i, from, to)
			}
			for inside := range code {
				if got := m.Origins(o, []uint32{uint32(to + inside)}); got[0] != uint32(from) {
					t.Errorf("mark %d: %d comes from %d, want %d", i, to+inside, got[0], from)
				}
			}
		}
		for _, at := range []uint32{0, 1, uint32(isEnd - is - 1), uint32(isEnd - is), 1 << 31} {
			if got := m.Origins(o, []uint32{at}); got[0] != 0 {
				t.Errorf("%d, which is no instruction, comes from %d", at, got[0])
			}
		}
	}
}

// withLines is a module with sections of debug information, each a name and content in hexadecimal.
func withLines(sections ...string) []byte {
	b := &bt.Builder{}
	b.Func(b.Type(nil, nil), 0, bt.Asm(strings.Repeat("nop ", 1000)))
	for i := 0; i < len(sections); i += 2 {
		content, err := hex.DecodeString(strings.ReplaceAll(sections[i+1], " ", ""))
		if err != nil {
			panic(err)
		}
		b.Custom(sections[i], string(content))
	}
	return b.Bytes()
}

// unit returns a unit of a version, in hexadecimal.
func unit(version int, files, program string) string {
	clean := func(s string) string { return strings.ReplaceAll(s, " ", "") }
	header := "01 01 01 fb 0e 0d 00 01 01 01 01 00 00 00 01 00 00 01" // one byte, -5, 14, 13 and the lengths
	if version < 4 {
		header = "01 01 fb 0e 0d 00 01 01 01 01 00 00 00 01 00 00 01"
	}
	header, program = clean(header+files), clean(program)
	head := fmt.Sprintf("%02x00", version)
	if version == 5 {
		head += "0400"
	}
	return long(len(head)/2+4+len(header)/2+len(program)/2) + head + long(len(header)/2) + header + program
}

func long(n int) string {
	return fmt.Sprintf("%02x%02x%02x%02x", n&255, n>>8&255, n>>16&255, n>>24&255)
}

const (
	namedA  = "00 612e6300 00 00 00 00"             // no folders, a.c
	program = "00 05 02 10000000 14 02 10 00 01 01" // from 16: line 3; to 32
)

func TestLines(t *testing.T) {
	t.Parallel()
	path := hex.EncodeToString([]byte("src/b.c\x00"))
	for name, c := range map[string]struct {
		sections []string
		want     binary.Line
	}{
		"version 2":          {[]string{".debug_line", unit(2, namedA, program)}, binary.Line{File: "a.c", Line: 3}},
		"version 4":          {[]string{".debug_line", unit(4, namedA, program)}, binary.Line{File: "a.c", Line: 3}},
		"version 5, inline":  {[]string{".debug_line", unit(5, "01 01 08 01 6100 01 01 08 02 782e6300"+path, program)}, binary.Line{File: "b.c", Line: 3}},
		"version 5, str":     {[]string{".debug_line", unit(5, "01 01 08 01 6100 02 01 0e 05 1e 02"+strings.Repeat("00", 20)+"01000000"+strings.Repeat("00", 16), program), ".debug_str", "78" + path}, binary.Line{File: "b.c", Line: 3}},
		"second unit":        {[]string{".debug_line", unit(4, namedA, "00 05 02 50000000 14 02 10 00 01 01") + unit(4, namedA, program)}, binary.Line{File: "a.c", Line: 3}},
		"removed":            {[]string{".debug_line", unit(4, namedA, "00 05 02 00000000 14 02 40 00 01 01")}, binary.Line{}},
		"removed otherwise":  {[]string{".debug_line", unit(4, namedA, "00 05 02 ffffffff 14 02 40 00 01 01")}, binary.Line{}},
		"no line":            {[]string{".debug_line", unit(4, namedA, "00 05 02 10000000 03 7f 01 02 10 00 01 01")}, binary.Line{}},
		"no such file":       {[]string{".debug_line", unit(4, namedA, "00 05 02 10000000 04 09 14 02 10 00 01 01")}, binary.Line{Line: 3}},
		"version 6":          {[]string{".debug_line", unit(6, namedA, program)}, binary.Line{}},
		"no end":             {[]string{".debug_line", unit(4, namedA, "00 05 02 10000000 14")}, binary.Line{}},
		"64 bits":            {[]string{".debug_line", "ffffffff" + unit(4, namedA, program)}, binary.Line{}},
		"text without end":   {[]string{".debug_line", unit(5, "00 00 01 01 0e 02 00000000 00000000", program), ".debug_str", "7878"}, binary.Line{Line: 3}},
		"text outside":       {[]string{".debug_line", unit(5, "00 00 01 01 1f 02 00000000 ffffffff", program), ".debug_line_str", "7800"}, binary.Line{Line: 3}},
		"only other section": {[]string{".debug_str", "00"}, binary.Line{}},
	} {
		m, err := binary.Decode(withLines(c.sections...))
		if err != nil {
			t.Fatal(err)
		}
		if got := m.Lines([]uint32{20}); len(got) != 1 || got[0] != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

// hostileLines are tables that announce more than there is, or make much work of what there is.
func hostileLines() map[string]string {
	const many = "ffffffffffffffffff01"
	long, hit := 4<<20, "00 05 02 10000000 04 ffffffff0f 14 02 10 00 01 01"
	return map[string]string{
		"garbage":                  strings.Repeat("deadbeef", 1000),
		"zeros":                    strings.Repeat("00", long),
		"many empty units":         strings.Repeat("0000000000000000", long/8),
		"many entries of no form":  unit(5, "00"+many+"00"+many, hit),
		"many entries":             unit(5, "01 01 08 "+many+"00", hit),
		"many entries of a block":  unit(5, "01 01 09 "+many+strings.Repeat("00", long), hit),
		"many texts":               unit(5, "00 00 01 01 0e "+many+strings.Repeat("00", long), hit),
		"many forms":               unit(5, "00 00 ff "+strings.Repeat("01 0b", 255)+many+strings.Repeat("00", long), hit),
		"many files":               unit(4, "00"+strings.Repeat("61000000 00", long/5)+"00", hit),
		"many rows":                unit(4, namedA, "00 05 02 10000000"+strings.Repeat("ff", long)),
		"many rows back and forth": unit(4, namedA, strings.Repeat("00 05 02 10000000 01 02 05 01", long/12)),
		"many hits":                strings.Repeat(unit(5, "00 00 01 01 0e 02 00000000 00000000", hit), long/80),
		"a long number":            unit(4, namedA, "02"+strings.Repeat("ff", long)),
		"a long text":              unit(4, "00"+strings.Repeat("61", long), hit),
		"a span of zero":           strings.Replace(unit(4, namedA, hit), "fb0e0d", "fb000d", 1),
		"no opcodes":               strings.Replace(unit(4, namedA, hit), "fb0e0d", "fb0e00", 1),
		"an endless operation":     unit(4, namedA, "00"+many),
		"an empty operation":       unit(4, namedA, strings.Repeat("00 01", long/2)),
	}
}

func TestHostileLines(t *testing.T) {
	t.Parallel()
	const most = 10 * time.Second // on a machine that is busy
	for name, table := range hostileLines() {
		m, err := binary.Decode(withLines(".debug_line", table, ".debug_str", strings.Repeat("61", 4<<20)))
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		m.Lines([]uint32{16, 17, 18, 19, 20})
		took := time.Since(begin)
		t.Logf("%s: %s", name, took)
		if took > most {
			t.Errorf("%s: %s", name, took)
		}
	}
}

func FuzzLines(f *testing.F) {
	for _, version := range []string{"dwarf4", "dwarf5"} {
		b, err := os.ReadFile(filepath.Join("..", "testdata", "lines", version+".wasm"))
		if err != nil {
			f.Fatal(err)
		}
		m, err := binary.Decode(b)
		if err != nil {
			f.Fatal(err)
		}
		line, _ := m.Custom(".debug_line")
		text, _ := m.Custom(".debug_line_str")
		f.Add(line, text)
	}
	f.Fuzz(func(t *testing.T, line, text []byte) {
		b := &bt.Builder{}
		b.Func(b.Type(nil, nil), 0, bt.Asm(strings.Repeat("nop ", 1000)))
		b.Custom(".debug_line", string(line))
		b.Custom(".debug_line_str", string(text))
		m, err := binary.Decode(b.Bytes())
		if err != nil {
			return
		}
		for _, l := range m.Lines([]uint32{0, 1, 20, 500, 1 << 31}) {
			if strings.ContainsAny(l.File, `/\`) || len(l.File) > 3*4096 {
				t.Errorf("file %q", l.File)
			}
		}
	})
}
