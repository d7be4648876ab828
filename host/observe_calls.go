package host

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/watch/trace"
	"github.com/uniflow-dev/uniflow/sdk/abi"
)

// mostCalls bounds the calls of one attempt that are traced.
const mostCalls = 1000

// tracedCalls tells a tracer of the calls of one attempt.
type tracedCalls struct {
	flow.HostCalls

	of     flow.HostCall // what all calls share
	tracer *trace.Tracer
	calls  atomic.Int64
}

// traced returns calls as they are where the trace of their run is not sent.
func traced(calls flow.HostCalls, c *flow.RunContext, t *trace.Tracer) flow.HostCalls {
	if !t.Sampled(c.RunID) {
		return calls
	}
	return &tracedCalls{HostCalls: calls, tracer: t, of: flow.HostCall{
		Tenant: c.Tenant, Pipeline: c.Pipeline, Run: c.RunID, Step: c.Step, Item: c.ItemIndex, Attempt: c.Attempt,
	}}
}

// begin is a call that begins now; nil for one too many.
func (t *tracedCalls) begin(op string) *flow.HostCall {
	n := t.calls.Add(1)
	if n > mostCalls {
		return nil
	}
	c := t.of
	c.Number, c.Op, c.Begun = n, op, time.Now()
	return &c
}

// end tells of a call that has ended.
func (t *tracedCalls) end(c *flow.HostCall, err error) {
	c.Took = time.Since(c.Begun)
	if err != nil {
		c.Code = "fault"
		if refused, ok := errors.AsType[*flow.ServiceError](err); ok {
			c.Code = refused.Code
		}
	}
	t.tracer.Call(c)
}

// Call implements flow.HostCalls.
func (t *tracedCalls) Call(ctx context.Context, op string, request, body []byte) ([]byte, error) {
	c := t.begin(known(op))
	if c == nil {
		return t.HostCalls.Call(ctx, op, request, body)
	}
	response, err := t.HostCalls.Call(ctx, op, request, body)
	c.Sent, c.Received = len(request)+len(body), len(response)
	if op == abi.OpHTTPRequest {
		c.Method, c.Server = wentTo(request)
		c.Status = statusOf(response)
	}
	t.end(c, err)
	return response, err
}

// Artifact implements flow.HostCalls.
func (t *tracedCalls) Artifact(ctx context.Context, name, mediaType string, r io.Reader) (flow.ArtifactRef, error) {
	c := t.begin(abi.OpArtifactPut)
	ref, err := t.HostCalls.Artifact(ctx, name, mediaType, r)
	if c != nil {
		c.Sent = int(ref.Size)
		t.end(c, err)
	}
	return ref, err
}

// Open implements flow.HostCalls.
func (t *tracedCalls) Open(ctx context.Context, ref flow.ArtifactRef) (io.ReadCloser, error) {
	c := t.begin(abi.OpArtifactGet)
	content, err := t.HostCalls.Open(ctx, ref)
	if c != nil {
		t.end(c, err)
	}
	return content, err
}

// known is an operation's name; those that are none are a guest's words.
func known(op string) string {
	ops := []string{
		abi.OpArtifactGet, abi.OpArtifactPut, abi.OpEventEmit, abi.OpHostInfo, abi.OpHTTPRequest, abi.OpSecretGet,
		abi.OpStateDelete, abi.OpStateGet, abi.OpStateList, abi.OpStateSet,
	}
	if slices.Contains(ops, op) {
		return op
	}
	return "unknown"
}

// wentTo is all that is told of a request: neither path nor query, which may hold what nobody else is to know.
func wentTo(request []byte) (method, server string) {
	var r struct {
		Method string `json:"method"`
		URL    string `json:"url"`
	}
	if json.Unmarshal(request, &r) != nil {
		return "", ""
	}
	u, err := url.Parse(r.URL)
	if err != nil {
		return "", ""
	}
	method = "GET"
	if r.Method != "" {
		method = strings.ToUpper(r.Method)
	}
	if !slices.Contains([]string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}, method) {
		method = "_OTHER"
	}
	server = u.Hostname()
	return method, strings.ToValidUTF8(server[:min(len(server), 253)], "")
}

// statusOf is the status of an answer of http.request, which begins with it; 0 where there is none.
func statusOf(response []byte) int {
	rest, ok := bytes.CutPrefix(response, []byte(`{"status":`))
	digits, _, found := bytes.Cut(rest[:min(len(rest), 8)], []byte(","))
	n, err := strconv.Atoi(string(digits))
	if !ok || !found || err != nil {
		return 0
	}
	return n
}
