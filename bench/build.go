package main

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"strings"
)

// guests holds the guests in C, those for Wasm as they were built by
// .ci/guests.sh, and the script.
//
//go:embed guests/c guests/step.py
var guests embed.FS

// module is the import path of this program.
const module = "github.com/uniflow-dev/uniflow/bench"

// unpack writes the embedded guests into a folder, all side by side.
func unpack(dir string) error {
	return fs.WalkDir(guests, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		body, err := guests.ReadFile(name)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, path.Base(name)), body, 0o600)
	})
}

// buildModule builds a guest in Go as a reactor and returns the path of the
// module.
func buildModule(ctx context.Context, dir, name string) (string, error) {
	out := filepath.Join(dir, "go-"+name+".wasm")
	return out, build(ctx, []string{"GOOS=wasip1", "GOARCH=wasm"}, "-buildmode=c-shared", "-o", out, module+"/guests/"+name)
}

// buildProgram builds a program in Go for this machine.
func buildProgram(ctx context.Context, dir, name string) (string, error) {
	out := filepath.Join(dir, program("go-"+name))
	return out, build(ctx, []string{"CGO_ENABLED=0"}, "-o", out, module+"/guests/"+name)
}

// build runs go build with the flags of a release.
func build(ctx context.Context, env []string, args ...string) error {
	cmd := exec.CommandContext(ctx, "go", append([]string{"build", "-trimpath", "-ldflags=-s -w"}, args...)...)
	cmd.Env = append(os.Environ(), env...)
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build %s (start it in the folder bench): %w\n%s", args[len(args)-1], err, said)
	}
	return nil
}

// program returns the file name of a program.
func program(name string) string {
	if runtime.GOOS == "windows" {
		return name + ".exe"
	}
	return name
}

// addNativeC adds the program in C, if there is a compiler.
func (l *lineup) addNativeC(ctx context.Context) {
	const name = nameNativeC
	compiler, err := firstOf("cc", "clang", "gcc")
	if err != nil {
		l.omit(langC, name, err)
		return
	}
	out := filepath.Join(l.dir, program("c-native"))
	said, err := exec.CommandContext(ctx, compiler, "-std=c11", "-O2", "-o", out, filepath.Join(l.dir, "native.c")).CombinedOutput()
	if err != nil {
		l.omit(langC, name, fmt.Errorf("%s: %w: %s", compiler, err, bytes.TrimSpace(said)))
		return
	}
	l.tools = append(l.tools, firstLine(ctx, compiler, "--version"))
	l.addProcess(langC, name, out)
}

// addPython adds the script, if there is an interpreter. It is started without
// the shims that some machines put in front of it, and without the packages
// that are installed there.
func (l *lineup) addPython(ctx context.Context) {
	const name = namePython
	shim, err := firstOf("python3")
	var interpreter []byte
	if err == nil {
		interpreter, err = exec.CommandContext(ctx, shim, "-c", "import sys; sys.stdout.write(sys.executable)").Output()
	}
	if err != nil {
		l.omit(langGo, name, err)
		return
	}
	l.tools = append(l.tools, firstLine(ctx, string(interpreter), "--version"))
	l.addProcess(langGo, name, string(interpreter), "-S", "-E", filepath.Join(l.dir, "step.py"))
}

// firstOf finds the first of several programs.
func firstOf(names ...string) (string, error) {
	for _, name := range names {
		if found, err := exec.LookPath(name); err == nil {
			return found, nil
		}
	}
	return "", errors.New("this machine has no " + strings.Join(names, ", "))
}

// firstLine returns the first line that a program prints.
func firstLine(ctx context.Context, name string, args ...string) string {
	out, err := exec.CommandContext(ctx, name, args...).Output()
	if err != nil {
		return filepath.Base(name) + " of an unknown version"
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return line
}
