package hosttest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/egress"
	"github.com/uniflow-dev/uniflow/host/internal/service"
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

// fakes stand for what lies beyond the host: servers, a source of secrets, and the ledger that keeps state and events. All
// that the host does before and after is done by its own services, which stand behind. It implements flow.HostCalls.
type fakes struct {
	flow.HostCalls

	real    bool // requests reach real servers
	secrets map[string]string

	mu       sync.Mutex
	replies  []Reply
	served   []bool
	state    map[string]json.RawMessage
	requests []Request
	events   []Event
	refusals []Refusal
}

// newFakes makes those of one call.
func (m *Module) newFakes(in *Input) (*fakes, error) {
	state, _, err := m.values(in.State)
	if err != nil {
		return nil, err
	}
	secrets := map[string]string{}
	maps.Copy(secrets, m.config.Secrets)
	maps.Copy(secrets, in.Secrets)
	return &fakes{real: m.config.Network, secrets: secrets, replies: in.HTTP, served: make([]bool, len(in.HTTP)), state: state}, nil
}

// Within is the host side that the fakes stand before.
func (f *fakes) Within() flow.HostCalls { return f.HostCalls }

// maxRefusals are as many refusals as are kept.
const maxRefusals = 100

// Call implements flow.HostCalls.
func (f *fakes) Call(ctx context.Context, op string, request, body []byte) ([]byte, error) {
	answer, err := f.HostCalls.Call(ctx, op, request, body)
	if e, ok := errors.AsType[*flow.ServiceError](err); ok {
		f.mu.Lock()
		defer f.mu.Unlock()
		if len(f.refusals) < maxRefusals {
			f.refusals = append(f.refusals, Refusal{op, e.Code, e.Message, e.Hint})
		}
	}
	if op == abi.OpEventEmit && err == nil {
		f.mu.Lock()
		defer f.mu.Unlock()
		return fmt.Appendf(nil, `{"id":"event-%d"}`, len(f.events)), nil // the same each time
	}
	return answer, err
}

// attempt is what the services are told to serve.
func (f *fakes) attempt(a service.Attempt) service.Attempt {
	a.State = func(context.Context) (map[string]json.RawMessage, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		return maps.Clone(f.state), nil
	}
	a.Wrote = func(key string, value json.RawMessage) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.state[key] = value; value == nil {
			delete(f.state, key)
		}
	}
	a.Emit = func(_ context.Context, e flow.EmittedEvent) error {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.events = append(f.events, Event{e.Type, e.Subject, e.Data})
		return nil
	}
	return a
}

func refuse(errno abi.Errno, message, hint string) error {
	return &flow.ServiceError{Errno: int(errno), Code: errno.Name(), Message: message, Hint: hint}
}

// network is how requests leave the host: to the replies of the call, or to real servers.
func (f *fakes) network() service.Network {
	if f.real {
		return service.Network{}
	}
	return service.Network{RoundTrip: f.roundTrip}
}

// roundTrip answers a request that was granted.
func (f *fakes) roundTrip(r *http.Request) (*http.Response, error) {
	asked := Request{Method: r.Method, URL: r.URL.String(), Headers: map[string]string{}}
	for name, values := range r.Header {
		asked.Headers[strings.ToLower(name)] = strings.Join(values, ", ")
	}
	if r.Body != nil {
		var err error
		if asked.Body, err = io.ReadAll(r.Body); err != nil {
			return nil, fmt.Errorf("read the request: %w", err)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	reply := f.answer(&asked)
	f.requests = append(f.requests, asked)
	switch {
	case reply == nil:
		return nil, refuse(abi.Unavailable, "this test has no reply to "+asked.Method+" "+asked.URL, "give it one")
	case reply.Errno != abi.OK:
		return nil, refuse(reply.Errno, reply.Errno.Error(), "")
	}
	answer := &http.Response{
		StatusCode: cmp.Or(reply.Status, http.StatusOK), Header: http.Header{}, Request: r, ProtoMajor: 1, ProtoMinor: 1,
		Body: io.NopCloser(bytes.NewReader(reply.Body)), ContentLength: int64(len(reply.Body)),
	}
	for name, value := range reply.Headers {
		answer.Header.Set(name, value)
	}
	return answer, nil
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
	if r.method() != asked.Method || canonical(r.URL) != asked.URL || r.RequestBody != nil && string(r.RequestBody) != string(asked.Body) {
		return false
	}
	for name, value := range r.RequestHeaders {
		if got, ok := asked.Headers[strings.ToLower(name)]; !ok || got != value {
			return false
		}
	}
	return true
}

// canonical is a URL as requests have it.
func canonical(text string) string {
	u, err := egress.ParseURL(text)
	if err != nil {
		return text
	}
	return u.String()
}

// secret reads one of the call's secrets.
func (f *fakes) secret(name string) (string, error) {
	value, ok := f.secrets[name]
	if !ok {
		return "", &flow.Error{Message: "this test has no such secret", Hint: "give it one"}
	}
	return value, nil
}
