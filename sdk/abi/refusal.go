package abi

import "errors"

// Refusal is the answer of a service that said no. It wraps its Errno.
type Refusal struct {
	Op      string // the operation that was asked for
	Errno   Errno
	Code    string // the name of the Errno, or a finer one
	Message string
	Hint    string // what to do about it, may be empty
}

// Error returns operation and message, or operation and the text of the Errno.
func (r *Refusal) Error() string { return r.Op + ": " + r.text() }

func (r *Refusal) text() string {
	if r.Message == "" {
		return r.Errno.Error()
	}
	return r.Message
}

// Unwrap returns the Errno.
func (r *Refusal) Unwrap() error { return r.Errno }

// RefusalOf returns err as a Refusal of op, whatever kind of error it is; an
// error that wraps no Errno counts as Unavailable.
func RefusalOf(op string, err error) *Refusal {
	if r, ok := errors.AsType[*Refusal](err); ok {
		return r
	}
	if errno, ok := errors.AsType[Errno](err); ok {
		return &Refusal{Op: op, Errno: errno, Code: errno.Name()}
	}
	return &Refusal{Op: op, Errno: Unavailable, Code: Unavailable.Name(), Message: err.Error()}
}

// ending is how a step ends that lets a refusal through: what asking again
// cannot change is permanent.
func (r *Refusal) ending() Ending {
	end := Ending{Kind: KindFailed, Code: r.Errno.Name(), Err: r}
	switch r.Errno {
	case Denied, Invalid, UnknownOp:
		end.Kind = KindPermanent
	}
	return end
}
