// Package abitest reads the golden vectors of the contract, so that the host's
// runtimes and every kit run the same files. It holds no expectation of its
// own: those are in sdk/abi/testdata.
package abitest

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/uniflow-dev/uniflow/sdk/abi"
)

// Bytes is a byte string of a vector: a JSON string, an object
// {"base64": "..."} for what is not UTF-8, or a list of [text, times] pairs
// for what is too long to write out.
type Bytes []byte

// UnmarshalJSON implements json.Unmarshaler.
func (b *Bytes) UnmarshalJSON(doc []byte) error {
	switch doc[0] {
	case '"':
		var s string
		err := json.Unmarshal(doc, &s)
		*b = Bytes(s)
		return err
	case '{':
		var v struct {
			Base64 []byte `json:"base64"`
		}
		err := json.Unmarshal(doc, &v)
		*b = v.Base64
		return err
	}
	var parts [][2]any
	if err := json.Unmarshal(doc, &parts); err != nil {
		return err
	}
	for _, p := range parts {
		text, isText := p[0].(string)
		times, isNumber := p[1].(float64)
		if !isText || !isNumber {
			return fmt.Errorf("want [text, times], got %v", p)
		}
		*b = append(*b, strings.Repeat(text, int(times))...)
	}
	return nil
}

// Verdict is an expected abi.Verdict.
type Verdict struct {
	Kind         string `json:"kind"`
	Code         string `json:"code"`
	Message      string `json:"message"`
	RetryAfterMS int64  `json:"retry_after_ms"`
}

// Of returns v in the form of the vectors.
func Of(v abi.Verdict) Verdict {
	return Verdict{Kind: v.Kind.String(), Code: v.Code, Message: v.Message, RetryAfterMS: int64(v.RetryAfter / time.Millisecond)}
}

// AttemptCase is one vector of attempt.json: the calls of a guest in order and
// how the attempt ends.
type AttemptCase struct {
	Name    string                     `json:"name"`
	Limits  AttemptLimits              `json:"limits"`
	Calls   []AttemptCall              `json:"calls"`
	Return  int32                      `json:"return"`
	Verdict Verdict                    `json:"verdict"`
	Outputs map[string]json.RawMessage `json:"outputs"`
}

// AttemptLimits are the limits that an AttemptCase runs under; zero means the
// limit of the contract.
type AttemptLimits struct {
	OutputBytes int `json:"output_bytes"`
	Outputs     int `json:"outputs"`
}

// AttemptCall is one host call: Do is "output" or "fail". With Times over 1
// the call is made so often, and "%d" in Key counts from 0.
type AttemptCall struct {
	Do    string `json:"do"`
	Key   Bytes  `json:"key"`   // name of the output
	Value Bytes  `json:"value"` // JSON of the output
	Kind  int32  `json:"kind"`
	Text  Bytes  `json:"text"` // message of the fail
	Times int    `json:"times"`
	Errno string `json:"errno"`
}

// StdoutCase is one vector of stdout.json. Error is empty, "not_utf8" or the
// name of an Errno.
type StdoutCase struct {
	Name    string                     `json:"name"`
	Mode    abi.StdoutMode             `json:"mode"`
	Stdout  Bytes                      `json:"stdout"`
	Outputs map[string]json.RawMessage `json:"outputs"`
	Error   string                     `json:"error"`
}

// StderrCase is one vector of stderr.json.
type StderrCase struct {
	Name    string                     `json:"name"`
	Line    Bytes                      `json:"line"`
	Level   string                     `json:"level"`
	Message string                     `json:"message"`
	Fields  map[string]json.RawMessage `json:"fields"`
}

// ExitCase is one vector of exit.json.
type ExitCase struct {
	Name    string  `json:"name"`
	Code    uint32  `json:"code"`
	Stderr  Bytes   `json:"stderr"` // its last line
	Verdict Verdict `json:"verdict"`
}

// ContextCase is one vector of context.json: a document and what a reader must
// find in it. Error is empty or the name of an Errno; Encoded is empty or the
// document that writing it again gives.
type ContextCase struct {
	Name     string          `json:"name"`
	Document json.RawMessage `json:"document"`
	Error    string          `json:"error"`
	Encoded  json.RawMessage `json:"encoded"`
}

// KitCase is one vector of conformance.json: what the conformance program of a
// kit is given, what it must ask the host for, and how it must end.
type KitCase struct {
	Name      string          `json:"name"`
	With      json.RawMessage `json:"with"`    // an object, or Bytes that hold its text
	Context   json.RawMessage `json:"context"` // an object
	Item      json.RawMessage `json:"item"`
	ItemIndex *int            `json:"item_index"`
	Calls     []KitCall       `json:"calls"`
	Verdict   Verdict         `json:"verdict"` // the zero Verdict stands for ok; a permanent one without message for any message
	// Outputs are compared as JSON, Raw byte for byte; those in Ignore not at all.
	Outputs  map[string]json.RawMessage `json:"outputs"`
	Raw      map[string]Bytes           `json:"raw"`
	Ignore   []string                   `json:"ignore"`
	Logs     []KitLog                   `json:"logs"` // nil: not looked at
	Progress []int                      `json:"progress"`
}

// KitLog is a line that a program logs.
type KitLog struct {
	Level   string `json:"level"`
	Message string `json:"message"`
}

// KitCall is one request to a service and its answer: Response, Bytes or
// Error.
type KitCall struct {
	Op       string          `json:"op"`
	Request  json.RawMessage `json:"request"`
	Body     Bytes           `json:"body"`
	Response json.RawMessage `json:"response"`
	Bytes    Bytes           `json:"bytes"`
	Error    *KitError       `json:"error"`
}

// KitError is the refusal of a service; Errno is its name.
type KitError struct {
	Errno   string `json:"errno"`
	Message string `json:"message"`
	Hint    string `json:"hint"`
}

// Load reads the vectors of one file of the folder dir, the caller's path to
// sdk/abi/testdata. A file without vectors fails the test.
func Load[T any](tb testing.TB, dir, file string) []T {
	tb.Helper()
	doc, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		tb.Fatal(err)
	}
	var cases []T
	if err := json.Unmarshal(doc, &cases); err != nil {
		tb.Fatalf("%s: %v", file, err)
	}
	if len(cases) == 0 {
		tb.Fatalf("%s holds no vectors", file)
	}
	return cases
}
