//go:build unix

package main

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/uniflow-dev/uniflow/host/internal/plugintest/guest"
	"github.com/uniflow-dev/uniflow/sdk/abi"
	"github.com/uniflow-dev/uniflow/sdk/process"
	"github.com/uniflow-dev/uniflow/sdk/process/proto"
)

// serveRaw serves a plugin that does not use the kit and breaks the contract in ways that the kit does not allow.
func serveRaw() {
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: plugin.HandshakeConfig{ProtocolVersion: process.ProtocolVersion, MagicCookieKey: process.CookieKey, MagicCookieValue: process.CookieValue},
		Plugins:         plugin.PluginSet{process.PluginName: &raw{}},
		GRPCServer:      func(opts []grpc.ServerOption) *grpc.Server { return grpc.NewServer(opts...) },
		Logger:          hclog.NewNullLogger(),
	})
}

type raw struct {
	plugin.NetRPCUnsupportedPlugin
	proto.UnimplementedPluginServer
}

func (r *raw) GRPCServer(_ *plugin.GRPCBroker, s *grpc.Server) error {
	proto.RegisterPluginServer(s, r)
	return nil
}

func (r *raw) GRPCClient(context.Context, *plugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, nil
}

func (r *raw) Describe(context.Context, *proto.DescribeRequest) (*proto.DescribeResponse, error) {
	return &proto.DescribeResponse{DescriptorJson: []byte(`{"name":"raw"}`)}, nil
}

func output(name, value string) *proto.RunEvent {
	return &proto.RunEvent{Event: &proto.RunEvent_Output{Output: &proto.Output{Name: name, ValueJson: []byte(value)}}}
}

func artifact(name string, end bool) *proto.RunEvent {
	return &proto.RunEvent{Event: &proto.RunEvent_Artifact{Artifact: &proto.Artifact{Name: name, Data: []byte("x"), End: end}}}
}

func done(d *proto.Done) *proto.RunEvent {
	return &proto.RunEvent{Event: &proto.RunEvent_Done{Done: d}}
}

func (r *raw) Run(req *proto.RunRequest, stream grpc.ServerStreamingServer[proto.RunEvent]) error {
	run, err := abi.DecodeRunContext(req.GetContextJson())
	if err != nil {
		return err
	}
	var with guest.With
	if err := json.Unmarshal(run.With, &with); err != nil {
		return err
	}
	var events []*proto.RunEvent
	switch with.Behaviour {
	case "giant":
		events = []*proto.RunEvent{output("giant", `"`+strings.Repeat("x", with.Size<<20)+`"`)}
	case "over_limit":
		events = []*proto.RunEvent{output("big", `"`+strings.Repeat("x", with.Size)+`"`), done(&proto.Done{})}
	case "not_json":
		events = []*proto.RunEvent{output("bad", `{oops`), done(&proto.Done{})}
	case "no_end":
		events = []*proto.RunEvent{output("a", `1`)}
	case "error":
		return status.Error(codes.Internal, "my own trouble")
	case "mixed_artifacts":
		events = []*proto.RunEvent{artifact("a", false), artifact("b", true), done(&proto.Done{})}
	case "half_artifact":
		events = []*proto.RunEvent{artifact("a", false), done(&proto.Done{})}
	case "nameless_artifact":
		events = []*proto.RunEvent{artifact("", true), done(&proto.Done{})}
	case "odd_numbers":
		events = []*proto.RunEvent{
			{Event: &proto.RunEvent_Log{Log: &proto.Log{Level: 99, Message: "loud"}}},
			{Event: &proto.RunEvent_Progress{Progress: &proto.Progress{Permille: -5}}},
			{}, // an event of a newer contract
			done(&proto.Done{Kind: 77, RetryAfterMs: -1}),
		}
	case "long_retry":
		events = []*proto.RunEvent{done(&proto.Done{Kind: 3, RetryAfterMs: int64(1000 * time.Hour / time.Millisecond)})}
	}
	for _, e := range events {
		if err := stream.Send(e); err != nil {
			return err
		}
	}
	return nil
}
