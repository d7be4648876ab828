package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/process/workerproto"
	"github.com/uniflow-dev/uniflow/sdk/abi"
	"github.com/uniflow-dev/uniflow/sdk/process/proto"
)

// piece is how much of an artifact travels in one message.
const piece = 256 << 10

// remote is the flow.HostCalls of an attempt inside a worker: it carries everything to the host.
type remote struct {
	ctx    context.Context //nolint:containedctx // the attempt's, as the real services hold it
	id     string
	host   *hostClient
	events *outbox
}

var _ flow.HostCalls = (*remote)(nil)

func newRemote(ctx context.Context, id string, host *hostClient, limits flow.Limits) *remote {
	return &remote{ctx: ctx, id: id, host: host, events: newOutbox(id, host.more, int64(limits.Log))}
}

// Log implements flow.HostCalls.
func (r *remote) Log(level flow.LogLevel, message string) {
	r.events.log(int32(level), message)
}

// Progress implements flow.HostCalls.
func (r *remote) Progress(permille int, message string) (cancelled bool) {
	n := int32(min(max(permille, 0), 1000))
	r.events.add(&workerproto.Event{Permille: &n, Message: []byte(message)})
	return r.ctx.Err() != nil
}

// Call implements flow.HostCalls.
func (r *remote) Call(ctx context.Context, op string, request, body []byte) ([]byte, error) {
	answer, err := r.host.services.Call(ctx, &proto.CallRequest{CallId: r.id, Op: op, Request: request, Body: body})
	if err != nil {
		return nil, transportError(err)
	}
	if answer.GetErrno() != 0 {
		return nil, &flow.ServiceError{Errno: int(answer.GetErrno()), Code: answer.GetCode(), Message: answer.GetMessage(), Hint: answer.GetHint()}
	}
	return answer.GetResponse(), nil
}

// transportError is the error of a call that had no answer.
func transportError(err error) error {
	switch status.Code(err) {
	case codes.Canceled, codes.DeadlineExceeded:
		return fmt.Errorf("%w: %w", abi.Cancelled, err)
	case codes.ResourceExhausted:
		return fmt.Errorf("%w: %w", flow.ErrTooLarge, err)
	}
	return fmt.Errorf("%w: %w", abi.Unavailable, err)
}

// refused makes an error of a refusal, so that callers tell the same ones apart as beside the host.
func refused(r *workerproto.Refusal) error {
	switch abi.Errno(r.GetErrno()) {
	case abi.OK:
		return nil
	case abi.TooLarge:
		return flow.ErrTooLarge
	case abi.NotFound:
		return flow.ErrNotFound
	}
	return &flow.ServiceError{Errno: int(r.GetErrno()), Code: r.GetCode(), Message: r.GetMessage(), Hint: r.GetHint()}
}

// Artifact implements flow.HostCalls.
func (r *remote) Artifact(ctx context.Context, name, mediaType string, from io.Reader) (flow.ArtifactRef, error) {
	ctx, cancel := context.WithCancel(ctx) // drops an artifact that is not completed
	defer cancel()
	stream, err := r.host.more.Artifact(ctx)
	if err != nil {
		return flow.ArtifactRef{}, transportError(err)
	}
	if err := r.pieces(stream, name, mediaType, from); err != nil {
		return flow.ArtifactRef{}, err
	}
	answer, err := stream.CloseAndRecv()
	if err != nil {
		return flow.ArtifactRef{}, transportError(err)
	}
	var ref flow.ArtifactRef
	if err := refused(answer.GetRefusal()); err != nil {
		return ref, err
	}
	if err := json.Unmarshal(answer.GetRefJson(), &ref); err != nil {
		return ref, fmt.Errorf("the reference of artifact %q: %w", name, err)
	}
	return ref, nil
}

// pieces sends what the reader yields. A host that has heard enough ends the stream, and says why in its answer.
func (r *remote) pieces(stream grpc.ClientStreamingClient[workerproto.ArtifactPiece, workerproto.ArtifactResponse], name, mediaType string, from io.Reader) error {
	head := &workerproto.ArtifactPiece{CallId: r.id, Name: name, Type: mediaType}
	buffer := make([]byte, piece)
	for {
		n, err := io.ReadFull(from, buffer)
		end := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !end {
			return err
		}
		head.Data = buffer[:n]
		if stream.Send(head) != nil || end {
			return nil //nolint:nilerr // the end of what is read is no error
		}
		head = &workerproto.ArtifactPiece{}
	}
}

// Open implements flow.HostCalls.
func (r *remote) Open(ctx context.Context, ref flow.ArtifactRef) (io.ReadCloser, error) {
	doc, err := json.Marshal(ref)
	if err != nil {
		return nil, fmt.Errorf("the reference of an artifact: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	stream, err := r.host.more.Open(ctx, &workerproto.OpenRequest{CallId: r.id, RefJson: doc})
	if err != nil {
		cancel()
		return nil, transportError(err)
	}
	o := &opened{stream: stream, cancel: cancel}
	if err := o.next(); err != nil && !errors.Is(err, io.EOF) {
		cancel()
		return nil, err
	}
	return o, nil
}

// opened reads an artifact that comes in pieces.
type opened struct {
	stream grpc.ServerStreamingClient[workerproto.OpenPiece]
	cancel context.CancelFunc
	rest   []byte
	err    error
}

// next takes the next piece.
func (o *opened) next() error {
	var p *workerproto.OpenPiece
	if p, o.err = o.stream.Recv(); o.err == nil {
		o.err = refused(p.GetRefusal())
	} else if !errors.Is(o.err, io.EOF) {
		o.err = transportError(o.err)
	}
	o.rest = p.GetData()
	return o.err
}

// Read implements io.Reader.
func (o *opened) Read(p []byte) (int, error) {
	for len(o.rest) == 0 {
		if o.err != nil {
			return 0, o.err
		}
		_ = o.next() // it is kept
	}
	n := copy(p, o.rest)
	o.rest = o.rest[n:]
	return n, nil
}

// Close implements io.Closer.
func (o *opened) Close() error {
	o.cancel()
	return nil
}
