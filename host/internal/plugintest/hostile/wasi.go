package hostile

import (
	"fmt"

	"github.com/uniflow-dev/uniflow/host/flow"
	bt "github.com/uniflow-dev/uniflow/host/internal/wasm/binary/binarytest"
)

// Errors of WASI preview 1 that guests check for.
const (
	wasiOK     = 0
	wasiBadf   = 8
	wasiFault  = 21
	wasiNoent  = 44
	wasiNotSup = 58
)

// oddArguments are what every parameter of a function is at once: everything, the end of the memory, a sign.
var oddArguments = []int{-1, 0, 65_536, 65_528, 1 << 31, 1<<31 - 1, 1 << 28, 3} //nolint:gochecknoglobals // constant

// wasiCases are lies to the functions of WASI. What the engine answers is its own matter: an error or a trap.
func wasiCases() []Case {
	odd := want(OK, Ending(flow.ReasonTrap))
	entries := func(exit bool) []string {
		var names []string
		for _, s := range functions("wasi") {
			for i := range oddArguments {
				if (s.name == "proc_exit") == exit {
					names = append(names, fmt.Sprint(s.name, "/", i))
				}
			}
		}
		return names
	}
	return append(commandCases(), []Case{
		{Name: "every function with odd arguments", Stage: WASI, Modules: later(oddCalls), Want: odd, Entries: entries(false)},
		{Name: "ends of a reactor with odd codes", Stage: WASI, Modules: later(oddCalls), Want: want(OK, Failed), Entries: entries(true)},
		{Name: "more vectors than are served", Stage: WASI, Want: faults(flow.ReasonTrap), Entries: vectorEntries(), Modules: later(manyVectors)},
		{Name: "vectors that lie over one another and themselves", Stage: WASI, Want: want(OK), Modules: later(func() []byte {
			g := newReactor("wasi.fd_write", "wasi.random_get")
			return g.entry(1, bt.Asm("loop void local.get 0 i32.const 0 i32.store 0 local.get 0 i32.const 4096 i32.store 4 local.get 0 i32.const 8 i32.add local.tee 0 i32.const 4096 i32.lt_u br_if 0 end"),
				g.drop("fd_write", 1, 0, 512, 0), g.drop("fd_write", 2, 0, 512, 4), bt.Const(0))
		})},
		{Name: "16,000 vectors of 60,000 bytes again and again", Stage: WASI, Want: faults(flow.ReasonTimeout), Timeout: 3 * runawayTime, Modules: later(func() []byte {
			g := newReactor("wasi.fd_write")
			return g.entry(1, vectors(16_000, 60_000), bt.Loop(g.drop("fd_write", 1, 65_536, 16_000, 8)), bt.Op(bt.Unreachable))
		})},
		{Name: "more subscriptions than are served", Stage: WASI, Want: faults(flow.ReasonTrap), Entries: []string{"0", "1", "2", "3"}, Modules: later(func() []byte {
			g := newReactor("wasi.poll_oneoff")
			for i, n := range []int{1 << 28, 1<<32 - 1, 89_478_486, 1_300_000} { // the sizes of some wrap to few bytes
				g.named(fmt.Sprint(i), 0, g.drop("poll_oneoff", 0, 0, n, 0), bt.Const(0))
			}
			return g.Bytes()
		})},
		{Name: "16,000 subscriptions to standard input again and again", Stage: WASI, Want: faults(flow.ReasonTimeout), Timeout: 3 * runawayTime, Modules: later(func() []byte {
			g := newReactor("wasi.poll_oneoff")
			return g.entry(0, bt.Asm("i32.const 100 memory.grow drop i32.const 0 i32.const 1 i32.const 6000000 memory.fill"),
				bt.Loop(g.drop("poll_oneoff", 0, 0, 16_000, 0)), bt.Op(bt.Unreachable))
		})},
		{Name: "16,000 empty vectors again and again", Stage: WASI, Want: faults(flow.ReasonTimeout), Timeout: 3 * runawayTime, Modules: later(func() []byte {
			g := newReactor("wasi.fd_write")
			return g.entry(1, vectors(16_000, 0), bt.Loop(g.drop("fd_write", 1, 65_536, 16_000, 8)), bt.Op(bt.Unreachable))
		})},
		{Name: "random bytes for 4 GiB", Stage: WASI, Want: want(OK), Modules: later(func() []byte {
			g := newReactor("uniflow.log", "wasi.random_get")
			g.expect("4 GiB", wasiFault, g.call("random_get", 0, -1))
			g.expect("beyond the end", wasiFault, g.call("random_get", 65_535, 2))
			return g.checked()
		})},
		{Name: "64 MiB of random bytes again and again", Stage: WASI, Want: faults(flow.ReasonTimeout), Timeout: runawayTime, Modules: later(func() []byte {
			g := newReactor("wasi.random_get")
			return g.entry(0, bt.Asm("i32.const 1000 memory.grow drop"), bt.Loop(g.drop("random_get", 0, 64<<20)), bt.Op(bt.Unreachable))
		})},
		{Name: "a descriptor under a number of four thousand million", Stage: WASI, Want: want(OK), Modules: later(func() []byte {
			g := newReactor("uniflow.log", "wasi.fd_renumber")
			for _, to := range []int{1<<31 - 1, 1 << 20, -1, 0, 1} {
				g.expect(fmt.Sprint("to ", to), wasiNotSup, g.call("fd_renumber", 3, to))
			}
			return g.checked()
		})},
		{Name: "standard streams and folders that are closed", Stage: WASI, Want: want(OK), Entries: make([]string, 4), Modules: later(closing)},
		{Name: "sockets", Stage: WASI, Want: want(OK), Modules: later(func() []byte {
			g := newReactor("uniflow.log", "wasi.sock_accept", "wasi.sock_recv", "wasi.sock_send", "wasi.sock_shutdown")
			for fd := range 6 {
				g.expect(fmt.Sprint("accept on ", fd), wasiBadf, g.call("sock_accept", fd, 0, 0))
			}
			return g.checked()
		})},
	}...)
}

// oddCalls has an entry for each function and each odd argument.
func oddCalls() []byte {
	var names []string
	for _, s := range functions("wasi") {
		names = append(names, "wasi."+s.name)
	}
	g := newReactor(names...)
	for _, s := range functions("wasi") {
		for i, n := range oddArguments {
			args := make([]int, len(s.params))
			for j := range args {
				args[j] = n
			}
			code := g.call(s.name, args...)
			if s.result {
				code = append(code, bt.Drop)
			}
			g.named(fmt.Sprint(s.name, "/", i), 0, code, bt.Const(0))
		}
	}
	return g.Bytes()
}

// vectorEntries and manyVectors call what takes vectors with so many that their size wraps to none, and with too many.
func vectorEntries() []string {
	var names []string
	for _, name := range []string{"fd_write", "fd_read", "fd_pread", "fd_pwrite"} {
		names = append(names, name+"/none", name+"/all")
	}
	return names
}

func manyVectors() []byte {
	g := newReactor("wasi.fd_write", "wasi.fd_read", "wasi.fd_pread", "wasi.fd_pwrite")
	for kind, n := range map[string]int{"none": 1 << 29, "all": 1<<32 - 1} {
		g.named("fd_write/"+kind, 0, g.drop("fd_write", 1, 0, n, 8), bt.Const(0))
		g.named("fd_read/"+kind, 0, g.drop("fd_read", 0, 0, n, 8), bt.Const(0))
		g.named("fd_pread/"+kind, 0, g.drop("fd_pread", 0, 0, n, 0, 8), bt.Const(0))
		g.named("fd_pwrite/"+kind, 0, g.drop("fd_pwrite", 1, 0, n, 0, 8), bt.Const(0))
	}
	return g.Bytes()
}

// vectors fills memory from 65,536 on with n vectors of the same bytes; it needs a local.
func vectors(n, size int) []byte {
	end := 65_536 + 8*n
	return bt.Asm(fmt.Sprintf(`i32.const %d memory.grow drop i32.const 65536 local.set 0
		loop void local.get 0 i32.const 0 i32.store 0 local.get 0 i32.const %d i32.store 4
		local.get 0 i32.const 8 i32.add local.tee 0 i32.const %d i32.lt_u br_if 0 end `, end>>16+1, size, end))
}

// closing closes what an attempt begins with, which the next must have again.
func closing() []byte {
	g := newReactor("uniflow.log", "wasi.fd_close", "wasi.fd_prestat_get", "wasi.fd_write")
	g.expect("a folder is there", wasiOK, g.call("fd_prestat_get", 3, 0))
	for fd := range 8 {
		want := wasiOK
		if fd > 4 {
			want = wasiBadf
		}
		g.expect(fmt.Sprint("close ", fd), want, g.call("fd_close", fd))
	}
	g.expect("a folder is gone", wasiBadf, g.call("fd_prestat_get", 3, 0))
	g.expect("a stream is gone", wasiBadf, g.call("fd_write", 1, 0, 0, 8))
	return g.checked()
}

// commandCases are odd ends and outputs of commands.
func commandCases() []Case {
	var cases []Case
	for _, c := range []struct {
		code int
		want Ending
	}{{0, OK}, {1, Failed}, {65, Permanent}, {75, Retry}, {78, Permanent}, {99, Skip}, {255, Failed}, {256, Failed}, {1<<31 - 1, Failed}, {1 << 31, Failed}, {1<<32 - 1, Failed}, {0xff_ff_00_00, Failed}} {
		cases = append(cases, Case{Name: fmt.Sprintf("an exit with code %d", c.code), Stage: WASI, Want: want(c.want), Modules: later(func() []byte {
			g := newCommand("wasi.proc_exit")
			return g.start(0, g.call("proc_exit", c.code))
		})})
	}
	printing := func(times string, text string) func() []byte {
		return func() []byte {
			g := newCommand("wasi.fd_write")
			g.Data(0, "\x10\x00\x00\x00")
			g.Data(4, string([]byte{byte(len(text)), byte(len(text) >> 8), 0, 0}))
			g.Data(16, text)
			return g.start(1, bt.Asm("loop void"), g.drop("fd_write", 1, 0, 1, 8), bt.Asm("local.get 0 i32.const 1 i32.add local.tee 0 i32.const "+times+" i32.lt_u br_if 0 end"))
		}
	}
	return append(cases,
		Case{Name: "standard output without an end", Stage: WASI, Modules: later(printing("-1", "0123456789abcdef\n")), Want: faults(flow.ReasonOutputLimit)},
		Case{Name: "standard output that is nested too deep", Stage: WASI, Modules: later(printing("20000", "[")), Want: want(OK, Ending(flow.ReasonOutput))},
		Case{Name: "standard output that is nested too deep, and closed", Stage: WASI, Modules: later(printing("1", nestedJSON(15_000))), Want: want(OK, Ending(flow.ReasonOutput))},
		Case{Name: "standard output with a key twice", Stage: WASI, Modules: later(printing("1", `{"a":1,"a":2,"":3}`)), Want: want(OK, Ending(flow.ReasonOutput))},
		Case{Name: "standard output with 65 names", Stage: WASI, Modules: later(printing("1", manyNames(65))), Want: faults(flow.ReasonOutputLimit)},
		Case{Name: "standard output that is not UTF-8", Stage: WASI, Modules: later(printing("3", "\xff\xfe{\x00")), Want: want(OK)},
		Case{Name: "1,024 vectors of standard output for each byte", Stage: WASI, Want: faults(flow.ReasonOutputLimit), Modules: later(func() []byte {
			g := newCommand("wasi.fd_write")
			return g.start(1, vectors(4_096, 65_536), g.drop("fd_write", 1, 65_536, 4_096, 8))
		})},
	)
}

func nestedJSON(n int) string { return string(filled(n, '[')) + string(filled(n, ']')) }

func manyNames(n int) string {
	var text []byte
	for i := range n {
		text = fmt.Appendf(text, `,"n%d":%d`, i, i)
	}
	return "{" + string(text[1:]) + "}"
}
