// Package guest holds the plugin side of the conformance suite: what a plugin of any kind does for each behaviour that
// the suite asks for. A test plugin connects it to its kit and does nothing else, so that all kinds are asked the same.
//
// It runs inside sandboxes and imports the standard library and sdk/abi only.
package guest

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/uniflow-dev/uniflow/sdk/abi"
)

// Host is what a kit of any kind offers to a plugin.
type Host interface {
	// Output sets a named output. The error wraps an abi.Errno.
	Output(name string, value json.RawMessage) error
	// Log keeps a line.
	Log(level abi.Level, message string)
	// Progress reports whether the attempt is being cancelled.
	Progress(permille int, message string) (cancelled bool)
	// Call calls a service. The error wraps an abi.Errno.
	Call(op string, request, body []byte) ([]byte, error)
}

// End is the error of a behaviour that ends with a verdict; the kit's own error takes its place.
type End struct {
	Kind    abi.Kind
	Code    string
	Message string
	After   time.Duration
}

// Error returns the message.
func (e *End) Error() string { return e.Message }

// With is the input of a test plugin: the name of a behaviour and what it needs.
type With struct {
	Behaviour string          `json:"behaviour"`
	Value     json.RawMessage `json:"value,omitempty"`
	Kind      abi.Kind        `json:"kind,omitempty"`
	Code      string          `json:"code,omitempty"`
	Message   string          `json:"message,omitempty"`
	AfterMS   int64           `json:"after_ms,omitempty"`
	Size      int             `json:"size,omitempty"`
}

// Behave does what the run context asks for.
func Behave(run abi.RunContext, host Host) error {
	var with With
	if err := json.Unmarshal(run.With, &with); err != nil {
		return fmt.Errorf("read with: %w", err)
	}
	behave, known := behaviours[with.Behaviour]
	if !known {
		return fmt.Errorf("no behaviour %q", with.Behaviour)
	}
	return behave(run, with, host)
}

//nolint:gochecknoglobals // a table of constants
var behaviours = map[string]func(abi.RunContext, With, Host) error{
	"context":   giveContext,
	"echo":      func(_ abi.RunContext, w With, h Host) error { return h.Output("echo", w.Value) },
	"log":       logLevels,
	"log_flood": logFlood,
	"progress":  progress,
	"patient":   patient,
	"fail":      fail,
	"exit":      exit,
	"large": func(_ abi.RunContext, w With, h Host) error {
		return refused(h, json.RawMessage(`"`+strings.Repeat("x", w.Size)+`"`))
	},
	"not_json":    func(_ abi.RunContext, _ With, h Host) error { return refused(h, json.RawMessage(`{oops`)) },
	"panic":       doPanic,
	"sleep":       sleep,
	"spin":        spin,
	"print_flood": printFlood,
	"host_info":   func(_ abi.RunContext, _ With, h Host) error { return callInto(h, "info", abi.OpHostInfo) },
	"unknown_op":  unknownOp,
	"artifact":    artifact,
	"files":       files,
	"request":     func(_ abi.RunContext, w With, h Host) error { return request(w, h) },
	"spill":       spill,
}

func giveContext(run abi.RunContext, _ With, h Host) error {
	doc, err := run.Encode()
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	return h.Output("context", doc)
}

func logLevels(_ abi.RunContext, w With, h Host) error {
	for l := abi.LevelDebug; l <= abi.LevelError; l++ {
		h.Log(l, w.Message+" "+l.String())
	}
	return nil
}

func logFlood(_ abi.RunContext, w With, h Host) error {
	for range w.Size {
		h.Log(abi.LevelInfo, w.Message)
	}
	return nil
}

func progress(_ abi.RunContext, w With, h Host) error {
	cancelled := h.Progress(500, w.Message)
	return h.Output("cancelled", fmt.Append(nil, cancelled))
}

// patient goes on until it is told to stop, and then claims success.
func patient(_ abi.RunContext, _ With, h Host) error {
	h.Log(abi.LevelInfo, "waiting")
	for !h.Progress(1, "") {
		time.Sleep(time.Millisecond)
	}
	h.Log(abi.LevelInfo, "told to stop")
	_ = h.Output("late", json.RawMessage("true")) // refused or dropped: both are right
	return nil
}

func fail(_ abi.RunContext, w With, h Host) error {
	if err := h.Output("before", json.RawMessage("1")); err != nil {
		return err
	}
	return &End{Kind: w.Kind, Code: w.Code, Message: w.Message, After: time.Duration(w.AfterMS) * time.Millisecond}
}

func exit(_ abi.RunContext, w With, h Host) error {
	if w.Message != "" {
		fmt.Fprintln(os.Stderr, w.Message)
	}
	os.Exit(w.Size)
	return nil
}

// refused sets an output that the host must not take, and says how the host answered.
func refused(h Host, value json.RawMessage) error {
	err := h.Output("bad", value)
	return h.Output("errno", nameOf(err))
}

func nameOf(err error) json.RawMessage {
	name := "ok"
	if err != nil {
		name = "no errno: " + err.Error()
	}
	if e, ok := errors.AsType[abi.Errno](err); ok {
		name = e.Name()
	}
	doc, _ := json.Marshal(name)
	return doc
}

func doPanic(_ abi.RunContext, w With, h Host) error {
	if err := h.Output("before", json.RawMessage("1")); err != nil {
		return err
	}
	panic(w.Message)
}

func sleep(_ abi.RunContext, w With, h Host) error {
	h.Log(abi.LevelInfo, "started")
	time.Sleep(time.Duration(w.AfterMS) * time.Millisecond)
	return nil
}

//go:noinline
func step(n uint64) uint64 { return n*6364136223846793005 + 1 }

// spin never ends; the compiler cannot know.
func spin(_ abi.RunContext, _ With, h Host) error {
	h.Log(abi.LevelInfo, "started")
	for n := uint64(1); ; n = step(n) {
		if n == 0 {
			return errors.New("the generator has no zero")
		}
	}
}

// printFlood writes to standard output until it is stopped or has written as many MiB as asked.
func printFlood(_ abi.RunContext, w With, h Host) error {
	line := []byte(strings.Repeat("x", 64<<10-1) + "\n")
	for range w.Size * 16 {
		if _, err := os.Stdout.Write(line); err != nil {
			return fmt.Errorf("write: %w", err)
		}
	}
	return nil
}

func callInto(h Host, output, op string) error {
	answer, err := h.Call(op, []byte("{}"), nil)
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	return h.Output(output, answer)
}

func unknownOp(_ abi.RunContext, _ With, h Host) error {
	_, err := h.Call("no.such_service", []byte("{}"), nil)
	return h.Output("errno", nameOf(err))
}

// artifact stores bytes by the service, reads them back, and hands on the reference.
func artifact(_ abi.RunContext, w With, h Host) error {
	ref, err := h.Call(abi.OpArtifactPut, []byte(`{"name":"note","type":"text/plain"}`), []byte(w.Message))
	if err != nil {
		return fmt.Errorf("put: %w", err)
	}
	back, err := h.Call(abi.OpArtifactGet, ref, nil)
	if err != nil {
		return fmt.Errorf("get: %w", err)
	}
	text, err := json.Marshal(string(back))
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	return errors.Join(h.Output("ref", ref), h.Output("back", text))
}

// files reads the artifact that with names "value" and writes it to /out in capital letters.
func files(abi.RunContext, With, Host) error {
	text, err := os.ReadFile("/in/value")
	if err != nil {
		return fmt.Errorf("read artifact: %w", err)
	}
	if err := os.WriteFile("/out/loud.txt", []byte(strings.ToUpper(string(text))), 0o600); err != nil {
		return fmt.Errorf("write artifact: %w", err)
	}
	return nil
}
