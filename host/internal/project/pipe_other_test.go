//go:build !unix

package project_test

import "os"

// odd makes something at a path that is no regular file.
func odd(path string) error { return os.Mkdir(path, 0o700) }
