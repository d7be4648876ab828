package wasm

import (
	"fmt"
	"strings"

	"github.com/uniflow-dev/uniflow/host/internal/wasm/binary"
	"github.com/uniflow-dev/uniflow/sdk/abi"
)

const (
	abiModule    = abi.Module
	wasiModule   = "wasi_snapshot_preview1"
	extismModule = "extism:host/env"
)

// wasiSignatures are the functions of WASI preview 1, each with its parameters (i: i32, I: i64). All return an i32 but
// proc_exit.
const wasiSignatures = `args_get ii, args_sizes_get ii, environ_get ii, environ_sizes_get ii, clock_res_get ii, clock_time_get iIi,
fd_advise iIIi, fd_allocate iII, fd_close i, fd_datasync i, fd_fdstat_get ii, fd_fdstat_set_flags ii, fd_fdstat_set_rights iII,
fd_filestat_get ii, fd_filestat_set_size iI, fd_filestat_set_times iIIi, fd_pread iiiIi, fd_prestat_get ii, fd_prestat_dir_name iii,
fd_pwrite iiiIi, fd_read iiii, fd_readdir iiiIi, fd_renumber ii, fd_seek iIii, fd_sync i, fd_tell ii, fd_write iiii,
path_create_directory iii, path_filestat_get iiiii, path_filestat_set_times iiiiIIi, path_link iiiiiii, path_open iiiiiIIii,
path_readlink iiiiii, path_remove_directory iii, path_rename iiiiii, path_symlink iiiii, path_unlink_file iii, poll_oneoff iiii,
proc_exit i, proc_raise i, sched_yield , random_get ii, sock_accept iii, sock_recv iiiiii, sock_send iiiii, sock_shutdown ii`

// offered returns the signatures of all functions that a module can import, by "module.name".
func offered() map[string]string {
	all := map[string]string{}
	for _, f := range abiFunctions() {
		all[abiModule+"."+f.name] = signature(strings.Repeat("i", f.params), strings.Repeat("i", f.results))
	}
	for _, f := range extismFunctions() {
		all[extismModule+"."+f.name] = signature(f.params, f.results)
	}
	for entry := range strings.SplitSeq(wasiSignatures, ",") {
		name, params, _ := strings.Cut(strings.TrimSpace(entry), " ")
		results := "i"
		if name == "proc_exit" {
			results = ""
		}
		all[wasiModule+"."+name] = signature(params, results)
	}
	return all
}

func signature(params, results string) string {
	t := binary.FuncType{Params: valueTypes[binary.ValueType](params), Results: valueTypes[binary.ValueType](results)}
	return t.String()
}

// valueTypes are the types that letters stand for; package binary and the engine number them alike.
func valueTypes[T ~byte](letters string) []T {
	types := make([]T, len(letters))
	for n, letter := range letters {
		if types[n] = 0x7f; letter == 'I' {
			types[n] = 0x7e
		}
	}
	return types
}

// refusal says why an import cannot be served, or nothing when it can.
func refusal(i Import, all map[string]string) string {
	want, known := all[i.Module+"."+i.Name]
	switch {
	case i.Kind != "func":
		return "the host offers functions only, no " + i.Kind
	case known && want != i.Signature:
		return fmt.Sprintf("the host's function is %s", want)
	case known:
		return ""
	}
	switch i.Module {
	case extismModule:
		return "Extism has no such function"
	case "extism:host/user":
		return "a function of the host that the plugin was written for"
	case abiModule:
		return "this version of the host ABI has no such function; services are reached by call"
	case wasiModule:
		return "WASI preview 1 has no such function"
	case "wasi_unstable":
		return "this is WASI preview 0; build for wasip1"
	case "env":
		if i.Name == "abort" {
			return "AssemblyScript: build with --use abort="
		}
		return "a library expects its own host; link what defines it, or do without"
	}
	if strings.HasPrefix(i.Module, abiModule) {
		return "another version of the host ABI"
	}
	return "the host has no module of this name"
}
