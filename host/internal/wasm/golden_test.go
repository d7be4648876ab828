package wasm_test

import (
	"encoding/json"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/uniflow-dev/uniflow/host/flow"
	bt "github.com/uniflow-dev/uniflow/host/internal/wasm/binary/binarytest"
	"github.com/uniflow-dev/uniflow/sdk/abi"
	"github.com/uniflow-dev/uniflow/sdk/abi/abitest"
)

// goldenAttempt builds a reactor that makes the calls of a vector and traps when the host answers another errno.
func goldenAttempt(t *testing.T, c abitest.AttemptCase) []byte {
	t.Helper()
	b, index := reactor("output", "fail")
	offset := 1024
	place := func(text string) (ptr, size []byte) {
		at := offset
		b.Data(at, text)
		offset += len(text)
		return bt.Const(at), bt.Const(len(text))
	}
	var body [][]byte
	for _, call := range c.Calls {
		errno, ok := abi.ErrnoByName(call.Errno)
		if !ok {
			t.Fatalf("errno %q", call.Errno)
		}
		for n := range max(call.Times, 1) {
			if call.Do == "fail" {
				ptr, size := place(string(call.Text))
				body = append(body, bt.Const(int(call.Kind)), ptr, size, bt.Call(index["fail"]), expect(-int(errno)))
				continue
			}
			name, nameLen := place(strings.Replace(string(call.Key), "%d", strconv.Itoa(n), 1))
			value, valueLen := place(string(call.Value))
			body = append(body, name, nameLen, value, valueLen, bt.Call(index["output"]), expect(-int(errno)))
		}
	}
	b.Pages(offset>>16 + 1)
	return entry(b, 0, append(body, bt.Const(int(c.Return)))...)
}

func verdictOf(r flow.Result) abitest.Verdict {
	return abitest.Of(abi.Verdict{Kind: abi.Kind(r.Verdict), Code: r.Code, Message: r.Message, RetryAfter: r.RetryAfter.Std()})
}

func wantOutputs(t *testing.T, got, want map[string]json.RawMessage) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("outputs %q, want %q", got, want)
	}
	for name, value := range want {
		var g, w any
		if json.Unmarshal(got[name], &g) != nil || json.Unmarshal(value, &w) != nil {
			t.Errorf("output %s = %s, want %s", name, got[name], value)
			continue
		}
		gd, _ := json.Marshal(g)
		wd, _ := json.Marshal(w)
		if string(gd) != string(wd) {
			t.Errorf("output %s = %s, want %s", name, gd, wd)
		}
	}
}

var vectors = filepath.Join("..", "..", "..", "sdk", "abi", "testdata") //nolint:gochecknoglobals // a constant path

func TestGoldenAttempts(t *testing.T) {
	t.Parallel()
	for _, c := range abitest.Load[abitest.AttemptCase](t, vectors, "attempt.json") {
		if c.Limits.Outputs != 0 {
			continue // the number of outputs is the contract's own; a call cannot lower it
		}
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			result, _, err := attempt(t, goldenAttempt(t, c), func(call *flow.Call) { call.Limits.Output = flow.Size(c.Limits.OutputBytes) })
			if err != nil {
				t.Fatal(err)
			}
			if got := verdictOf(result); got != c.Verdict {
				t.Errorf("verdict %+v, want %+v", got, c.Verdict)
			}
			kept := result.Verdict == flow.VerdictOK || result.Verdict == flow.VerdictSkip
			if c.Outputs != nil && kept {
				wantOutputs(t, result.Outputs, c.Outputs)
			}
			if !kept && len(result.Outputs) > 0 {
				t.Errorf("a failure kept outputs %q", result.Outputs)
			}
		})
	}
}

func TestGoldenStdout(t *testing.T) {
	t.Parallel()
	for _, c := range abitest.Load[abitest.StdoutCase](t, vectors, "stdout.json") {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			result, host, err := attempt(t, printer(1, string(c.Stdout), 0), func(call *flow.Call) { call.Stdout = string(c.Mode) })
			switch {
			case c.Error == "" && err == nil:
				wantOutputs(t, result.Outputs, c.Outputs)
			case c.Error == "not_utf8" && c.Mode != abi.StdoutJSON:
				ref, ok := abi.AsArtifact(result.Outputs["stdout"])
				if _, content := host.Artifacts(); err != nil || !ok || string(content[flow.Digest(ref.Artifact)]) != string(c.Stdout) {
					t.Errorf("result %+v, error %v, want the bytes as an artifact", result, err)
				}
			case c.Error != "" && err != nil:
				if fault := faultOf(t, err); fault.Reason != flow.ReasonOutput {
					t.Errorf("fault %+v", fault)
				}
			default:
				t.Errorf("result %+v, error %v, want %q", result, err, c.Error)
			}
		})
	}
}

func TestGoldenExits(t *testing.T) {
	t.Parallel()
	for _, c := range abitest.Load[abitest.ExitCase](t, vectors, "exit.json") {
		result, _, err := attempt(t, printer(2, string(c.Stderr)+"\n", c.Code), nil)
		if err != nil {
			t.Errorf("%s: %v", c.Name, err)
			continue
		}
		if got := verdictOf(result); got != c.Verdict {
			t.Errorf("%s: verdict %+v, want %+v", c.Name, got, c.Verdict)
		}
	}
}

func TestGoldenStderr(t *testing.T) {
	t.Parallel()
	for _, c := range abitest.Load[abitest.StderrCase](t, vectors, "stderr.json") {
		_, host, err := attempt(t, printer(2, string(c.Line)+"\n", 0), nil)
		if err != nil {
			t.Errorf("%s: %v", c.Name, err)
			continue
		}
		lines := host.Lines()
		if strings.TrimSpace(string(c.Line)) == "" {
			if len(lines) != 0 {
				t.Errorf("%s: a blank line was logged", c.Name)
			}
			continue
		}
		if len(lines) != 1 || lines[0].Level.String() != c.Level || !strings.HasPrefix(lines[0].Message, c.Message) {
			t.Errorf("%s: %+v, want %s %q", c.Name, lines, c.Level, c.Message)
		}
	}
}
