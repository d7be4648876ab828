package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// root is the folder of the project, as seen from this package's tests.
var root = filepath.Join("..", "..")

// document is a text for readers, with its code blocks in order.
type document struct {
	name, text string
	blocks     []block
}

// block is a fenced piece of a document.
type block struct {
	language string
	lines    []string
}

// documents reads the project's documents.
func documents(t *testing.T) []document {
	t.Helper()
	names := []string{"README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"}
	more, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil || len(more) == 0 {
		t.Fatalf("docs: found %d documents, %v", len(more), err)
	}
	for _, path := range more {
		names = append(names, filepath.Join("docs", filepath.Base(path)))
	}
	var all []document
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, document{filepath.ToSlash(name), string(text), blocksOf(string(text))})
	}
	return all
}

func blocksOf(text string) []block {
	var blocks []block
	open := false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.HasPrefix(line, "```"):
			if open = !open; open {
				blocks = append(blocks, block{language: strings.TrimPrefix(line, "```")})
			}
		case open:
			last := &blocks[len(blocks)-1]
			last.lines = append(last.lines, line)
		}
	}
	return blocks
}

// TestDocumentedCommandsRun does what a reader of a document does: it takes every command line of every sh block, in
// order, and runs it, in a copy of the project. An output block shows lines of what the sh block before it prints. A
// command that this test has no way for is a failure.
func TestDocumentedCommandsRun(t *testing.T) {
	t.Parallel()
	ran := 0
	for _, d := range documents(t) {
		commands := 0
		for _, b := range d.blocks {
			if b.language == "sh" {
				commands += len(b.lines)
			}
		}
		ran += commands
		if commands == 0 {
			continue
		}
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			r := newReader(t)
			for _, b := range d.blocks {
				switch b.language {
				case "sh":
					r.printed.Reset()
					for _, line := range b.lines {
						r.line(line)
					}
				case "output":
					r.saw(b.lines)
				}
			}
		})
	}
	if ran < 20 {
		t.Errorf("only %d command lines were found: are they still marked as sh?", ran)
	}
}

// reader is somebody who follows a document at a shell.
type reader struct {
	t       *testing.T
	clone   string   // a fresh copy of what the commands need of the project
	dir     string   // where the shell stands
	path    []string // of programs, first ones first
	printed bytes.Buffer
}

func newReader(t *testing.T) *reader {
	t.Helper()
	clone := t.TempDir()
	copyProject(t, clone)
	return &reader{t: t, clone: clone, dir: clone, path: []string{os.Getenv("PATH")}}
}

// way is how a command is run or, where running it would take minutes or never end, checked.
type way struct {
	begins string
	follow func(r *reader, command string)
}

// ways of all commands that documents may name; the first that fits counts.
func ways() []way {
	return []way{
		{"cd ", (*reader).cd},
		{"uniflow serve", (*reader).serve},
		{"uniflow ", (*reader).uniflow},
		// Building the program from the copy would compile all of it once more: the installed one does what it says.
		{"go run ./cmd/uniflow ", func(r *reader, command string) {
			r.uniflow("uniflow " + strings.TrimPrefix(command, "go run ./cmd/uniflow "))
		}},
		{"go install ./cmd/uniflow", (*reader).install},
		// It runs this test. That it passes is what the check of the whole project says.
		{"go test ./...", func(r *reader, command string) {
			if !strings.Contains(r.file(".ci/run"), command) {
				r.t.Errorf("%s: .ci/run does not do it", command)
			}
		}},
		// Targets take minutes, tools and the network; the check of the whole project runs them.
		{"make", func(r *reader, command string) {
			for _, target := range strings.Fields(command)[1:] {
				if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(target) + `:`).MatchString(r.file("Makefile")) {
					r.t.Errorf("%s: the Makefile has no target %q", command, target)
				}
			}
		}},
	}
}

// line follows one line of a block.
func (r *reader) line(line string) {
	r.t.Helper()
	line, _, _ = strings.Cut(line, " #")
	for command := range strings.SplitSeq(line, " && ") {
		command = strings.TrimSpace(command)
		if command == "" {
			continue
		}
		i := slices.IndexFunc(ways(), func(w way) bool {
			return command == strings.TrimSpace(w.begins) || strings.HasPrefix(command, w.begins)
		})
		if i < 0 {
			r.t.Errorf("%s: this test has no way to run it; give it one, or mark the block as text", command)
			continue
		}
		ways()[i].follow(r, command)
	}
}

func (r *reader) cd(command string) {
	r.t.Helper()
	r.dir = filepath.Join(r.dir, strings.TrimPrefix(command, "cd "))
	if _, err := os.Stat(r.dir); err != nil {
		r.t.Fatalf("%s: %v", command, err)
	}
}

// shell prepares a command line as the reader's shell has it.
func (r *reader) shell(ctx context.Context, command string) *exec.Cmd {
	c := exec.CommandContext(ctx, "sh", "-c", command)
	c.Dir = r.dir
	c.Env = append(os.Environ(), "PATH="+strings.Join(r.path, string(os.PathListSeparator)), "UNIFLOW_SERVER=", "UNIFLOW_TOKEN=")
	c.WaitDelay = 10 * time.Second
	return c
}

// commandTime bounds one command; what takes longer is stuck.
const commandTime = 2 * time.Minute

func (r *reader) uniflow(command string) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), commandTime)
	defer cancel()
	c := r.shell(ctx, command)
	var printed bytes.Buffer
	c.Stdout, c.Stderr = &printed, &printed
	if err := c.Run(); err != nil {
		r.t.Fatalf("%s: %v\n%s", command, err, printed.Bytes())
	}
	r.printed.Write(printed.Bytes())
}

// install is run from the project itself, into a folder of the reader's.
func (r *reader) install(command string) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), commandTime)
	defer cancel()
	bin := r.t.TempDir()
	c := r.shell(ctx, command)
	c.Dir = root
	c.Env = append(c.Env, "GOBIN="+bin)
	if printed, err := c.CombinedOutput(); err != nil {
		r.t.Fatalf("%s: %v\n%s", command, err, printed)
	}
	r.path = append([]string{bin}, r.path...)
}

// serve goes on in the background once the host says that it serves, and must end well at an interrupt. It takes any
// free port, since the one that is documented may be in use on this machine.
func (r *reader) serve(command string) {
	r.t.Helper()
	c := r.shell(context.WithoutCancel(r.t.Context()), "exec "+command+" --listen 127.0.0.1:0")
	said, err := c.StderrPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		r.t.Fatalf("%s: %v", command, err)
	}
	var all strings.Builder
	var reading sync.WaitGroup
	serving := make(chan struct{})
	reading.Go(func() {
		var once sync.Once
		for lines := bufio.NewScanner(said); lines.Scan(); {
			fmt.Fprintln(&all, lines.Text())
			if strings.HasPrefix(lines.Text(), "serving on ") {
				once.Do(func() { close(serving) })
			}
		}
	})
	stop := func() error {
		_ = c.Process.Signal(os.Interrupt)
		killer := time.AfterFunc(commandTime, func() { _ = c.Process.Kill() })
		defer killer.Stop()
		reading.Wait()
		return c.Wait()
	}
	r.t.Cleanup(func() {
		if err := stop(); err != nil {
			r.t.Errorf("%s: after an interrupt: %v\n%s", command, err, all.String())
		}
	})
	select {
	case <-serving:
	case <-time.After(startTime):
		r.t.Fatalf("%s: after %s it does not serve", command, startTime)
	}
}

func (r *reader) file(name string) string {
	r.t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		r.t.Fatal(err)
	}
	return string(text)
}

// saw compares an output block with what was printed: its lines are there, in their order; others may stand between.
func (r *reader) saw(lines []string) {
	r.t.Helper()
	printed := strings.Split(r.printed.String(), "\n")
	rest := printed
	for _, line := range lines {
		i := slices.IndexFunc(rest, func(p string) bool { return shape(p) == shape(line) })
		if i < 0 {
			r.t.Errorf("the document shows\n%s\nwhich is not, at that place, among\n%s", line, strings.Join(printed, "\n"))
			return
		}
		rest = rest[i+1:]
	}
}

// shape is a line without what differs each time: ids of runs, times, sizes, and the space that aligns them.
func shape(line string) string {
	for _, p := range []struct{ pattern, with string }{
		{`[0-9A-HJKMNP-TV-Z]{26}`, "RUN"}, {`\d+(\.\d+)? (ms|s)\b`, "TIME"}, {`\d+`, "0"}, {`\s+`, " "},
	} {
		line = regexp.MustCompile(p.pattern).ReplaceAllString(line, p.with)
	}
	return strings.TrimSpace(line)
}

// copyProject copies what `run weather` needs, as a fresh clone has it: plugins that are built are not there.
func copyProject(t *testing.T, to string) {
	t.Helper()
	lock, err := os.ReadFile(filepath.Join(root, "uniflow.lock"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"go.mod", "go.sum", "uniflow.toml", "uniflow.lock", "sdk", "examples"} {
		err := filepath.WalkDir(filepath.Join(root, name), func(path string, entry fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(root, path)
			switch {
			case err != nil:
				return err
			case entry.IsDir():
				return os.MkdirAll(filepath.Join(to, rel), 0o755)
			case filepath.Base(filepath.Dir(path)) == "plugins" && !bytes.Contains(lock, []byte(filepath.ToSlash(rel))):
				return nil
			}
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(to, rel), content, 0o644)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestDocumentsNameVerbsAndFlagsThatExist looks at commands in the running text, which nobody runs.
func TestDocumentsNameVerbsAndFlagsThatExist(t *testing.T) {
	t.Parallel()
	named := 0
	for _, d := range documents(t) {
		for _, span := range regexp.MustCompile("`uniflow [^`\n]+`").FindAllString(d.text, -1) {
			named++
			if wrong := unknown(strings.Fields(strings.Trim(span, "`"))[1:]); wrong != "" {
				t.Errorf("%s: %s: the command line has no %s", d.name, span, wrong)
			}
		}
	}
	if named == 0 {
		t.Error("no command was found")
	}
}

// unknown returns the verb or flag among the words of a command that does not exist, or "".
func unknown(words []string) string {
	top := (&app{out: newOutput(io.Discard), talk: newOutput(io.Discard)}).root()
	top.InitDefaultCompletionCmd()
	c, rest, err := top.Find(words)
	if err != nil {
		return err.Error()
	}
	for _, word := range rest {
		name, long := strings.CutPrefix(word, "--")
		name, _, _ = strings.Cut(name, "=")
		switch {
		case long && c.Flag(name) == nil, !long && strings.HasPrefix(word, "-") && !shorthand(c, word[1:]):
			return "flag " + word
		case c.HasSubCommands() && !strings.HasPrefix(word, "-"):
			return "verb " + word
		}
	}
	return ""
}

func shorthand(c *cobra.Command, letter string) bool {
	return len(letter) == 1 && (c.Flags().ShorthandLookup(letter) != nil || c.InheritedFlags().ShorthandLookup(letter) != nil)
}

// TestDocumentedManifestsPassTheCheck writes down each whole manifest that a document shows, gives it the modules that it
// names, and checks it.
func TestDocumentedManifestsPassTheCheck(t *testing.T) {
	t.Parallel()
	checked := 0
	for _, d := range documents(t) {
		for _, b := range d.blocks {
			text := strings.Join(b.lines, "\n")
			if b.language != "toml" || !strings.Contains(text, "version = 1") {
				continue
			}
			checked++
			dir := t.TempDir()
			files := map[string][]byte{"uniflow.toml": []byte(text)}
			for _, hit := range regexp.MustCompile(`wasm\s*=\s*"([^"]+)"`).FindAllStringSubmatch(text, -1) {
				files[hit[1]] = command(1, `{"answer":42}`, false)
			}
			for name, content := range files {
				path := filepath.Join(dir, filepath.FromSlash(name))
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, content, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			var said bytes.Buffer
			if exit := run(t.Context(), []string{"check", "--strict", "-f", filepath.Join(dir, "uniflow.toml")}, strings.NewReader(""), &said, &said); exit != exitOK {
				t.Errorf("%s: exit %d\n%s\n%s", d.name, exit, text, said.Bytes())
			}
		}
	}
	if checked < 2 {
		t.Errorf("only %d manifests were found", checked)
	}
}
