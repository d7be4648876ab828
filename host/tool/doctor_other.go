//go:build !linux

package tool

import (
	"errors"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// freeSpace is not asked for on this system.
func freeSpace(string) (flow.Size, error) { return 0, errors.New("it is not asked for on this system") }
