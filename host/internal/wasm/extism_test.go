package wasm_test

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/plugintest"
	"github.com/uniflow-dev/uniflow/host/internal/plugintest/guest"
	"github.com/uniflow-dev/uniflow/sdk/abi"
)

// The instructions of testdata/extism/extism.c, by name.
//
//nolint:gochecknoglobals // a table
var extismOps = func() map[string]byte {
	ops := map[string]byte{}
	for i, name := range strings.Fields(`alloc free length length_unsafe load_u8 load_u64 store_u8 store_u64 input_set input_length
		input_offset input_load_u8 input_load_u64 output_set output_length output_offset error_set error_get reset memory_bytes
		config_get var_get var_set http_request http_status_code http_headers get_log_level log_trace log_debug log_info log_warn log_error`) {
		ops[name] = byte(i + 1)
	}
	for i, name := range strings.Fields("show show_set show_block show_bytes text trap alloc_often free_often keep kept grow spin") {
		ops[name] = byte(i + 40)
	}
	ops["return"] = 60
	return ops
}()

// program is an input of that guest.
type program struct {
	bytes []byte
	n     int
}

// result is what an instruction returned, and a number that is added to it.
type result struct {
	of   int
	plus uint64
}

// do appends an instruction; arguments are numbers and results.
func (p *program) do(name string, args ...any) result {
	p.bytes = append(p.bytes, extismOps[name], byte(len(args)))
	for _, arg := range args {
		switch x := arg.(type) {
		case result:
			p.bytes = binary.LittleEndian.AppendUint64(append(p.bytes, 1, byte(x.of)), x.plus)
		case int:
			p.bytes = binary.LittleEndian.AppendUint64(append(p.bytes, 0, 0), uint64(x))
		case uint64:
			p.bytes = binary.LittleEndian.AppendUint64(append(p.bytes, 0, 0), x)
		default:
			panic(fmt.Sprintf("argument of type %T", arg))
		}
	}
	p.n++
	return result{of: p.n - 1}
}

// text makes a block of the text.
func (p *program) text(s string) result {
	r := p.do("text", len(s))
	p.bytes = append(p.bytes, s...)
	return r
}

// written returns the input of a program.
func written(write func(p *program)) []byte {
	p := &program{}
	write(p)
	return p.bytes
}

// httpHost answers http.request, and knows an artifact.
type httpHost struct {
	*plugintest.Host
	asked  []string
	answer func() ([]byte, error)
}

func (h *httpHost) Call(ctx context.Context, op string, request, body []byte) ([]byte, error) {
	if op != abi.OpHTTPRequest || h.answer == nil {
		return h.Host.Call(ctx, op, request, body)
	}
	h.asked = append(h.asked, string(request)+" "+string(body))
	return h.answer()
}

// extismPlugin is the guest of testdata/extism.
func extismPlugin(t *testing.T) flow.PlanPlugin {
	t.Helper()
	path, err := filepath.Abs("testdata/extism/extism.wasm")
	return pluginAt(t, path, err)
}

// callExtism calls the guest with the bytes as its input; change may edit the call.
func callExtism(t *testing.T, m flow.Module, input []byte, change func(*flow.Call), answer func() ([]byte, error)) (flow.Result, *httpHost, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	h := &httpHost{Host: plugintest.NewHost(ctx), answer: answer}
	ref, err := h.Artifact(ctx, "input", "", strings.NewReader(string(input)))
	if err != nil {
		t.Fatal(err)
	}
	call := plugintest.NewCall(t, guest.With{})
	call.Context.With = map[string]json.RawMessage{}
	if call.Stdin, err = json.Marshal(ref); err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(&call)
	}
	r, err := m.Call(ctx, call, h)
	return r, h, err
}

// shown is what the program showed.
func shown(t *testing.T, r flow.Result, err error) string {
	t.Helper()
	if err != nil || r.Verdict != flow.VerdictOK {
		t.Fatalf("got %+v, %v", r, err)
	}
	var text string
	if json.Unmarshal(r.Outputs["result"], &text) != nil { // a number
		return string(r.Outputs["result"])
	}
	return text
}

func TestExtismFunctions(t *testing.T) {
	t.Parallel()
	m := load(t, extismPlugin(t))
	huge := []uint64{1 << 31, 1 << 32, 1<<63 - 1, 1 << 63, 1<<64 - 8, 1<<64 - 1}
	for name, c := range map[string]struct {
		write func(p *program)
		want  string
	}{
		"blocks": {func(p *program) {
			at := p.do("alloc", 12)
			p.do("store_u64", at, uint64(0x0807060504030201))
			p.do("store_u8", result{at.of, 8}, 0x1ff)
			p.do("show", p.do("length", at))
			p.do("show", p.do("length_unsafe", at))
			p.do("show", p.do("load_u8", result{at.of, 7}))
			p.do("show", p.do("load_u64", result{at.of, 1}))
			p.do("show", p.do("load_u8", result{at.of, 11}))
		}, fmt.Sprint("12 12 8 ", uint64(0xff08070605040302), " 0 ")},
		"free": {func(p *program) {
			at, other := p.do("alloc", 100), p.do("alloc", 100)
			p.do("free", at)
			p.do("free", at) // twice
			p.do("free", result{other.of, 1})
			p.do("free", 0)
			p.do("show", p.do("length", at))
			p.do("show", p.do("length", other))
			one, two := p.do("alloc", 90), p.do("alloc", 90) // the block that was freed twice is given once
			p.do("store_u8", one, 1)
			p.do("store_u8", two, 2)
			p.do("show", p.do("load_u8", one))
			p.do("show", p.do("length", one))
		}, "0 100 1 90 "},
		"no block": {func(p *program) {
			for _, n := range append(huge, 0) {
				p.do("show", p.do("alloc", n))
				p.do("show", p.do("length", n))
				p.do("free", n)
				p.do("log_info", n)
			}
		}, strings.Repeat("0 0 ", 7)},
		"input": {func(p *program) {
			block := p.text("abcdefghijk")
			p.do("input_set", result{block.of, 1}, 10)
			p.do("show", p.do("input_length"))
			p.do("show", p.do("input_load_u8", 0))
			p.do("show", p.do("input_load_u64", 0))
			p.do("show", p.do("input_load_u64", 8)) // two bytes are left
			p.do("show", p.do("input_load_u8", 10))
			p.do("show", p.do("input_load_u64", 10))
			for _, n := range huge {
				p.do("show", p.do("input_load_u8", n))
				p.do("show", p.do("input_load_u64", n))
			}
			p.do("show_bytes", p.do("input_offset"), 3)
			p.do("free", block)
			p.do("show", p.do("input_length"))
		}, "10 98 7595434461045744482 27498 0 0 " + strings.Repeat("0 ", 12) + "bcd|10 "},
		"output": {func(p *program) {
			block := p.text("here")
			p.do("output_set", block, 4)
			p.do("show", p.do("output_length"))
			p.do("output_set", p.do("output_offset"), 3)
		}, "her"},
		"reset": {func(p *program) {
			p.do("error_set", p.text("gone"))
			p.do("reset")
			p.do("show", p.do("error_get"))
			p.do("show", p.do("input_length"))
			block := p.do("alloc", 64)
			p.do("show_bytes", block, 8)
			p.do("show_set", p.do("memory_bytes"))
		}, "0 0 " + strings.Repeat("\x00", 8) + "|1 "},
		"an error that is taken back": {func(p *program) {
			at := p.text("no")
			p.do("error_set", at)
			p.do("show_block", p.do("error_get"))
			p.do("error_set", 0)
		}, "no|"},
		"variables": {func(p *program) {
			p.do("show", p.do("var_get", p.text("a")))
			p.do("var_set", p.text("a"), p.text("one"))
			p.do("var_set", p.text("a"), p.text("three"))
			p.do("show_block", p.do("var_get", p.text("a")))
			p.do("var_set", p.text("a"), 0)
			p.do("show", p.do("var_get", p.text("a")))
		}, "0 three|0 "},
		"config": {func(p *program) {
			for _, name := range []string{"text", "number", "list", "null", "none", "empty"} {
				p.do("show_block", p.do("config_get", p.text(name)))
			}
		}, `grüße|1.50|[1, 2]||||`},
		"level": {func(p *program) { p.do("show", p.do("get_log_level")) }, "0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, _, err := callExtism(t, m, written(c.write), func(call *flow.Call) {
				call.Context.With = map[string]json.RawMessage{
					"text": json.RawMessage(`"grüße"`), "number": json.RawMessage("1.50"), "list": json.RawMessage("[1, 2]"), "null": json.RawMessage("null"), "empty": json.RawMessage(`""`),
				}
			}, nil)
			if got := shown(t, r, err); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestExtismLogs(t *testing.T) {
	t.Parallel()
	r, h, err := callExtism(t, load(t, extismPlugin(t)), written(func(p *program) {
		for _, level := range []string{"trace", "debug", "info", "warn", "error"} {
			p.do("log_"+level, p.text("at "+level))
		}
		p.do("log_warn", p.text("\xff!"))
		p.do("log_warn", p.text(strings.Repeat("x", 20_000)))
		p.do("show", 1)
	}), nil, nil)
	if shown(t, r, err); len(h.Lines()) != 7 {
		t.Fatalf("lines %v", h.Lines())
	}
	for i, line := range h.Lines()[:5] {
		if line.Level != flow.LogLevel(i) || line.Message != "at "+line.Level.String() {
			t.Errorf("line %d: %+v", i, line)
		}
	}
	if h.Lines()[5].Message != "\uFFFD!" || len(h.Lines()[6].Message) != abi.MaxMessage {
		t.Errorf("lines %q and one of %d bytes", h.Lines()[5].Message, len(h.Lines()[6].Message))
	}
}

func TestExtismEndings(t *testing.T) {
	t.Parallel()
	m := load(t, extismPlugin(t))
	for name, c := range map[string]struct {
		write func(p *program)
		want  flow.Result
	}{
		"error":            {func(p *program) { p.do("error_set", p.text("the well is dry")) }, flow.Result{Verdict: flow.VerdictFailed, Message: "the well is dry"}},
		"error and number": {func(p *program) { p.do("error_set", p.text("dry")); p.do("return", 4) }, flow.Result{Verdict: flow.VerdictFailed, Message: "dry"}},
		"error as JSON":    {func(p *program) { p.do("error_set", p.text(`{"code":"dry","message":"no water"}`)) }, flow.Result{Verdict: flow.VerdictFailed, Code: "dry", Message: "no water"}},
		"error, not text":  {func(p *program) { p.do("error_set", p.text("\xff")) }, flow.Result{Verdict: flow.VerdictFailed, Message: "\uFFFD"}},
		"number":           {func(p *program) { p.do("return", -1) }, flow.Result{Verdict: flow.VerdictFailed, Message: "returned -1 without an error text"}},
		"skip is none":     {func(p *program) { p.do("return", 2) }, flow.Result{Verdict: flow.VerdictFailed, Message: "returned 2 without an error text"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, _, err := callExtism(t, m, written(c.write), nil, nil)
			if err != nil || r.Verdict != c.want.Verdict || r.Message != c.want.Message || r.Code != c.want.Code || len(r.Outputs) > 0 {
				t.Errorf("got %+v, %v", r, err)
			}
		})
	}
}

func TestExtismWildPointers(t *testing.T) {
	t.Parallel()
	m := load(t, extismPlugin(t))
	for _, at := range []uint64{0, 1, 63, 1 << 20, 1 << 31, 1 << 32, 1<<63 - 1, 1 << 63, 1<<64 - 8, 1<<64 - 7, 1<<64 - 1} {
		for _, op := range []string{"load_u8", "load_u64", "store_u8", "store_u64", "input_set", "output_set", "error_set"} {
			if op == "error_set" && at == 0 {
				continue // takes the error back
			}
			_, _, err := callExtism(t, m, written(func(p *program) { p.do(op, at, 9) }), nil, nil)
			if fault := faultOf(t, err); fault.Reason != flow.ReasonTrap || !strings.Contains(fault.Message, "extism:host/env."+op+" with a place outside of all blocks") {
				t.Errorf("%s at %d: %+v", op, at, fault)
			}
		}
	}
	_, _, err := callExtism(t, m, written(func(p *program) { p.do("config_get", p.text("a")); p.do("trap") }), nil, nil)
	if fault := faultOf(t, err); !strings.Contains(fault.Message, "its last calls of the host: config_get") {
		t.Errorf("a trap: %+v", fault)
	}
	for _, size := range []uint64{1 << 20, 1 << 32, 1 << 63, 1<<64 - 1, 1<<64 - 64} {
		for _, op := range []string{"input_set", "output_set"} {
			_, _, err := callExtism(t, m, written(func(p *program) { p.do(op, p.do("alloc", 8), size) }), nil, nil)
			if fault := faultOf(t, err); fault.Reason != flow.ReasonTrap {
				t.Errorf("%s of %d bytes: %+v", op, size, fault)
			}
		}
	}
}

func TestExtismLimits(t *testing.T) {
	t.Parallel()
	m := load(t, extismPlugin(t))
	small := func(call *flow.Call) { call.Limits.Memory, call.Limits.Output = flow.MiB, 100 }
	for name, c := range map[string]struct {
		write  func(p *program)
		reason flow.Reason
		says   string
	}{
		"many blocks":     {func(p *program) { p.do("alloc_often", 1_000_000, 1); p.do("show", p.do("alloc", 1)); p.do("trap") }, flow.ReasonMemory, "limits.memory, 1MiB"},
		"a large block":   {func(p *program) { p.do("store_u8", p.do("alloc", 1<<20), 1) }, flow.ReasonMemory, "limits.memory, 1MiB"},
		"memory, then it": {func(p *program) { p.do("grow", 10); p.do("store_u8", p.do("alloc", 300<<10), 1) }, flow.ReasonMemory, "limits.memory, 1MiB"},
		"variables": {func(p *program) {
			block := p.do("alloc", 300<<10)
			for _, name := range "abcd" {
				p.do("var_set", p.text(string(name)), block)
				block = p.do("alloc", 300<<10) // it was freed
			}
		}, flow.ReasonMemory, "variables exceed 1MiB"},
		"output": {func(p *program) { p.do("show_bytes", p.do("alloc", 101), 101) }, flow.ReasonOutputLimit, "limits.output is 100B"},
		"fuel":   {func(p *program) { p.do("spin", 1) }, flow.ReasonFuel, "limits.fuel"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, err := callExtism(t, m, written(c.write), func(call *flow.Call) {
				if small(call); name == "variables" {
					call.Limits.Memory = 64 * flow.MiB
				}
				if name == "fuel" {
					call.Limits.Fuel = 50_000_000
				}
			}, nil)
			if fault := faultOf(t, err); fault.Reason != c.reason || !strings.Contains(fault.Message, c.says) {
				t.Errorf("got %+v", fault)
			}
		})
	}
	r, _, err := callExtism(t, m, written(func(p *program) {
		p.do("free_often", 100_000, 5000)        // no more than one at a time
		p.do("show_set", p.do("grow", 10))       // beside blocks there is room
		p.do("show_set", p.do("alloc", 300<<10)) // beside memory there is not
		p.do("show_set", p.do("alloc", 100<<10)) // but for less
	}), small, nil)
	if got := shown(t, r, err); got != "1 0 1 " {
		t.Errorf("got %q", got)
	}
	if r.Usage.Memory < 500<<10 || r.Usage.Memory > flow.MiB {
		t.Errorf("memory %v", r.Usage.Memory)
	}
}

func TestExtismInput(t *testing.T) {
	t.Parallel()
	m := load(t, extismPlugin(t))
	for name, c := range map[string]struct {
		input string // of the call, as JSON
		want  map[string]string
	}{
		"text":           {`"no JSON"`, map[string]string{"result": `"no JSON"`}},
		"text of JSON":   {`"[1]"`, map[string]string{"result": `[1]`}},
		"object":         {`{"a": 1, "b": {"c": 2}}`, map[string]string{"a": "1", "b": `{"c": 2}`}},
		"number":         {`1.50`, map[string]string{"result": "1.50"}},
		"nothing":        {`""`, map[string]string{}},
		"blank":          {`" \n"`, map[string]string{"result": `" \n"`}},
		"a large object": {`{"a":"` + strings.Repeat("x", 500_000) + `"}`, map[string]string{"a": `"` + strings.Repeat("x", 500_000) + `"`}},
	} {
		r, _, err := callExtism(t, m, nil, func(call *flow.Call) { call.Context.Function, call.Stdin = "echo", json.RawMessage(c.input) }, nil)
		if err != nil || r.Verdict != 0 || len(r.Outputs) != len(c.want) {
			t.Errorf("%s: %.300v, %v", name, r, err)
		}
		for output, value := range c.want {
			if string(r.Outputs[output]) != value {
				t.Errorf("%s: output %s is %.300s", name, output, r.Outputs[output])
			}
		}
	}
	r, _, err := callExtism(t, m, nil, func(call *flow.Call) {
		call.Context.Function, call.Stdin, call.Context.With = "echo", nil, map[string]json.RawMessage{"n": json.RawMessage("7")}
	}, nil)
	if err != nil || string(r.Outputs["with"]) != `{"n":7}` || string(r.Outputs["abi"]) != `"uniflow.run/1"` {
		t.Errorf("the run context: %+v, %v", r, err)
	}
	r, h, err := callExtism(t, m, []byte{0xff, 0xfe}, func(call *flow.Call) { call.Context.Function = "echo" }, nil)
	if ref, ok := abi.AsArtifact(r.Outputs["result"]); err != nil || !ok || ref.Size != 2 {
		t.Errorf("bytes: %+v, %v", r, err)
	} else if names, _ := h.Artifacts(); !slices.Equal(names, []string{"input", "result"}) {
		t.Errorf("artifacts %q", names)
	}
	_, _, err = callExtism(t, m, nil, func(call *flow.Call) {
		call.Stdin = json.RawMessage(`{"$artifact":"sha256:` + strings.Repeat("0", 64) + `","size":1}`)
	}, nil)
	if fault := faultOf(t, err); fault.Reason != flow.ReasonExpression {
		t.Errorf("an unknown artifact: %+v", fault)
	}
	_, _, err = callExtism(t, m, make([]byte, 700<<10), func(call *flow.Call) { call.Limits.Memory = flow.MiB / 2 }, nil)
	if fault := faultOf(t, err); fault.Reason != flow.ReasonMemory || !strings.Contains(fault.Message, "the input has") {
		t.Errorf("an input over the limit: %+v", fault)
	}
	r, _, err = callExtism(t, m, nil, func(call *flow.Call) { call.Context.Function = "quiet" }, nil)
	if err != nil || r.Verdict != 0 || len(r.Outputs) > 0 {
		t.Errorf("an entry that returns nothing: %+v, %v", r, err)
	}
	_, _, err = callExtism(t, m, nil, func(call *flow.Call) { call.Context.Function = "loud" }, nil)
	if fault := faultOf(t, err); fault.Reason != flow.ReasonInvalid || !strings.Contains(fault.Hint, "configured, echo, quiet, run") {
		t.Errorf("a function that there is not: %+v", fault)
	}
}

func TestExtismHTTP(t *testing.T) {
	t.Parallel()
	m := load(t, extismPlugin(t))
	ask := func(p *program) {
		p.do("show_block", p.do("http_request", p.text(`{"url":"https://example.com/a?b&c","method":"post","headers":{"X-A":"1"}}`), p.text("body")))
		p.do("show", p.do("http_status_code"))
		p.do("show_block", p.do("http_headers"))
	}
	says := func(answer string) func() ([]byte, error) {
		return func() ([]byte, error) { return []byte(answer), nil }
	}
	for name, c := range map[string]struct{ answer, want string }{
		"text":   {`{"status":404,"headers":{"content-type":"text/csv"},"body":"a,b"}`, `a,b|404 {"content-type":"text/csv"}|`},
		"bytes":  {`{"status":200,"headers":{},"body_base64":"` + base64.StdEncoding.EncodeToString([]byte("a\x00b")) + `"}`, "a\x00b|200 {}|"},
		"empty":  {`{"status":204}`, "|204 {}|"},
		"before": {"", "0 |"},
	} {
		write := ask
		if name == "before" {
			write = func(p *program) {
				p.do("show", p.do("http_status_code"))
				p.do("show_block", p.do("http_headers"))
			}
		}
		r, h, err := callExtism(t, m, written(write), nil, says(c.answer))
		if got := shown(t, r, err); got != c.want {
			t.Errorf("%s: %q", name, got)
		}
		want := `{"url":"https://example.com/a?b\u0026c","method":"POST","headers":{"X-A":"1"}} body`
		if name != "before" && (len(h.asked) != 1 || h.asked[0] != want) {
			t.Errorf("%s: asked %q", name, h.asked)
		}
	}
	for name, c := range map[string]struct {
		err     error
		verdict flow.Verdict
		reason  flow.Reason
	}{
		"denied":      {&flow.ServiceError{Errno: int(abi.Denied), Code: "denied", Message: "no grant covers it"}, 0, flow.ReasonDenied},
		"unavailable": {&flow.ServiceError{Errno: int(abi.Unavailable), Code: "unavailable", Message: "no answer"}, flow.VerdictFailed, ""},
		"invalid":     {&flow.ServiceError{Errno: int(abi.Invalid), Code: "invalid", Message: "no URL"}, flow.VerdictPermanent, ""},
	} {
		r, _, err := callExtism(t, m, written(ask), nil, func() ([]byte, error) { return nil, c.err })
		switch {
		case c.reason != "":
			if fault := faultOf(t, err); fault.Reason != c.reason || fault.Message != "http_request: "+c.err.Error() {
				t.Errorf("%s: %+v", name, fault)
			}
		case err != nil || r.Verdict != c.verdict || r.Code != name || r.Message != "http_request: "+c.err.Error():
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	r, _, err := callExtism(t, m, written(func(p *program) { p.do("http_request", p.text("GET /"), 0) }), nil, says("{}"))
	if err != nil || r.Verdict != flow.VerdictPermanent || r.Code != "invalid" {
		t.Errorf("no request: %+v, %v", r, err)
	}
}
