package hostile

import (
	"fmt"

	"github.com/uniflow-dev/uniflow/host/flow"
	bt "github.com/uniflow-dev/uniflow/host/internal/wasm/binary/binarytest"
)

// Where guests of fileCases have what they use.
const (
	atPath = 2048
	atFD   = 1000 // of the opened file
	atVecs = 512
	atInto = 4096

	openCreate   = 1  // oflags
	openTruncate = 8  //
	readWrite    = 66 // rights to read and write
)

// fileCases are lies about files: /in is descriptor 3, /out is 4.
func fileCases() []Case {
	return []Case{
		{Name: "paths out of the folders", Stage: WASI, Modules: later(escapes), Want: want(OK)},
		{Name: "links, and all else that changes a folder", Stage: WASI, Modules: later(changes), Want: want(OK)},
		{Name: "a file of a terabyte", Stage: WASI, Want: want(OK), Modules: later(func() []byte {
			g := opening("big", openCreate)
			for _, size := range []int{1 << 40, 1 << 62, 2 << 20, -1 << 63} {
				g.do(g.onFile("fd_filestat_set_size", size), bt.Asm("i32.eqz"))
				g.leak(fmt.Sprint("size ", size))
				g.do(g.onFile("fd_allocate", 0, size), bt.Asm("i32.eqz"))
				g.leak(fmt.Sprint("allocate ", size))
				g.do(g.onFile("fd_allocate", size, 1), bt.Asm("i32.eqz"))
				g.leak(fmt.Sprint("allocate at ", size))
			}
			return g.checked()
		})},
		{Name: "writes far behind the end of a file", Stage: WASI, Want: want(OK), Modules: later(func() []byte {
			g := opening("far", openCreate)
			g.Data(atVecs, "\x00\x10\x00\x00\x04\x00\x00\x00")
			for _, at := range []int{1 << 40, 1<<63 - 1, -1, -1 << 63} {
				g.do(g.onFile("fd_pwrite", atVecs, 1, at, 8), bt.Asm("i32.eqz"))
				g.leak(fmt.Sprint("write at ", at))
				g.do(g.onFile("fd_pread", atVecs, 1, at, 8), bt.Op(bt.Drop), g.onFile("fd_seek", at, 0, 8), bt.Op(bt.Drop), g.onFile("fd_write", atVecs, 1, 8), bt.Op(bt.Drop))
			}
			return g.checked()
		})},
		{Name: "files that are opened without an end", Stage: WASI, Want: want(OK), Modules: later(func() []byte {
			g := opening("f", openCreate)
			g.do(bt.Asm("loop void"), g.open("f", 0), bt.Op(bt.Drop), bt.Asm("local.get 1 i32.const 1 i32.add local.tee 1 i32.const 20000 i32.lt_u br_if 0 end"))
			g.do(g.open("f", 0), bt.Asm("i32.eqz"))
			g.leak("another one")
			return g.checked()
		})},
		{Name: "10,000 files", Stage: WASI, Want: want(OK), Modules: later(func() []byte {
			g := opening("f", openCreate)
			g.do(bt.Asm("loop void"), g.open("??", openCreate), bt.Op(bt.Drop), g.onFile("fd_close"), bt.Op(bt.Drop),
				bt.Asm(fmt.Sprintf("i32.const %d local.get 1 i32.const 25 i32.rem_u i32.const 65 i32.add i32.store8 0 i32.const %d local.get 1 i32.const 25 i32.div_u i32.const 15 i32.and i32.const 65 i32.add i32.store8 0", g.text-2, g.text-1)),
				bt.Asm("local.get 1 i32.const 1 i32.add local.tee 1 i32.const 10000 i32.lt_u br_if 0 end"))
			return g.checked()
		})},
		{Name: "a folder that is listed from odd places", Stage: WASI, Want: want(OK), Modules: later(func() []byte {
			g := opening("f", openCreate)
			for _, fd := range []int{3, 4} {
				for _, cookie := range []int{0, 1, 100, 1 << 32, -1, -1 << 63, 1<<63 - 1} {
					for _, size := range []int{0, 24, 100, 60_000, 1 << 31, -1} {
						g.do(g.drop("fd_readdir", fd, atInto, size, cookie, 8))
					}
				}
			}
			return g.checked()
		})},
		{Name: "a file that is read byte by byte in 16,000 vectors", Stage: WASI, Input: 8 << 20, Timeout: 3 * runawayTime, Want: faults(flow.ReasonTimeout), Modules: later(func() []byte {
			g := opening("/given", 0)
			g.do(shifted(vectors(16_000, 1)))
			g.do(bt.Loop(g.onFile("fd_seek", 0, 0, 8), bt.Op(bt.Drop), g.onFile("fd_read", 65_536, 16_000, 8), bt.Op(bt.Drop)))
			return g.checked()
		})},
		{Name: "a file that is written byte by byte in 16,000 vectors", Stage: WASI, Timeout: 3 * runawayTime, Want: faults(flow.ReasonTimeout), Limits: flow.Limits{Artifacts: 64 * flow.MiB}, Modules: later(func() []byte {
			g := opening("out", openCreate)
			g.do(shifted(vectors(16_000, 1)))
			g.do(bt.Loop(g.onFile("fd_seek", 0, 0, 8), bt.Op(bt.Drop), g.onFile("fd_write", 65_536, 16_000, 8), bt.Op(bt.Drop)))
			return g.checked()
		})},
		{Name: "a file that is read backwards", Stage: WASI, Input: 32 << 20, Timeout: 3 * runawayTime, Want: faults(flow.ReasonTimeout), Modules: later(func() []byte {
			g := opening("/given", 0)
			g.Data(atVecs, "\x00\x10\x00\x00\x01\x00\x00\x00")
			g.do(bt.Loop(g.onFile("fd_pread", atVecs, 1, 32<<20-1, 8), bt.Op(bt.Drop), g.onFile("fd_pread", atVecs, 1, 32<<20-2, 8), bt.Op(bt.Drop)))
			return g.checked()
		})},
	}
}

// shifted is code that uses local 1 in place of 0.
func shifted(code []byte) []byte {
	out := make([]byte, len(code))
	copy(out, code)
	for i := 0; i+1 < len(out); i++ {
		if out[i] >= 0x20 && out[i] <= 0x22 && out[i+1] == 0 {
			out[i+1] = 1
		}
	}
	return out
}

// opening begins a guest that opens a file: of /out, or of /in where the name begins with a slash.
func opening(name string, flags int) *program {
	g := newReactor("uniflow.log", "wasi.path_open", "wasi.fd_close", "wasi.fd_seek", "wasi.fd_read", "wasi.fd_write", "wasi.fd_pread", "wasi.fd_pwrite",
		"wasi.fd_readdir", "wasi.fd_allocate", "wasi.fd_filestat_set_size")
	g.expect("open "+name, wasiOK, g.open(name, flags))
	return g
}

// open opens a file and leaves the errno.
func (g *program) open(name string, flags int) []byte {
	folder, rights := 4, readWrite
	if name[0] == '/' {
		name, folder, rights = name[1:], 3, 2
	}
	g.Data(g.text, name)
	at := g.text
	g.text += len(name)
	return g.call("path_open", folder, 0, at, len(name), flags, rights, 0, 0, atFD)
}

// onFile calls a function with the opened file for its first argument.
func (g *program) onFile(name string, args ...int) []byte {
	code := g.call(name, append([]int{0}, args...)...)
	return append(bt.Asm(fmt.Sprintf("i32.const %d i32.load 0", atFD)), code[2:]...) // in place of i32.const 0
}

// escapes are paths that lead out of the folders, or nowhere.
func escapes() []byte {
	g := newReactor("uniflow.log", "wasi.path_open", "wasi.path_filestat_get", "wasi.path_readlink")
	long := string(filled(9_000, 'a'))
	for _, path := range []string{
		"..", "../", "../..", "../etc/passwd", "../../../../../../etc/passwd", "/etc/passwd", "//etc/passwd", "x/../../etc/passwd", "./../..", "\x00", "a\x00b", "../\x00",
		"/proc/self/environ", "/dev/zero", ".../x", "a/b/c", "\xff\xfe", long, "..\\..\\windows", "C:\\windows", "~root", "in/../out",
	} {
		g.Data(g.text, path)
		at := g.text
		g.text += len(path)
		for fd := 3; fd <= 4; fd++ {
			g.do(g.call("path_open", fd, 1, at, len(path), 0, 2, 0, 0, atFD), bt.Asm("i32.eqz"))
			g.leak(fmt.Sprintf("path_open %.40q of %d", path, fd))
			g.do(g.call("path_filestat_get", fd, 1, at, len(path), atInto), bt.Asm("i32.eqz"))
			g.leak(fmt.Sprintf("path_filestat_get %.40q of %d", path, fd))
			g.do(g.drop("path_readlink", fd, at, len(path), atInto, 100, 8))
		}
	}
	return g.checked()
}

// leak fails the guest, and logs what, where the value on the stack is not zero.
func (g *program) leak(what string) { g.expect(what, 0) }

// changes are attempts to change a folder that cannot be changed, or to leave it.
func changes() []byte {
	g := newReactor("uniflow.log", "wasi.path_symlink", "wasi.path_link", "wasi.path_rename", "wasi.path_create_directory", "wasi.path_remove_directory", "wasi.path_unlink_file", "wasi.path_filestat_set_times")
	g.Data(0, "../../etc/passwd")
	for fd := 3; fd <= 4; fd++ {
		for name, code := range map[string][]byte{
			"path_symlink": g.call("path_symlink", 0, 16, fd, 100, 1), "path_link": g.call("path_link", fd, 0, 0, 16, 4, 100, 1), "path_rename": g.call("path_rename", fd, 0, 16, 4, 100, 1),
			"path_create_directory": g.call("path_create_directory", fd, 0, 16), "path_remove_directory": g.call("path_remove_directory", fd, 0, 16), "path_unlink_file": g.call("path_unlink_file", fd, 0, 16),
			"path_filestat_set_times": g.call("path_filestat_set_times", fd, 1, 0, 16, 0, 0, 1),
		} {
			g.do(code, bt.Asm("i32.eqz"))
			g.leak(fmt.Sprint(name, " of ", fd))
		}
	}
	return g.checked()
}
