package tool

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/uniflow-dev/uniflow/host/flow"
)

// Promise: every kind of service files can be made, with what was asked for in them and nothing left to fill in; they are
// written only where nothing is replaced. make deploy-check holds them against those who read them.
func TestServiceFilesAreMadeAndReplaceNothing(t *testing.T) {
	t.Parallel()
	s := Service{Binary: "/opt/uniflow", Folder: "/srv/flows", Image: "registry.example.com:5000/flows:7", Pipeline: "nightly", Cron: "*/5 1-3 * * 1,2", Timezone: "Europe/Berlin", Credentials: []string{"TOKEN", "age-identity"}}
	want := map[string][]string{
		"systemd": {"ExecStart=/opt/uniflow serve ", "WorkingDirectory=/srv/flows", "LoadCredential=TOKEN:/srv/flows/credentials/TOKEN", "LoadCredential=age-identity:"},
		"docker":  {"docker build -t registry.example.com:5000/flows:7 ."},
		"compose": {"image: registry.example.com:5000/flows:7\n", "    secrets:\n      - TOKEN\n      - age-identity\n", "file: ./secrets/TOKEN\n"},
		"helm":    {"repository: registry.example.com:5000/flows\n", `tag: "7"`, `{{- include "uniflow.labels" . | nindent 4 }}`},
		"cronjob": {`args: ["run", "nightly", `, `schedule: "*/5 1-3 * * 1,2"`, `timeZone: "Europe/Berlin"`, "image: registry.example.com:5000/flows:7\n"},
	}
	for _, kind := range ServiceKinds() {
		files, err := RenderService(kind, s)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", kind, len(files), err)
		}
		var texts strings.Builder
		for _, f := range files {
			texts.WriteString(f.Text)
		}
		all := texts.String()
		for _, text := range want[kind] {
			if !strings.Contains(all, text) {
				t.Errorf("%s does not say %q", kind, text)
			}
		}
		if left := regexp.MustCompile(`\[\[[ .a-z]|<no value>`).FindString(all); left != "" {
			t.Errorf("%s is not filled in: %q", kind, left)
		}
		dir := filepath.Join(t.TempDir(), "out")
		if err := WriteService(dir, files, false); err != nil {
			t.Fatal(err)
		}
		last := files[len(files)-1]
		last.Text = "other"
		if err := WriteService(dir, []flow.ServiceFile{{Path: "new"}, last}, false); flow.CodeOf(err) != flow.CodeWouldOverwrite {
			t.Errorf("%s: over what is there: %v", kind, err)
		}
		if _, err := os.Stat(filepath.Join(dir, "new")); err == nil {
			t.Errorf("%s: a part was written", kind)
		}
		err = WriteService(dir, []flow.ServiceFile{last}, true)
		if got, _ := os.ReadFile(filepath.Join(dir, filepath.FromSlash(last.Path))); err != nil || string(got) != "other" {
			t.Errorf("%s: with force: %q, %v", kind, got, err)
		}
	}
}

// Promise: no value can say more in a file than what it is.
func TestServiceValuesCannotBreakOut(t *testing.T) {
	t.Parallel()
	for _, s := range []Service{
		{Binary: "/bin/sh -c x"},
		{Binary: "relative"},
		{Folder: "/etc\nUser=root"},
		{Folder: "/e%t"},
		{Image: "a b"},
		{Image: "x\nprivileged: true"},
		{Pipeline: `x", "y`},
		{Pipeline: "Up"},
		{Cron: `0 6 * * *"`},
		{Cron: "0 6\n"},
		{Timezone: "a b"},
		{Credentials: []string{"ok", "a:/etc/shadow"}},
		{Credentials: []string{""}},
	} {
		for _, kind := range ServiceKinds() {
			if files, err := RenderService(kind, s); flow.CodeOf(err) != flow.CodeUsage {
				t.Errorf("%s of %+v: %d files, %v", kind, s, len(files), err)
			}
		}
	}
	if _, err := RenderService("../x", Service{}); flow.CodeOf(err) != flow.CodeUsage {
		t.Errorf("a kind that is none: %v", err)
	}
}

// Promise: the image has nothing but the program and the project, starts as nobody, and lets nothing into its build that is
// not listed.
func TestImageIsOfNothingAndRunsAsNobody(t *testing.T) {
	t.Parallel()
	files, err := RenderService("docker", Service{})
	if err != nil {
		t.Fatal(err)
	}
	text := map[string]string{}
	for _, f := range files {
		text[f.Path] = f.Text
	}
	known := []string{"FROM", "COPY", "WORKDIR", "USER", "VOLUME", "ENV", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD"}
	user, from := "", 0
	for line := range strings.Lines(text["Dockerfile"]) {
		line = strings.TrimSpace(line)
		word, rest, _ := strings.Cut(line, " ")
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case !slices.Contains(known, word):
			t.Errorf("an image of nothing cannot %q", line)
		case word == "FROM":
			from++
			if rest != "scratch" {
				t.Errorf("the image begins with %s, which is not pinned", rest)
			}
		case word == "USER":
			user = rest
		case word == "COPY" && user != "":
			t.Errorf("%q would belong to the user whom the host runs as", line)
		case slices.Contains([]string{"ENTRYPOINT", "CMD"}, word) && !strings.HasPrefix(rest, "["):
			t.Errorf("%q needs a shell, and there is none", line)
		}
	}
	if user != "65532:65532" || from != 1 {
		t.Errorf("the image has %d bases and runs as %q", from, user)
	}
	if rules := strings.Fields(regexp.MustCompile(`(?m)^#.*$`).ReplaceAllString(text[".dockerignore"], "")); len(rules) == 0 || rules[0] != "*" {
		t.Errorf(".dockerignore lets through what it does not list: %q", rules)
	}
}
