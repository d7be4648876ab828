package wasm

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
	"slices"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/wasm/binary"
)

// Seals remembers what was compiled, out of reach of whoever can write to the cache. The name is that of a folder of the
// cache; a name without a seal is flow.ErrNotFound.
type Seals interface {
	Seal(ctx context.Context, name string) (flow.Digest, error)
	PutSeal(ctx context.Context, name string, d flow.Digest) error
}

// cache is a folder with a folder for each compiled module. Its files are machine code: what has no seal, or another one
// than its content, is not loaded but compiled anew.
type cache struct {
	dir   string
	seals Seals
	limit int64
	log   *slog.Logger
}

// entry is the folder of one module. The engine adds its own version and the machine's kind below it.
func (c *cache) entry(module flow.Digest) string {
	return filepath.Join(c.dir, fmt.Sprintf("%s-r%d", module.Hex(), binary.RewriterVersion))
}

// open returns the folder of a module, and whether it holds what was compiled before. The folder is empty when there is no
// cache.
func (c *cache) open(ctx context.Context, module flow.Digest) (dir string, kept bool, err error) {
	if c.dir == "" {
		return "", false, nil
	}
	dir = c.entry(module)
	kept, err = c.check(ctx, dir)
	return dir, kept, err
}

// check empties an entry that cannot be trusted, and reports whether something is left.
func (c *cache) check(ctx context.Context, entry string) (bool, error) {
	if _, err := os.Stat(entry); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if c.trusted(ctx, entry) {
		now := time.Now()
		_ = os.Chtimes(entry, now, now) // tells that it is in use
		return true, nil
	}
	if err := os.RemoveAll(entry); err != nil {
		return false, &flow.Error{Code: flow.CodeModuleCache, Message: "a file of the cache is not the host's and cannot be removed", Err: pathless(err)}
	}
	return false, nil
}

// trusted reports whether an entry holds what was compiled, and nothing else.
func (c *cache) trusted(ctx context.Context, entry string) bool {
	if c.seals == nil {
		return true
	}
	found, err := contentOf(entry)
	if err != nil {
		return false
	}
	sealed, err := c.seals.Seal(ctx, filepath.Base(entry))
	if err != nil && !errors.Is(err, flow.ErrNotFound) {
		c.log.Error("seal of a compiled module not read", slog.Any("err", err))
	}
	return err == nil && sealed == found
}

// keep seals what was compiled into an entry, and makes room for it.
func (c *cache) keep(ctx context.Context, entry string, ready *prepared) {
	err := ready.write(entry)
	if err == nil && c.seals != nil {
		var found flow.Digest
		if found, err = contentOf(entry); err == nil {
			err = c.seals.PutSeal(ctx, filepath.Base(entry), found)
		}
	}
	c.evict(entry)
	if err != nil {
		c.log.Error("compiled module not sealed", slog.Any("err", err))
	}
}

// evict removes the entries that were used longest ago while all are larger than the limit, other than fresh.
func (c *cache) evict(fresh string) {
	type kept struct {
		path string
		size int64
		used time.Time
	}
	var all []kept
	var sum int64
	list, _ := os.ReadDir(c.dir) // what cannot be read is not removed
	for _, e := range list {
		info, err := e.Info()
		if err != nil {
			continue
		}
		k := kept{path: filepath.Join(c.dir, e.Name()), used: info.ModTime()}
		_ = filepath.WalkDir(k.path, func(_ string, file fs.DirEntry, err error) error {
			if err == nil && !file.IsDir() {
				if info, err := file.Info(); err == nil {
					k.size += info.Size()
				}
			}
			return nil
		})
		sum += k.size
		all = append(all, k)
	}
	slices.SortFunc(all, func(a, b kept) int { return a.used.Compare(b.used) })
	for _, k := range all {
		if sum <= c.limit {
			return
		}
		if k.path != fresh && os.RemoveAll(k.path) == nil {
			sum -= k.size
		}
	}
}

// contentOf is the digest of all files of a folder and their names.
func contentOf(dir string) (flow.Digest, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", err
	}
	defer root.Close()
	sum := sha256.New()
	err = fs.WalkDir(root.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		f, err := root.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		fmt.Fprintf(sum, "%q\n", name)
		_, err = io.Copy(sum, f)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("read the cache: %w", err)
	}
	return flow.Digest("sha256:" + hex.EncodeToString(sum.Sum(nil))), nil
}
