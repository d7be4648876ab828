package sqlite

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// A lock file holds the process id of its holder or last holder, and on a second line madeMark once a ledger was made
// beside it. The lock itself is the kernel's: it ends with the process, however that ends.
const madeMark = "ledger\n"

// lockFile takes the lock of the data folder, or says who has it.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, ioFault(err)
	}
	if err := tryLock(f); err != nil {
		holder := readLock(f)
		_ = f.Close()
		if !errors.Is(err, errLocked) {
			return nil, ioFault(err)
		}
		return nil, lockedBy(holder)
	}
	made := wasMade(f)
	if err := writeLock(f, made); err != nil {
		_ = f.Close()
		return nil, ioFault(err)
	}
	return f, nil
}

var errLocked = errors.New("locked")

func lockedBy(content []byte) error {
	pid, _, _ := bytes.Cut(content, []byte("\n"))
	holder, hint := "another host uses this data folder", "ask that host, or stop it first"
	if n, err := strconv.Atoi(string(pid)); err == nil {
		holder = fmt.Sprintf("another host (pid %d) uses this data folder", n)
		hint = fmt.Sprintf("ask that host, or stop it first: kill %d", n)
	}
	return &flow.Error{Code: flow.CodeLedgerLocked, Message: holder, Hint: hint}
}

// readLock returns what the file holds, which is short unless a stranger wrote it.
func readLock(f *os.File) []byte {
	content := make([]byte, 64)
	n, _ := f.ReadAt(content, 0)
	return content[:n]
}

func wasMade(f *os.File) bool { return bytes.HasSuffix(readLock(f), []byte("\n"+madeMark)) }

// wasMadeBeside is wasMade for who does not hold the lock.
func wasMadeBeside(path string) bool {
	f, err := os.Open(path + ".lock")
	if err != nil {
		return false
	}
	defer f.Close()
	return wasMade(f)
}

func markMade(f *os.File) error { return writeLock(f, true) }

func writeLock(f *os.File, made bool) error {
	content := strconv.Itoa(os.Getpid()) + "\n"
	if made {
		content += madeMark
	}
	if err := f.Truncate(int64(len(content))); err != nil {
		return fmt.Errorf("write lock: %w", err)
	}
	if _, err := f.WriteAt([]byte(content), 0); err != nil {
		return fmt.Errorf("write lock: %w", err)
	}
	return nil
}
