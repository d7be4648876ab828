//go:build !linux

package sqlite

import "os"

// allocate takes disk space for a file.
func allocate(f *os.File, size int64) error { return fill(f, size) }
