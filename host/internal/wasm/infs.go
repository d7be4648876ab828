package wasm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/sdk/abi"
)

// inFS shows the artifacts among the inputs of a step as files, each under the name of its input. They are read from the
// host when they are opened.
type inFS struct {
	refs map[string]flow.ArtifactRef
	open func(ctx context.Context, ref flow.ArtifactRef) (io.ReadCloser, error)
	ctx  context.Context //nolint:containedctx // an attempt's file system ends with it
	// ended reports whether the guest has been stopped.
	ended func() bool
}

// artifactsIn finds the artifacts among the top-level values of with whose names can be file names.
func (a *attempt) artifactsIn() *inFS {
	found := &inFS{refs: map[string]flow.ArtifactRef{}, open: a.host.Open, ctx: a.ctx, ended: a.ended}
	for name, value := range a.call.Context.With {
		ref, ok := abi.AsArtifact(value)
		if ok && name != "." && fs.ValidPath(name) && !strings.Contains(name, "/") {
			found.refs[name] = flow.ArtifactRef{Digest: flow.Digest(ref.Artifact), Size: ref.Size, Type: ref.Type}
		}
	}
	return found
}

// Open implements fs.FS.
func (in *inFS) Open(name string) (fs.File, error) {
	if name == "." {
		return &listing{names: slices.Sorted(maps.Keys(in.refs)), stat: in.stat}, nil
	}
	ref, ok := in.refs[name]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return &inFile{fs: in, name: name, ref: ref}, nil
}

func (in *inFS) stat(name string) (fs.FileInfo, error) {
	return fileInfo{name: name, size: in.refs[name].Size, mode: 0o444}, nil
}

// inFile reads an artifact from its start; to go back it opens it anew.
type inFile struct {
	fs   *inFS
	name string
	ref  flow.ArtifactRef
	want int64 // where the guest reads next
	r    io.ReadCloser
	at   int64 // where r is
}

// Stat implements fs.File.
func (f *inFile) Stat() (fs.FileInfo, error) { return f.fs.stat(f.name) }

// Read implements fs.File.
func (f *inFile) Read(p []byte) (int, error) {
	if f.r == nil || f.at > f.want {
		if err := f.reopen(); err != nil {
			return 0, err
		}
	}
	if f.at < f.want {
		n, err := io.CopyN(io.Discard, reader(f.skip), f.want-f.at)
		f.at += n
		if err != nil {
			return 0, err
		}
	}
	n, err := f.r.Read(p)
	f.at += int64(n)
	f.want = f.at
	return n, err
}

// skip reads what nobody wants, until the guest has been stopped.
func (f *inFile) skip(p []byte) (int, error) {
	if f.fs.ended() {
		return 0, errStopped
	}
	return f.r.Read(p) //nolint:wrapcheck // io.Reader
}

func (f *inFile) reopen() error {
	_ = f.Close()
	r, err := f.fs.open(f.fs.ctx, f.ref)
	if errors.Is(err, flow.ErrNotFound) {
		return fs.ErrNotExist
	}
	if err != nil {
		return fmt.Errorf("open artifact: %w", err)
	}
	f.r, f.at = r, 0
	return nil
}

// Seek implements io.Seeker.
func (f *inFile) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += f.want
	case io.SeekEnd:
		offset += f.ref.Size
	}
	if offset < 0 {
		return 0, fs.ErrInvalid
	}
	f.want = offset
	return offset, nil
}

// Close implements fs.File.
func (f *inFile) Close() error {
	if f.r == nil {
		return nil
	}
	r := f.r
	f.r = nil
	return r.Close()
}

// listing is a folder of names without subfolders.
type listing struct {
	name  string // empty for the root
	names []string
	stat  func(name string) (fs.FileInfo, error)
	next  int
}

// Stat implements fs.File.
func (l *listing) Stat() (fs.FileInfo, error) {
	return fileInfo{name: cmp.Or(l.name, "."), mode: fs.ModeDir | 0o555}, nil
}

// Read implements fs.File.
func (l *listing) Read([]byte) (int, error) { return 0, fs.ErrInvalid }

// Close implements fs.File.
func (l *listing) Close() error { return nil }

// ReadDir implements fs.ReadDirFile.
func (l *listing) ReadDir(n int) ([]fs.DirEntry, error) {
	var entries []fs.DirEntry
	for ; l.next < len(l.names) && (n <= 0 || len(entries) < n); l.next++ {
		info, err := l.stat(l.names[l.next])
		if err != nil {
			continue // a granted file that has gone
		}
		entries = append(entries, entry{name: l.names[l.next], FileInfo: info})
	}
	if n > 0 && len(entries) == 0 {
		return nil, io.EOF
	}
	return entries, nil
}

// entry is a file under the name that the guest knows.
type entry struct {
	fs.FileInfo
	name string
}

// Name implements fs.DirEntry.
func (e entry) Name() string { return e.name }

// Type implements fs.DirEntry.
func (e entry) Type() fs.FileMode { return e.Mode().Type() }

// Info implements fs.DirEntry.
func (e entry) Info() (fs.FileInfo, error) { return e.FileInfo, nil }

// fileInfo describes what is no file of the host; it has no time.
type fileInfo struct {
	name string
	size int64
	mode fs.FileMode
}

func (i fileInfo) Name() string       { return i.name }
func (i fileInfo) Size() int64        { return i.size }
func (i fileInfo) Mode() fs.FileMode  { return i.mode }
func (i fileInfo) ModTime() time.Time { return time.Unix(0, 0) }
func (i fileInfo) IsDir() bool        { return i.mode.IsDir() }
func (i fileInfo) Sys() any           { return nil }
