//go:build wasip1

// Command extism is the measured step as an Extism plugin.
package main

import (
	"github.com/extism/go-pdk"

	"github.com/uniflow-dev/uniflow/bench/guests/step"
)

//go:wasmexport run
func run() int32 {
	answer, err := step.Document(pdk.Input())
	if err != nil {
		pdk.SetError(err)
		return 1
	}
	pdk.Output(answer)
	return 0
}

func main() {}
