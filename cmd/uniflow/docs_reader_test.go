package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
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
)

// TestDocumentedCommandsRun does what a reader of a document does, in a copy of the project: it takes every command, in
// order, and runs it. These are the lines of sh blocks, and in console blocks the lines after "$ "; what else stands
// there, and in an output block after a sh block, is what was printed. A command that this test has no way for fails.
func TestDocumentedCommandsRun(t *testing.T) {
	t.Parallel()
	ran := 0
	for _, d := range documents(t) {
		if d.commands() == 0 || d.needsToolchains() {
			continue
		}
		ran += d.commands()
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			newReader(t).follow(&d)
		})
	}
	if ran < 20 {
		t.Errorf("only %d commands were found: are they still marked?", ran)
	}
}

// commands counts the lines that hold a command.
func (d *document) commands() int {
	n := 0
	for _, b := range d.blocks {
		for _, line := range b.lines {
			if b.language == "sh" || b.language == "console" && strings.HasPrefix(line, prompt) {
				n++
			}
		}
	}
	return n
}

// prompt begins a command in a console block.
const prompt = "$ "

// reader is somebody who follows a document at a shell.
type reader struct {
	t       *testing.T
	clone   string   // of the project
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

// follow does what a document says, in its order.
func (r *reader) follow(d *document) {
	r.t.Helper()
	before := ""
	for _, b := range d.blocks {
		switch {
		case b.file != "":
			r.write(&b)
		case b.language == "sh":
			r.sh(b.lines)
		case b.language == "console":
			r.console(b.lines)
		case b.language == "output" && before == "sh":
			r.saw(b.lines)
		}
		before = b.language
	}
}

// sh follows a block of commands.
func (r *reader) sh(lines []string) {
	r.t.Helper()
	r.printed.Reset()
	for _, line := range lines {
		r.line(line)
	}
}

// console follows a block of commands with what they print.
func (r *reader) console(lines []string) {
	r.t.Helper()
	if len(lines) == 0 || !strings.HasPrefix(lines[0], prompt) {
		r.t.Errorf("a console block begins with a command: %q", lines)
		return
	}
	for len(lines) > 0 {
		next := slices.IndexFunc(lines[1:], func(line string) bool { return strings.HasPrefix(line, prompt) }) + 1
		if next == 0 {
			next = len(lines)
		}
		r.sh([]string{strings.TrimPrefix(lines[0], prompt)})
		r.saw(lines[1:next])
		lines = lines[next:]
	}
}

// way is how a command is run or, where running it would take minutes or never end, checked.
type way struct {
	begins string
	follow func(r *reader, command string)
}

// ways of all commands that documents may name; the first that fits counts.
func ways() []way {
	return append([]way{
		{"cd ", (*reader).cd},
		{"uniflow serve", (*reader).serve},
		{"uniflow ", (*reader).execute},
		{"go run ", (*reader).goRun},
		{"go install ./cmd/uniflow", (*reader).install},
		// It runs this test. That it passes is what the check of the whole project says.
		{"go test ./...", func(r *reader, command string) {
			if !strings.Contains(r.file(".ci/run"), command) {
				r.t.Errorf("%s: .ci/run does not do it", command)
			}
		}},
		{"go test ./", (*reader).packages},
		// Targets take minutes, tools and the network; the check of the whole project runs them.
		{"make", func(r *reader, command string) {
			if wrong := noTarget(r.file("Makefile"), strings.Fields(command)[1:]); wrong != "" {
				r.t.Errorf("%s: the Makefile has no target %q", command, wrong)
			}
		}},
	}, toolchainWays()...)
}

// line follows one line of a block.
func (r *reader) line(line string) {
	r.t.Helper()
	line, _, _ = strings.Cut(line, " #")
	if strings.ContainsAny(line, "|;`\\") {
		r.t.Errorf("%s: a pipe, a list or a line that goes on can hide that a command fails; write one command a line", line)
	}
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
const commandTime = 5 * time.Minute

// goRun runs the program that is installed: building it from the copy would compile all of it once more.
func (r *reader) goRun(command string) {
	r.t.Helper()
	words := strings.SplitN(command, " ", 4)
	if want := filepath.Join(r.clone, "cmd", "uniflow"); filepath.Join(r.dir, words[2]) != want {
		r.t.Fatalf("%s: from %s that is not %s", command, r.dir, want)
	}
	r.execute("uniflow " + words[3])
}

// execute has the shell run a command, which must succeed.
func (r *reader) execute(command string) {
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

// packages looks whether the packages exist whose tests are to be run; that they pass is said by the whole check.
func (r *reader) packages(command string) {
	r.t.Helper()
	for _, word := range strings.Fields(command)[2:] {
		if folder, ok := strings.CutPrefix(word, "./"); ok {
			if tests, _ := filepath.Glob(filepath.Join(root, folder, "*_test.go")); len(tests) == 0 {
				r.t.Errorf("%s: %s has no tests", command, word)
			}
		}
	}
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
	serving := make(chan string, 1)
	reading.Go(func() {
		defer close(serving)
		for lines := bufio.NewScanner(said); lines.Scan(); {
			fmt.Fprintln(&all, lines.Text())
			if strings.HasPrefix(lines.Text(), "serving on ") {
				serving <- lines.Text()
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
	case line, ok := <-serving:
		if !ok {
			r.t.Fatalf("%s: it ended:\n%s", command, all.String())
		}
		fmt.Fprintln(&r.printed, line)
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

func (r *reader) saw(lines []string) {
	r.t.Helper()
	if line, ok := shows(r.printed.String(), lines); !ok {
		r.t.Errorf("the document shows\n%s\nwhich is not, at that place, among\n%s", line, r.printed.String())
	}
}

// shows reports whether lines are among what was printed, in their order; others may stand between. It returns the
// first one that is not. A line of three dots stands for what is left out.
func shows(printed string, lines []string) (missing string, ok bool) {
	rest := strings.Split(printed, "\n")
	for _, line := range lines {
		if strings.TrimSpace(line) == "..." {
			continue
		}
		i := slices.IndexFunc(rest, func(p string) bool { return shape(p) == shape(line) })
		if i < 0 {
			return line, false
		}
		rest = rest[i+1:]
	}
	return "", true
}

// shape is a line without what differs each time: ids of runs, digests, days, times, sizes, and the space that aligns
// them.
func shape(line string) string {
	for _, p := range []struct{ pattern, with string }{
		{`[0-9A-HJKMNP-TV-Z]{26}`, "RUN"},
		{`\b([0-9a-f]{64}|[0-9a-f]{12})\b`, "DIGEST"},
		{`\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun)\b`, "DAY"},
		{`\d+(\.\d+)? (ms|s)\b`, "TIME"},
		{`\d+`, "0"},
		{`\s+`, " "},
	} {
		line = regexp.MustCompile(p.pattern).ReplaceAllString(line, p.with)
	}
	return strings.TrimSpace(line)
}

// TestShownLinesMustHaveBeenPrinted guards the comparison itself, which must not agree to everything.
func TestShownLinesMustHaveBeenPrinted(t *testing.T) {
	t.Parallel()
	const printed = "run 01M8BQ9D735RZH9DZNZV3HY304 of weather: succeeded in 109 ms\n  load  succeeded\nnext Fri 2026-11-27\n"
	for _, c := range []struct {
		lines []string
		want  bool
	}{
		{[]string{"run 01M8BQ9DY0N8AG0ZRA8V6CB05Q of weather: succeeded in 2.3 s", "load succeeded"}, true},
		{[]string{"...", "next Mon 2027-01-04"}, true},
		{[]string{"load succeeded", "run 01M8BQ9DY0N8AG0ZRA8V6CB05Q of weather: succeeded in 1 ms"}, false},
		{[]string{"load failed"}, false},
		{[]string{"load succeeded", "load succeeded"}, false},
	} {
		if _, got := shows(printed, c.lines); got != c.want {
			t.Errorf("%q: got %v", c.lines, got)
		}
	}
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
