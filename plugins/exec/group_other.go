//go:build !unix

package main

import (
	"io/fs"
	"os"
	"os/exec"
)

const (
	guardArg      = "guard-the-group" // this system has no groups to guard
	programSuffix = ".exe"
)

func executable(fs.FileInfo) bool { return true }

// group is the command alone: this system has no process groups.
type group struct{ cmd *exec.Cmd }

func newGroup() (*group, error) { return &group{}, nil }

func (g *group) join(cmd *exec.Cmd) { g.cmd = cmd }

func (g *group) terminate() { g.kill() }

func (g *group) kill() {
	if g.cmd.Process != nil {
		_ = g.cmd.Process.Kill()
	}
}

func (g *group) close() {}

func guard() { os.Exit(1) }
