package service_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/plugintest"
	"github.com/uniflow-dev/uniflow/host/internal/plugintest/guest"
	"github.com/uniflow-dev/uniflow/host/internal/service"
	"github.com/uniflow-dev/uniflow/sdk/abi"
)

// blobs keeps artifacts in memory, apart per tenant.
type blobs struct {
	mu   sync.Mutex
	held map[string][]byte
	full error // of each put
}

func (b *blobs) Put(_ context.Context, tenant string, r io.Reader, limit int64) (flow.Digest, int64, error) {
	content, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil {
		err = b.full
	}
	if err != nil {
		return "", 0, err
	}
	if int64(len(content)) > limit {
		return "", 0, flow.ErrTooLarge
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	d := flow.DigestOf(content)
	b.held[tenant+string(d)] = content
	return d, int64(len(content)), nil
}

func (b *blobs) Get(_ context.Context, tenant string, d flow.Digest) (io.ReadCloser, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	content, ok := b.held[tenant+string(d)]
	if !ok {
		return nil, flow.ErrNotFound
	}
	return io.NopCloser(bytes.NewReader(content)), nil
}

// attempt is one that is served, and what it left behind.
type attempt struct {
	flow.HostCalls

	lines []flow.LogLine
	beats []string
	put   []flow.Digest
	end   func()
}

func open(t *testing.T, store *blobs, limits flow.Limits, known ...flow.Digest) *attempt {
	t.Helper()
	a := &attempt{}
	call := plugintest.NewCall(t, guest.With{})
	call.Limits = limits
	a.HostCalls, a.end = service.New(service.Config{Blobs: store, Version: "v9"}).Open(t.Context(), service.Attempt{
		Call: call, Known: known,
		Log:      func(l flow.LogLine) { a.lines = append(a.lines, l) },
		Progress: func(permille int, message string) { a.beats = append(a.beats, fmt.Sprint(permille, " ", message)) },
		Put:      func(d flow.Digest, _ int64) { a.put = append(a.put, d) },
	})
	return a
}

func newBlobs() *blobs { return &blobs{held: map[string][]byte{}} }

func TestLinesAreBounded(t *testing.T) {
	t.Parallel()
	a := open(t, newBlobs(), flow.Limits{Log: 10})
	a.Log(flow.LogInfo, "12345")
	a.Log(flow.LogWarn, "123456")
	a.Log(flow.LogWarn, "1")
	a.end()
	a.Log(flow.LogInfo, "after the end")
	if len(a.lines) != 2 || a.lines[0].Message != "12345" || a.lines[1].Dropped != 2 || a.lines[1].Level != flow.LogWarn {
		t.Errorf("lines %+v, want one and a report of 2", a.lines)
	}

	many := open(t, newBlobs(), flow.Limits{})
	for range 10_500 {
		many.Log(flow.LogInfo, "x")
	}
	many.end()
	if last := many.lines[len(many.lines)-1]; len(many.lines) != 10_001 || last.Dropped != 500 {
		t.Errorf("%d lines, %d dropped", len(many.lines), last.Dropped)
	}

	small := open(t, newBlobs(), flow.Limits{})
	small.Log(flow.LogInfo, "x")
	small.end()
	if len(small.lines) != 1 {
		t.Errorf("lines %+v, want no report when nothing was dropped", small.lines)
	}
}

func TestLinesCannotForge(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"plain\ttext ä":       "plain\ttext ä",
		"a\nb\r":              `a\nb\r`,
		"\x1b[31mred\x07":     `\x1b[31mred\x07`,
		"\u202eevil\u2066":    `\u202eevil\u2066`,
		"\x9b31m\xff":         "\ufffd31m\ufffd",
		"\u009b31m":           `\x9b31m`,
		"one\u2028two\u0000x": `one\u2028two\x00x`,
	} {
		a := open(t, newBlobs(), flow.Limits{})
		a.Log(flow.LogInfo, given)
		if got := a.lines[0].Message; got != want {
			t.Errorf("%q is kept as %q, want %q", given, got, want)
		}
	}
	a := open(t, newBlobs(), flow.Limits{})
	a.Log(flow.LogInfo, strings.Repeat("ä", 100_000))
	if got := a.lines[0].Message; len(got) > 4200 || !strings.HasSuffix(got, "bytes more)") || !utf8.ValidString(got) {
		t.Errorf("a long line is kept as %d bytes: …%q", len(got), got[len(got)-40:])
	}
}

func TestHeartbeatsAreRareAndTheLastIsTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := open(t, newBlobs(), flow.Limits{})
		for i := range 25 {
			if a.Progress(i*100, "step") {
				t.Error("cancelled")
			}
			time.Sleep(100 * time.Millisecond)
		}
		a.end()
		a.Progress(1, "late")
		if got := fmt.Sprint(a.beats); got != "[0 step 1000 step 1000 step 1000 step]" {
			t.Errorf("heartbeats %s", got)
		}
	})
}

func TestProgressSeesTheCancellation(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	h, end := service.New(service.Config{}).Open(ctx, service.Attempt{Log: func(flow.LogLine) {}})
	defer end()
	if h.Progress(1, "") {
		t.Error("cancelled too early")
	}
	cancel()
	if !h.Progress(1, "") {
		t.Error("the cancellation was not seen")
	}
	if _, err := h.Call(ctx, abi.OpHostInfo, nil, nil); errnoOf(t, err) != abi.Cancelled {
		t.Errorf("call after the end: %v", err)
	}
}

func errnoOf(t *testing.T, err error) abi.Errno {
	t.Helper()
	refusal, ok := errors.AsType[*flow.ServiceError](err)
	if !ok {
		t.Fatalf("error %v, want a *flow.ServiceError", err)
	}
	if refusal.Message == "" || refusal.Code != abi.Errno(refusal.Errno).Name() {
		t.Errorf("refusal %+v", refusal)
	}
	return abi.Errno(refusal.Errno)
}

func TestArtifactsAreBoundedAndScoped(t *testing.T) {
	t.Parallel()
	store := newBlobs()
	a := open(t, store, flow.Limits{Artifacts: 10})
	ref, err := a.Artifact(t.Context(), "x", "text/plain; charset=utf-8", strings.NewReader("12345"))
	if err != nil || ref.Size != 5 || ref.Type != "text/plain; charset=utf-8" || len(a.put) != 1 || a.put[0] != ref.Digest {
		t.Fatalf("reference %+v, %v, put %v", ref, err, a.put)
	}
	if _, err := a.Artifact(t.Context(), "x", "", strings.NewReader("123456")); !errors.Is(err, flow.ErrTooLarge) {
		t.Errorf("over the sum: %v", err)
	}
	if other, err := a.Artifact(t.Context(), "x", "no type\x1b", strings.NewReader("1")); err != nil || other.Type != "application/octet-stream" {
		t.Errorf("%+v, %v", other, err)
	}
	stranger := open(t, store, flow.Limits{})
	if _, err := stranger.Open(t.Context(), ref); !errors.Is(err, flow.ErrNotFound) {
		t.Errorf("an artifact of another run: %v", err)
	}
	later := open(t, store, flow.Limits{}, ref.Digest)
	r, err := later.Open(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	if content, err := io.ReadAll(r); err != nil || string(content) != "12345" {
		t.Errorf("content %q, %v", content, err)
	}
}

func TestArtifactServices(t *testing.T) {
	t.Parallel()
	a := open(t, newBlobs(), flow.Limits{Artifacts: 10})
	ref, err := a.Call(t.Context(), abi.OpArtifactPut, []byte(`{"name":"n","type":"text/csv"}`), []byte("12345"))
	if err != nil {
		t.Fatal(err)
	}
	var put flow.ArtifactRef
	if err := json.Unmarshal(ref, &put); err != nil || put.Type != "text/csv" {
		t.Fatalf("%s: %v", ref, err)
	}
	whole, err := a.Call(t.Context(), abi.OpArtifactGet, ref, nil)
	if err != nil || string(whole) != "12345" {
		t.Errorf("get: %q, %v", whole, err)
	}
	slice, err := a.Call(t.Context(), abi.OpArtifactGet, fmt.Appendf(nil, `{"$artifact":%q,"offset":1,"length":2}`, put.Digest), nil)
	if err != nil || string(slice) != "23" {
		t.Errorf("slice: %q, %v", slice, err)
	}
	past, err := a.Call(t.Context(), abi.OpArtifactGet, fmt.Appendf(nil, `{"$artifact":%q,"offset":100}`, put.Digest), nil)
	if err != nil || len(past) != 0 {
		t.Errorf("past the end: %q, %v", past, err)
	}
	for name, c := range map[string]struct {
		op, request, body string
		want              abi.Errno
	}{
		"too large":       {abi.OpArtifactPut, `{}`, "123456", abi.TooLarge},
		"not JSON":        {abi.OpArtifactPut, `{`, "1", abi.Invalid},
		"wrong shape":     {abi.OpArtifactGet, `{"$artifact":1}`, "", abi.Invalid},
		"unknown":         {abi.OpArtifactGet, `{"$artifact":"sha256:00"}`, "", abi.NotFound},
		"none":            {abi.OpArtifactGet, ``, "", abi.NotFound},
		"negative offset": {abi.OpArtifactGet, `{"$artifact":"x","offset":-1}`, "", abi.Invalid},
		"large slice":     {abi.OpArtifactGet, `{"$artifact":"x","length":99999999}`, "", abi.Invalid},
		"unknown op":      {"no.such", `{}`, "", abi.UnknownOp},
		"state":           {abi.OpStateGet, `{"key":"n"}`, "", abi.Denied},
		"event":           {abi.OpEventEmit, `{"type":"x"}`, "", abi.Denied},
	} {
		_, err := a.Call(t.Context(), c.op, []byte(c.request), []byte(c.body))
		if got := errnoOf(t, err); got != c.want {
			t.Errorf("%s: %s, want %s", name, got.Name(), c.want.Name())
		}
	}
}

func TestHostInfo(t *testing.T) {
	t.Parallel()
	a := open(t, newBlobs(), flow.Limits{Memory: flow.MiB})
	answer, err := a.Call(t.Context(), abi.OpHostInfo, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"version":"v9","abi":"uniflow.run/1","ops":["artifact.get","artifact.put","event.emit","host.info","http.request","secret.get","state.delete","state.get","state.list","state.set"],"limits":{"memory":1048576,"output":1048576,"log":1048576,"artifacts":67108864}}`
	if string(answer) != want {
		t.Errorf("answer %s\nwant %s", answer, want)
	}
}
