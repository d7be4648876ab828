package process

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/uniflow-dev/uniflow/host/flow"
)

const (
	// CompiledDir is the folder in a worker's own in which it keeps compiled modules.
	CompiledDir = "compiled"

	compiledIndex     = "index.json"
	mostCompiled      = 64      // files that are kept of one module
	mostCompiledBytes = 1 << 30 // and their size together
	mostKeptModules   = 128     // that were compiled; the one that was used longest ago makes room
)

// keptFile is a file that a worker has made while it loaded a module, kept where no worker can write.
type keptFile struct {
	Name   string      `json:"name"` // in the folder of a worker
	File   string      `json:"file"` // in the folder of the module
	Digest flow.Digest `json:"digest"`
}

// folder is where the host keeps what was compiled of the module.
func (m *hosted) folder() string {
	return filepath.Join(m.runtime.compiled, m.plugin.Digest.Hex())
}

// sealName is the name of the seal of what was compiled of the module by this very program.
func (m *hosted) sealName() string {
	return "worker/" + filepath.Base(m.runtime.compiled) + "/" + m.plugin.Digest.Hex()
}

// recall returns what an earlier life of the host has kept of the module; nothing where that cannot be read, or is not
// what the host has sealed. The index holds the digests of the files, which are checked when they are used.
func (m *hosted) recall(ctx context.Context) []keptFile {
	doc, err := os.ReadFile(filepath.Join(m.folder(), compiledIndex))
	var kept []keptFile
	if err != nil || json.Unmarshal(doc, &kept) != nil || !m.sealed(ctx, doc) {
		return nil
	}
	m.index = flow.DigestOf(doc)
	now := time.Now()
	_ = os.Chtimes(m.folder(), now, now) // it orders by use
	return kept
}

// sealed reports whether an index is the one that was sealed last.
func (m *hosted) sealed(ctx context.Context, index []byte) bool {
	if m.runtime.seals == nil {
		return true
	}
	found, err := m.runtime.seals.Seal(ctx, m.sealName())
	if err == nil && found == flow.DigestOf(index) {
		return true
	}
	m.runtime.log.Warn("compiled module not used: it is not the one that was sealed", slog.String("plugin", m.plugin.Name), slog.Any("err", err))
	return false
}

// seal writes the index of what was compiled, and remembers its digest.
func (m *hosted) seal(ctx context.Context, kept []keptFile) error {
	doc, err := json.Marshal(kept)
	if err != nil {
		return err
	}
	m.index = flow.DigestOf(doc)
	if err := os.WriteFile(filepath.Join(m.folder(), compiledIndex), doc, 0o600); err != nil || m.runtime.seals == nil {
		return err
	}
	return m.runtime.seals.PutSeal(ctx, m.sealName(), m.index)
}

// loadedName is the name of the seal which says that a worker of this very program has loaded the module with its grant.
func (m *hosted) loadedName() string {
	return "loaded/" + filepath.Base(m.runtime.compiled) + "/" + flow.DigestOf([]byte(m.id)).Hex()
}

// known reports whether a worker has loaded the module with its grant before, and what it compiled is there, so that no
// worker need be started to find out.
func (m *hosted) known(ctx context.Context) bool {
	if m.runtime.seals == nil || len(m.compiled) == 0 {
		return false
	}
	if found, err := m.runtime.seals.Seal(ctx, m.loadedName()); err != nil || found != m.index {
		return false
	}
	return !slices.ContainsFunc(m.compiled, func(k keptFile) bool { return !k.intact(m.folder()) })
}

// intact reports whether the file is what it was when it was kept.
func (k *keptFile) intact(dir string) bool {
	f, err := os.Open(filepath.Join(dir, k.File))
	if err != nil {
		return false
	}
	defer f.Close()
	hash := sha256.New()
	_, err = io.Copy(hash, f)
	return err == nil && hex.EncodeToString(hash.Sum(nil)) == k.Digest.Hex()
}

// remember notes that a worker has loaded the module.
func (m *hosted) remember(ctx context.Context) {
	if m.runtime.seals == nil || len(m.compiled) == 0 {
		return
	}
	if err := m.runtime.seals.PutSeal(ctx, m.loadedName(), m.index); err != nil {
		m.runtime.log.Warn("load of a module not noted", slog.String("plugin", m.plugin.Name), slog.Any("err", err))
	}
}

// names lists the files that the worker has compiled. What is no regular file is not seen.
func (w *worker) names() ([]string, error) {
	var names []string
	err := fs.WalkDir(w.root.FS(), CompiledDir, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist) || err == nil && !entry.Type().IsRegular():
			return nil
		case err == nil && len(names) == mostCompiled:
			return fmt.Errorf("over %d compiled files", mostCompiled)
		}
		names = append(names, name)
		return err
	})
	return names, err
}

// keepCompiled keeps what the worker has compiled, where that is not kept already. The worker has seen no module but
// this one, so that its code is worth as much trust as the module itself, and may be handed to every worker that
// executes it.
func (w *worker) keepCompiled(ctx context.Context, m *hosted) ([]keptFile, error) {
	names, err := w.names()
	if err != nil {
		return nil, err
	}
	if !w.stale && slices.EqualFunc(names, m.compiled, func(name string, k keptFile) bool { return name == k.Name }) {
		return m.compiled, nil
	}
	if err := errors.Join(os.RemoveAll(m.folder()), os.MkdirAll(m.folder(), 0o700)); err != nil {
		return nil, err
	}
	kept, room := make([]keptFile, len(names)), int64(mostCompiledBytes)
	for i, name := range names {
		kept[i] = keptFile{Name: name, File: strconv.Itoa(i)}
		if room, err = w.keep(m, &kept[i], room); err != nil {
			return nil, err
		}
	}
	m.runtime.evictCompiled()
	return kept, m.seal(ctx, kept)
}

// keep copies one file out of the worker's folder and returns the bytes that are left of room.
func (w *worker) keep(m *hosted, k *keptFile, room int64) (int64, error) {
	from, err := w.root.OpenFile(filepath.FromSlash(k.Name), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return room, err
	}
	defer from.Close()
	to, err := os.OpenFile(filepath.Join(m.folder(), k.File), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return room, err
	}
	hash := sha256.New()
	n, err := io.Copy(io.MultiWriter(to, hash), io.LimitReader(from, room+1))
	if n > room {
		err = flow.ErrTooLarge
	}
	k.Digest = flow.Digest("sha256:" + hex.EncodeToString(hash.Sum(nil)))
	return room - n, errors.Join(err, to.Close())
}

// evictCompiled makes room for one more module.
func (r *Runtime) evictCompiled() {
	entries, _ := os.ReadDir(r.compiled)
	if len(entries) <= mostKeptModules {
		return
	}
	used := func(e os.DirEntry) int64 {
		info, err := e.Info()
		if err != nil {
			return 0
		}
		return info.ModTime().UnixNano()
	}
	oldest := slices.MinFunc(entries, func(a, b os.DirEntry) int { return cmp.Compare(used(a), used(b)) })
	_ = os.RemoveAll(filepath.Join(r.compiled, oldest.Name()))
}

// openCompiled returns the folder for what workers of this very program compile, and drops what others have left.
func openCompiled(dir, program string) (string, error) {
	info, err := os.Stat(program)
	if err != nil {
		return "", err
	}
	build := fmt.Sprintf("%x-%x", info.Size(), info.ModTime().UnixNano())
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if e.Name() != build {
			_ = os.RemoveAll(filepath.Join(dir, e.Name()))
		}
	}
	own := filepath.Join(dir, build)
	return own, os.MkdirAll(own, 0o700)
}
