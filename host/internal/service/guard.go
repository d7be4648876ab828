package service

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/secret"
	"github.com/uniflow-dev/uniflow/sdk/abi"
)

// Guard returns the module with a last look at what it answers: no secret of the attempt is in outputs, in their names or
// in what is said of its end. It knows the secrets by the host side that Open returned.
func Guard(m flow.Module) flow.Module { return &guarded{m} }

type guarded struct{ module flow.Module }

// Call implements flow.Module.
func (g *guarded) Call(ctx context.Context, call flow.Call, calls flow.HostCalls) (flow.Result, error) {
	result, err := g.module.Call(ctx, call, calls)
	h, ok := within(calls)
	if !ok {
		return result, err
	}
	veil := &h.vault.all
	if fault, ok := errors.AsType[*flow.Fault](err); ok {
		if message, hint := veil.Text(fault.Message), veil.Text(fault.Hint); message != fault.Message || hint != fault.Hint {
			err = &flow.Fault{Reason: fault.Reason, Message: message, Hint: hint, Usage: fault.Usage} // its cause may say it, too
		}
	}
	result.Code, result.Message = veil.Text(result.Code), veil.Text(result.Message)
	result.Outputs = maskedOutputs(veil, result.Outputs)
	return result, err
}

// within finds the host side behind what stands before it: Within() of tests.
func within(calls flow.HostCalls) (*host, bool) {
	for {
		switch x := calls.(type) {
		case *host:
			return x, true
		case interface{ Within() flow.HostCalls }:
			calls = x.Within()
		default:
			return nil, false
		}
	}
}

// maskedOutputs is the outputs without secrets in names and values; what holds none stays as it is.
func maskedOutputs(veil *secret.Veil, outputs map[string]json.RawMessage) map[string]json.RawMessage {
	if outputs == nil {
		return nil
	}
	out := make(map[string]json.RawMessage, len(outputs))
	for name, value := range outputs {
		out[veil.Text(name)] = veil.JSON(value)
	}
	return out
}

// recorded is a request without secrets, if what it says is kept.
func (h *host) recorded(op string, request []byte) []byte {
	switch op {
	case abi.OpStateSet, abi.OpStateDelete, abi.OpStateGet, abi.OpEventEmit:
		return h.vault.all.JSON(request)
	}
	return request
}

// refused is an error without secrets, as the guest may see it.
func (h *host) refused(err error) error {
	if e, ok := errors.AsType[*flow.ServiceError](err); ok {
		return &flow.ServiceError{Errno: e.Errno, Code: e.Code, Message: h.vault.all.Text(e.Message), Hint: h.vault.all.Text(e.Hint)}
	}
	return err
}
