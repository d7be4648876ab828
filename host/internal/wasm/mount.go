package wasm

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"syscall"

	wasys "github.com/tetratelabs/wazero/experimental/sys"
	"github.com/tetratelabs/wazero/experimental/sysfs"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// maxOpenFiles bounds the files that one attempt holds open, so that a guest cannot use up the host's.
const maxOpenFiles = 128

// Folders that every guest with WASI sees.
const (
	dirIn  = "/in"  // artifacts among with
	dirOut = "/out" // what becomes artifacts
)

// mount is a folder of the guest.
type mount struct {
	path  string
	fs    wasys.FS
	close func() error
}

// mount opens what the guest may see: granted folders and files, artifacts, and a folder to write to.
func (a *attempt) mount() error {
	a.files = &openFiles{ended: a.ended}
	single := map[string]*onlyFS{} // granted files by the guest's folder
	for _, guest := range slices.Sorted(maps.Keys(a.grant.Mount)) {
		if err := a.mountHost(path.Clean("/"+guest), a.grant.Mount[guest], single); err != nil {
			return err
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(single)) {
		a.addReadOnly(dir, single[dir], single[dir].close)
	}
	if a.script != nil {
		a.addReadOnly(dirScript, a.script, nil)
	}
	a.addReadOnly(dirIn, a.artifactsIn(), nil)
	a.out = newOutFS(int64(orDefault(a.call.Limits.Artifacts, defaultArtifacts)), a.files)
	a.mounts = append(a.mounts, mount{path: dirOut, fs: a.out})
	return nil
}

// mountPaths are the guest's folders, in the order in which they are mounted.
func (a *attempt) mountPaths() []string {
	paths := make([]string, len(a.mounts))
	for i, m := range a.mounts {
		paths[i] = m.path
	}
	return paths
}

// mountHost opens a folder, or notes a file among those of its folder. What the grant names may be a symbolic link of
// the operator's, and none of a tenant that has a ceiling; nothing below it leads out.
func (a *attempt) mountHost(guest, host string, single map[string]*onlyFS) error {
	fail := func(err error) error {
		return &flow.Fault{
			Reason: flow.ReasonDenied, Message: fmt.Sprintf("mount %q cannot be opened", guest), Err: err,
			Hint: "create what grant.mount names for it, or correct the path (" + string(flow.CodeMount) + ")",
		}
	}
	target, err := filepath.EvalSymlinks(host)
	if err != nil {
		return fail(err)
	}
	if a.foreign && target != host {
		return fail(errLink)
	}
	stat, err := os.Stat(target)
	if err != nil {
		return fail(err)
	}
	if !stat.IsDir() {
		root, err := os.OpenRoot(filepath.Dir(target))
		if err != nil {
			return fail(err)
		}
		if err := a.unmoved(root, filepath.Dir(host)); err != nil {
			return errors.Join(fail(err), root.Close())
		}
		dir := path.Dir(guest)
		if single[dir] == nil {
			single[dir] = &onlyFS{files: map[string]rootFile{}}
		}
		single[dir].files[path.Base(guest)] = rootFile{root: root, name: filepath.Base(target)}
		return nil
	}
	root, err := os.OpenRoot(target)
	if err != nil {
		return fail(err)
	}
	if err := a.unmoved(root, host); err != nil {
		return errors.Join(fail(err), root.Close())
	}
	a.addReadOnly(guest, rootFS{root}, root.Close)
	return nil
}

// errLink is of a mount of a tenant that has become a symbolic link since its plan was made.
var errLink = errors.New("it is a symbolic link, or lies behind one")

// unmoved demands of a mount of a tenant that what was opened is still at its path, with no symbolic link on the way: the
// tenant may change its folder while the host opens it.
func (a *attempt) unmoved(root *os.Root, host string) error {
	if !a.foreign {
		return nil
	}
	opened, err := root.Stat(".")
	if err != nil {
		return err
	}
	there, err := os.Lstat(host)
	if err != nil {
		return err
	}
	if target, err := filepath.EvalSymlinks(host); err != nil || target != host || !os.SameFile(opened, there) {
		return errLink
	}
	return nil
}

func (a *attempt) addReadOnly(guest string, f fs.FS, closeFS func() error) {
	bounded := countedFS{FS: f, open: a.files}
	a.mounts = append(a.mounts, mount{path: guest, fs: &sysfs.ReadFS{FS: &sysfs.AdaptFS{FS: bounded}}, close: closeFS})
}

// rootFS shows regular files and folders below a root; symbolic links are followed inside of it only, and anything else
// (a pipe would block its reader, a device is not data) cannot be opened.
type rootFS struct{ root *os.Root }

// Open implements fs.FS.
func (r rootFS) Open(name string) (fs.File, error) { return openRegular(r.root, name) }

func openRegular(root *os.Root, name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	stat, err := root.Stat(name)
	if err != nil {
		return nil, err
	}
	if !stat.Mode().IsRegular() && !stat.IsDir() {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	// What it is may change until it is opened.
	file, err := root.OpenFile(filepath.FromSlash(name), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if stat, err = file.Stat(); err == nil && !stat.Mode().IsRegular() && !stat.IsDir() {
		err = &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// rootFile is one file of the host.
type rootFile struct {
	root *os.Root
	name string
}

// onlyFS is a folder that shows the granted files and nothing else.
type onlyFS struct{ files map[string]rootFile }

// Open implements fs.FS.
func (o *onlyFS) Open(name string) (fs.File, error) {
	if name == "." {
		return &listing{names: slices.Sorted(maps.Keys(o.files)), stat: o.stat}, nil
	}
	f, ok := o.files[name]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return openRegular(f.root, f.name)
}

func (o *onlyFS) stat(name string) (fs.FileInfo, error) {
	f := o.files[name]
	return f.root.Stat(f.name)
}

func (o *onlyFS) close() error {
	for _, f := range o.files {
		_ = f.root.Close() // it was only read
	}
	return nil
}

// openFiles counts the files that an attempt holds open. They are read and written until the guest has been stopped: one
// call of WASI may do so any number of times.
type openFiles struct {
	n     int
	ended func() bool
}

func (o *openFiles) take() bool {
	if o.n >= maxOpenFiles {
		return false
	}
	o.n++
	return true
}

func (o *openFiles) give() { o.n-- }

// countedFS bounds the open files of a file system.
type countedFS struct {
	fs.FS
	open *openFiles
}

// Open implements fs.FS.
func (c countedFS) Open(name string) (fs.File, error) {
	if !c.open.take() {
		return nil, &fs.PathError{Op: "open", Path: name, Err: wasys.EAGAIN}
	}
	f, err := c.FS.Open(name)
	if err != nil {
		c.open.give()
		return nil, err
	}
	return &countedFile{File: f, open: c.open}, nil
}

// countedFile has what the engine uses of a file that is read, and no method that writes.
type countedFile struct {
	fs.File
	open   *openFiles
	closed bool
}

// Close implements fs.File.
func (f *countedFile) Close() error {
	if !f.closed {
		f.closed = true
		f.open.give()
	}
	return f.File.Close()
}

// Read implements fs.File.
func (f *countedFile) Read(p []byte) (int, error) {
	if f.open.ended() {
		return 0, errStopped
	}
	return f.File.Read(p) //nolint:wrapcheck // fs.File
}

// Seek implements io.Seeker.
func (f *countedFile) Seek(offset int64, whence int) (int64, error) {
	s, ok := f.File.(interface {
		Seek(offset int64, whence int) (int64, error)
	})
	if !ok {
		return 0, wasys.EISDIR
	}
	return s.Seek(offset, whence)
}

// ReadDir implements fs.ReadDirFile.
func (f *countedFile) ReadDir(n int) ([]fs.DirEntry, error) {
	d, ok := f.File.(fs.ReadDirFile)
	if !ok {
		return nil, wasys.ENOTDIR
	}
	return d.ReadDir(n)
}
