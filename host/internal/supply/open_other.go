//go:build !unix

package supply

import "os"

const openFlags = os.O_RDONLY
