package plugintest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/sdk/abi"
)

// Line is a log line of a guest.
type Line struct {
	Level   flow.LogLevel
	Message string
}

// Host is a flow.HostCalls that records what a guest did. The zero Host is ready; ctx of the attempt decides whether
// Progress reports a cancellation.
type Host struct {
	Ctx context.Context

	mu        sync.Mutex
	lines     []Line
	bytes     int
	progress  []int
	artifacts map[flow.Digest][]byte
	names     []string
	logged    chan struct{}
}

var _ flow.HostCalls = (*Host)(nil)

// keptLog bounds what the fake keeps, as the real services bound it.
const keptLog = 1 << 20

// NewHost returns a Host for an attempt under ctx.
func NewHost(ctx context.Context) *Host {
	return &Host{Ctx: ctx, artifacts: map[flow.Digest][]byte{}, logged: make(chan struct{}, 1)}
}

// Log implements flow.HostCalls.
func (h *Host) Log(level flow.LogLevel, message string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.bytes += len(message); h.bytes <= keptLog {
		h.lines = append(h.lines, Line{level, message})
	}
	select {
	case h.logged <- struct{}{}:
	default:
	}
}

// Progress implements flow.HostCalls.
func (h *Host) Progress(permille int, _ string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.progress) < keptLog {
		h.progress = append(h.progress, permille)
	}
	return h.Ctx.Err() != nil
}

// Artifact implements flow.HostCalls.
func (h *Host) Artifact(_ context.Context, name, mediaType string, r io.Reader) (flow.ArtifactRef, error) {
	content, err := io.ReadAll(r)
	if err != nil {
		return flow.ArtifactRef{}, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.names = append(h.names, name)
	d := flow.DigestOf(content)
	h.artifacts[d] = content
	return flow.ArtifactRef{Digest: d, Size: int64(len(content)), Type: mediaType}, nil
}

// Open implements flow.HostCalls.
func (h *Host) Open(_ context.Context, ref flow.ArtifactRef) (io.ReadCloser, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	content, ok := h.artifacts[ref.Digest]
	if !ok {
		return nil, flow.ErrNotFound
	}
	return io.NopCloser(bytes.NewReader(content)), nil
}

// Call implements flow.HostCalls: host.info, and the artifact services.
func (h *Host) Call(ctx context.Context, op string, request, body []byte) ([]byte, error) {
	switch op {
	case abi.OpHostInfo:
		return []byte(`{"version":"test"}`), nil
	case abi.OpArtifactPut:
		ref, err := h.Artifact(ctx, "note", "text/plain", bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		return json.Marshal(ref)
	case abi.OpArtifactGet:
		var ref flow.ArtifactRef
		if err := json.Unmarshal(request, &ref); err != nil {
			return nil, err
		}
		r, err := h.Open(ctx, ref)
		if err != nil {
			return nil, &flow.ServiceError{Errno: int(abi.NotFound), Code: abi.NotFound.Name(), Message: "no such artifact"}
		}
		return io.ReadAll(r)
	}
	return nil, &flow.ServiceError{Errno: int(abi.UnknownOp), Code: abi.UnknownOp.Name(), Message: "no service " + op}
}

// Lines returns the lines so far.
func (h *Host) Lines() []Line {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.lines)
}

// Permilles returns the heartbeats so far.
func (h *Host) Permilles() []int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.progress)
}

// Artifacts returns the names of the artifacts put so far, and their bytes by digest.
func (h *Host) Artifacts() ([]string, map[flow.Digest][]byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.names), h.artifacts
}

// Logged yields after a line was logged.
func (h *Host) Logged() <-chan struct{} { return h.logged }

// awaitLine waits until the guest has logged a line: it runs.
func (h *Host) awaitLine(tb testing.TB) {
	tb.Helper()
	select {
	case <-h.logged:
	case <-time.After(time.Minute):
		tb.Error("the guest did not start")
	}
}
