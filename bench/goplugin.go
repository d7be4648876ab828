package main

import (
	"context"
	"fmt"
	"os/exec"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"

	"github.com/uniflow-dev/uniflow/bench/guests/bare"
	"github.com/uniflow-dev/uniflow/sdk/process/proto"
)

// addGoPlugin adds the step in native Go as a go-plugin that is started
// already: one call over gRPC with certificates on both sides.
func (l *lineup) addGoPlugin(ctx context.Context, path string) error {
	client := plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig: bare.Handshake(), Plugins: plugin.PluginSet{bare.Name: &bare.Step{}}, Cmd: exec.Command(path),
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC}, AutoMTLS: true, Logger: hclog.NewNullLogger(),
	})
	l.closers = append(l.closers, func(context.Context) error { client.Kill(); return nil })
	conn, err := client.Client()
	if err != nil {
		return fmt.Errorf("start the go-plugin: %w", err)
	}
	dispensed, err := conn.Dispense(bare.Name)
	if err != nil {
		return fmt.Errorf("dispense the go-plugin: %w", err)
	}
	step, ok := dispensed.(proto.HostClient)
	if !ok {
		return fmt.Errorf("the go-plugin is a %T", dispensed)
	}
	l.add(langGo, nameGoPlugin, peer, func(ctx context.Context) ([]byte, error) {
		answer, err := step.Call(ctx, &proto.CallRequest{Request: l.doc})
		return answer.GetResponse(), err
	})
	return nil
}
