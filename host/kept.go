package host

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"

	"github.com/uniflow-dev/uniflow/host/flow"
	"github.com/uniflow-dev/uniflow/host/internal/supply"
	"github.com/uniflow-dev/uniflow/host/internal/wasm"
)

// keeper keeps the bytes of the plugins that were applied, each under its digest, so that a version can be executed for as
// long as it is known, whatever becomes of the file that it came from.
type keeper struct {
	dir string

	mu sync.Mutex
	// known are names in the folder that were seen there.
	known map[string]bool
}

func newKeeper(dir string) *keeper { return &keeper{dir: dir, known: map[string]bool{}} }

// The names under which bytes are kept. A script that is a file stands in a folder with its own name.
const (
	keptFile   = ".bytes"
	keptScript = ".script"
	keptTree   = ".tree"
	keptTemp   = "new-*"
)

// keep copies what a plugin consists of, unless that was done before. Bytes that are not those of the plan are an error.
func (k *keeper) keep(p *flow.PlanPlugin) error {
	if p.Script != nil {
		if err := k.keepScript(p.Script); err != nil {
			return k.fault(p, err)
		}
	}
	if !p.Digest.Valid() {
		return nil // a function of the program
	}
	name := p.Digest.Hex() + keptFile
	if k.has(name) {
		return nil
	}
	if err := k.put(name, func(temp string) error { return copyBytes(p.Path, temp, p.Digest) }); err != nil {
		return k.fault(p, err)
	}
	return nil
}

func (k *keeper) fault(p *flow.PlanPlugin, err error) error {
	if flow.CodeOf(err) != "" {
		return err
	}
	return &flow.Error{Code: flow.CodeData, Op: fmt.Sprintf("keep plugin %q", p.Name), Message: "its bytes cannot be copied to the data folder", Hint: "see that the disk is not full, and that the file can be read", Err: err}
}

// has reports whether something is kept.
func (k *keeper) has(name string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.known[name] {
		return true
	}
	if _, err := os.Lstat(filepath.Join(k.dir, name)); err != nil {
		return false
	}
	k.known[name] = true
	return true
}

// put makes something beside its place, and moves it there once it is on the disk.
func (k *keeper) put(name string, fill func(temp string) error) error {
	if err := os.MkdirAll(k.dir, 0o700); err != nil {
		return err
	}
	temp, err := os.MkdirTemp(k.dir, keptTemp)
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(temp) }()
	made := filepath.Join(temp, name)
	if err := fill(made); err != nil {
		return err
	}
	if err := os.Rename(made, filepath.Join(k.dir, name)); err != nil && !k.has(name) {
		return err
	}
	return syncFolder(k.dir)
}

// mostKept bounds what is copied for one plugin.
const mostKept = 512 << 20

// copyBytes copies a regular file, which is executable then, and refuses bytes that have another digest.
func copyBytes(from, to string, want flow.Digest) error {
	source, err := os.OpenFile(from, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a named pipe must not be waited for
	if err != nil {
		return err
	}
	defer source.Close()
	if info, err := source.Stat(); err != nil || !info.Mode().IsRegular() {
		return errors.Join(err, errors.New("it is no regular file"))
	}
	sum := sha256.New()
	if err := writeFile(to, 0o500, io.TeeReader(io.LimitReader(source, mostKept), sum)); err != nil {
		return err
	}
	return sameBytes(sum, want, filepath.Base(from))
}

func sameBytes(sum hash.Hash, want flow.Digest, name string) error {
	found := flow.Digest(fmt.Sprintf("sha256:%x", sum.Sum(nil)))
	if found == want {
		return nil
	}
	return &flow.Error{Code: flow.CodeDigest, Op: "plugin file " + name, Message: fmt.Sprintf("expected digest %s, found %s: it has changed meanwhile", want.Short(), found.Short()), Hint: "apply again"}
}

// writeFile writes a new file to the disk.
func writeFile(path string, mode fs.FileMode, from io.Reader) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, from)
	return errors.Join(err, f.Sync(), f.Close())
}

func (k *keeper) keepScript(s *flow.PlanScript) error {
	if !s.Digest.Valid() || k.has(s.Digest.Hex()+keptScript) || k.has(s.Digest.Hex()+keptTree) {
		return nil
	}
	info, err := os.Stat(s.Path)
	if err != nil {
		return err
	}
	folder, err := supply.OpenFolder(filepath.Dir(s.Path))
	if err != nil {
		return err
	}
	defer folder.Close()
	script, err := wasm.ReadScript(folder.FS(), filepath.Base(s.Path))
	if err != nil {
		return err
	}
	if script.Digest != s.Digest {
		return &flow.Error{Code: flow.CodeDigest, Op: "script " + filepath.Base(s.Path), Message: fmt.Sprintf("expected digest %s, found %s: it has changed meanwhile", s.Digest.Short(), script.Digest.Short()), Hint: "apply again"}
	}
	name := s.Digest.Hex() + keptScript
	if info.IsDir() {
		name = s.Digest.Hex() + keptTree
	}
	return k.put(name, func(temp string) error { return copyTree(script, temp) })
}

// copyTree writes all files of a file system to the disk.
func copyTree(from fs.FS, to string) error {
	return fs.WalkDir(from, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := filepath.Join(to, filepath.FromSlash(path))
		if d.IsDir() {
			return os.MkdirAll(target, 0o700)
		}
		f, err := from.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		return writeFile(target, 0o400, f)
	})
}

// find returns a plugin that consists of what is kept of it; false where something is not.
func (k *keeper) find(p flow.PlanPlugin) (flow.PlanPlugin, bool) {
	if !p.Digest.Valid() || !k.has(p.Digest.Hex()+keptFile) {
		return p, false
	}
	p.Path = filepath.Join(k.dir, p.Digest.Hex()+keptFile)
	if p.Script == nil {
		return p, true
	}
	script := *p.Script
	switch name := script.Digest.Hex(); {
	case k.has(name + keptTree):
		script.Path = filepath.Join(k.dir, name+keptTree)
	case k.has(name + keptScript):
		script.Path = filepath.Join(k.dir, name+keptScript, script.Entry)
	default:
		return p, false
	}
	p.Script = &script
	return p, true
}

// prune removes what belongs to no version that is wanted; digests are those of plugins and scripts.
func (k *keeper) prune(wanted map[flow.Digest]bool) (int, error) {
	found, err := os.ReadDir(k.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	n := 0
	for _, d := range found {
		hex, _, _ := strings.Cut(d.Name(), ".")
		if wanted[flow.Digest("sha256:"+hex)] {
			continue
		}
		k.mu.Lock()
		delete(k.known, d.Name())
		k.mu.Unlock()
		if err := os.RemoveAll(filepath.Join(k.dir, d.Name())); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// deploymentsKept is how many deployments can be gone back to with the bytes of their plugins.
const deploymentsKept = 100

// pruneKept removes the bytes of plugins that nobody can ask for any more.
func (h *Host) pruneKept(ctx context.Context) (int, error) {
	h.applying.Lock()
	defer h.applying.Unlock()
	versions, err := h.store.Versioned(ctx, deploymentsKept)
	if err != nil {
		return 0, err
	}
	wanted := map[flow.Digest]bool{}
	want := func(p *flow.Plan) {
		for _, plugin := range p.Plugins {
			wanted[plugin.Digest] = true
			if plugin.Script != nil {
				wanted[plugin.Script.Digest] = true
			}
		}
	}
	for _, e := range h.entries() {
		want(&e.plan)
		if e.own != nil {
			want(e.own)
		}
	}
	for d := range versions {
		p, err := h.store.Plan(ctx, d)
		if err == nil {
			want(&p)
		} else if !errors.Is(err, flow.ErrNotFound) {
			return 0, err
		}
	}
	return h.loader.kept.prune(wanted)
}

// syncFolder brings the entries of a folder to the disk, where the system has a way to.
func syncFolder(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
