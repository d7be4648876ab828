package hostile

import (
	"fmt"

	"github.com/uniflow-dev/uniflow/host/flow"
	bt "github.com/uniflow-dev/uniflow/host/internal/wasm/binary/binarytest"
)

// huge are counts and lengths that a module cannot have: an engine that allocates by one of them is dead.
var huge = []int{1<<32 - 1, 1 << 31, 1<<31 - 1, 1 << 28, 100_000_000} //nolint:gochecknoglobals // constant

// countCases are counts that what follows cannot hold. Behind the count come no bytes, a few, or 64 KiB of them.
func countCases() []Case {
	places := []struct {
		name  string
		bytes func(count, rest []byte) []byte
	}{
		{"types", in(secType)},
		{"parameters", in(secType, 1, 0x60)},
		{"results", in(secType, 1, 0x60, 0)},
		{"imports", in(secImport)},
		{"bytes in the module's name of an import", in(secImport, 1)},
		{"bytes in the name of an import", in(secImport, 1, 1, 'm')},
		{"functions", after(oneType, in(secFunction))},
		{"tables", in(secTable)},
		{"memories", in(secMemory)},
		{"globals", in(secGlobal)},
		{"exports", in(secExport)},
		{"bytes in the name of an export", in(secExport, 1)},
		{"element segments", after(oneTable, in(secElement))},
		{"functions in an element segment", after(oneTable, in(secElement, 1, 0, 0x41, 0, 0x0b))},
		{"expressions in an element segment", after(oneTable, in(secElement, 1, 4, 0x41, 0, 0x0b))},
		{"entries of a passive element segment", after(oneTable, in(secElement, 1, 5, 0x70))},
		{"function bodies", after(bt.Join(oneType, oneFunc), in(secCode))},
		{"bytes in a function body", after(bt.Join(oneType, oneFunc), in(secCode, 1))},
		{"groups of locals", func(count, rest []byte) []byte { return body(count, rest, []byte{0x0b}) }},
		{"targets of br_table", func(count, rest []byte) []byte { return code([]byte{0x41, 0, 0x0e}, count, rest) }},
		{"types of a select", func(count, rest []byte) []byte { return code([]byte{0x1c}, count, rest) }},
		{"data segments", after(onePage, in(secData))},
		{"bytes in a data segment", after(onePage, in(secData, 1, 0, 0x41, 0, 0x0b))},
		{"bytes in the name of a custom section", in(secCustom)},
		{"bytes in a part of the name section", names(1)},
		{"bytes in the module's name", names(0, 5)},
		{"names of functions", names(1, 5)},
		{"bytes in the name of a function", names(1, 7, 1, 0)},
		{"functions with names of locals", names(2, 5)},
		{"names of locals", names(2, 7, 1, 0)},
	}
	cases := make([]Case, 0, len(places)+4)
	for _, p := range places {
		cases = append(cases, Case{
			Name: fmt.Sprintf("a count of 4294967295 %s", p.name), Stage: Decode, Want: refused(flow.CodeMalformed, flow.CodeModuleLimit),
			Modules: func() [][]byte {
				var all [][]byte
				for _, n := range huge {
					for _, rest := range [][]byte{nil, filled(8, 0), filled(64<<10, 0), filled(64<<10, 1), filled(64<<10, 0x7f)} {
						all = append(all, p.bytes(bt.U32(n), rest))
					}
				}
				return all
			},
		})
	}
	return append(cases, localCases()...)
}

// in is a section that begins with these bytes before the count.
func in(id byte, before ...byte) func(count, rest []byte) []byte {
	return func(count, rest []byte) []byte { return module(bt.Section(id, bt.Join(before, count, rest))) }
}

// after puts sections before the others.
func after(sections []byte, f func(count, rest []byte) []byte) func(count, rest []byte) []byte {
	return func(count, rest []byte) []byte { return module(sections, f(count, rest)[8:]) }
}

// names is a name section that begins with these bytes.
func names(before ...byte) func(count, rest []byte) []byte {
	return in(secCustom, append(bt.Vec([]byte("name")), before...)...)
}

// localCases are counts of locals, for which no bytes stand in the module.
func localCases() []Case {
	group := func(n int) []byte { return bt.Join(bt.U32(n), []byte{bt.I32}) }
	limit := refused(flow.CodeModuleLimit)
	return []Case{
		{Name: "a group of 4294967295 locals", Stage: Decode, Modules: one(body([]byte{1}, group(1<<32-1), []byte{0x0b})), Want: limit},
		{Name: "100,000,000 locals", Stage: Decode, Modules: one(body([]byte{1}, group(100_000_000), []byte{0x0b})), Want: limit},
		{Name: "50,001 locals", Stage: Decode, Modules: one(body([]byte{1}, group(50_001), []byte{0x0b})), Want: limit},
		{Name: "groups of locals whose sum wraps", Stage: Decode, Want: limit, Modules: func() [][]byte {
			return [][]byte{
				body([]byte{2}, group(1<<31), group(1<<31), []byte{0x0b}), body([]byte{2}, group(1<<32-1), group(2), []byte{0x0b}),
				body([]byte{3}, group(1), group(1<<32-1), group(1<<32-1), []byte{0x0b}),
			}
		}},
		{Name: "a group of no locals, 40,000 times", Stage: Decode, Want: refused(flow.CodeNoEntry), Modules: later(func() []byte {
			groups := bt.U32(40_000)
			for range 40_000 {
				groups = append(groups, group(0)...)
			}
			return body(groups, []byte{0x0b})
		})},
	}
}
