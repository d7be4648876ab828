package service_test

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/service"
	"github.com/uniflow-dev/uniflow/sdk/abi"
)

// Promise: whatever a guest asks a service for, the host answers or refuses with a number of the contract; it does not
// panic, and what it answers is what the contract allows.
func TestServicesWithAnyRequests(t *testing.T) {
	t.Parallel()
	want := 20_000
	if n, err := strconv.Atoi(os.Getenv("UNIFLOW_FUZZ_CALLS")); err == nil {
		want = n
	}
	r := rand.New(rand.NewPCG(1, 2))
	var calls flow.HostCalls
	for n := range want {
		if n%500 == 0 {
			calls = anyAttempt(t)
		}
		op, request, body := anyRequest(r)
		answer, err := calls.Call(t.Context(), op, request, body)
		refusal, refused := errors.AsType[*flow.ServiceError](err)
		switch {
		case refused && refusal.Errno >= int(abi.Denied) && refusal.Errno <= int(abi.Fault):
		case err != nil && !errors.Is(err, flow.ErrTooLarge) && !errors.Is(err, flow.ErrNotFound):
			t.Fatalf("%s %q: %v", op, request, err)
		case err == nil && op != abi.OpArtifactGet && !json.Valid(answer):
			t.Fatalf("%s %q: the answer %q is no JSON", op, request, answer)
		}
	}
}

// anyAttempt may do everything; its network leads nowhere.
func anyAttempt(t *testing.T) flow.HostCalls {
	t.Helper()
	s := service.New(service.Config{Blobs: newBlobs(), Version: "v9", Secrets: func(_, _ string) (string, error) { return "hunter2-hunter2", nil }})
	state := map[string]json.RawMessage{}
	calls, done := s.Open(t.Context(), service.Attempt{
		Plugin: flow.PlanPlugin{Name: "any", Grant: flow.Grant{State: true, Event: true}, Secrets: map[string]flow.SecretBinding{"N": {Expose: true}}},
		Log:    func(flow.LogLine) {}, Progress: func(int, string) {},
		State: func(context.Context) (map[string]json.RawMessage, error) { return state, nil },
		Wrote: func(string, json.RawMessage) {}, Emit: func(context.Context, flow.EmittedEvent) error { return nil },
	})
	t.Cleanup(done)
	return calls
}

// anyRequest is a request of a service with parts that are well formed, odd, or neither.
func anyRequest(r *rand.Rand) (op string, request, body []byte) {
	ops := []string{
		abi.OpHostInfo, abi.OpHTTPRequest, abi.OpStateGet, abi.OpStateSet, abi.OpStateDelete, abi.OpStateList, abi.OpSecretGet,
		abi.OpArtifactPut, abi.OpArtifactGet, abi.OpEventEmit, "no.such", "",
	}
	names := []string{"key", "value", "prefix", "name", "type", "$artifact", "size", "offset", "length", "method", "url", "headers", "body", "body_base64", "timeout_ms", "artifact", "subject", "data"}
	values := []string{
		`"n"`, `""`, `1`, `-1`, `1e300`, `9007199254740993`, `null`, `true`, `[]`, `{}`, `{"a":"b"}`, `{"a":1}`, `"\ud800"`, `"\u0000"`, `"ü"`, `"GET"`, `"a\nb"`,
		`"https://example.com/"`, `"http://127.0.0.1/"`, `"https://[::1]:0/"`, `"x"`, `"` + strings.Repeat("y", 300) + `"`, strings.Repeat("[", 70) + strings.Repeat("]", 70), `"com.example.done"`, `"sha256:00"`,
	}
	var b strings.Builder
	b.WriteByte('{')
	for i := range r.IntN(5) {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(`"` + names[r.IntN(len(names))] + `":` + values[r.IntN(len(values))])
	}
	b.WriteByte('}')
	request = []byte(b.String())
	if r.IntN(10) == 0 && len(request) > 0 { // broken somewhere
		request[r.IntN(len(request))] = byte(r.Uint32())
	}
	if r.IntN(4) == 0 {
		body = make([]byte, r.IntN(100))
	}
	return ops[r.IntN(len(ops))], request, body
}
