package process_test

import (
	"context"
	"fmt"
	"strings"

	"github.com/uniflow-dev/uniflow/sdk/abi"
	"github.com/uniflow-dev/uniflow/sdk/process"
)

// greet reads its inputs, answers with an output and keeps a file.
func greet(ctx context.Context, c *process.Call) error {
	var with struct {
		Name string `json:"name"`
	}
	if err := c.DecodeWith(&with); err != nil {
		return err
	}
	if with.Name == "" {
		return process.Skip("nobody to greet")
	}
	c.Info("greeting %s, attempt %d", with.Name, c.Attempt)
	if err := c.Artifact("letter", "text/plain", strings.NewReader("Dear "+with.Name)); err != nil {
		return err
	}
	return c.Output("greeting", "hello "+with.Name)
}

// The main function of a plugin. The manifest names the program:
//
//	[plugins.greet]
//	process = "bin/greet"
//
//	[pipelines.hello.steps.greet]
//	plugin = "greet"
//	with   = { name = "world" }
func ExampleServe() {
	process.Serve(process.Plugin{
		Descriptor: abi.Descriptor{Name: "greet", Version: "1.0.0", Description: "Greets by name."},
		Functions:  map[string]process.Func{"greet": greet},
	})
}

// An error says how the step ends; any other error is a failure that the
// step's retry policy handles.
func ExamplePermanent() {
	err := process.Permanent(fmt.Errorf("station %q does not exist", "atlantis"))
	fmt.Println(err)
	// Output: station "atlantis" does not exist
}
