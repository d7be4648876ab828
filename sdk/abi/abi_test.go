package abi_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/uniflow-dev/uniflow/sdk/abi"
	"github.com/uniflow-dev/uniflow/sdk/abi/abitest"
)

func TestAttemptVectors(t *testing.T) {
	t.Parallel()
	for _, c := range abitest.Load[abitest.AttemptCase](t, "testdata", "attempt.json") {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			a := abi.NewAttempt(abi.Limits{OutputBytes: c.Limits.OutputBytes, Outputs: c.Limits.Outputs})
			for i, call := range c.Calls {
				for n := range max(call.Times, 1) {
					if got := do(a, call, n); got.Name() != call.Errno {
						t.Fatalf("call %d (%s %q): errno %s, want %s", i, call.Do, call.Key, got.Name(), call.Errno)
					}
				}
			}
			if got := abitest.Of(a.Settle(c.Return)); got != c.Verdict {
				t.Errorf("verdict %+v, want %+v", got, c.Verdict)
			}
			if c.Outputs != nil {
				wantOutputs(t, a.Outputs(), c.Outputs)
			}
		})
	}
}

func do(a *abi.Attempt, call abitest.AttemptCall, n int) abi.Errno {
	if call.Do == "fail" {
		return a.Fail(abi.Kind(call.Kind), call.Text)
	}
	return a.Output(strings.Replace(string(call.Key), "%d", strconv.Itoa(n), 1), call.Value)
}

func TestStdoutVectors(t *testing.T) {
	t.Parallel()
	for _, c := range abitest.Load[abitest.StdoutCase](t, "testdata", "stdout.json") {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			got, err := abi.OutputsOfStdout(c.Stdout, c.Mode)
			if errorName(err) != c.Error {
				t.Fatalf("error %v, want %q", err, c.Error)
			}
			wantOutputs(t, got, c.Outputs)
		})
	}
}

func TestStderrVectors(t *testing.T) {
	t.Parallel()
	for _, c := range abitest.Load[abitest.StderrCase](t, "testdata", "stderr.json") {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			level, message, fields := abi.ParseStderrLine(string(c.Line))
			if level.String() != c.Level || message != c.Message {
				t.Errorf("got %s %q, want %s %q", level, message, c.Level, c.Message)
			}
			wantOutputs(t, fields, c.Fields)
		})
	}
}

func TestExitVectors(t *testing.T) {
	t.Parallel()
	for _, c := range abitest.Load[abitest.ExitCase](t, "testdata", "exit.json") {
		if got := abitest.Of(abi.VerdictOfExit(c.Code, string(c.Stderr))); got != c.Verdict {
			t.Errorf("%s: verdict %+v, want %+v", c.Name, got, c.Verdict)
		}
	}
}

func TestContextVectors(t *testing.T) {
	t.Parallel()
	for _, c := range abitest.Load[abitest.ContextCase](t, "testdata", "context.json") {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			r, err := abi.DecodeRunContext(c.Document)
			if errorName(err) != c.Error {
				t.Fatalf("error %v, want %q", err, c.Error)
			}
			if c.Error != "" {
				return
			}
			got, err := r.Encode()
			if err != nil {
				t.Fatal(err)
			}
			if want := compact(t, c.Encoded); string(got) != want {
				t.Errorf("encoded\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// errorName names an error as the vectors do.
func errorName(err error) string {
	var e abi.Errno
	switch {
	case err == nil:
		return ""
	case errors.Is(err, abi.ErrNotUTF8):
		return "not_utf8"
	case errors.As(err, &e):
		return e.Name()
	}
	return err.Error()
}

func wantOutputs(t *testing.T, got, want map[string]json.RawMessage) {
	t.Helper()
	if g, w := slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)); !slices.Equal(g, w) {
		t.Fatalf("names %q, want %q", g, w)
	}
	for name, value := range got {
		if g, w := compact(t, value), compact(t, want[name]); g != w {
			t.Errorf("%s = %s, want %s", name, g, w)
		}
	}
}

func compact(t *testing.T, doc json.RawMessage) string {
	t.Helper()
	var b bytes.Buffer
	if err := json.Compact(&b, doc); err != nil {
		t.Fatalf("%s: %v", doc, err)
	}
	return b.String()
}

func TestStdoutYieldsToOutputsThatWereSet(t *testing.T) {
	t.Parallel()
	a := abi.NewAttempt(abi.Limits{OutputBytes: 8})
	if e := a.Output("a", []byte("1")); e != abi.OK {
		t.Fatal(e)
	}
	if err := a.Stdout([]byte(`{"a":2,"b":3}`), abi.StdoutAuto); err != nil {
		t.Fatal(err)
	}
	if err := a.Stdout([]byte(`{"c":4,"d":"too long"}`), abi.StdoutAuto); !errors.Is(err, abi.TooLarge) {
		t.Errorf("error %v, want too_large", err)
	}
	wantOutputs(t, a.Outputs(), map[string]json.RawMessage{"a": json.RawMessage("1"), "b": json.RawMessage("3")})
}

func TestSettleExitHonoursARecordedFail(t *testing.T) {
	t.Parallel()
	a := abi.NewAttempt(abi.Limits{})
	if got := a.SettleExit(abi.ExitSkip, "no news"); got.Kind != abi.KindSkip || got.Message != "no news" {
		t.Errorf("verdict %+v", got)
	}
	a.Fail(abi.KindRetry, []byte("busy"))
	if got := a.SettleExit(abi.ExitOK, ""); got.Kind != abi.KindRetry || got.Message != "busy" {
		t.Errorf("verdict %+v", got)
	}
}

func TestOutputIsCopied(t *testing.T) {
	t.Parallel()
	a := abi.NewAttempt(abi.Limits{})
	value := []byte("1")
	a.Output("a", value)
	value[0] = 'x'
	if got := string(a.Outputs()["a"]); got != "1" {
		t.Errorf("output %q follows the guest's buffer", got)
	}
}

func TestRunContextHasALimit(t *testing.T) {
	t.Parallel()
	r := abi.RunContext{With: json.RawMessage(`"` + strings.Repeat("x", abi.MaxContext) + `"`)}
	if _, err := r.Encode(); !errors.Is(err, abi.TooLarge) {
		t.Errorf("encode: %v, want too_large", err)
	}
	if _, err := abi.DecodeRunContext(make([]byte, abi.MaxContext+1)); !errors.Is(err, abi.TooLarge) {
		t.Errorf("decode: %v, want too_large", err)
	}
}

func TestDescriptor(t *testing.T) {
	t.Parallel()
	doc := `{"name":"stats","functions":{"mean":{"with":{"type":"object"}}},"wants":{"state":true},"later":1}`
	d, err := abi.DecodeDescriptor([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	if d.Name != "stats" || string(d.Functions["mean"].With) != `{"type":"object"}` || !d.Wants.State {
		t.Errorf("descriptor %+v", d)
	}
	for bad, want := range map[string]abi.Errno{
		"":                                 abi.Invalid,
		`{"name":7}`:                       abi.Invalid,
		strings.Repeat("[", 100):           abi.Invalid,
		strings.Repeat(" ", 256<<10) + "{": abi.TooLarge,
	} {
		if _, err := abi.DecodeDescriptor([]byte(bad)); !errors.Is(err, want) {
			t.Errorf("%.20q: %v, want %s", bad, err, want.Name())
		}
	}
}

func TestErrno(t *testing.T) {
	t.Parallel()
	for e := abi.OK; e <= abi.Fault; e++ {
		if got, ok := abi.ErrnoByName(e.Name()); !ok || got != e {
			t.Errorf("ErrnoByName(%q) = %d", e.Name(), got)
		}
	}
	if abi.OK.Err() != nil || !errors.Is(abi.Denied.Err(), abi.Denied) || abi.Fault.Result() != -9 {
		t.Error("Err or Result is wrong")
	}
	if abi.Errno(99).Name() != "errno" || abi.Errno(-1).Error() == "" {
		t.Error("an unknown errno has no name")
	}
}

func TestArtifactRef(t *testing.T) {
	t.Parallel()
	ref, ok := abi.AsArtifact(json.RawMessage(` {"$artifact":"sha256:ab","size":3,"type":"text/csv"}`))
	if !ok || ref != (abi.ArtifactRef{Artifact: "sha256:ab", Size: 3, Type: "text/csv"}) {
		t.Errorf("got %+v, %v", ref, ok)
	}
	for _, other := range []string{"", "null", `"x"`, "[]", "{}", `{"$artifact":7}`, `{"size":3}`} {
		if _, ok := abi.AsArtifact(json.RawMessage(other)); ok {
			t.Errorf("%q is taken for an artifact", other)
		}
	}
}

func FuzzAttempt(f *testing.F) {
	f.Add("a", []byte(`{"b":[1]}`), int32(3), []byte(`{"retry_after_ms":1}`), "warn: x")
	f.Fuzz(func(t *testing.T, name string, value []byte, kind int32, msg []byte, line string) {
		a := abi.NewAttempt(abi.Limits{OutputBytes: 64})
		if a.Output(name, value) == abi.OK && (!json.Valid(value) || len(value) > 64) {
			t.Errorf("accepted %q", value)
		}
		a.Fail(abi.Kind(kind), msg)
		if v := a.Settle(kind); v.RetryAfter < 0 || v.RetryAfter > abi.MaxRetryAfter {
			t.Errorf("wait %s", v.RetryAfter)
		}
		if v := abi.VerdictOfExit(uint32(kind), line); len(v.Message) > abi.MaxMessage {
			t.Errorf("message of %d bytes", len(v.Message))
		}
		outputs, err := abi.OutputsOfStdout(value, abi.StdoutAuto)
		for n, v := range outputs {
			if err == nil && abi.CheckJSON(v) != abi.OK {
				t.Errorf("stdout %q gives %q = %q", value, n, v)
			}
		}
	})
}
