package hostile

import (
	"bytes"
	"strings"

	"github.com/uniflow-dev/uniflow/host/flow"
	bt "github.com/uniflow-dev/uniflow/host/internal/wasm/binary/binarytest"
)

// every is a module's sections in their order, each as it must be.
func every() [][]byte {
	return [][]byte{
		oneType, sec(secImport, 1, bt.Vec([]byte("uniflow")), bt.Vec([]byte("f")), []byte{0, 0}), oneFunc, oneTable, onePage,
		sec(secGlobal, 1, []byte{bt.I32, 1, 0x41, 0, 0x0b}), sec(secExport, 1, bt.Vec([]byte("f")), []byte{0, 1}), bt.Section(secStart, []byte{1}),
		sec(secElement, 1, []byte{0, 0x41, 0, 0x0b, 0}), sec(secDataCount, 1), sec(secCode, 1, bt.Vec([]byte{0, 0x0b})), sec(secData, 1, []byte{0, 0x41, 0, 0x0b, 0}),
	}
}

// sectionCases are sections that are not what or where they must be, and items over the bounds of a module.
func sectionCases() []Case {
	malformed, limit := refused(flow.CodeMalformed), refused(flow.CodeModuleLimit)
	return append([]Case{
		{Name: "each section twice", Stage: Decode, Want: malformed, Modules: func() [][]byte {
			return arranged(func(all [][]byte, i int) [][]byte { return append(all[:i+1:i+1], all[i:]...) })
		}},
		{Name: "each section twice, at the end", Stage: Decode, Want: malformed, Modules: func() [][]byte {
			return arranged(func(all [][]byte, i int) [][]byte { return append(all, all[i]) })
		}},
		{Name: "each section before the one that it follows", Stage: Decode, Want: malformed, Modules: func() [][]byte {
			return arranged(func(all [][]byte, i int) [][]byte {
				if i > 0 {
					all[i-1], all[i] = all[i], all[i-1]
				} else {
					all = append(all[1:], all[0])
				}
				return all
			})
		}},
		{Name: "each section left out", Stage: Decode, Want: refused(flow.CodeMalformed, flow.CodeImports, flow.CodeNoEntry), Modules: func() [][]byte {
			return arranged(func(all [][]byte, i int) [][]byte { return append(all[:i:i], all[i+1:]...) })
		}},
		{Name: "each section empty", Stage: Decode, Want: malformed, Modules: func() [][]byte {
			return arranged(func(all [][]byte, i int) [][]byte {
				all[i] = []byte{all[i][0], 0}
				return all
			})
		}},
		{Name: "each section a byte longer than it says", Stage: Decode, Want: malformed, Modules: func() [][]byte {
			return arranged(func(all [][]byte, i int) [][]byte {
				all[i] = bytes.Clone(all[i])
				all[i][1]--
				return all
			})
		}},
		{Name: "each section with a byte too many", Stage: Decode, Want: malformed, Modules: func() [][]byte {
			return arranged(func(all [][]byte, i int) [][]byte {
				all[i] = append(bytes.Clone(all[i]), 0)
				all[i][1]++
				return all
			})
		}},
		{Name: "sections that are longer than the file", Stage: Decode, Want: malformed, Modules: func() [][]byte {
			var all [][]byte
			for id := range byte(14) {
				for _, n := range huge {
					all = append(all, module([]byte{id}, bt.U32(n)), module([]byte{id}, bt.U32(n), filled(1000, 0)))
				}
			}
			return all
		}},
		{Name: "sections of unknown kinds", Stage: Decode, Want: malformed, Modules: func() [][]byte {
			var all [][]byte
			for id := 13; id < 256; id++ {
				all = append(all, module(bt.Section(byte(id), []byte{0})))
			}
			return all
		}},
		{Name: "numbers that are longer than they may be", Stage: Decode, Modules: overlong, Want: malformed},
		{Name: "a custom section of 4 GiB", Stage: Decode, Modules: one(module([]byte{0}, bt.U32(1<<32-1), bt.Vec([]byte("x")))), Want: malformed},
		{Name: "a custom section of a mebibyte", Stage: Decode, Want: want(OK), Modules: later(func() []byte {
			g := newReactor()
			g.Custom("filler", strings.Repeat("\x00", 1<<20))
			return g.entry(0, bt.Const(0))
		})},
		{Name: "1,001 custom sections", Stage: Decode, Want: limit, Modules: later(func() []byte {
			g := newReactor()
			for range 1001 {
				g.Custom("", "")
			}
			return g.entry(0, bt.Const(0))
		})},
		{Name: "names that are not UTF-8", Stage: Decode, Modules: badNames, Want: malformed},
		{Name: "a name of 100,001 bytes", Stage: Decode, Want: limit, Modules: later(func() []byte {
			return module(sec(secExport, 1, bt.Vec(filled(100_001, 'a')), []byte{0, 0}))
		})},
		{Name: "the name section twice", Stage: Decode, Want: malformed, Modules: later(func() []byte {
			g := newReactor()
			g.Custom("name", "")
			g.Custom("name", "")
			return g.entry(0, bt.Const(0))
		})},
		{Name: "names for functions that are not there", Stage: Decode, Want: want(OK), Modules: later(func() []byte {
			g := newReactor()
			g.Custom("name", string(bt.Join([]byte{1}, bt.Vec(bt.Join(bt.U32(2), bt.U32(1<<32-1), bt.Vec([]byte("x")), bt.U32(77), bt.Vec(nil))))))
			return g.entry(0, bt.Const(0))
		})},
		{Name: "a description of the plugin that is no JSON, or too much of it", Stage: Decode, Modules: descriptions, Want: want(OK)},
		{Name: "producers that lie", Stage: Decode, Want: want(OK), Modules: func() [][]byte {
			var all [][]byte
			for _, n := range huge {
				g := newReactor()
				g.Custom("producers", string(bt.Join(bt.U32(n), filled(40, 1))))
				all = append(all, g.entry(0, bt.Const(0)))
			}
			return all
		}},
	}, manyCases()...)
}

// arranged are modules of every section, each with another one changed.
func arranged(change func(all [][]byte, i int) [][]byte) [][]byte {
	var modules [][]byte
	for i := range every() {
		modules = append(modules, module(change(every(), i)...))
	}
	return modules
}

// overlong are numbers with more bytes or bits than they may have.
func overlong() [][]byte {
	long := []byte{0x81, 0x80, 0x80, 0x80, 0x80, 0x00}
	wide := []byte{0xff, 0xff, 0xff, 0xff, 0x1f}
	return [][]byte{
		module(bt.Section(secType, bt.Join(long, []byte{0x60, 0, 0}))), module(bt.Section(secType, bt.Join(wide, []byte{0x60, 0, 0}))),
		module([]byte{secType}, long, filled(20, 0)), module([]byte{secType}, wide, filled(20, 0)),
		module([]byte{secType}, filled(40, 0x80)), code([]byte{0x41}, filled(5, 0x80), []byte{0, bt.Drop}),
		code([]byte{0x41, 0xff, 0xff, 0xff, 0xff, 0x4f, bt.Drop}), code([]byte{0x42}, filled(10, 0x80), []byte{0, bt.Drop}),
		code([]byte{0x42}, filled(9, 0xff), []byte{0x41, bt.Drop}), code([]byte{0x20}, long), code([]byte{0x02}, filled(5, 0x80), []byte{0, 0x0b}),
		code([]byte{0xfc}, long), code([]byte{0xfc}, filled(9, 0x80)), code([]byte{0xfd}, wide),
	}
}

// badNames have bytes in a name that are not UTF-8: cut short, overlong, a surrogate, beyond the last character.
func badNames() [][]byte {
	var all [][]byte
	for _, bad := range []string{"\xff", "\xc3", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xf8\x88\x80\x80\x80", "a\x80b"} {
		name := bt.Vec([]byte(bad))
		all = append(all,
			module(sec(secImport, 1, name, bt.Vec([]byte("f")), []byte{0, 0})), module(oneType, sec(secImport, 1, bt.Vec([]byte("m")), name, []byte{0, 0})),
			module(onePage, sec(secExport, 1, name, []byte{2, 0})), module(bt.Section(secCustom, name)),
			module(bt.Section(secCustom, bt.Join(bt.Vec([]byte("name")), []byte{0}, bt.Vec(name)))))
	}
	return all
}

// descriptions are sections uniflow.plugin of a module that runs all the same.
func descriptions() [][]byte {
	var all [][]byte
	for _, doc := range []string{"", "{", "\xff\xfe", strings.Repeat("[", 100_000), strings.Repeat(`{"a":`, 50_000), `{"name":1e999}`, `"` + strings.Repeat("x", 1<<20) + `"`, `{"functions":{"a":null,"a":null}}`} {
		g := newReactor()
		g.Custom("uniflow.plugin", doc)
		all = append(all, g.entry(0, bt.Const(0)))
	}
	return all
}

// manyCases have one item more than a module may, with all the bytes that they need.
func manyCases() []Case {
	limit := refused(flow.CodeModuleLimit)
	many := func(n int, item []byte) []byte { return bytes.Repeat(item, n) }
	return []Case{
		{Name: "50,001 types", Stage: Decode, Want: limit, Modules: later(func() []byte { return module(sec(secType, 50_001, many(50_001, []byte{0x60, 0, 0}))) })},
		{Name: "1,001 parameters", Stage: Decode, Want: limit, Modules: later(func() []byte {
			return module(sec(secType, 1, []byte{0x60}, bt.U32(1001), many(1001, []byte{bt.I32}), []byte{0}))
		})},
		{Name: "1,025 imports", Stage: Decode, Want: limit, Modules: later(func() []byte { return module(oneType, sec(secImport, 1025, many(1025, []byte{1, 'm', 1, 'f', 0, 0}))) })},
		{Name: "a million functions of two bytes", Stage: Decode, Want: limit, Modules: later(func() []byte {
			return module(oneType, sec(secFunction, 1_000_000, make([]byte, 1_000_000)), sec(secCode, 1_000_000, many(1_000_000, []byte{2, 0, 0x0b})))
		})},
		{Name: "9 tables", Stage: Decode, Modules: one(module(sec(secTable, 9, many(9, []byte{0x70, 0, 0})))), Want: limit},
		{Name: "64 tables of 134,217,728 entries", Stage: Decode, Modules: one(module(sec(secTable, 64, many(64, bt.Join([]byte{0x70, 0}, bt.U32(1<<27)))))), Want: limit},
		{Name: "a table of 4,294,967,295 entries", Stage: Decode, Modules: one(module(sec(secTable, 1, []byte{0x70, 0}, bt.U32(1<<32-1)))), Want: limit},
		{Name: "a table of 100,001 entries", Stage: Decode, Modules: one(module(sec(secTable, 1, []byte{0x70, 0}, bt.U32(100_001)))), Want: limit},
		{Name: "two memories", Stage: Decode, Modules: one(module(sec(secMemory, 2, []byte{0, 1, 0, 1}))), Want: limit},
		{Name: "a memory of more than 4 GiB", Stage: Decode, Modules: one(module(sec(secMemory, 1, []byte{0}, bt.U32(65_537)))), Want: limit},
		{Name: "a memory of 2 GiB at its start", Stage: Decode, Modules: one(module(sec(secMemory, 1, []byte{0}, bt.U32(1<<15)))), Want: limit},
		{Name: "a memory, or table, whose maximum is below its minimum", Stage: Decode, Want: refused(flow.CodeMalformed), Modules: func() [][]byte {
			return [][]byte{module(sec(secMemory, 1, []byte{1, 2, 1})), module(sec(secTable, 1, []byte{0x70, 1, 2, 1}))}
		}},
		{Name: "a memory that is shared, or has 64 bits", Stage: Decode, Want: refused(flow.CodeMalformed), Modules: func() [][]byte {
			return [][]byte{module(sec(secMemory, 1, []byte{3, 1, 2})), module(sec(secMemory, 1, []byte{4, 1})), module(sec(secMemory, 1, []byte{0xff, 1}))}
		}},
		{Name: "50,001 globals", Stage: Decode, Want: limit, Modules: later(func() []byte {
			return module(sec(secGlobal, 50_001, many(50_001, []byte{bt.I32, 0, 0x41, 0, 0x0b})))
		})},
		{Name: "10,001 exports of one name", Stage: Decode, Want: limit, Modules: later(func() []byte { return module(onePage, sec(secExport, 10_001, many(10_001, []byte{0, 2, 0}))) })},
		{Name: "10,001 element segments", Stage: Decode, Want: limit, Modules: later(func() []byte {
			return module(oneTable, sec(secElement, 10_001, many(10_001, []byte{0, 0x41, 0, 0x0b, 0})))
		})},
		{Name: "1,000,001 entries of element segments", Stage: Decode, Want: limit, Modules: later(func() []byte {
			return module(oneType, oneFunc, oneTable, sec(secElement, 1, []byte{0, 0x41, 0, 0x0b}, bt.U32(1_000_001), make([]byte, 1_000_001)), sec(secCode, 1, []byte{2, 0, 0x0b}))
		})},
		{Name: "100,001 data segments", Stage: Decode, Want: limit, Modules: later(func() []byte { return module(onePage, sec(secData, 100_001, many(100_001, []byte{1, 0}))) })},
		{Name: "a function body over 7 MiB", Stage: Decode, Want: limit, Modules: later(func() []byte { return code(filled(7_654_321, 1)) })},
		{Name: "1,000,001 names of functions", Stage: Decode, Want: limit, Modules: later(func() []byte {
			return module(bt.Section(secCustom, bt.Join(bt.Vec([]byte("name")), []byte{1}, bt.Vec(bt.Join(bt.U32(1_000_001), make([]byte, 2_000_002))))))
		})},
	}
}
