package hostile

import (
	"fmt"
	"strings"

	"github.com/uniflow-dev/uniflow/host/flow"
	bt "github.com/uniflow-dev/uniflow/host/internal/wasm/binary/binarytest"
)

// Errors of the host ABI.
const (
	denied      = -1
	tooLarge    = -3
	invalid     = -4
	unavailable = -5
	unknownOp   = -8
	badPointer  = -9
)

// all are the imports of the host ABI.
//
//nolint:gochecknoglobals // constant
var all = []string{
	"uniflow.input_size", "uniflow.input_read", "uniflow.output", "uniflow.log", "uniflow.fail", "uniflow.progress",
	"uniflow.call", "uniflow.call_read", "uniflow.call_write",
}

// checking is a case whose guest checks the host's answers by itself.
func checking(name string, fill func(g *program)) Case {
	return Case{Name: name, Stage: HostABI, Want: want(OK), Modules: later(func() []byte {
		g := newReactor(all...)
		g.Data(0, "k1{}host.infono.such.op\xff\xfe")
		fill(g)
		return g.checked()
	})}
}

// Places of texts in the memory of checking guests.
const (
	atKey    = 0 // "k"
	atOne    = 1 // "1", a JSON value
	atObject = 2 // "{}"
	atInfo   = 4 // "host.info", 9 bytes
	atNoOp   = 13
	atBad    = 23 // two bytes that are not UTF-8
	atFree   = 1024
)

// abiCases are lies to the functions of the host.
func abiCases() []Case {
	return append(endingCases(), []Case{
		checking("pointers and lengths behind the memory", badPointers),
		checking("empty texts at the end of the memory", func(g *program) {
			g.expect("an empty chunk", 0, g.call("call_write", 65_536, 0))
			g.expect("an empty name", invalid, g.call("output", 65_536, 0, atOne, 1))
			g.expect("an empty value", invalid, g.call("output", atKey, 1, 65_536, 0))
			g.expect("nothing read", 0, g.call("input_read", 65_536, 0, 0))
		}),
		checking("input from behind its end", func(g *program) {
			for _, off := range []int{1 << 20, 1<<31 - 1, 1 << 31, 1<<32 - 1} {
				g.expect(fmt.Sprint("offset ", off), 0, g.call("input_read", atFree, off, 100))
				g.expect(fmt.Sprint("a response at ", off), 0, g.call("call_read", atFree, off, 100))
			}
			g.expect("one byte", 1, g.call("input_read", 65_535, 0, 1))
		}),
		checking("outputs that are no JSON", func(g *program) {
			for _, bad := range []string{"{", "]", "nul", "'x'", "01", "1 1", "\"\x00\"", "{\"a\":}", "[1,]", "NaN", "\xef\xbb\xbf1", "\xff", "\"\xed\xa0\x80\""} {
				g.Data(g.text, bad)
				at := g.text
				g.text += len(bad)
				g.expect(fmt.Sprintf("value %q", bad), invalid, g.call("output", atKey, 1, at, len(bad)))
			}
			g.expect("a name", invalid, g.call("output", atBad, 2, atOne, 1))
		}),
		checking("an output nested 30,000 deep", func(g *program) {
			g.do(bt.Asm(fmt.Sprintf("i32.const %d i32.const 91 i32.const 30000 memory.fill", atFree)))
			g.expect("30,000 brackets", invalid, g.call("output", atKey, 1, atFree, 30_000))
			g.expect("65 of them", invalid, g.call("output", atKey, 1, atFree, 65))
		}),
		checking("an output over its limit", func(g *program) {
			g.do(bt.Asm(fmt.Sprintf("i32.const 400 memory.grow drop i32.const 65536 i32.const 32 i32.const %d memory.fill i32.const 65536 i32.const 49 i32.store8 0", 4<<20)))
			g.expect("4 MiB", tooLarge, g.call("output", atKey, 1, 65_536, 4<<20))
			g.expect("a byte too many", tooLarge, g.call("output", atKey, 1, 65_536, 1<<20+1))
			g.expect("just enough", 0, g.call("output", atKey, 1, 65_536, 1<<20))
			g.expect("another byte", tooLarge, g.call("output", atOne, 1, atOne, 1))
		}),
		checking("65 outputs, and a name of 129 bytes", func(g *program) {
			for i := range 65 {
				wanted := 0
				if i == 64 {
					wanted = tooLarge
				}
				g.do(bt.Asm(fmt.Sprintf("i32.const %d i32.const %d i32.store8 0", atFree, 'A'+i%58)))
				g.do(bt.Asm(fmt.Sprintf("i32.const %d i32.const %d i32.store8 0", atFree+1, 'A'+i/58)))
				g.expect(fmt.Sprint("output ", i), wanted, g.call("output", atFree, 2, atOne, 1))
			}
			g.do(bt.Asm("i32.const 2048 i32.const 110 i32.const 129 memory.fill"))
			g.expect("a long name", tooLarge, g.call("output", 2048, 129, atOne, 1))
		}),
		checking("one output 10,000 times", func(g *program) {
			g.do(bt.Asm("loop void"), g.drop("output", atKey, 1, atObject, 2), bt.Asm("local.get 1 i32.const 1 i32.add local.tee 1 i32.const 10000 i32.lt_u br_if 0 end"))
			g.expect("once more", 0, g.call("output", atKey, 1, atOne, 1))
		}),
		checking("services that there are not", func(g *program) {
			g.expect("no.such.op", unknownOp, g.call("call", atNoOp, 10, 0, 0))
			g.expect("no name", unknownOp, g.call("call", 0, 0, 0, 0))
			g.expect("a name that is not UTF-8", invalid, g.call("call", atBad, 2, 0, 0))
			g.expect("a request that is not UTF-8", invalid, g.call("call", atInfo, 9, atBad, 2))
			g.expect("a name of 60,000 bytes", tooLarge, g.call("call", 0, 60_000, 0, 0))
			g.expect("a name with zeros in it", unknownOp, g.call("call", 100, 20, 0, 0))
		}),
		checking("a request of 60 MiB", func(g *program) {
			g.do(bt.Asm("i32.const 1000 memory.grow drop"))
			g.expect("60 MiB", tooLarge, g.call("call", atInfo, 9, 0, 60<<20))
			g.expect("a body of 60 MiB", tooLarge, g.call("call_write", 0, 60<<20))
			g.expect("8 MiB", 0, g.call("call_write", 0, 8<<20))
			g.expect("a byte more", tooLarge, g.call("call_write", 0, 1))
		}),
		checking("a response that is read where there is none", func(g *program) {
			g.expect("before a call", 0, g.call("call_read", 0, 0, 100))
			g.expect("a call", 18, g.call("call", atInfo, 9, 0, 0))
			g.expect("half of it", 10, g.call("call_read", atFree, 8, 100))
			g.expect("over itself", 18, g.call("call_read", atInfo, 0, 100))
		}),
		checking("levels, kinds and permilles that there are not", func(g *program) {
			g.do(g.call("log", -1, atKey, 1), g.call("log", 1<<31, atKey, 1))
			g.expect("a permille", 0, g.call("progress", -1, atKey, 1))
			g.expect("a permille", 0, g.call("progress", 1<<31-1, 0, 0))
			g.expect("a message that is not UTF-8", invalid, g.call("progress", 1, atBad, 2))
			g.expect("a message of 60,000 bytes", tooLarge, g.call("progress", 1, 0, 60_000))
			g.do(g.call("log", 2, atBad, 2))
		}),
		{Name: "100,000 log lines", Stage: HostABI, Want: want(OK), Modules: later(func() []byte {
			g := newReactor(all...)
			return g.entry(1, bt.Asm("loop void"), g.call("log", 4, 0, 1000), bt.Asm("local.get 0 i32.const 1 i32.add local.tee 0 i32.const 100000 i32.lt_u br_if 0 end i32.const 0"))
		})},
		{Name: "a line of 60 MiB", Stage: HostABI, Want: want(OK), Modules: later(func() []byte {
			g := newReactor(all...)
			return g.entry(0, bt.Asm("i32.const 1000 memory.grow drop i32.const 0 i32.const 120 i32.const 62914560 memory.fill"), g.call("log", 4, 0, 60<<20), bt.Const(0))
		})},
		{Name: "control characters in a line", Stage: HostABI, Want: want(OK), Modules: later(func() []byte {
			g := newReactor(all...)
			g.Data(0, "\x1b]0;owned\x07\x1b[2J\r\nlevel=ERROR\x00 msg=\"forged\"\u202e")
			return g.entry(0, g.call("log", 2, 0, 50), bt.Const(0))
		})},
	}...)
}

// badPointers calls every function with pointers and lengths that leave the memory of one page.
func badPointers(g *program) {
	for _, p := range [][2]int{{1<<32 - 1, 1<<32 - 1}, {1<<32 - 1, 1}, {65_535, 2}, {65_536, 1}, {0, 65_537}, {1 << 31, 1 << 31}, {1, 1<<32 - 1}, {0, 1 << 31}, {1<<32 - 65_536, 65_536}, {1<<32 - 8, 16}} {
		ptr, size := p[0], p[1]
		for name, args := range map[string][]int{
			"input_read": {ptr, 0, size}, "fail": {1, ptr, size}, "progress": {1, ptr, size}, "call_read": {ptr, 0, size}, "call_write": {ptr, size},
		} {
			g.expect(fmt.Sprintf("%s at %d, %d bytes", name, ptr, size), badPointer, g.call(name, args...))
		}
		for _, name := range []string{"output", "call"} {
			g.expect(fmt.Sprintf("%s: a name at %d, %d bytes", name, ptr, size), badPointer, g.call(name, ptr, size, atOne, 1))
			g.expect(fmt.Sprintf("%s: a value at %d, %d bytes", name, ptr, size), badPointer, g.call(name, atKey, 1, ptr, size))
		}
		g.do(g.call("log", 2, ptr, size))
	}
}

// endingCases are verdicts of guests that are no verdicts.
func endingCases() []Case {
	ending := func(name string, wanted Ending, ret int, code func(g *program) []byte) Case {
		return Case{Name: name, Stage: HostABI, Want: want(wanted), Modules: later(func() []byte {
			g := newReactor(all...)
			g.Data(0, `{"retry_after_ms":1e300,"code":7}{"retry_after_ms":-5}`)
			g.Data(100, `{"code":"x","code":"y","message":"twice"}`)
			return g.entry(0, code(g), bt.Const(ret))
		})}
	}
	return []Case{
		ending("results that are no kind of a verdict", Failed, -2147483648, func(*program) []byte { return nil }),
		ending("a failure of a kind that there is not", Failed, 0, func(g *program) []byte { return g.drop("fail", 1<<31, 0, 1) }),
		ending("a failure of kind 0", Failed, 0, func(g *program) []byte { return g.drop("fail", 0, 0, 1) }),
		ending("a failure with a message of 60,000 bytes", OK, 0, func(g *program) []byte { return g.drop("fail", 4, 0, 60_000) }),
		ending("a failure with a message that is not UTF-8", OK, 0, func(g *program) []byte {
			g.Data(4096, "\xff\xfe")
			return g.drop("fail", 4, 4096, 2)
		}),
		ending("a retry after 10^300 milliseconds", Retry, 0, func(g *program) []byte { return g.drop("fail", 3, 0, 33) }),
		ending("a retry after less than no time", Retry, 0, func(g *program) []byte { return g.drop("fail", 3, 33, 21) }),
		ending("a failure with a key twice", Permanent, 0, func(g *program) []byte { return g.drop("fail", 4, 100, 41) }),
		ending("10,000 failures, of which the last counts", Skip, 1, func(g *program) []byte {
			return bt.Join(bytesOf(10_000, g.drop("fail", 4, 0, 1)), g.drop("fail", 2, 0, 1))
		}),
		ending("a trap inside of a tree of calls", Ending(flow.ReasonTrap), 0, func(*program) []byte {
			return bt.Asm(strings.Repeat("block void ", 100) + "unreachable " + strings.Repeat("end ", 100))
		}),
	}
}

func bytesOf(n int, code []byte) []byte {
	var out []byte
	for range n {
		out = append(out, code...)
	}
	return out
}
