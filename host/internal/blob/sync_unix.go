//go:build !windows

package blob

import "os"

// syncOpenDir brings a folder's entries to the disk.
func syncOpenDir(dir *os.File) error { return dir.Sync() }
