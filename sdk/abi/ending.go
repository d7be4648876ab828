package abi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Ending is an error that says how a step wants to end, in every kit alike.
// Any other error that a step returns is a failure under the step's retry
// policy.
type Ending struct {
	Kind  Kind
	Code  string        // machine code of the plugin's own, may be empty
	Err   error         // why, for people
	After time.Duration // only for KindRetry: how long to wait, at most MaxRetryAfter
}

// Error returns the text of Err, or the name of the kind without one.
func (e *Ending) Error() string {
	if e.Err == nil {
		return e.Kind.String()
	}
	return e.Err.Error()
}

// Unwrap returns Err.
func (e *Ending) Unwrap() error { return e.Err }

// Skip ends the step because there is nothing to do. Its outputs are kept and
// the run can still succeed.
func Skip(reason string) error { return &Ending{Kind: KindSkip, Err: errors.New(reason)} }

// Retry ends the step with a transient failure. The wait may be zero: the
// step's retry policy decides then.
func Retry(err error, after time.Duration) error {
	return &Ending{Kind: KindRetry, Err: err, After: after}
}

// Permanent ends the step with a failure that trying again cannot heal.
func Permanent(err error) error { return &Ending{Kind: KindPermanent, Err: err} }

// Fail ends the step with a failure that carries a machine code of the
// plugin's own.
func Fail(code string, err error) error { return &Ending{Kind: KindFailed, Code: code, Err: err} }

// EndingOf returns how a step ends that returned err, which is not nil: the
// Ending in its chain, with all of its text; else that of a Refusal, which is
// permanent where asking again cannot help; else a plain failure. An error
// never ends a step well.
func EndingOf(err error) Ending {
	end := Ending{Kind: KindFailed, Err: err}
	if refusal, ok := errors.AsType[*Refusal](err); ok {
		end = refusal.ending()
		end.Err = err
	}
	if found, ok := errors.AsType[*Ending](err); ok {
		end = Ending{Kind: found.Kind, Code: found.Code, Err: err, After: found.After}
	}
	if end.Kind == KindOK {
		end.Kind = KindFailed
	}
	return end
}

// DecodeContext stores what the caller gave the run in the value v points to,
// as json.Unmarshal does. What does not fit is a permanent failure: the same
// input cannot fit better the next time.
func (r *RunContext) DecodeContext(v any) error { return decodeInput("context", r.Context, v) }

// DecodeWith is DecodeContext for the inputs of the step.
func (r *RunContext) DecodeWith(v any) error { return decodeInput("with", r.With, v) }

// DecodeItem is DecodeContext for the element of a fan-out. Outside a fan-out
// it fails.
func (r *RunContext) DecodeItem(v any) error {
	if r.ItemIndex == nil {
		return Permanent(fmt.Errorf("step %s has no item: it is not called with each", r.Step))
	}
	return decodeInput("item", r.Item, v)
}

func decodeInput(what string, doc json.RawMessage, v any) error {
	if len(doc) == 0 {
		doc = json.RawMessage("null")
	}
	if err := json.Unmarshal(doc, v); err != nil {
		return Permanent(fmt.Errorf("%s does not have the expected shape: %w", what, err))
	}
	return nil
}

// Marshal is json.Marshal without the escapes that only HTML needs.
func Marshal(v any) ([]byte, error) {
	if raw, ok := v.(json.RawMessage); ok {
		return raw, nil
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("marshal: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
