package flow

import (
	"context"
	"errors"
)

// EndFault returns why ctx ended as the fault of an attempt that was cut off, or nil while ctx lives: a *Fault given as
// cause as it is, a deadline as ReasonTimeout, all else as ReasonRequest. Runtimes of every kind use it, so that they
// agree. The caller may change the returned value.
func EndFault(ctx context.Context) *Fault {
	if ctx.Err() == nil {
		return nil
	}
	cause := context.Cause(ctx)
	if fault, ok := errors.AsType[*Fault](cause); ok {
		own := *fault
		return &own
	}
	if errors.Is(cause, context.DeadlineExceeded) {
		return &Fault{Reason: ReasonTimeout, Message: "the time limit of the attempt was reached", Err: cause}
	}
	return &Fault{Reason: ReasonRequest, Message: "the attempt was cancelled", Err: cause}
}
