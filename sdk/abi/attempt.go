package abi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Limits bounds what one attempt may hand over. A zero field means the limit
// of the contract.
type Limits struct {
	OutputBytes int // all output values together; defaults to MaxOutput
	Outputs     int // number of outputs; defaults to MaxOutputs
}

// Attempt keeps what a guest hands over during one attempt and settles how it
// ended. Every runtime of the host and the authors' test harness use it, so
// that they agree. It copies what it keeps, and is not for concurrent use.
type Attempt struct {
	limits  Limits
	outputs map[string]json.RawMessage
	bytes   int
	failed  *Verdict
}

// Verdict is how an attempt ended by the guest's own word.
type Verdict struct {
	Kind       Kind
	Code       string        // machine code of the plugin's own, may be empty
	Message    string        // for people
	RetryAfter time.Duration // only for KindRetry; zero leaves the wait to the policy
}

// NewAttempt returns an empty attempt.
func NewAttempt(limits Limits) *Attempt {
	if limits.OutputBytes <= 0 {
		limits.OutputBytes = MaxOutput
	}
	if limits.Outputs <= 0 {
		limits.Outputs = MaxOutputs
	}
	return &Attempt{limits: limits, outputs: map[string]json.RawMessage{}}
}

// Output sets a named output to a JSON value; the last write to a name wins.
// It answers Invalid for a name that is empty or not UTF-8 and for a value
// that CheckJSON refuses, and TooLarge over a limit. A refused output changes
// nothing.
func (a *Attempt) Output(name string, value []byte) Errno {
	if name == "" || !utf8.ValidString(name) {
		return Invalid
	}
	if len(name) > MaxOutputName {
		return TooLarge
	}
	old, exists := a.outputs[name]
	total := a.bytes - len(old) + len(value)
	if total > a.limits.OutputBytes || (!exists && len(a.outputs) >= a.limits.Outputs) {
		return TooLarge
	}
	if e := CheckJSON(value); e != OK {
		return e
	}
	a.outputs[name] = bytes.Clone(value)
	a.bytes = total
	return OK
}

// Stdout adds the outputs that OutputsOfStdout finds, all of them or none.
// Names that the guest has set by Output keep their value. The error wraps an
// Errno.
func (a *Attempt) Stdout(stdout []byte, mode StdoutMode) error {
	found, err := OutputsOfStdout(stdout, mode)
	if err != nil {
		return err
	}
	merged := &Attempt{limits: a.limits, outputs: maps.Clone(a.outputs), bytes: a.bytes}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		if _, set := a.outputs[name]; set {
			continue
		}
		if e := merged.Output(name, found[name]); e != OK {
			return fmt.Errorf("stdout: output %q: %w", name, e)
		}
	}
	a.outputs, a.bytes = merged.outputs, merged.bytes
	return nil
}

// Fail records why the attempt does not succeed; the last one wins. The
// message is text, or a JSON object with code, message and retry_after_ms. A
// kind that this version does not know counts as KindFailed. It answers
// Invalid for a message that is not UTF-8 and TooLarge for one over MaxMessage
// bytes; a refused call changes nothing.
func (a *Attempt) Fail(kind Kind, msg []byte) Errno {
	if len(msg) > MaxMessage {
		return TooLarge
	}
	if !utf8.Valid(msg) {
		return Invalid
	}
	kind = kind.known()
	if kind == KindOK {
		kind = KindFailed
	}
	v := parseFail(string(msg))
	v.Kind = kind
	if kind != KindRetry {
		v.RetryAfter = 0
	}
	a.failed = &v
	return OK
}

// Settle returns the verdict for the return value of an entry. A recorded Fail
// decides over it.
func (a *Attempt) Settle(ret int32) Verdict {
	if a.failed != nil {
		return *a.failed
	}
	if ret == 0 {
		return Verdict{}
	}
	kind := Kind(ret).known()
	return Verdict{Kind: kind, Message: fmt.Sprintf("returned %d (%s) without a reason", ret, kind)}
}

// SettleExit returns the verdict for the exit of a command. A recorded Fail
// decides over the exit code.
func (a *Attempt) SettleExit(code uint32, lastStderrLine string) Verdict {
	if a.failed != nil {
		return *a.failed
	}
	return VerdictOfExit(code, lastStderrLine)
}

// Outputs returns the outputs that were set. The caller may keep the map; the
// attempt must not be used after that.
func (a *Attempt) Outputs() map[string]json.RawMessage { return a.outputs }

// parseFail reads the message of a Fail. What is no JSON object with at least
// one known member of the right type is the text itself.
func parseFail(msg string) Verdict {
	text := Verdict{Message: msg}
	if !strings.HasPrefix(strings.TrimSpace(msg), "{") || CheckJSON([]byte(msg)) != OK {
		return text
	}
	var doc struct {
		Code         string  `json:"code"`
		Message      string  `json:"message"`
		RetryAfterMS float64 `json:"retry_after_ms"`
	}
	if json.Unmarshal([]byte(msg), &doc) != nil {
		return text
	}
	v := Verdict{Code: doc.Code, Message: doc.Message}
	if ms := min(doc.RetryAfterMS, float64(MaxRetryAfter/time.Millisecond)); ms > 0 {
		v.RetryAfter = time.Duration(ms * float64(time.Millisecond))
	}
	if v == (Verdict{}) {
		return text
	}
	return v
}
