package main

import (
	"bytes"
	"encoding/json"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/uniflow-dev/uniflow/host/flow"
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
	file     string // that it is, or "": the line before it ends with its name
	lines    []string
}

func (b *block) text() string { return strings.Join(b.lines, "\n") + "\n" }

// documents reads the project's documents.
func documents(t *testing.T) []document {
	t.Helper()
	var all []document
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/languages/*.md", "examples/*/README.md", "plugins/*/README.md", "sdk/*/README.md"} {
		names, err := fs.Glob(os.DirFS(root), pattern)
		if err != nil || len(names) == 0 {
			t.Fatalf("%s: found %d documents, %v", pattern, len(names), err)
		}
		for _, name := range names {
			text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, document{name, string(text), blocksOf(string(text))})
		}
	}
	return all
}

func blocksOf(text string) []block {
	var blocks []block
	open, before := false, ""
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.HasPrefix(strings.TrimLeft(line, " "), "```"):
			if open = !open; open {
				blocks = append(blocks, block{language: strings.TrimPrefix(strings.TrimLeft(line, " "), "```"), file: fileNamed(before)})
			}
			before = ""
		case open:
			last := &blocks[len(blocks)-1]
			last.lines = append(last.lines, line)
		case line != "":
			before = line
		}
	}
	return blocks
}

// fileNamed is the file that a line before a block names, as in "its source is `quote.c`:".
func fileNamed(line string) string {
	if hit := regexp.MustCompile("`([\\w./-]+\\.\\w+)`[.:]$").FindStringSubmatch(line); hit != nil {
		return hit[1]
	}
	return ""
}

// prose is the text of a document outside of its blocks.
func (d *document) prose() string {
	return regexp.MustCompile("(?ms)^ *```.*?\n *```").ReplaceAllString(d.text, "")
}

// spans are the pieces of code in the running text.
func (d *document) spans() []string {
	var spans []string
	for _, hit := range regexp.MustCompile("`([^`\n]+)`").FindAllStringSubmatch(d.prose(), -1) {
		spans = append(spans, hit[1])
	}
	return spans
}

// TestEveryBlockIsOfAKindThatIsTested keeps commands from standing where nobody runs them.
func TestEveryBlockIsOfAKindThatIsTested(t *testing.T) {
	t.Parallel()
	command := regexp.MustCompile(`(?m)^\s*(\$ |uniflow |go |make\b|curl |docker |sudo )`)
	for _, d := range documents(t) {
		before := ""
		for _, b := range d.blocks {
			switch {
			case b.file != "" && d.commands() > 0: // it is written to be built
			case b.language == "output" && before != "sh" && before != "toml":
				t.Errorf("%s: an output block stands after a block of kind %q, which prints nothing:\n%s", d.name, before, b.text())
			case b.language == "text" && command.MatchString(b.text()):
				t.Errorf("%s: a block of text holds a command, which is not run; mark it as sh:\n%s", d.name, b.text())
			case b.language == "json" && !json.Valid([]byte(b.text())):
				t.Errorf("%s: this is no JSON:\n%s", d.name, b.text())
			case !slices.Contains([]string{"sh", "console", "output", "toml", "json", "text"}, b.language):
				t.Errorf("%s: nothing tests a block of kind %q: give this test a way, or mark it as text\n%s", d.name, b.language, b.text())
			}
			before = b.language
		}
		if strings.Count(d.text, "```")%2 != 0 {
			t.Errorf("%s: a block is not closed", d.name)
		}
	}
}

// TestDocumentsNameWhatExists looks at the code in the running text, which nobody runs: verbs and flags of the command
// line, targets of make, and codes.
func TestDocumentsNameWhatExists(t *testing.T) {
	t.Parallel()
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]int{}
	for _, d := range documents(t) {
		for _, span := range d.spans() {
			words := strings.Fields(span)
			switch words[0] {
			case "uniflow":
				named["verbs"]++
				if wrong := unknown(words[1:]); wrong != "" {
					t.Errorf("%s: `%s`: the command line has no %s", d.name, span, wrong)
				}
			case "make":
				named["targets"]++
				if wrong := noTarget(string(makefile), words[1:]); wrong != "" {
					t.Errorf("%s: `%s`: the Makefile has no target %q", d.name, span, wrong)
				}
			}
		}
		for _, code := range regexp.MustCompile(`\bUF\d{4}\b`).FindAllString(d.text, -1) {
			named["codes"]++
			if _, ok := flow.Explain(code); !ok {
				t.Errorf("%s: nothing explains %s", d.name, code)
			}
		}
	}
	for _, kind := range []string{"verbs", "targets", "codes"} {
		if named[kind] == 0 {
			t.Errorf("no %s were found", kind)
		}
	}
}

// noTarget returns the first of the targets that a Makefile has not, or "".
func noTarget(makefile string, targets []string) string {
	for _, target := range targets {
		if !strings.Contains(target, "=") && !regexp.MustCompile(`(?m)^`+regexp.QuoteMeta(target)+`:`).MatchString(makefile) {
			return target
		}
	}
	return ""
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

// TestAnchorsLeadToHeadings follows links into documents; that the documents exist is checked by internal/arch.
func TestAnchorsLeadToHeadings(t *testing.T) {
	t.Parallel()
	headings := map[string]map[string]bool{}
	for _, d := range documents(t) {
		headings[d.name] = map[string]bool{}
		for _, hit := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(d.prose(), -1) {
			headings[d.name][anchor(hit[1])] = true
		}
	}
	followed := 0
	for _, d := range documents(t) {
		for _, hit := range regexp.MustCompile(`\]\(([^)\s:#]*)#([^)\s]+)\)`).FindAllStringSubmatch(d.prose(), -1) {
			followed++
			target := d.name
			if hit[1] != "" {
				target = path.Join(path.Dir(d.name), hit[1])
			}
			if !headings[target][hit[2]] {
				t.Errorf("%s: %s has no heading for #%s", d.name, target, hit[2])
			}
		}
	}
	if followed == 0 {
		t.Error("no link was found")
	}
}

// anchor is what a heading is linked by.
func anchor(heading string) string {
	plain := regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(heading), "")
	return strings.ReplaceAll(plain, " ", "-")
}

// TestDocumentedManifestsPassTheCheck writes down each manifest that a document shows, with the version where only a
// part is shown, gives it the modules that it names, and checks it. An output block after it shows its mistakes.
func TestDocumentedManifestsPassTheCheck(t *testing.T) {
	t.Parallel()
	checked := 0
	for _, d := range documents(t) {
		for i, b := range d.blocks {
			if b.language != "toml" || b.file != "" && b.file != "uniflow.toml" {
				continue
			}
			checked++
			said, exit := checkManifest(t, b.text())
			if next := i + 1; next < len(d.blocks) && d.blocks[next].language == "output" {
				if exit != exitUsage {
					t.Errorf("%s: exit %d, want %d for\n%s", d.name, exit, exitUsage, b.text())
				}
				if line, ok := shows(said, d.blocks[next].lines); !ok {
					t.Errorf("%s: shows %q, which the check does not say:\n%s", d.name, line, said)
				}
			} else if exit != exitOK {
				t.Errorf("%s: exit %d\n%s\n%s", d.name, exit, b.text(), said)
			}
		}
	}
	if checked < 3 {
		t.Errorf("only %d manifests were found", checked)
	}
}

// checkManifest checks a manifest strictly, in a folder with a module, a program, a calendar or a manifest for each file that it names.
func checkManifest(t *testing.T, text string) (said string, exit int) {
	t.Helper()
	if !strings.Contains(text, "version = 1") {
		text = "version = 1\n" + text
	}
	dir := t.TempDir()
	files := map[string][]byte{"uniflow.toml": []byte(text)}
	functions := []string{"uniflow_run"}
	for _, hit := range regexp.MustCompile(`function\s*=\s*"([^"]+)"`).FindAllStringSubmatch(text, -1) {
		functions = append(functions, hit[1])
	}
	for _, hit := range regexp.MustCompile(`wasm\s*=\s*"([^"]+)"`).FindAllStringSubmatch(text, -1) {
		files[hit[1]] = reactor(functions)
	}
	for _, hit := range regexp.MustCompile(`(?:script|process)\s*=\s*"([^"]+)"`).FindAllStringSubmatch(text, -1) {
		files[hit[1]] = []byte("#!/bin/sh\n")
	}
	for _, hit := range regexp.MustCompile(`"([^"]+\.ics)"`).FindAllStringSubmatch(text, -1) {
		files[hit[1]] = []byte("BEGIN:VCALENDAR\nVERSION:2.0\nBEGIN:VEVENT\nDTSTART;VALUE=DATE:20261225\nEND:VEVENT\nEND:VCALENDAR\n")
	}
	for _, hit := range regexp.MustCompile(`manifest\s*=\s*"([^"]+)"`).FindAllStringSubmatch(text, -1) {
		files[strings.ReplaceAll(hit[1], "*", "any")] = []byte("version = 1\n") // of a tenant
	}
	for name, content := range files {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, content, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var all bytes.Buffer
	exit = run(t.Context(), []string{"check", "--strict", "-f", filepath.Join(dir, "uniflow.toml")}, strings.NewReader(""), &all, &all)
	return strings.ReplaceAll(all.String(), dir+string(filepath.Separator), ""), exit
}

// TestArchitectureNamesEveryPackage compares the table of docs/ARCHITECTURE.md with the folders that hold code.
func TestArchitectureNamesEveryPackage(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(root, "docs", "ARCHITECTURE.md"))
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| (`[^|]+)\\|").FindAllStringSubmatch(string(text), -1) {
		for _, span := range regexp.MustCompile("`([a-z0-9/]+)`").FindAllStringSubmatch(row[1], -1) {
			named[span[1]] = true
		}
	}
	folders := codeFolders(t)
	for name := range named {
		if !folders[name] {
			t.Errorf("docs/ARCHITECTURE.md names %s, which holds no code", name)
		}
	}
	for folder := range folders {
		if !named[folder] {
			t.Errorf("docs/ARCHITECTURE.md has no row for %s", folder)
		}
	}
}

// codeFolders are the folders of the project's packages and kits; plugins and examples are one of a kind each.
func codeFolders(t *testing.T) map[string]bool {
	t.Helper()
	folders := map[string]bool{}
	for _, top := range []string{"cmd", "host", "internal", "sdk"} {
		err := fs.WalkDir(os.DirFS(root), top, func(name string, entry fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case entry.IsDir() && entry.Name() == "testdata":
				return fs.SkipDir
			case path.Ext(name) == ".h", path.Ext(name) == ".go" && !strings.HasSuffix(name, "_test.go"):
				folders[path.Dir(name)] = true
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return folders
}
