package process

import (
	"errors"
	"time"

	"github.com/uniflow-dev/uniflow/sdk/abi"
)

// Ending is an error that says how a function wants to end. Any other error is
// a failure under the step's retry policy.
type Ending struct {
	Kind  abi.Kind
	Code  string        // machine code of the plugin's own, may be empty
	Err   error         // why, for people
	After time.Duration // only for abi.KindRetry: how long to wait, at most abi.MaxRetryAfter
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
func Skip(reason string) error {
	return &Ending{Kind: abi.KindSkip, Err: errors.New(reason)}
}

// Retry ends the step with a transient failure. The wait may be zero: the
// step's retry policy decides then.
func Retry(err error, after time.Duration) error {
	return &Ending{Kind: abi.KindRetry, Err: err, After: after}
}

// Permanent ends the step with a failure that trying again cannot heal.
func Permanent(err error) error {
	return &Ending{Kind: abi.KindPermanent, Err: err}
}

// Fail ends the step with a failure that carries a machine code of the
// plugin's own.
func Fail(code string, err error) error {
	return &Ending{Kind: abi.KindFailed, Code: code, Err: err}
}

// endingOf returns how an attempt ends whose function returned err, not nil.
func endingOf(err error) Ending {
	end := Ending{Kind: abi.KindFailed, Err: err}
	if found, ok := errors.AsType[*Ending](err); ok {
		end = Ending{Kind: found.Kind, Code: found.Code, Err: err, After: found.After}
	}
	if end.Kind == abi.KindOK {
		end.Kind = abi.KindFailed
	}
	return end
}

// Refusal is the answer of a service that said no. It wraps its Errno.
type Refusal struct {
	Errno   abi.Errno
	Code    string
	Message string
	Hint    string
}

// Error returns the message of the service, or the text of the Errno.
func (r *Refusal) Error() string {
	if r.Message == "" {
		return r.Errno.Error()
	}
	return r.Message
}

// Unwrap returns the Errno.
func (r *Refusal) Unwrap() error { return r.Errno }
