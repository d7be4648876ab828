package main

import (
	"bytes"
	"context"
	"errors"
	"go/build"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/uniflow-dev/uniflow/host"
	"github.com/uniflow-dev/uniflow/host/tool"
)

func TestMain(m *testing.M) {
	host.WorkerMain()
	testscript.Main(m, map[string]func(){"uniflow": main})
}

func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			// Nothing of the machine that runs the test may change what a script sees.
			e.Setenv("UNIFLOW_SERVER", "")
			e.Setenv("UNIFLOW_TOKEN", "")
			e.Setenv("TZ", "UTC")
			e.Setenv("GOCACHE", goCache()) // plugins in Go are built, offline
			e.Setenv("GOMODCACHE", goModules())
			e.Setenv("SHORT", os.TempDir()) //nolint:usetesting // sockets of processes need a short path
			e.Setenv("GOTOOLCHAIN", "local")
			e.Setenv("XDG_CACHE_HOME", filepath.Join(e.WorkDir, ".cache"))
			e.Setenv("GOPROXY", "off")
			e.Values[hooked{}] = make(chan string, 100)
			return writeGuests(filepath.Join(e.WorkDir, "guests"))
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":      exits,
			"jsonschema": validate,
			"serving":    awaitServing,
			"address":    address,
			"fromfile":   fromFile,
			"occupy":     occupy,
			"until":      until,
			"hook":       hook,
			"told":       told,
			"alone":      alone,
		},
	})
}

// goCache is where the Go command that runs the test keeps what it builds.
func goCache() string {
	if dir := os.Getenv("GOCACHE"); dir != "" {
		return dir
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "go-build")
}

// goModules is where the modules are that this test was built from.
func goModules() string {
	if dir := os.Getenv("GOMODCACHE"); dir != "" {
		return dir
	}
	return filepath.Join(build.Default.GOPATH, "pkg", "mod")
}

// exits runs a command and compares its exit code: exits CODE PROGRAM ARG...
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARG...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// validate holds a JSON document against a schema: jsonschema NAME FILE. The file may be stdout or stderr.
func validate(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: jsonschema NAME FILE")
	}
	schema, err := tool.Schema(args[0])
	ts.Check(err)
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	ts.Check(err)
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	ts.Check(c.AddResource(args[0], doc))
	s, err := c.Compile(args[0])
	ts.Check(err)
	text := ts.ReadFile(args[1])
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		ts.Fatalf("not JSON: %v\n%s", err, text)
	}
	if err := s.Validate(value); err != nil {
		ts.Fatalf("%v\n%s", err, text)
	}
}

// startTime bounds the wait for a host to serve.
const startTime = 30 * time.Second

// awaitServing waits until a host serves a data folder: serving DATA. With !, until none does.
func awaitServing(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: serving DATA")
	}
	if !awaitSocket(ts.MkAbs(args[0]), !neg) {
		ts.Fatalf("after %s: serving is still %v", startTime, neg)
	}
}

// awaitSocket waits until a host answers on a data folder, or none does, and reports whether it came to that.
func awaitSocket(data string, want bool) bool {
	for deadline := time.Now().Add(startTime); time.Now().Before(deadline); <-time.After(20 * time.Millisecond) {
		c, err := net.Dial("unix", host.SocketPath(data))
		if err == nil {
			_ = c.Close()
		}
		if (err == nil) == want {
			return true
		}
	}
	return false
}

// address sets a variable to the address of the host that serves a data folder: address VAR DATA.
func address(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: address VAR DATA")
	}
	link, err := tool.Connect(context.Background(), tool.Target{Manifest: filepath.Join(filepath.Dir(ts.MkAbs(args[1])), tool.ManifestName)}, tool.Serving)
	ts.Check(err)
	info, err := link.Info(context.Background())
	ts.Check(err)
	ts.Setenv(args[0], info.Listen)
}

// fromFile sets a variable to the text of a file: fromfile VAR FILE.
func fromFile(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: fromfile VAR FILE")
	}
	ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile(args[1])))
}

// until runs a command again and again until its standard output matches: until PATTERN PROGRAM ARG...
func until(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: until PATTERN PROGRAM ARG...")
	}
	pattern, err := regexp.Compile(args[0])
	ts.Check(err)
	for deadline := time.Now().Add(startTime); time.Now().Before(deadline); <-time.After(50 * time.Millisecond) {
		ts.Check(ts.Exec(args[1], args[2:]...))
		if pattern.MatchString(ts.ReadFile("stdout")) {
			return
		}
	}
	ts.Fatalf("after %s, nothing matches %s", startTime, pattern)
}

// occupy listens on a free port until the script ends: occupy VAR sets VAR to the address.
func occupy(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: occupy VAR")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { _ = l.Close() })
	ts.Setenv(args[0], l.Addr().String())
}

// hooked is the key of the environment under which a script's webhook stands.
type hooked struct{}

// hook starts a webhook until the script ends, and sets a variable to its address: hook VAR.
func hook(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: hook VAR")
	}
	messages := ts.Value(hooked{}).(chan string)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if body, err := io.ReadAll(r.Body); err == nil {
			messages <- string(body)
		}
	}))
	ts.Defer(server.Close)
	ts.Setenv(args[0], strings.TrimPrefix(server.URL, "http://"))
}

// told waits until the webhook is told of something: told WORDS.
func told(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: told WORDS")
	}
	for end := time.After(startTime); ; {
		select {
		case message := <-ts.Value(hooked{}).(chan string):
			if strings.Contains(message, args[0]) {
				return
			}
		case <-end:
			ts.Fatalf("after %s, nobody was told of %q", startTime, args[0])
		}
	}
}

// alone leaves nothing on PATH but the programs of the test itself: alone.
func alone(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: alone")
	}
	own, _, _ := strings.Cut(ts.Getenv("PATH"), string(filepath.ListSeparator)) // testscript.Main puts them first
	ts.Setenv("PATH", own)
}

// writeGuests writes small modules, each with one habit.
func writeGuests(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	extism, err := os.ReadFile(filepath.Join("..", "..", "host", "internal", "wasm", "testdata", "extism", "extism.wasm"))
	if err != nil {
		return err
	}
	for name, module := range map[string][]byte{
		"extism.wasm":    extism,
		"answer.wasm":    command(1, `{"answer":42}`, false),
		"engine.wasm":    reactor([]string{"uniflow_run"}),
		"bytes.wasm":     command(1, "\xff\xfe\x00", false),
		"text.wasm":      command(1, "not json", false),
		"flood.wasm":     command(1, strings.Repeat("x", 60000), true),
		"spin.wasm":      module(nil, "\x03\x40\x0c\x00\x0b", ""),
		"trap.wasm":      module(nil, "\x00", ""),
		"escape.wasm":    command(2, "\x1b[31mred\x1b[0m \x9b \u202egnp.exe\n", false),
		"stranger.wasm":  module([][2]string{{"env", "abort"}, {"moon", "shine"}}, "", ""),
		"component.wasm": []byte("\x00asm\x0d\x00\x01\x00"),
		"letter.wasm":    []byte("Dear host, this is a letter.\n"),
		"empty.wasm":     {},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), module, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// command is a module that writes text to a file descriptor, once or for ever.
func command(fd byte, text string, forever bool) []byte {
	write := "\x41" + string(rune(fd)) + "\x41\x00\x41\x01\x41\x08\x10\x00\x1a" // fd_write(fd, 0, 1, 8); drop
	if forever {
		write = "\x03\x40" + write + "\x0c\x00\x0b"
	}
	data := []byte{16, 0, 0, 0, byte(len(text)), byte(len(text) >> 8), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	return module([][2]string{{"wasi_snapshot_preview1", "fd_write"}}, write, string(data)+text)
}

// reactor is a module with functions that do nothing.
func reactor(functions []string) []byte {
	count := leb(len(functions) + 1)
	types, exports := "\x00", leb(14)+"uniflow_abi_v1\x00\x00"
	for i, name := range functions {
		exports += leb(len(name)) + name + "\x00" + leb(i+1) //nolint:perfsprint // a handful
	}
	types += strings.Repeat("\x01", len(functions))
	codes := "\x02\x00\x0b" + strings.Repeat("\x04\x00\x41\x00\x0b", len(functions))
	section := func(id byte, content string) string { return string([]byte{id}) + leb(len(content)) + content }
	return []byte("\x00asm\x01\x00\x00\x00" + section(1, "\x02\x60\x00\x00\x60\x00\x01\x7f") + section(3, count+types) + section(7, count+exports) + section(10, count+codes))
}

// module is a command module: imports of type (i32, i32, i32, i32) -> i32, one page of memory that begins with data,
// and a body for _start.
func module(imports [][2]string, body, data string) []byte {
	vec := func(items ...string) string { return leb(len(items)) + strings.Join(items, "") }
	name := func(s string) string { return leb(len(s)) + s }
	section := func(id byte, content string) string { return string([]byte{id}) + name(content) }
	var needs []string
	for _, i := range imports {
		needs = append(needs, name(i[0])+name(i[1])+"\x00\x01")
	}
	return []byte("\x00asm\x01\x00\x00\x00" +
		section(1, vec("\x60\x00\x00", "\x60\x04\x7f\x7f\x7f\x7f\x01\x7f")) +
		section(2, vec(needs...)) +
		section(3, vec("\x00")) +
		section(5, vec("\x00\x01")) +
		section(7, vec(name("_start")+"\x00"+leb(len(imports)), name("memory")+"\x02\x00")) +
		section(10, vec(name("\x00"+body+"\x0b"))) +
		section(11, vec("\x00\x41\x00\x0b"+name(data))))
}

// leb is an unsigned LEB128 number.
func leb(n int) string {
	var b []byte
	for n >= 0x80 {
		b, n = append(b, byte(n)|0x80), n>>7
	}
	return string(append(b, byte(n)))
}
