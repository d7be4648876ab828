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

// now returns the folder. What is seen of any but the script while the module is initialised would stay in its first
// state, although the folder may be another in the next attempt.
func (t turnFS) now() wasys.FS {
	a := t.instance.attempt
	if m := a.mounts[t.place]; a.denied && m.path != dirScript {
		t.instance.touched = true
	}
	return a.mounts[t.place].fs
}

// OpenFile implements wasys.FS.
func (t turnFS) OpenFile(name string, flag wasys.Oflag, perm fs.FileMode) (wasys.File, wasys.Errno) {
	if name == "." && flag&(wasys.O_WRONLY|wasys.O_RDWR|wasys.O_CREAT) == 0 {
		return newTurnDir(t)
	}
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

// turnDir is the folder itself as an open file. The engine opens folders when it makes an instance and keeps them for as
// long as that lives, so what it gets is an empty one until the guest lists it, in whatever attempt that is.
type turnDir struct {
	wasys.File

	turn   turnFS
	listed bool
}

func newTurnDir(t turnFS) (wasys.File, wasys.Errno) {
	none := &sysfs.AdaptFS{FS: &onlyFS{}}
	f, errno := none.OpenFile(".", wasys.O_RDONLY, 0)
	if errno != 0 {
		return nil, errno
	}
	return &turnDir{File: f, turn: t}, 0
}

// IsDir implements wasys.File.
func (d *turnDir) IsDir() (bool, wasys.Errno) { return true, 0 }

// Stat implements wasys.File.
func (d *turnDir) Stat() (sys.Stat_t, wasys.Errno) { return d.turn.now().Stat(".") }

// Readdir implements wasys.File. An instance that has listed a folder is not used again while that is open.
func (d *turnDir) Readdir(n int) ([]wasys.Dirent, wasys.Errno) {
	if !d.listed {
		f, errno := d.turn.now().OpenFile(".", wasys.O_RDONLY, 0)
		if errno != 0 {
			return nil, errno
		}
		_ = d.File.Close() // the empty one
		d.File, d.listed = f, true
	}
	return d.File.Readdir(n)
}
