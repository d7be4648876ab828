//go:build unix

package wasm_test

import (
	"syscall"
	"testing"
)

// makePipe makes a named pipe, which blocks whoever opens it.
func makePipe(t *testing.T, path string) {
	t.Helper()
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
}
