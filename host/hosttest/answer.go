package hosttest

import (
	"context"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// answered is the host side of a call whose services are answered by a test.
type answered struct {
	flow.HostCalls

	answer func(op string, request, body []byte) ([]byte, error)
}

// Call implements flow.HostCalls.
func (a answered) Call(_ context.Context, op string, request, body []byte) ([]byte, error) {
	return a.answer(op, request, body)
}
