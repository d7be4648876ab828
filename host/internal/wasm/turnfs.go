package wasm

import (
	"io/fs"

	"github.com/tetratelabs/wazero"
	wasys "github.com/tetratelabs/wazero/experimental/sys"
	"github.com/tetratelabs/wazero/experimental/sysfs"
	"github.com/tetratelabs/wazero/sys"
)

// fsConfig mounts folders, each of which is that of the attempt whose turn it is. All attempts of a plugin have the same
// folders in the same order.
func (in *instance) fsConfig() wazero.FSConfig {
	c := wazero.NewFSConfig()
	for i, m := range in.attempt.mounts {
		c = c.(sysfs.FSConfig).WithSysFSMount(turnFS{in, i}, m.path) //nolint:forcetypeassert // the engine promises it
	}
	return c
}

// turnFS is one folder of the attempt whose turn it is.
type turnFS struct {
	instance *instance
	place    int
}

func (t turnFS) now() wasys.FS { return t.instance.attempt.mounts[t.place].fs }

// OpenFile implements wasys.FS.
func (t turnFS) OpenFile(name string, flag wasys.Oflag, perm fs.FileMode) (wasys.File, wasys.Errno) {
	return t.now().OpenFile(name, flag, perm)
}

// Lstat implements wasys.FS.
func (t turnFS) Lstat(name string) (sys.Stat_t, wasys.Errno) { return t.now().Lstat(name) }

// Stat implements wasys.FS.
func (t turnFS) Stat(name string) (sys.Stat_t, wasys.Errno) { return t.now().Stat(name) }

// Mkdir implements wasys.FS.
func (t turnFS) Mkdir(name string, perm fs.FileMode) wasys.Errno { return t.now().Mkdir(name, perm) }

// Chmod implements wasys.FS.
func (t turnFS) Chmod(name string, perm fs.FileMode) wasys.Errno { return t.now().Chmod(name, perm) }

// Rename implements wasys.FS.
func (t turnFS) Rename(from, to string) wasys.Errno { return t.now().Rename(from, to) }

// Rmdir implements wasys.FS.
func (t turnFS) Rmdir(name string) wasys.Errno { return t.now().Rmdir(name) }

// Unlink implements wasys.FS.
func (t turnFS) Unlink(name string) wasys.Errno { return t.now().Unlink(name) }

// Link implements wasys.FS.
func (t turnFS) Link(from, to string) wasys.Errno { return t.now().Link(from, to) }

// Symlink implements wasys.FS.
func (t turnFS) Symlink(from, to string) wasys.Errno { return t.now().Symlink(from, to) }

// Readlink implements wasys.FS.
func (t turnFS) Readlink(name string) (string, wasys.Errno) { return t.now().Readlink(name) }

// Utimens implements wasys.FS.
func (t turnFS) Utimens(name string, atim, mtim int64) wasys.Errno {
	return t.now().Utimens(name, atim, mtim)
}
