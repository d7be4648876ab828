package hosttest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"sync"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// Artifact is a value of Context or With that the module finds as an artifact: a file in /in, or by its reference.
type Artifact struct {
	// Type is the media type. Defaults to application/octet-stream.
	Type    string
	Content []byte
}

// Artifact returns the bytes that the named output refers to. The error says what the output is instead.
func (o Output) Artifact(name string) ([]byte, error) {
	value, ok := o.Outputs[name]
	if !ok {
		return nil, fmt.Errorf("there is no output %q", name)
	}
	var ref flow.ArtifactRef
	if err := json.Unmarshal(value, &ref); err != nil || ref.Digest == "" {
		return nil, fmt.Errorf("output %q is no artifact: %.200s", name, value)
	}
	r, err := o.blobs.Get(context.Background(), flow.DefaultTenant, ref.Digest)
	if err != nil {
		return nil, fmt.Errorf("output %q: %w", name, err)
	}
	return io.ReadAll(r)
}

// blobs keeps artifacts in memory.
type blobs struct {
	mu   sync.Mutex
	held map[flow.Digest][]byte
}

func newBlobs() *blobs { return &blobs{held: map[flow.Digest][]byte{}} }

// Put implements flow.Blobs.
func (s *blobs) Put(_ context.Context, _ string, r io.Reader, limit int64) (flow.Digest, int64, error) {
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	switch {
	case err != nil:
		return "", 0, fmt.Errorf("read the artifact: %w", err)
	case int64(len(b)) > limit:
		return "", 0, flow.ErrTooLarge
	}
	return s.keep(b), int64(len(b)), nil
}

func (s *blobs) keep(b []byte) flow.Digest {
	d := flow.DigestOf(b)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held[d] = b
	return d
}

// Get implements flow.Blobs.
func (s *blobs) Get(_ context.Context, _ string, d flow.Digest) (io.ReadCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.held[d]
	if !ok {
		return nil, flow.ErrNotFound
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}

// give keeps an artifact for a call and returns its reference.
func (s *blobs) give(a Artifact) flow.ArtifactRef {
	content := bytes.Clone(a.Content)
	return flow.ArtifactRef{Digest: s.keep(content), Size: int64(len(content)), Type: cmp.Or(a.Type, "application/octet-stream")}
}
