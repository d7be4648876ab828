//go:build unix

package project_test

import "syscall"

// odd makes something at a path that is no regular file, and keeps waiting whoever opens it.
func odd(path string) error { return syscall.Mkfifo(path, 0o600) }
