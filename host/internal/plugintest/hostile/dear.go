package hostile

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/uniflow-dev/uniflow/host/flow"
	bt "github.com/uniflow-dev/uniflow/host/internal/wasm/binary/binarytest"
)

// dearCases are modules of a few kilobytes that would keep a compiler busy for seconds to hours, or take gigabytes; each
// for another reason. They are to be refused by what they are, before anything is compiled.
func dearCases() []Case {
	var cases []Case
	for name, module := range map[string]func() []byte{
		"200 loops around sums of 1,600 locals":                   func() []byte { return loopsOver(200, 1_600) },
		"200 loops around reads of 800 locals":                    func() []byte { return loopsReading(200, 800) },
		"200 loops, and reads of 800 locals behind them":          func() []byte { return loopsBefore(200, 800) },
		"800 loops in a row, and reads of 800 locals behind them": func() []byte { return loopsInTurn(800, 800) },
		"30,000 branches out of a block":                          func() []byte { return chain(30_000, 0) },
		"8,000 branches, and 60,000 reads behind them":            func() []byte { return chain(8_000, 60_000) },
		"30,000 choices in a row":                                 func() []byte { return choices(30_000, 0) },
		"6,000 choices with 40 reads between them":                func() []byte { return choices(6_000, 40) },
		"4,000 branches that each change another local":           func() []byte { return departures(4_000, 1_000) },
		"1,500 choices that each set 1,000 locals":                func() []byte { return settings(1_500, 1_000) },
		"6,000 addresses known over 12,000 branches":              func() []byte { return addresses(12_000, 6_000) },
		"8,000 values that live over 8,000 branches":              func() []byte { return piled(8_000, 8_000) },
		"8,000 calls of a function of 1,000 results":              func() []byte { return returning(8_000) },
		"8,000 blocks of 1,000 results":                           func() []byte { return promising(8_000) },
		"4,000 branches that carry 1,000 values":                  func() []byte { return carrying(4_000) },
		"4,000 branches that return 1,000 values":                 func() []byte { return returns(4_000) },
		"49,000 functions of 1,000 parameters":                    func() []byte { return taking(49_000) },
		"12,000 functions of 50,000 locals each":                  func() []byte { return declaring(12_000) },
		"16,000 calls between 4,000 globals":                      func() []byte { return calling(16_000, 4_000) },
		"3 tables of 60,000 jumps":                                func() []byte { return jumping(60_000, 3) },
		"a table of 70,000 jumps":                                 func() []byte { return jumping(70_000, 1) },
		"4,000,000 instructions in a row":                         func() []byte { return straight(4_000_000) },
		"40,000 functions behind one of 12,000 branches":          func() []byte { return smallAfterLarge(40_000, 12_000) },
	} {
		cases = append(cases, Case{Name: name, Stage: Compile, Modules: later(module), Want: refused(flow.CodeModuleLimit)})
	}
	return cases
}

// repeat translates a text and repeats it.
func repeat(n int, text string) []byte { return bytes.Repeat(bt.Asm(text), n) }

// chain is n branches one after the other out of one block, and behind them so many reads of a local that was set before:
// a compiler looks for it in each block on the way.
func chain(n, reads int) []byte {
	return newReactor().entry(2, bt.Asm("block void"), repeat(n, "local.get 0 br_if 0 "), repeat(reads, "local.get 1 drop "), bt.Asm("end i32.const 0"))
}

// choices is n choices one after the other, with so many reads of another local between them.
func choices(n, reads int) []byte {
	return newReactor().entry(2, repeat(n, "local.get 0 if void end "+strings.Repeat("local.get 1 drop ", reads)), bt.Const(0))
}

// loopsReading is n loops in one another, around reads of so many locals that none of them changes.
func loopsReading(n, locals int) []byte {
	return newReactor().entry(locals, repeat(n, "loop void "), gets(locals), repeat(n, "local.get 0 br_if 0 end "), bt.Const(0))
}

// loopsBefore is n loops in one another, and reads of so many locals behind all of them.
func loopsBefore(n, locals int) []byte {
	return newReactor().entry(locals, repeat(n, "loop void "), repeat(n, "local.get 0 br_if 0 end "), gets(locals), bt.Const(0))
}

// loopsInTurn is n loops one after the other, and reads of so many locals behind all of them.
func loopsInTurn(n, locals int) []byte {
	return newReactor().entry(locals, repeat(n, "loop void local.get 0 br_if 0 end "), gets(locals), bt.Const(0))
}

// gets reads locals and drops what they hold.
func gets(locals int) []byte {
	var code []byte
	for i := range locals {
		code = append(append(code, bt.Get(i)...), bt.Drop)
	}
	return code
}

// settings is n choices that each set so many locals, which are all read in the end.
func settings(n, locals int) []byte {
	var arm []byte
	for i := range locals {
		arm = append(append(arm, bt.Const(i)...), bt.Set(i)...)
	}
	return newReactor().entry(locals, bytes.Repeat(bt.Join(bt.Asm("local.get 0 if void"), arm, bt.Asm("end")), n), gets(locals), bt.Const(0))
}

// departures is n branches out of one block, each after another local was set; so many are read behind the block.
func departures(n, locals int) []byte {
	var code []byte
	for i := range n {
		code = append(code, bt.Join(bt.Const(i), bt.Set(i%locals), bt.Get((i+1)%locals), bt.Op(0x0d), bt.U32(0))...)
	}
	return newReactor().entry(locals, bt.Asm("block void"), code, bt.Asm("end"), gets(locals), bt.Const(0))
}

// addresses reads memory at so many addresses, and has n blocks behind that.
func addresses(n, addresses int) []byte {
	var code []byte
	for i := range addresses {
		code = append(code, bt.Join(bt.Get(i), bt.Asm("i32.load 0 drop"))...)
	}
	return newReactor().entry(addresses, code, bt.Asm("block void"), repeat(n, "local.get 0 br_if 0 "), bt.Asm("end i32.const 0"))
}

// piled computes so many values, has n blocks, and then adds the values.
func piled(n, values int) []byte {
	return newReactor().entry(1, repeat(values, "i32.const 0 i32.load 0 "), bt.Asm("block void"), repeat(n, "local.get 0 br_if 0 "), bt.Asm("end"),
		repeat(values-1, "i32.add "))
}

// returning calls a function of a thousand results n times.
func returning(n int) []byte {
	g := newReactor()
	types := filled(1_000, bt.I32)
	f := g.Func(g.Type(nil, types), 0, repeat(1_000, "i32.const 0 "))
	return g.entry(0, bytes.Repeat(bt.Call(f), n), bt.Op(bt.Unreachable))
}

// promising has n blocks that are to leave a thousand values and never end.
func promising(n int) []byte {
	g := newReactor()
	t := g.Type(nil, filled(1_000, bt.I32))
	return g.entry(0, repeat(n, fmt.Sprintf("block %d unreachable end ", t)), bt.Op(bt.Unreachable))
}

// carrying is n branches that each carry a thousand values.
func carrying(n int) []byte {
	g := newReactor()
	t := g.Type(nil, filled(1_000, bt.I32))
	return g.entry(1, bt.Asm(fmt.Sprintf("block %d", t)), repeat(1_000, "i32.const 0 "), repeat(n, "local.get 0 br_if 0 "), bt.Asm("end unreachable"))
}

// calling calls a function n times in a module of so many globals that it may change.
func calling(n, globals int) []byte {
	g := newReactor()
	for range globals {
		g.Global(1)
	}
	f := g.Func(g.void, 0)
	return g.entry(0, bytes.Repeat(bt.Call(f), n), bt.Const(0))
}

// jumping has so many tables of jumps of n targets each.
func jumping(n, tables int) []byte {
	jump := bt.Join(bt.Asm("block void i32.const 7"), bt.Op(0x0e), bt.U32(n), make([]byte, n+1), bt.Asm("end"))
	return newReactor().entry(0, bytes.Repeat(jump, tables), bt.Const(0))
}

// straight is n instructions in a row.
func straight(n int) []byte {
	return newReactor().entry(1, repeat(n/4, "local.get 0 i32.const 3 i32.add local.set 0 "), bt.Const(0))
}

// smallAfterLarge is n functions that do nothing, behind one of many branches: what a compiler has made room for, it may
// look through each time.
func smallAfterLarge(n, branches int) []byte {
	g := newReactor()
	g.Func(g.void, 1, bt.Asm("block void"), repeat(branches, "local.get 0 br_if 0 "), bt.Asm("end"))
	for range n {
		g.Func(g.void, 0)
	}
	return g.entry(0, bt.Const(0))
}

// returns is n branches that each return a thousand values.
func returns(n int) []byte {
	g := newReactor()
	f := g.Func(g.Type(nil, filled(1_000, bt.I32)), 1, repeat(1_000, "i32.const 0 "), repeat(n, "local.get 0 br_if 0 "))
	return g.entry(0, bt.Call(f), bt.Op(bt.Unreachable))
}

// declaring is n functions that declare all the locals that one may have, and use none.
func declaring(n int) []byte {
	g := newReactor()
	for range n {
		g.Func(g.void, 50_000)
	}
	return g.entry(0, bt.Const(0))
}

// taking is n functions of a thousand parameters that do nothing.
func taking(n int) []byte {
	g := newReactor()
	t := g.Type(filled(1_000, bt.I64), nil)
	for range n {
		g.Func(t, 0)
	}
	return g.entry(0, bt.Const(0))
}
