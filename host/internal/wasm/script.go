package wasm

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// Where an engine finds its script.
const (
	dirScript = "/script"
	envScript = "UNIFLOW_SCRIPT" // the path of the file to begin with
)

// Bounds of a script with all that stands beside it.
const (
	maxScriptFiles = 5_000
	maxScriptBytes = 32 << 20
	// MaxScript is how much of a script is read.
	MaxScript = maxScriptBytes
)

// Script is a script as its engine sees it: a file, or a folder of files, as they were when they were read.
type Script struct {
	// Entry is the file to begin with.
	Entry string
	// Digest is that of the file, or covers names and content of all files.
	Digest flow.Digest
	files  map[string][]byte
}

// ReadScript reads the named file, or the folder with all that is in it but what begins with a dot, compiled files of
// Python and what is neither file nor folder. A folder begins with its file main, whatever its extension. The error has the
// code flow.CodePluginFile, or wraps fs.ErrNotExist.
func ReadScript(root fs.FS, name string) (*Script, error) {
	info, err := fs.Stat(root, name)
	if err != nil {
		return nil, scriptFault(name, "it cannot be read", err)
	}
	s := &Script{Entry: path.Base(name), files: map[string][]byte{}}
	switch {
	case info.Mode().IsRegular():
		return s, s.add(root, name, s.Entry)
	case !info.IsDir():
		return nil, scriptFault(name, "it is no regular file", nil) // a pipe would have us wait
	}
	err = fs.WalkDir(root, name, func(at string, d fs.DirEntry, err error) error {
		inside := strings.TrimPrefix(strings.TrimPrefix(at, name), "/")
		switch {
		case err != nil:
			return scriptFault(name, "it cannot be read", err)
		case at == name:
			return nil
		case strings.HasPrefix(d.Name(), ".") || d.Name() == "__pycache__":
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case !d.Type().IsRegular():
			return nil
		}
		return s.read(root, at, inside)
	})
	if err != nil {
		return nil, err
	}
	return s, s.seal(name)
}

// add makes a script of one file.
func (s *Script) add(root fs.FS, name, inside string) error {
	if err := s.read(root, name, inside); err != nil {
		return err
	}
	s.Digest = flow.DigestOf(s.files[inside])
	return nil
}

func (s *Script) read(root fs.FS, name, inside string) error {
	f, err := root.Open(name)
	if err != nil {
		return scriptFault(name, "it cannot be read", err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return scriptFault(name, "it is no regular file", err)
	}
	room := maxScriptBytes - s.size()
	content, err := io.ReadAll(io.LimitReader(f, int64(room)+1))
	switch {
	case err != nil:
		return scriptFault(name, "it cannot be read", err)
	case len(content) > room || len(s.files) == maxScriptFiles:
		return scriptFault(name, fmt.Sprintf("a script and what stands beside it have at most %s and %d files", flow.Size(maxScriptBytes), maxScriptFiles), nil)
	}
	s.files[inside] = content
	return nil
}

// seal finds the file that a folder begins with.
func (s *Script) seal(name string) error {
	s.Entry = ""
	for file := range s.files {
		if strings.TrimSuffix(file, path.Ext(file)) == "main" {
			if s.Entry != "" {
				return scriptFault(name, "the folder has more than one file that is called main", nil)
			}
			s.Entry = file
		}
	}
	if s.Entry == "" {
		return scriptFault(name, "the folder has no file that is called main, as in main.py", nil)
	}
	s.Digest = s.sum()
	return nil
}

// Size is the number of bytes of all files.
func (s *Script) Size() int64 { return int64(s.size()) }

func (s *Script) size() int {
	n := 0
	for _, content := range s.files {
		n += len(content)
	}
	return n
}

// sum is the digest of a list with a line for each file: digest, blank, name. A name with a line break is quoted.
func (s *Script) sum() flow.Digest {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(s.files)) {
		fmt.Fprintf(h, "%s %q\n", flow.DigestOf(s.files[name]), name)
	}
	return flow.Digest("sha256:" + hex.EncodeToString(h.Sum(nil)))
}

func scriptFault(name, message string, err error) error {
	return &flow.Error{
		Code: flow.CodePluginFile, Op: "read script " + name, Message: message, Err: pathless(err),
		Hint: "name a file, or a folder with a file main.py or main.js, within the manifest's folder",
	}
}

// maxScripts bounds the scripts that a runtime keeps.
const maxScripts = 256

// openScript returns the script of a plan, which is read once.
func (r *Runtime) openScript(p *flow.PlanScript) (*Script, error) {
	r.mu.Lock()
	known := r.scripts[p.Digest]
	r.mu.Unlock()
	if known != nil && known.Entry == p.Entry {
		return known, nil
	}
	s, err := readPlanned(p)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.scripts) >= maxScripts {
		clear(r.scripts)
	}
	r.scripts[p.Digest] = s
	return s, nil
}

// readPlanned reads the script of a plan, and refuses one that is no longer what was planned.
func readPlanned(p *flow.PlanScript) (*Script, error) {
	root, err := os.OpenRoot(filepath.Dir(p.Path))
	if err != nil {
		return nil, scriptFault(filepath.Base(p.Path), "it cannot be read", err)
	}
	defer root.Close()
	s, err := ReadScript(rootFS{root}, filepath.Base(p.Path))
	if err != nil {
		return nil, err
	}
	if s.Digest != p.Digest {
		return nil, &flow.Error{
			Code: flow.CodeModuleDigest, Message: fmt.Sprintf("script %s has the digest %s, the plan has %s", filepath.Base(p.Path), s.Digest.Short(), p.Digest.Short()),
			Hint: "take the new text over (uniflow build), or restore the file",
		}
	}
	return s, nil
}

// Open implements fs.FS.
func (s *Script) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	if content, ok := s.files[name]; ok {
		return &scriptFile{Reader: bytes.NewReader(content), info: s.info(name)}, nil
	}
	names := s.list(name)
	if len(names) == 0 {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return &listing{name: path.Base(name), names: names, stat: func(child string) (fs.FileInfo, error) { return s.info(path.Join(name, child)), nil }}, nil
}

// list returns what stands in a folder, in order.
func (s *Script) list(dir string) []string {
	found := map[string]bool{}
	for name := range s.files {
		if dir != "." {
			var below bool
			if name, below = strings.CutPrefix(name, dir+"/"); !below {
				continue
			}
		}
		first, _, _ := strings.Cut(name, "/")
		found[first] = true
	}
	return slices.Sorted(maps.Keys(found))
}

func (s *Script) info(name string) fileInfo {
	content, isFile := s.files[name]
	if !isFile {
		return fileInfo{name: path.Base(name), mode: fs.ModeDir | 0o555}
	}
	return fileInfo{name: path.Base(name), size: int64(len(content)), mode: 0o444}
}

// scriptFile is an open file of a Script.
type scriptFile struct {
	*bytes.Reader

	info fileInfo
}

// Stat implements fs.File.
func (f *scriptFile) Stat() (fs.FileInfo, error) { return f.info, nil }

// Close implements fs.File.
func (*scriptFile) Close() error { return nil }
