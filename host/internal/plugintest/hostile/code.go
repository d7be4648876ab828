package hostile

import (
	"bytes"

	"github.com/uniflow-dev/uniflow/host/flow"
	bt "github.com/uniflow-dev/uniflow/host/internal/wasm/binary/binarytest"
)

// codeCases are function bodies that break a rule of the format, or of validation.
func codeCases() []Case {
	malformed, limit, invalid := refused(flow.CodeMalformed), refused(flow.CodeModuleLimit), refused(flow.CodeCompile, flow.CodeNoEntry, flow.CodeMalformed)
	return append(expressionCases(), []Case{
		{Name: "opcodes that do not exist, or of proposals", Stage: Decode, Modules: strangeOpcodes, Want: malformed},
		{Name: "opcodes behind a prefix that do not exist", Stage: Decode, Modules: strangePrefixed, Want: malformed},
		{Name: "an index of everything that is not there", Stage: Decode, Modules: strangeIndices, Want: malformed},
		{Name: "an access that is more aligned than wide", Stage: Decode, Want: malformed, Modules: func() [][]byte {
			return [][]byte{code([]byte{0x41, 0, 0x28, 3, 0, bt.Drop}), code([]byte{0x41, 0, 0x28}, bt.U32(1<<32-1), []byte{0, bt.Drop}), code([]byte{0x41, 0, 0x29, 0x40, 0, bt.Drop})}
		}},
		{Name: "lanes that a vector does not have", Stage: Decode, Want: malformed, Modules: func() [][]byte {
			return [][]byte{code([]byte{0xfd, 0x15, 16}), code([]byte{0xfd, 0x0d}, filled(16, 32)), code([]byte{0x41, 0, 0xfd, 0x57, 3, 0, 2})}
		}},
		{Name: "blocks that do not end, or end twice", Stage: Decode, Want: malformed, Modules: func() [][]byte {
			return [][]byte{code([]byte{2, 0x40}), code([]byte{0x0b}), code([]byte{5}), code([]byte{2, 0x40, 5, 0x0b}), code([]byte{0x41, 0, 4, 0x40, 5, 5, 0x0b}), body([]byte{0, 1}), body(), body([]byte{0})}
		}},
		{Name: "a block of a type that is none", Stage: Decode, Want: malformed, Modules: func() [][]byte {
			return [][]byte{code([]byte{2, 0x41, 0x0b}), code([]byte{2, 0x10, 0x0b}), code([]byte{2, 0x6b, 0x0b}), code([]byte{3}, bt.U32(1<<31), []byte{0x0b})}
		}},
		{Name: "values of types that are none", Stage: Decode, Want: malformed, Modules: func() [][]byte {
			var all [][]byte
			for _, t := range []byte{0, 1, 0x40, 0x60, 0x6e, 0x6a, 0x64, 0x63, 0x78, 0xff} {
				all = append(all, body([]byte{1, 1, t, 0x0b}), module(sec(secType, 1, []byte{0x60, 1, t, 0})), module(sec(secGlobal, 1, []byte{t, 0, 0x41, 0, 0x0b})))
			}
			return all
		}},
		{Name: "recursive types, structures and arrays", Stage: Decode, Want: malformed, Modules: func() [][]byte {
			var all [][]byte
			for _, form := range []byte{0x4e, 0x4f, 0x50, 0x5e, 0x5f, 0x61, 0, 0xff} {
				all = append(all, module(sec(secType, 1, []byte{form, 1, 0x60, 0, 0})))
			}
			return all
		}},
		{Name: "10,001 blocks in one another", Stage: Decode, Want: limit, Modules: func() [][]byte {
			return [][]byte{nested(10_001, []byte{2, 0x40}), nested(10_001, []byte{0x41, 0, 4, 0x40})}
		}},
		{Name: "300,000 blocks in one another", Stage: Decode, Want: limit, Modules: later(func() []byte { return nested(300_000, []byte{2, 0x40}) })},
		{Name: "300,000 blocks that do not end", Stage: Decode, Want: limit, Modules: later(func() []byte { return code(bytes.Repeat([]byte{2, 0x40}, 300_000)) })},
		{Name: "1,001 loops in one another", Stage: Decode, Want: limit, Modules: later(func() []byte { return nested(1001, []byte{3, 0x40}) })},
		{Name: "operands of wrong types", Stage: Compile, Want: invalid, Modules: invalidBodies},
	}...)
}

// nested opens and closes n blocks.
func nested(n int, open []byte) []byte {
	return code(bytes.Repeat(open, n), filled(n, 0x0b))
}

// strangeOpcodes are all opcodes of one byte that are not of the instructions that the host enables.
func strangeOpcodes() [][]byte {
	var all [][]byte
	for op := range 256 {
		known := op <= 0x05 || op >= 0x0b && op <= 0x11 || op >= 0x1a && op <= 0x1c || op >= 0x20 && op <= 0x26 || op >= 0x28 && op <= 0xc4 ||
			op >= 0xd0 && op <= 0xd2 || op == 0xfc || op == 0xfd
		if !known {
			all = append(all, code([]byte{byte(op)}, filled(8, 0)))
		}
	}
	return all
}

// strangePrefixed are numbers behind the prefixes: of relaxed vectors and threads, just behind the last, and far off.
func strangePrefixed() [][]byte {
	var all [][]byte
	for _, n := range append([]int{18, 19, 255, 256, 0xfc08, 1 << 16}, huge...) {
		all = append(all, code([]byte{0xfc}, bt.U32(n), filled(8, 0)))
	}
	for _, n := range append([]int{0x9a, 0xbb, 0xee, 0x100, 0x101, 0x113, 0xfd0c}, huge...) {
		all = append(all, code([]byte{0xfd}, bt.U32(n), filled(32, 0)))
	}
	for _, prefix := range []byte{0xfb, 0xfe} {
		for n := range 80 {
			all = append(all, code([]byte{prefix}, bt.U32(n), filled(8, 0)))
		}
	}
	return all
}

// strangeIndices name a function, type, table, global, local, label, memory or segment behind the last one.
func strangeIndices() [][]byte {
	var all [][]byte
	for _, n := range append([]int{7}, huge...) {
		for _, before := range [][]byte{{0x0c}, {0x41, 0, 0x0d}, {0x41, 0, 0x0e, 0}, {0x10}, {0x41, 0, 0x11}, {0x41, 0, 0x11, 0}, {0x20}, {0x23}, {0x25}, {0xd2}, {0xfc, 8}, {0xfc, 9}, {0xfc, 12}, {0xfc, 13}, {0xfc, 16}, {0x02}} {
			all = append(all, code(before, bt.U32(n), []byte{0, 0}))
		}
		all = append(all,
			module(oneType, sec(secFunction, 1, bt.U32(n)), sec(secCode, 1, []byte{2, 0, 0x0b})), module(onePage, sec(secExport, 1, []byte{0, 2}, bt.U32(n))),
			module(sec(secImport, 1, []byte{1, 'm', 1, 'f', 0}, bt.U32(n))), module(bt.Section(secStart, bt.U32(n))),
			module(oneTable, sec(secElement, 1, []byte{0, 0x41, 0, 0x0b, 1}, bt.U32(n))), module(oneTable, sec(secElement, 1, []byte{2}, bt.U32(n), []byte{0x41, 0, 0x0b, 0, 0})),
			module(onePage, sec(secData, 1, []byte{2}, bt.U32(n), []byte{0x41, 0, 0x0b, 0})))
	}
	return all
}

// invalidBodies are well-formed and wrong: no operand, too many, of another type, and what confuses validators.
func invalidBodies() [][]byte {
	var all [][]byte
	for _, text := range []string{
		"i32.add", "drop", "i32.const 0", "i64.const 0 i32.const 0 i32.add drop", "i32.const 0 i64.load 0 i32.eqz drop", "select", "i32.const 0 select",
		"block i32 end drop", "loop i32 end drop", "if void end", "i32.const 0 if i32 i32.const 1 end drop", "unreachable i64.const 0 i32.add",
		"block i32 i32.const 0 i32.const 0 br_table 0 1 end drop", "block i32 i64.const 0 br 0 end drop", "local.get 0", "call_indirect 0 0", "br_if 0", "memory.grow",
		"i32.const 0 i32.const 0 memory.fill", "ref.null 112 i32.const 0 i32.add drop", "unreachable i32.const 0 i32.const 0 i32.const 0", "unreachable select drop drop end",
	} {
		all = append(all, func() []byte { return simple(0, text+" i64.const 0") }(), code(bt.Asm(text)))
	}
	return all
}

// expressionCases are constant expressions that are not constant, or not of the right type.
func expressionCases() []Case {
	global := func(parts ...[]byte) []byte {
		return module(oneType, oneFunc, sec(secGlobal, 1, []byte{bt.I32, 1}, bt.Join(parts...)), sec(secCode, 1, []byte{2, 0, 0x0b}))
	}
	return []Case{
		{Name: "a constant expression that calls, branches, loops or does not end", Stage: Decode, Want: refused(flow.CodeMalformed), Modules: func() [][]byte {
			var all [][]byte
			for _, e := range [][]byte{{0x10, 0, 0x0b}, {0x03, 0x40, 0x0c, 0, 0x0b, 0x0b}, {0x41, 0}, {0x41, 0, 0x45, 0x0b}, {0x41, 1, 0x41, 2, 0x6a, 0x0b}, {0xd2, 9, 0x0b}, {0x3f, 0, 0x0b}, {0x23, 0, 0x0b}} {
				all = append(all, global(e))
			}
			return all
		}},
		{Name: "a constant expression of a mebibyte, or of the wrong type", Stage: Decode, Want: refused(flow.CodeMalformed, flow.CodeCompile, flow.CodeNoEntry), Modules: func() [][]byte {
			return [][]byte{global(bytes.Repeat([]byte{0x41, 0}, 1<<19), []byte{0x0b}), global([]byte{0x42, 0, 0x0b}), global([]byte{0x0b})}
		}},
		{Name: "an offset of a segment that is not a number", Stage: Compile, Want: refused(flow.CodeCompile, flow.CodeMalformed), Modules: func() [][]byte {
			g := newReactor()
			good := g.entry(0, bt.Const(0))
			return [][]byte{bt.Join(good, sec(secData, 1, []byte{0, 0x42, 0, 0x0b, 1, 'x'})), bt.Join(good, sec(secData, 1, []byte{0, 0x0b, 1, 'x'})), bt.Join(good, sec(secData, 1, []byte{0, 0x41, 0, 0x41, 0, 0x0b, 1, 'x'}))}
		}},
	}
}
