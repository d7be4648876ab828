package abi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
)

// RunContext is the JSON document that tells a guest all it may know about the
// attempt. Every kind of plugin gets the same one. Instants are in UTC.
type RunContext struct { //nolint:recvcheck // encoding leaves the document as it is
	ABI            string `json:"abi"`
	Tenant         string `json:"tenant"`
	Project        string `json:"project"`
	Pipeline       string `json:"pipeline"`
	Version        string `json:"version"` // digest of the plan: sha256:...
	Label          string `json:"label"`
	RunID          string `json:"run_id"`
	Step           string `json:"step"`
	Function       string `json:"function"`
	Attempt        int    `json:"attempt"` // counts from 1
	MaxAttempts    int    `json:"max_attempts"`
	IdempotencyKey string `json:"idempotency_key"` // the same for every attempt of a step in a run
	Trigger        string `json:"trigger"`
	Schedule       string `json:"schedule"` // empty for a run that no schedule started

	ScheduledAt   *time.Time `json:"scheduled_at"`
	IntervalStart *time.Time `json:"interval_start"`
	IntervalEnd   *time.Time `json:"interval_end"`
	StartedAt     time.Time  `json:"started_at"`
	Deadline      *time.Time `json:"deadline"`
	LastSuccessAt *time.Time `json:"last_success_at"`

	Context   json.RawMessage `json:"context"`    // object: what the caller gave the run
	With      json.RawMessage `json:"with"`       // object: the step's inputs
	Item      json.RawMessage `json:"item"`       // one element of a fan-out, else null
	ItemIndex *int            `json:"item_index"` // its place, from 0, else null
	Features  []string        `json:"features"`   // services that this host offers

	// Traceparent is a header of W3C Trace Context: a request that carries it becomes a part of the run's trace.
	Traceparent string `json:"traceparent,omitempty"`
}

// Encode returns the document. It sets ABI, writes {} for a missing context or
// with, and refuses a document over MaxContext bytes with TooLarge.
func (r RunContext) Encode() ([]byte, error) {
	r.ABI = Version
	if r.Context == nil {
		r.Context = json.RawMessage("{}")
	}
	if r.With == nil {
		r.With = json.RawMessage("{}")
	}
	if r.Features == nil {
		r.Features = []string{}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(r); err != nil {
		return nil, fmt.Errorf("encode run context: %w", err)
	}
	doc := bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	if len(doc) > MaxContext {
		return nil, refuse(TooLarge, "run context of %d bytes, at most %d", len(doc), MaxContext)
	}
	return doc, nil
}

// DecodeRunContext reads the document and ignores unknown fields. What is JSON
// of its own in it, such as With, stays a part of doc, which must not change. It refuses a
// document of another version or shape with Invalid and one over MaxContext bytes with
// TooLarge.
func DecodeRunContext(doc []byte) (RunContext, error) {
	var r RunContext
	if len(doc) > MaxContext {
		return r, refuse(TooLarge, "run context of %d bytes, at most %d", len(doc), MaxContext)
	}
	if err := r.read(doc); err != nil {
		return RunContext{}, refuse(Invalid, "decode run context: %v", err)
	}
	if r.ABI != Version {
		return RunContext{}, refuse(Invalid, "run context of version %q, want %q", r.ABI, Version)
	}
	return r, nil
}

// ArtifactRef stands in JSON for bytes that are too large for it or are no
// text. The host resolves it; a guest passes it on or reads it by the service.
type ArtifactRef struct {
	Artifact string `json:"$artifact"` // sha256:<hex>
	Size     int64  `json:"size"`      // bytes
	Type     string `json:"type"`      // media type
}

// AsArtifact returns the reference that value holds, and false when value is
// anything else.
func AsArtifact(value json.RawMessage) (ArtifactRef, bool) {
	var ref ArtifactRef
	value = bytes.TrimSpace(value)
	if len(value) == 0 || value[0] != '{' || json.Unmarshal(value, &ref) != nil {
		return ArtifactRef{}, false
	}
	return ref, ref.Artifact != ""
}
