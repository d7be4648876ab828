// Package supply finds the bytes of plugins: it reads files within the manifest's folder, knows their digests, checks who
// signed them, keeps the lock that pins them, runs the commands that build them, and takes modules from elsewhere.
//
// It never looks inside a plugin; runtimes do that. Digests that a lock holds are the promise that what was checked is
// what runs.
package supply

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// The sizes of plugin files; a larger one is refused before it is read.
const (
	maxPlugin = 512 << 20
	maxModule = 64 << 20
)

// Folder is the manifest's folder: plugin paths are relative to it and cannot leave it, not by symbolic links either.
type Folder struct{ root *os.Root }

// OpenFolder opens the folder of a manifest. The caller closes it.
func OpenFolder(path string) (*Folder, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("open the manifest's folder: %w", err)
	}
	return &Folder{root}, nil
}

// Close releases the folder.
func (f *Folder) Close() error { return f.root.Close() }

// FS is the folder as a file system of regular files and folders: to open anything else, such as a pipe that nobody writes
// to, fails at once.
func (f *Folder) FS() fs.FS { return regular{f.root} }

type regular struct{ root *os.Root }

// Open implements fs.FS.
func (r regular) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	file, err := r.root.OpenFile(filepath.FromSlash(name), openFlags, 0)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() && !info.IsDir() {
		err = &fs.PathError{Op: "open", Path: name, Err: fmt.Errorf("expected a regular file, found %s", describe(info))}
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// Size is the number of bytes of a file; 0 of one that is not there.
func (f *Folder) Size(name string) int64 {
	info, err := f.root.Stat(filepath.FromSlash(name))
	if err != nil {
		return 0
	}
	return info.Size()
}

// Path returns the absolute path of a file in the folder.
func (f *Folder) Path(name string) string {
	abs, err := filepath.Abs(filepath.Join(f.root.Name(), filepath.FromSlash(name)))
	if err != nil {
		return filepath.Join(f.root.Name(), filepath.FromSlash(name))
	}
	return abs
}

// Resolve reads the named file once and returns where it is and its digest. A file that is not there is an error
// that wraps fs.ErrNotExist; all other errors are *flow.Error.
func (f *Folder) Resolve(name string) (flow.Resolved, error) {
	file, size, err := f.open(name, maxPlugin)
	if err != nil {
		return flow.Resolved{}, err
	}
	defer file.Close()
	h := sha256.New()
	if n, err := io.Copy(h, io.LimitReader(file, maxPlugin)); err != nil || n != size {
		return flow.Resolved{}, unreadable(name, errors.Join(err, io.ErrUnexpectedEOF))
	}
	return flow.Resolved{Path: f.Path(name), Digest: flow.Digest("sha256:" + hex.EncodeToString(h.Sum(nil)))}, nil
}

// Read is Resolve for a module, with its bytes; it may have 64 MiB.
func (f *Folder) Read(name string) ([]byte, flow.Resolved, error) {
	file, size, err := f.open(name, maxModule)
	if err != nil {
		return nil, flow.Resolved{}, err
	}
	defer file.Close()
	b := make([]byte, size)
	if _, err := io.ReadFull(file, b); err != nil {
		return nil, flow.Resolved{}, unreadable(name, err)
	}
	return b, flow.Resolved{Path: f.Path(name), Digest: flow.DigestOf(b)}, nil
}

// Text reads a regular file of at most limit bytes that is no plugin.
func (f *Folder) Text(name string, limit int64) ([]byte, error) {
	file, err := f.root.OpenFile(filepath.FromSlash(name), openFlags, 0)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if !info.Mode().IsRegular() || info.Size() > limit {
		return nil, fmt.Errorf("read %s: expected a regular file of at most %s, found %s", name, flow.Size(limit), describe(info))
	}
	b, err := io.ReadAll(io.LimitReader(file, limit))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return b, nil
}

// Write puts a file into the folder at once, and makes the folders that lead to it.
func (f *Folder) Write(name string, body []byte) error {
	name = filepath.FromSlash(name)
	temp := name + "." + rand.Text() + ".tmp"
	err := f.root.MkdirAll(filepath.Dir(name), 0o755)
	var file *os.File
	if err == nil {
		file, err = f.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	}
	if err == nil {
		_, err = file.Write(body)
		if err = errors.Join(err, file.Sync(), file.Close()); err == nil {
			err = f.root.Rename(temp, name)
		}
		if err != nil {
			_ = f.root.Remove(temp)
		}
	}
	if err != nil {
		return &flow.Error{Code: flow.CodePluginFile, Op: "write " + name, Message: "the file cannot be written", Hint: "check permissions and room; a path cannot leave the manifest's folder", Err: err}
	}
	return nil
}

// Remove removes a file, if it is there.
func (f *Folder) Remove(name string) error {
	if err := f.root.Remove(filepath.FromSlash(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &flow.Error{Code: flow.CodePluginFile, Op: "remove " + name, Message: "the file cannot be removed", Hint: "check its permissions", Err: err}
	}
	return nil
}

// open opens a regular file of at most limit bytes.
func (f *Folder) open(name string, limit int64) (*os.File, int64, error) {
	file, err := f.root.OpenFile(filepath.FromSlash(name), openFlags, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, 0, fmt.Errorf("plugin file %s: %w", name, fs.ErrNotExist)
	case err != nil:
		return nil, 0, unreadable(name, err)
	}
	info, err := file.Stat()
	if err == nil && (!info.Mode().IsRegular() || info.Size() > limit) {
		err = &flow.Error{Code: flow.CodePluginFile, Op: "read plugin " + name, Message: fmt.Sprintf("expected a regular file of at most %s, found %s", flow.Size(limit), describe(info)), Hint: "point the plugin at its built file"}
	} else if err != nil {
		err = unreadable(name, err)
	}
	if err != nil {
		return nil, 0, errors.Join(err, file.Close())
	}
	return file, info.Size(), nil
}

func describe(info fs.FileInfo) string {
	if info.IsDir() {
		return "a folder"
	}
	if !info.Mode().IsRegular() {
		return "a " + info.Mode().Type().String() + " file"
	}
	return flow.Size(info.Size()).String()
}

func unreadable(name string, err error) error {
	return &flow.Error{Code: flow.CodePluginFile, Op: "read plugin " + name, Message: "the file cannot be read", Hint: "check the path and its permissions; a path cannot leave the manifest's folder", Err: err}
}
