// Package uniflow is the Go kit for steps that run as WebAssembly: a step is a
// function of a Context, and this package connects it to the host.
//
// A command is an ordinary program, built with GOOS=wasip1 GOARCH=wasm:
//
//	func main() { uniflow.Main(step) }
//
// A reactor is a library with named entries, built with -buildmode=c-shared
// too. It exports the marker of the contract and one function per entry:
//
//	//go:wasmexport uniflow_abi_v1
//	func Marker() {}
//
//	//go:wasmexport summarise
//	func Summarise() int32 { return uniflow.Handle(summarise) }
//
//	func main() {}
//
// On any other system the package compiles as well: a command then reads the
// run context from stdin and prints its outputs, and package sdktest runs a
// step inside a Go test. The package holds no state and starts no goroutines.
package uniflow

import (
	"fmt"

	"github.com/uniflow-dev/uniflow/sdk/abi"
)

// Host is what a step reaches through its Context. The kit implements it for
// the sandbox, package sdktest for tests; steps do not use it themselves.
type Host interface {
	// Output sets a named output to a JSON value. The error is an abi.Errno.
	Output(name string, value []byte) error
	// Log keeps a line; the host may drop lines over its limit.
	Log(level abi.Level, message string)
	// Fail records why the step does not succeed.
	Fail(kind abi.Kind, message []byte)
	// Progress says how far the step is, in thousandths, and reports whether
	// the attempt is being cancelled.
	Progress(permille int, message string) (cancelled bool)
	// Call calls a service. body is the part of the request that is not JSON;
	// it may be nil. The error wraps an abi.Errno.
	Call(op string, request, body []byte) (response []byte, err error)
}

// Context is what a step knows and how it answers. It is valid until the step
// returns and is not for concurrent use.
type Context struct {
	abi.RunContext
	abi.Services
	host Host
}

// HTTPRequest is a request that the host makes for the step.
type HTTPRequest = abi.HTTPRequest

// HTTPResponse is the answer to one.
type HTTPResponse = abi.HTTPResponse

// Event is something that happened, for whoever reads the ledger.
type Event = abi.Event

// ArtifactRef stands in JSON for bytes that are too large for it.
type ArtifactRef = abi.ArtifactRef

// Output sets a named output to v as JSON; the last one of a name wins. The
// error wraps abi.TooLarge over the step's output limit and abi.Invalid for a
// name or a value that is no text or no JSON.
func (c *Context) Output(name string, v any) error {
	value, err := abi.Marshal(v)
	if err != nil {
		return fmt.Errorf("output %q: %w", name, err)
	}
	if err := c.host.Output(name, value); err != nil {
		return fmt.Errorf("output %q of %d bytes: %w", name, len(value), err)
	}
	return nil
}

// Debug logs a line that is formatted as by fmt.Sprintf.
func (c *Context) Debug(format string, args ...any) { c.log(abi.LevelDebug, format, args) }

// Info logs a line that is formatted as by fmt.Sprintf.
func (c *Context) Info(format string, args ...any) { c.log(abi.LevelInfo, format, args) }

// Warn logs a line that is formatted as by fmt.Sprintf.
func (c *Context) Warn(format string, args ...any) { c.log(abi.LevelWarn, format, args) }

// Error logs a line that is formatted as by fmt.Sprintf. It does not end the
// step: return an error for that.
func (c *Context) Error(format string, args ...any) { c.log(abi.LevelError, format, args) }

func (c *Context) log(level abi.Level, format string, args []any) {
	c.host.Log(level, abi.ClipMessage(fmt.Sprintf(format, args...)))
}

// Progress says how far the step is, from 0 to 1, and reports whether the
// attempt is being cancelled. A long step calls it now and then, and returns
// when it reports true.
func (c *Context) Progress(done float64, message string) (cancelled bool) {
	permille := 0
	if done > 0 { // false for NaN
		permille = int(min(done, 1) * 1000)
	}
	return c.host.Progress(permille, abi.ClipMessage(message))
}
