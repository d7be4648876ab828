package process

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/uniflow-dev/uniflow/host/flow"
)

const (
	// CompiledDir is the folder in a worker's own in which it keeps compiled modules.
	CompiledDir = "compiled"

	mostCompiled      = 64      // files that are kept of one module
	mostCompiledBytes = 1 << 30 // and their size together
)

// keptFile is a file that a worker has made while it loaded a module, kept where no worker can write.
type keptFile struct {
	name   string // in the folder of a worker
	copy   string
	digest flow.Digest
}

// keepCompiled keeps what the worker has compiled. The worker has seen no module but this one, so that its code is
// worth as much trust as the module itself, and may be handed to every worker that executes it.
func (w *worker) keepCompiled(m *hosted) ([]keptFile, error) {
	var kept []keptFile
	room := int64(mostCompiledBytes)
	err := fs.WalkDir(w.root.FS(), CompiledDir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return ignoreMissing(err)
		}
		if len(kept) == mostCompiled {
			return fmt.Errorf("over %d compiled files", mostCompiled)
		}
		k, size, err := w.keep(m, name, len(kept), room)
		room -= size
		kept = append(kept, k)
		return err
	})
	if err != nil {
		return nil, err
	}
	return kept, nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// keep copies one file out of the worker's folder.
func (w *worker) keep(m *hosted, name string, number int, room int64) (keptFile, int64, error) {
	from, err := w.root.OpenFile(filepath.FromSlash(name), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return keptFile{}, 0, err
	}
	defer from.Close() //nolint:errcheck // it was only read
	k := keptFile{name: name, copy: filepath.Join(w.proc.runtime.programs, m.plugin.Digest.Hex()+".code"+strconv.Itoa(number))}
	to, err := os.OpenFile(k.copy, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return keptFile{}, 0, err
	}
	hash := sha256.New()
	n, err := io.Copy(io.MultiWriter(to, hash), io.LimitReader(from, room+1))
	if n > room {
		err = flow.ErrTooLarge
	}
	k.digest = flow.Digest("sha256:" + hex.EncodeToString(hash.Sum(nil)))
	return k, n, errors.Join(err, to.Close())
}

// place puts the module, and what was compiled of it, into the worker's folder.
func (w *worker) place(ctx context.Context, m *hosted, file, name string) error {
	if err := w.write(ctx, file, name, m.plugin.Digest); err != nil {
		return err
	}
	for _, k := range m.compiled {
		if err := w.root.MkdirAll(filepath.FromSlash(filepath.Dir(k.name)), 0o700); err != nil {
			return err
		}
		if err := w.write(ctx, k.copy, k.name, k.digest); err != nil {
			return err
		}
	}
	return nil
}

// write copies a file into the worker's folder under a name that is not taken, and checks its digest.
func (w *worker) write(ctx context.Context, file, name string, digest flow.Digest) error {
	from, err := os.Open(file)
	if err != nil {
		return err
	}
	defer from.Close() //nolint:errcheck // it was only read
	to, err := w.root.OpenFile(filepath.FromSlash(name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil // placed for another grant
	}
	if err != nil {
		return err
	}
	hash := sha256.New()
	_, err = io.Copy(io.MultiWriter(to, hash), untilDone{ctx, from})
	if found := flow.Digest("sha256:" + hex.EncodeToString(hash.Sum(nil))); err == nil && found != digest {
		err = fmt.Errorf("%s has changed on disk: digest %s, expected %s", filepath.Base(file), found.Short(), digest.Short())
	}
	return errors.Join(err, to.Close())
}
