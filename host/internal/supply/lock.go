package supply

import (
	"bytes"
	"encoding/json"
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

// Lock pins files, and keeps what tables of the manifest were approved to grant. Its file is JSON, with one fact a line.
type Lock struct {
	path string
	old  bool
	doc  lockFile
}

// lockFile is the form of a lock.
type lockFile struct {
	Version int `json:"version"`
	// Files by path, as the manifest writes it.
	Files map[string]Pinned `json:"files"`
	// Grants are words of rights by table: plugins.clean.
	Grants map[string][]string `json:"grants"`
}

// Pinned is what is known of a file that was pinned.
type Pinned struct {
	Digest flow.Digest `json:"digest"`
	// From is where the file was taken from; empty for one that lay there.
	From string `json:"from,omitempty"`
	// ABI is the contract that it is built for: command, reactor uniflow_abi_v1, extism, process, script.
	ABI string `json:"abi"`
	// Imports are what a module imports of the host, as module.name, sorted.
	Imports []string `json:"imports,omitempty"`
	// Wants is what it says that it wants to be granted.
	Wants flow.Wants `json:"wants,omitzero"`
	// Signer is the public key of who signed it, where that was asked for.
	Signer string `json:"signer,omitempty"`
}

// PinnedModule is what a lock says of a module of which all is known.
func PinnedModule(r flow.Resolved) Pinned {
	return Pinned{Digest: r.Digest, ABI: r.ABI, Imports: r.Imports, Wants: r.Wants, Signer: r.Signer}
}

// The bounds and the version of a lock.
const (
	maxLock     = 4 << 20
	lockVersion = 1
)

// ReadLock reads a lock; a file that is not there is an empty lock. A lock of the older form, lines of sha256sum, is read
// as far as it says something: Old tells.
func ReadLock(path string) (*Lock, error) {
	lock := &Lock{path: path, doc: emptyLock()}
	folder, err := OpenFolder(filepath.Dir(path))
	if errors.Is(err, fs.ErrNotExist) {
		return lock, nil
	}
	var src []byte
	if err == nil {
		defer folder.Close()
		src, err = folder.Text(filepath.Base(path), maxLock)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return lock, nil
	}
	if err != nil {
		return nil, &flow.Error{Code: flow.CodeLock, Op: "read " + filepath.Base(path), Message: "the lock cannot be read", Hint: "it is a regular file of at most " + flow.Size(maxLock).String() + " beside the manifest; uniflow build writes it", Err: err}
	}
	if err := lock.parse(src); err != nil {
		return nil, &flow.Error{Code: flow.CodeLock, Op: "read " + filepath.Base(path), Message: err.Error(), Hint: "restore it from your history; or remove it, let `uniflow build` write it anew, and review all of it"}
	}
	return lock, nil
}

func emptyLock() lockFile {
	return lockFile{Version: lockVersion, Files: map[string]Pinned{}, Grants: map[string][]string{}}
}

// parse takes what Write wrote, whatever the blanks between: a key that stands twice, one that is not known and a
// second document are seen by writing again what was read.
func (l *Lock) parse(src []byte) error {
	if src = bytes.TrimSpace(src); !bytes.HasPrefix(src, []byte("{")) {
		l.old = len(src) > 0
		return l.parseLines(string(src))
	}
	var version struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(src, &version); err != nil {
		return fmt.Errorf("it is no JSON: %w", err)
	}
	if version.Version != lockVersion {
		return fmt.Errorf("it has version %d, and this program reads version %d", version.Version, lockVersion)
	}
	d := json.NewDecoder(bytes.NewReader(src))
	d.DisallowUnknownFields()
	if err := d.Decode(&l.doc); err != nil {
		return fmt.Errorf("it is no lock: %w", err)
	}
	for name, f := range l.doc.Files {
		if name == "" || !f.Digest.Valid() || f.ABI == "" {
			return fmt.Errorf("%.200q has no digest like sha256:… or no abi", name)
		}
	}
	var same bytes.Buffer
	if err := json.Compact(&same, src); err != nil || !bytes.Equal(same.Bytes(), encode(l.doc, "")) {
		return errors.New("it is not as it is written by this program: a key may stand twice or out of order")
	}
	return nil
}

// parseLines reads the older form: 64 hexadecimal digits, two spaces and a path that stands once.
func (l *Lock) parseLines(src string) error {
	n := 0
	for line := range strings.Lines(src) {
		n++
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		hex, name, found := strings.Cut(line, "  ")
		digest := flow.Digest("sha256:" + hex)
		if _, twice := l.doc.Files[name]; !found || !digest.Valid() || name == "" || twice {
			return fmt.Errorf("line %d is neither JSON nor a line of the older form, a digest and a path that stands once", n)
		}
		l.doc.Files[name] = Pinned{Digest: digest}
	}
	return nil
}

// Old reports whether the file has the older form, which says digests alone. Write writes the present one.
func (l *Lock) Old() bool { return l.old }

// File returns what is pinned of a path as the manifest writes it.
func (l *Lock) File(name string) (Pinned, bool) {
	f, ok := l.doc.Files[filepath.ToSlash(name)]
	return f, ok
}

// Pin pins a file and reports whether that changed the lock. Where the bytes stay as they are, so does what is known of
// where they came from and who signed them, unless it is said anew.
func (l *Lock) Pin(name string, f Pinned) bool {
	name = filepath.ToSlash(name)
	before, had := l.doc.Files[name]
	if had && before.Digest == f.Digest {
		if f.From == "" {
			f.From = before.From
		}
		if f.Signer == "" {
			f.Signer = before.Signer
		}
	}
	l.doc.Files[name] = f
	return !had || !bytes.Equal(encode(before, ""), encode(f, ""))
}

// Approved returns the words of the rights that a table of the manifest was approved to grant.
func (l *Lock) Approved(table string) []string { return l.doc.Grants[table] }

// Approve sets what a table may grant, nothing included, and reports whether that changed the lock.
func (l *Lock) Approve(table string, words []string) bool {
	if slices.Equal(l.doc.Grants[table], words) {
		return false
	}
	if l.doc.Grants[table] = words; len(words) == 0 {
		delete(l.doc.Grants, table)
	}
	return true
}

// Retain drops every path that is not among names and every table that is not among tables, and reports whether that
// changed the lock.
func (l *Lock) Retain(names, tables []string) bool {
	before := len(l.doc.Files) + len(l.doc.Grants)
	maps.DeleteFunc(l.doc.Files, func(name string, _ Pinned) bool { return !slices.Contains(names, name) })
	maps.DeleteFunc(l.doc.Grants, func(table string, _ []string) bool { return !slices.Contains(tables, table) })
	return len(l.doc.Files)+len(l.doc.Grants) != before
}

// encode writes JSON as it stands in a lock, without a line's end.
func encode(v any, indent string) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", indent)
	if err := e.Encode(v); err != nil { // cannot be: it is texts, lists and maps of them
		return nil
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// Write replaces the lock's file at once: readers see the old one or the new one.
func (l *Lock) Write() error {
	if err := os.MkdirAll(filepath.Dir(l.path), 0o755); err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(l.path), err)
	}
	return Replace(l.path, append(encode(l.doc, "  "), '\n'), 0o644)
}

// Replace writes a file beside itself, and puts it in place at once.
func Replace(path string, body []byte, mode fs.FileMode) error {
	temp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.tmp")
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	defer os.Remove(temp.Name())
	_, err = temp.Write(body)
	err = errors.Join(err, temp.Chmod(mode), temp.Sync(), temp.Close())
	if err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	return nil
}

// Check compares a file with what is pinned of it. What is not pinned is refused: nothing runs on a host that nobody has
// looked at. So is what has grown, whatever its digest: a lock is a text, and somebody may have changed the digest alone.
func (l *Lock) Check(name string, found Pinned) error {
	pinned, ok := l.File(name)
	lock := filepath.Base(l.path)
	op := "plugin file " + name
	switch {
	case !ok:
		return &flow.Error{Code: flow.CodeNotLocked, Op: op, Message: "it is not in " + lock, Hint: "uniflow build"}
	case pinned.Digest != found.Digest:
		return &flow.Error{Code: flow.CodeDigest, Op: op, Message: fmt.Sprintf("expected digest %s of %s, found %s%s", pinned.Digest.Short(), lock, found.Digest.Short(), news(pinned, found)), Hint: "restore the file; or look at what has changed, and accept it: uniflow build --accept"}
	case l.old:
		return nil
	case pinned.ABI != found.ABI || !slices.Equal(pinned.Imports, found.Imports) || !slices.Equal(pinned.Wants.Words(), found.Wants.Words()):
		return &flow.Error{Code: flow.CodeNotApproved, Op: op, Message: "it is not what " + lock + " says of it" + news(pinned, found), Hint: "look at what has changed, and accept it: uniflow build --accept"}
	case pinned.Signer != "" && found.Signer != "" && pinned.Signer != found.Signer:
		return &flow.Error{Code: flow.CodeNotApproved, Op: op, Message: fmt.Sprintf("it is signed by %s, and %s says %s", found.Signer, lock, pinned.Signer), Hint: "look at who signed it, and accept that: uniflow build --accept"}
	}
	return nil
}

// Change says how a file differs from what is pinned of it.
func (f Pinned) Change(plugin string, to Pinned) flow.PluginChange {
	return flow.PluginChange{
		Plugin: plugin, From: f.Digest, To: to.Digest, Imports: flow.DeltaOf(f.Imports, to.Imports), Wants: flow.DeltaOf(f.Wants.Words(), to.Wants.Words()),
		Signer: flow.SignerChange(f.Signer, to.Signer),
	}
}

// news are the differences that matter to who decides, for a message.
func news(pinned, found Pinned) string {
	if pinned.ABI == "" { // the older form does not know
		return ""
	}
	var all []string
	if pinned.ABI != found.ABI {
		all = append(all, pinned.ABI+" -> "+found.ABI)
	}
	c := pinned.Change("", found)
	for _, d := range []struct {
		name string
		flow.Delta
	}{{"imports", c.Imports}, {"wants", c.Wants}} {
		for _, added := range d.Added {
			all = append(all, d.name+" +"+added)
		}
		for _, removed := range d.Removed {
			all = append(all, d.name+" -"+removed)
		}
	}
	if len(all) == 0 {
		return ""
	}
	return ": " + strings.Join(all, ", ")
}
