package plugintest

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/plugintest/guest"
)

func cases() []testCase {
	return []testCase{
		{Context, "the guest sees the whole run context", contextArrives},
		{Echo, "an output keeps its value exactly", outputKept},
		{Echo, "calls side by side keep apart", callsKeepApart},
		{Log, "lines keep level and order", linesKept},
		{LogFlood, "more lines than are kept do no harm", logFlood},
		{Progress, "a heartbeat arrives", heartbeat},
		{Patient, "the guest hears of a cancellation, and its late success does not count", lateSuccess},
		{Fail, "verdicts of every kind", verdicts},
		{Exit, "exit codes", exitCodes},
		{Large, "an output over the limit is refused", largeOutput},
		{NotJSON, "an output that is not JSON is refused", notJSON},
		{Panic, "a guest that breaks loses its outputs, not its host", panics},
		{Sleep, "the deadline ends a sleep", deadline},
		{Sleep, "a guest that has begun is stopped, and the cause is the reason", cause},
		{Sleep, "a call under an ended context does not run", endedBefore},
		{Spin, "the deadline ends an endless loop", deadline},
		{Spin, "a guest that has begun is stopped, and the cause is the reason", cause},
		{PrintFlood, "a gigabyte on standard output does not grow the host", printFlood},
		{HostInfo, "host.info answers", hostInfo},
		{UnknownOp, "an unknown service is errno 8", unknownOp},
		{Artifact, "bytes go out and come back", artifactByService},
		{Files, "artifacts are files", artifactByFile},
		{NoEntry, "an unknown function is named", noEntry},
		{WrongABI, "another contract is refused when loaded", wrongABI},
	}
}

func contextArrives(t *testing.T, x *trial) {
	want := x.newCall(t, guest.With{Message: "grüße"})
	result, _ := x.succeed(t, guest.With{Message: "grüße"})
	var got flow.RunContext
	if err := json.Unmarshal(result.Outputs["context"], &got); err != nil {
		t.Fatalf("output context: %v", err)
	}
	got.Item = nil // null and none are the same
	if !reflect.DeepEqual(got, want.Context) {
		t.Errorf("the guest saw\n%+v\nwant\n%+v", got, want.Context)
	}
}

func outputKept(t *testing.T, x *trial) {
	result, _ := x.succeed(t, guest.With{Value: json.RawMessage(`{"n":9007199254740993,"s":"grüß","f":2.50}`)})
	wantJSON(t, result.Outputs, "echo", `{"n":9007199254740993,"s":"grüß","f":2.50}`)
}

func callsKeepApart(t *testing.T, x *trial) {
	module := x.load(t)
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			want := fmt.Sprint(i)
			result, err := module.Call(ctx, x.newCall(t, guest.With{Value: json.RawMessage(want)}), NewHost(ctx))
			if err != nil {
				t.Errorf("call %d: %v", i, err)
				return
			}
			wantJSON(t, result.Outputs, "echo", want)
		})
	}
	all.Wait()
}

func linesKept(t *testing.T, x *trial) {
	_, host := x.succeed(t, guest.With{Message: "water is"})
	want := []Line{{flow.LogDebug, "water is debug"}, {flow.LogInfo, "water is info"}, {flow.LogWarn, "water is warn"}, {flow.LogError, "water is error"}}
	if got := host.Lines(); !reflect.DeepEqual(got, want) {
		t.Errorf("lines %v, want %v", got, want)
	}
}

func logFlood(t *testing.T, x *trial) {
	_, host := x.succeed(t, guest.With{Size: 20_000, Message: strings.Repeat("x", 200)})
	if len(host.Lines()) == 0 {
		t.Error("no line arrived")
	}
}

func heartbeat(t *testing.T, x *trial) {
	result, host := x.succeed(t, guest.With{Message: "half"})
	wantJSON(t, result.Outputs, "cancelled", "false")
	if got := host.Permilles(); !reflect.DeepEqual(got, []int{500}) {
		t.Errorf("heartbeats %v, want [500]", got)
	}
}

func lateSuccess(t *testing.T, x *trial) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	host := NewHost(ctx)
	fault := x.cut(t, ctx, x.newCall(t, guest.With{}), host, func() {
		host.awaitLine(t)
		cancel()
	})
	if fault.Reason != flow.ReasonRequest {
		t.Errorf("reason %q (%s), want %q", fault.Reason, fault.Message, flow.ReasonRequest)
	}
	lines := host.Lines()
	if len(lines) == 0 || lines[len(lines)-1].Message != "told to stop" {
		t.Errorf("log %v, want the guest to end by itself", lines)
	}
}

func verdicts(t *testing.T, x *trial) {
	for _, with := range []guest.With{
		{Kind: 1, Code: "no_data", Message: "the station is silent"},
		{Kind: 2, Message: "nothing new"},
		{Kind: 3, Message: "busy", AfterMS: 1500},
		{Kind: 4, Message: "the station does not exist"},
	} {
		result, host, err := x.call(t, with)
		if err != nil {
			t.Errorf("kind %d: %v\nlog: %v", with.Kind, err, host.Lines())
			continue
		}
		want := flow.Result{Verdict: flow.Verdict(with.Kind), Code: with.Code, Message: with.Message, RetryAfter: flow.Duration(with.AfterMS) * flow.Duration(time.Millisecond)}
		got := flow.Result{Verdict: result.Verdict, Code: result.Code, Message: result.Message, RetryAfter: result.RetryAfter}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("result %+v, want %+v", got, want)
		}
		if _, kept := result.Outputs["before"]; with.Kind == 2 && !kept {
			t.Error("a skip lost its outputs")
		}
	}
}

func exitCodes(t *testing.T, x *trial) {
	for code, want := range map[int]flow.Verdict{0: flow.VerdictOK, 1: flow.VerdictFailed, 65: flow.VerdictPermanent, 75: flow.VerdictRetry, 78: flow.VerdictPermanent, 99: flow.VerdictSkip} {
		result, host, err := x.call(t, guest.With{Size: code, Message: "error: because"})
		switch {
		case err != nil:
			t.Errorf("exit %d: %v\nlog: %v", code, err, host.Lines())
		case result.Verdict != want || (code == 0) != (result.ExitCode == nil):
			t.Errorf("exit %d: result %+v, want verdict %d", code, result, want)
		case code != 0 && (*result.ExitCode != code || result.Message != "because"):
			t.Errorf("exit %d: code %d, message %q", code, *result.ExitCode, result.Message)
		}
	}
}

// refused checks that a bad output was not taken: the guest was told, or the attempt is a fault.
func refused(t *testing.T, x *trial, with guest.With, errno string, reason flow.Reason) {
	t.Helper()
	result, _, err := x.call(t, with)
	if err != nil {
		wantFault(t, err, reason)
		return
	}
	if _, kept := result.Outputs["bad"]; kept {
		t.Error("the output was kept")
	}
	wantJSON(t, result.Outputs, "errno", `"`+errno+`"`)
}

func largeOutput(t *testing.T, x *trial) {
	refused(t, x, guest.With{Size: 2 << 20}, "too_large", flow.ReasonOutputLimit)
}

func notJSON(t *testing.T, x *trial) {
	refused(t, x, guest.With{}, "invalid", flow.ReasonOutput)
}

func panics(t *testing.T, x *trial) {
	result, host, err := x.call(t, guest.With{Message: "the floor gave way"})
	if err != nil {
		fault := wantFault(t, err, flow.ReasonTrap, flow.ReasonPanic, flow.ReasonCrashed, flow.ReasonExit)
		for _, secret := range []string{"goroutine ", ".go:"} {
			if strings.Contains(fault.Message+fault.Hint, secret) {
				t.Errorf("the message shows the host's inside: %s", fault.Message)
			}
		}
	} else if result.Verdict != flow.VerdictFailed || len(result.Outputs) > 0 {
		t.Errorf("result %+v, want a failure without outputs\nlog: %v", result, host.Lines())
	}
	x.behaviour = Echo
	after, _ := x.succeed(t, guest.With{Value: json.RawMessage(`"alive"`)})
	wantJSON(t, after.Outputs, "echo", `"alive"`)
}

func deadline(t *testing.T, x *trial) {
	x.load(t) // the deadline is the attempt's
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	call := x.newCall(t, guest.With{AfterMS: 60_000})
	call.Grace = 0
	fault := x.cut(t, ctx, call, NewHost(ctx), nil)
	if fault.Reason != flow.ReasonTimeout {
		t.Errorf("reason %q (%s), want %q", fault.Reason, fault.Message, flow.ReasonTimeout)
	}
}

func cause(t *testing.T, x *trial) {
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	call := x.newCall(t, guest.With{AfterMS: 60_000})
	call.Grace = 0
	host := NewHost(ctx)
	fault := x.cut(t, ctx, call, host, func() {
		host.awaitLine(t)
		cancel(&flow.Fault{Reason: flow.ReasonReplaced, Message: "a newer slot came due"})
	})
	if fault.Reason != flow.ReasonReplaced || !strings.HasPrefix(fault.Message, "a newer slot came due") {
		t.Errorf("fault %q %q, want the cause", fault.Reason, fault.Message)
	}
}

func endedBefore(t *testing.T, x *trial) {
	ctx, cancel := context.WithCancel(t.Context())
	module := x.load(t)
	cancel()
	host := NewHost(ctx)
	_, err := module.Call(ctx, x.newCall(t, guest.With{}), host)
	wantFault(t, err, flow.ReasonRequest)
}

func printFlood(t *testing.T, x *trial) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, host, err := x.call(t, guest.With{Size: 1024})
	runtime.ReadMemStats(&after)
	if err != nil {
		wantFault(t, err, flow.ReasonOutputLimit)
	}
	// Other cases run at the same time; what must not happen is growth by what was printed.
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 512<<20 {
		t.Errorf("the heap grew by %d MiB\nlog: %d lines", grown>>20, len(host.Lines()))
	}
}

func hostInfo(t *testing.T, x *trial) {
	result, _ := x.succeed(t, guest.With{})
	wantJSON(t, result.Outputs, "info", `{"version":"test"}`)
}

func unknownOp(t *testing.T, x *trial) {
	result, _ := x.succeed(t, guest.With{})
	wantJSON(t, result.Outputs, "errno", `"unknown_op"`)
}

func artifactByService(t *testing.T, x *trial) {
	result, host := x.succeed(t, guest.With{Message: "bytes and more bytes"})
	wantJSON(t, result.Outputs, "back", `"bytes and more bytes"`)
	var ref flow.ArtifactRef
	if err := json.Unmarshal(result.Outputs["ref"], &ref); err != nil {
		t.Fatalf("output ref %s: %v", result.Outputs["ref"], err)
	}
	if _, content := host.Artifacts(); string(content[ref.Digest]) != "bytes and more bytes" {
		t.Errorf("the artifact holds %q", content[ref.Digest])
	}
}

func artifactByFile(t *testing.T, x *trial) {
	module := x.load(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	host := NewHost(ctx)
	ref, err := host.Artifact(ctx, "given", "text/plain", strings.NewReader("quiet"))
	if err != nil {
		t.Fatal(err)
	}
	value, err := json.Marshal(ref)
	if err != nil {
		t.Fatal(err)
	}
	result, err := module.Call(ctx, x.newCall(t, guest.With{Value: value}), host)
	if err != nil || result.Verdict != flow.VerdictOK {
		t.Fatalf("result %+v, error %v\nlog: %v", result, err, host.Lines())
	}
	var out flow.ArtifactRef
	if err := json.Unmarshal(result.Outputs["loud.txt"], &out); err != nil {
		t.Fatalf("output loud.txt %s: %v", result.Outputs["loud.txt"], err)
	}
	if _, content := host.Artifacts(); string(content[out.Digest]) != "QUIET" || out.Size != 5 {
		t.Errorf("the artifact %+v holds %q", out, content[out.Digest])
	}
}

func noEntry(t *testing.T, x *trial) {
	module := x.load(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	call := x.newCall(t, guest.With{})
	call.Context.Function = "no_such_function"
	host := NewHost(ctx)
	result, err := module.Call(ctx, call, host)
	message := result.Message
	if err != nil {
		message = err.Error()
	} else if result.Verdict == flow.VerdictOK {
		t.Fatal("the call succeeded")
	}
	if !strings.Contains(message, "no_such_function") {
		t.Errorf("message %q does not name the function", message)
	}
}

func wrongABI(t *testing.T, x *trial) {
	_, err := x.Runtime.Load(t.Context(), x.Plugin(x.behaviour))
	if code := flow.CodeOf(err); !strings.HasPrefix(string(code), "UF2") {
		t.Errorf("error %v with code %q, want a code UF2xxx", err, code)
	}
}
