package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/uniflow-dev/uniflow/sdk/abi"
	"github.com/uniflow-dev/uniflow/sdk/process/proto"
)

// artifactPiece is how much of a file travels in one message.
const artifactPiece = 256 << 10

// Call is one attempt: what a function knows and how it answers. It is valid
// until the function returns, and safe for concurrent use until then.
type Call struct {
	abi.RunContext
	id   string
	host proto.HostClient

	stop     <-chan struct{} // closed when the attempt is to stop
	mu       sync.Mutex      // guards send and attempt
	send     func(*proto.RunEvent) error
	attempt  *abi.Attempt
	artifact sync.Mutex // held while the pieces of one artifact are sent
	fallback io.Writer  // of log lines after cancellation, when the stream is closed
}

// Output sets a named output to v as JSON; the last one of a name wins. The
// error wraps abi.TooLarge over the step's output limit and abi.Invalid for a
// name or a value that is no text or no JSON. A value over 8 MiB must be an
// artifact.
func (c *Call) Output(name string, v any) error {
	value, err := abi.Marshal(v)
	if err != nil {
		return fmt.Errorf("output %q: %w: %w", name, abi.Invalid, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(value) > abi.MaxContext {
		return fmt.Errorf("output %q of %d bytes, at most %d: %w", name, len(value), abi.MaxContext, abi.TooLarge)
	}
	if e := c.attempt.Output(name, value); e != abi.OK {
		return fmt.Errorf("output %q of %d bytes: %w", name, len(value), e)
	}
	return c.send(&proto.RunEvent{Event: &proto.RunEvent_Output{Output: &proto.Output{Name: name, ValueJson: value}}})
}

// Artifact stores what r yields, and sets the output of the same name to its
// reference. mediaType may be empty. When the host cannot keep it, for want of
// room in the limits, the attempt ends.
func (c *Call) Artifact(name, mediaType string, r io.Reader) error {
	if name == "" || len(name) > abi.MaxOutputName || !utf8.ValidString(name) {
		return fmt.Errorf("artifact %q: a name has 1 to %d bytes of UTF-8: %w", name, abi.MaxOutputName, abi.Invalid)
	}
	c.artifact.Lock()
	defer c.artifact.Unlock()
	for end := false; !end; {
		piece := make([]byte, artifactPiece)
		n, err := io.ReadFull(r, piece)
		end = errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !end {
			abort := &proto.Artifact{Name: name, Abort: true}
			_ = c.event(&proto.RunEvent{Event: &proto.RunEvent_Artifact{Artifact: abort}}) // what counts is err
			return fmt.Errorf("artifact %q: %w", name, err)
		}
		event := &proto.Artifact{Name: name, Type: mediaType, Data: piece[:n], End: end}
		if err := c.event(&proto.RunEvent{Event: &proto.RunEvent_Artifact{Artifact: event}}); err != nil {
			return fmt.Errorf("artifact %q: %w", name, err)
		}
	}
	return nil
}

var errOver = errors.New("the attempt is over")

// close ends the use of the stream, for goroutines that the function has left
// behind.
func (c *Call) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.send = func(*proto.RunEvent) error { return errOver }
}

// event sends an event; a stream is for one sender at a time.
func (c *Call) event(e *proto.RunEvent) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.send(e)
}

// Debug logs a line that is formatted as by fmt.Sprintf.
func (c *Call) Debug(format string, args ...any) { c.log(abi.LevelDebug, format, args) }

// Info logs a line that is formatted as by fmt.Sprintf.
func (c *Call) Info(format string, args ...any) { c.log(abi.LevelInfo, format, args) }

// Warn logs a line that is formatted as by fmt.Sprintf.
func (c *Call) Warn(format string, args ...any) { c.log(abi.LevelWarn, format, args) }

// Error logs a line that is formatted as by fmt.Sprintf. It does not end the
// step: return an error for that.
func (c *Call) Error(format string, args ...any) { c.log(abi.LevelError, format, args) }

// log sends a line. Once the attempt is cancelled nothing can be sent, and the
// host still reads standard error until the grace is over.
func (c *Call) log(level abi.Level, format string, args []any) {
	message := abi.ClipMessage(fmt.Sprintf(format, args...))
	if err := c.event(&proto.RunEvent{Event: &proto.RunEvent_Log{Log: &proto.Log{Level: int32(level), Message: message}}}); err != nil {
		fmt.Fprintf(c.fallback, "%s: %s\n", max(level, abi.LevelDebug), message)
	}
}

// Progress says how far the step is, from 0 to 1, and reports whether the
// attempt is being cancelled, as the context of the function does.
func (c *Call) Progress(done float64, message string) (cancelled bool) {
	permille := int32(0)
	if done > 0 { // false for NaN
		permille = int32(min(done, 1) * 1000)
	}
	event := &proto.Progress{Permille: permille, Message: abi.ClipMessage(message)}
	err := c.event(&proto.RunEvent{Event: &proto.RunEvent_Progress{Progress: event}})
	select {
	case <-c.stop:
		return true
	default:
		return err != nil
	}
}

// Services asks the services of the host, each call bounded by ctx.
func (c *Call) Services(ctx context.Context) abi.Services {
	return abi.NewServices(func(op string, request, body []byte) ([]byte, error) {
		return c.CallBytes(ctx, op, request, body)
	})
}

// Call calls a service of the host with request as JSON and stores the
// response in the value that response points to; a nil response is dropped.
// The error wraps an abi.Errno: abi.Denied without a grant, abi.UnknownOp on a
// host that does not offer the service, abi.Cancelled once the attempt is
// being stopped.
func (c *Call) Call(ctx context.Context, op string, request, response any) error {
	return c.Services(ctx).Call(op, request, response)
}

// CallBytes calls a service whose request has a body beside its JSON, or whose
// response is not JSON. The error wraps an abi.Errno.
func (c *Call) CallBytes(ctx context.Context, op string, request, body []byte) ([]byte, error) {
	answer, err := c.host.Call(ctx, &proto.CallRequest{CallId: c.id, Op: op, Request: request, Body: body})
	if err != nil {
		errno := errnoOf(ctx, err)
		return nil, &Refusal{Op: op, Errno: errno, Code: errno.Name(), Message: status.Convert(err).Message()}
	}
	if answer.GetErrno() != 0 {
		return nil, &Refusal{
			Op: op, Errno: abi.Errno(answer.GetErrno()), Code: answer.GetCode(), Message: answer.GetMessage(), Hint: answer.GetHint(),
		}
	}
	return answer.GetResponse(), nil
}

// errnoOf reads the failure of a call that had no answer.
func errnoOf(ctx context.Context, err error) abi.Errno {
	switch status.Code(err) {
	case codes.PermissionDenied:
		return abi.Denied
	case codes.ResourceExhausted:
		return abi.TooLarge
	}
	if ctx.Err() != nil {
		return abi.Cancelled
	}
	return abi.Unavailable
}
