package hostile

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/uniflow-dev/uniflow/host/flow"
	bt "github.com/uniflow-dev/uniflow/host/internal/wasm/binary/binarytest"
)

// compileCases are modules within all bounds that are as dear to compile as their author could make them.
func compileCases() []Case {
	expensive := want(OK, Ending(flow.CodeModuleLimit), Ending(flow.CodeCompile))
	return append(dearCases(), []Case{
		{Name: "500 diamonds over 200 locals", Stage: Compile, Want: expensive, Modules: later(func() []byte { return diamonds(500, 200) })},
		{Name: "1,000 branches out of 500 blocks over 100 locals", Stage: Compile, Want: expensive, Modules: later(func() []byte { return branches(1_000, 500, 100) })},
		{Name: "500 loops in one another", Stage: Compile, Want: expensive, Modules: later(func() []byte { return loops(500) })},
		{Name: "10,000 blocks in one another", Stage: Compile, Want: expensive, Modules: later(func() []byte {
			return simple(0, strings.Repeat("block void ", 9_990)+strings.Repeat("end ", 9_990)+"i32.const 0")
		})},
		{Name: "a function of 50,000 locals", Stage: Compile, Want: expensive, Modules: later(func() []byte { return simple(50_000, "local.get 49999") })},
		{Name: "2,000 locals that are alive together", Stage: Compile, Want: expensive, Modules: later(func() []byte { return alive(2_000) })},
		{Name: "a br_table of 20,000 targets", Stage: Compile, Want: expensive, Modules: later(func() []byte {
			return newReactor().entry(0, bt.Asm("block void i32.const 7"), bt.Op(0x0e), bt.U32(20_000), make([]byte, 20_001), bt.Asm("end i32.const 0"))
		})},
		{Name: "50,000 functions", Stage: Compile, Want: expensive, Modules: later(func() []byte {
			g := newReactor()
			for range 49_990 {
				g.Func(g.void, 0)
			}
			return g.entry(0, bt.Const(0))
		})},
		{Name: "300 KiB of straight code", Stage: Compile, Want: expensive, Modules: later(func() []byte {
			return newReactor().entry(1, bytes.Repeat(bt.Asm("local.get 0 i32.const 3 i32.add local.set 0 "), 40_000), bt.Const(0))
		})},
		{Name: "a mebibyte of nops", Stage: Compile, Want: expensive, Modules: later(func() []byte { return newReactor().entry(0, filled(1<<20, 1), bt.Const(0)) })},
		{Name: "a function of 1,000 parameters and 1,000 results", Stage: Compile, Want: expensive, Modules: later(wide)},
		{Name: "90,000 data segments", Stage: Compile, Want: expensive, Modules: later(func() []byte {
			g := newReactor()
			for i := range 90_000 {
				g.Data(i%1000, "x")
			}
			return g.entry(0, bt.Const(0))
		})},
		{Name: "10,000 element segments", Stage: Compile, Want: expensive, Modules: later(func() []byte {
			g := newReactor()
			g.Table(10)
			for range 10_000 {
				g.Element(0, 0)
			}
			return g.entry(0, bt.Const(0))
		})},
		{Name: "10,000 exports", Stage: Compile, Want: expensive, Modules: later(func() []byte {
			g := newReactor()
			for i := range 9_990 {
				g.Export(fmt.Sprint("f", i), 0)
			}
			return g.entry(0, bt.Const(0))
		})},
		{Name: "49,000 mutable globals", Stage: Compile, Want: expensive, Modules: later(func() []byte {
			g := newReactor()
			for range 49_000 {
				g.Global(1)
			}
			return g.entry(0, bt.Const(0))
		})},
		{Name: "names of functions that are 100,000 bytes long", Stage: Compile, Want: faults(flow.ReasonTrap), Modules: later(func() []byte {
			g := newReactor()
			g.Custom("name", string(bt.Join([]byte{1}, bt.Vec(bt.Join(bt.U32(1), bt.U32(1), bt.Vec(filled(100_000, 'n')))))))
			return g.entry(0, bt.Op(bt.Unreachable))
		})},
	}...)
}

// diamonds is a function of n choices, one after another, each of which sets one of its locals, which are all read in
// the end.
func diamonds(n, locals int) []byte {
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, "local.get %d if void i32.const %d local.set %d else i32.const %d local.set %d end ", i*7%locals, i, i%locals, i+1, (i+1)%locals)
	}
	text.WriteString("i32.const 0 ")
	for i := range locals {
		fmt.Fprintf(&text, "local.get %d i32.and ", i)
	}
	return simple(locals, text.String())
}

// branches is a function of n branches out of one of many blocks in one another.
func branches(n, blocks, locals int) []byte {
	var text strings.Builder
	text.WriteString(strings.Repeat("block void ", blocks))
	for i := range n {
		fmt.Fprintf(&text, "i32.const %d local.set %d local.get %d br_if %d ", i, i%locals, (i+1)%locals, i%blocks)
	}
	text.WriteString(strings.Repeat("end ", blocks))
	return simple(locals, text.String()+"i32.const 0")
}

// loops is n loops in one another, none of which turns.
func loops(n int) []byte {
	return simple(1, strings.Repeat("loop void ", n)+strings.Repeat("local.get 0 br_if 0 end ", n)+"i32.const 0")
}

// loopsOver is n loops in one another, of which the innermost changes so many locals: each loop carries all of them.
func loopsOver(n, locals int) []byte {
	var text strings.Builder
	text.WriteString(strings.Repeat("loop void ", n))
	for i := range locals {
		fmt.Fprintf(&text, "local.get %d local.get %d i32.add local.set %d ", i, (i+1)%locals, i)
	}
	text.WriteString(strings.Repeat("local.get 0 br_if 0 end ", n))
	return simple(locals, text.String()+"i32.const 0")
}

// alive computes n values before it uses the first of them.
func alive(n int) []byte {
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, "i32.const %d i32.load 0 local.set %d ", 4*i, i)
	}
	text.WriteString("i32.const 0 ")
	for i := range n {
		fmt.Fprintf(&text, "local.get %d i32.and ", i)
	}
	return simple(n, text.String())
}

// wide passes a thousand values on, ten times.
func wide() []byte {
	g := newReactor()
	types := filled(1_000, bt.I32)
	var get []byte
	for i := range types {
		get = append(get, bt.Get(i)...)
	}
	f := g.Func(g.Type(types, types), 0, get)
	return g.entry(0, bytes.Repeat(bt.Const(0), 1_000), bytes.Repeat(bt.Call(f), 10), filled(1_000, bt.Drop), bt.Const(0))
}
