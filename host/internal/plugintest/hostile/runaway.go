package hostile

import (
	"fmt"
	"strings"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	bt "github.com/uniflow-dev/uniflow/host/internal/wasm/binary/binarytest"
)

// runawayTime is the deadline of guests that do not end by themselves.
const runawayTime = 60 * time.Millisecond

// runCases are guests that do not end.
func runCases() []Case {
	var cases []Case
	for _, c := range []struct {
		name   string
		module func() []byte
	}{
		{"a loop", entryOf(`loop void br 0 end unreachable`)},
		{"a loop that yields a value", entryOf(`loop i32 br 0 end`)},
		{"a loop that carries a value", entryOf(`i32.const 1 loop 2 br 0 end`)},
		{"loops in one another", entryOf(`loop void loop void loop void i32.const 1 br_if 0 end br 1 end br 0 end unreachable`)},
		{"a loop by a table of jumps", entryOf(`loop void i32.const 7 br_table 2 0 0 0 end unreachable`)},
		{"a loop of conditions that are never the same", entryOf(`loop void i32.const 0 i32.const 0 i32.load 0 i32.const 1 i32.add i32.store 0 i32.const 0 i32.load 0 br_if 0 br 0 end unreachable`)},
		{"a loop behind 1,000 instructions that are never executed", entryOf(`loop void br 0 ` + strings.Repeat("nop ", 1000) + `end unreachable`)},
		{"a recursion of two", func() []byte { return fibonacci().entry(0, bt.Const(90), bt.Call(1)) }},
		{"a tree of calls without loop or recursion", callTree},
		{"two functions that call each other twice", mutual},
		{"a recursion by a table", byTable},
		{"memory that is filled again and again", entryOf(`i32.const 1000 memory.grow drop ` + strings.Repeat(`i32.const 0 i32.const 1 i32.const 60000000 memory.fill `, 2000) + `unreachable`)},
		{"memory that is copied over itself again and again", entryOf(`i32.const 1000 memory.grow drop ` + strings.Repeat(`i32.const 0 i32.const 7 i32.const 60000000 memory.copy i32.const 7 i32.const 0 i32.const 60000000 memory.copy `, 1000) + `unreachable`)},
		{"memory that is set from a segment again and again", initAgain},
		{"a table that is filled, copied and set again and again", tableAgain},
		{"memory that asks to grow for ever", entryOf(`loop void i32.const 1 memory.grow drop br 0 end unreachable`)},
		{"a table that asks to grow for ever", entryOf(`loop void ref.null 112 i32.const 1 table.grow 0 drop br 0 end unreachable`)},
		{"progress without an end", hostLoop("progress", 500, 0, 0)},
		{"log lines without an end", hostLoop("log", 2, 0, 60_000)},
		{"bytes for a request without an end", hostLoop("call_write", 0, 65_536)},
		{"requests without an end", hostLoop("call", 0, 9, 0, 0)},
		{"input that is read without an end", hostLoop("input_read", 0, 0, 60_000)},
		{"failures without an end", hostLoop("fail", 4, 0, 16_000)},
		{"outputs without an end", hostLoop("output", 16, 1, 0, 9)},
		{"random numbers without an end", hostLoop("random_get", 0, 65_536)},
		{"looks at the clock without an end", hostLoop("clock_time_get", 1, 0, 0)},
		{"a yield without an end", hostLoop("sched_yield")},
		{"a start function that spins", func() []byte { return begins(bt.Loop()) }},
		{"a start function that calls a tree", func() []byte {
			g := fibonacci()
			g.Start(g.Func(g.void, 0, bt.Const(90), bt.Call(1), bt.Op(bt.Drop)))
			return g.entry(0, bt.Const(0))
		}},
		{"a sleep of 292 years", sleeper(0)},
		{"a wait for standard input that says nothing", sleeper(1)},
	} {
		cases = append(cases, Case{Name: c.name, Stage: Execute, Modules: later(c.module), Want: faults(flow.ReasonTimeout), Timeout: runawayTime})
	}
	return cases
}

// boundCases are guests that end badly by themselves, or by one of their limits.
func boundCases() []Case {
	trap, memory, stack := faults(flow.ReasonTrap), faults(flow.ReasonMemory), faults(flow.ReasonStack)
	return append(traps(),
		Case{Name: "a start function that traps", Stage: Execute, Modules: later(func() []byte { return begins(bt.Op(bt.Unreachable)) }), Want: trap},
		Case{Name: "a start function that recurses", Stage: Execute, Want: stack, Modules: later(func() []byte {
			g := newReactor()
			g.Start(g.Func(g.void, 0, bt.Call(1)))
			return g.entry(0, bt.Const(0))
		})},
		Case{Name: "a recursion without an end", Stage: Execute, Modules: one(simple(0, "call 1")), Want: stack},
		Case{Name: "a recursion with large frames", Stage: Execute, Want: stack, Modules: later(func() []byte {
			var text strings.Builder
			for i := range 1000 {
				fmt.Fprintf(&text, "i32.const %d i32.load 0 local.set %d ", i, i)
			}
			text.WriteString("call 1 ")
			for i := range 1000 {
				fmt.Fprintf(&text, "local.get %d i32.add ", i)
			}
			return simple(1000, text.String())
		})},
		Case{Name: "a recursion of two without an end", Stage: Execute, Want: stack, Modules: later(func() []byte {
			g := newReactor()
			g.Func(g.void, 0, bt.Call(2))
			g.Func(g.void, 0, bt.Call(1))
			return g.entry(0, bt.Call(1), bt.Const(0))
		})},
		Case{Name: "a recursion by a table without an end", Stage: Execute, Want: stack, Modules: later(func() []byte {
			g := newReactor()
			g.Table(1)
			g.Element(0, g.Func(g.void, 0, bt.Asm("i32.const 0 call_indirect 0 0")))
			return g.entry(0, bt.Call(1), bt.Const(0))
		})},
		Case{Name: "memory that grows to the limit page by page and is used up", Stage: Execute, Want: memory, Modules: one(simple(0, `
			loop void i32.const 1 memory.grow i32.const -1 i32.ne br_if 0 end
			i32.const 0 i32.const 1 memory.size i32.const 16 i32.shl memory.fill unreachable`))},
		Case{Name: "memory that grows by everything", Stage: Execute, Want: want(OK), Modules: one(simple(0, `
			i32.const -1 memory.grow i32.const -1 i32.ne i32.const 65535 memory.grow i32.const -1 i32.ne i32.or i32.const 32766 memory.grow i32.const -1 i32.ne i32.or
			memory.size i32.const 1 i32.ne i32.or`))},
		Case{Name: "more memory at the start than the limit", Stage: Execute, Want: memory, Modules: later(func() []byte {
			g := newReactor()
			g.Pages(1<<15 - 1)
			return g.entry(0, bt.Const(0))
		})},
		Case{Name: "a table that grows by everything", Stage: Execute, Want: want(OK), Modules: later(func() []byte {
			g := newReactor()
			g.Table(1)
			return g.entry(0, bt.Asm(`ref.null 112 i32.const -1 table.grow 0 i32.const -1 i32.ne ref.null 112 i32.const 134217728 table.grow 0 i32.const -1 i32.ne i32.or
				ref.null 112 i32.const 100000 table.grow 0 i32.const -1 i32.ne i32.or table.size 0 i32.const 1 i32.ne i32.or`))
		})},
		Case{Name: "8 tables of 100,000 entries, in each of 20 attempts", Stage: Execute, Want: want(OK), Entries: make([]string, 20), Modules: later(func() []byte {
			b := &bt.Builder{}
			void := b.Type(nil, nil)
			b.Tables(8, 100_000)
			b.Memory(1)
			b.Export("uniflow_abi_v1", b.Func(void, 0))
			b.Export("uniflow_run", b.Func(b.Type(nil, []byte{bt.I32}), 0, bt.Const(0)))
			return b.Bytes()
		})},
		Case{Name: "a budget of fuel that a loop uses up", Stage: Execute, Want: faults(flow.ReasonFuel), Modules: one(simple(0, `loop void br 0 end unreachable`)), Limits: flow.Limits{Fuel: 1_000_000}},
		Case{Name: "a budget of fuel that one instruction exceeds", Stage: Execute, Want: faults(flow.ReasonFuel), Limits: flow.Limits{Fuel: 10_000}, Modules: one(simple(0,
			`i32.const 900 memory.grow drop i32.const 0 i32.const 1 i32.const 50000000 memory.fill i32.const 0`))},
		Case{Name: "a million calls of the host", Stage: Execute, Want: want(OK), Modules: later(func() []byte {
			g := newReactor("uniflow.log", "uniflow.input_size")
			return g.entry(1, bt.Asm("loop void"), bt.Call(1), bt.Asm("i32.const 0 i32.gt_s br_if 0 end"), bt.Call(1), bt.Asm("i32.const -7 i32.ne"))
		})},
	)
}

// traps are guests that trap.
func traps() []Case {
	var cases []Case
	for name, text := range map[string]string{
		"unreachable":                               "unreachable",
		"a division by zero":                        "i32.const 1 i32.const 0 i32.div_u",
		"a remainder of zero":                       "i32.const 1 i32.const 0 i32.rem_u",
		"a division that overflows":                 "i32.const -2147483648 i32.const -1 i32.div_s",
		"a number that is none as an integer":       "f64.const 9000000000000000000 i32.trunc_f64_s",
		"a load behind the memory":                  "i32.const 65533 i32.load 0",
		"a load far behind the memory":              "i32.const -1 i32.load 4294967295",
		"a store behind the memory":                 "i32.const 65536 i32.const 1 i32.store8 0 i32.const 0",
		"a store that begins inside the memory":     "i32.const 65530 i64.const 1 i64.store 0 i32.const 0",
		"a fill behind the memory":                  "i32.const 65000 i32.const 1 i32.const 1000 memory.fill i32.const 0",
		"a fill of 4 GiB":                           "i32.const 0 i32.const 1 i32.const -1 memory.fill i32.const 0",
		"a copy from behind the memory":             "i32.const 0 i32.const 65000 i32.const 1000 memory.copy i32.const 0",
		"a copy to where sums wrap":                 "i32.const -16 i32.const 0 i32.const 32 memory.copy i32.const 0",
		"a call of an entry that the table has not": "i32.const -1 call_indirect 0 0 i32.const 0",
		"a call of an empty entry of the table":     "i32.const 1 call_indirect 0 0 i32.const 0",
		"a call by the table with another type":     "i32.const 0 call_indirect 1 0",
		"an entry behind the table":                 "i32.const 2 ref.null 112 table.set 0 i32.const 0",
		"a fill behind the table":                   "i32.const 1 ref.null 112 i32.const 5 table.fill 0 i32.const 0",
		"a copy from behind the table":              "i32.const 0 i32.const 1 i32.const -1 table.copy 0 0 i32.const 0",
	} {
		cases = append(cases, Case{Name: name, Stage: Execute, Want: faults(flow.ReasonTrap), Modules: later(func() []byte {
			g := newReactor() // types: 0 is () -> (), 1 is () -> i32
			g.Table(2)
			g.Type(nil, []byte{bt.I32})
			g.Element(0, 0)
			return g.entry(0, bt.Asm(text))
		})})
	}
	return append(cases,
		Case{Name: "segments behind the memory", Stage: Execute, Want: faults(flow.ReasonTrap), Modules: func() [][]byte {
			over, far := newReactor(), newReactor()
			over.Data(65_535, "xy")
			far.Data(1<<32-1, "x")
			return [][]byte{over.entry(0, bt.Const(0)), far.entry(0, bt.Const(0))}
		}},
		// The engine leaves out such a segment and those behind it, where the specification wants a trap.
		Case{Name: "functions behind the table", Stage: Execute, Want: want(OK, Ending(flow.ReasonTrap)), Modules: later(func() []byte {
			g := newReactor()
			g.Table(1)
			g.Element(1, 0)
			g.Element(1<<32-1, 0)
			return g.entry(0, bt.Const(0))
		})},
	)
}

// entryOf makes a reactor whose entry is this text; type 2 is (i32) -> i32, and there is a table of two entries.
func entryOf(text string) func() []byte {
	return func() []byte {
		g := newReactor()
		g.Type(nil, nil)
		g.Type([]byte{bt.I32}, []byte{bt.I32})
		g.Table(2)
		return g.entry(0, bt.Asm(text))
	}
}

// begins is a reactor whose start function is this code.
func begins(code ...[]byte) []byte {
	g := newReactor()
	g.Start(g.Func(g.void, 0, code...))
	return g.entry(0, bt.Const(0))
}

// fibonacci begins a reactor whose function 1 is the naive one: for 90 it would take centuries.
func fibonacci() *program {
	g := newReactor()
	g.Func(g.Type([]byte{bt.I32}, []byte{bt.I32}), 0, bt.Asm(`local.get 0 i32.const 2 i32.lt_u if void local.get 0 return end
		local.get 0 i32.const 1 i32.sub call 1 local.get 0 i32.const 2 i32.sub call 1 i32.add`))
	return g
}

// callTree is a chain of 60 functions that each call the next one twice.
func callTree() []byte {
	g := newReactor()
	next := g.Func(g.void, 0)
	for range 60 {
		next = g.Func(g.void, 0, bt.Call(next), bt.Call(next))
	}
	return g.entry(0, bt.Call(next), bt.Const(0))
}

// mutual is a recursion of two functions down to a depth of 60, each of which calls the other twice.
func mutual() []byte {
	g := newReactor()
	unary := g.Type([]byte{bt.I32}, nil)
	for _, other := range []int{2, 1} {
		g.Func(unary, 0, bt.Asm(strings.ReplaceAll(`local.get 0 i32.eqz if void return end
			local.get 0 i32.const 1 i32.sub call N local.get 0 i32.const 1 i32.sub call N`, "N", fmt.Sprint(other))))
	}
	return g.entry(0, bt.Const(60), bt.Call(1), bt.Const(0))
}

// byTable is the same by the table, one function that calls itself.
func byTable() []byte {
	g := newReactor()
	unary := g.Type([]byte{bt.I32}, nil)
	g.Table(1)
	again := fmt.Sprintf(`local.get 0 i32.const 1 i32.sub i32.const 0 call_indirect %d 0 `, unary)
	g.Element(0, g.Func(unary, 0, bt.Asm(`local.get 0 i32.eqz if void return end `+again+again)))
	return g.entry(0, bt.Const(60), bt.Call(1), bt.Const(0))
}

// initAgain copies a segment of a mebibyte to memory, 100 times in each turn of a loop.
func initAgain() []byte {
	g := newReactor()
	g.Pages(32)
	g.Passive(strings.Repeat("x", 1<<20))
	return g.entry(0, bt.Asm("loop void "+strings.Repeat("i32.const 0 i32.const 0 i32.const 1048576 memory.init 0 0 ", 100)+"br 0 end unreachable"))
}

// tableAgain does what it can to a table of 90,000 entries.
func tableAgain() []byte {
	g := newReactor()
	g.Table(90_000)
	return g.entry(0, bt.Asm("loop void "+strings.Repeat("i32.const 0 ref.null 112 i32.const 90000 table.fill 0 i32.const 0 i32.const 1 i32.const 89999 table.copy 0 0 ", 100)+"br 0 end unreachable"))
}

// hostLoop calls a function of the host for ever.
func hostLoop(name string, args ...int) func() []byte {
	return func() []byte {
		g := newReactor("uniflow."+name, "wasi."+name)
		g.Data(0, "host.info")
		g.Data(16, "k")
		code := g.call(name, args...)
		if name != "log" {
			code = append(code, bt.Drop)
		}
		return g.entry(0, bt.Loop(code), bt.Op(bt.Unreachable))
	}
}

// sleeper is a command that waits: for a time, or for standard input beyond what it was given.
func sleeper(kind byte) func() []byte {
	return func() []byte {
		g := newCommand("wasi.poll_oneoff")
		g.Data(8, string([]byte{kind}))
		if kind == 0 {
			g.Data(24, "\xff\xff\xff\xff\xff\xff\xff\x7f")
		}
		return g.start(0, bt.Loop(g.drop("poll_oneoff", 0, 1000, 1, 2000)))
	}
}
