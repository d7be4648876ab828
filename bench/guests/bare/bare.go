// Package bare is what the two ends of a go-plugin need to agree on for one
// call and nothing else: the request is the document, the response the answer.
package bare

import (
	"context"
	"fmt"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/uniflow-dev/uniflow/sdk/process/proto"
)

// Name is the name of the plugin in its set.
const Name = "step"

// Handshake returns what go-plugin compares at the start.
func Handshake() plugin.HandshakeConfig {
	return plugin.HandshakeConfig{ProtocolVersion: 1, MagicCookieKey: "UNIFLOW_BENCH", MagicCookieValue: "step"}
}

// Step is the plugin. Its one call is Host.Call of the contract of processes,
// for want of a smaller one.
type Step struct {
	plugin.NetRPCUnsupportedPlugin
	proto.UnimplementedHostServer

	// Answer makes the answer to a document; only the server needs it.
	Answer func(doc []byte) ([]byte, error)
}

// GRPCServer implements plugin.GRPCPlugin.
func (s *Step) GRPCServer(_ *plugin.GRPCBroker, to *grpc.Server) error {
	proto.RegisterHostServer(to, s)
	return nil
}

// GRPCClient implements plugin.GRPCPlugin.
func (s *Step) GRPCClient(_ context.Context, _ *plugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return proto.NewHostClient(conn), nil
}

// Call implements proto.HostServer.
func (s *Step) Call(_ context.Context, r *proto.CallRequest) (*proto.CallResponse, error) {
	answer, err := s.Answer(r.GetRequest())
	if err != nil {
		return nil, fmt.Errorf("the step: %w", err)
	}
	return &proto.CallResponse{Response: answer}, nil
}
