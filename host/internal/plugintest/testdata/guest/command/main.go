// Command behaves as the conformance suite asks, as a program.
package main

import (
	"github.com/uniflow-dev/uniflow/host/internal/plugintest/testdata/guest/connect"
	uniflow "github.com/uniflow-dev/uniflow/sdk"
)

func main() { uniflow.Main(connect.Step) }
