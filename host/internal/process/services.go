package process

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/process/workerproto"
	"github.com/uniflow-dev/uniflow/sdk/abi"
	"github.com/uniflow-dev/uniflow/sdk/process/proto"
)

// parallelCalls bounds the calls of a process that are answered at one time, and with MaxWireMessage the memory that
// they take; others wait in the process.
const parallelCalls = 8

// services answers the calls of one process over one connection, for the attempt that it serves at the time. The zero
// services answers nobody.
type services struct {
	proto.UnimplementedHostServer

	most   int  // bytes of a message
	worker bool // whether the process is a worker, which has more to say

	serving sync.WaitGroup
	mu      sync.Mutex
	broker  *plugin.GRPCBroker
	tls     *tls.Config
	id      uint32 // of the broker; 0 until the first attempt
	server  *grpc.Server
	stopped bool
	current *attempt
}

// reachBy sets by what the process reaches the services, and by which certificates both sides know each other.
func (s *services) reachBy(broker *plugin.GRPCBroker, certificates *tls.Config) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broker, s.tls = broker, certificates
}

// begin lets the calls of an attempt in and returns where the plugin finds the services. They are offered at the first
// attempt and not before, because go-plugin withdraws an offer that is not taken within five seconds.
func (s *services) begin(a *attempt) (brokerID uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current = a
	if s.server != nil || s.stopped {
		return s.id
	}
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(s.tls)), grpc.MaxConcurrentStreams(parallelCalls),
		grpc.MaxRecvMsgSize(s.most), grpc.MaxSendMsgSize(s.most))
	proto.RegisterHostServer(server, s)
	if s.worker {
		workerproto.RegisterHostServer(server, &workerHost{services: s})
	}
	id := s.broker.NextId()
	s.server, s.id = server, id
	s.serving.Go(func() {
		if listener, err := s.broker.Accept(id); err == nil {
			_ = server.Serve(&single{Listener: listener, closed: make(chan struct{})})
		} // else the connection to the process has ended, which the attempt learns by itself
	})
	return id
}

// end lets no further call of the attempt in. Calls that are in flight go on until their context ends.
func (s *services) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current = nil
}

// stop closes the connection. An attempt that begins after it finds a dead process.
func (s *services) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	if s.server != nil {
		s.server.Stop()
	}
}

// single is a listener for the one connection of a process. Further ones stay in the kernel, where they cost the host
// nothing.
type single struct {
	net.Listener

	taken  atomic.Bool
	once   sync.Once
	closed chan struct{}
}

func (l *single) Accept() (net.Conn, error) {
	if l.taken.Swap(true) {
		<-l.closed
		return nil, net.ErrClosed
	}
	return l.Listener.Accept()
}

func (l *single) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// enter returns the attempt that a call belongs to and counts the call in, or nil.
func (s *services) enter(callID string) *attempt {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current == nil || s.current.id != callID {
		return nil
	}
	s.current.entered.Store(true)
	s.current.calls.Add(1)
	return s.current
}

var errForeignCall = status.Error(codes.PermissionDenied, "the call_id is not that of the attempt in progress")

// Call implements proto.HostServer.
func (s *services) Call(ctx context.Context, req *proto.CallRequest) (*proto.CallResponse, error) {
	a := s.enter(req.GetCallId())
	if a == nil {
		return nil, errForeignCall
	}
	defer a.calls.Done()
	a.used.Add(1)
	own, cancel := context.WithCancel(a.serviceCtx)
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	if own.Err() != nil {
		return refusal(own, abi.Cancelled), nil
	}
	if len(req.GetOp()) > abi.MaxOp {
		return refusal(own, abi.TooLarge), nil
	}
	answer, err := a.host.Call(own, req.GetOp(), req.GetRequest(), req.GetBody())
	if err != nil {
		return refusal(own, err), nil
	}
	return &proto.CallResponse{Response: answer}, nil
}

// refusal is the answer for a call that failed. What went wrong inside the host stays there.
func refusal(ctx context.Context, err error) *proto.CallResponse {
	if e, ok := errors.AsType[*flow.ServiceError](err); ok {
		return &proto.CallResponse{Errno: int32(e.Errno), Code: abi.ClipMessage(e.Code), Message: abi.ClipMessage(e.Message), Hint: abi.ClipMessage(e.Hint)}
	}
	errno := abi.Unavailable
	switch own, ok := errors.AsType[abi.Errno](err); {
	case ok:
		errno = own
	case ctx.Err() != nil:
		errno = abi.Cancelled
	case errors.Is(err, flow.ErrTooLarge):
		errno = abi.TooLarge
	case errors.Is(err, flow.ErrNotFound):
		errno = abi.NotFound
	}
	return &proto.CallResponse{Errno: int32(errno), Code: errno.Name(), Message: errno.Error()}
}
