package process

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// place puts the module, and what was compiled of it, into the worker's folder. Compiled files that are not what they
// were are left out: the worker compiles anew.
func (w *worker) place(ctx context.Context, m *hosted, file, name string) error {
	if err := w.write(ctx, file, name, m.plugin.Digest); err != nil {
		return err
	}
	for _, k := range m.compiled {
		name := filepath.FromSlash(k.Name)
		err := w.root.MkdirAll(filepath.Dir(name), 0o700)
		if err == nil {
			err = w.write(ctx, filepath.Join(m.folder(), k.File), k.Name, k.Digest)
		}
		if err != nil {
			w.stale = true
			_ = w.root.Remove(name)
			w.proc.runtime.log.Warn("compiled module not used", slog.String("plugin", m.plugin.Name), slog.Any("err", err))
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
	defer from.Close()
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
