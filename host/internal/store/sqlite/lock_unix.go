//go:build !windows

package sqlite

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// tryLock takes the lock of an open file, or returns errLocked at once.
func tryLock(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return errLocked
	}
	if err != nil {
		return fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return nil
}
