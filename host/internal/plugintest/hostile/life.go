package hostile

import (
	"github.com/uniflow-dev/uniflow/host/flow"
	bt "github.com/uniflow-dev/uniflow/host/internal/wasm/binary/binarytest"
)

// lifeCases are misuses of what is called around an entry, and attempts to leave something for the next attempt.
func lifeCases() []Case {
	var cases []Case
	for _, hook := range []string{"_initialize", "uniflow_warm", "uniflow_reseed"} {
		within := func(name string, wanted []Ending, code func(g *program) []byte) {
			c := Case{Name: hook + " that " + name, Stage: Life, Want: wanted, Entries: make([]string, 3), Modules: later(func() []byte {
				g := newReactor(append(all, "wasi.random_get", "wasi.proc_exit")...)
				g.Data(atInfo, "host.info")
				g.Export(hook, g.Func(g.void, 0, code(g)))
				return g.entry(0, bt.Asm("i32.const 2000 i32.load 0"))
			})}
			if wanted[0] == Ending(flow.ReasonTimeout) {
				c.Timeout = runawayTime
			}
			cases = append(cases, c)
		}
		within("spins", faults(flow.ReasonTimeout), func(*program) []byte { return bt.Loop() })
		within("traps", faults(flow.ReasonTrap), func(*program) []byte { return bt.Op(bt.Unreachable) })
		within("recurses", faults(flow.ReasonStack), func(g *program) []byte { return bt.Call(len(g.f) + 1) })
		within("exits", want(OK, Failed), func(g *program) []byte { return g.call("proc_exit", 3) })
		within("grows over the limit", want(OK), func(*program) []byte {
			return bt.Asm("i32.const 2000 memory.grow i32.const -1 i32.ne if void unreachable end")
		})
		within("calls a service", want(OK), func(g *program) []byte {
			return bt.Join(bt.Const(2000), g.call("call", atInfo, 9, 0, 0), bt.Const(unavailable), bt.Asm("i32.ne i32.store 0"))
		})
		within("fails", want(OK, Failed, Permanent), func(g *program) []byte { return g.drop("fail", 4, 0, 0) })
		within("logs for ever", faults(flow.ReasonTimeout), func(g *program) []byte { return bt.Loop(g.call("log", 4, 0, 1000)) })
	}
	return append(cases, hidingCases()...)
}

// hidingCases are guests that look for what an attempt before them left behind, leave something themselves, and are
// content if they have found nothing.
func hidingCases() []Case {
	var cases []Case
	hides := func(name string, module func() []byte) {
		cases = append(cases, Case{Name: "something hidden in " + name, Stage: Life, Modules: later(module), Want: want(OK), Entries: make([]string, 5)})
	}
	text := func(name, code string) { hides(name, func() []byte { return simple(1, code) }) }
	text("the first page", "i32.const 0 i32.load 16 i32.const 0 i32.const 1 i32.store 16")
	text("the last bytes of memory", "i32.const 0 i32.load 65532 i32.const 0 i32.const 1 i32.store 65532")
	text("all of memory", "i32.const 0 i32.load 30000 i32.const 0 i32.const 255 i32.const 65536 memory.fill")
	text("memory that was grown", "memory.size i32.const 1 i32.sub i32.const 1 memory.grow i32.const 16 i32.shl i32.const 7 i32.store 100")
	text("memory that was grown and traps", "memory.size i32.const 1 i32.sub i32.const 3 memory.grow drop")
	hides("a global", func() []byte {
		g := newReactor()
		g.Global(0)
		return g.entry(0, bt.Asm("global.get 0 i32.const 1 global.set 0"))
	})
	hides("a table", func() []byte {
		g := newReactor()
		g.Table(1)
		return g.entry(0, bt.Asm("table.size 0 i32.const 1 i32.sub ref.null 112 i32.const 1 table.grow 0 drop i32.const 0 ref.func 0 table.set 0"))
	})
	hides("a segment that was dropped", func() []byte {
		g := newReactor()
		g.Passive("once")
		return g.entry(0, bt.Asm("i32.const 0 i32.const 0 i32.const 4 memory.init 0 0 data.drop 0 i32.const 0"))
	})
	hides("the body of a request", func() []byte {
		g := newReactor("uniflow.call_write", "uniflow.log")
		g.expect("8 MiB fit", 0, bt.Asm("i32.const 200 memory.grow drop"), g.call("call_write", 0, 8<<20))
		return g.checked()
	})
	hides("the response of a service", func() []byte {
		g := newReactor("uniflow.call", "uniflow.call_read", "uniflow.log")
		g.Data(0, "host.info")
		g.expect("no response", 0, g.call("call_read", 1000, 0, 100))
		g.do(g.drop("call", 0, 9, 0, 0))
		return g.checked()
	})
	hides("an output", func() []byte {
		g := newReactor("uniflow.output", "uniflow.log", "uniflow.input_size")
		g.do(bt.Asm("i32.const 16 memory.grow drop i32.const 65536 i32.const 32 i32.const 1000000 memory.fill i32.const 65536 i32.const 49 i32.store8 0"))
		g.expect("a megabyte fits", 0, g.call("output", 0, 1, 65_536, 1_000_000))
		return g.checked()
	})
	hides("a verdict", func() []byte {
		g := newReactor("uniflow.fail", "uniflow.log")
		g.expect("a message that is refused", tooLarge, g.call("fail", 4, 0, 60_000))
		return g.checked()
	})
	hides("a file", func() []byte {
		g := opening("left", openCreate|4) // must be new
		g.Data(atVecs, "\x00\x10\x00\x00\x04\x00\x00\x00")
		g.expect("write", 0, g.onFile("fd_write", atVecs, 1, 8))
		return g.checked()
	})
	hides("an open descriptor", func() []byte {
		g := opening("x", openCreate)
		g.expect("the descriptor is the first", 5, bt.Asm("i32.const 1000 i32.load 0"))
		return g.checked()
	})
	hides("a folder that was closed", func() []byte {
		g := newReactor("uniflow.log", "wasi.fd_close")
		g.expect("close", 0, g.call("fd_close", 3))
		return g.checked()
	})
	return cases
}
