//go:build wasip1

// Command reactor is the measured step as a reactor of Uniflow.
package main

import (
	"github.com/uniflow-dev/uniflow/bench/guests/step"
	uniflow "github.com/uniflow-dev/uniflow/sdk"
	"github.com/uniflow-dev/uniflow/sdk/abi"
)

func init() {
	uniflow.Warm(func() {
		if answer, err := step.Of([]byte(`{"values":[1,2,3]}`)); err == nil {
			_, _ = abi.Marshal(answer)
		}
	})
}

//go:wasmexport uniflow_abi_v1
func marker() {}

//go:wasmexport uniflow_run
func run() int32 {
	return uniflow.Handle(func(c *uniflow.Context) error {
		answer, err := step.Of(c.With)
		if err != nil {
			return err
		}
		return c.Output("result", answer)
	})
}

func main() {}
