package hosttest

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/sdk/abi"
)

// Reply is what a fake server answers to requests for one URL.
type Reply struct {
	// Name is for messages. Defaults to method and URL.
	Name string
	// Method and URL are those of the request; the method defaults to GET.
	Method, URL string
	// RequestHeaders must all be among those of the request, and RequestBody, where it is not nil, be its body.
	RequestHeaders map[string]string
	RequestBody    []byte
	// Status defaults to 200.
	Status  int
	Headers map[string]string
	Body    []byte
	// Errno, where it is set, refuses the request instead: abi.Unavailable for a server that does not answer.
	Errno abi.Errno
}

func (r *Reply) name() string {
	if r.Name != "" {
		return r.Name
	}
	return r.method() + " " + r.URL
}

func (r *Reply) method() string {
	if r.Method == "" {
		return http.MethodGet
	}
	return r.Method
}

// Request is a request that the module made.
type Request struct {
	Method  string            `json:"method"`
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers,omitempty"`
	Body    []byte            `json:"-"`
	// Reply is the name of the Reply that answered it; empty if none did.
	Reply string `json:"reply,omitempty"`
}

// Event is an event that the module emitted.
type Event struct {
	Type    string          `json:"type"`
	Subject string          `json:"subject,omitempty"`
	Data    json.RawMessage `json:"data,omitempty"`
}

// Refusal is a call of a service that was refused, with what would have given it: the module decides what to make of it.
type Refusal struct {
	Op      string `json:"op"`
	Code    string `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// fakes serves what lies beyond the sandbox from memory, each behind its grant; what else there is, the real services
// answer. It implements flow.HostCalls.
type fakes struct {
	flow.HostCalls

	grant   flow.Grant
	network bool // http.request is left to the real service
	secrets map[string]string

	mu       sync.Mutex
	replies  []Reply
	served   []bool
	state    map[string]json.RawMessage
	requests []Request
	events   []Event
	refusals []Refusal
}

// maxRefusals are as many refusals as are kept.
const maxRefusals = 100

// Call implements flow.HostCalls.
func (f *fakes) Call(ctx context.Context, op string, request, body []byte) ([]byte, error) {
	if ctx.Err() != nil {
		return nil, refuse(abi.Cancelled, "the attempt is being stopped", "")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	answer, err := f.serve(ctx, op, request, body)
	if e, ok := errors.AsType[*flow.ServiceError](err); ok && len(f.refusals) < maxRefusals {
		f.refusals = append(f.refusals, Refusal{op, e.Code, e.Message, e.Hint})
	}
	return answer, err
}

func (f *fakes) serve(ctx context.Context, op string, request, body []byte) ([]byte, error) {
	switch op {
	case abi.OpHTTPRequest:
		if !f.network {
			return f.http(ctx, request, body)
		}
	case abi.OpStateGet, abi.OpStateSet, abi.OpStateDelete, abi.OpStateList:
		return f.stateful(op, request)
	case abi.OpSecretGet:
		return f.secret(request)
	case abi.OpEventEmit:
		return f.emit(request)
	}
	return f.HostCalls.Call(ctx, op, request, body)
}

func refuse(errno abi.Errno, message, hint string) error {
	return &flow.ServiceError{Errno: int(errno), Code: errno.Name(), Message: message, Hint: hint}
}

// decode reads a request; an empty one is {}.
func decode(request []byte, into any) error {
	if len(request) == 0 {
		return nil
	}
	if abi.CheckJSON(request) != abi.OK || json.Unmarshal(request, into) != nil {
		return refuse(abi.Invalid, "the request is not a JSON object of the expected shape", "see the table of services in docs/ABI.md")
	}
	return nil
}

// httpRequest is the request of http.request.
type httpRequest struct {
	Request

	Body     string `json:"body"`
	Base64   []byte `json:"body_base64"`
	Artifact string `json:"artifact"`
}

func (f *fakes) http(ctx context.Context, request, body []byte) ([]byte, error) {
	var in httpRequest
	if err := decode(request, &in); err != nil {
		return nil, err
	}
	asked := in.Request
	if asked.Method == "" {
		asked.Method = http.MethodGet
	}
	switch asked.Body = body; {
	case in.Body != "":
		asked.Body = []byte(in.Body)
	case in.Base64 != nil:
		asked.Body = in.Base64
	}
	line := asked.Method + " " + asked.URL
	if !covered(f.grant.HTTP, asked.Method, asked.URL) {
		return nil, refuse(abi.Denied, "no grant covers "+line, fmt.Sprintf("add it to grant.http: http = [%q]", line))
	}
	reply := f.answer(&asked)
	f.requests = append(f.requests, asked)
	if reply == nil {
		return nil, refuse(abi.Unavailable, "this test has no reply to "+line, "give it one")
	}
	if reply.Errno != abi.OK {
		return nil, refuse(reply.Errno, reply.Errno.Error(), "")
	}
	return f.response(ctx, reply, in.Artifact)
}

// answer finds the reply to a request: the first that was not served yet, else the last that was.
func (f *fakes) answer(asked *Request) *Reply {
	var found *Reply
	for i := range f.replies {
		r := &f.replies[i]
		if !r.answers(asked) {
			continue
		}
		found = r
		if !f.served[i] {
			f.served[i] = true
			break
		}
	}
	if found != nil {
		asked.Reply = found.name()
	}
	return found
}

func (r *Reply) answers(asked *Request) bool {
	if r.method() != asked.Method || r.URL != asked.URL || r.RequestBody != nil && string(r.RequestBody) != string(asked.Body) {
		return false
	}
	given := map[string]string{}
	for name, value := range asked.Headers {
		given[strings.ToLower(name)] = value
	}
	for name, value := range r.RequestHeaders {
		if got, ok := given[strings.ToLower(name)]; !ok || got != value {
			return false
		}
	}
	return true
}

// httpResponse is the response of http.request.
type httpResponse struct {
	Status   int               `json:"status"`
	Headers  map[string]string `json:"headers"`
	Body     *string           `json:"body,omitempty"`
	Base64   *string           `json:"body_base64,omitempty"`
	Artifact *flow.ArtifactRef `json:"artifact,omitempty"`
}

func (f *fakes) response(ctx context.Context, r *Reply, artifact string) ([]byte, error) {
	out := httpResponse{Status: r.Status, Headers: map[string]string{}}
	if out.Status == 0 {
		out.Status = http.StatusOK
	}
	for name, value := range r.Headers {
		out.Headers[strings.ToLower(name)] = value
	}
	text := string(r.Body)
	switch {
	case artifact != "":
		ref, err := f.Artifact(ctx, artifact, out.Headers["content-type"], strings.NewReader(text))
		if err != nil {
			return nil, refuse(abi.TooLarge, err.Error(), "raise limits.artifacts")
		}
		out.Artifact = &ref
	case utf8.Valid(r.Body):
		out.Body = &text
	default:
		text = base64.StdEncoding.EncodeToString(r.Body)
		out.Base64 = &text
	}
	return encode(out)
}

func encode(v any) ([]byte, error) {
	doc, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode response: %w", err)
	}
	return doc, nil
}

// covered reports whether a grant like "GET https://host/path/*" covers a request; without a method it is GET.
func covered(grants []string, method, url string) bool {
	return slices.ContainsFunc(grants, func(grant string) bool {
		granted, pattern, found := strings.Cut(strings.TrimSpace(grant), " ")
		if !found {
			granted, pattern = http.MethodGet, granted
		}
		bare, _, _ := strings.Cut(url, "?")
		prefix, open := strings.CutSuffix(strings.TrimSpace(pattern), "*")
		return granted == method && (url == pattern || bare == pattern || open && strings.HasPrefix(url, prefix))
	})
}

func (f *fakes) stateful(op string, request []byte) ([]byte, error) {
	if !f.grant.State {
		return nil, refuse(abi.Denied, "no grant covers the state of the pipeline", "add grant.state = true")
	}
	var in struct {
		Key    string          `json:"key"`
		Value  json.RawMessage `json:"value"`
		Prefix string          `json:"prefix"`
	}
	if err := decode(request, &in); err != nil {
		return nil, err
	}
	if op != abi.OpStateList && in.Key == "" {
		return nil, refuse(abi.Invalid, op+" needs a key", "")
	}
	switch op {
	case abi.OpStateGet:
		value, ok := f.state[in.Key]
		if !ok {
			return nil, refuse(abi.NotFound, fmt.Sprintf("there is no state %q", in.Key), "")
		}
		return encode(map[string]json.RawMessage{"value": value})
	case abi.OpStateSet:
		if in.Value == nil {
			in.Value = json.RawMessage("null")
		}
		f.state[in.Key] = in.Value
	case abi.OpStateDelete:
		delete(f.state, in.Key)
	case abi.OpStateList:
		keys := slices.DeleteFunc(slices.Sorted(maps.Keys(f.state)), func(key string) bool { return !strings.HasPrefix(key, in.Prefix) })
		return encode(map[string][]string{"keys": append([]string{}, keys...)})
	}
	return []byte("{}"), nil
}

func (f *fakes) secret(request []byte) ([]byte, error) {
	var in struct {
		Name string `json:"name"`
	}
	if err := decode(request, &in); err != nil {
		return nil, err
	}
	value, ok := f.secrets[in.Name]
	if !ok {
		return nil, refuse(abi.Denied, fmt.Sprintf("secret %.80q is not exposed to this plugin", in.Name), fmt.Sprintf("bind it: secrets.%s = { expose = true }", in.Name))
	}
	return encode(map[string]string{"value": value})
}

func (f *fakes) emit(request []byte) ([]byte, error) {
	if !f.grant.Event {
		return nil, refuse(abi.Denied, "no grant covers event.emit", "add grant.event = true")
	}
	var e Event
	if err := decode(request, &e); err != nil {
		return nil, err
	}
	if e.Type == "" {
		return nil, refuse(abi.Invalid, "an event needs a type", `for example "com.example.report.done"`)
	}
	f.events = append(f.events, e)
	return encode(map[string]string{"id": fmt.Sprintf("event-%d", len(f.events))})
}
