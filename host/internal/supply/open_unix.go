//go:build unix

package supply

import (
	"os"
	"syscall"
)

// openFlags let nobody make us wait by a pipe in the place of a file.
const openFlags = os.O_RDONLY | syscall.O_NONBLOCK
