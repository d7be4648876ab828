//go:build unix

package process

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/plugintest"
	"github.com/uniflow-dev/uniflow/host/internal/plugintest/guest"
)

func TestBrokenContractIsAFault(t *testing.T) {
	t.Parallel()
	m := load(t, newRuntime(t, Config{}), play("raw"))
	for _, c := range []struct {
		with   guest.With
		reason flow.Reason
		says   string
	}{
		{guest.With{Behaviour: "over_limit", Size: 2 << 20}, flow.ReasonOutputLimit, "limits.output (1MiB)"},
		{guest.With{Behaviour: "not_json"}, flow.ReasonOutput, `output "bad" is refused: invalid`},
		{guest.With{Behaviour: "no_end"}, flow.ReasonCrashed, "without saying how"},
		{guest.With{Behaviour: "error"}, flow.ReasonCrashed, "my own trouble"},
		{guest.With{Behaviour: "mixed_artifacts"}, flow.ReasonOutput, `artifact "b" began before artifact "a" was complete`},
		{guest.With{Behaviour: "nameless_artifact"}, flow.ReasonOutput, "the name of an artifact has 0 bytes"},
	} {
		_, _, err := do(t, m, c.with)
		if fault := wantFault(t, err, c.reason); !strings.Contains(fault.Message, c.says) {
			t.Errorf("%s: message %q, want %q", c.with.Behaviour, fault.Message, c.says)
		}
	}
}

func TestOddAnswersAreRead(t *testing.T) {
	t.Parallel()
	m := load(t, newRuntime(t, Config{}), play("raw"))
	result, host, err := do(t, m, guest.With{Behaviour: "odd_numbers"})
	if err != nil || result.Verdict != flow.VerdictFailed || result.RetryAfter != 0 {
		t.Errorf("result %+v, %v", result, err)
	}
	if lines := host.Lines(); len(lines) != 1 || lines[0] != (plugintest.Line{Level: flow.LogError, Message: "loud"}) {
		t.Errorf("lines %v", lines)
	}
	if got := host.Permilles(); len(got) != 1 || got[0] != 0 {
		t.Errorf("heartbeats %v", got)
	}
	result, _, err = do(t, m, guest.With{Behaviour: "long_retry"})
	if err != nil || result.RetryAfter != flow.Duration(24*time.Hour) {
		t.Errorf("result %+v, %v, want the longest wait", result, err)
	}
	result, host = succeed(t, m, guest.With{Behaviour: "half_artifact"})
	if names, _ := host.Artifacts(); len(names) > 0 || len(result.Outputs) > 0 {
		t.Errorf("half a file was kept: %v, %v", names, result.Outputs)
	}
}

// TestGiantAnswerDoesNotGrowTheHost runs alone, so that what is measured is its own.
func TestGiantAnswerDoesNotGrowTheHost(t *testing.T) { //nolint:paralleltest // see above
	m := load(t, newRuntime(t, Config{}), play("raw"))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, _, err := do(t, m, guest.With{Behaviour: "giant", Size: 256})
	runtime.ReadMemStats(&after)
	wantFault(t, err, flow.ReasonOutputLimit)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 32<<20 {
		t.Errorf("an answer of 256 MiB made the host allocate %d MiB", grown>>20)
	}
}

func TestArtifactsAreStoredAsTheyCome(t *testing.T) {
	t.Parallel()
	m := load(t, newRuntime(t, Config{}), plan(nil))
	result, host := succeed(t, m, guest.With{Behaviour: "artifact_mib", Size: 20})
	ref := get[flow.ArtifactRef](t, result, "file")
	_, content := host.Artifacts()
	if ref.Size != 20<<20 || ref.Type != "application/octet-stream" || len(content[ref.Digest]) != 20<<20 {
		t.Errorf("reference %+v", ref)
	}
	result, host = succeed(t, m, guest.With{Behaviour: "artifact_fails"})
	if names, _ := host.Artifacts(); len(names) != 1 || names[0] != "second" || len(result.Outputs) != 1 {
		t.Errorf("stored %v, outputs %v, want only the whole file", names, result.Outputs)
	}
}

// strict is a host whose store refuses, and whose service "slow" answers when its context ends.
type strict struct {
	*plugintest.Host

	refuse error
	asked  chan struct{}
	ended  chan struct{}
}

func (s *strict) Artifact(_ context.Context, _, _ string, r io.Reader) (flow.ArtifactRef, error) {
	_, err := io.CopyN(io.Discard, r, 1<<20)
	return flow.ArtifactRef{}, errors.Join(s.refuse, err)
}

func (s *strict) Call(ctx context.Context, op string, request, body []byte) ([]byte, error) {
	if op != "slow" {
		return s.Host.Call(ctx, op, request, body)
	}
	close(s.asked)
	<-ctx.Done()
	wait(nil, 200*time.Millisecond) // longer than a kill takes
	close(s.ended)
	return nil, ctx.Err()
}

func TestArtifactThatIsRefusedEndsTheAttempt(t *testing.T) {
	t.Parallel()
	m := load(t, newRuntime(t, Config{}), plan(nil))
	for want, refuse := range map[flow.Reason]error{flow.ReasonOutputLimit: flow.ErrTooLarge, flow.ReasonInternal: errors.New("disk full")} {
		host := &strict{Host: plugintest.NewHost(t.Context()), refuse: refuse}
		_, err := m.Call(t.Context(), plugintest.NewCall(t, guest.With{Behaviour: "artifact_mib", Size: 64}), host)
		wantFault(t, err, want)
	}
}

func TestServiceCallsEndWithTheAttempt(t *testing.T) {
	t.Parallel()
	m := load(t, newRuntime(t, Config{}), plan(nil))
	ctx, cancel := context.WithCancel(t.Context())
	host := &strict{Host: plugintest.NewHost(ctx), asked: make(chan struct{}), ended: make(chan struct{})}
	done := make(chan error, 1)
	go func() {
		_, err := m.Call(ctx, plugintest.NewCall(t, guest.With{Behaviour: "slow_call"}), host)
		done <- err
	}()
	<-host.asked
	cancel()
	wantFault(t, <-done, flow.ReasonRequest)
	select {
	case <-host.ended:
	default:
		t.Error("the attempt returned while a service was still at work for it")
	}
}

func TestCallIDDiesWithItsAttempt(t *testing.T) {
	t.Parallel()
	m := load(t, newRuntime(t, Config{Parallel: 1}), plan(nil))
	succeed(t, m, guest.With{Behaviour: "keep_id"})
	result, _ := succeed(t, m, guest.With{Behaviour: "use_kept_id"})
	if !get[bool](t, result, "denied") {
		t.Error("the call_id of an earlier attempt was accepted")
	}
	if result.Usage.HostCalls != 1 {
		t.Errorf("%d host calls were counted for the attempt, want its output alone", result.Usage.HostCalls)
	}
}

func TestLargestRunContextFits(t *testing.T) {
	t.Parallel()
	m := load(t, newRuntime(t, Config{}), plan(nil))
	succeed(t, m, guest.With{Behaviour: "identify", Message: strings.Repeat("x", 8<<20-2000)})
	_, _, err := do(t, m, guest.With{Behaviour: "identify", Message: strings.Repeat("x", 8<<20)})
	if fault := wantFault(t, err, flow.ReasonOutputLimit); !strings.Contains(fault.Message, "at most 8MiB") {
		t.Errorf("message %q", fault.Message)
	}
}

func TestServicesTakeOneConnection(t *testing.T) {
	t.Parallel()
	inner, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	listener := &single{Listener: inner, closed: make(chan struct{})}
	for range 2 {
		conn, err := net.Dial("unix", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	first, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	second := make(chan error, 1)
	go func() {
		_, err := listener.Accept()
		second <- err
	}()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-second; !errors.Is(err, net.ErrClosed) {
		t.Errorf("a second connection: got %v, want that the listener is closed", err)
	}
}

// chatter is a stream that has a few messages before its end.
type chatter struct {
	grpc.ClientStream

	messages int
}

func (c *chatter) RecvMsg(any) error {
	if c.messages--; c.messages < 0 {
		return io.EOF
	}
	return nil
}

func TestAnnouncementsOfListenersAreDropped(t *testing.T) {
	t.Parallel()
	inner := &chatter{messages: 1000}
	streamer := func(context.Context, *grpc.StreamDesc, *grpc.ClientConn, string, ...grpc.CallOption) (grpc.ClientStream, error) {
		return inner, nil
	}
	stream, err := ignoreBroker(t.Context(), nil, nil, "/plugin.GRPCBroker/StartStream", streamer)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.RecvMsg(nil); !errors.Is(err, io.EOF) {
		t.Errorf("got %v, want the end of the stream", err)
	}
	if other, _ := ignoreBroker(t.Context(), nil, nil, "/uniflow.plugin.v1.Plugin/Run", streamer); other != inner {
		t.Error("another stream was touched")
	}
}
