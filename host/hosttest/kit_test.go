package hosttest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/hosttest"
	"github.com/uniflow-dev/uniflow/sdk/abi"
	"github.com/uniflow-dev/uniflow/sdk/abi/abitest"
)

const vectors = "../../sdk/abi/testdata"

// TestGoKit runs the conformance program of the Go kit as a reactor.
func TestGoKit(t *testing.T) { //nolint:tparallel // its cases share one module
	t.Parallel()
	path := filepath.Join(t.TempDir(), "conformance.wasm")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags=-s -w", "-buildmode=c-shared", "-o", path, "../../sdk/testdata/conformance")
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	runKit(t, path, hosttest.Config{})
}

// runKit runs the vectors of all kits against the conformance program at path.
func runKit(t *testing.T, path string, c hosttest.Config) {
	t.Helper()
	module, err := hosttest.Load(t.Context(), path, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = module.Close() })
	for _, v := range abitest.Load[abitest.KitCase](t, vectors, "conformance.json") {
		t.Run(v.Name, func(t *testing.T) { runKitCase(t, module, v) })
	}
	ran := 0
	for _, v := range abitest.Load[abitest.AttemptCase](t, vectors, "attempt.json") {
		with, possible := attemptInputs(v)
		if !possible {
			continue // bytes that are no text cannot be among the inputs of a program
		}
		ran++
		t.Run("attempt: "+v.Name, func(t *testing.T) { runAttemptCase(t, module, v, with) })
	}
	if ran < 20 {
		t.Errorf("%d vectors of attempts were run, want 20 or more", ran)
	}
}

// runKitCase runs one vector of conformance.json.
func runKitCase(t *testing.T, module *hosttest.Module, v abitest.KitCase) {
	t.Helper()
	with, err := members(v.With)
	if err != nil {
		t.Fatal(err)
	}
	context, err := members(v.Context)
	if err != nil {
		t.Fatal(err)
	}
	script := &script{t: t, calls: v.Calls}
	out, err := call(t.Context(), module, hosttest.Input{
		Pipeline: "conformance", Step: "case", With: with, Context: context, Item: v.Item, ItemIndex: v.ItemIndex, Answer: script.answer,
	})
	if err != nil {
		t.Fatalf("call: %v\nlog: %v", err, lines(out.Logs))
	}
	if script.next != len(v.Calls) {
		t.Errorf("%d of %d calls were made", script.next, len(v.Calls))
	}
	checkVerdict(t, out, v.Verdict)
	checkOutputs(t, out, v)
	if got := lines(out.Logs); v.Logs != nil && !slices.Equal(got, v.Logs) {
		t.Errorf("log %v, want %v", got, v.Logs)
	}
	if v.Progress != nil && !slices.Equal(out.Progress, v.Progress) {
		t.Errorf("progress %v, want %v", out.Progress, v.Progress)
	}
}

func call(ctx context.Context, module *hosttest.Module, in hosttest.Input) (hosttest.Output, error) {
	in.At = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	return module.Call(ctx, in)
}

// members splits an object, given as such or as the Bytes of its text, without touching the text of its members.
func members(doc json.RawMessage) (map[string]any, error) {
	if len(doc) > 0 && doc[0] != '{' {
		var text abitest.Bytes
		if err := text.UnmarshalJSON(doc); err != nil {
			return nil, err
		}
		doc = json.RawMessage(text)
	}
	if len(doc) == 0 {
		return map[string]any{}, nil
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(doc, &raw); err != nil {
		return nil, err
	}
	all := map[string]any{}
	for name, value := range raw {
		all[name] = value
	}
	return all, nil
}

func lines(logs []flow.LogLine) []abitest.KitLog {
	var all []abitest.KitLog
	for _, l := range logs {
		all = append(all, abitest.KitLog{Level: l.Level.String(), Message: l.Message})
	}
	return all
}

func checkVerdict(t *testing.T, out hosttest.Output, want abitest.Verdict) {
	t.Helper()
	if want.Kind == "" {
		want.Kind = "ok"
	}
	got := abitest.Verdict{Kind: abi.Kind(out.Verdict).String(), Code: out.Code, Message: out.Message, RetryAfterMS: out.RetryAfter.Std().Milliseconds()}
	if want == (abitest.Verdict{Kind: "permanent"}) {
		got = abitest.Verdict{Kind: got.Kind} // kits word it differently
	}
	if got != want {
		t.Errorf("verdict %+v, want %+v\nlog: %v", got, want, lines(out.Logs))
	}
}

func checkOutputs(t *testing.T, out hosttest.Output, v abitest.KitCase) {
	t.Helper()
	for name, want := range v.Raw {
		if got := string(out.Outputs[name]); got != string(want) {
			t.Errorf("output %s has %d bytes %.200s, want %d bytes %.200s", name, len(got), got, len(want), want)
		}
	}
	for name, want := range v.Outputs {
		if !sameJSON(out.Outputs[name], want) {
			t.Errorf("output %s = %.300s, want %.300s", name, out.Outputs[name], want)
		}
	}
	for name := range out.Outputs {
		if v.Raw[name] == nil && v.Outputs[name] == nil && !slices.Contains(v.Ignore, name) {
			t.Errorf("output %s is not expected", name)
		}
	}
}

func sameJSON(a, b json.RawMessage) bool {
	var x, y any
	if json.Unmarshal(a, &x) != nil || json.Unmarshal(b, &y) != nil {
		return false
	}
	return reflect.DeepEqual(x, y)
}

// script answers calls in order.
type script struct {
	t     *testing.T
	mu    sync.Mutex
	calls []abitest.KitCall
	next  int
}

func (s *script) answer(op string, request, body []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next >= len(s.calls) {
		s.t.Errorf("call %d, %s %s, is one too many", s.next, op, request)
		return nil, &flow.ServiceError{Errno: int(abi.Quota), Code: abi.Quota.Name()}
	}
	c := s.calls[s.next]
	s.next++
	if op != c.Op || !sameJSON(request, c.Request) || !bytes.Equal(body, c.Body) {
		s.t.Errorf("call %d is %s %s with a body of %d bytes %.100q,\nwant %s %s with %d bytes", s.next, op, request, len(body), body, c.Op, c.Request, len(c.Body))
	}
	switch {
	case c.Error != nil:
		errno, ok := abi.ErrnoByName(c.Error.Errno)
		if !ok {
			s.t.Errorf("%q is no error", c.Error.Errno)
		}
		return nil, &flow.ServiceError{Errno: int(errno), Code: c.Error.Errno, Message: c.Error.Message, Hint: c.Error.Hint}
	case c.Bytes != nil:
		return c.Bytes, nil
	}
	return c.Response, nil
}

// attemptInputs are the inputs for a vector of attempt.json; false when it cannot be said in JSON, or needs limits that a
// step cannot have.
func attemptInputs(v abitest.AttemptCase) (map[string]any, bool) {
	type one struct {
		Do    string `json:"do"`
		Key   string `json:"key,omitempty"`
		Value string `json:"value,omitempty"`
		Kind  int32  `json:"kind,omitempty"`
		Text  string `json:"text,omitempty"`
	}
	all := []one{}
	for _, c := range v.Calls {
		for i := range max(c.Times, 1) {
			key := string(c.Key)
			if c.Times > 1 {
				key = strings.ReplaceAll(key, "%d", fmt.Sprint(i))
			}
			all = append(all, one{c.Do, key, string(c.Value), c.Kind, string(c.Text)})
		}
	}
	doc, err := json.Marshal(all)
	var back []one
	possible := err == nil && json.Unmarshal(doc, &back) == nil && slices.Equal(all, back) && v.Limits.Outputs == 0 && v.Limits.OutputBytes == 0
	return map[string]any{"case": "attempt", "calls": json.RawMessage(doc), "return": v.Return}, possible
}

// runAttemptCase has the program make the calls of a vector and tell what became of each.
func runAttemptCase(t *testing.T, module *hosttest.Module, v abitest.AttemptCase, with map[string]any) {
	t.Helper()
	out, err := call(t.Context(), module, hosttest.Input{With: with})
	checkAttempt(t, v, out, err)
}

func checkAttempt(t *testing.T, v abitest.AttemptCase, out hosttest.Output, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, c := range v.Calls {
		for range max(c.Times, 1) {
			want = append(want, c.Errno)
		}
	}
	if got := lines(out.Logs); len(got) == 0 || got[len(got)-1].Message != strings.Join(want, " ") {
		t.Errorf("log %v, want %v", got, want)
	}
	if got := abi.Kind(out.Verdict).String(); got != v.Verdict.Kind || out.Code != v.Verdict.Code || out.Message != v.Verdict.Message {
		t.Errorf("verdict %s %q %q, want %+v", got, out.Code, out.Message, v.Verdict)
	}
	for name, value := range v.Outputs {
		if !bytes.Equal(out.Outputs[name], value) && !sameJSON(out.Outputs[name], value) {
			t.Errorf("output %s = %.200s, want %.200s", name, out.Outputs[name], value)
		}
	}
	if len(out.Outputs) != len(v.Outputs) {
		t.Errorf("%d outputs, want %d", len(out.Outputs), len(v.Outputs))
	}
}
