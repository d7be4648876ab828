// Package secret reads secrets from where the operator keeps them: environment variables, a file of NAME=value lines, or
// a folder with one file per secret; and it takes them out of text.
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

	"github.com/uniflow-dev/uniflow/host/flow"
)

// maxSecret bounds one secret, maxFile a file of them.
const (
	maxSecret = 64 << 10
	maxFile   = 1 << 20
)

// Source is where secrets come from. The zero Source has none. It is safe for concurrent use.
type Source struct {
	kind string // env, file, dir
	at   string // the prefix of variables, or an absolute path
	// shown is at as the operator wrote it: messages may reach those who need not know where the host keeps its files.
	shown string
}

// Open returns the source that the text of `secrets` names: env:PREFIX_, file:PATH or dir:PATH; a relative path is one
// in folder. Nothing is read yet. An empty text is a source without secrets; one of another kind is CodeUnsupported.
func Open(text, folder string) (Source, error) {
	kind, at, _ := strings.Cut(text, ":")
	switch kind {
	case "":
		return Source{}, nil
	case "env":
		return Source{kind, at, at}, nil
	case "file", "dir":
		shown := at
		if !filepath.IsAbs(at) {
			at = filepath.Join(folder, filepath.FromSlash(at))
		}
		return Source{kind, at, shown}, nil
	}
	return Source{}, &flow.Error{Code: flow.CodeUnsupported, Op: "open the source of secrets", Message: kind + ": is not supported by this version", Hint: "use env:PREFIX_, file:PATH or dir:PATH"}
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
	case "file":
		return s.fromFile(name)
	case "dir":
		return s.fromFolder(name)
	}
	return "", &flow.Error{Code: flow.CodeSecret, Op: fmt.Sprintf("read secret %q", name), Message: "the manifest names no source of secrets", Hint: `say where they are: secrets = "dir:secrets" under [host]`}
}

// fromFolder reads one file of a folder, and nothing outside of it. A secret may be a link inside the folder, as
// orchestrators make them.
func (s Source) fromFolder(name string) (string, error) {
	root, err := os.OpenRoot(s.at)
	if err != nil {
		return "", s.fault(name, "the folder "+s.shown+" cannot be opened", err)
	}
	defer root.Close()
	f, err := root.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", s.fault(name, "there is no such file in "+s.shown, nil)
	}
	if err != nil {
		return "", s.fault(name, "its file in "+s.shown+" cannot be opened", err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return "", s.fault(name, "what stands in "+s.shown+" is no file", err)
	}
	value, err := io.ReadAll(io.LimitReader(f, maxSecret+3)) // a line break may follow
	if err != nil {
		return "", s.fault(name, "its file in "+s.shown+" cannot be read", err)
	}
	return string(value), nil
}

// fromFile finds the line NAME=value; the last one holds. Empty lines and those that begin with # say nothing.
func (s Source) fromFile(name string) (string, error) {
	f, err := os.Open(s.at)
	if err != nil {
		return "", s.fault(name, "the file cannot be opened", err)
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil || len(content) > maxFile {
		return "", s.fault(name, fmt.Sprintf("%s cannot be read, or has more than %d bytes", s.shown, maxFile), err)
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
		return "", s.fault(name, s.shown+" has no line "+name+"=…", nil)
	}
	return value, nil
}

// fault is an error about a secret; err is one of the file system, and holds none of the secret's bytes.
func (s Source) fault(name, message string, err error) error {
	hints := map[string]string{
		"env":  "set it in the environment of the host, and start the host again",
		"file": "add the line to " + s.shown + ", readable for the host's user alone",
		"dir":  "write it to a file of that name in " + s.shown + ", readable for the host's user alone",
	}
	return &flow.Error{Code: flow.CodeSecret, Op: fmt.Sprintf("read secret %q", name), Message: message, Hint: hints[s.kind], Err: err}
}
