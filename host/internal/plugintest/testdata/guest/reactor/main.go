// Reactor behaves as the conformance suite asks, as a library.
package main

import (
	"github.com/uniflow-dev/uniflow/host/internal/plugintest/testdata/guest/connect"
	uniflow "github.com/uniflow-dev/uniflow/sdk"
)

//go:wasmexport uniflow_abi_v1
func marker() {}

//go:wasmexport uniflow_run
func run() int32 { return uniflow.Handle(connect.Step) }

func main() {}
