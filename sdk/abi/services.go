package abi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// Services asks the services of a host by typed methods; every kit for Go has
// them. Each error wraps an Errno, and a service that said no is a *Refusal:
// Denied without a grant, UnknownOp on a host that does not offer the service.
type Services struct {
	call func(op string, request, body []byte) ([]byte, error)
}

// NewServices returns Services that ask by call.
func NewServices(call func(op string, request, body []byte) ([]byte, error)) Services {
	return Services{call}
}

// Call asks a service with request as JSON and stores the response in the
// value that response points to; a nil response is dropped.
func (s Services) Call(op string, request, response any) error {
	return s.ask(op, request, nil, response)
}

// CallBytes asks a service whose request has a body beside its JSON, or whose
// response is not JSON.
func (s Services) CallBytes(op string, request, body []byte) ([]byte, error) {
	if s.call == nil {
		return nil, &Refusal{Op: op, Errno: UnknownOp, Code: UnknownOp.Name()}
	}
	answer, err := s.call(op, request, body)
	if err != nil {
		return nil, RefusalOf(op, err)
	}
	return answer, nil
}

func (s Services) ask(op string, request any, body []byte, response any) error {
	doc, err := Marshal(request)
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	answer, err := s.CallBytes(op, doc, body)
	if err != nil || response == nil {
		return err
	}
	if err := json.Unmarshal(answer, response); err != nil {
		return fmt.Errorf("%s: response does not have the expected shape: %w", op, err)
	}
	return nil
}

// HTTPRequest is a request that the host makes, where a grant covers its
// method and URL, at every redirect anew.
type HTTPRequest struct {
	Method string            // defaults to GET
	URL    string            //
	Header map[string]string // by name; the host fills in secrets and what the protocol needs
	Body   []byte            //
	// Timeout bounds the request, within the attempt. Zero means what the host allows.
	Timeout time.Duration
	// Artifact, where it is set, has the body of the response stored as an
	// artifact of that name instead of being handed over.
	Artifact string
}

// HTTPResponse is an answer; a status of 400 and more is one, too.
type HTTPResponse struct {
	Status   int
	Header   map[string]string // names in lower case, several values joined by ", "
	Body     []byte
	Artifact *ArtifactRef // where the request asked for one
}

// HTTP makes a request.
func (s Services) HTTP(r HTTPRequest) (HTTPResponse, error) {
	if r.Method == "" {
		r.Method = "GET"
	}
	var answer struct {
		Status   int               `json:"status"`
		Headers  map[string]string `json:"headers"`
		Body     string            `json:"body"`
		Base64   []byte            `json:"body_base64"`
		Artifact *ArtifactRef      `json:"artifact"`
	}
	err := s.ask(OpHTTPRequest, struct {
		Method   string            `json:"method"`
		URL      string            `json:"url"`
		Headers  map[string]string `json:"headers,omitempty"`
		Timeout  int64             `json:"timeout_ms,omitempty"`
		Artifact string            `json:"artifact,omitempty"`
	}{r.Method, r.URL, r.Header, r.Timeout.Milliseconds(), r.Artifact}, r.Body, &answer)
	if err != nil {
		return HTTPResponse{}, err
	}
	body := answer.Base64
	if answer.Body != "" {
		body = []byte(answer.Body)
	}
	return HTTPResponse{answer.Status, answer.Headers, body, answer.Artifact}, nil
}

// JSON stores the body of the response in the value that v points to.
func (r HTTPResponse) JSON(v any) error {
	if err := json.Unmarshal(r.Body, v); err != nil {
		return fmt.Errorf("body of a response with the status %d: %w", r.Status, err)
	}
	return nil
}

type stateKey struct {
	Key string `json:"key"`
}

// GetState stores what the pipeline keeps at key in the value that v points
// to, and reports whether there is anything.
func (s Services) GetState(key string, v any) (found bool, err error) {
	var answer struct {
		Value json.RawMessage `json:"value"`
	}
	err = s.ask(OpStateGet, stateKey{key}, nil, &answer)
	if errors.Is(err, NotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := json.Unmarshal(answer.Value, v); err != nil {
		return true, fmt.Errorf("state %q does not have the expected shape: %w", key, err)
	}
	return true, nil
}

// SetState keeps v at key: later steps of the run see it at once, other runs
// when this one succeeds.
func (s Services) SetState(key string, v any) error {
	value, err := Marshal(v)
	if err != nil {
		return fmt.Errorf("state %q: %w", key, err)
	}
	return s.ask(OpStateSet, struct {
		Key   string          `json:"key"`
		Value json.RawMessage `json:"value"`
	}{key, value}, nil, nil)
}

// DeleteState drops what is kept at key, if anything is.
func (s Services) DeleteState(key string) error { return s.ask(OpStateDelete, stateKey{key}, nil, nil) }

// ListState returns the keys that begin with prefix, in order.
func (s Services) ListState(prefix string) ([]string, error) {
	var answer struct {
		Keys []string `json:"keys"`
	}
	err := s.ask(OpStateList, struct {
		Prefix string `json:"prefix"`
	}{prefix}, nil, &answer)
	return answer.Keys, err
}

// Secret returns a secret that the manifest exposes to the plugin. Any other
// is filled in by the host and cannot be read.
func (s Services) Secret(name string) (string, error) {
	var answer struct {
		Value string `json:"value"`
	}
	err := s.ask(OpSecretGet, struct {
		Name string `json:"name"`
	}{name}, nil, &answer)
	return answer.Value, err
}

// PutArtifact stores content, at most MaxBody bytes, and returns its
// reference, to be set as an output.
func (s Services) PutArtifact(name, mediaType string, content []byte) (ArtifactRef, error) {
	var ref ArtifactRef
	err := s.ask(OpArtifactPut, struct {
		Name string `json:"name"`
		Type string `json:"type,omitempty"`
	}{name, mediaType}, content, &ref)
	return ref, err
}

// GetArtifact returns the bytes of an artifact of at most MaxBody bytes.
func (s Services) GetArtifact(ref ArtifactRef) ([]byte, error) {
	doc, err := Marshal(ref)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", OpArtifactGet, err)
	}
	return s.CallBytes(OpArtifactGet, doc, nil)
}

// OpenArtifact reads an artifact of any size, by slices.
func (s Services) OpenArtifact(ref ArtifactRef) io.Reader { return &artifactReader{s: s, ref: ref} }

// slice is how much an artifactReader asks for at once.
const slice = 1 << 20

type artifactReader struct {
	s      Services
	ref    ArtifactRef
	offset int64
	buf    []byte
	err    error
}

func (r *artifactReader) Read(p []byte) (int, error) {
	if len(r.buf) == 0 && r.err == nil {
		doc, err := Marshal(struct {
			ArtifactRef

			Offset int64 `json:"offset"`
			Length int64 `json:"length"`
		}{r.ref, r.offset, slice})
		if err == nil {
			r.buf, err = r.s.CallBytes(OpArtifactGet, doc, nil)
		}
		r.offset += int64(len(r.buf))
		r.err = err
		if err == nil && len(r.buf) < slice {
			r.err = io.EOF
		}
	}
	n := copy(p, r.buf)
	r.buf = r.buf[n:]
	if n == 0 && len(p) > 0 {
		return 0, r.err
	}
	return n, nil
}

// Event is something that happened, for whoever reads the ledger: an object
// like a CloudEvent. The host adds id, source and time.
type Event struct {
	Type    string `json:"type"` // reverse DNS, "com.example.report.done"
	Subject string `json:"subject,omitempty"`
	Data    any    `json:"data,omitempty"` // as JSON
}

// Emit records an event and returns its id.
func (s Services) Emit(e Event) (id string, err error) {
	var answer struct {
		ID string `json:"id"`
	}
	err = s.ask(OpEventEmit, e, nil, &answer)
	return answer.ID, err
}

// ErrorText returns what a host says about a failed call, the JSON of a
// CallError, as a Refusal of op.
func ErrorText(op string, errno Errno, doc []byte) *Refusal {
	r := &Refusal{Op: op, Errno: errno, Code: errno.Name()}
	var said CallError
	if !utf8.Valid(doc) || json.Unmarshal(bytes.TrimRight(doc, "\x00"), &said) != nil {
		return r
	}
	r.Message, r.Hint = strings.TrimSpace(said.Message), said.Hint
	if said.Code != "" {
		r.Code = said.Code
	}
	return r
}
