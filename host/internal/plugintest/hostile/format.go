package hostile

import (
	"bytes"
	"compress/gzip"

	"github.com/uniflow-dev/uniflow/host/flow"
	bt "github.com/uniflow-dev/uniflow/host/internal/wasm/binary/binarytest"
)

// Section ids.
const (
	secCustom = iota
	secType
	secImport
	secFunction
	secTable
	secMemory
	secGlobal
	secExport
	secStart
	secElement
	secCode
	secData
	secDataCount
)

// module joins sections behind a preamble.
func module(sections ...[]byte) []byte { return bt.Join(bt.Preamble(), bt.Join(sections...)) }

// sec is a section that holds a count and items.
func sec(id byte, n int, items ...[]byte) []byte {
	return bt.Section(id, bt.Join(bt.U32(n), bt.Join(items...)))
}

// filled is n bytes of a value.
func filled(n int, value byte) []byte { return bytes.Repeat([]byte{value}, n) }

// Sections that most of the modules below begin with.
//
//nolint:gochecknoglobals // constant
var (
	oneType  = sec(secType, 1, []byte{0x60, 0, 0})
	oneFunc  = sec(secFunction, 1, []byte{0})
	oneTable = sec(secTable, 1, []byte{0x70, 0, 0})
	onePage  = sec(secMemory, 1, []byte{0, 1})
)

// body is a module with one function () -> () and the sections that code can name something of; its body is these bytes,
// declarations of locals included.
func body(code ...[]byte) []byte {
	return module(oneType, oneFunc, oneTable, onePage, sec(secCode, 1, bt.Vec(bt.Join(code...))))
}

// code is a module with one function () -> () that consists of this code and has no locals.
func code(parts ...[]byte) []byte {
	return body([]byte{0}, bt.Join(parts...), []byte{0x0b})
}

// formatCases are files that are no module of version 1, or end too early.
func formatCases() []Case {
	notWasm, malformed := refused(flow.CodeNotWasm), refused(flow.CodeMalformed)
	whole := complete()
	return []Case{
		{Name: "an empty file", Stage: Decode, Modules: one(nil), Want: notWasm},
		{Name: "every part of the preamble alone", Stage: Decode, Modules: prefixes(bt.Preamble(), 1), Want: notWasm},
		{Name: "a preamble and nothing else", Stage: Decode, Modules: one(bt.Preamble()), Want: refused(flow.CodeNoEntry)},
		{Name: "wasm of other versions", Stage: Decode, Want: notWasm, Modules: func() [][]byte {
			return [][]byte{[]byte("\x00asm\x02\x00\x00\x00"), []byte("\x00asm\xff\xff\xff\xff"), []byte("\x00asm\x01\x00\x02\x00"), []byte("\x00asm\x00\x00\x00\x00")}
		}},
		{Name: "a component", Stage: Decode, Want: refused(flow.CodeComponent), Modules: func() [][]byte {
			return [][]byte{[]byte("\x00asm\x0d\x00\x01\x00"), append([]byte("\x00asm\x0d\x00\x01\x00\x01\xff\xff\xff\xff\x0f"), filled(64, 0xff)...), []byte("\x00asm\x0a\x00\x01\x00")}
		}},
		{Name: "the text format", Stage: Decode, Modules: one([]byte(`(module (func (export "_start")))`)), Want: notWasm},
		{Name: "other text", Stage: Decode, Modules: one(bytes.Repeat([]byte("#!/bin/sh\nrm -rf /\n"), 1000)), Want: notWasm},
		{Name: "a module in gzip", Stage: Decode, Modules: later(func() []byte { return zipped(whole) }), Want: notWasm},
		{Name: "a bomb in gzip", Stage: Decode, Modules: later(func() []byte { return zipped(make([]byte, 64<<20)) }), Want: notWasm},
		{Name: "native programs", Stage: Decode, Want: notWasm, Modules: func() [][]byte {
			return [][]byte{append([]byte("\x7fELF\x02\x01\x01\x00"), make([]byte, 120)...), append([]byte("MZ\x90\x00"), make([]byte, 120)...), append([]byte("\xcf\xfa\xed\xfe"), make([]byte, 120)...)}
		}},
		{Name: "a mebibyte of every byte", Stage: Decode, Want: notWasm, Modules: func() [][]byte {
			return [][]byte{make([]byte, 1<<20), filled(1<<20, 0x0b), filled(1<<20, 0xff)}
		}},
		{Name: "a preamble before a mebibyte of every byte", Stage: Decode, Want: malformed, Modules: func() [][]byte {
			var all [][]byte
			for _, c := range []byte{0x01, 0x03, 0x0a, 0x0b, 0x7f, 0x80, 0xff} {
				all = append(all, module(filled(1<<20, c)))
			}
			return all
		}},
		{Name: "more bytes than a module may have", Stage: Decode, Want: refused(flow.CodeModuleLimit), Modules: later(func() []byte {
			return module(bt.Section(secCustom, append(bt.Vec([]byte("x")), make([]byte, 64<<20)...)))
		})},
		{Name: "a module that ends at each of its bytes", Stage: Decode, Modules: prefixes(whole, 1), Want: append(refused(flow.CodeMalformed, flow.CodeNotWasm, flow.CodeNoEntry), OK)},
		{Name: "a module with a byte of it turned round", Stage: Decode, Modules: func() [][]byte { return turned(whole) }, Timeout: runawayTime, Want: append(refused(
			flow.CodeMalformed, flow.CodeModuleLimit, flow.CodeNotWasm, flow.CodeComponent, flow.CodeNoEntry, flow.CodeImports, flow.CodeCompile),
			append(faults(flow.ReasonTrap, flow.ReasonInvalid, flow.ReasonMemory, flow.ReasonStack, flow.ReasonTimeout), OK, Failed, Skip, Retry, Permanent)...)},
	}
}

// complete is a module that has every section.
func complete() []byte {
	g := newReactor("uniflow.input_size", "uniflow.log", "wasi.random_get")
	g.Table(4)
	g.Global(7)
	tree := g.Func(g.Type([]byte{bt.I32}, []byte{bt.I32}), 2, bt.Asm(`block i32 local.get 0 i32.const 2 br_table 3 0 0 0 0 end
		local.set 1 loop void local.get 1 i32.const 1 i32.sub local.tee 1 br_if 0 end local.get 1 if i32 i32.const 1 else i32.const 2 end`))
	g.Element(1, tree)
	g.Data(0, "a text")
	g.Data(100, "another")
	g.named("uniflow_run", 1, bt.Const(5), bt.Call(tree), bt.Asm("global.get 0 i32.add i32.const 9 i32.ne"))
	g.Custom("producers", string(bt.Join(bt.U32(1), bt.Vec([]byte("language")), bt.U32(1), bt.Vec([]byte("C")), bt.Vec([]byte("11")))))
	g.Custom("name", string(bt.Join([]byte{1}, bt.Vec(bt.Join(bt.U32(1), bt.U32(tree), bt.Vec([]byte("tree")))))))
	return g.Bytes()
}

// prefixes are a module cut off after each step of its bytes.
func prefixes(b []byte, step int) func() [][]byte {
	return func() [][]byte {
		var all [][]byte
		for n := 1; n < len(b); n += step {
			all = append(all, b[:n])
		}
		return all
	}
}

// turned are a module with one bit of a byte turned round, for each byte behind the preamble.
func turned(b []byte) [][]byte {
	var all [][]byte
	for i := 8; i < len(b); i++ {
		c := bytes.Clone(b)
		c[i] ^= 1 << (i % 8)
		all = append(all, c)
	}
	return all
}

func zipped(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		panic(err) // a buffer takes all
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return out.Bytes()
}
