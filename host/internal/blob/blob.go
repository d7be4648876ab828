// Package blob keeps artifacts on disk by content: DIR/TENANT/sha256/AB/ABCDEF….
//
// A file appears under its name whole and durable, or not at all, and is checked against its name whenever it is read.
// The package does not know who refers to an artifact: that is the ledger's business, and Sweep asks it.
package blob

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"regexp"
	"sync"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// Store is a folder of artifacts. It is safe for concurrent use, by several processes too.
type Store struct {
	root *os.Root // nothing outside of it can be reached by any name
	name *regexp.Regexp
	// names keeps apart those who give a file its name and who takes files away.
	names sync.RWMutex
	sums  sums
}

var _ flow.Blobs = (*Store)(nil)

// Open opens the folder, and makes it if needed.
func Open(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, ioFault("open artifacts", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, ioFault("open artifacts", err)
	}
	return &Store{root: root, name: regexp.MustCompile(`^[a-z][a-z0-9_-]{0,127}$`)}, nil
}

// Close gives the folder free. Readers that are open go on.
func (s *Store) Close() error {
	return s.root.Close()
}

// Put stores what r yields, at most limit bytes, durably before it returns. Over the limit nothing is kept and the error
// is flow.ErrTooLarge, beyond the quota of the tenant CodeQuota; an error of r is returned as it is; CodeArtifactIO when
// the disk refuses.
func (s *Store) Put(ctx context.Context, tenant string, r io.Reader, limit int64) (flow.Digest, int64, error) {
	if !s.name.MatchString(tenant) {
		return "", 0, fmt.Errorf("put artifact: %q is no tenant", tenant)
	}
	room, err := s.room(tenant)
	if err != nil {
		return "", 0, err
	}
	scratch := path.Join(tenant, "tmp")
	if err := s.root.MkdirAll(scratch, 0o700); err != nil {
		return "", 0, ioFault("put artifact", err)
	}
	temp := path.Join(scratch, string(flow.NewRunID(time.Now())))
	f, err := s.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", 0, ioFault("put artifact", err)
	}
	// After the rename the name is gone, and removing it changes nothing.
	defer func() { _ = s.root.Remove(temp) }()
	digest, size, err := fill(ctx, f, r, min(limit, room))
	if errors.Is(err, flow.ErrTooLarge) && room < limit {
		err = s.full(tenant, room)
	}
	if closed := f.Close(); err == nil && closed != nil {
		err = ioFault("put artifact", closed)
	}
	if err != nil {
		return "", 0, err
	}
	if err := s.publish(temp, tenant, digest, size); err != nil {
		return "", 0, err
	}
	return digest, size, nil
}

// fill copies r into f and brings it to the disk.
func fill(ctx context.Context, f *os.File, r io.Reader, limit int64) (flow.Digest, int64, error) {
	sum := sha256.New()
	limit = max(limit, 0)
	source := &source{ctx: ctx, r: r}
	// One byte more than allowed tells "exactly the limit" from "more".
	size, err := io.Copy(io.MultiWriter(f, sum), io.LimitReader(source, limit+1))
	switch {
	case source.err != nil:
		return "", 0, source.err
	case err != nil:
		return "", 0, ioFault("put artifact", err)
	case size > limit:
		return "", 0, fmt.Errorf("artifact of more than %d bytes: %w", limit, flow.ErrTooLarge)
	}
	if err := f.Sync(); err != nil {
		return "", 0, ioFault("put artifact", err)
	}
	return flow.Digest("sha256:" + hex.EncodeToString(sum.Sum(nil))), size, nil
}

// source ends with ctx and keeps its own error apart from those of the disk.
type source struct {
	ctx context.Context //nolint:containedctx // of one Put
	r   io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	if s.err = context.Cause(s.ctx); s.err != nil {
		return 0, s.err
	}
	n, err := s.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// publish gives a finished file its name. The content decides the name, so whoever comes second changes nothing.
func (s *Store) publish(temp, tenant string, digest flow.Digest, size int64) error {
	s.names.RLock()
	defer s.names.RUnlock()
	final := place(tenant, digest)
	return s.keep(tenant, final, size, func() error { return s.give(temp, final) })
}

// give gives a file its name, durably.
func (s *Store) give(temp, final string) error {
	if err := s.root.MkdirAll(path.Dir(final), 0o700); err != nil {
		return err
	}
	if err := s.root.Rename(temp, final); err != nil {
		return err
	}
	// The entry and, where they are new, the folders above it.
	for dir := path.Dir(final); ; dir = path.Dir(dir) {
		if err := s.syncDir(dir); err != nil {
			return err
		}
		if dir == "." {
			return nil
		}
	}
}

func (s *Store) syncDir(name string) error {
	dir, err := s.root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(syncOpenDir(dir), dir.Close())
}

func place(tenant string, digest flow.Digest) string {
	digits := digest.Hex()
	return path.Join(tenant, "sha256", digits[:2], digits)
}

// Get opens the bytes of a digest. What was never put, or by another tenant, is flow.ErrNotFound, and so is a name that
// is no digest. The last read fails with CodeArtifactDamaged when the bytes are not those of the digest.
func (s *Store) Get(_ context.Context, tenant string, d flow.Digest) (io.ReadCloser, error) {
	missing := fmt.Errorf("artifact %.80q: %w", string(d), flow.ErrNotFound)
	if !d.Valid() || !s.name.MatchString(tenant) {
		return nil, missing
	}
	f, err := s.root.Open(place(tenant, d))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, missing
	case err != nil:
		return nil, ioFault("open artifact "+d.Short(), err)
	}
	return &checked{file: f, digest: d, sum: sha256.New()}, nil
}

// checked compares the whole content with its name before it reports the end.
type checked struct {
	file   *os.File
	digest flow.Digest
	sum    hash.Hash
}

// Read implements io.Reader.
func (c *checked) Read(p []byte) (int, error) {
	n, err := c.file.Read(p)
	c.sum.Write(p[:n])
	if errors.Is(err, io.EOF) && hex.EncodeToString(c.sum.Sum(nil)) != c.digest.Hex() {
		return n, &flow.Error{
			Code: flow.CodeArtifactDamaged, Op: "read artifact " + c.digest.Short(), Message: "its bytes have changed on the disk",
			Hint: "run the pipeline again",
		}
	}
	return n, err
}

// Close implements io.Closer.
func (c *checked) Close() error { return c.file.Close() }

func ioFault(op string, err error) error {
	return &flow.Error{Code: flow.CodeArtifactIO, Op: op, Message: "the data folder cannot be used", Hint: "check the space on its disk and its permissions", Err: err}
}
