package supply

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// LockName is the file beside the manifest that pins prebuilt plugins; it is meant to be committed.
const LockName = "uniflow.lock"

// BuildLockName is the file in the data folder that pins what was built on this machine.
const BuildLockName = "build.lock"

// Lock pins files by digest. Its file has the form of sha256sum, so that `sha256sum -c uniflow.lock` checks it.
type Lock struct {
	path    string
	digests map[string]flow.Digest
}

// maxLock bounds the size of a lock file.
const maxLock = 1 << 20

// ReadLock reads a lock; a file that is not there is an empty lock.
func ReadLock(path string) (*Lock, error) {
	lock := &Lock{path: path, digests: map[string]flow.Digest{}}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return lock, nil
	}
	if err == nil && (!info.Mode().IsRegular() || info.Size() > maxLock) {
		err = fmt.Errorf("expected a regular file of at most %s", flow.Size(maxLock))
	}
	var src []byte
	if err == nil {
		src, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, &flow.Error{Code: flow.CodeLock, Op: "read " + filepath.Base(path), Message: "the lock cannot be read", Hint: "uniflow build", Err: err}
	}
	return lock, lock.parse(src)
}

func (l *Lock) parse(src []byte) error {
	lines := bufio.NewScanner(bytes.NewReader(src))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		hex, name, found := strings.Cut(line, "  ")
		digest := flow.Digest("sha256:" + hex)
		if _, twice := l.digests[name]; !found || !digest.Valid() || name == "" || twice {
			return &flow.Error{Code: flow.CodeLock, Op: fmt.Sprintf("read %s:%d", filepath.Base(l.path), n), Message: "expected 64 hexadecimal digits, two spaces and a path that stands once", Hint: "uniflow build writes the lock anew"}
		}
		l.digests[name] = digest
	}
	return lines.Err()
}

// Digest returns the pinned digest of a path as the manifest writes it, or "".
func (l *Lock) Digest(name string) flow.Digest { return l.digests[filepath.ToSlash(name)] }

// Pin sets the digest of a path and reports whether that changed the lock.
func (l *Lock) Pin(name string, d flow.Digest) bool {
	name = filepath.ToSlash(name)
	changed := l.digests[name] != d
	l.digests[name] = d
	return changed
}

// Retain drops every path that is not among names, and reports whether that changed the lock.
func (l *Lock) Retain(names []string) bool {
	before := len(l.digests)
	maps.DeleteFunc(l.digests, func(name string, _ flow.Digest) bool { return !slices.Contains(names, name) })
	return len(l.digests) != before
}

// Write replaces the lock's file at once: readers see the old one or the new one.
func (l *Lock) Write() error {
	var b bytes.Buffer
	b.WriteString("# Digests of plugin files; written by `uniflow build`, checked by `sha256sum -c`.\n")
	for _, name := range slices.Sorted(maps.Keys(l.digests)) {
		fmt.Fprintf(&b, "%s  %s\n", l.digests[name].Hex(), name)
	}
	if err := os.MkdirAll(filepath.Dir(l.path), 0o755); err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(l.path), err)
	}
	temp, err := os.CreateTemp(filepath.Dir(l.path), filepath.Base(l.path)+".*.tmp")
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(l.path), err)
	}
	defer os.Remove(temp.Name())
	_, err = temp.Write(b.Bytes())
	err = errors.Join(err, temp.Chmod(0o644), temp.Sync(), temp.Close())
	if err == nil {
		err = os.Rename(temp.Name(), l.path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(l.path), err)
	}
	return nil
}

// Check compares a plugin's bytes with its pinned digest. What is not pinned is refused: nothing runs on a host that
// nobody has looked at.
func (l *Lock) Check(name string, found flow.Digest) error {
	switch pinned := l.Digest(name); pinned {
	case found:
		return nil
	case "":
		return &flow.Error{Code: flow.CodeNotLocked, Op: "plugin file " + name, Message: "it is not in " + filepath.Base(l.path), Hint: "uniflow build"}
	default:
		return &flow.Error{Code: flow.CodeDigest, Op: "plugin file " + name, Message: fmt.Sprintf("expected digest %s of %s, found %s", pinned.Short(), filepath.Base(l.path), found.Short()), Hint: "restore the file, or accept the new one with `uniflow build`"}
	}
}
