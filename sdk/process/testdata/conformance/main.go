// The conformance program of the Go kit for processes; sdk/abi/testdata/README.md says what it does.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/uniflow-dev/uniflow/sdk/abi"
	"github.com/uniflow-dev/uniflow/sdk/process"
)

func main() {
	process.Serve(process.Plugin{
		Descriptor: abi.Descriptor{Name: "conformance", Version: "1.0.0", Description: "Does what the vectors of the contract ask."},
		Functions:  map[string]process.Func{"run": step},
	})
}

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

func step(ctx context.Context, c *process.Call) error {
	var which struct {
		Case string `json:"case"`
	}
	if err := c.DecodeWith(&which); err != nil {
		return err
	}
	switch which.Case {
	case "values":
		return values(ctx, c)
	case "attempt":
		return attempt(ctx, c)
	}
	var in inputs
	if err := json.Unmarshal(c.With, &in); err != nil && which.Case == "echo" {
		return process.Permanent(err)
	}
	cases := map[string]func(context.Context, *process.Call, inputs) error{
		"echo":    func(_ context.Context, c *process.Call, in inputs) error { return c.Output("document", in.Document) },
		"context": runContext, "item": item, "log": logs, "http": request, "secret": secret, "state": state,
		"artifact": artifact, "event": event, "unknown": unknown, "fail": fail,
	}
	f, ok := cases[in.Case]
	if !ok {
		return process.Permanent(fmt.Errorf("unknown case %q", in.Case))
	}
	return f(ctx, c, in)
}

// outputs sets several outputs.
func outputs(c *process.Call, values map[string]any) error {
	var errs []error
	for name, v := range values {
		errs = append(errs, c.Output(name, v))
	}
	return errors.Join(errs...)
}

func values(_ context.Context, c *process.Call) error {
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

func runContext(_ context.Context, c *process.Call, _ inputs) error {
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

func item(_ context.Context, c *process.Call, _ inputs) error {
	return outputs(c, map[string]any{"item": c.Item, "index": c.ItemIndex})
}

func logs(_ context.Context, c *process.Call, _ inputs) error {
	c.Debug("one")
	c.Info("%s", "two")
	c.Warn("three: %c", 'ü')
	c.Error("four")
	return c.Output("cancelled", c.Progress(0.5, "half"))
}

func request(ctx context.Context, c *process.Call, in inputs) error {
	req := abi.HTTPRequest{Method: in.Method, URL: in.URL}
	if in.Header != nil {
		req.Header = map[string]string{"content-type": *in.Header}
	}
	if in.Body != nil {
		req.Body = []byte(*in.Body)
	}
	got, err := c.Services(ctx).HTTP(req)
	if err != nil {
		return err
	}
	var kind any
	if t, ok := got.Header["content-type"]; ok {
		kind = t
	}
	return outputs(c, map[string]any{"status": got.Status, "type": kind, "body": string(got.Body)})
}

func secret(ctx context.Context, c *process.Call, in inputs) error {
	value, err := c.Services(ctx).Secret(in.Name)
	if err != nil {
		return err
	}
	return c.Output("value", value)
}

func state(ctx context.Context, c *process.Call, in inputs) error {
	n := 0
	if _, err := c.Services(ctx).GetState(in.Key, &n); err != nil {
		return err
	}
	n++
	if err := c.Services(ctx).SetState(in.Key, n); err != nil {
		return err
	}
	if err := c.Services(ctx).DeleteState("old"); err != nil {
		return err
	}
	keys, err := c.Services(ctx).ListState("")
	if err != nil {
		return err
	}
	return outputs(c, map[string]any{"n": n, "keys": keys})
}

func artifact(ctx context.Context, c *process.Call, in inputs) error {
	var with struct {
		Text string `json:"text"`
	}
	if err := c.DecodeWith(&with); err != nil {
		return err
	}
	ref, err := c.Services(ctx).PutArtifact(in.Name, "text/plain", []byte(strings.Repeat(with.Text, in.Times)))
	if err != nil {
		return err
	}
	content, err := c.Services(ctx).GetArtifact(ref)
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

func event(ctx context.Context, c *process.Call, in inputs) error {
	id, err := c.Services(ctx).Emit(abi.Event{Type: in.Type, Subject: in.Subject, Data: in.Data})
	if err != nil {
		return err
	}
	return c.Output("id", id)
}

func unknown(ctx context.Context, c *process.Call, _ inputs) error {
	err := c.Call(ctx, "no.such", struct{}{}, nil)
	refusal, ok := errors.AsType[*process.Refusal](err)
	if !ok {
		return fmt.Errorf("no.such is not refused: %w", err)
	}
	return outputs(c, map[string]any{"code": refusal.Code, "message": refusal.Message, "hint": refusal.Hint})
}

func fail(_ context.Context, c *process.Call, in inputs) error {
	if err := c.Output("before", 1); err != nil {
		return err
	}
	err := errors.New(in.Message)
	switch in.Kind {
	case "skip":
		return process.Skip(in.Message)
	case "permanent":
		return &process.Ending{Kind: abi.KindPermanent, Code: in.Code, Err: err}
	case "retry":
		return &process.Ending{Kind: abi.KindRetry, Code: in.Code, Err: err, After: time.Duration(in.AfterMS) * time.Millisecond}
	}
	return process.Fail(in.Code, err)
}

// attempt sets the outputs of a vector of attempt.json. A process ends by one word, so there is no other call.
func attempt(_ context.Context, c *process.Call) error {
	var in struct {
		Calls []struct {
			Key   string `json:"key"`
			Value string `json:"value"`
		} `json:"calls"`
	}
	if err := c.DecodeWith(&in); err != nil {
		return err
	}
	var names []string
	for _, call := range in.Calls {
		errno := abi.OK
		if err := c.Output(call.Key, json.RawMessage(call.Value)); err != nil {
			errno, _ = errors.AsType[abi.Errno](err)
		}
		names = append(names, errno.Name())
	}
	c.Info("%s", strings.Join(names, " "))
	return nil
}
