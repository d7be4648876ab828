// Package process is the Go kit for steps that run as a process: the program
// calls Serve with its functions, and the host starts it, sends it one attempt
// at a time, keeps it for a while between attempts, and kills it when it is no
// longer needed. State in memory or in TMPDIR may be gone at any time.
//
// A process is not a sandbox. It runs with the rights of the host's user, so an
// operator must allow it; where WebAssembly will do, package sdk is the better
// choice. Nothing here may import the host.
package process

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/uniflow-dev/uniflow/sdk/abi"
	"github.com/uniflow-dev/uniflow/sdk/process/proto"
)

// What host and plugin must agree on before they can speak.
const (
	CookieKey       = "UNIFLOW_PLUGIN"    // environment variable by which a plugin knows that a host started it
	CookieValue     = "uniflow.plugin.v1" // its value
	ProtocolVersion = 1
	PluginName      = "uniflow"                   // name of the one plugin in the set of go-plugin
	MaxWireMessage  = abi.MaxContext + (64 << 10) // bytes of one gRPC message, in both directions
)

// StderrMark is the line on standard error that says that an attempt has ended,
// and that all it printed stands before.
func StderrMark(callID string) string { return "uniflow:end:" + callID }

// DefaultFunction is what a step calls that names no function, where the
// plugin has more than one.
const DefaultFunction = "run"

// Func is a function of a plugin: one attempt of a step. ctx ends when the
// attempt is to stop: at its deadline, or because it was cancelled. A function
// that then returns within the grace of the step ends in good order; after
// that the process is killed. A nil error is success; Skip, Retry, Permanent
// and Fail make errors that say more than "failed".
type Func func(ctx context.Context, c *Call) error

// Plugin is what a program serves.
type Plugin struct {
	// Descriptor says what the plugin is, for people and for checks before a
	// run. Functions that it does not list are served all the same.
	Descriptor abi.Descriptor
	// Functions by the name that a step gives in the manifest. A step without
	// a name calls DefaultFunction, or the only function there is.
	Functions map[string]Func
}

// Serve serves the plugin and does not return while the host wants it. A
// program that was not started by a host prints what it is and exits with
// code 1. What the program prints is part of the log of the running attempt.
func Serve(p Plugin) {
	if os.Getenv(CookieKey) != CookieValue {
		fmt.Fprintf(os.Stderr, "This program is a Uniflow plugin and is started by the host. Name it in uniflow.toml:\n\n  [plugins.%s]\n  process = %q\n",
			cmp.Or(p.Descriptor.Name, "name"), os.Args[0])
		os.Exit(1)
	}
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: plugin.HandshakeConfig{
			ProtocolVersion: ProtocolVersion, MagicCookieKey: CookieKey, MagicCookieValue: CookieValue,
		},
		Plugins:    plugin.PluginSet{PluginName: &glue{server: &server{plugin: p, stderr: os.Stderr}}},
		GRPCServer: newServer,
		Logger:     hclog.New(&hclog.LoggerOptions{Level: hclog.Error, Output: os.Stderr}),
	})
}

// newServer lets a whole run context in; the default of gRPC is 4 MiB.
func newServer(opts []grpc.ServerOption) *grpc.Server {
	return grpc.NewServer(append(opts, grpc.MaxRecvMsgSize(MaxWireMessage), grpc.MaxSendMsgSize(MaxWireMessage))...)
}

// glue registers the server with go-plugin.
type glue struct {
	plugin.NetRPCUnsupportedPlugin
	server *server
}

func (g *glue) GRPCServer(broker *plugin.GRPCBroker, s *grpc.Server) error {
	g.server.dial = func(id uint32) (proto.HostClient, error) {
		conn, err := broker.DialWithOptions(id, grpc.WithDefaultCallOptions(
			grpc.MaxCallRecvMsgSize(MaxWireMessage), grpc.MaxCallSendMsgSize(MaxWireMessage)))
		if err != nil {
			return nil, err
		}
		return proto.NewHostClient(conn), nil
	}
	proto.RegisterPluginServer(s, g.server)
	return nil
}

func (g *glue) GRPCClient(context.Context, *plugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, fmt.Errorf("a plugin has no client side")
}

// server answers the host. Its attempts may overlap, although a host sends one
// at a time.
type server struct {
	proto.UnimplementedPluginServer
	plugin Plugin
	stderr *os.File
	dial   func(id uint32) (proto.HostClient, error)

	printing sync.Once
	mu       sync.Mutex
	host     proto.HostClient // nil until the first attempt
}

// find returns the function that a step asks for.
func (s *server) find(name string) (Func, error) {
	functions := s.plugin.Functions
	if name == "" {
		name = DefaultFunction
		if only := slices.Collect(maps.Keys(functions)); len(only) == 1 {
			name = only[0]
		}
	}
	if f := functions[name]; f != nil {
		return f, nil
	}
	return nil, &Ending{Kind: abi.KindPermanent, Code: "unknown_function", Err: fmt.Errorf(
		"the plugin has no function %q; it has: %s", name, strings.Join(slices.Sorted(maps.Keys(functions)), ", "))}
}

// connect returns the host's services, dialled once in the life of the plugin.
func (s *server) connect(id uint32) (proto.HostClient, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.host != nil {
		return s.host, nil
	}
	host, err := s.dial(id)
	if err != nil {
		return nil, fmt.Errorf("connect to the services of the host: %w", err)
	}
	s.host = host
	return host, nil
}

// redirectPrinting makes what the program prints go to the standard error that
// it was started with. go-plugin has put pipes in its place by now, whose
// content is lost when the program ends by itself and comes in no order with
// what is written to standard error directly.
func (s *server) redirectPrinting() {
	s.printing.Do(func() { os.Stdout, os.Stderr = s.stderr, s.stderr })
}
