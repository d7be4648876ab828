// The process plugin of the fault suite: it works for a second and a half, and has a child that would outlive it.
package main

import (
	"context"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/uniflow-dev/uniflow/sdk/abi"
	"github.com/uniflow-dev/uniflow/sdk/process"
)

func main() {
	if os.Getenv("SLOW_CHILD") != "" {
		time.Sleep(5 * time.Minute)
		return
	}
	process.Serve(process.Plugin{
		Descriptor: abi.Descriptor{Name: "slow", Version: "1.0.0"},
		Functions:  map[string]process.Func{"run": work},
	})
}

func work(ctx context.Context, c *process.Call) error {
	var with struct {
		Answer int `json:"answer"`
	}
	if err := c.DecodeWith(&with); err != nil {
		return err
	}
	child := exec.Command("/proc/self/exe")
	child.Env = []string{"SLOW_CHILD=1"}
	child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := child.Start(); err != nil {
		return err
	}
	select {
	case <-time.After(1500 * time.Millisecond):
	case <-ctx.Done():
		return ctx.Err()
	}
	return c.Output("answer", with.Answer)
}
