package hostile

import (
	"fmt"
	"strings"

	"github.com/uniflow-dev/uniflow/host/flow"
	bt "github.com/uniflow-dev/uniflow/host/internal/wasm/binary/binarytest"
)

// linkCases are modules that ask for what there is not, or offer what cannot be used.
func linkCases() []Case {
	imports, noEntry, malformed := refused(flow.CodeImports), refused(flow.CodeNoEntry), refused(flow.CodeMalformed)
	return []Case{
		{Name: "imports of functions that there are not", Stage: Decode, Want: imports, Modules: func() [][]byte {
			var all [][]byte
			for _, name := range []string{"env.abort", "env.system", "uniflow.exec", "uniflow_v2.call", "wasi_unstable.fd_write", "wasi_snapshot_preview1.proc_spawn", ".", "uniflow.", "a.\x1b[2J", "os/exec.Command"} {
				all = append(all, importing(name, 0))
			}
			return all
		}},
		{Name: "imports of functions by another signature", Stage: Decode, Modules: wrongSignatures, Want: imports},
		{Name: "imports of a memory, a table, a global", Stage: Decode, Want: imports, Modules: func() [][]byte {
			var all [][]byte
			for _, what := range [][]byte{{1, 0x70, 0, 1}, {2, 0, 1}, {3, bt.I32, 1}, {3, bt.I32, 0}} {
				for _, name := range []string{"env.x", "uniflow.call", "wasi_snapshot_preview1.fd_write"} {
					all = append(all, module(sec(secImport, 1, importName(name), what)))
				}
			}
			return all
		}},
		{Name: "1,024 imports of nothing", Stage: Decode, Want: imports, Modules: later(func() []byte {
			b := &bt.Builder{}
			typ := b.Type(nil, nil)
			for i := range 1024 {
				b.Import(strings.Repeat("m", 500), fmt.Sprint(strings.Repeat("f", 400), i), typ)
			}
			return b.Bytes()
		})},
		{Name: "a plugin of Extism that needs its own host", Stage: Decode, Want: refused(flow.CodeExtism), Modules: later(func() []byte {
			g := imported()
			g.Import("extism:host/env", "reset", g.void)
			g.Import("extism:host/user", "reset", g.void)
			g.Export("run", g.Func(g.void, 0))
			return g.Bytes()
		})},
		{Name: "functions of Extism that there are not, or by another signature", Stage: Decode, Want: imports, Modules: func() [][]byte {
			var all [][]byte
			for _, name := range []string{"input_length", "exec", ""} {
				g := imported()
				g.Import("extism:host/env", name, g.void)
				g.Export("run", g.Func(g.void, 0))
				all = append(all, g.Bytes())
			}
			return all
		}},
		{Name: "imports of the host's own module", Stage: Decode, Want: malformed, Modules: func() [][]byte {
			return [][]byte{importing("uniflow:engine.tick", 0), importing("uniflow:.x", 0), importing("uniflow:engine.other", 0)}
		}},
		{Name: "exports under names of the host's own", Stage: Decode, Want: malformed, Modules: func() [][]byte {
			var all [][]byte
			for _, name := range []string{"uniflow:fuel", "uniflow:global:0", "uniflow:", "uniflow:x"} {
				g := newReactor()
				g.Export(name, 0)
				all = append(all, g.entry(0, bt.Const(0)))
			}
			return all
		}},
		{Name: "two exports of one name", Stage: Decode, Want: malformed, Modules: later(func() []byte {
			g := newReactor()
			g.Export("uniflow_run", 0)
			return g.entry(0, bt.Const(0))
		})},
		{Name: "no memory for the imports", Stage: Decode, Want: noEntry, Modules: func() [][]byte {
			g, own := imported("uniflow.output"), imported("wasi.random_get")
			g.Export("uniflow_abi_v1", g.Func(g.void, 0))
			own.PrivateMemory(1)
			return [][]byte{g.entry(0, bt.Const(0)), own.start(0)}
		}},
		{Name: "another thing exported as memory", Stage: Decode, Want: noEntry, Modules: later(func() []byte {
			g := imported("uniflow.output")
			g.PrivateMemory(1)
			g.Export("memory", g.Func(g.void, 0))
			g.Export("uniflow_abi_v1", g.Func(g.void, 0))
			return g.entry(0, bt.Const(0))
		})},
		{Name: "no entry", Stage: Decode, Want: noEntry, Modules: func() [][]byte {
			return [][]byte{newReactor().Bytes(), (&bt.Builder{}).Bytes(), imported("uniflow.output").Bytes()}
		}},
		{Name: "entries of other signatures", Stage: Decode, Modules: wrongEntries, Want: noEntry},
		{
			Name: "a function that the module does not have", Stage: Execute, Modules: one(simple(0, "i32.const 0")), Want: faults(flow.ReasonInvalid),
			Entries: []string{"no_such", "memory", "uniflow_abi_v1", "_initialize", "uniflow:fuel", "\x00", strings.Repeat("x", 1<<20)},
		},
		{Name: "a start function with parameters", Stage: Decode, Want: malformed, Modules: later(func() []byte {
			g := newReactor()
			g.Start(g.Func(g.Type([]byte{bt.I32}, nil), 0))
			return g.entry(0, bt.Const(0))
		})},
	}
}

// importName is the name "module.name" as it stands in an import.
func importName(full string) []byte {
	module, name, _ := strings.Cut(full, ".")
	return bt.Join(bt.Vec([]byte(module)), bt.Vec([]byte(name)))
}

// importing is a reactor that imports a function of type () -> ().
func importing(full string, params int) []byte {
	module, name, _ := strings.Cut(full, ".")
	g := imported()
	g.Import(module, name, g.Type(filled(params, bt.I32), nil))
	g.Memory(1)
	g.Export("uniflow_abi_v1", g.Func(g.void, 0))
	return g.entry(0, bt.Const(0))
}

// wrongSignatures import each function that there is with a parameter too many, or with results of 64 bits.
func wrongSignatures() [][]byte {
	var all [][]byte
	for _, s := range append(functions("uniflow"), functions("wasi")...) {
		g := imported()
		more := s
		more.params = append([]byte{bt.I64}, s.params...)
		g.add(more)
		g.Memory(1)
		all = append(all, g.start(0))
	}
	return all
}

// wrongEntries export the names of entries with signatures that they do not have.
func wrongEntries() [][]byte {
	var all [][]byte
	for _, name := range []string{"_start", "_initialize", "uniflow_abi_v1", "uniflow_warm", "uniflow_reseed"} {
		for _, t := range [][2][]byte{{{bt.I32}, nil}, {nil, {bt.I32}}, {{bt.I64}, {bt.I64}}} {
			g := imported()
			g.Memory(1)
			if name != "uniflow_abi_v1" {
				g.Export("uniflow_abi_v1", g.Func(g.void, 0))
			}
			g.Export(name, g.Func(g.Type(t[0], t[1]), 0, bt.Op(bt.Unreachable)))
			g.named("run", 0, bt.Const(0))
			all = append(all, g.Bytes())
		}
	}
	g := imported()
	g.Memory(1)
	g.Export("uniflow_abi_v1", g.Func(g.void, 0))
	g.Export("uniflow_run", g.Func(g.Type([]byte{bt.I32}, []byte{bt.I32}), 0, bt.Const(0)))
	return append(all, g.Bytes())
}
