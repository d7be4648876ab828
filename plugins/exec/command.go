package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/uniflow-dev/uniflow/sdk/abi"
	"github.com/uniflow-dev/uniflow/sdk/process"
)

const (
	defaultPath     = "/usr/local/bin:/usr/bin:/bin"
	defaultGrace    = time.Second // less than the host's own, so that the kill is ours
	textOutput      = 1 << 20     // bytes of standard output that become outputs
	artifactOutput  = 64 << 20    // bytes of standard output that become an artifact
	stdoutArtifact  = "artifact"
	largestStdin    = 1 << 30
	secretsInMemory = 1 << 20
)

// inputs are what a step says.
type inputs struct {
	Command   []string          `json:"command"`
	Shell     string            `json:"shell"`
	Env       map[string]string `json:"env"`
	Secrets   map[string]string `json:"secrets"`
	Stdin     json.RawMessage   `json:"stdin"`
	Stdout    string            `json:"stdout"`
	Type      string            `json:"type"`
	Artifacts []string          `json:"artifacts"`
	Timeout   duration          `json:"timeout"`
	Grace     duration          `json:"grace"`
	MaxOutput int64             `json:"max_output"`
}

// duration reads texts like 90s.
type duration time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err == nil && v <= 0 {
		err = fmt.Errorf("duration %q must be more than nothing", text)
	}
	*d = duration(v)
	return err
}

// readInputs reads and checks what the step says. Each mistake is permanent.
func readInputs(c *process.Call) (inputs, error) {
	var in inputs
	dec := json.NewDecoder(bytes.NewReader(c.With))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&in); err != nil {
		return in, refuse("with does not have the expected shape: %v", err)
	}
	switch {
	case len(in.Command) == 0 && in.Shell == "":
		return in, refuse("with.command is missing: a list of the program and its arguments")
	case len(in.Command) > 0 && in.Shell != "":
		return in, refuse("with.command and with.shell exclude each other")
	case len(in.Command) > 0 && in.Command[0] == "":
		return in, refuse("with.command begins with an empty text: name a program")
	case !slices.Contains([]string{"", string(abi.StdoutJSON), string(abi.StdoutText), string(abi.StdoutLog), stdoutArtifact}, in.Stdout):
		return in, refuse("with.stdout %q is unknown: use json, text, log or artifact, or leave it out", in.Stdout)
	case in.MaxOutput < 0:
		return in, refuse("with.max_output is negative")
	}
	if in.Shell != "" {
		in.Command = []string{"/bin/sh", "-c", in.Shell}
	}
	for _, arg := range in.Command {
		if strings.ContainsRune(arg, 0) {
			return in, refuse("with.command holds a zero byte")
		}
	}
	for _, name := range in.Artifacts {
		if !filepath.IsLocal(name) || filepath.Base(name) != name {
			return in, refuse("with.artifacts: %q is not the name of a file in the folder of the command", name)
		}
	}
	in.Grace = cmp.Or(in.Grace, duration(defaultGrace))
	if in.MaxOutput == 0 {
		in.MaxOutput = textOutput
		if in.Stdout == stdoutArtifact {
			in.MaxOutput = artifactOutput
		}
	}
	return in, nil
}

// refuse makes the error for a step that can never work as it is written.
func refuse(format string, args ...any) error {
	return &process.Ending{Kind: abi.KindPermanent, Code: "invalid", Err: fmt.Errorf(format, args...)}
}

// environment is that of the command: what every command has, what the plugin was granted, and what the step says, the
// later ones winning.
func environment(ctx context.Context, c *process.Call, in inputs, dir string) ([]string, error) {
	vars := map[string]string{
		"PATH": defaultPath, "HOME": dir, "PWD": dir,
		abi.EnvRunID: c.RunID, abi.EnvStep: c.Step, abi.EnvAttempt: strconv.Itoa(c.Attempt),
	}
	if c.Deadline != nil {
		vars[abi.EnvDeadline] = c.Deadline.UTC().Format(time.RFC3339Nano)
	}
	for _, pair := range os.Environ() {
		if name, value, _ := strings.Cut(pair, "="); granted(name) {
			vars[name] = value
		}
	}
	vars["TMPDIR"] = dir
	maps.Copy(vars, in.Env)
	for name, secret := range in.Secrets {
		value, err := c.Services(ctx).Secret(secret)
		if err != nil {
			return nil, err
		}
		if len(value) > secretsInMemory || strings.ContainsRune(value, 0) {
			return nil, refuse("secret %q cannot be the value of a variable", secret)
		}
		vars[name] = value
	}
	all := make([]string, 0, len(vars))
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		if name == "" || strings.ContainsAny(name, "=\x00") || strings.ContainsRune(vars[name], 0) {
			return nil, refuse("%q is no variable: names have no =, and neither names nor values have a zero byte", name)
		}
		all = append(all, name+"="+vars[name])
	}
	return all, nil
}

// granted tells the variables of grant.env from those by which host and plugin find each other.
func granted(name string) bool {
	return name != process.CookieKey && name != "TMPDIR" && !strings.HasPrefix(name, "PLUGIN_")
}

// find returns the path of a program, looked up in the PATH of the command.
func find(program string, env []string) (string, error) {
	if strings.ContainsRune(program, filepath.Separator) {
		if !filepath.IsAbs(program) {
			return "", refuse("with.command: %s is relative, and the command starts in an empty folder: give an absolute path", program)
		}
		return program, nil
	}
	path := ""
	for _, pair := range env {
		if value, ok := strings.CutPrefix(pair, "PATH="); ok {
			path = value
		}
	}
	for _, dir := range filepath.SplitList(path) {
		file := filepath.Join(dir, program+programSuffix)
		if info, err := os.Stat(file); filepath.IsAbs(dir) && err == nil && info.Mode().IsRegular() && executable(info) {
			return file, nil
		}
	}
	return "", &process.Ending{Kind: abi.KindPermanent, Code: "not_found", Err: fmt.Errorf("there is no program %q in %s", program, path)}
}

// openStdin returns the standard input of the command as a file; nil for none.
func openStdin(ctx context.Context, c *process.Call, in inputs, dir string) (*os.File, error) {
	doc := bytes.TrimSpace(in.Stdin)
	if len(doc) == 0 || string(doc) == "null" {
		return nil, nil
	}
	content, err := stdinReader(ctx, c, doc)
	if err != nil {
		return nil, err
	}
	file, err := os.CreateTemp(dir, ".stdin-*")
	if err != nil {
		return nil, fmt.Errorf("keep standard input: %w", err)
	}
	_ = os.Remove(file.Name()) // where a file can be open without a name, the command does not find it in its folder
	n, err := io.Copy(file, io.LimitReader(content, largestStdin+1))
	if err == nil && n > largestStdin {
		err = refuse("with.stdin is larger than %d bytes", largestStdin)
	}
	if err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("standard input: %w", err), file.Close())
	}
	return file, nil
}

func stdinReader(ctx context.Context, c *process.Call, doc []byte) (io.Reader, error) {
	switch doc[0] {
	case '"':
		var text string
		if err := json.Unmarshal(doc, &text); err != nil {
			return nil, refuse("with.stdin: %v", err)
		}
		return strings.NewReader(text), nil
	case '{':
		if ref, ok := abi.AsArtifact(doc); ok {
			return c.Services(ctx).OpenArtifact(ref), nil
		}
	}
	return bytes.NewReader(doc), nil
}
