package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/uniflow-dev/uniflow/sdk/abi"
	"github.com/uniflow-dev/uniflow/sdk/process/proto"
)

// stream records what an attempt sends.
type stream struct {
	grpc.ServerStream
	ctx    context.Context
	events []*proto.RunEvent
}

func (s *stream) Context() context.Context { return s.ctx }

func (s *stream) Send(e *proto.RunEvent) error {
	if err := s.ctx.Err(); err != nil {
		return err
	}
	s.events = append(s.events, e)
	return nil
}

func (s *stream) done(t *testing.T) *proto.Done {
	t.Helper()
	if len(s.events) == 0 || s.events[len(s.events)-1].GetDone() == nil {
		t.Fatalf("the last of %d events is not done", len(s.events))
	}
	return s.events[len(s.events)-1].GetDone()
}

// host answers calls by a function.
type host struct {
	call func(*proto.CallRequest) (*proto.CallResponse, error)
}

func (h *host) Call(_ context.Context, req *proto.CallRequest, _ ...grpc.CallOption) (*proto.CallResponse, error) {
	return h.call(req)
}

// kit is a plugin under test, without a process around it.
type kit struct {
	server *server
	host   *host
	dials  int
}

func newKit(t *testing.T, functions map[string]Func) *kit {
	t.Helper()
	stderr, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stderr.Close() })
	k := &kit{host: &host{}}
	k.server = &server{plugin: Plugin{Functions: functions}, stderr: stderr}
	k.server.printing.Do(func() {}) // a test keeps its own standard output
	k.server.dial = func(uint32) (proto.HostClient, error) { k.dials++; return k.host, nil }
	return k
}

func (k *kit) run(ctx context.Context, t *testing.T, run abi.RunContext, outputBytes int64) *stream {
	t.Helper()
	doc, err := run.Encode()
	if err != nil {
		t.Fatal(err)
	}
	s := &stream{ctx: ctx}
	if err := k.server.Run(&proto.RunRequest{ContextJson: doc, CallId: "word", OutputBytes: outputBytes}, s); err != nil {
		t.Fatal(err)
	}
	return s
}

func (k *kit) stderr(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(k.server.stderr.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func one(f Func) map[string]Func { return map[string]Func{"only": f} }

func TestErrorOfFunctionBecomesKind(t *testing.T) {
	t.Parallel()
	cause := errors.New("why")
	for name, c := range map[string]struct {
		err  error
		want *proto.Done
	}{
		"nil":               {nil, &proto.Done{}},
		"plain":             {cause, &proto.Done{Kind: 1, Message: "why"}},
		"skip":              {Skip("nothing"), &proto.Done{Kind: 2, Message: "nothing"}},
		"retry":             {Retry(cause, 2*time.Second), &proto.Done{Kind: 3, Message: "why", RetryAfterMs: 2000}},
		"permanent":         {Permanent(cause), &proto.Done{Kind: 4, Message: "why"}},
		"fail":              {Fail("E1", cause), &proto.Done{Kind: 1, Code: "E1", Message: "why"}},
		"wrapped permanent": {fmt.Errorf("read: %w", Permanent(cause)), &proto.Done{Kind: 4, Message: "read: why"}},
		"ending of kind ok": {&Ending{}, &proto.Done{Kind: 1, Message: "ok"}},
		"long text":         {errors.New(strings.Repeat("x", abi.MaxMessage+1)), &proto.Done{Kind: 1, Message: strings.Repeat("x", abi.MaxMessage)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := newKit(t, one(func(context.Context, *Call) error { return c.err })).run(t.Context(), t, abi.RunContext{}, 0).done(t)
			got.StderrMarked = false
			if got.String() != c.want.String() {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestFunctionIsFoundByName(t *testing.T) {
	t.Parallel()
	say := func(word string) Func {
		return func(_ context.Context, c *Call) error { return c.Output("said", word) }
	}
	two := map[string]Func{"run": say("run"), "other": say("other")}
	for _, c := range []struct {
		functions map[string]Func
		name      string
		want      string
	}{
		{two, "other", `"other"`},
		{two, "", `"run"`},
		{map[string]Func{"other": say("other")}, "", `"other"`},
		{two, "third", `the plugin has no function "third"; it has: other, run`},
	} {
		s := newKit(t, c.functions).run(t.Context(), t, abi.RunContext{Function: c.name}, 0)
		got := string(s.events[0].GetOutput().GetValueJson()) + s.done(t).GetMessage()
		if got != c.want {
			t.Errorf("function %q: got %s, want %s", c.name, got, c.want)
		}
	}
}

func TestPanicEndsAttemptAndStackGoesToStderr(t *testing.T) {
	t.Parallel()
	k := newKit(t, one(func(context.Context, *Call) error { panic("boom") }))
	done := k.run(t.Context(), t, abi.RunContext{}, 0).done(t)
	if !done.GetPanicked() || done.GetKind() != 1 || done.GetMessage() != "boom" {
		t.Errorf("got %v", done)
	}
	stderr := k.stderr(t)
	if !strings.Contains(stderr, "panic: boom\n") || !strings.Contains(stderr, "process_test.go") {
		t.Errorf("stderr has no stack: %q", stderr)
	}
	if !strings.HasSuffix(stderr, "\n"+StderrMark("word")+"\n") {
		t.Errorf("stderr does not end with the mark: %q", stderr)
	}
}

func TestOutputsKeepTheLimits(t *testing.T) {
	t.Parallel()
	k := newKit(t, one(func(_ context.Context, c *Call) error {
		if err := c.Output("big", strings.Repeat("x", 20)); !errors.Is(err, abi.TooLarge) {
			t.Errorf("over the limit: got %v", err)
		}
		if err := c.Output("", 1); !errors.Is(err, abi.Invalid) {
			t.Errorf("empty name: got %v", err)
		}
		if err := c.Output("f", func() {}); err == nil {
			t.Error("a function is no JSON, but was accepted")
		}
		return c.Output("tag", "<b>")
	}))
	s := k.run(t.Context(), t, abi.RunContext{}, 10)
	if len(s.events) != 2 || string(s.events[0].GetOutput().GetValueJson()) != `"<b>"` {
		t.Errorf("got %v", s.events)
	}
}

func TestArtifactTravelsInPieces(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, artifactPiece, artifactPiece + 1} {
		content := bytes.Repeat([]byte("a"), size)
		k := newKit(t, one(func(_ context.Context, c *Call) error {
			return c.Artifact("file", "text/plain", bytes.NewReader(content))
		}))
		s := k.run(t.Context(), t, abi.RunContext{}, 0)
		var got []byte
		for i, e := range s.events[:len(s.events)-1] {
			a := e.GetArtifact()
			got = append(got, a.GetData()...)
			if last := i == len(s.events)-2; a.GetEnd() != last || a.GetName() != "file" || a.GetType() != "text/plain" {
				t.Errorf("size %d, piece %d: got %s %s end=%v", size, i, a.GetName(), a.GetType(), a.GetEnd())
			}
		}
		if !bytes.Equal(got, content) {
			t.Errorf("size %d: got %d bytes", size, len(got))
		}
	}
}

func TestRefusalOfHostIsAnErrno(t *testing.T) {
	t.Parallel()
	k := newKit(t, one(func(ctx context.Context, c *Call) error {
		err := c.Call(ctx, "state.get", map[string]string{"key": "a"}, nil)
		refusal, ok := errors.AsType[*Refusal](err)
		if !errors.Is(err, abi.Denied) || !ok || refusal.Hint != "grant it" {
			t.Errorf("refused: got %v", err)
		}
		if err := c.Call(ctx, "gone", nil, nil); !errors.Is(err, abi.Unavailable) {
			t.Errorf("no answer: got %v", err)
		}
		var answer struct{ N int }
		if err := c.Call(ctx, "host.info", nil, &answer); err != nil || answer.N != 7 {
			t.Errorf("answered: got %v, %v", answer, err)
		}
		return nil
	}))
	k.host.call = func(req *proto.CallRequest) (*proto.CallResponse, error) {
		switch {
		case req.GetCallId() != "word":
			return nil, status.Error(codes.PermissionDenied, "another call")
		case req.GetOp() == "state.get":
			return &proto.CallResponse{Errno: 1, Code: "denied", Message: "no", Hint: "grant it"}, nil
		case req.GetOp() == "gone":
			return nil, status.Error(codes.Unavailable, "gone")
		}
		return &proto.CallResponse{Response: []byte(`{"n":7}`)}, nil
	}
	k.run(t.Context(), t, abi.RunContext{}, 0)
	k.run(t.Context(), t, abi.RunContext{}, 0)
	if k.dials != 1 {
		t.Errorf("two runs dialled the host %d times, want once", k.dials)
	}
}

func TestCancelledRunHasLastWords(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	k := newKit(t, one(func(ctx context.Context, c *Call) error {
		if c.Progress(0.5, "half") {
			t.Error("cancelled before the cancellation")
		}
		cancel()
		<-ctx.Done()
		c.Warn("tidying up")
		if !c.Progress(0.6, "more") {
			t.Error("progress does not tell of the cancellation")
		}
		return nil
	}))
	doc, err := abi.RunContext{}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if err := k.server.Run(&proto.RunRequest{ContextJson: doc, CallId: "word"}, &stream{ctx: ctx}); !errors.Is(err, context.Canceled) {
		t.Errorf("run: got %v, want the cancellation", err)
	}
	if got, want := k.stderr(t), "warn: tidying up\n\n"+StderrMark("word")+"\n"; got != want {
		t.Errorf("standard error: got %q, want %q", got, want)
	}
}

func TestCallIsOverWhenTheFunctionReturns(t *testing.T) {
	t.Parallel()
	var late *Call
	k := newKit(t, one(func(_ context.Context, c *Call) error { late = c; return nil }))
	s := k.run(t.Context(), t, abi.RunContext{}, 0)
	if err := late.Output("late", 1); !errors.Is(err, errOver) {
		t.Errorf("a late output: got %v", err)
	}
	if !late.Progress(1, "") {
		t.Error("late progress is not told to stop")
	}
	if len(s.events) != 1 {
		t.Errorf("sent %v, want done alone", s.events)
	}
}

func TestDecodeMismatchIsPermanent(t *testing.T) {
	t.Parallel()
	k := newKit(t, one(func(_ context.Context, c *Call) error {
		var with struct{ N int }
		return c.DecodeWith(&with)
	}))
	if got := k.run(t.Context(), t, abi.RunContext{With: []byte(`{"n":"seven"}`)}, 0).done(t); got.GetKind() != 4 {
		t.Errorf("got %v, want permanent", got)
	}
}
