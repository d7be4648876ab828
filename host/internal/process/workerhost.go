package process

import (
	"context"
	"encoding/json"
	"errors"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/process/workerproto"
	"github.com/uniflow-dev/uniflow/sdk/abi"
)

// workerHost answers what a worker alone may ask, for the attempt that it serves at the time.
type workerHost struct {
	workerproto.UnimplementedHostServer

	services *services
}

// Events implements workerproto.HostServer.
func (h *workerHost) Events(stream grpc.ClientStreamingServer[workerproto.EventBatch, workerproto.EventsResponse]) error {
	for {
		batch, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return stream.SendAndClose(&workerproto.EventsResponse{})
		}
		if err != nil {
			return err
		}
		a := h.services.enter(batch.GetCallId())
		if a == nil {
			return errForeignCall
		}
		for _, e := range batch.GetEvents() {
			a.event(e)
		}
		a.calls.Done()
	}
}

// event tells the host of a line or a heartbeat.
func (a *attempt) event(e *workerproto.Event) {
	if e.Permille != nil {
		a.host.Progress(int(min(max(e.GetPermille(), 0), 1000)), abi.ClipMessage(string(e.GetMessage())))
		return
	}
	message := string(e.GetMessage())
	a.host.Log(min(max(flow.LogLevel(e.GetLevel()), flow.LogTrace), flow.LogError), message[:min(len(message), abi.MaxMessage)])
}

// Artifact implements workerproto.HostServer.
func (h *workerHost) Artifact(stream grpc.ClientStreamingServer[workerproto.ArtifactPiece, workerproto.ArtifactResponse]) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	a := h.services.enter(first.GetCallId())
	if a == nil {
		return errForeignCall
	}
	defer a.calls.Done()
	ctx, cancel := a.during(stream.Context())
	defer cancel()
	pieces := &incoming{rest: first.GetData(), next: stream.Recv}
	ref, err := a.host.Artifact(ctx, first.GetName(), first.GetType(), untilDone{ctx, pieces})
	if err != nil {
		return stream.SendAndClose(&workerproto.ArtifactResponse{Refusal: workerRefusal(ctx, err)})
	}
	doc, err := json.Marshal(ref)
	if err != nil {
		return status.Error(codes.Internal, err.Error())
	}
	return stream.SendAndClose(&workerproto.ArtifactResponse{RefJson: doc})
}

// during returns a context that ends with the attempt and with a call of the worker.
func (a *attempt) during(call context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(a.serviceCtx)
	unhook := context.AfterFunc(call, cancel)
	return ctx, func() {
		unhook()
		cancel()
	}
}

// workerRefusal is refusal in the words of the worker's contract.
func workerRefusal(ctx context.Context, err error) *workerproto.Refusal {
	r := refusal(ctx, err)
	return &workerproto.Refusal{Errno: r.GetErrno(), Code: r.GetCode(), Message: r.GetMessage(), Hint: r.GetHint()}
}

// incoming reads an artifact that comes in pieces.
type incoming struct {
	rest []byte
	next func() (*workerproto.ArtifactPiece, error)
}

func (i *incoming) Read(p []byte) (int, error) {
	for len(i.rest) == 0 {
		piece, err := i.next()
		if err != nil {
			return 0, err // io.EOF at the end
		}
		i.rest = piece.GetData()
	}
	n := copy(p, i.rest)
	i.rest = i.rest[n:]
	return n, nil
}

// Open implements workerproto.HostServer.
func (h *workerHost) Open(req *workerproto.OpenRequest, stream grpc.ServerStreamingServer[workerproto.OpenPiece]) error {
	a := h.services.enter(req.GetCallId())
	if a == nil {
		return errForeignCall
	}
	defer a.calls.Done()
	ctx, cancel := a.during(stream.Context())
	defer cancel()
	var ref flow.ArtifactRef
	if err := json.Unmarshal(req.GetRefJson(), &ref); err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	from, err := a.host.Open(ctx, ref)
	if err != nil {
		return stream.Send(&workerproto.OpenPiece{Refusal: workerRefusal(ctx, err)})
	}
	defer from.Close()
	for buffer := make([]byte, piece); ; {
		n, err := io.ReadFull(untilDone{ctx, from}, buffer)
		if n > 0 {
			if err := stream.Send(&workerproto.OpenPiece{Data: buffer[:n]}); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return nil
		case err != nil:
			return stream.Send(&workerproto.OpenPiece{Refusal: workerRefusal(ctx, err)})
		}
	}
}
