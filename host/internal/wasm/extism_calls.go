package wasm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/sdk/abi"
)

const (
	maxVars = 1 << 20 // bytes of all variables of an attempt, names included
	varCost = 40      // bytes that count for each beside its own
)

// extismPut hands bytes to the guest in a new block and returns its address, 0 for no bytes. A guest that has no room for
// them ends.
func (a *attempt) extismPut(content []byte) uint64 {
	at := a.extism.put(content, a.room())
	if at == 0 && len(content) > 0 {
		a.instance.memory.refused = true
		a.give(a.outOfMemory())
	}
	return at
}

// extismText returns what a block holds, at the price of its length.
func (a *attempt) extismText(at uint64) []byte {
	content := a.extism.content(at)
	a.extism.price += int64(len(content) >> byteShift)
	return content
}

func (a *attempt) extismConfig(s []uint64) {
	value, ok := configValue(a.call.Context.With, string(a.extismText(s[0])))
	if s[0] = 0; ok {
		s[0] = a.extismPut(value)
	}
}

// configValue is a member of with as configuration, which is text: a string is its bytes, any other value its JSON, and
// null is none.
func configValue(with map[string]json.RawMessage, name string) ([]byte, bool) {
	raw, ok := with[name]
	raw = bytes.TrimSpace(raw)
	if !ok || len(raw) == 0 || string(raw) == "null" {
		return nil, false
	}
	var text string
	if raw[0] == '"' && json.Unmarshal(raw, &text) == nil {
		return []byte(text), true
	}
	return raw, true
}

func (a *attempt) extismVarGet(s []uint64) {
	value := a.extism.vars[string(a.extismText(s[0]))]
	name := s[0]
	s[0] = a.extismPut(value)
	a.extism.release(name)
}

// extismVarSet sets a variable, which the attempt's end forgets. No value removes it.
func (a *attempt) extismVarSet(s []uint64) {
	x := a.extism
	name := string(a.extismText(s[0]))
	if old, ok := x.vars[name]; ok {
		x.varBytes -= varCost + len(name) + len(old)
		delete(x.vars, name)
	}
	x.release(s[0])
	if s[1] == 0 {
		return
	}
	value := a.extismText(s[1])
	if x.varBytes += varCost + len(name) + len(value); x.varBytes > maxVars {
		a.give(&flow.Fault{
			Reason: flow.ReasonMemory, Message: fmt.Sprintf("the guest's variables exceed %s", flow.Size(maxVars)),
			Hint: "variables are forgotten when the call ends: keep large values in the guest's own memory",
		})
	}
	if x.vars == nil {
		x.vars = map[string][]byte{}
	}
	x.vars[name] = bytes.Clone(value)
	x.release(s[1])
}

func (a *attempt) extismLog(level flow.LogLevel, at uint64) {
	message := a.extismText(at)
	a.host.Log(level, abi.ClipMessage(string(message[:min(len(message), abi.MaxMessage)])))
	a.extism.release(at)
}

// extismRequest is what a plugin asks of http_request.
type extismRequest struct {
	URL     string            `json:"url"`
	Method  string            `json:"method"`
	Headers map[string]string `json:"headers,omitempty"`
}

// extismResponse is the service's answer.
type extismResponse struct {
	Status     int32             `json:"status"`
	Headers    map[string]string `json:"headers"`
	Body       string            `json:"body"`
	BodyBase64 []byte            `json:"body_base64"`
}

// extismHTTP serves http_request by the service http.request, under the plugin's grant.
func (a *attempt) extismHTTP(s []uint64) {
	x := a.extism
	x.status, x.headers = 0, nil
	asked, body := s[0], s[1]
	response, err := a.request(a.extismText(asked), bytes.Clone(a.extismText(body)))
	x.release(asked)
	x.release(body)
	if err != nil {
		a.giveUp(err)
	}
	content := response.BodyBase64
	if response.Body != "" {
		content = []byte(response.Body)
	}
	x.status = response.Status
	headers := map[string]string{}
	maps.Copy(headers, response.Headers)
	if x.headers, err = json.Marshal(headers); err != nil {
		a.giveUp(err)
	}
	s[0] = a.extismPut(content)
}

func (a *attempt) request(document, body []byte) (response extismResponse, err error) {
	var asked extismRequest
	switch {
	case a.denied:
		return response, unserved(abi.Invalid, "services are not available while the module initialises")
	case len(document) > maxRequest || len(body) > maxRequest:
		return response, unserved(abi.TooLarge, fmt.Sprintf("a request and its body have at most %s each", flow.Size(maxRequest)))
	case json.Unmarshal(document, &asked) != nil:
		return response, unserved(abi.Invalid, "the request is no JSON object with url, method and headers")
	}
	if asked.Method = strings.ToUpper(asked.Method); asked.Method == "" {
		asked.Method = "GET"
	}
	if document, err = json.Marshal(asked); err != nil {
		return response, fmt.Errorf("write the request: %w", err)
	}
	answer, err := a.host.Call(a.ctx, abi.OpHTTPRequest, document, body)
	if err != nil {
		return response, err //nolint:wrapcheck // it carries what the guest is told
	}
	if err := json.Unmarshal(answer, &response); err != nil {
		return response, fmt.Errorf("read the answer of %s: %w", abi.OpHTTPRequest, err)
	}
	return response, nil
}

func unserved(errno abi.Errno, message string) *flow.ServiceError {
	return &flow.ServiceError{Errno: int(errno), Code: errno.Name(), Message: message}
}

// giveUp ends a guest whose request was refused: its functions have no way to say so. A missing grant is a fault; for what
// may be another time, the retry policy decides.
func (a *attempt) giveUp(err error) {
	if a.ctx.Err() != nil {
		a.stop(nil) // the end of ctx says why
		panic(errStopped)
	}
	refused, ok := errors.AsType[*flow.ServiceError](err)
	if !ok {
		errno := a.errnoOf(err)
		refused = unserved(errno, errno.Error())
	}
	if refused.Errno == int(abi.Denied) {
		a.give(&flow.Fault{Reason: flow.ReasonDenied, Message: "http_request: " + refused.Message, Hint: refused.Hint, Err: err})
	}
	kind := abi.KindFailed
	if refused.Errno == int(abi.Invalid) || refused.Errno == int(abi.UnknownOp) { // asking again changes nothing
		kind = abi.KindPermanent
	}
	reason, err := json.Marshal(abi.CallError{Code: refused.Code, Message: "http_request: " + refused.Message})
	if err != nil || a.outputs.Fail(kind, reason) != abi.OK {
		a.outputs.Fail(kind, []byte("http_request: "+refused.Code))
	}
	a.extism.gaveUp = true
	panic(errStopped)
}
