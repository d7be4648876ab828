// Package connect connects the behaviours of the conformance suite to the Go kit.
package connect

import (
	"encoding/json"
	"errors"

	"github.com/uniflow-dev/uniflow/host/internal/plugintest/guest"
	uniflow "github.com/uniflow-dev/uniflow/sdk"
	"github.com/uniflow-dev/uniflow/sdk/abi"
)

// Step does what the run context asks for.
func Step(c *uniflow.Context) error {
	err := guest.Behave(c.RunContext, host{c})
	if end, ok := errors.AsType[*guest.End](err); ok {
		return &uniflow.Ending{Kind: end.Kind, Code: end.Code, Err: errors.New(end.Message), After: end.After}
	}
	return err
}

type host struct{ c *uniflow.Context }

func (h host) Output(name string, value json.RawMessage) error {
	if !json.Valid(value) {
		return outputRaw(name, value)
	}
	return h.c.Output(name, value)
}

func (h host) Log(level abi.Level, message string) {
	switch level {
	case abi.LevelDebug:
		h.c.Debug("%s", message)
	case abi.LevelWarn:
		h.c.Warn("%s", message)
	case abi.LevelError:
		h.c.Error("%s", message)
	default:
		h.c.Info("%s", message)
	}
}

func (h host) Progress(permille int, message string) bool {
	return h.c.Progress(float64(permille)/1000, message)
}

func (h host) Call(op string, request, body []byte) ([]byte, error) {
	return h.c.CallBytes(op, request, body)
}
