package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/process/workerproto"
	"github.com/uniflow-dev/uniflow/sdk/abi"
	"github.com/uniflow-dev/uniflow/sdk/process/proto"
)

// What a host and its worker agree on. Both are the same program, so the version never differs.
const (
	workerCookieKey   = "UNIFLOW_WORKER"
	workerCookieValue = "uniflow.worker.v1"
	workerName        = "worker"
	// workerMessage bounds one message: the request of a service with its body, 8 MiB each, is the largest.
	workerMessage = 17 << 20
	envelope      = 64 << 10 // bytes of it that are not values
	// readsEnv names the paths that a worker may read, as a JSON list; they are the mounts of its modules.
	readsEnv = "UNIFLOW_WORKER_READS"
)

func workerHandshake() handshake {
	return handshake{plugin.HandshakeConfig{
		ProtocolVersion: 1, MagicCookieKey: workerCookieKey, MagicCookieValue: workerCookieValue,
	}, workerName, workerMessage}
}

// IsWorker reports whether a host has started this process as a worker of its own.
func IsWorker() bool { return os.Getenv(workerCookieKey) == workerCookieValue }

// ServeWorker is the main of a worker: it gives up all rights that modules do not need, opens the runtime, and serves it
// until the host kills the process. dir is the only folder that can be written. It is called where IsWorker.
func ServeWorker(open func(dir string) (flow.Runtime, error)) error {
	dir := os.Getenv("TMPDIR")
	var reads []string
	if err := json.Unmarshal([]byte(os.Getenv(readsEnv)), &reads); err != nil {
		return fmt.Errorf("read %s: %w", readsEnv, err)
	}
	if err := seal(dir, reads); err != nil {
		return fmt.Errorf("confine the worker: %w", err)
	}
	runtime, err := open(dir)
	if err != nil {
		return fmt.Errorf("open the runtime of the worker: %w", err)
	}
	s := &workerServer{runtime: runtime, dir: dir, modules: map[string]flow.Module{}}
	spoken := workerHandshake()
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: spoken.HandshakeConfig,
		Plugins:         plugin.PluginSet{spoken.name: &workerGlue{server: s}},
		GRPCServer: func(opts []grpc.ServerOption) *grpc.Server {
			return grpc.NewServer(append(opts, grpc.MaxRecvMsgSize(spoken.most), grpc.MaxSendMsgSize(spoken.most))...)
		},
		Logger: hclog.New(&hclog.LoggerOptions{Level: hclog.Error, Output: os.Stderr}),
	})
	return nil
}

// workerGlue registers the server with go-plugin.
type workerGlue struct {
	plugin.NetRPCUnsupportedPlugin

	server *workerServer
}

func (g *workerGlue) GRPCServer(broker *plugin.GRPCBroker, s *grpc.Server) error {
	g.server.broker = broker
	workerproto.RegisterWorkerServer(s, g.server)
	return nil
}

func (g *workerGlue) GRPCClient(context.Context, *plugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, errors.New("a worker has no client side")
}

// workerServer answers the host.
type workerServer struct {
	workerproto.UnimplementedWorkerServer

	runtime flow.Runtime
	dir     string
	broker  *plugin.GRPCBroker

	mu      sync.Mutex
	modules map[string]flow.Module
	host    *hostClient // nil until the first attempt
	// current is the attempt under way; stop ends its context.
	current string
	stop    context.CancelFunc
}

// hostClient reaches the services of the host.
type hostClient struct {
	services proto.HostClient
	more     workerproto.HostClient
}

// Load implements workerproto.WorkerServer.
func (s *workerServer) Load(ctx context.Context, req *workerproto.LoadRequest) (*workerproto.LoadResponse, error) {
	var p flow.PlanPlugin
	if err := json.Unmarshal(req.GetPluginJson(), &p); err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	p.Path = filepath.Join(s.dir, p.Path)
	m, err := s.runtime.Load(ctx, p)
	if err != nil {
		return &workerproto.LoadResponse{Refusal: loadRefusal(p, err)}, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.modules[req.GetModule()] = m
	return &workerproto.LoadResponse{}, nil
}

// loadRefusal says why a module cannot be loaded, in a form that the host makes a *flow.Error of again, which then says
// once more what was being done.
func loadRefusal(p flow.PlanPlugin, err error) *workerproto.Refusal {
	r := &workerproto.Refusal{Code: string(flow.CodeProcessHost), Message: strings.TrimPrefix(err.Error(), fmt.Sprintf("load plugin %q: ", p.Name))}
	if e, ok := errors.AsType[*flow.Error](err); ok {
		r.Code, r.Message, r.Hint = string(e.Code), e.Message, e.Hint
		if e.Err != nil {
			r.Message = strings.TrimPrefix(r.GetMessage()+": "+e.Err.Error(), ": ")
		}
	}
	r.Message, r.Hint = abi.ClipMessage(r.GetMessage()), abi.ClipMessage(r.GetHint())
	return r
}

// begin makes the attempt the current one and returns its module and the services of the host.
func (s *workerServer) begin(req *workerproto.CallRequest, stop context.CancelFunc) (flow.Module, *hostClient, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.host == nil {
		limit := grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(workerMessage), grpc.MaxCallSendMsgSize(workerMessage))
		conn, err := s.broker.DialWithOptions(req.GetHostBrokerId(), limit)
		if err != nil {
			return nil, nil, status.Errorf(codes.Unavailable, "dial the host: %v", err)
		}
		s.host = &hostClient{proto.NewHostClient(conn), workerproto.NewHostClient(conn)}
	}
	m := s.modules[req.GetModule()]
	if m == nil {
		return nil, nil, status.Errorf(codes.NotFound, "module %q is not loaded", req.GetModule())
	}
	s.current, s.stop = req.GetCallId(), stop
	return m, s.host, nil
}

// Call implements workerproto.WorkerServer: one attempt.
func (s *workerServer) Call(_ context.Context, req *workerproto.CallRequest) (*workerproto.CallResponse, error) {
	call, err := decodeCall(req)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	ctx, cancel := context.WithCancel(context.Background()) // the host says by Stop when it ends, and hears the rest
	defer cancel()
	m, host, err := s.begin(req, cancel)
	if err != nil {
		return nil, err
	}
	remote := newRemote(ctx, req.GetCallId(), host, call.Limits)
	result, err := m.Call(ctx, call, remote)
	remote.events.flush()
	return answer(result, err), nil
}

// Stop implements workerproto.WorkerServer.
func (s *workerServer) Stop(_ context.Context, req *workerproto.StopRequest) (*workerproto.StopResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current == req.GetCallId() && s.stop != nil {
		s.stop()
	}
	return &workerproto.StopResponse{}, nil
}

// answer puts the end of an attempt into a message.
func answer(result flow.Result, err error) *workerproto.CallResponse {
	if err != nil {
		fault, ok := errors.AsType[*flow.Fault](err)
		if !ok {
			fault = &flow.Fault{Reason: flow.ReasonInternal, Message: err.Error()}
		}
		return &workerproto.CallResponse{Usage: usageMessage(fault.Usage), Fault: &workerproto.Fault{
			Reason: string(fault.Reason), Message: abi.ClipMessage(fault.Message), Hint: abi.ClipMessage(fault.Hint),
		}}
	}
	r := &workerproto.CallResponse{
		Verdict: int32(result.Verdict), Code: abi.ClipMessage(result.Code), Message: abi.ClipMessage(result.Message),
		RetryAfterNs: int64(result.RetryAfter), Outputs: members(result.Outputs), Usage: usageMessage(result.Usage),
	}
	if result.ExitCode != nil {
		code := int32(*result.ExitCode)
		r.ExitCode = &code
	}
	return r
}

func usageMessage(u flow.Usage) *workerproto.Usage {
	return &workerproto.Usage{Memory: int64(u.Memory), Fuel: u.Fuel, HostCalls: u.HostCalls}
}
