package sdktest

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/uniflow-dev/uniflow/sdk/abi"
)

// Event is an event that the step emitted.
type Event struct {
	Type    string          `json:"type"`
	Subject string          `json:"subject"`
	Data    json.RawMessage `json:"data"`
}

// Ref is the reference of an artifact, to be given to a step among its inputs;
// Input.Artifacts holds the content.
func Ref(mediaType string, content []byte) abi.ArtifactRef {
	sum := sha256.Sum256(content)
	return abi.ArtifactRef{Artifact: "sha256:" + hex.EncodeToString(sum[:]), Size: int64(len(content)), Type: mediaType}
}

// services are the host's services in plain Go, in memory. What they refuse,
// they refuse as a host does.
type services struct {
	input *Input
	state map[string]json.RawMessage
	known map[string][]byte // artifacts by digest
	out   *Result
}

func newServices(in *Input, out *Result) (*services, error) {
	s := &services{input: in, state: map[string]json.RawMessage{}, known: map[string][]byte{}, out: out}
	for key, value := range in.State {
		doc, err := abi.Marshal(value)
		if err != nil {
			return nil, fmt.Errorf("state %q: %w", key, err)
		}
		s.state[key] = doc
	}
	for _, content := range in.Artifacts {
		s.known[Ref("", content).Artifact] = content
	}
	out.State, out.Artifacts = s.state, map[string][]byte{}
	return s, nil
}

func (s *services) call(op string, request, body []byte) ([]byte, error) {
	switch op {
	case abi.OpHTTPRequest:
		return s.http(request, body)
	case abi.OpStateGet, abi.OpStateSet, abi.OpStateDelete, abi.OpStateList:
		return s.stateful(op, request)
	case abi.OpSecretGet:
		var in struct{ Name string }
		if err := read(op, request, &in); err != nil {
			return nil, err
		}
		value, ok := s.input.Secrets[in.Name]
		if !ok {
			return nil, refuse(op, abi.Denied, fmt.Sprintf("secret %q is not exposed to this plugin", in.Name))
		}
		return json.Marshal(map[string]string{"value": value})
	case abi.OpArtifactPut:
		return s.put(request, body)
	case abi.OpArtifactGet:
		return s.get(request)
	case abi.OpEventEmit:
		var e Event
		if err := read(op, request, &e); err != nil {
			return nil, err
		}
		s.out.Events = append(s.out.Events, e)
		return json.Marshal(map[string]string{"id": fmt.Sprintf("event-%d", len(s.out.Events))})
	}
	return nil, abi.UnknownOp
}

func refuse(op string, errno abi.Errno, message string) error {
	return &abi.Refusal{Op: op, Errno: errno, Code: errno.Name(), Message: message}
}

func read(op string, request []byte, into any) error {
	if json.Unmarshal(request, into) != nil {
		return refuse(op, abi.Invalid, "the request is not a JSON object of the expected shape")
	}
	return nil
}

// http hands a request to Input.HTTP, and its answer back in the host's form.
func (s *services) http(request, body []byte) ([]byte, error) {
	var in struct {
		Method, URL, Artifact string
		Headers               map[string]string
		TimeoutMS             int64   `json:"timeout_ms"`
		Body                  *string `json:"body"`
		Base64                []byte  `json:"body_base64"`
	}
	if err := read(abi.OpHTTPRequest, request, &in); err != nil {
		return nil, err
	}
	switch {
	case in.Body != nil:
		body = []byte(*in.Body)
	case in.Base64 != nil:
		body = in.Base64
	}
	asked := abi.HTTPRequest{
		Method: in.Method, URL: in.URL, Header: in.Headers, Body: bytes.Clone(body),
		Timeout: time.Duration(in.TimeoutMS) * time.Millisecond, Artifact: in.Artifact,
	}
	s.out.Requests = append(s.out.Requests, asked)
	if s.input.HTTP == nil {
		return nil, refuse(abi.OpHTTPRequest, abi.Denied, fmt.Sprintf("no grant covers %s %s", in.Method, in.URL))
	}
	answer, err := s.input.HTTP(asked)
	if err != nil {
		return nil, abi.RefusalOf(abi.OpHTTPRequest, err)
	}
	return s.response(answer, in.Artifact)
}

func (s *services) response(answer abi.HTTPResponse, artifact string) ([]byte, error) {
	headers := map[string]string{}
	for name, value := range answer.Header {
		headers[strings.ToLower(name)] = value
	}
	doc := map[string]any{"status": max(answer.Status, 0), "headers": headers}
	if answer.Status == 0 {
		doc["status"] = 200
	}
	switch {
	case artifact != "":
		doc["artifact"] = s.keep(artifact, headers["content-type"], answer.Body)
	case utf8.Valid(answer.Body):
		doc["body"] = string(answer.Body)
	default:
		doc["body_base64"] = base64.StdEncoding.EncodeToString(answer.Body)
	}
	return json.Marshal(doc)
}

func (s *services) stateful(op string, request []byte) ([]byte, error) {
	var in struct {
		Key, Prefix string
		Value       json.RawMessage
	}
	if err := read(op, request, &in); err != nil {
		return nil, err
	}
	switch op {
	case abi.OpStateGet:
		value, ok := s.state[in.Key]
		if !ok {
			return nil, refuse(op, abi.NotFound, fmt.Sprintf("there is no state %q", in.Key))
		}
		return json.Marshal(map[string]json.RawMessage{"value": value})
	case abi.OpStateSet:
		s.state[in.Key] = in.Value
	case abi.OpStateDelete:
		delete(s.state, in.Key)
	case abi.OpStateList:
		keys := slices.DeleteFunc(slices.Sorted(maps.Keys(s.state)), func(key string) bool { return !strings.HasPrefix(key, in.Prefix) })
		return json.Marshal(map[string][]string{"keys": append([]string{}, keys...)})
	}
	return []byte("{}"), nil
}

// keep stores an artifact and returns its reference.
func (s *services) keep(name, mediaType string, content []byte) abi.ArtifactRef {
	if mediaType == "" {
		mediaType = "application/octet-stream"
	}
	content = bytes.Clone(content)
	ref := Ref(mediaType, content)
	s.known[ref.Artifact], s.out.Artifacts[name] = content, content
	return ref
}

func (s *services) put(request, body []byte) ([]byte, error) {
	var in struct{ Name, Type string }
	if err := read(abi.OpArtifactPut, request, &in); err != nil {
		return nil, err
	}
	return json.Marshal(s.keep(in.Name, in.Type, body))
}

func (s *services) get(request []byte) ([]byte, error) {
	var in struct {
		abi.ArtifactRef

		Offset int
		Length *int
	}
	if err := read(abi.OpArtifactGet, request, &in); err != nil {
		return nil, err
	}
	content, ok := s.known[in.Artifact]
	if !ok {
		return nil, refuse(abi.OpArtifactGet, abi.NotFound, "this run has neither received nor put such an artifact")
	}
	if in.Offset < 0 || in.Length != nil && *in.Length < 0 {
		return nil, refuse(abi.OpArtifactGet, abi.Invalid, "neither offset nor length may be negative")
	}
	content = content[min(in.Offset, len(content)):]
	if in.Length != nil {
		content = content[:min(*in.Length, len(content))]
	}
	return content, nil
}

// answer asks Input.Call first, where there is one; what that does not know,
// the services answer.
func (s *services) answer(op string, request, body []byte) ([]byte, error) {
	if s.input.Call != nil {
		answer, err := s.input.Call(op, request, body)
		if !errors.Is(err, abi.UnknownOp) {
			return answer, err
		}
	}
	return s.call(op, request, body)
}
