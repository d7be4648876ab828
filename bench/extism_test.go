package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	extism "github.com/extism/go-sdk"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/hosttest"
	"github.com/uniflow-dev/uniflow/sdk/abi"
)

// sdkPlugins returns the folder of the plugins that the Extism Go SDK has as its test data.
func sdkPlugins(t *testing.T) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/extism/go-sdk").Output()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(strings.TrimSpace(string(out)), "wasm")
}

// sdkCase is one call of a plugin of the SDK's.
type sdkCase struct {
	file, function, input string
	config                map[string]string
	mount                 bool // the SDK's folder of test data, at /mnt, to read; fs and fs_std open it to write, and are refused
	online                bool // requests are answered
	prints                bool // on standard output, which the SDK drops and we log
}

func sdkCases() []sdkCase {
	return []sdkCase{
		{file: "alloc", function: "run_test"},
		{file: "config", function: "run_test", config: map[string]string{"thing": "hello"}},
		{file: "config", function: "run_test"},
		{file: "count_vowels", function: "count_vowels", input: "hello world"},
		{file: "count_vowels", function: "count_vowels", config: map[string]string{"vowels": "xyz"}, input: "xylophone"},
		{file: "count_vowels_std", function: "_start", input: "hello world"},
		{file: "exit", function: "_start", config: map[string]string{"code": "-1"}},
		{file: "exit", function: "_start", config: map[string]string{"code": "500"}},
		{file: "exit", function: "_start", config: map[string]string{"code": "0"}},
		{file: "exit", function: "_start", config: map[string]string{"code": "abc"}},
		{file: "exit", function: "_start"},
		{file: "fail", function: "run_test"},
		{file: "fs", function: "run_test", mount: true},
		{file: "fs_std", function: "run_test", mount: true},
		{file: "hello", function: "run_test"},
		{file: "hello_haskell", function: "testing", config: map[string]string{"greeting": "Howdy"}, input: "John"},
		{file: "http", function: "run_test"}, // which nobody allows
		{file: "http", function: "run_test", online: true},
		{file: "http_headers", function: "http_get", input: `{"url":"https://example.com/page"}`, online: true},
		{file: "http_headers", function: "http_get", input: `{"url":"https://example.com/page"}`},
		{file: "input_offset", function: "input_offset_length", input: "hello world"},
		{file: "log", function: "run_test"},
		{file: "println", function: "run_test", input: "line", prints: true},
		{file: "read_write", function: "try_read", config: map[string]string{"path": "/mnt/test.txt"}, mount: true},
		{file: "read_write", function: "try_write", config: map[string]string{"path": "/mnt/test.txt"}, input: "x", mount: true},
		{file: "replace", function: "run_test", input: "this test is a test"},
		{file: "replace", function: "run_test", input: strings.Repeat("a test ", 9000)},
		{file: "sleep", function: "run_test", config: map[string]string{"duration": "0"}},
		{file: "std_command", function: "_start", input: "ben"},
		{file: "var", function: "run_test"},
	}
}

// sdkExcluded are the files that are not compared, with the reason.
//
//nolint:gochecknoglobals // a table
var sdkExcluded = map[string]string{
	"host":           "needs the function mult of its own host",
	"host_memory":    "needs the function to_upper of its own host",
	"host_multiple":  "needs two functions of its own host",
	"lib":            "a library: it has no entry, and is there to be linked",
	"main":           "needs the module lib to be linked",
	"nested.c.instr": "no plugin of Extism: an instrumented program that needs the module dylibso_observe",
	"noop":           "imports nothing of Extism: its bytes are those of a command, and it runs as one",
}

// ended is what a call came to, under either host.
type ended struct {
	outputs string // as JSON
	failed  bool
	message string
	logs    []string
}

// TestExtismPluginsBehaveTheSame calls the plugins that the Extism Go SDK is tested with, unchanged, under the SDK and under
// Uniflow.
func TestExtismPluginsBehaveTheSame(t *testing.T) {
	t.Parallel()
	extism.SetLogLevel(extism.LogLevelTrace)
	log.SetOutput(io.Discard)         // the SDK's own lines
	http.DefaultTransport = echoing{} // which the SDK uses
	dir := sdkPlugins(t)
	files, err := filepath.Glob(filepath.Join(dir, "*.wasm"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no plugins in %s: %v", dir, err)
	}
	compared := map[string][]sdkCase{}
	for _, c := range sdkCases() {
		compared[c.file] = append(compared[c.file], c)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".wasm")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if why, ok := sdkExcluded[name]; ok {
				t.Logf("excluded: %s", why)
				return
			}
			if len(compared[name]) == 0 {
				t.Error("neither compared nor excluded")
			}
			for _, c := range compared[name] {
				compareWithSDK(t, file, c)
			}
		})
	}
}

func compareWithSDK(t *testing.T, file string, c sdkCase) {
	t.Helper()
	mounts := map[string]string{}
	if c.mount {
		mounts["/mnt"] = filepath.Join(filepath.Dir(filepath.Dir(file)), "testdata")
	}
	want := underSDK(t, file, c, mounts)
	ours, err := hosttest.Load(t.Context(), file, hosttest.Config{Grant: flow.Grant{Mount: mounts}})
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	t.Logf("%s of %.40q with %v: %.300v", c.function, c.input, c.config, want)
	for range 3 { // in instances that are new and that were used
		got := underUniflow(t, ours, c)
		if c.prints {
			got.logs = want.logs
		}
		if got.failed != want.failed || got.outputs != want.outputs || !strings.Contains(got.message, want.message) || !slices.Equal(got.logs, want.logs) {
			t.Errorf("%s of %.40q with %v: %.500v, want %.500v", c.function, c.input, c.config, got, want)
		}
	}
}

func underUniflow(t *testing.T, m *hosttest.Module, c sdkCase) ended {
	t.Helper()
	with := map[string]any{}
	for name, value := range c.config {
		with[name] = value
	}
	input, err := json.Marshal(c.input)
	if err != nil {
		t.Fatal(err)
	}
	out, err := m.Call(t.Context(), hosttest.Input{Function: c.function, With: with, Stdin: input, Answer: c.answer})
	e := ended{failed: err != nil || out.Verdict != flow.VerdictOK, message: out.Message}
	if err != nil {
		e.message = err.Error()
	}
	if out.ExitCode != nil {
		e.message = fmt.Sprintf("exit %d; %s", *out.ExitCode, e.message)
	}
	if !e.failed {
		e.outputs = asJSON(t, out.Outputs)
	}
	for _, line := range out.Logs {
		e.logs = append(e.logs, strings.ToUpper(line.Level.String())+" "+line.Message)
	}
	return e
}

func underSDK(t *testing.T, file string, c sdkCase, mounts map[string]string) ended {
	t.Helper()
	m := extism.Manifest{Wasm: []extism.Wasm{extism.WasmFile{Path: file}}, Config: c.config, AllowedPaths: map[string]string{}}
	if c.online {
		m.AllowedHosts = []string{"*"}
	}
	for at, folder := range mounts {
		m.AllowedPaths["ro:"+folder] = at
	}
	p, err := extism.NewPlugin(t.Context(), m, extism.PluginConfig{EnableWasi: true, EnableHttpResponseHeaders: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer p.CloseWithContext(context.WithoutCancel(t.Context()))
	var e ended
	p.SetLogger(func(level extism.LogLevel, message string) {
		if !ofSDK(message) {
			e.logs = append(e.logs, level.String()+" "+message)
		}
	})
	code, out, err := p.CallWithContext(t.Context(), c.function, []byte(c.input))
	switch {
	case err == nil && code == 0:
		e.outputs = outputsOf(t, out)
	case p.GetError() != "":
		e.failed, e.message = true, p.GetError()
	case code != 0 && c.function == "_start":
		e.failed, e.message = true, fmt.Sprintf("exit %d", code)
	default:
		e.failed = true
	}
	return e
}

// echoing answers each request with what it was.
type echoing struct{}

func (echoing) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"text/plain"}, "X-Method": {r.Method}}, Request: r,
		Body: io.NopCloser(strings.NewReader(r.Method + " " + r.URL.String() + " " + r.Header.Get("some-name"))),
	}, nil
}

// answer does the same as a service of Uniflow.
func (c sdkCase) answer(op string, request, _ []byte) ([]byte, error) {
	if op != abi.OpHTTPRequest || !c.online {
		return nil, &flow.ServiceError{Errno: int(abi.Denied), Code: abi.Denied.Name(), Message: "no grant covers it"}
	}
	var asked struct {
		Method, URL string
		Headers     map[string]string
	}
	if err := json.Unmarshal(request, &asked); err != nil {
		return nil, err
	}
	return json.Marshal(map[string]any{
		"status": http.StatusOK, "headers": map[string]string{"content-type": "text/plain", "x-method": asked.Method},
		"body": asked.Method + " " + asked.URL + " " + asked.Headers["some-name"],
	})
}

// ofSDK reports whether a line is the SDK's own.
func ofSDK(message string) bool {
	return slices.ContainsFunc([]string{"Calling ", "Initializing runtime", "Initialized Haskell"}, func(prefix string) bool { return strings.HasPrefix(message, prefix) })
}

// outputsOf is what becomes of the bytes that a plugin gave back, as docs/ABI.md says.
func outputsOf(t *testing.T, given []byte) string {
	t.Helper()
	outputs := map[string]json.RawMessage{}
	var err error
	switch doc := bytes.TrimSpace(given); {
	case len(given) == 0:
	case !utf8.Valid(given):
		outputs["result"], err = json.Marshal(flow.ArtifactRef{Digest: flow.DigestOf(given), Size: int64(len(given)), Type: "application/octet-stream"})
	case json.Valid(doc) && doc[0] == '{':
		err = json.Unmarshal(doc, &outputs)
	case json.Valid(doc):
		outputs["result"] = doc
	default:
		outputs["result"], err = json.Marshal(string(given))
	}
	if err != nil {
		t.Fatal(err)
	}
	return asJSON(t, outputs)
}

func asJSON(t *testing.T, outputs map[string]json.RawMessage) string {
	t.Helper()
	b, err := json.Marshal(outputs)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestExtismBlocksBehaveTheSame lets a plugin that does what its input says use blocks in ways that are drawn by lot, under
// the SDK's kernel and under Uniflow.
func TestExtismBlocksBehaveTheSame(t *testing.T) {
	t.Parallel()
	const file = "../host/internal/wasm/testdata/extism/extism.wasm"
	if _, err := os.Stat(file); err != nil {
		t.Fatal(err)
	}
	ours, err := hosttest.Load(t.Context(), file, hosttest.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	compiled, err := newExtism(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	defer compiled.Close(context.WithoutCancel(t.Context()))
	for seed := range uint64(200) {
		input := drawn(rand.New(rand.NewPCG(seed, 1)))
		p, err := compiled.Instance(t.Context(), extism.PluginInstanceConfig{})
		if err != nil {
			t.Fatal(err)
		}
		given, err := callExtism(t.Context(), p, input)
		if err != nil {
			t.Fatalf("seed %d under the SDK: %v", seed, err)
		}
		want := outputsOf(t, given)
		got := underUniflow(t, ours, sdkCase{function: "run", input: string(input)})
		if got.failed || got.outputs != want {
			t.Fatalf("seed %d: %.2000v, want %.2000s", seed, got, want)
		}
		if err := p.CloseWithContext(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// drawing is a program for the plugin: its instructions stand in extism.c. Its bytes are ASCII, so that they can be the
// text that a step gives as input.
type drawing struct {
	bytes []byte
	n     int
}

// do appends an instruction; an argument below zero is the result of the instruction -argument-1, with plus added.
func (d *drawing) do(op byte, plus int, args ...int) int {
	d.bytes = append(d.bytes, op, byte(len(args)))
	for i, arg := range args {
		switch {
		case arg < 0 && i == 0:
			d.bytes = binary.LittleEndian.AppendUint64(append(d.bytes, 1, byte(-arg-1)), uint64(plus))
		case arg < 0:
			d.bytes = binary.LittleEndian.AppendUint64(append(d.bytes, 1, byte(-arg-1)), 0)
		default:
			d.bytes = binary.LittleEndian.AppendUint64(append(d.bytes, 0, 0), uint64(arg))
		}
	}
	d.n++
	return -d.n
}

// drawn makes a program that works on blocks that are its own. What is in a block that was not written is nobody's promise,
// and neither are addresses.
func drawn(r *rand.Rand) []byte {
	d := &drawing{}
	type block struct{ at, size int }
	var blocks []block
	for d.n < 110 {
		var b block
		i := -1
		if len(blocks) > 0 {
			i = r.IntN(len(blocks))
			b = blocks[i]
		}
		switch choice := r.IntN(10); {
		case i < 0 || choice < 3:
			text := strings.Repeat(string(rune('a'+r.IntN(26))), 9+r.IntN(100))
			at := d.do(44, 0, len(text))
			d.bytes = append(d.bytes, text...)
			blocks = append(blocks, block{at, len(text)})
		case choice < 4:
			d.do(7, r.IntN(b.size), b.at, r.IntN(128)) // store_u8
		case choice < 5:
			d.do(8, r.IntN(b.size-8), b.at, 0x4142434445464748)
		case choice < 6:
			d.do(40, 0, d.do(6, r.IntN(b.size-8), b.at))
		case choice < 7:
			d.do(40, 0, d.do(3+byte(r.IntN(2)), 0, b.at))
			d.do(42, 0, b.at)
		case choice < 8: // a variable
			d.do(23, 0, b.at, d.do(44, 0, 0))
			blocks = slices.Delete(blocks, i, i+1)
		default: // freed, perhaps twice
			for range 1 + r.IntN(2) {
				d.do(2, 0, b.at)
			}
			d.do(40, 0, d.do(3, 0, b.at))
			blocks = slices.Delete(blocks, i, i+1)
		}
	}
	for _, b := range blocks {
		d.do(42, 0, b.at)
	}
	return d.bytes
}

// TestExtismPluginsRunInWorkers calls a plugin of the SDK's in a worker.
func TestExtismPluginsRunInWorkers(t *testing.T) {
	t.Parallel()
	file := filepath.Join(sdkPlugins(t), "count_vowels.wasm")
	m, err := hosttest.Load(t.Context(), file, hosttest.Config{Isolation: flow.IsolationWorker, CacheDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for range 2 {
		out, err := m.Call(t.Context(), hosttest.Input{With: map[string]any{"vowels": "o"}, Stdin: json.RawMessage(`"hello world"`)})
		if err != nil || string(out.Outputs["count"]) != "2" || string(out.Outputs["total"]) != "2" {
			t.Errorf("got %+v, %v", out, err)
		}
	}
}
