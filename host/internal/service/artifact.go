package service

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/sdk/abi"
)

const (
	maxArtifacts = 1_000   // artifacts that one attempt may put
	maxSlice     = 8 << 20 // bytes that one artifact.get answers with
	plainBytes   = "application/octet-stream"
)

// Artifact implements flow.HostCalls.
func (h *host) Artifact(ctx context.Context, name, mediaType string, r io.Reader) (flow.ArtifactRef, error) {
	h.putting.Lock()
	defer h.putting.Unlock()
	if h.count >= maxArtifacts {
		return flow.ArtifactRef{}, fmt.Errorf("artifact %q: an attempt may put %d: %w", clean(name, abi.MaxOutputName), maxArtifacts, flow.ErrTooLarge)
	}
	digest, size, err := h.config.Blobs.Put(ctx, h.attempt.Call.Context.Tenant, r, h.artifacts)
	if full, ok := errors.AsType[*flow.Error](err); ok && full.Code == flow.CodeQuota {
		return flow.ArtifactRef{}, refuse(abi.Quota, full.Message, full.Hint)
	}
	if err != nil {
		return flow.ArtifactRef{}, fmt.Errorf("artifact %q: %w", clean(name, abi.MaxOutputName), err)
	}
	h.count++
	h.artifacts -= size
	h.mu.Lock()
	h.known[digest] = true
	h.mu.Unlock()
	if h.attempt.Put != nil {
		h.attempt.Put(digest, size)
	}
	return flow.ArtifactRef{Digest: digest, Size: size, Type: mediaTypeOf(h.vault.all.Text(mediaType))}, nil
}

// mediaTypeOf returns a media type that is well formed, whatever the guest said.
func mediaTypeOf(text string) string {
	base, params, err := mime.ParseMediaType(text)
	if err != nil || len(text) > 128 {
		return plainBytes
	}
	return mime.FormatMediaType(base, params)
}

// Open implements flow.HostCalls.
func (h *host) Open(ctx context.Context, ref flow.ArtifactRef) (io.ReadCloser, error) {
	h.mu.Lock()
	known := h.known[ref.Digest]
	h.mu.Unlock()
	if !known {
		return nil, fmt.Errorf("artifact %s: %w", clean(ref.Digest.Short(), maxLine), flow.ErrNotFound)
	}
	r, err := h.config.Blobs.Get(ctx, h.attempt.Call.Context.Tenant, ref.Digest)
	if err != nil {
		return nil, fmt.Errorf("artifact %s: %w", ref.Digest.Short(), err)
	}
	return r, nil
}

// putArtifact serves artifact.put: {"name", "type"} and the bytes as body.
func (h *host) putArtifact(ctx context.Context, request, body []byte) ([]byte, error) {
	var req struct {
		Name string `json:"name"`
		Type string `json:"type"`
	}
	if err := decode(request, &req); err != nil {
		return nil, err
	}
	ref, err := h.Artifact(ctx, req.Name, req.Type, bytes.NewReader(body))
	if errors.Is(err, flow.ErrTooLarge) {
		return nil, artifactsFull(h.attempt.Call.Limits.Artifacts)
	}
	if err != nil {
		return nil, err
	}
	return encode(ref)
}

func artifactsFull(limit flow.Size) error {
	return refuse(abi.TooLarge, fmt.Sprintf("the artifacts of an attempt are bounded by limits.artifacts, %s, and by %d in number", flow.Size(orDefault(limit, defaultArtifacts)), maxArtifacts), "raise limits.artifacts of the step")
}

// getArtifact serves artifact.get: a reference, with offset and length where a slice is wanted; the answer is bytes.
func (h *host) getArtifact(ctx context.Context, request []byte) ([]byte, error) {
	var req struct {
		flow.ArtifactRef

		Offset int64  `json:"offset"`
		Length *int64 `json:"length"`
	}
	if err := decode(request, &req); err != nil {
		return nil, err
	}
	length := int64(maxSlice) + 1
	if req.Length != nil {
		length = *req.Length
	}
	if req.Offset < 0 || length < 0 || (req.Length != nil && length > maxSlice) {
		return nil, refuse(abi.Invalid, fmt.Sprintf("offset %d, length %d: neither may be negative, and a slice has at most %d bytes", req.Offset, length, maxSlice), "")
	}
	r, err := h.Open(ctx, req.ArtifactRef)
	if errors.Is(err, flow.ErrNotFound) {
		return nil, refuse(abi.NotFound, "this run has neither received nor put such an artifact", "pass the reference by with")
	}
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if _, err := io.CopyN(io.Discard, r, req.Offset); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read artifact: %w", err)
	}
	content, err := io.ReadAll(io.LimitReader(r, length))
	if err != nil {
		return nil, fmt.Errorf("read artifact: %w", err)
	}
	if len(content) > maxSlice {
		return nil, refuse(abi.TooLarge, fmt.Sprintf("the artifact has more than %d bytes", maxSlice), "read it by slices, with offset and length, or as a file in /in")
	}
	return content, nil
}

// decode reads a request; an empty one is {}.
func decode(request []byte, into any) error {
	if len(bytes.TrimSpace(request)) == 0 {
		return nil
	}
	if abi.CheckJSON(request) != abi.OK || json.Unmarshal(request, into) != nil {
		return refuse(abi.Invalid, "the request is not a JSON object of the expected shape", "see the table of services in docs/ABI.md")
	}
	return nil
}
