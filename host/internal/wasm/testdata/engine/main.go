// An engine for tests: its scripts are texts, and running one means to tell it.
package main

import (
	"os"
	"path"

	uniflow "github.com/uniflow-dev/uniflow/sdk"
)

//go:wasmexport uniflow_abi_v1
func marker() {}

//go:wasmexport uniflow_run
func run() int32 { return uniflow.Handle(step) }

func main() {}

// script is what was read before the first attempt, reads how often that was, calls is a state that must not last.
var (
	script       string
	fault        error
	reads, calls int
)

func init() {
	uniflow.Warm(func() {
		text, err := os.ReadFile(os.Getenv("UNIFLOW_SCRIPT"))
		script, fault = string(text), err
		reads++
	})
}

func step(c *uniflow.Context) error {
	calls++
	var in struct {
		Beside string `json:"beside"`
		Leave  bool   `json:"leave"`
	}
	if err := c.DecodeWith(&in); err != nil {
		return err
	}
	if fault != nil {
		return uniflow.Permanent(fault)
	}
	if in.Beside != "" {
		text, err := os.ReadFile(path.Join(path.Dir(os.Getenv("UNIFLOW_SCRIPT")), in.Beside))
		if err != nil {
			return uniflow.Permanent(err)
		}
		if err := c.Output("beside", string(text)); err != nil {
			return err
		}
	}
	if in.Leave {
		if _, err := os.Open(os.Getenv("UNIFLOW_SCRIPT")); err != nil {
			return uniflow.Permanent(err)
		}
	}
	for name, value := range map[string]any{"script": script, "reads": reads, "calls": calls, "function": c.Function} {
		if err := c.Output(name, value); err != nil {
			return err
		}
	}
	return nil
}
