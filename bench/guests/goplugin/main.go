// Command goplugin is the measured step as a go-plugin.
package main

import (
	"github.com/hashicorp/go-plugin"

	"github.com/uniflow-dev/uniflow/bench/guests/bare"
	"github.com/uniflow-dev/uniflow/bench/guests/step"
)

func main() {
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: bare.Handshake(),
		Plugins:         plugin.PluginSet{bare.Name: &bare.Step{Answer: step.Document}},
		GRPCServer:      plugin.DefaultGRPCServer,
	})
}
