package process

import (
	"context"
	"fmt"
	"runtime/debug"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/uniflow-dev/uniflow/sdk/abi"
	"github.com/uniflow-dev/uniflow/sdk/process/proto"
)

// Describe implements proto.PluginServer.
func (s *server) Describe(context.Context, *proto.DescribeRequest) (*proto.DescribeResponse, error) {
	s.redirectPrinting()
	doc, err := abi.Marshal(s.plugin.Descriptor)
	if err != nil {
		return nil, status.Errorf(codes.Internal, "descriptor: %v", err)
	}
	return &proto.DescribeResponse{DescriptorJson: doc}, nil
}

// Run implements proto.PluginServer: one attempt.
func (s *server) Run(req *proto.RunRequest, stream grpc.ServerStreamingServer[proto.RunEvent]) error {
	s.redirectPrinting()
	ctx := stream.Context()
	host, err := s.connect(req.GetHostBrokerId())
	if err != nil {
		return status.Error(codes.Unavailable, err.Error())
	}
	call := &Call{
		id: req.GetCallId(), host: host, stop: ctx.Done(), send: stream.Send, fallback: s.stderr,
		attempt: abi.NewAttempt(abi.Limits{OutputBytes: int(req.GetOutputBytes())}),
	}
	done := s.attempt(ctx, call, req.GetContextJson())
	call.close()
	_, err = fmt.Fprintf(s.stderr, "\n%s\n", StderrMark(call.id))
	done.StderrMarked = err == nil
	return stream.Send(&proto.RunEvent{Event: &proto.RunEvent_Done{Done: done}})
}

// attempt calls the function and returns how it ended.
func (s *server) attempt(ctx context.Context, call *Call, doc []byte) (done *proto.Done) {
	run, err := abi.DecodeRunContext(doc)
	if err != nil {
		return doneOf(Permanent(err))
	}
	f, err := s.find(run.Function)
	if err != nil {
		return doneOf(err)
	}
	call.RunContext = run
	defer func() {
		if v := recover(); v != nil {
			fmt.Fprintf(s.stderr, "error: panic: %v\n%s", v, debug.Stack())
			done = doneOf(fmt.Errorf("%v", v))
			done.Panicked = true
		}
	}()
	return doneOf(f(ctx, call))
}

// doneOf returns the last event for what a function returned.
func doneOf(err error) *proto.Done {
	if err == nil {
		return &proto.Done{}
	}
	end := abi.EndingOf(err)
	return &proto.Done{
		Kind: int32(end.Kind), Code: abi.ClipMessage(end.Code), Message: abi.ClipMessage(end.Error()),
		RetryAfterMs: max(end.After.Milliseconds(), 0),
	}
}
