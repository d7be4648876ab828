package tool

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// compiler is a program that build commands begin with, and how to get it.
type compiler struct {
	program string
	version []string // arguments that make it tell its version
	makes   string   // what it is for
	get     string
}

// compilers are those that templates use.
func compilers() []compiler {
	return []compiler{
		{"go", []string{"version"}, "plugins in Go", "install Go 1.26 or newer: https://go.dev/doc/install"},
		{"clang", []string{"--version"}, "plugins in C and C++", "apt install clang lld (Debian, Ubuntu), brew install llvm lld (macOS), or https://releases.llvm.org"},
		{"wasm-ld", []string{"--version"}, "linking C and C++", "apt install lld (Debian, Ubuntu), brew install lld (macOS): it comes with lld"},
		{"cargo", []string{"--version"}, "plugins in Rust", "apt install cargo libstd-rust-dev-wasm32 (Debian), or https://rustup.rs, then: rustup target add wasm32-unknown-unknown"},
		{"zig", []string{"version"}, "plugins in Zig", "https://ziglang.org/download, or: pip install ziglang"},
		{"nim", []string{"--version"}, "plugins in Nim", "apt install nim wasi-libc libclang-rt-14-dev-wasm32 (Debian), or https://nim-lang.org/install.html"},
		{"npm", []string{"--version"}, "plugins in AssemblyScript", "install Node.js, which brings it: https://nodejs.org"},
	}
}

// otherNames are programs that come with a compiler of another name.
func otherNames() map[string]string {
	return map[string]string{"clang++": "clang", "lld": "wasm-ld", "node": "npm", "npx": "npm", "asc": "npm", "rustc": "cargo", "rustup": "cargo", "gofmt": "go"}
}

// howToGet says how to get a program; empty for one that nothing is known of.
func howToGet(program string) string {
	name := strings.TrimSuffix(filepath.Base(program), ".exe")
	if other, ok := otherNames()[name]; ok {
		name = other
	}
	for _, c := range compilers() {
		if c.program == name {
			return c.get
		}
	}
	return ""
}

// signs are what compilers print when a part of them is missing, and what to do.
func signs() [][2]string {
	return [][2]string{
		{"unable to execute command: Executable \"wasm-ld\"", howToGet("wasm-ld")},
		{"wasm-ld: No such file", howToGet("wasm-ld")},
		{"invalid linker name", howToGet("wasm-ld")},
		{"wasm-component-ld", "choose the target wasm32-wasip1 or wasm32-unknown-unknown, not wasip2"},
		{"target may not be installed", "rustup target add wasm32-unknown-unknown, or apt install libstd-rust-dev-wasm32 (Debian)"},
		{"can't find crate for `core`", "rustup target add wasm32-unknown-unknown, or apt install libstd-rust-dev-wasm32 (Debian)"},
		{"can't find crate for `std`", "rustup target add wasm32-unknown-unknown, or apt install libstd-rust-dev-wasm32 (Debian)"},
		{"No available targets are compatible with triple \"wasm32\"", "this clang has no WebAssembly: " + howToGet("clang")},
		{"unable to create target: 'No available targets", "this clang has no WebAssembly: " + howToGet("clang")},
		{"'stdio.h' file not found", "apt install wasi-libc (Debian, Ubuntu), or build without a libc, as the template does"},
		{"'stdlib.h' file not found", "apt install wasi-libc (Debian, Ubuntu), or build without a libc, as the template does"},
		{"libclang_rt.builtins", "apt install libclang-rt-dev-wasm32 (Debian, Ubuntu)"},
		{"tsc: not found", "npm install"},
		{"asc: not found", "npm install"},
		{"requires go >=", howToGet("go")},
	}
}

// BuildPlugins runs the build commands of a manifest's plugins and pins what they make. A compiler that is missing, or a
// part of one, is named with how to get it.
func BuildPlugins(ctx context.Context, t Target, accept bool) (flow.BuildReport, error) {
	report, err := Build(ctx, t, accept)
	e, ok := errors.AsType[*flow.Error](err)
	if !ok || e.Code != flow.CodeBuild {
		return report, err
	}
	own := *e
	if missing, ok := errors.AsType[*exec.Error](err); ok && (errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist)) {
		own.Message, own.Err = missing.Name+" is not installed, or not found on PATH", nil
		own.Hint = "install it, or build the plugin elsewhere"
		if get := howToGet(missing.Name); get != "" {
			own.Hint = get
		}
		return report, &own
	}
	for _, sign := range signs() {
		if strings.Contains(e.Message, sign[0]) {
			own.Hint = sign[1]
			break
		}
	}
	return report, &own
}

// commandOf is the program that a build command begins with, behind settings of its environment.
func commandOf(build []string) string {
	i := slices.IndexFunc(build, func(word string) bool {
		name, _, found := strings.Cut(word, "=")
		return !found || name == "" || strings.ContainsAny(name, `/\.- `)
	})
	if i < 0 {
		return ""
	}
	return build[i]
}
