//go:build linux

package main

import (
	"context"
	"errors"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/uniflow-dev/uniflow/sdk/process"
	"github.com/uniflow-dev/uniflow/sdk/process/proto"
)

// serveBare answers each call with its request, by gRPC over go-plugin and nothing else.
func serveBare() {
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: plugin.HandshakeConfig{
			ProtocolVersion: process.ProtocolVersion, MagicCookieKey: process.CookieKey, MagicCookieValue: process.CookieValue,
		},
		Plugins:    plugin.PluginSet{process.PluginName: &bare{}},
		GRPCServer: plugin.DefaultGRPCServer,
		Logger:     hclog.NewNullLogger(),
	})
}

type bare struct {
	plugin.NetRPCUnsupportedPlugin
	proto.UnimplementedHostServer
	proto.UnimplementedPluginServer
}

func (b *bare) GRPCServer(_ *plugin.GRPCBroker, s *grpc.Server) error {
	proto.RegisterHostServer(s, b)
	proto.RegisterPluginServer(s, b)
	return nil
}

func (b *bare) GRPCClient(context.Context, *plugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, errors.New("no client side")
}

func (b *bare) Describe(context.Context, *proto.DescribeRequest) (*proto.DescribeResponse, error) {
	return &proto.DescribeResponse{DescriptorJson: []byte(`{"name":"bare"}`)}, nil
}

func (b *bare) Call(_ context.Context, req *proto.CallRequest) (*proto.CallResponse, error) {
	return &proto.CallResponse{Response: req.GetRequest()}, nil
}
