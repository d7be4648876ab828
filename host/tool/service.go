package tool

import (
	"bytes"
	"cmp"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"text/template"

	"github.com/uniflow-dev/uniflow/host"
	"github.com/uniflow-dev/uniflow/host/flow"
)

// deployFiles are templates of what a service manager or orchestrator needs, in a folder for each of them. Their own
// actions are in [[ ]]: charts have {{ }} of theirs.
//
//go:embed all:deploy
var deployFiles embed.FS

// ServiceKinds are what service files are made for.
func ServiceKinds() []string { return []string{"systemd", "docker", "compose", "helm", "cronjob"} }

// Service says what the files of a service name. Each has a default.
type Service struct {
	// Binary and Folder are the paths of the program and of the project on a machine with systemd. Default to
	// /usr/local/bin/uniflow and /etc/uniflow.
	Binary, Folder string
	// Image is what containers run. Defaults to uniflow, of this version.
	Image string
	// Pipeline is what a CronJob runs, Cron when and Timezone where that holds. Default to hello, 0 6 * * * and Etc/UTC.
	Pipeline, Cron, Timezone string
	// Credentials are names of what the service is given: credentials of systemd, secrets of Compose. Default to none.
	Credentials []string
}

// RenderService makes the files of a service, with paths relative to the folder that they belong in.
func RenderService(kind string, s Service) ([]flow.ServiceFile, error) {
	if !slices.Contains(ServiceKinds(), kind) {
		return nil, serviceUsage(fmt.Sprintf("no service files are made for %.80q", kind), "there is: "+strings.Join(ServiceKinds(), ", "))
	}
	s = s.filled()
	if err := s.check(); err != nil {
		return nil, err
	}
	repository, tag := s.Image, "latest"
	if i := strings.LastIndexByte(s.Image, ':'); i > strings.LastIndexByte(s.Image, '/') {
		repository, tag = s.Image[:i], s.Image[i+1:]
	}
	values := struct {
		Service
		Version, Repository, Tag string
	}{s, host.Version, repository, tag}
	var files []flow.ServiceFile
	top := path.Join("deploy", kind)
	err := fs.WalkDir(deployFiles, top, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := render(name, values)
		files = append(files, flow.ServiceFile{Path: placed(strings.TrimPrefix(name, top+"/")), Text: text})
		return err
	})
	return files, err
}

// placed is the path of a template's file: those that begin with a dot are kept without it.
func placed(name string) string {
	if name == "dockerignore" || name == "helmignore" {
		return "." + name
	}
	return name
}

func render(name string, values any) (string, error) {
	source, err := deployFiles.ReadFile(name)
	if err != nil {
		return "", err
	}
	t, err := template.New(name).Delims("[[", "]]").Option("missingkey=error").Parse(string(source))
	if err != nil {
		return "", fmt.Errorf("read the template %s: %w", name, err)
	}
	var out bytes.Buffer
	if err := t.Execute(&out, values); err != nil {
		return "", fmt.Errorf("fill the template %s: %w", name, err)
	}
	return out.String(), nil
}

func (s Service) filled() Service {
	s.Binary = cmp.Or(s.Binary, "/usr/local/bin/uniflow")
	s.Folder = cmp.Or(s.Folder, "/etc/uniflow")
	s.Image = cmp.Or(s.Image, "uniflow:"+strings.ReplaceAll(host.Version, "+", "-"))
	s.Pipeline = cmp.Or(s.Pipeline, "hello")
	s.Cron = cmp.Or(s.Cron, "0 6 * * *")
	s.Timezone = cmp.Or(s.Timezone, "Etc/UTC")
	return s
}

// check refuses values that would say something else in a file than what they are.
func (s Service) check() error {
	for _, c := range []struct{ what, value, form string }{
		{"--binary", s.Binary, `/[A-Za-z0-9._/-]+`},
		{"--folder", s.Folder, `/[A-Za-z0-9._/-]+`},
		{"--image", s.Image, `[a-z0-9][a-z0-9._/:-]*(:[A-Za-z0-9._-]+)?`},
		{"--pipeline", s.Pipeline, `[a-z0-9]([a-z0-9-]{0,40}[a-z0-9])?`},
		{"--cron", s.Cron, `[A-Za-z0-9*/,@ -]+`},
		{"--timezone", s.Timezone, `[A-Za-z0-9_/+-]+`},
	} {
		if !regexp.MustCompile(`^` + c.form + `$`).MatchString(c.value) {
			return serviceUsage(fmt.Sprintf("%s cannot be %.120q here", c.what, c.value), "its form is "+c.form)
		}
	}
	for _, name := range s.Credentials {
		if !regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]*$`).MatchString(name) {
			return serviceUsage(fmt.Sprintf("--credential cannot be %.120q", name), "a name has letters, digits, _ and -")
		}
	}
	return nil
}

func serviceUsage(message, hint string) error {
	return &flow.Error{Code: flow.CodeUsage, Op: "make service files", Message: message, Hint: hint}
}

// WriteService writes files of a service into a folder, which is made where it is not there. Unless force is set, none is
// written if any is there already.
func WriteService(dir string, files []flow.ServiceFile, force bool) error {
	var taken []string
	for _, f := range files {
		if _, err := os.Lstat(filepath.Join(dir, filepath.FromSlash(f.Path))); err == nil && !force {
			taken = append(taken, f.Path)
		}
	}
	if len(taken) > 0 {
		return &flow.Error{Code: flow.CodeWouldOverwrite, Op: "make service files in " + dir, Message: "there is already: " + strings.Join(taken, ", "), Hint: "choose another folder with --out, or replace them with --force"}
	}
	for _, f := range files {
		if err := writeService(filepath.Join(dir, filepath.FromSlash(f.Path)), f.Text, force); err != nil {
			return &flow.Error{Code: flow.CodeInput, Op: "make service files in " + dir, Message: f.Path + " cannot be written", Hint: "choose a folder that you may write to: --out DIR", Err: err}
		}
	}
	return nil
}

func writeService(name, text string, force bool) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	flags := os.O_WRONLY | os.O_CREATE | os.O_EXCL
	if force {
		flags = os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	}
	f, err := os.OpenFile(name, flags, 0o644) //nolint:gosec // to be read by others, and committed
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}
