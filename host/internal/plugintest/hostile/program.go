package hostile

import (
	"io"
	"strings"

	bt "github.com/uniflow-dev/uniflow/host/internal/wasm/binary/binarytest"
)

// signatures are all functions that a guest can import, each with its parameters (i: i32, I: i64). All have a result of
// type i32, but log and proc_exit.
const signatures = `uniflow.input_size , uniflow.input_read iii, uniflow.output iiii, uniflow.log iii, uniflow.fail iii, uniflow.progress iii,
uniflow.call iiii, uniflow.call_read iii, uniflow.call_write ii,
wasi.args_get ii, wasi.args_sizes_get ii, wasi.environ_get ii, wasi.environ_sizes_get ii, wasi.clock_res_get ii, wasi.clock_time_get iIi,
wasi.fd_advise iIIi, wasi.fd_allocate iII, wasi.fd_close i, wasi.fd_datasync i, wasi.fd_fdstat_get ii, wasi.fd_fdstat_set_flags ii,
wasi.fd_fdstat_set_rights iII, wasi.fd_filestat_get ii, wasi.fd_filestat_set_size iI, wasi.fd_filestat_set_times iIIi, wasi.fd_pread iiiIi,
wasi.fd_prestat_get ii, wasi.fd_prestat_dir_name iii, wasi.fd_pwrite iiiIi, wasi.fd_read iiii, wasi.fd_readdir iiiIi, wasi.fd_renumber ii,
wasi.fd_seek iIii, wasi.fd_sync i, wasi.fd_tell ii, wasi.fd_write iiii, wasi.path_create_directory iii, wasi.path_filestat_get iiiii,
wasi.path_filestat_set_times iiiiIIi, wasi.path_link iiiiiii, wasi.path_open iiiiiIIii, wasi.path_readlink iiiiii,
wasi.path_remove_directory iii, wasi.path_rename iiiiii, wasi.path_symlink iiiii, wasi.path_unlink_file iii, wasi.poll_oneoff iiii,
wasi.proc_exit i, wasi.proc_raise i, wasi.sched_yield , wasi.random_get ii, wasi.sock_accept iii, wasi.sock_recv iiiiii, wasi.sock_send iiiii,
wasi.sock_shutdown ii`

// signature is a function of signatures.
type signature struct {
	module, name string
	params       []byte
	result       bool
}

// functions returns all functions of one module, "uniflow" or "wasi".
func functions(module string) []signature {
	var found []signature
	for entry := range strings.SplitSeq(signatures, ",") {
		full, params, _ := strings.Cut(strings.TrimLeft(entry, " \n"), " ")
		in, name, _ := strings.Cut(full, ".")
		if in != module {
			continue
		}
		s := signature{module: in, name: name, result: name != "log" && name != "proc_exit"}
		for _, p := range strings.TrimSpace(params) {
			kind := byte(bt.I32)
			if p == 'I' {
				kind = bt.I64
			}
			s.params = append(s.params, kind)
		}
		found = append(found, s)
	}
	return found
}

// program assembles a module. Function 0 is the first that it imports.
type program struct {
	bt.Builder

	f    map[string]int // imported functions by name
	void int            // the type () -> ()
	text int            // where the next text goes
	body [][]byte       // of the entry, by expect
}

// newReactor begins a reactor that imports these functions and has a page of memory; checks of an answer need uniflow.log.
func newReactor(imports ...string) *program {
	g := imported(imports...)
	g.Memory(1)
	g.Builder.Export("uniflow_abi_v1", g.Func(g.void, 0))
	return g
}

// newCommand begins a command.
func newCommand(imports ...string) *program {
	g := imported(imports...)
	g.Memory(1)
	return g
}

// imported begins a module with imports and nothing else.
func imported(names ...string) *program {
	g := &program{f: map[string]int{}, text: 32 << 10}
	g.void = g.Type(nil, nil)
	for _, full := range names {
		module, name, _ := strings.Cut(full, ".")
		for _, s := range functions(module) {
			if s.name == name {
				g.add(s)
			}
		}
	}
	return g
}

// add imports a function.
func (g *program) add(s signature) {
	module := s.module
	if module == "wasi" {
		module = "wasi_snapshot_preview1"
	}
	var results []byte
	if s.result {
		results = []byte{bt.I32}
	}
	g.f[s.name] = g.Import(module, s.name, g.Type(s.params, results))
}

// entry adds the default entry, which returns what the code leaves on the stack, and returns the module.
func (g *program) entry(locals int, code ...[]byte) []byte {
	g.named("uniflow_run", locals, code...)
	return g.Bytes()
}

// named adds an entry.
func (g *program) named(name string, locals int, code ...[]byte) {
	g.Export(name, g.Func(g.Type(nil, []byte{bt.I32}), locals, code...))
}

// start adds the entry of a command and returns the module.
func (g *program) start(locals int, code ...[]byte) []byte {
	g.Export("_start", g.Func(g.void, locals, code...))
	return g.Bytes()
}

// expect adds code to the entry, whose result must be want; otherwise the guest logs what, and fails in the end.
func (g *program) expect(what string, want int, code ...[]byte) {
	g.Data(g.text, what)
	g.body = append(g.body, bt.Join(code...), bt.Const(want), bt.Asm("i32.ne if void"),
		bt.Const(4), bt.Const(g.text), bt.Const(len(what)), bt.Call(g.f["log"]), bt.Const(1), bt.Set(0), bt.Asm("end"))
	g.text += len(what)
}

// do adds code to the entry that leaves nothing.
func (g *program) do(code ...[]byte) { g.body = append(g.body, code...) }

// checked returns the module with an entry of what was expected. Local 0 is taken, local 1 is free.
func (g *program) checked() []byte { return g.entry(2, bt.Join(g.body...), bt.Get(0)) }

// call is a call of an imported function with constants.
func (g *program) call(name string, args ...int) []byte {
	var code []byte
	i, at := g.f[name], 0
	for _, s := range append(functions("uniflow"), functions("wasi")...) {
		if s.name != name {
			continue
		}
		for _, p := range s.params {
			if p == bt.I64 {
				code = append(code, bt.I64Const(int64(args[at]))...)
			} else {
				code = append(code, bt.Const(args[at])...)
			}
			at++
		}
	}
	return append(code, bt.Call(i)...)
}

// drop is a call whose result does not matter.
func (g *program) drop(name string, args ...int) []byte {
	return append(g.call(name, args...), bt.Drop)
}

// simple is a reactor without imports whose entry is this text.
func simple(locals int, text string) []byte { return newReactor().entry(locals, bt.Asm(text)) }

// zeros is a reader of n zeros.
type zeros struct{ n int }

// Read implements io.Reader.
func (z *zeros) Read(p []byte) (int, error) {
	if z.n == 0 {
		return 0, io.EOF
	}
	n := min(len(p), z.n)
	clear(p[:n])
	z.n -= n
	return n, nil
}
