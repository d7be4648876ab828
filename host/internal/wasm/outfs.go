package wasm

import (
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"path"
	"slices"
	"strings"

	wasys "github.com/tetratelabs/wazero/experimental/sys"
	"github.com/tetratelabs/wazero/experimental/sysfs"
	"github.com/tetratelabs/wazero/sys"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/sdk/abi"
)

// outFS is the folder /out: files in memory, without subfolders, bounded in sum. It is in memory because nothing can
// lead out of it, and because it is gone with the attempt whatever happens.
type outFS struct {
	wasys.UnimplementedFS

	files map[string]*outData
	used  int64
	limit int64
	open  *openFiles
	// refused is true when the call under way was refused for lack of room; full is the last time that one was and
	// nothing was freed since.
	refused bool
	full    *flow.Fault
}

// outData is the content of a file; it outlives its name while it is open.
type outData struct{ b []byte }

func newOutFS(limit int64, open *openFiles) *outFS {
	return &outFS{files: map[string]*outData{}, limit: limit, open: open}
}

func (o *outFS) names() []string { return slices.Sorted(maps.Keys(o.files)) }

func (o *outFS) content(name string) []byte { return o.files[name].b }

// isRoot reports whether a path that the engine has cleaned means the folder itself.
func isRoot(name string) bool { return strings.Trim(name, "/.") == "" && name != "..." }

// OpenFile implements wasys.FS.
func (o *outFS) OpenFile(name string, flag wasys.Oflag, _ fs.FileMode) (wasys.File, wasys.Errno) {
	writes := flag&(wasys.O_WRONLY|wasys.O_RDWR) != 0
	if isRoot(name) {
		if writes {
			return nil, wasys.EISDIR
		}
		return (&sysfs.AdaptFS{FS: countedFS{FS: outOpener(o.list), open: o.open}}).OpenFile(".", 0, 0)
	}
	data, exists := o.files[name]
	switch {
	case strings.Contains(name, "/"):
		return nil, wasys.ENOENT
	case flag&wasys.O_DIRECTORY != 0 && exists:
		return nil, wasys.ENOTDIR
	case exists && flag&(wasys.O_CREAT|wasys.O_EXCL) == wasys.O_CREAT|wasys.O_EXCL:
		return nil, wasys.EEXIST
	case !exists && flag&wasys.O_CREAT == 0:
		return nil, wasys.ENOENT
	case !exists && len(name) > abi.MaxOutputName:
		return nil, wasys.ENAMETOOLONG
	case !exists && len(o.files) >= abi.MaxOutputs:
		return nil, o.refuse(fmt.Sprintf("/out holds %d files, and takes no more", abi.MaxOutputs), "write fewer files to /out")
	}
	if !o.open.take() {
		return nil, wasys.EAGAIN
	}
	f := &outFile{fs: o, data: data, reads: flag&wasys.O_WRONLY == 0, writes: writes, appends: flag&wasys.O_APPEND != 0}
	if !exists {
		f.data = &outData{}
		o.files[name] = f.data
	}
	if writes && flag&wasys.O_TRUNC != 0 {
		_ = o.resize(f.data, 0) // less is always possible
	}
	adapted, errno := (&sysfs.AdaptFS{FS: outOpener(func() fs.File { return f })}).OpenFile(name, flag, 0)
	return &outHandle{File: adapted, file: f}, errno
}

// list opens the folder itself.
func (o *outFS) list() fs.File {
	return &listing{names: o.names(), stat: func(name string) (fs.FileInfo, error) {
		d, ok := o.files[name]
		if !ok {
			return nil, fs.ErrNotExist
		}
		return fileInfo{name: name, size: int64(len(d.b)), mode: 0o600}, nil
	}}
}

// refuse notes that the guest asked for more than /out takes. The guest sees "no space", see wasiCalls.
func (o *outFS) refuse(message, hint string) wasys.Errno {
	o.refused, o.full = true, &flow.Fault{Reason: flow.ReasonOutputLimit, Message: message, Hint: hint}
	return wasys.EIO
}

// resize grows a file with zeros or cuts it; a growth over the limit changes nothing.
func (o *outFS) resize(d *outData, size int64) wasys.Errno {
	grown := size - int64(len(d.b))
	if grown > o.limit-o.used {
		return o.refuse(fmt.Sprintf("the files in /out exceed limits.artifacts, %s", flow.Size(o.limit)), "raise limits.artifacts of the step")
	}
	if grown < 0 {
		o.full = nil
	}
	o.used += grown
	if grown > 0 {
		d.b = append(d.b, make([]byte, grown)...)
	} else {
		clear(d.b[size:])
		d.b = d.b[:size]
	}
	return 0
}

// Stat implements wasys.FS.
func (o *outFS) Stat(name string) (sys.Stat_t, wasys.Errno) {
	if isRoot(name) {
		return sys.Stat_t{Mode: fs.ModeDir | 0o700, Nlink: 1}, 0
	}
	d, ok := o.files[name]
	if !ok {
		return sys.Stat_t{}, wasys.ENOENT
	}
	return d.stat(), 0
}

func (d *outData) stat() sys.Stat_t { return sys.Stat_t{Mode: 0o600, Nlink: 1, Size: int64(len(d.b))} }

// Lstat implements wasys.FS; there are no links.
func (o *outFS) Lstat(name string) (sys.Stat_t, wasys.Errno) { return o.Stat(name) }

// Mkdir implements wasys.FS: an artifact is a file.
func (o *outFS) Mkdir(string, fs.FileMode) wasys.Errno { return wasys.EPERM }

// Unlink implements wasys.FS.
func (o *outFS) Unlink(name string) wasys.Errno {
	d, ok := o.files[name]
	if !ok {
		return wasys.ENOENT
	}
	delete(o.files, name)
	o.full = nil
	return o.resize(d, 0)
}

// Rename implements wasys.FS.
func (o *outFS) Rename(from, to string) wasys.Errno {
	d, ok := o.files[from]
	switch {
	case !ok:
		return wasys.ENOENT
	case isRoot(to) || strings.Contains(to, "/") || len(to) > abi.MaxOutputName:
		return wasys.EPERM
	case from == to:
		return 0
	}
	if old, exists := o.files[to]; exists {
		_ = o.resize(old, 0) // as above
	}
	delete(o.files, from)
	o.files[to] = d
	return 0
}

// Utimens implements wasys.FS; files have no times.
func (o *outFS) Utimens(string, int64, int64) wasys.Errno { return 0 }

// Chmod implements wasys.FS; files have no modes.
func (o *outFS) Chmod(string, fs.FileMode) wasys.Errno { return 0 }

// outOpener hands one opened file to the engine's adapter.
type outOpener func() fs.File

// Open implements fs.FS.
func (o outOpener) Open(string) (fs.File, error) { return o(), nil }

// outHandle is an opened file: the engine's adapter over outFile, and what the adapter does not know.
type outHandle struct {
	wasys.File

	file *outFile
}

// IsAppend implements wasys.File.
func (h *outHandle) IsAppend() bool { return h.file.appends }

// SetAppend implements wasys.File.
func (h *outHandle) SetAppend(on bool) wasys.Errno {
	h.file.appends = on
	return 0
}

// Truncate implements wasys.File.
func (h *outHandle) Truncate(size int64) wasys.Errno {
	switch {
	case !h.file.writes:
		return wasys.EBADF
	case size < 0:
		return wasys.EINVAL
	}
	return h.file.fs.resize(h.file.data, size)
}

// Utimens implements wasys.File; files have no times.
func (h *outHandle) Utimens(int64, int64) wasys.Errno { return 0 }

// outFile is an opened file.
type outFile struct {
	fs             *outFS
	data           *outData
	pos            int64
	reads, writes  bool
	appends, ended bool
}

// Stat implements fs.File.
func (f *outFile) Stat() (fs.FileInfo, error) {
	return fileInfo{size: int64(len(f.data.b)), mode: 0o600}, nil
}

// Read implements fs.File.
func (f *outFile) Read(p []byte) (int, error) {
	n, err := f.ReadAt(p, f.pos)
	f.pos += int64(n)
	return n, err
}

// ReadAt implements io.ReaderAt.
func (f *outFile) ReadAt(p []byte, off int64) (int, error) {
	switch {
	case !f.reads:
		return 0, wasys.EBADF
	case off < 0:
		return 0, wasys.EINVAL
	case off >= int64(len(f.data.b)):
		return 0, io.EOF
	}
	return copy(p, f.data.b[off:]), nil
}

// Seek implements io.Seeker.
func (f *outFile) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += f.pos
	case io.SeekEnd:
		offset += int64(len(f.data.b))
	}
	if offset < 0 {
		return 0, wasys.EINVAL
	}
	f.pos = offset
	return offset, nil
}

// Write implements io.Writer.
func (f *outFile) Write(p []byte) (int, error) {
	if f.appends {
		f.pos = int64(len(f.data.b))
	}
	n, err := f.WriteAt(p, f.pos)
	f.pos += int64(n)
	return n, err
}

// WriteAt implements io.WriterAt. Over the limit nothing is written.
func (f *outFile) WriteAt(p []byte, off int64) (int, error) {
	switch {
	case !f.writes:
		return 0, wasys.EBADF
	case f.fs.open.ended():
		return 0, errStopped
	}
	if off < 0 || off > math.MaxInt64-int64(len(p)) {
		return 0, wasys.EINVAL
	}
	if end := off + int64(len(p)); end > int64(len(f.data.b)) {
		if errno := f.fs.resize(f.data, end); errno != 0 {
			return 0, errno
		}
	}
	return copy(f.data.b[off:], p), nil
}

// Close implements fs.File.
func (f *outFile) Close() error {
	if !f.ended {
		f.ended = true
		f.fs.open.give()
	}
	return nil
}

// mediaType guesses from the name; the table is our own, so that it is the same on every machine.
func mediaType(name string) string {
	switch strings.ToLower(path.Ext(name)) {
	case ".csv":
		return "text/csv"
	case ".html", ".htm":
		return "text/html"
	case ".json":
		return "application/json"
	case ".md":
		return "text/markdown"
	case ".ndjson", ".jsonl":
		return "application/x-ndjson"
	case ".parquet":
		return "application/vnd.apache.parquet"
	case ".pdf":
		return "application/pdf"
	case ".png":
		return "image/png"
	case ".jpg", ".jpeg":
		return "image/jpeg"
	case ".svg":
		return "image/svg+xml"
	case ".txt", ".log":
		return "text/plain"
	case ".xml":
		return "application/xml"
	}
	return "application/octet-stream"
}
