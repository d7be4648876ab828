// The conformance program of the Go kit; sdk/abi/testdata/README.md says what it does.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unsafe"

	uniflow "github.com/uniflow-dev/uniflow/sdk"
	"github.com/uniflow-dev/uniflow/sdk/abi"
)

//go:wasmexport uniflow_abi_v1
func marker() {}

//go:wasmexport uniflow_run
func run() int32 {
	var end int32
	kind := uniflow.Handle(func(c *uniflow.Context) error { return step(c, &end) })
	if end != 0 {
		return end
	}
	return kind
}

func main() {}

// importFail is the import itself: steps end by an error, which is more than a
// vector may say.
//
//go:wasmimport uniflow fail
func importFail(kind int32, msg unsafe.Pointer, size uint32) int32

// inputs are those of all cases.
type inputs struct {
	Case     string          `json:"case"`
	Document json.RawMessage `json:"document"`
	Method   string          `json:"method"`
	URL      string          `json:"url"`
	Header   *string         `json:"header"`
	Body     *string         `json:"body"`
	Name     string          `json:"name"`
	Key      string          `json:"key"`
	Times    int             `json:"times"`
	Type     string          `json:"type"`
	Subject  string          `json:"subject"`
	Data     json.RawMessage `json:"data"`
	Kind     string          `json:"kind"`
	Code     string          `json:"code"`
	Message  string          `json:"message"`
	AfterMS  int64           `json:"after_ms"`
}

func step(c *uniflow.Context, end *int32) error {
	var which struct {
		Case string `json:"case"`
	}
	if err := c.DecodeWith(&which); err != nil {
		return err
	}
	switch which.Case {
	case "values":
		return values(c)
	case "attempt":
		return attempt(c, end)
	}
	var in inputs
	if err := json.Unmarshal(c.With, &in); err != nil && which.Case == "echo" {
		return uniflow.Permanent(err)
	}
	cases := map[string]func(*uniflow.Context, inputs) error{
		"echo":    func(c *uniflow.Context, in inputs) error { return c.Output("document", in.Document) },
		"context": runContext, "item": item, "log": logs, "http": request, "secret": secret, "state": state,
		"artifact": artifact, "event": event, "unknown": unknown, "fail": fail,
	}
	f, ok := cases[in.Case]
	if !ok {
		return uniflow.Permanent(fmt.Errorf("unknown case %q", in.Case))
	}
	return f(c, in)
}

// outputs sets several outputs.
func outputs(c *uniflow.Context, values map[string]any) error {
	var errs []error
	for name, v := range values {
		errs = append(errs, c.Output(name, v))
	}
	return errors.Join(errs...)
}

func values(c *uniflow.Context) error {
	var in struct {
		Numbers []float64 `json:"numbers"`
		Text    string    `json:"text"`
		Flag    bool      `json:"flag"`
	}
	if err := c.DecodeWith(&in); err != nil {
		return err
	}
	sum := 0.0
	for _, n := range in.Numbers {
		sum += n
	}
	return outputs(c, map[string]any{"sum": sum, "count": len(in.Numbers), "text": in.Text, "flag": in.Flag})
}

func runContext(c *uniflow.Context, _ inputs) error {
	var context struct {
		Station *string `json:"station"`
	}
	if err := c.DecodeContext(&context); err != nil {
		return err
	}
	return outputs(c, map[string]any{
		"pipeline": c.Pipeline, "step": c.Step, "attempt": c.Attempt, "trigger": c.Trigger, "station": context.Station,
	})
}

func item(c *uniflow.Context, _ inputs) error {
	return outputs(c, map[string]any{"item": c.Item, "index": c.ItemIndex})
}

func logs(c *uniflow.Context, _ inputs) error {
	c.Debug("one")
	c.Info("%s", "two")
	c.Warn("three: %c", 'ü')
	c.Error("four")
	return c.Output("cancelled", c.Progress(0.5, "half"))
}

func request(c *uniflow.Context, in inputs) error {
	req := uniflow.HTTPRequest{Method: in.Method, URL: in.URL}
	if in.Header != nil {
		req.Header = map[string]string{"content-type": *in.Header}
	}
	if in.Body != nil {
		req.Body = []byte(*in.Body)
	}
	got, err := c.HTTP(req)
	if err != nil {
		return err
	}
	var kind any
	if t, ok := got.Header["content-type"]; ok {
		kind = t
	}
	return outputs(c, map[string]any{"status": got.Status, "type": kind, "body": string(got.Body)})
}

func secret(c *uniflow.Context, in inputs) error {
	value, err := c.Secret(in.Name)
	if err != nil {
		return err
	}
	return c.Output("value", value)
}

func state(c *uniflow.Context, in inputs) error {
	n := 0
	if _, err := c.GetState(in.Key, &n); err != nil {
		return err
	}
	n++
	if err := c.SetState(in.Key, n); err != nil {
		return err
	}
	if err := c.DeleteState("old"); err != nil {
		return err
	}
	keys, err := c.ListState("")
	if err != nil {
		return err
	}
	return outputs(c, map[string]any{"n": n, "keys": keys})
}

func artifact(c *uniflow.Context, in inputs) error {
	var with struct {
		Text string `json:"text"`
	}
	if err := c.DecodeWith(&with); err != nil {
		return err
	}
	ref, err := c.PutArtifact(in.Name, "text/plain", []byte(strings.Repeat(with.Text, in.Times)))
	if err != nil {
		return err
	}
	content, err := c.GetArtifact(ref)
	if err != nil {
		return err
	}
	if len(content) <= 1000 {
		if err := c.Output("text", string(content)); err != nil {
			return err
		}
	}
	return outputs(c, map[string]any{"ref": ref, "size": len(content)})
}

func event(c *uniflow.Context, in inputs) error {
	id, err := c.Emit(uniflow.Event{Type: in.Type, Subject: in.Subject, Data: in.Data})
	if err != nil {
		return err
	}
	return c.Output("id", id)
}

func unknown(c *uniflow.Context, _ inputs) error {
	err := c.Call("no.such", struct{}{}, nil)
	refusal, ok := errors.AsType[*uniflow.Refusal](err)
	if !ok {
		return fmt.Errorf("no.such is not refused: %w", err)
	}
	return outputs(c, map[string]any{"code": refusal.Code, "message": refusal.Message, "hint": refusal.Hint})
}

func fail(c *uniflow.Context, in inputs) error {
	if err := c.Output("before", 1); err != nil {
		return err
	}
	err := errors.New(in.Message)
	switch in.Kind {
	case "skip":
		return uniflow.Skip(in.Message)
	case "permanent":
		return &uniflow.Ending{Kind: abi.KindPermanent, Code: in.Code, Err: err}
	case "retry":
		return &uniflow.Ending{Kind: abi.KindRetry, Code: in.Code, Err: err, After: time.Duration(in.AfterMS) * time.Millisecond}
	}
	return uniflow.Fail(in.Code, err)
}

// attempt makes the calls of a vector of attempt.json.
func attempt(c *uniflow.Context, end *int32) error {
	var in struct {
		Calls []struct {
			Do    string `json:"do"`
			Key   string `json:"key"`
			Value string `json:"value"`
			Kind  int32  `json:"kind"`
			Text  string `json:"text"`
		} `json:"calls"`
		Return int32 `json:"return"`
	}
	if err := c.DecodeWith(&in); err != nil {
		return err
	}
	var names []string
	for _, call := range in.Calls {
		errno := abi.OK
		if call.Do == "fail" {
			errno = abi.Errno(-importFail(call.Kind, unsafe.Pointer(unsafe.StringData(call.Text)), uint32(len(call.Text))))
		} else if err := c.Output(call.Key, json.RawMessage(call.Value)); err != nil {
			errno, _ = errors.AsType[abi.Errno](err)
		}
		names = append(names, errno.Name())
	}
	c.Info("%s", strings.Join(names, " "))
	*end = in.Return
	return nil
}
