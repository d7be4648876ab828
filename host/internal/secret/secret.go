// Package secret reads secrets from where the operator keeps them: environment variables, a file of NAME=value lines,
// plain or encrypted with age, or a folder with one file per secret; and it takes them out of text.
//
// It owns the moment of reading: a secret is read each time that it is needed, so that a new one holds at once, and is
// kept nowhere. It must not log, store or wrap a value into an error.
package secret

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// maxSecret bounds one secret, maxFile a file of them.
const (
	maxSecret = 64 << 10
	maxFile   = 1 << 20
)

// readOnly opens a file for reading. One that is a pipe is not waited for.
const readOnly = os.O_RDONLY | syscall.O_NONBLOCK

// Source is where secrets come from. The zero Source has none. It is safe for concurrent use.
type Source struct {
	kind string // env, file, dir, age
	at   string // the prefix of variables, or a path as the operator wrote it, which is what messages show
	// identity is the path of the identities of an age file, as it was written; empty is the one of the host.
	identity string
	folder   string // in which relative paths are
	tenant   string // whose secrets they are; empty are those of the host
}

// Open returns the source that the text of `secrets` names: env:PREFIX_, file:PATH, dir:PATH or age:PATH, which may end
// with ?identity=PATH; a relative path is one in folder, and one that begins with $CREDENTIALS_DIRECTORY is one in the
// folder that the service manager names. Nothing is read yet. An empty text is a source without secrets; one of another
// kind is CodeUnsupported.
func Open(text, folder string) (Source, error) {
	kind, at, _ := strings.Cut(text, ":")
	switch kind {
	case "":
		return Source{}, nil
	case "env", "file", "dir":
		return Source{kind: kind, at: at, folder: folder}, nil
	case "age":
		at, identity, _ := strings.Cut(at, "?identity=")
		return Source{kind: kind, at: at, identity: identity, folder: folder}, nil
	}
	return Source{}, &flow.Error{Code: flow.CodeUnsupported, Op: "open the source of secrets", Message: kind + ": is not supported by this version", Hint: "use env:PREFIX_, file:PATH, dir:PATH or age:PATH"}
}

// OpenTenant returns the source of a tenant: that of the text, in which {tenant} stands for the tenant's name. Without a
// text the tenant has no secrets, whatever the host has.
func OpenTenant(text, folder, tenant string) (Source, error) {
	s, err := Open(strings.ReplaceAll(text, "{tenant}", tenant), folder)
	s.tenant = tenant
	return s, err
}

// credentials begins a path in the folder in which a service manager leaves the credentials of a service.
const credentials = "$CREDENTIALS_DIRECTORY"

// path is where a path as it was written stands; "" if that is in a folder of credentials and there is none.
func (s Source) path(written string) string {
	rest, ok := strings.CutPrefix(written, credentials)
	if !ok || rest != "" && rest[0] != '/' {
		if filepath.IsAbs(written) {
			return written
		}
		return filepath.Join(s.folder, filepath.FromSlash(written))
	}
	if folder := os.Getenv(credentials[1:]); folder != "" {
		return filepath.Join(folder, filepath.FromSlash(rest))
	}
	return ""
}

// Paths are the absolute paths of what the source reads on the disk, the identities of an age file among them.
func (s Source) Paths() []string {
	if s.kind == "" || s.kind == "env" {
		return nil
	}
	var paths []string
	for _, written := range []string{s.at, s.identity} {
		if path := s.path(written); written != "" && path != "" {
			paths = append(paths, path)
		}
	}
	return paths
}

// Read returns a secret by name, without the line break at its end. Errors are of CodeSecret, and say where the secret
// was looked for.
func (s Source) Read(name string) (string, error) {
	value, err := s.read(name)
	value = strings.TrimSuffix(strings.TrimSuffix(value, "\n"), "\r")
	switch {
	case err == nil && value == "":
		err = s.fault(name, "it is empty", nil)
	case err == nil && len(value) > maxSecret:
		err = s.fault(name, fmt.Sprintf("it has more than %d bytes", maxSecret), nil)
	}
	if err != nil {
		return "", err
	}
	return value, nil
}

func (s Source) read(name string) (string, error) {
	if name == "" || strings.ContainsAny(name, `/\`) || strings.HasPrefix(name, ".") {
		return "", s.fault(name, "this is no name of a secret", nil)
	}
	switch s.kind {
	case "env":
		if value, ok := os.LookupEnv(s.at + name); ok {
			return value, nil
		}
		return "", s.fault(name, "the environment has no variable "+s.at+name, nil)
	case "dir":
		return s.fromFolder(name)
	case "file":
		return s.fromLines(name, s.content)
	case "age":
		return s.fromLines(name, s.decrypted)
	}
	return "", s.none(name)
}

// fromFolder reads one file of a folder, and nothing outside of it. A secret may be a link inside the folder, as
// orchestrators make them.
func (s Source) fromFolder(name string) (string, error) {
	root, err := os.OpenRoot(s.path(s.at))
	if err != nil {
		return "", s.fault(name, "the folder "+s.at+" cannot be opened", err)
	}
	defer root.Close()
	f, err := root.OpenFile(name, readOnly, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return "", s.fault(name, "there is no such file in "+s.at, nil)
	}
	if err != nil {
		return "", s.fault(name, "its file in "+s.at+" cannot be opened", err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return "", s.fault(name, "what stands in "+s.at+" is no file", err)
	}
	value, err := io.ReadAll(io.LimitReader(f, maxSecret+3)) // a line break may follow
	if err != nil {
		return "", s.fault(name, "its file in "+s.at+" cannot be read", err)
	}
	return string(value), nil
}

// fromLines finds the line NAME=value of a text; the last one holds. Empty lines and those that begin with # say nothing.
func (s Source) fromLines(name string, read func(name string) ([]byte, error)) (string, error) {
	content, err := read(name)
	if err != nil {
		return "", err
	}
	value, found := "", false
	lines := bufio.NewScanner(bytes.NewReader(content))
	lines.Buffer(nil, maxFile+1)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if key, rest, ok := strings.Cut(line, "="); ok && !strings.HasPrefix(line, "#") && strings.TrimSpace(key) == name {
			value, found = strings.TrimSpace(rest), true
		}
	}
	if !found {
		return "", s.fault(name, s.at+" has no line "+name+"=…", nil)
	}
	return value, nil
}

// content reads the file of the source.
func (s Source) content(name string) ([]byte, error) { return s.bounded(name, s.at, maxFile) }

// bounded reads a file that has limit bytes at most.
func (s Source) bounded(name, written string, limit int64) ([]byte, error) {
	f, err := os.OpenFile(s.path(written), readOnly, 0)
	if err != nil {
		return nil, s.fault(name, written+" cannot be opened", err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, s.fault(name, written+" is no file", err)
	}
	content, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil || int64(len(content)) > limit {
		return nil, s.fault(name, fmt.Sprintf("%s cannot be read, or has more than %d bytes", written, limit), err)
	}
	return content, nil
}

// none is the error of a source without secrets.
func (s Source) none(name string) error {
	e := &flow.Error{Code: flow.CodeSecret, Op: fmt.Sprintf("read secret %q", name), Message: "the manifest names no source of secrets", Hint: `say where they are: secrets = "dir:secrets" under [host]`}
	if s.tenant != "" {
		e.Message = "the operator has named no source of secrets for this tenant"
		e.Hint = fmt.Sprintf(`in the operator's manifest: secrets = "dir:secrets/{tenant}" under [tenants.%s]`, s.tenant)
	}
	return e
}

// fault is an error about a secret; err is one of the file system, and holds none of the secret's bytes.
func (s Source) fault(name, message string, err error) error {
	hints := map[string]string{
		"env":  "set it in the environment of the host, and start the host again",
		"file": "add the line to " + s.at + ", readable for the host's user alone",
		"age":  "decrypt " + s.at + ", add the line, encrypt it anew for the identity of the host, and rename it into place",
		"dir":  "write it to a file of that name in " + s.at + ", readable for the host's user alone",
	}
	return &flow.Error{Code: flow.CodeSecret, Op: fmt.Sprintf("read secret %q", name), Message: message, Hint: hints[s.kind], Err: err}
}
